"""The operator of kopf's tutorial, docs/examples/ephemeral_volume_claim.py."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from aimctl.devcluster import DevCluster
from aimctl.runtime import PVCS, Manager, NotFound
from aimctl.testing import virtual_clock, virtual_time
from support.examples import EXAMPLES, example

evc = example("ephemeral_volume_claim")

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "ephemeralvolumeclaims.kopf.dev"},
    "spec": {
        "group": "kopf.dev",
        "scope": "Namespaced",
        "names": {
            "kind": "EphemeralVolumeClaim",
            "listKind": "EphemeralVolumeClaimList",
            "plural": "ephemeralvolumeclaims",
            "singular": "ephemeralvolumeclaim",
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {"size": {"type": "string"}},
                            },
                            "status": {"type": "object", "properties": {"pvcName": {"type": "string"}}},
                        },
                    }
                },
            }
        ],
    },
}


@asynccontextmanager
async def running():
    async with DevCluster(clock=virtual_clock(), crds=[CRD]) as cluster, asyncio.TaskGroup() as tasks:
        manager, stop = Manager(cluster.transport(), clock=cluster.clock), asyncio.Event()
        evc.add_claims(manager)
        tasks.create_task(manager.run(stop))
        yield cluster
        stop.set()


def claim(size: str = "1Gi", **labels: str):
    return {"metadata": {"name": "a", "labels": labels}, "spec": {"size": size}}


@virtual_time
async def test_a_claim_gets_a_volume_claim_of_its_size_with_its_labels():
    async with running() as cluster:
        client = cluster.client()
        await client.create(evc.EVCS, claim("1Gi", app="x"), "default")
        await asyncio.sleep(1)
        pvc = await client.get(PVCS, "a", "default")
        assert pvc.view.spec.resources.requests == {"storage": "1Gi"}
        assert dict(pvc.meta.labels) == {"app": "x"}
        assert (await client.get(evc.EVCS, "a", "default")).view["status"] == {"pvcName": "a"}


@virtual_time
async def test_changes_of_size_and_labels_reach_the_volume_claim():
    async with running() as cluster:
        client = cluster.client()
        await client.create(evc.EVCS, claim("1Gi", app="x", tier="a"), "default")
        await asyncio.sleep(1)
        change = {"metadata": {"labels": {"app": "y", "tier": None}}, "spec": {"size": "2Gi"}}
        await client.patch(evc.EVCS, "a", change, "default")
        await asyncio.sleep(1)
        pvc = await client.get(PVCS, "a", "default")
        assert pvc.view.spec.resources.requests == {"storage": "2Gi"}
        assert dict(pvc.meta.labels) == {"app": "y"}


@virtual_time
async def test_the_volume_claim_is_restored_and_is_deleted_with_its_owner():
    async with running() as cluster:
        client = cluster.client()
        await client.create(evc.EVCS, claim(), "default")
        await asyncio.sleep(1)
        await client.delete(PVCS, "a", "default")
        await asyncio.sleep(5)
        assert (await client.get(PVCS, "a", "default")).meta.deleting is False
        await client.delete(evc.EVCS, "a", "default")
        await asyncio.sleep(10)
        with pytest.raises(NotFound):
            await client.get(PVCS, "a", "default")


@virtual_time
async def test_a_settled_cluster_does_not_change():
    async with running() as cluster:
        await cluster.client().create(evc.EVCS, claim(), "default")
        await asyncio.sleep(60)
        before = cluster.server.storage.version
        await asyncio.sleep(3600)
        assert cluster.server.storage.version == before


@pytest.mark.parametrize(("name", "most"), [("hello_reconciler", 25), ("ephemeral_volume_claim", 30)])
def test_an_example_is_short(name, most):
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= most
    assert max(len(line) for line in text.splitlines()) <= 100
