"""Components of one manager that declare the same kind in different ways."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from prometheus_client import generate_latest

from aimctl import kubetypes
from aimctl.controllers.operator import OperatorOptions, add_controllers
from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import Answer, Match
from aimctl.kubetypes import builtin
from aimctl.runtime import (
    CONFIG_MAPS,
    JOBS,
    NODES,
    PODS,
    PVCS,
    STORAGE_CLASSES,
    ClashingDeclaration,
    EnqueueMapped,
    Manager,
    Request,
    Resource,
    UndeclaredKind,
    Watch,
    k8s,
    owner_reference,
)
from aimctl.testing import virtual_clock, virtual_time
from support.aim_cluster import aim_cluster


@asynccontextmanager
async def running(manager: Manager):
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(manager.run(stop))
        await manager.elected.wait()
        yield
        stop.set()


def config(name: str, **labels: str):
    return {"metadata": {"name": name, "labels": labels}, "data": {"key": "value"}}


@virtual_time
async def test_each_scope_reads_what_it_declared_and_writes_reach_all_of_them():
    async with DevCluster(clock=virtual_clock(), crds=[]) as cluster:
        manager = Manager(cluster.transport(), clock=cluster.clock)
        narrow, wide = manager.scope("narrow"), manager.scope("wide")
        narrow.cache.declare(CONFIG_MAPS, label_selector="team=a", projection="metadata")
        wide.cache.declare(CONFIG_MAPS)
        async with running(manager):
            await manager.client.create(CONFIG_MAPS, config("a", team="a"), "default")
            await narrow.client.create(CONFIG_MAPS, config("b", team="b"), "default")
            assert [one.meta.name for one in narrow.cache.list(CONFIG_MAPS, "default")] == ["a"]
            assert {one.meta.name for one in wide.cache.list(CONFIG_MAPS, "default")} >= {"a", "b"}
            assert wide.cache.get(CONFIG_MAPS, "a", "default").view.data == {"key": "value"}
            await wide.client.delete(CONFIG_MAPS, "a", "default")
            for scope in (narrow, wide):
                assert scope.cache.get(CONFIG_MAPS, "a", "default") is None
            with pytest.raises(UndeclaredKind):
                manager.cache.get(CONFIG_MAPS, "b", "default")


@virtual_time
async def test_equal_declarations_of_two_scopes_share_one_informer():
    async with DevCluster(clock=virtual_clock(), crds=[]) as cluster:
        manager = Manager(cluster.transport(), clock=cluster.clock)
        first = manager.scope("first").cache.declare(CONFIG_MAPS, label_selector="a")
        second = manager.scope("second").cache.declare(
            CONFIG_MAPS, label_selector="a", indexes={"name": lambda obj: [obj.meta.name]}
        )
        assert first is second
        assert "name" in first.store.indexes


@virtual_time
async def test_indexes_of_the_same_name_with_different_functions_do_not_mix():
    async with DevCluster(clock=virtual_clock(), crds=[]) as cluster:
        manager = Manager(cluster.transport(), clock=cluster.clock)
        names, namespaces = manager.scope("names").cache, manager.scope("namespaces").cache
        names.declare(CONFIG_MAPS, indexes={"by": lambda obj: [obj.meta.name]})
        namespaces.declare(CONFIG_MAPS, indexes={"by": lambda obj: [obj.meta.namespace]})
        async with running(manager):
            await manager.client.create(CONFIG_MAPS, config("a"), "default")
            assert [one.meta.name for one in names.by_index(CONFIG_MAPS, "by", "a")] == ["a"]
            assert not namespaces.by_index(CONFIG_MAPS, "by", "a")


def test_two_declarations_in_one_scope_clash_and_the_message_names_the_remedy():
    manager = Manager(DevCluster(clock=virtual_clock()).transport(), clock=virtual_clock())
    manager.cache.declare(CONFIG_MAPS, label_selector="a")
    with pytest.raises(ClashingDeclaration, match=r"manager\.scope\(name\)"):
        manager.cache.declare(CONFIG_MAPS)


@virtual_time
async def test_informers_of_one_kind_have_different_names_in_metrics_and_readiness():
    async with DevCluster(clock=virtual_clock(), crds=[]) as cluster:
        manager = Manager(cluster.transport(), clock=cluster.clock)
        manager.cache.declare(CONFIG_MAPS)
        manager.scope("other").cache.declare(CONFIG_MAPS, projection="metadata")
        async with running(manager):
            text = generate_latest(manager.metrics.registry).decode()
        assert 'cache_synced{name="configmaps"} 1.0' in text
        assert 'cache_synced{name="configmaps (other)"} 1.0' in text


@virtual_time
async def test_a_scope_owns_jobs_and_watches_full_nodes_while_the_operator_runs():
    cluster, _ = aim_cluster(clock=virtual_clock())
    async with cluster:
        manager = Manager(cluster.transport(), clock=cluster.clock)
        add_controllers(manager, OperatorOptions())
        reconciled: list[Request] = []

        async def reconcile(request: Request) -> None:
            reconciled.append(request)

        nodes = manager.cache.declare(NODES)
        jobs = manager.cache.declare(JOBS)
        for_nodes = Watch(nodes, EnqueueMapped(lambda node: [Request("node", node.meta.name)]))
        manager.controller("mine", reconcile, for_=CONFIG_MAPS, owns=[JOBS], sources=[for_nodes])
        async with running(manager):
            client = manager.client
            node = {"metadata": {"name": "n"}, "spec": {"unschedulable": True}}
            await client.create(NODES, node)
            owner = await client.create(CONFIG_MAPS, config("a"), "default")
            await asyncio.sleep(5)
            assert nodes.store.get(Request("", "n")).view.spec.unschedulable is True
            reconciled.clear()
            body = {
                "metadata": {"name": "j", "ownerReferences": [owner_reference(owner)]},
                "spec": {
                    "template": {
                        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
                    }
                },
            }
            await client.create(JOBS, body, "default")
            await asyncio.sleep(5)
            assert Request("default", "a") in reconciled
            assert jobs.store.get(Request("default", "j")) is not None


@pytest.mark.parametrize(
    "kind", [JOBS, PODS, PVCS, NODES, STORAGE_CLASSES], ids=lambda resource: resource.kind
)
def test_every_kind_that_the_operator_restricts_can_be_owned_in_full(kind):
    manager = Manager(DevCluster(clock=virtual_clock()).transport(), clock=virtual_clock())
    add_controllers(manager, OperatorOptions())

    async def reconcile(request: Request) -> None: ...

    manager.controller("mine", reconcile, for_=CONFIG_MAPS, owns=[kind])
    declared = manager.cache.informer(kind).declaration
    assert (declared.label_selector, declared.projection, declared.namespaces) == ("", "full", ())


# ---- memory


@virtual_time
async def test_informers_of_one_kind_share_the_objects_that_both_select():
    async with DevCluster(clock=virtual_clock(), crds=[], controllers=False) as cluster:
        client = cluster.client()
        for name in "ab":
            await client.create(CONFIG_MAPS, config(name, team="a"), "default")
        await client.create(CONFIG_MAPS, config("c", team="c"), "default")
        manager = Manager(cluster.transport(), clock=cluster.clock)
        wide, narrow, late = (manager.scope(name).cache for name in ("wide", "narrow", "late"))
        wide.declare(CONFIG_MAPS)
        narrow.declare(CONFIG_MAPS, label_selector="team=a")
        async with running(manager):
            await asyncio.sleep(1)
            late.declare(CONFIG_MAPS, namespaces=["default"])
            await asyncio.sleep(1)
            for change in ({}, {"data": {"key": "other"}}):
                if change:
                    await client.patch(CONFIG_MAPS, "a", change, "default")
                    await asyncio.sleep(1)
                objects = [cache.get(CONFIG_MAPS, "a", "default") for cache in (wide, narrow, late)]
                assert objects[0] is objects[1] is objects[2]
                assert objects[0].view is objects[1].view, "it is decoded once"
                assert objects[0].view.data == {"key": "other" if change else "value"}
            assert wide.get(CONFIG_MAPS, "c", "default") is late.get(CONFIG_MAPS, "c", "default")
            assert narrow.get(CONFIG_MAPS, "c", "default") is None
            await client.delete(CONFIG_MAPS, "b", "default")
            await client.patch(CONFIG_MAPS, "a", {"metadata": {"labels": {"team": "b"}}}, "default")
            await asyncio.sleep(1)
            assert narrow.list(CONFIG_MAPS) == []
            assert wide.get(CONFIG_MAPS, "a", "default") is not None
            assert wide.get(CONFIG_MAPS, "b", "default") is None


@virtual_time
async def test_objects_of_other_projections_or_views_are_not_shared():
    async with DevCluster(clock=virtual_clock(), crds=[], controllers=False) as cluster:
        await cluster.client().create(CONFIG_MAPS, config("a"), "default")
        manager = Manager(cluster.transport(), clock=cluster.clock)
        full, metadata, untyped = (manager.scope(name).cache for name in ("full", "metadata", "untyped"))
        mappings = Resource.untyped("", "v1", "ConfigMap", "configmaps")
        full.declare(CONFIG_MAPS)
        metadata.declare(CONFIG_MAPS, projection="metadata")
        untyped.declare(mappings)
        async with running(manager):
            await asyncio.sleep(1)
            assert full.get(CONFIG_MAPS, "a", "default").view.data == {"key": "value"}
            assert untyped.get(mappings, "a", "default").view["data"] == {"key": "value"}
            assert b"value" not in metadata.get(CONFIG_MAPS, "a", "default").raw


@virtual_time
async def test_full_and_narrow_views_of_a_kind_do_not_mix():
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    async with DevCluster(clock=virtual_clock(), crds=[], controllers=False) as cluster:
        manager = Manager(cluster.transport(), clock=cluster.clock)
        full, narrow = manager.scope("full"), manager.scope("narrow")
        full.cache.declare(PODS)
        narrow.cache.declare(builtin.PODS)

        def types() -> list[type]:
            pods = (
                full.cache.get(PODS, "p", "default"),
                narrow.cache.get(builtin.PODS, "p", "default"),
                full.cache.get(builtin.PODS, "p", "default"),
            )
            assert {pod.view.spec.containers[0].image for pod in pods} == {"i"}
            return [type(pod.view) for pod in pods]

        async with running(manager):
            await narrow.client.create(builtin.PODS, body, "default")
            assert types() == [k8s.Pod, kubetypes.Pod, k8s.Pod]
            await full.client.patch(PODS, "p", {"metadata": {"labels": {"a": "b"}}}, "default")
            assert types() == [k8s.Pod, kubetypes.Pod, k8s.Pod]
            await asyncio.sleep(10)
            assert types() == [k8s.Pod, kubetypes.Pod, k8s.Pod]


@virtual_time
async def test_a_kind_that_only_one_scope_cannot_list_does_not_affect_the_other():
    """Informers of one kind share objects, but no requests."""
    async with DevCluster(clock=virtual_clock(), crds=[], controllers=False) as cluster:
        await cluster.client().create(CONFIG_MAPS, config("a", team="a"), "default")
        manager = Manager(cluster.transport(), clock=cluster.clock)
        wide, narrow = manager.scope("wide").cache, manager.scope("narrow").cache
        everything = wide.declare(CONFIG_MAPS)
        narrow.declare(CONFIG_MAPS, namespaces=["default"])
        cluster.faults.add(Answer(403), Match(verb="list", path="/api/v1/configmaps"))
        async with running(manager):
            await asyncio.sleep(5)
            assert narrow.get(CONFIG_MAPS, "a", "default") is not None
            assert not everything.synced
