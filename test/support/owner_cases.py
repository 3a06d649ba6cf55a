"""What owner references do, as stories that run on the embedded cluster and on a real one alike.

A story gets a :class:`World`; :meth:`World.becomes` waits for something, :meth:`World.stays` makes sure of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aimctl.kubetypes import Object, Resource
from aimctl.kubetypes.builtin import CONFIG_MAPS
from aimctl.runtime.kube.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aimctl.runtime.kube.client import Client

__all__ = ["STORIES", "World"]

CLUSTER_ROLES = Resource.untyped(
    "rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False
)
HOLD = "example.org/hold"


class World(Protocol):
    """Where a story plays: two namespaces and a prefix for names of cluster-scoped objects."""

    client: Client
    namespace: str
    other: str

    async def becomes(self, check: Callable[[], Awaitable[bool]]) -> None: ...

    async def stays(self, check: Callable[[], Awaitable[bool]]) -> None: ...


async def make(
    world: World,
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


async def there(
    world: World, name: str, resource: Resource[Any] = CONFIG_MAPS, namespace: str = ""
) -> Object[Any] | None:
    try:
        where = (namespace or world.namespace) if resource.namespaced else ""
        return await world.client.get(resource, name, where)
    except NotFound:
        return None


def gone(world: World, *names: str, resource: Resource[Any] = CONFIG_MAPS) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return all([await there(world, name, resource) is None for name in names])

    return check


def present(
    world: World, *names: str, resource: Resource[Any] = CONFIG_MAPS
) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return all([await there(world, name, resource) is not None for name in names])

    return check


async def a_tree_goes_with_its_cluster_scoped_root(world: World) -> None:
    root = await make(world, f"root-{world.namespace}", resource=CLUSTER_ROLES)
    middle = await make(world, "middle", root)
    await make(world, "leaf", middle)
    await world.client.delete(CLUSTER_ROLES, root.meta.name)
    await world.becomes(gone(world, "middle", "leaf"))


async def the_last_owner_takes_the_dependent(world: World) -> None:
    one, two = await make(world, "one"), await make(world, "two")
    await make(world, "shared", one, two)
    await world.client.delete(CONFIG_MAPS, "one", world.namespace)

    async def one_owner_left() -> bool:
        shared = await there(world, "shared")
        return shared is not None and [owner.name for owner in shared.meta.owners] == ["two"]

    await world.becomes(one_owner_left)
    await world.client.delete(CONFIG_MAPS, "two", world.namespace)
    await world.becomes(gone(world, "shared"))


async def owners_that_go_in_one_instant_take_the_dependent(world: World) -> None:
    names = ("one", "two", "three")
    owners = [await make(world, name) for name in names]
    await make(world, "shared", *owners)
    await world.stays(present(world, "shared"))
    for name in names:
        await world.client.delete(CONFIG_MAPS, name, world.namespace)
    await world.becomes(gone(world, "shared"))


async def an_owner_that_is_gone_already_is_taken_off_beside_one_that_is_there(world: World) -> None:
    gone_one, one = await make(world, "gone"), await make(world, "one")
    await world.client.delete(CONFIG_MAPS, "gone", world.namespace)
    await make(world, "shared", gone_one, one)

    async def only_the_living_one() -> bool:
        shared = await there(world, "shared")
        return shared is not None and [owner.name for owner in shared.meta.owners] == ["one"]

    await world.becomes(only_the_living_one)
    # Added later it fares no better.
    patch = {"metadata": {"ownerReferences": [reference(one), reference(gone_one)]}}
    await world.client.patch(CONFIG_MAPS, "shared", patch, world.namespace)
    await world.becomes(only_the_living_one)


async def a_dependent_that_nobody_owns_any_more_stays(world: World) -> None:
    one = await make(world, "one")
    await make(world, "free", one)
    await world.stays(present(world, "free"))
    await world.client.patch(CONFIG_MAPS, "free", {"metadata": {"ownerReferences": None}}, world.namespace)
    await world.client.delete(CONFIG_MAPS, "one", world.namespace)
    await world.becomes(gone(world, "one"))
    await world.stays(present(world, "free"))


async def an_owner_added_to_an_object_that_is_being_deleted_does_not_hold_it(world: World) -> None:
    one, two = await make(world, "one"), await make(world, "two")
    await make(world, "going", one, finalizers=[HOLD])
    await world.client.delete(CONFIG_MAPS, "going", world.namespace)
    patch = {"metadata": {"ownerReferences": [reference(one, blocks=False), reference(two, blocks=False)]}}
    await world.client.patch(CONFIG_MAPS, "going", patch, world.namespace)
    await world.stays(present(world, "going"))
    await world.client.patch(CONFIG_MAPS, "going", {"metadata": {"finalizers": None}}, world.namespace)
    await world.becomes(gone(world, "going"))
    await world.stays(present(world, "one", "two"))


async def an_owner_made_anew_is_another(world: World) -> None:
    first = await make(world, "owner")
    await world.client.delete(CONFIG_MAPS, "owner", world.namespace)
    await make(world, "owner")
    await make(world, "dependent", first)
    await world.becomes(gone(world, "dependent"))
    await world.stays(present(world, "owner"))


async def an_owner_in_another_namespace_does_not_count(world: World) -> None:
    owner = await make(world, "owner", namespace=world.other)
    await make(world, "dependent", owner)
    await world.becomes(gone(world, "dependent"))


async def a_namespaced_owner_of_a_cluster_scoped_object_is_ignored(world: World) -> None:
    owner = await make(world, "owner")
    name = f"dependent-{world.namespace}"
    await make(world, name, owner, resource=CLUSTER_ROLES)
    await world.client.delete(CONFIG_MAPS, "owner", world.namespace)
    await world.stays(present(world, name, resource=CLUSTER_ROLES))
    await world.client.delete(CLUSTER_ROLES, name)


async def an_owner_of_an_unknown_kind_leaves_the_dependent_alone(world: World) -> None:
    lost = {"apiVersion": "nowhere.org/v1", "kind": "Lost", "name": "x", "uid": "0b0e"}
    await make(world, "dependent", ownerReferences=[lost])
    await world.stays(present(world, "dependent"))


async def foreground_deletion_waits_for_those_that_block(world: World) -> None:
    owner = await make(world, "owner")
    await make(world, "held", owner, blocks=True, finalizers=[HOLD])
    await world.stays(present(world, "held"))
    await world.client.delete(CONFIG_MAPS, "owner", world.namespace, propagation="Foreground")

    async def held_goes() -> bool:
        held = await there(world, "held")
        return held is not None and held.meta.deleting

    await world.becomes(held_goes)
    await world.stays(present(world, "owner"))
    await world.client.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, world.namespace)
    await world.becomes(gone(world, "held", "owner"))


async def foreground_deletion_does_not_wait_for_those_that_do_not_block(world: World) -> None:
    owner = await make(world, "owner")
    await make(world, "free", owner, finalizers=[HOLD])
    await world.stays(present(world, "free"))
    await world.client.delete(CONFIG_MAPS, "owner", world.namespace, propagation="Foreground")
    await world.becomes(gone(world, "owner"))
    await world.client.patch(CONFIG_MAPS, "free", {"metadata": {"finalizers": None}}, world.namespace)
    await world.becomes(gone(world, "free"))


async def foreground_deletion_goes_down_the_tree_first(world: World) -> None:
    root = await make(world, "root")
    middle = await make(world, "middle", root, blocks=True)
    await make(world, "leaf", middle, blocks=True, finalizers=[HOLD])
    await world.stays(present(world, "leaf"))
    await world.client.delete(CONFIG_MAPS, "root", world.namespace, propagation="Foreground")
    await world.stays(present(world, "root", "middle", "leaf"))
    await world.client.patch(CONFIG_MAPS, "leaf", {"metadata": {"finalizers": None}}, world.namespace)
    await world.becomes(gone(world, "root", "middle", "leaf"))


async def a_circle_can_be_deleted_in_the_foreground(world: World) -> None:
    one = await make(world, "one")
    two = await make(world, "two", one, blocks=True)
    patch = {"metadata": {"ownerReferences": [reference(two, blocks=True)]}}
    await world.client.patch(CONFIG_MAPS, "one", patch, world.namespace)
    await world.stays(present(world, "one", "two"))
    await world.client.delete(CONFIG_MAPS, "one", world.namespace, propagation="Foreground")
    await world.becomes(gone(world, "one", "two"))


async def orphaning_takes_the_references_off(world: World) -> None:
    owner = await make(world, "owner")
    await make(world, "dependent", owner)
    await world.stays(present(world, "dependent"))
    await world.client.delete(CONFIG_MAPS, "owner", world.namespace, propagation="Orphan")

    async def free() -> bool:
        dependent = await there(world, "dependent")
        return dependent is not None and not dependent.meta.owners and await there(world, "owner") is None

    await world.becomes(free)
    await world.stays(present(world, "dependent"))


STORIES = (
    a_tree_goes_with_its_cluster_scoped_root,
    the_last_owner_takes_the_dependent,
    owners_that_go_in_one_instant_take_the_dependent,
    an_owner_that_is_gone_already_is_taken_off_beside_one_that_is_there,
    a_dependent_that_nobody_owns_any_more_stays,
    an_owner_added_to_an_object_that_is_being_deleted_does_not_hold_it,
    an_owner_made_anew_is_another,
    an_owner_in_another_namespace_does_not_count,
    a_namespaced_owner_of_a_cluster_scoped_object_is_ignored,
    an_owner_of_an_unknown_kind_leaves_the_dependent_alone,
    foreground_deletion_waits_for_those_that_block,
    foreground_deletion_does_not_wait_for_those_that_do_not_block,
    foreground_deletion_goes_down_the_tree_first,
    a_circle_can_be_deleted_in_the_foreground,
    orphaning_takes_the_references_off,
)
