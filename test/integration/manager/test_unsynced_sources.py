"""A source that cannot sync delays only the controllers that use it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import Answer, Delay, Match
from aimctl.kubetypes.builtin import CONFIG_MAPS, CRDS, SECRETS
from aimctl.runtime import (
    CacheNotSynced,
    Channel,
    LeaderElectionOptions,
    Manager,
    ManagerOptions,
    Request,
    Synced,
)
from aimctl.testing import virtual_clock, virtual_time
from support.reconciling import HandFed, Scripted
from support.things import THINGS
from support.things_crd import THING_CRD

ELECTION = LeaderElectionOptions("lock", "default")


@asynccontextmanager
async def cluster_and_manager(**options):
    async with DevCluster(clock=virtual_clock(), crds=[]) as cluster:
        yield (
            cluster,
            Manager(
                cluster.transport(),
                clock=cluster.clock,
                options=ManagerOptions(leader_election=ELECTION, **options),
            ),
        )


@asynccontextmanager
async def running(manager: Manager):
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(manager.run(stop))
        yield task
        stop.set()


def config(name: str):
    return {"metadata": {"name": name}, "data": {}}


@virtual_time
async def test_a_missing_kind_delays_only_its_controllers_until_it_is_installed():
    """Checklist 91: without a time limit for the sync the start does not fail, and the other controllers work."""
    async with cluster_and_manager() as (cluster, manager):
        client = cluster.client()
        maps, things, both = Scripted(), Scripted(), Scripted()
        manager.controller("maps", maps, for_=CONFIG_MAPS)
        manager.controller("things", things, for_=THINGS)
        manager.controller("both", both, for_=CONFIG_MAPS, owns=[THINGS])
        with capture_logs() as logs:
            async with running(manager):
                await asyncio.sleep(2)
                assert manager.elected.is_set()
                await client.create(CONFIG_MAPS, config("a"), "default")
                await asyncio.sleep(3600)
                assert Request("default", "a") in maps.runs
                assert things.runs == both.runs == []
                assert manager.not_ready == {
                    "caches": "things.test.example is not served; install its CustomResourceDefinition"
                    " (needed by: both, things)"
                }
                await client.create(CRDS, THING_CRD)
                await client.create(THINGS, {"metadata": {"name": "t"}}, "default")
                await asyncio.sleep(60)
                assert things.runs == [Request("default", "t")]
                assert Request("default", "a") in both.runs
                assert manager.not_ready == {}
        waits = [entry for entry in logs if entry["event"] == "the controller waits for its sources"]
        assert {entry["controller"] for entry in waits} == {"both", "things"}
        assert all(["things" in source for source in entry["sources"]] == [True] for entry in waits)
        assert "404" in waits[0]["sources"][0] or "could not find" in waits[0]["sources"][0]
        assert len(waits) < 40, "the pauses between reports grow"


@virtual_time
async def test_a_refused_list_delays_only_its_controllers_until_it_is_granted():
    async with cluster_and_manager() as (cluster, manager):
        refusal = cluster.faults.add(Answer(403), Match(verb="list", resource="secrets"))
        maps, secrets = Scripted(), Scripted()
        manager.controller("maps", maps, for_=CONFIG_MAPS)
        manager.controller("secrets", secrets, for_=SECRETS)
        async with running(manager):
            await cluster.client().create(CONFIG_MAPS, config("a"), "default")
            await cluster.client().create(SECRETS, {"metadata": {"name": "s"}}, "default")
            await asyncio.sleep(600)
            assert (Request("default", "a") in maps.runs, secrets.runs) == (True, [])
            reason = manager.not_ready["caches"]
            assert reason.startswith("not allowed to list secrets: ")
            assert reason.endswith("grant the verb list on secrets (needed by: secrets)")
            cluster.faults.remove(refusal)
            await asyncio.sleep(60)
            assert Request("default", "s") in secrets.runs
            assert manager.not_ready == {}


@virtual_time
async def test_another_source_that_does_not_sync_is_named_with_its_controller():
    async with cluster_and_manager() as (_, manager):
        source, other = HandFed("a", synced=False), Scripted()
        manager.controller("fed", Scripted(), sources=[source])
        manager.controller("other", other, sources=[HandFed("b")])
        async with running(manager):
            await asyncio.sleep(60)
            assert manager.not_ready == {"caches": "controller fed waits for hand-fed source"}
            assert other.runs == [Request("ns", "b")]
            source.synced.set()
            await asyncio.sleep(1)
            assert manager.not_ready == {}


@virtual_time
async def test_a_function_waits_for_the_kinds_of_its_own_scope_only():
    async with cluster_and_manager() as (cluster, manager):
        ran: list[str] = []

        def function(name: str):
            async def run() -> None:
                ran.append(name)

            return run

        broken, working = manager.scope("broken"), manager.scope("working")
        broken.cache.declare(THINGS)
        working.cache.declare(CONFIG_MAPS)
        broken.add(function("broken"))
        working.add(function("working"))
        manager.add(function("everywhere"), needs_leader_election=False)
        async with running(manager):
            await asyncio.sleep(60)
            assert sorted(ran) == ["everywhere", "working"]
            broken.add(function("broken, added later"))
            await cluster.client().create(CRDS, THING_CRD)
            await asyncio.sleep(60)
            assert sorted(ran) == ["broken", "broken, added later", "everywhere", "working"]


@virtual_time
async def test_a_manager_stops_while_controllers_and_functions_wait():
    async with cluster_and_manager() as (_, manager):
        manager.controller("things", Scripted(), for_=THINGS)
        manager.add(Scripted().reconcile, name="function")
        async with running(manager) as task:
            await asyncio.sleep(60)
        assert task.exception() is None
        assert manager.state == "stopped"


@virtual_time
async def test_a_time_limit_fails_the_manager_and_names_the_kind():
    async with cluster_and_manager(cache_sync_timeout=30) as (_, manager):
        manager.controller("things", Scripted(), for_=THINGS)
        with pytest.raises(CacheNotSynced, match=r"things\.test\.example is not served"):
            await manager.run()
        assert 30 <= asyncio.get_running_loop().time() < 33, "in virtual time"


@virtual_time
async def test_the_election_waits_for_slow_caches_but_not_for_ever():
    async with cluster_and_manager() as (cluster, manager):
        cluster.faults.add(Delay(50), Match(verb="list", resource="secrets"))
        maps = Scripted()
        manager.controller("maps", maps, for_=CONFIG_MAPS)
        manager.controller("secrets", Scripted(), for_=SECRETS)
        await cluster.client().create(CONFIG_MAPS, config("a"), "default")
        async with running(manager):
            await asyncio.sleep(29)
            assert (manager.elected.is_set(), maps.runs) == (False, [])
            async with asyncio.timeout(10):  # a refused or unanswered list is noticed within seconds
                await manager.elected.wait()
            await asyncio.sleep(0.1)
            assert Request("default", "a") in maps.runs


# ---- kinds that are only read


@virtual_time
async def test_a_reconcile_that_reads_a_kind_before_it_is_synced_is_repeated_instead_of_seeing_nothing():
    async with cluster_and_manager() as (cluster, manager):
        found = []

        async def reconcile(request: Request) -> None:
            found.append(manager.cache.get(SECRETS, "s", "default") is not None)

        await cluster.client().create(SECRETS, {"metadata": {"name": "s"}}, "default")
        cluster.faults.add(Answer(500), Match(verb="list", resource="secrets"), times=3)
        channel = Channel()
        channel.send(Request("default", "a"))
        manager.cache.declare(SECRETS)
        manager.controller("reader", reconcile, sources=[channel])
        async with running(manager):
            await asyncio.sleep(1)
            assert found == []
            assert manager.metrics.reconciles.labels("reader", "error").value == 0
            assert manager.metrics.reconciles.labels("reader", "requeue_after").value > 0
            await asyncio.sleep(60)
            assert found == [True]


@virtual_time
@pytest.mark.parametrize("how", ["kind", "informer", "scope", "source"])
async def test_a_controller_waits_for_the_kinds_that_it_only_reads(how: str):
    async with cluster_and_manager() as (cluster, manager):
        secrets = manager.cache.declare(SECRETS)
        reads = {"kind": [SECRETS], "informer": [secrets], "scope": [manager.cache], "source": []}[how]
        sources = [Synced(secrets)] if how == "source" else []
        refusal = cluster.faults.add(Answer(403), Match(verb="list", resource="secrets"))
        maps = Scripted()
        manager.controller("maps", maps, for_=CONFIG_MAPS, reads=reads, sources=sources)
        await cluster.client().create(CONFIG_MAPS, config("a"), "default")
        async with running(manager):
            await asyncio.sleep(60)
            assert maps.runs == []
            assert "(needed by: maps)" in manager.not_ready["caches"]
            cluster.faults.remove(refusal)
            await asyncio.sleep(60)
            assert Request("default", "a") in maps.runs
