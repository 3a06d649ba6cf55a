"""The resync period of a manager, in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import Delay, Match
from aimctl.kubetypes.builtin import CONFIG_MAPS, JOBS, SECRETS
from aimctl.runtime import (
    EnqueueMapped,
    Manager,
    ManagerOptions,
    Request,
    Updated,
    Watch,
    any_of,
    generation_changed,
    owner_reference,
)
from aimctl.testing import virtual_clock, virtual_time
from support.reconciling import Scripted

PERIOD = 600.0


@asynccontextmanager
async def cluster_and_manager(resync_seconds: float | None = PERIOD):
    async with DevCluster(clock=virtual_clock(), crds=[], controllers=False) as cluster:
        lists: list[str] = []
        noticed = Match(verb="list", predicate=lambda info: bool(lists.append(info.resource)))
        cluster.faults.add(Delay(0), noticed)
        options = ManagerOptions(resync_seconds=resync_seconds)
        yield cluster.client(), Manager(cluster.transport(), clock=cluster.clock, options=options), lists


@asynccontextmanager
async def running(manager: Manager):
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(manager.run(stop))
        await manager.elected.wait()
        await asyncio.sleep(1)
        yield
        stop.set()


def named(name: str, **metadata):
    return {"metadata": {"name": name, **metadata}}


async def owner_with_job(client) -> None:
    owner = await client.create(CONFIG_MAPS, named("owner"), "default")
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    body = {**named("job", ownerReferences=[owner_reference(owner)]), "spec": {"template": template}}
    await client.create(JOBS, body, "default")


async def rounds(reconciler: Scripted, periods: float) -> list[Request]:
    """The reconciles of the next ``periods`` resync periods."""
    reconciler.runs.clear()
    reconciler.times.clear()
    await asyncio.sleep(periods * PERIOD)
    return list(reconciler.runs)


@virtual_time
async def test_every_object_is_reconciled_again_in_each_period_without_a_request():
    async with cluster_and_manager() as (client, manager, lists):
        reconciler = Scripted()
        maps = manager.cache.declare(CONFIG_MAPS, namespaces=["default"])
        for name in "xyz":
            await client.create(CONFIG_MAPS, named(name), "default")
        manager.controller("maps", reconciler, for_=maps)
        async with running(manager):
            listed = list(lists)
            seen = await rounds(reconciler, 20)
            for name in "xyz":
                assert 17 <= seen.count(Request("default", name)) <= 23
                assert all(
                    540 <= later - earlier <= 660
                    for earlier, later in zip(
                        times(reconciler, name), times(reconciler, name)[1:], strict=False
                    )
                )
            assert lists == listed


@virtual_time
async def test_every_source_is_resynced():
    """The owner of a child and the object that a function maps to are reconciled as well."""
    async with cluster_and_manager() as (client, manager, _):
        owning, mapping, late = Scripted(), Scripted(), Scripted()
        await owner_with_job(client)
        await client.create(SECRETS, named("secret"), "default")
        never = manager.cache.declare(CONFIG_MAPS, label_selector="never=matches")
        manager.controller("owning", owning, for_=never, owns=[JOBS])
        other = manager.scope("other")
        secrets = other.cache.declare(SECRETS, projection="metadata")
        mapped = EnqueueMapped(lambda secret: [Request("mapped", secret.meta.name)])
        other.controller("mapping", mapping, sources=[Watch(secrets, mapped)])
        async with running(manager):
            manager.scope("late").controller("late", late, for_=SECRETS)
            for reconciler in (owning, mapping, late):
                reconciler.runs.clear()
            await asyncio.sleep(10 * PERIOD)
            assert 8 <= owning.runs.count(Request("default", "owner")) <= 12
            assert 8 <= mapping.runs.count(Request("mapped", "secret")) <= 12
            assert 8 <= late.runs.count(Request("default", "secret")) <= 12


@virtual_time
async def test_without_a_period_nothing_is_reconciled_again():
    async with cluster_and_manager(None) as (client, manager, _):
        reconciler = Scripted()
        await client.create(CONFIG_MAPS, named("x"), "default")
        manager.controller("maps", reconciler, for_=CONFIG_MAPS)
        async with running(manager):
            assert await rounds(reconciler, 20) == []


@virtual_time
async def test_predicates_apply_to_a_resync():
    """As in controller-runtime, ``generation_changed`` does not pass it; a predicate for replays does."""
    async with cluster_and_manager() as (client, manager, _):
        filtered, passed = Scripted(), Scripted()
        await client.create(CONFIG_MAPS, named("x"), "default")
        manager.controller("filtered", filtered, for_=CONFIG_MAPS, predicates=[generation_changed])
        replayed = any_of(generation_changed, lambda event: isinstance(event, Updated) and event.replayed)
        manager.controller("passed", passed, for_=CONFIG_MAPS, predicates=[replayed])
        async with running(manager):
            filtered.runs.clear()
            passed.runs.clear()
            await asyncio.sleep(3 * PERIOD)
            assert filtered.runs == []
            assert Request("default", "x") in passed.runs


def times(reconciler: Scripted, name: str) -> list[float]:
    return [at for at, run in zip(reconciler.times, reconciler.runs, strict=True) if run.name == name]
