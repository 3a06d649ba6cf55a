"""Add-ons of the embedded cluster, in virtual time."""

import asyncio

import msgspec
import pytest

from aimctl.devcluster import AddOn, Behaviour, DevCluster, Machine, RunResult
from aimctl.devcluster.machinery.controller import run_controller
from aimctl.devcluster.machinery.informer import Informer
from aimctl.devcluster.machinery.worker import Worker
from aimctl.kubetypes.builtin import CONFIG_MAPS, NAMESPACES, NODES, PODS
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.apiserver import crd
from support.devpods import pod_body


class Failing:
    """A program whose containers all fail with this exit code."""

    def __init__(self, exit_code):
        self.exit_code = exit_code

    def behaviour(self, call):
        del call
        return Behaviour(run=lambda _: RunResult(exit_code=self.exit_code))


class Labeller:
    """A controller that labels every ConfigMap."""

    def __init__(self, host):
        self.client = host.internal_client("labeller")
        self.worker = Worker("labeller", self.reconcile, clock=host.clock)
        self.maps = Informer(
            self.client,
            CONFIG_MAPS,
            clock=host.clock,
            project=lambda item: item.meta.labels or {},
            on_change=lambda key, _old, _new: self.worker.add(key),
        )
        self.informers = (self.maps,)

    async def run(self):
        await run_controller(self.worker, self.informers)

    async def reconcile(self, key):
        labels = self.maps.get(key)
        if labels is not None and "seen" not in labels:
            patch = {"metadata": {"labels": {"seen": "yes"}}}
            await self.client.patch(CONFIG_MAPS, key.name, patch, key.namespace)


async def exit_code_of_a_pod(cluster):
    await cluster.client().create(PODS, pod_body(), "default")
    await cluster.settled(horizon_seconds=60)
    pod = msgspec.json.decode((await cluster.client().get(PODS, "pod", "default")).raw)
    return pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]


async def labels_of_a_map(cluster):
    client = cluster.client()
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "default")
    await cluster.settled()
    return (await client.get(CONFIG_MAPS, "a", "default")).meta.labels


@virtual_time
async def test_an_entered_cluster_has_the_contents_of_its_add_ons():
    add_on = AddOn(
        name="test",
        crds=(crd(),),
        namespaces=("team",),
        machines=(Machine("large", resources={"example.com/gpu": "8"}),),
        programs=(Failing(3),),
        controllers=(Labeller,),
    )
    async with DevCluster(clock=virtual_clock(), add_ons=[add_on]) as cluster:
        client = cluster.client()
        assert "widgets.example.com" in {
            kind.crd_name for kind in cluster.server.kinds if kind.crd_name is not None
        }
        assert "team" in {item.meta.name for item in (await client.list(NAMESPACES)).items}
        assert [item.meta.name for item in (await client.list(NODES)).items] == ["large"]
        assert await exit_code_of_a_pod(cluster) == 3
        assert await labels_of_a_map(cluster) == {"seen": "yes"}


@virtual_time
async def test_an_add_on_can_be_installed_in_a_running_cluster_once():
    add_on = AddOn(name="test", namespaces=("team",), machines=(Machine("more"),), controllers=(Labeller,))
    async with DevCluster(clock=virtual_clock()) as cluster:
        await cluster.install(add_on)
        await cluster.install(add_on)
        assert await labels_of_a_map(cluster) == {"seen": "yes"}
        assert [item.meta.name for item in (await cluster.client().list(NODES)).items] == [
            "more",
            "node-0",
            "node-1",
        ]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual_time
async def test_options_take_precedence_over_add_ons_and_earlier_add_ons_over_later_ones():
    first = AddOn(name="first", machines=(Machine("a"),), programs=(Failing(1),))
    second = AddOn(name="second", machines=(Machine("b"),), programs=(Failing(2),))
    async with DevCluster(clock=virtual_clock(), add_ons=[first, second]) as cluster:
        assert [item.meta.name for item in (await cluster.client().list(NODES)).items] == ["a", "b"]
        assert await exit_code_of_a_pod(cluster) == 1
    options = {"programs": [Failing(4)], "machines": [Machine("c")]}
    async with DevCluster(clock=virtual_clock(), add_ons=[first, second], **options) as cluster:
        assert [item.meta.name for item in (await cluster.client().list(NODES)).items] == ["c"]
        assert await exit_code_of_a_pod(cluster) == 4


@virtual_time
async def test_without_programs_every_container_succeeds():
    async with DevCluster(clock=virtual_clock()) as cluster:
        assert await exit_code_of_a_pod(cluster) == 0


@virtual_time
async def test_an_add_on_with_controllers_needs_a_running_cluster_with_controllers():
    add_on = AddOn(name="test", controllers=(Labeller,))
    cluster = DevCluster(clock=virtual_clock(), controllers=False)
    with pytest.raises(RuntimeError, match="add-on 'test' needs a running cluster"):
        await cluster.install(add_on)
    async with cluster:
        with pytest.raises(RuntimeError, match="add-on 'test' has controllers"):
            await cluster.install(add_on)
