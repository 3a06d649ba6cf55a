"""Owner references on the embedded cluster, in virtual time."""

import msgspec
import pytest

from aimctl.devcluster import DevCluster
from aimctl.runtime.kube.builtin import CONFIG_MAPS, CRDS, NAMESPACES, PVCS, SERVICE_ACCOUNTS
from aimctl.runtime.kube.errors import NotFound
from aimctl.runtime.kube.objects import Resource
from aimctl.testing.virtualtime import virtual_clock, virtual_time

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


async def make(client, resource, name, *owners, namespace="default", blocks=None, **metadata):
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


async def there(client, resource, name, namespace="default"):
    try:
        return await client.get(resource, name, namespace if resource.namespaced else "")
    except NotFound:
        return None


@virtual_time
async def test_a_tree_goes_with_its_root():
    async with cluster_of() as cluster:
        client = cluster.client()
        root = await make(client, GLOBALS, "root")
        middle = await make(client, THINGS, "middle", root)
        await make(client, CONFIG_MAPS, "leaf", middle)
        await cluster.settled()
        await client.delete(GLOBALS, "root")
        await cluster.settled()
        assert await there(client, THINGS, "middle") is None
        assert await there(client, CONFIG_MAPS, "leaf") is None


@virtual_time
async def test_the_last_owner_takes_the_dependent_and_one_before_only_its_reference():
    async with cluster_of() as cluster:
        client = cluster.client()
        one, two = await make(client, THINGS, "one"), await make(client, THINGS, "two")
        await make(client, CONFIG_MAPS, "shared", one, two)
        await client.delete(THINGS, "one", "default")
        await cluster.settled()
        shared = await there(client, CONFIG_MAPS, "shared")
        assert [owner.name for owner in shared.meta.owners] == ["two"]
        await client.delete(THINGS, "two", "default")
        await cluster.settled()
        assert await there(client, CONFIG_MAPS, "shared") is None


@virtual_time
async def test_an_owner_made_anew_under_its_name_is_another():
    async with cluster_of() as cluster:
        client = cluster.client()
        first = await make(client, THINGS, "owner")
        await client.delete(THINGS, "owner", "default")
        await make(client, THINGS, "owner")
        await make(client, CONFIG_MAPS, "dependent", first)
        await cluster.settled()
        assert await there(client, CONFIG_MAPS, "dependent") is None


@virtual_time
async def test_a_namespaced_owner_in_another_namespace_does_not_count():
    async with cluster_of() as cluster:
        client = cluster.client()
        owner = await make(client, THINGS, "owner", namespace="kube-system")
        await make(client, CONFIG_MAPS, "dependent", owner)
        await cluster.settled()
        assert await there(client, CONFIG_MAPS, "dependent") is None
        assert await there(client, THINGS, "owner", "kube-system") is not None


@virtual_time
async def test_a_cluster_scoped_object_with_a_namespaced_owner_is_left_alone():
    async with cluster_of() as cluster:
        client = cluster.client()
        owner = await make(client, THINGS, "owner")
        await make(client, GLOBALS, "dependent", owner)
        await client.delete(THINGS, "owner", "default")
        await cluster.settled()
        # what the graph saw go counts as gone, but the reference never counted
        assert await there(client, GLOBALS, "dependent") is not None


@virtual_time
async def test_an_owner_of_an_unknown_kind_leaves_the_dependent_alone():
    async with cluster_of() as cluster:
        client = cluster.client()
        reference = {"apiVersion": "nowhere.org/v1", "kind": "Lost", "name": "x", "uid": "u"}
        await make(client, CONFIG_MAPS, "dependent", ownerReferences=[reference])
        await cluster.settled()
        assert await there(client, CONFIG_MAPS, "dependent") is not None


@pytest.mark.parametrize(("blocks", "waits"), [(True, True), (False, False), (None, False)])
def test_foreground_deletion_waits_for_the_dependents_that_block(blocks, waits):
    @virtual_time
    async def scenario():
        async with cluster_of() as cluster:
            client = cluster.client()
            owner = await make(client, THINGS, "owner")
            await make(client, CONFIG_MAPS, "held", owner, blocks=blocks, finalizers=["example.org/hold"])
            await cluster.settled()
            await client.delete(THINGS, "owner", "default", propagation="Foreground")
            await cluster.settled()
            assert (await there(client, THINGS, "owner") is not None) is waits
            held = await there(client, CONFIG_MAPS, "held")
            assert held.meta.deleting
            await client.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, "default")
            await cluster.settled()
            assert await there(client, CONFIG_MAPS, "held") is None
            assert await there(client, THINGS, "owner") is None

    scenario()


@virtual_time
async def test_foreground_deletion_goes_down_the_tree_first():
    async with cluster_of() as cluster:
        client = cluster.client()
        root = await make(client, GLOBALS, "root")
        middle = await make(client, THINGS, "middle", root, blocks=True)
        await make(client, CONFIG_MAPS, "leaf", middle, blocks=True, finalizers=["example.org/hold"])
        await cluster.settled()
        await client.delete(GLOBALS, "root", propagation="Foreground")
        await cluster.settled()
        assert await there(client, GLOBALS, "root") is not None
        assert await there(client, THINGS, "middle") is not None
        await client.patch(CONFIG_MAPS, "leaf", {"metadata": {"finalizers": None}}, "default")
        await cluster.settled()
        assert await there(client, GLOBALS, "root") is None


@virtual_time
async def test_a_circle_of_owners_can_be_deleted_in_the_foreground():
    async with cluster_of() as cluster:
        client = cluster.client()
        one = await make(client, THINGS, "one")
        two = await make(client, THINGS, "two", one, blocks=True)
        reference = {"apiVersion": "example.org/v1", "kind": "Thing", "name": "two", "uid": two.meta.uid}
        patch = {"metadata": {"ownerReferences": [{**reference, "blockOwnerDeletion": True}]}}
        await client.patch(THINGS, "one", patch, "default")
        await cluster.settled()
        await client.delete(THINGS, "one", "default", propagation="Foreground")
        await cluster.settled()
        assert await there(client, THINGS, "one") is None
        assert await there(client, THINGS, "two") is None


@virtual_time
async def test_orphaning_takes_the_references_off():
    async with cluster_of() as cluster:
        client = cluster.client()
        owner = await make(client, THINGS, "owner")
        await make(client, CONFIG_MAPS, "dependent", owner)
        await cluster.settled()
        await client.delete(THINGS, "owner", "default", propagation="Orphan")
        await cluster.settled()
        assert await there(client, THINGS, "owner") is None
        assert (await there(client, CONFIG_MAPS, "dependent")).meta.owners == ()


@virtual_time
async def test_dependents_of_a_kind_made_later_are_collected_and_go_with_their_owners_kind():
    async with DevCluster(clock=virtual_clock(), crds=[]) as cluster:
        client = cluster.client()
        await cluster.install([crd(THINGS)])
        owner = await make(client, THINGS, "owner")
        await make(client, CONFIG_MAPS, "dependent", owner)
        await cluster.settled()
        await client.delete(CRDS, "things.example.org")
        await cluster.settled()
        assert await there(client, CONFIG_MAPS, "dependent") is None


@virtual_time
async def test_a_namespace_goes_with_all_in_it_and_others_keep_their_accounts():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
        )
        await make(client, THINGS, "owner", namespace="team")
        await cluster.settled()
        assert await there(client, SERVICE_ACCOUNTS, "default", "team") is not None
        await client.delete(SERVICE_ACCOUNTS, "default", "team")
        await cluster.settled()
        assert await there(client, SERVICE_ACCOUNTS, "default", "team") is not None
        await client.delete(NAMESPACES, "team")
        await cluster.settled()
        assert await there(client, NAMESPACES, "team") is None


def claim(name, **spec):
    requests = {"requests": {"storage": "5Gi"}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": requests, **spec},
    }


@virtual_time
async def test_claims_are_bound_by_their_class_or_the_default_one_and_wait_for_a_missing_one():
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
        from aimctl.devcluster.volumes import STORAGE_CLASSES

        odd = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "odd"}}
        await client.create(STORAGE_CLASSES, {**odd, "provisioner": "x"})
        await cluster.settled(horizon_seconds=10)
        bound = msgspec.json.decode((await client.get(PVCS, "odd", "default")).raw, type=dict)
        assert bound["status"]["phase"] == "Bound"
