"""Test cases for owner references, which run against the embedded cluster and against a real one.

Each case is a function that takes an :class:`OwnerCaseWorld`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aimctl.kubetypes import Object, Resource
from aimctl.kubetypes.builtin import CONFIG_MAPS
from aimctl.runtime.kube.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aimctl.runtime.kube.client import Client

__all__ = ["OWNER_CASES", "OwnerCaseWorld"]

CLUSTER_ROLES = Resource.untyped(
    "rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False
)
HOLD = "example.org/hold"


class OwnerCaseWorld(Protocol):
    """The cluster of a case: two namespaces. Names of cluster-scoped objects end with the first one's name."""

    client: Client
    namespace: str
    other: str

    async def becomes(self, check: Callable[[], Awaitable[bool]]) -> None:
        """Wait until the check is true."""

    async def stays(self, check: Callable[[], Awaitable[bool]]) -> None:
        """Wait until the controllers have had time to act, then assert the check."""


async def create(
    world: OwnerCaseWorld,
    name: str,
    *owners: Object[Any],
    resource: Resource[Any] = CONFIG_MAPS,
    namespace: str = "",
    blocks: bool | None = None,
    **metadata: Any,
) -> Object[Any]:
    references = [reference(owner, blocks=blocks) for owner in owners]
    body: dict[str, Any] = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, **({"ownerReferences": references} if references else {}), **metadata},
    }
    where = (namespace or world.namespace) if resource.namespaced else ""
    return await world.client.create(resource, body, where)


def reference(owner: Object[Any], *, blocks: bool | None = None) -> dict[str, Any]:
    return {
        "apiVersion": owner.resource.api_version,
        "kind": owner.resource.kind,
        "name": owner.meta.name,
        "uid": owner.meta.uid,
        **({} if blocks is None else {"blockOwnerDeletion": blocks}),
    }


async def find(
    world: OwnerCaseWorld, name: str, resource: Resource[Any] = CONFIG_MAPS, namespace: str = ""
) -> Object[Any] | None:
    try:
        where = (namespace or world.namespace) if resource.namespaced else ""
        return await world.client.get(resource, name, where)
    except NotFound:
        return None


def absent(
    world: OwnerCaseWorld, *names: str, resource: Resource[Any] = CONFIG_MAPS
) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return all([await find(world, name, resource) is None for name in names])

    return check


def present(
    world: OwnerCaseWorld, *names: str, resource: Resource[Any] = CONFIG_MAPS
) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return all([await find(world, name, resource) is not None for name in names])

    return check


async def deleting_a_cluster_scoped_root_deletes_the_tree(world: OwnerCaseWorld) -> None:
    root = await create(world, f"root-{world.namespace}", resource=CLUSTER_ROLES)
    middle = await create(world, "middle", root)
    await create(world, "leaf", middle)
    await world.client.delete(CLUSTER_ROLES, root.meta.name)
    await world.becomes(absent(world, "middle", "leaf"))


async def dependent_is_deleted_with_its_last_owner(world: OwnerCaseWorld) -> None:
    one, two = await create(world, "one"), await create(world, "two")
    await create(world, "shared", one, two)
    await world.client.delete(CONFIG_MAPS, "one", world.namespace)

    async def only_the_second_owner() -> bool:
        shared = await find(world, "shared")
        return shared is not None and [owner.name for owner in shared.meta.owners] == ["two"]

    await world.becomes(only_the_second_owner)
    await world.client.delete(CONFIG_MAPS, "two", world.namespace)
    await world.becomes(absent(world, "shared"))


async def dependent_is_deleted_when_all_owners_are_deleted_together(world: OwnerCaseWorld) -> None:
    names = ("one", "two", "three")
    owners = [await create(world, name) for name in names]
    await create(world, "shared", *owners)
    await world.stays(present(world, "shared"))
    for name in names:
        await world.client.delete(CONFIG_MAPS, name, world.namespace)
    await world.becomes(absent(world, "shared"))


async def missing_owner_is_removed_beside_an_existing_one(world: OwnerCaseWorld) -> None:
    missing, one = await create(world, "gone"), await create(world, "one")
    await world.client.delete(CONFIG_MAPS, "gone", world.namespace)
    await create(world, "shared", missing, one)

    async def only_the_existing_owner() -> bool:
        shared = await find(world, "shared")
        return shared is not None and [owner.name for owner in shared.meta.owners] == ["one"]

    await world.becomes(only_the_existing_owner)
    # The same holds for a reference that is added by an update.
    patch = {"metadata": {"ownerReferences": [reference(one), reference(missing)]}}
    await world.client.patch(CONFIG_MAPS, "shared", patch, world.namespace)
    await world.becomes(only_the_existing_owner)


async def object_whose_owner_references_were_removed_is_kept(world: OwnerCaseWorld) -> None:
    one = await create(world, "one")
    await create(world, "free", one)
    await world.stays(present(world, "free"))
    await world.client.patch(CONFIG_MAPS, "free", {"metadata": {"ownerReferences": None}}, world.namespace)
    await world.client.delete(CONFIG_MAPS, "one", world.namespace)
    await world.becomes(absent(world, "one"))
    await world.stays(present(world, "free"))


async def owner_added_to_a_deleting_object_does_not_block_it(world: OwnerCaseWorld) -> None:
    one, two = await create(world, "one"), await create(world, "two")
    await create(world, "going", one, finalizers=[HOLD])
    await world.client.delete(CONFIG_MAPS, "going", world.namespace)
    patch = {"metadata": {"ownerReferences": [reference(one, blocks=False), reference(two, blocks=False)]}}
    await world.client.patch(CONFIG_MAPS, "going", patch, world.namespace)
    await world.stays(present(world, "going"))
    await world.client.patch(CONFIG_MAPS, "going", {"metadata": {"finalizers": None}}, world.namespace)
    await world.becomes(absent(world, "going"))
    await world.stays(present(world, "one", "two"))


async def recreated_owner_does_not_own_the_dependents_of_the_first(world: OwnerCaseWorld) -> None:
    first = await create(world, "owner")
    await world.client.delete(CONFIG_MAPS, "owner", world.namespace)
    await create(world, "owner")
    await create(world, "dependent", first)
    await world.becomes(absent(world, "dependent"))
    await world.stays(present(world, "owner"))


async def owner_in_another_namespace_is_treated_as_missing(world: OwnerCaseWorld) -> None:
    owner = await create(world, "owner", namespace=world.other)
    await create(world, "dependent", owner)
    await world.becomes(absent(world, "dependent"))


async def namespaced_owner_of_a_cluster_scoped_object_is_ignored(world: OwnerCaseWorld) -> None:
    owner = await create(world, "owner")
    name = f"dependent-{world.namespace}"
    await create(world, name, owner, resource=CLUSTER_ROLES)
    await world.client.delete(CONFIG_MAPS, "owner", world.namespace)
    await world.stays(present(world, name, resource=CLUSTER_ROLES))
    await world.client.delete(CLUSTER_ROLES, name)


async def dependent_of_an_unknown_kind_is_kept(world: OwnerCaseWorld) -> None:
    lost = {"apiVersion": "nowhere.org/v1", "kind": "Lost", "name": "x", "uid": "0b0e"}
    await create(world, "dependent", ownerReferences=[lost])
    await world.stays(present(world, "dependent"))


async def foreground_deletion_waits_for_blocking_dependents(world: OwnerCaseWorld) -> None:
    owner = await create(world, "owner")
    await create(world, "held", owner, blocks=True, finalizers=[HOLD])
    await world.stays(present(world, "held"))
    await world.client.delete(CONFIG_MAPS, "owner", world.namespace, propagation="Foreground")

    async def held_is_deleting() -> bool:
        held = await find(world, "held")
        return held is not None and held.meta.deleting

    await world.becomes(held_is_deleting)
    await world.stays(present(world, "owner"))
    await world.client.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, world.namespace)
    await world.becomes(absent(world, "held", "owner"))


async def foreground_deletion_ignores_dependents_that_do_not_block(world: OwnerCaseWorld) -> None:
    owner = await create(world, "owner")
    await create(world, "free", owner, finalizers=[HOLD])
    await world.stays(present(world, "free"))
    await world.client.delete(CONFIG_MAPS, "owner", world.namespace, propagation="Foreground")
    await world.becomes(absent(world, "owner"))
    await world.client.patch(CONFIG_MAPS, "free", {"metadata": {"finalizers": None}}, world.namespace)
    await world.becomes(absent(world, "free"))


async def foreground_deletion_deletes_the_leaves_first(world: OwnerCaseWorld) -> None:
    root = await create(world, "root")
    middle = await create(world, "middle", root, blocks=True)
    await create(world, "leaf", middle, blocks=True, finalizers=[HOLD])
    await world.stays(present(world, "leaf"))
    await world.client.delete(CONFIG_MAPS, "root", world.namespace, propagation="Foreground")
    await world.stays(present(world, "root", "middle", "leaf"))
    await world.client.patch(CONFIG_MAPS, "leaf", {"metadata": {"finalizers": None}}, world.namespace)
    await world.becomes(absent(world, "root", "middle", "leaf"))


async def cycle_can_be_deleted_in_the_foreground(world: OwnerCaseWorld) -> None:
    one = await create(world, "one")
    two = await create(world, "two", one, blocks=True)
    patch = {"metadata": {"ownerReferences": [reference(two, blocks=True)]}}
    await world.client.patch(CONFIG_MAPS, "one", patch, world.namespace)
    await world.stays(present(world, "one", "two"))
    await world.client.delete(CONFIG_MAPS, "one", world.namespace, propagation="Foreground")
    await world.becomes(absent(world, "one", "two"))


async def orphaning_removes_the_owner_references(world: OwnerCaseWorld) -> None:
    owner = await create(world, "owner")
    await create(world, "dependent", owner)
    await world.stays(present(world, "dependent"))
    await world.client.delete(CONFIG_MAPS, "owner", world.namespace, propagation="Orphan")

    async def free() -> bool:
        dependent = await find(world, "dependent")
        return dependent is not None and not dependent.meta.owners and await find(world, "owner") is None

    await world.becomes(free)
    await world.stays(present(world, "dependent"))


OWNER_CASES = (
    deleting_a_cluster_scoped_root_deletes_the_tree,
    dependent_is_deleted_with_its_last_owner,
    dependent_is_deleted_when_all_owners_are_deleted_together,
    missing_owner_is_removed_beside_an_existing_one,
    object_whose_owner_references_were_removed_is_kept,
    owner_added_to_a_deleting_object_does_not_block_it,
    recreated_owner_does_not_own_the_dependents_of_the_first,
    owner_in_another_namespace_is_treated_as_missing,
    namespaced_owner_of_a_cluster_scoped_object_is_ignored,
    dependent_of_an_unknown_kind_is_kept,
    foreground_deletion_waits_for_blocking_dependents,
    foreground_deletion_ignores_dependents_that_do_not_block,
    foreground_deletion_deletes_the_leaves_first,
    cycle_can_be_deleted_in_the_foreground,
    orphaning_removes_the_owner_references,
)
