"""One process runs managers of several clusters."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import Match, Refuse
from aimctl.kubetypes.builtin import CONFIG_MAPS, LEASES
from aimctl.runtime import (
    LeaderElectionOptions,
    LeaderLost,
    LoopClock,
    Manager,
    ManagerOptions,
    Request,
    configure_logging,
    run_managers,
)
from aimctl.runtime.manager.serving.endpoints import Endpoints
from aimctl.testing import virtual_clock, virtual_time
from support.ports import reserve_port
from support.reconciling import Scripted
from support.things import THINGS

EAST, WEST = "east", "west"


def manager_of(cluster: DevCluster, name: str, **options) -> Manager:
    return Manager(
        cluster.transport(),
        clock=cluster.clock,
        options=ManagerOptions(
            cluster=name, leader_election=LeaderElectionOptions("lock", "default"), **options
        ),
        identity="me",
    )


def add_copies(manager: Manager) -> None:
    """Each ConfigMap named ``a`` gets a copy, which names the cluster."""

    async def reconcile(request: Request) -> None:
        if request.name == "a" and manager.cache.get(CONFIG_MAPS, "a", request.namespace) is not None:
            body = {"metadata": {"name": "copy"}, "data": {"cluster": manager.options.cluster}}
            if manager.cache.get(CONFIG_MAPS, "copy", request.namespace) is None:
                await manager.client.create(CONFIG_MAPS, body, request.namespace)

    manager.controller("copies", reconcile, for_=CONFIG_MAPS)


@asynccontextmanager
async def two_clusters(clock=virtual_clock):
    async with (
        DevCluster(clock=clock(), crds=[], controllers=False) as east,
        DevCluster(clock=clock(), crds=[], controllers=False) as west,
    ):
        yield east, west


@virtual_time
async def test_each_manager_works_in_its_own_cluster_with_the_same_names():
    async with two_clusters() as (east, west):
        managers = [manager_of(east, EAST), manager_of(west, WEST)]
        for manager in managers:
            add_copies(manager)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_managers(managers, stop))
            await asyncio.sleep(5)
            assert all(manager.elected.is_set() for manager in managers)
            await east.client().create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "default")
            await asyncio.sleep(5)
            copy = await east.client().get(CONFIG_MAPS, "copy", "default")
            assert copy.view.data == {"cluster": EAST}
            assert "copy" not in {one.meta.name for one in (await west.client().list(CONFIG_MAPS)).items}
            assert managers[1].cache.get(CONFIG_MAPS, "a", "default") is None
            for cluster in (east, west):
                lease = await cluster.client().get(LEASES, "lock", "default")
                assert lease.view.spec.holder_identity == "me"
            stop.set()
        for cluster in (east, west):
            lease = await cluster.client().get(LEASES, "lock", "default")
            assert not lease.view.spec.holder_identity, "both released their Leases"
        assert [manager.state for manager in managers] == ["stopped", "stopped"]


@virtual_time
async def test_managers_can_also_run_in_one_task_group():
    async with two_clusters() as (east, west):
        managers = [manager_of(east, EAST), manager_of(west, WEST)]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for manager in managers:
                add_copies(manager)
                tasks.create_task(manager.run(stop))
            await asyncio.sleep(5)
            assert all(manager.elected.is_set() for manager in managers)
            stop.set()


@virtual_time
async def test_a_manager_that_fails_ends_the_others_gracefully():
    async with two_clusters() as (east, west):
        managers = [manager_of(east, EAST), manager_of(west, WEST)]
        ended: list[str] = []

        async def work(request: Request) -> None:
            await asyncio.sleep(100)
            ended.append(request.name)

        managers[1].controller("slow", work, for_=CONFIG_MAPS)
        running = asyncio.create_task(run_managers(managers))
        await west.client().create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "default")
        await asyncio.sleep(80)
        east.faults.add(Refuse(), Match(resource="leases"))
        with pytest.raises(LeaderLost) as caught:
            await running
        assert caught.value.__notes__ == ["in the manager of cluster east"]
        assert "a" in ended
        lease = await west.client().get(LEASES, "lock", "default")
        assert not lease.view.spec.holder_identity
        words = ("manager", "leader", "every replica", "caches", "informer", "reflector", "slow", "end of")
        assert [task for task in asyncio.all_tasks() if task.get_name().startswith(words)] == []


@virtual_time
async def test_one_cluster_without_a_kind_does_not_hold_up_the_other():
    async with two_clusters() as (east, west):
        managers = [manager_of(east, EAST), manager_of(west, WEST)]
        managers[0].controller("things", Scripted(), for_=THINGS)
        reconciler = Scripted()
        managers[1].controller("things", reconciler, for_=CONFIG_MAPS)
        await west.client().create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "default")
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_managers(managers, stop))
            await asyncio.sleep(60)
            assert Request("default", "a") in reconciler.runs
            endpoints = Endpoints(ManagerOptions(), CollectorRegistry())
            for manager in managers:
                endpoints.include(manager.options.cluster, manager.endpoints)
            assert list(endpoints.ready.failing()) == ["east.caches"]
            assert "(needed by: things)" in endpoints.ready.failing()["east.caches"]
            stop.set()


@virtual_time
async def test_a_cluster_that_cannot_be_reached_at_the_start_does_not_hold_up_the_other():
    """Checklist 118: each manager waits for its own caches only."""
    async with two_clusters() as (east, west):
        managers = [manager_of(east, EAST), manager_of(west, WEST)]
        outage = east.faults.add(Refuse(), Match())
        for manager in managers:
            add_copies(manager)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_managers(managers, stop))
            await west.client().create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "default")
            await asyncio.sleep(600)
            assert [manager.elected.is_set() for manager in managers] == [False, True]
            assert (await west.client().get(CONFIG_MAPS, "copy", "default")).view.data == {"cluster": WEST}
            assert "configmaps" in managers[0].not_ready["caches"]
            east.faults.remove(outage)
            await asyncio.sleep(60)
            assert managers[0].elected.is_set()
            assert managers[0].not_ready == {}
            stop.set()


@pytest.fixture
def logged():
    """Records of the process, as JSON lines."""
    stream = io.StringIO()
    configure_logging("debug", "json", stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_log_records_name_the_cluster_also_of_controllers_that_are_added_later(logged):
    async with two_clusters(LoopClock) as (east, west):
        managers = [manager_of(east, EAST), manager_of(west, WEST)]
        for manager in managers:
            add_copies(manager)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_managers(managers, stop))
            await asyncio.gather(*(manager.elected.wait() for manager in managers))
            late = managers[1].controller(
                "late", Scripted(), for_=managers[1].scope("late").cache.declare(LEASES)
            )
            await late.warm_up()
            stop.set()
        records = logged()
        for event in ("became leader", "caches synced", "controller started", "listed", "stopped"):
            found = {record.get("cluster") for record in records if record["event"] == event}
            assert found == {EAST, WEST}, event
        assert {one["cluster"] for one in records if one.get("controller") == "late"} == {WEST}
        assert {one.get("cluster") for one in records if one.get("resource", "").startswith("leases")} == {
            WEST
        }


async def test_one_server_shows_the_metrics_checks_and_pages_of_all_clusters():
    process = CollectorRegistry()
    Counter("own", "A metric of the process.", registry=process).inc()
    ports = reserve_port(), reserve_port()
    metrics, probes = (port.number for port in ports)
    async with two_clusters(LoopClock) as (east, west):
        managers = [manager_of(east, EAST), manager_of(west, WEST)]
        for manager in managers:
            add_copies(manager)
        managers[1].add_ready_check("mine", lambda: "not today")
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                run_managers(
                    managers,
                    stop,
                    metrics_bind_address=f"127.0.0.1:{metrics}",
                    health_probe_bind_address=f"127.0.0.1:{probes}",
                    registry=process,
                )
            )
            await asyncio.gather(*(manager.elected.wait() for manager in managers))
            async with aiohttp.ClientSession() as session:

                async def get(port: int, path: str) -> tuple[int, str]:
                    async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                        return answer.status, await answer.text()

                _, text = await get(metrics, "/metrics")
                families = list(text_string_to_metric_families(text))
                assert len({family.name for family in families}) == len(families), "each metric appears once"
                masters = {
                    sample.labels["cluster"]: sample.value
                    for family in families
                    for sample in family.samples
                    if sample.name == "leader_election_master_status"
                }
                assert masters == {EAST: 1, WEST: 1}
                owned = [s for f in families for s in f.samples if s.name == "own_total"]
                assert [(sample.labels, sample.value) for sample in owned] == [({}, 1)]
                status, text = await get(probes, "/readyz?verbose")
                assert status == 500
                for line in ("[+]east.caches ok", "[+]west.caches ok", "[-]west.mine failed: not today"):
                    assert line in text
                assert (await get(probes, "/healthz"))[0] == 200
                _, text = await get(metrics, "/debug/west.controllers")
                assert "copies" in text
                _, text = await get(metrics, "/debug")
                assert "/debug/east.queues" in text
            stop.set()
    for port in ports:
        port.release()


@pytest.mark.parametrize("names", [("a", "a"), ("a", "")])
async def test_each_cluster_needs_a_name_of_its_own(names):
    managers = [Manager(Nothing(), clock=LoopClock(), options=ManagerOptions(cluster=name)) for name in names]
    with pytest.raises(ValueError, match=r"another ManagerOptions\.cluster; there are 'a'"):
        await run_managers(managers)


def test_the_name_of_a_cluster_can_be_part_of_a_path():
    with pytest.raises(ValueError, match="cluster='a/b'"):
        ManagerOptions(cluster="a/b")


class Nothing:
    """A transport that is not used."""

    @asynccontextmanager
    async def send(self, request, *, stream=False, timeout_seconds=None):
        raise AssertionError(request.path)
        yield

    async def aclose(self) -> None:
        """Nothing to close."""
