"""Controllers and informers are removed while the manager runs."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import asynccontextmanager

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import Delay, Match
from aimctl.kubetypes.builtin import CONFIG_MAPS, JOBS, PODS, SECRETS
from aimctl.runtime import (
    EnqueueObject,
    LeaderElectionOptions,
    Manager,
    ManagerOptions,
    Request,
    Result,
    UndeclaredKind,
    Watch,
)
from aimctl.testing import virtual_clock, virtual_time
from support.cache_recorders import RecordingHandler
from support.reconciling import HandFed, Scripted
from support.things import THINGS


@asynccontextmanager
async def cluster_and_manager(**options):
    async with DevCluster(clock=virtual_clock(), crds=[], controllers=False) as cluster:
        yield (
            cluster,
            Manager(cluster.transport(), clock=cluster.clock, options=ManagerOptions(**options)),
        )


@asynccontextmanager
async def running(manager: Manager):
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(manager.run(stop))
        await manager.elected.wait()
        await asyncio.sleep(1)
        yield
        stop.set()


def named(name: str):
    return {"metadata": {"name": name}}


def metrics(manager: Manager) -> str:
    return generate_latest(manager.metrics.registry).decode()


@virtual_time
async def test_a_removed_controller_reconciles_nothing_and_leaves_no_trace():
    async with cluster_and_manager() as (cluster, manager):
        client, reconciler, other = cluster.client(), Scripted(), Scripted()
        removed = manager.controller("removed", reconciler, for_=CONFIG_MAPS, owns=[JOBS], reads=[PODS])
        manager.controller("other", other, for_=SECRETS, owns=[JOBS])
        async with running(manager):
            await client.create(CONFIG_MAPS, named("a"), "default")
            await asyncio.sleep(1)
            assert Request("default", "a") in reconciler.runs
            reconciler.runs.clear()
            await manager.remove(removed)
            await client.create(CONFIG_MAPS, named("b"), "default")
            await client.create(SECRETS, named("s"), "default")
            await asyncio.sleep(60)
            assert reconciler.runs == []
            assert Request("default", "s") in other.runs
            assert list(manager.controllers) == ["other"]
            text = metrics(manager)
            for name in ("removed", "configmaps", "pods"):
                assert f'"{name}"' not in text
            for name in ("other", "secrets", "jobs.batch"):
                assert f'"{name}"' in text
            for page in ("queues", "controllers", "caches"):
                shown = str(manager.endpoints.pages._pages[page]())
                assert "removed" not in shown
                assert "configmaps" not in shown
            assert {one.name for one in manager.cache.informers} == {"secrets", "jobs.batch"}
            with pytest.raises(UndeclaredKind):
                manager.cache.get(CONFIG_MAPS, "a", "default")
            assert manager.not_ready == {}


@virtual_time
async def test_the_requests_of_informers_end_with_their_last_controller():
    async with cluster_and_manager() as (cluster, manager):
        lists: list[str] = []
        record = Match(verb="list", predicate=lambda info: bool(lists.append(info.resource)))
        cluster.faults.add(Delay(0), record)
        first = manager.controller("first", Scripted(), for_=CONFIG_MAPS)
        second = manager.controller("second", Scripted(), for_=CONFIG_MAPS)
        async with running(manager):
            await manager.remove(first)
            assert [one.name for one in manager.cache.informers] == ["configmaps"]
            assert task_names("reflector configmaps") == ["reflector configmaps"]
            await manager.remove(second)
            assert manager.cache.informers == ()
            assert task_names("reflector") == task_names("informer") == []
            before = list(lists)
            await asyncio.sleep(3600)
            assert lists == before


@virtual_time
@pytest.mark.parametrize("use", ["reads", "scope", "handler", "waiting"])
async def test_an_informer_stays_while_it_is_used_in_another_way(use: str):
    async with cluster_and_manager() as (cluster, manager):
        await cluster.client().create(CONFIG_MAPS, named("a"), "default")
        removed = manager.controller("removed", Scripted(), for_=CONFIG_MAPS)
        if use == "reads":
            manager.controller("other", Scripted(), sources=[HandFed()], reads=[CONFIG_MAPS])
        elif use == "scope":
            manager.controller("other", Scripted(), sources=[HandFed()], reads=[manager.cache])
        elif use == "waiting":
            manager.controller("other", Scripted(), for_=THINGS, owns=[CONFIG_MAPS])
        else:
            manager.cache.informer(CONFIG_MAPS).add_handler(RecordingHandler())
        async with running(manager):
            await manager.remove(removed)
            assert manager.cache.get(CONFIG_MAPS, "a", "default") is not None
            assert task_names("reflector configmaps") == ["reflector configmaps"]


@virtual_time
async def test_a_controller_can_be_added_again_under_the_same_name():
    async with cluster_and_manager() as (cluster, manager):
        await cluster.client().create(CONFIG_MAPS, named("a"), "default")
        first, second = Scripted(), Scripted()
        removed = manager.controller("maps", first, for_=CONFIG_MAPS)
        async with running(manager):
            await manager.remove(removed)
            narrow = manager.cache.declare(CONFIG_MAPS, namespaces=["default"], projection="metadata")
            manager.controller("maps", second, for_=narrow)
            await asyncio.sleep(5)
            assert Request("default", "a") in second.runs
            runs = len(second.runs)
            assert manager.metrics.reconciles.labels("maps", "success").value == runs
            assert manager.cache.get(CONFIG_MAPS, "a", "default") is not None


@virtual_time
async def test_running_reconciles_end_within_the_grace_time():
    async with cluster_and_manager() as (_, manager):
        ended: list[str] = []

        async def work(request: Request) -> Result | None:
            await asyncio.sleep(20)
            ended.append(request.name)
            return None

        removed = manager.controller(
            "slow", work, sources=[HandFed("a", "b", "c")], max_concurrent_reconciles=2
        )
        async with running(manager):
            await manager.remove(removed)
            assert sorted(ended) == ["a", "b"], "c was not started"


@virtual_time
@pytest.mark.parametrize("grace", [0, 5])
async def test_a_reconcile_that_takes_longer_is_cancelled(grace: int):
    async with cluster_and_manager() as (_, manager):
        cancelled: list[str] = []

        async def work(request: Request) -> None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append(request.name)
                raise

        removed = manager.controller("slow", work, sources=[HandFed("a")])
        async with running(manager):
            with capture_logs() as logs:
                await manager.remove(removed, grace_seconds=grace)
            assert cancelled == ["a"]
            assert manager.controllers == {}
            assert [entry["controller"] for entry in logs if "were cancelled" in entry["event"]] == ["slow"]
            assert task_names("slow") == []


@virtual_time
async def test_a_cancelled_removal_is_completed():
    async with cluster_and_manager() as (_, manager):

        async def work(request: Request) -> None:
            await asyncio.sleep(3600)

        removed = manager.controller("slow", work, sources=[HandFed("a")], reads=[CONFIG_MAPS])
        async with running(manager):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await manager.remove(removed)
            await asyncio.sleep(1)
            assert (manager.controllers, manager.cache.informers) == ({}, ())
            assert task_names("slow") == []


@virtual_time
async def test_a_controller_that_never_started_is_removed():
    """On a standby, while its kind is missing, and before the manager runs."""
    async with cluster_and_manager(leader_election=LeaderElectionOptions("lock", "default")) as (
        cluster,
        leader,
    ):
        standby = Manager(
            cluster.transport(), clock=cluster.clock, options=leader.options, identity="standby"
        )
        waiting = standby.controller("waiting", Scripted(), for_=THINGS)
        warm = standby.controller("warm", Scripted(), for_=CONFIG_MAPS)
        early = standby.controller("early", Scripted(), for_=SECRETS)
        await standby.remove(early)
        stop = asyncio.Event()
        async with running(leader), asyncio.TaskGroup() as tasks:
            tasks.create_task(standby.run(stop))
            await asyncio.sleep(5)
            assert (warm.warm, waiting.warm) == (True, False)
            await standby.remove(waiting)
            await standby.remove(warm)
            assert (standby.controllers, standby.cache.informers) == ({}, ())
            assert standby.not_ready == {}
            assert not standby.elected.is_set()
            stop.set()


@virtual_time
async def test_what_cannot_be_removed_is_an_error():
    async with cluster_and_manager() as (_, manager):
        errors: list[str] = []

        async def remove_itself(request: Request) -> None:
            try:
                await manager.remove(manager.controllers["own"])
            except RuntimeError as error:
                errors.append(str(error))

        own = manager.controller("own", remove_itself, sources=[HandFed("a")])
        other = Manager(manager.api_reader, clock=manager.clock).controller(
            "other", Scripted(), sources=[HandFed()]
        )
        async with running(manager):
            assert len(errors) == 1
            assert "'own' cannot be removed by its own reconcile" in errors[0]
            with pytest.raises(ValueError, match="no such controller: 'other'"):
                await manager.remove(other)
            await asyncio.gather(manager.remove(own), removal_refused(manager, own))
            with pytest.raises(ValueError, match="no such controller: 'own'"):
                await manager.remove(own)


async def removal_refused(manager: Manager, controller) -> None:
    with pytest.raises(ValueError, match=r"being removed already|no such controller"):
        await manager.remove(controller)


@pytest.mark.proof
@virtual_time
async def test_one_hundred_cycles_leave_no_task_and_no_object():
    async with cluster_and_manager() as (cluster, manager):
        for number in range(20):
            await cluster.client().create(CONFIG_MAPS, named(f"m{number}"), "default")
        kept: list[weakref.ref] = []
        async with running(manager):
            tasks, text = len(asyncio.all_tasks()), metrics(manager)

            async def cycle() -> None:
                part = manager.scope("part")
                maps = part.cache.declare(CONFIG_MAPS, indexes={"name": lambda one: [one.meta.name]})
                reconciler = Scripted(slow)
                made = part.controller(
                    "maps", reconciler, for_=maps, owns=[JOBS], sources=[Watch(maps, EnqueueObject())]
                )
                await asyncio.sleep(5)
                assert len(reconciler.runs) >= 20
                kept.extend(weakref.ref(one) for one in (made, maps, part.cache, reconciler))
                await part.remove(made)

            async def slow(request: Request) -> Result:
                await asyncio.sleep(0.01)
                return Result(requeue_after=1)

            for _ in range(100):
                await cycle()
            await asyncio.sleep(60)
            assert len(asyncio.all_tasks()) == tasks
            gc.collect()
            assert [one() for one in kept if one() is not None] == []
            assert without_values(metrics(manager)) == without_values(text)


# ---- informers


@virtual_time
async def test_an_informer_is_removed_unless_it_has_handlers():
    """Checklist 89: a removed informer stops; declaring the kind again creates one with current data."""
    async with cluster_and_manager() as (cluster, manager):
        await cluster.client().create(SECRETS, named("s"), "default")
        alone = manager.cache.declare(SECRETS)
        again = manager.scope("other").cache
        again.declare(SECRETS)
        manager.controller("maps", Scripted(), for_=CONFIG_MAPS)
        async with running(manager):
            with pytest.raises(ValueError, match="configmaps has 1 handlers"):
                await manager.cache.remove(manager.cache.informer(CONFIG_MAPS))
            await manager.cache.remove(alone)
            for cache in (manager.cache, again):
                with pytest.raises(UndeclaredKind):
                    cache.list(SECRETS)
            with pytest.raises(ValueError, match="was removed before"):
                await manager.cache.remove(alone)
            manager.cache.declare(SECRETS)
            await asyncio.sleep(1)
            assert manager.cache.get(SECRETS, "s", "default") is not None
            assert manager.cache.synced


@virtual_time
async def test_a_function_does_not_wait_for_an_informer_that_is_removed():
    async with cluster_and_manager() as (_, manager):
        ran: list[str] = []

        async def function() -> None:
            ran.append("function")

        missing = manager.cache.declare(THINGS)
        manager.add(function)
        async with running(manager):
            assert ran == []
            await manager.cache.remove(missing)
            await asyncio.sleep(1)
            assert ran == ["function"]


async def test_a_debug_page_is_removed():
    async with cluster_and_manager() as (_, manager):
        manager.add_debug_page("mine", lambda: {"a": 1})
        manager.remove_debug_page("mine")
        with pytest.raises(ValueError, match="'mine' does not exist"):
            manager.remove_debug_page("mine")
        manager.add_debug_page("mine", lambda: {"a": 2})


def task_names(prefix: str) -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(prefix)]


def without_values(text: str) -> set[str]:
    return {line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#")}
