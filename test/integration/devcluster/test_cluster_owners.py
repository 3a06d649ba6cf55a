"""Owner references on the embedded cluster, in virtual time."""

from dataclasses import dataclass

import msgspec
import pytest

from aimctl.devcluster import DevCluster
from aimctl.kubetypes import Resource
from aimctl.kubetypes.builtin import CONFIG_MAPS, CRDS, NAMESPACES, PVCS, SERVICE_ACCOUNTS
from aimctl.runtime.kube.client import Client
from aimctl.runtime.kube.errors import NotFound
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.owner_cases import OWNER_CASES

THINGS = Resource.untyped("example.org", "v1", "Thing", "things")
GLOBALS = Resource.untyped("example.org", "v1", "Global", "globals", namespaced=False)


def crd(resource):
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = {"plural": resource.plural, "singular": resource.kind.lower(), "kind": resource.kind}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.example.org"},
        "spec": {
            "group": "example.org",
            "names": names,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [version],
        },
    }


def cluster_of(**options):
    return DevCluster(clock=virtual_clock(), crds=[crd(THINGS), crd(GLOBALS)], **options)


async def create(client, resource, name, *owners, namespace="default", blocks=None, **metadata):
    references = [
        {
            "apiVersion": owner.resource.api_version,
            "kind": owner.resource.kind,
            "name": owner.meta.name,
            "uid": owner.meta.uid,
            **({} if blocks is None else {"blockOwnerDeletion": blocks}),
        }
        for owner in owners
    ]
    body = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, **({"ownerReferences": references} if references else {}), **metadata},
    }
    return await client.create(resource, body, namespace if resource.namespaced else "")


async def find(client, resource, name, namespace="default"):
    try:
        return await client.get(resource, name, namespace if resource.namespaced else "")
    except NotFound:
        return None


@dataclass
class _World:
    cluster: DevCluster
    client: Client
    namespace: str = "default"
    other: str = "kube-system"

    async def becomes(self, check):
        await self.cluster.settled()
        assert await check()

    stays = becomes


@pytest.mark.parametrize("case", OWNER_CASES, ids=lambda case: case.__name__)
def test_the_embedded_garbage_collector_behaves_like_the_real_one(case):
    @virtual_time
    async def scenario():
        async with cluster_of() as cluster:
            await case(_World(cluster, cluster.client()))

    scenario()


@virtual_time
async def test_dependents_of_a_kind_created_later_are_collected():
    async with DevCluster(clock=virtual_clock()) as cluster:
        client = cluster.client()
        await cluster.install_crds([crd(THINGS)])
        owner = await create(client, THINGS, "owner")
        await create(client, CONFIG_MAPS, "dependent", owner)
        await cluster.settled()
        await client.delete(CRDS, "things.example.org")
        await cluster.settled()
        assert await find(client, CONFIG_MAPS, "dependent") is None


@virtual_time
async def test_a_namespace_is_deleted_with_its_objects_and_others_keep_their_accounts():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
        )
        await create(client, THINGS, "owner", namespace="team")
        await cluster.settled()
        assert await find(client, SERVICE_ACCOUNTS, "default", "team") is not None
        await client.delete(SERVICE_ACCOUNTS, "default", "team")
        await cluster.settled()
        assert await find(client, SERVICE_ACCOUNTS, "default", "team") is not None
        await client.delete(NAMESPACES, "team")
        await cluster.settled()
        assert await find(client, NAMESPACES, "team") is None


def claim(name, **spec):
    requests = {"requests": {"storage": "5Gi"}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": requests, **spec},
    }


@virtual_time
async def test_claims_are_bound_by_their_class_or_the_default_and_wait_for_a_missing_class():
    async with cluster_of(provision_seconds=3.0) as cluster:
        client = cluster.client()
        await client.create(PVCS, claim("usual"), "default")
        await client.create(PVCS, claim("odd", storageClassName="odd"), "default")
        await cluster.settled(horizon_seconds=10)
        bodies = {
            item.meta.name: msgspec.json.decode(item.raw, type=dict)
            for item in (await client.list(PVCS, "default")).items
        }
        assert bodies["usual"]["status"]["phase"] == "Bound"
        assert bodies["usual"]["status"]["capacity"] == {"storage": "5Gi"}
        assert bodies["usual"]["spec"]["storageClassName"] == "standard"
        assert bodies["odd"]["status"]["phase"] == "Pending"
        from aimctl.devcluster.controllers.volumes import STORAGE_CLASSES

        odd = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "odd"}}
        await client.create(STORAGE_CLASSES, {**odd, "provisioner": "x"})
        await cluster.settled(horizon_seconds=10)
        bound = msgspec.json.decode((await client.get(PVCS, "odd", "default")).raw, type=dict)
        assert bound["status"]["phase"] == "Bound"
