"""The default namespaces of a manager apply to every kind that is declared without namespaces."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import Delay, Match
from aimctl.kubetypes.builtin import CONFIG_MAPS, JOBS, NAMESPACES, PVCS, SECRETS, STORAGE_CLASSES
from aimctl.runtime import (
    EnqueueMapped,
    EnqueueObject,
    Manager,
    ManagerOptions,
    Request,
    UnwatchedNamespace,
    Watch,
    owner_reference,
)
from aimctl.testing import virtual_clock, virtual_time
from support.reconciling import Scripted


@asynccontextmanager
async def cluster_and_manager(*namespaces: str):
    """A cluster with the namespaces a, b and c, a manager for ``namespaces``, and the paths of its lists and watches."""
    async with DevCluster(clock=virtual_clock(), crds=[], controllers=False) as cluster:
        for name in "abc":
            await cluster.client().create(NAMESPACES, {"metadata": {"name": name}})
        paths: set[str] = set()

        def record(info) -> bool:
            if info.verb in {"list", "watch"}:
                paths.add(info.path)
            return False

        cluster.faults.add(Delay(0), Match(predicate=record))
        yield (
            cluster.client(),
            Manager(cluster.transport(), clock=cluster.clock, options=ManagerOptions(namespaces=namespaces)),
            paths,
        )


@asynccontextmanager
async def running(manager: Manager):
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(manager.run(stop))
        await manager.elected.wait()
        yield
        stop.set()


def named(name: str, **metadata):
    return {"metadata": {"name": name, **metadata}}


@virtual_time
async def test_every_source_sees_only_the_default_namespaces_and_nothing_else_is_requested():
    """Checklist 90: the default applies to every namespaced kind; cluster-scoped kinds are not affected."""
    async with cluster_and_manager("a", "b") as (client, manager, paths):
        reconciler = Scripted()
        secrets = manager.cache.declare(SECRETS)
        classes = manager.scope("other").cache.declare(STORAGE_CLASSES)
        mapped = EnqueueMapped(lambda secret: [Request(secret.meta.namespace, "mapped")])
        manager.controller(
            "maps",
            reconciler,
            for_=CONFIG_MAPS,
            owns=[JOBS],
            sources=[Watch(secrets, mapped), Watch(classes, EnqueueObject())],
            reads=[PVCS],
        )
        async with running(manager):
            for namespace in "abc":
                owner = await client.create(CONFIG_MAPS, named("owner"), namespace)
                await client.create(SECRETS, named("secret"), namespace)
                await client.create(PVCS, claim("claim"), namespace)
                await asyncio.sleep(1)
                reconciler.runs.clear()
                await client.create(JOBS, job("job", owner), namespace)
                await asyncio.sleep(1)
                expected = [] if namespace == "c" else [Request(namespace, "owner")]
                assert reconciler.runs == expected
            await client.create(STORAGE_CLASSES, {**named("fast"), "provisioner": "example.org/disk"})
            for kind, name in ((CONFIG_MAPS, "owner"), (SECRETS, "secret"), (PVCS, "claim"), (JOBS, "job")):
                assert {one.meta.namespace for one in manager.cache.list(kind)} == {"a", "b"}
                with pytest.raises(UnwatchedNamespace, match="'c'"):
                    manager.cache.get(kind, name, "c")
            await asyncio.sleep(1)
            assert Request("", "fast") in reconciler.runs
        assert paths == {
            *(f"/api/v1/namespaces/{one}/{kind}" for one in "ab" for kind in ("configmaps", "secrets")),
            *(f"/api/v1/namespaces/{one}/persistentvolumeclaims" for one in "ab"),
            *(f"/apis/batch/v1/namespaces/{one}/jobs" for one in "ab"),
            "/apis/storage.k8s.io/v1/storageclasses",
        }


@virtual_time
async def test_a_declaration_can_name_other_namespaces_or_all():
    """Checklist 90: a declaration precedes the default; an empty one means all namespaces."""
    async with cluster_and_manager("a") as (client, manager, _):
        reconciler = Scripted()
        manager.cache.declare(SECRETS, namespaces=["c"])
        everywhere = manager.cache.declare(CONFIG_MAPS, namespaces=())
        manager.controller("maps", reconciler, for_=everywhere, owns=[SECRETS])
        async with running(manager):
            for namespace in "abc":
                await client.create(CONFIG_MAPS, named("map"), namespace)
                await client.create(SECRETS, named("secret"), namespace)
            await asyncio.sleep(1)
            assert {one.namespace for one in reconciler.runs if one.name == "map"} == {"a", "b", "c"}
            assert [one.meta.namespace for one in manager.cache.list(SECRETS)] == ["c"]


@virtual_time
async def test_a_kind_declared_while_the_manager_runs_has_the_default_namespaces():
    async with cluster_and_manager("a") as (client, manager, paths):
        for namespace in "ab":
            await client.create(SECRETS, named("secret"), namespace)
        async with running(manager):
            reconciler = Scripted()
            manager.scope("late").controller("late", reconciler, for_=SECRETS)
            await asyncio.sleep(5)
            assert Request("a", "secret") in reconciler.runs
            assert {one.namespace for one in reconciler.runs} == {"a"}
        assert paths == {"/api/v1/namespaces/a/secrets"}


def job(name: str, owner):
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    return {**named(name, ownerReferences=[owner_reference(owner)]), "spec": {"template": template}}


def claim(name: str):
    requests = {"requests": {"storage": "1Gi"}}
    return {**named(name), "spec": {"accessModes": ["ReadWriteOnce"], "resources": requests}}
