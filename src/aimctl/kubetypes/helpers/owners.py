"""Owner references of objects that a reconciler creates. Pure.

The garbage collector deletes an object after the last of its owners. An object has at most one controller: the owner
that manages it, and whose controller is notified of its changes.

Two references are to the same object if their uids are equal, or their groups, kinds and names. The second rule is that
of controllerutil in controller-runtime: an owner that was created again replaces the reference to the earlier one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.kubetypes.errors import AlreadyOwned, InvalidOwner
from aimctl.kubetypes.helpers.bodies import to_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.kubetypes.helpers.bodies import Body
    from aimctl.kubetypes.objects import Object

__all__ = [
    "append_owner_reference",
    "owner_reference",
    "remove_owner_reference",
    "set_controller_reference",
]


def owner_reference(
    owner: Object[Any], *, controller: bool = True, block_deletion: bool = True
) -> dict[str, Any]:
    """An owner reference as JSON.

    Args:
        owner: the owner. The garbage collector deletes the dependent after the last of its owners.
        controller: whether the owner is the controller of the dependent; an object has at most one.
        block_deletion: whether a foreground deletion of the owner waits for the dependent.
    """
    return {
        "apiVersion": owner.resource.api_version,
        "kind": owner.resource.kind,
        "name": owner.meta.name,
        "uid": owner.meta.uid,
        "controller": controller,
        "blockOwnerDeletion": block_deletion,
    }


def set_controller_reference(
    owner: Object[Any], dependent: Body, *, block_deletion: bool = True
) -> dict[str, Any]:
    """The body of ``dependent`` with ``owner`` as its controller.

    An existing reference to the owner is replaced. The namespace of the dependent must be in its metadata.

    Raises:
        AlreadyOwned: another object is its controller.
        InvalidOwner: the owner has no uid, or a namespaced owner has another namespace than the dependent.
    """
    body = to_body(dependent)
    mine = owner_reference(owner, block_deletion=block_deletion)
    _check_owner(owner, body)
    for other in _references(body):
        if other.get("controller") and not _same_object(other, mine):
            raise AlreadyOwned(
                f"{_shown(body)}: metadata.ownerReferences has the controller"
                f" {other.get('kind')} {other.get('name')!r} (uid {other.get('uid')}), so {owner.resource.kind}"
                f" {owner.meta.name!r} cannot be its controller; use another name for the object, or"
                " append_owner_reference for a second owner"
            )
    return _with_reference(body, mine)


def append_owner_reference(
    owner: Object[Any], dependent: Body, *, block_deletion: bool = False
) -> dict[str, Any]:
    """The body of ``dependent`` with ``owner`` as one of its owners, but not its controller.

    An existing reference to the owner is replaced; if the owner is the controller, it remains that.

    Raises:
        InvalidOwner: the owner has no uid, or a namespaced owner has another namespace than the dependent.
    """
    body = to_body(dependent)
    _check_owner(owner, body)
    mine = owner_reference(owner, controller=False, block_deletion=block_deletion)
    mine["controller"] = any(
        bool(known.get("controller")) for known in _references(body) if _same_object(known, mine)
    )
    return _with_reference(body, mine)


def remove_owner_reference(owner: Object[Any], dependent: Body) -> dict[str, Any]:
    """The body of ``dependent`` without references to ``owner``; unchanged if it has none."""
    body = to_body(dependent)
    known = _references(body)
    mine = owner_reference(owner)
    others = [one for one in known if not _same_object(one, mine)]
    if len(others) == len(known):
        return body
    return {**body, "metadata": {**body["metadata"], "ownerReferences": others}}


def _check_owner(owner: Object[Any], body: Mapping[str, Any]) -> None:
    """Reject an owner that the garbage collector would not find: it deletes such a dependent."""
    shown = f"{owner.resource.kind} {owner.meta.name!r}"
    if not owner.meta.uid:
        raise InvalidOwner(
            f"{shown}: metadata.uid is empty, so it cannot be an owner; pass an object that was read from the server"
        )
    mine = owner.meta.namespace
    theirs = (body.get("metadata") or {}).get("namespace") or ""
    if not mine or mine == theirs:
        return
    if not theirs:
        raise InvalidOwner(
            f"{_shown(body)}: metadata.namespace is empty, and a cluster-scoped object cannot have the namespaced owner"
            f" {shown}; set metadata.namespace to {mine!r} if the kind is namespaced"
        )
    raise InvalidOwner(
        f"{_shown(body)}: metadata.namespace is {theirs!r}, but its owner {shown} is in {mine!r}; owners are in the"
        " same namespace, or cluster-scoped"
    )


def _references(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return (body.get("metadata") or {}).get("ownerReferences") or []


def _with_reference(body: dict[str, Any], mine: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the references to the same object, in place of the first of them, or append one."""
    references: list[Mapping[str, Any]] = []
    for one in _references(body):
        if not _same_object(one, mine):
            references.append(one)
        elif mine not in references:
            references.append(mine)
    if mine not in references:
        references.append(mine)
    return {**body, "metadata": {**(body.get("metadata") or {}), "ownerReferences": references}}


def _same_object(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.get("uid") == other.get("uid") or _named(one) == _named(other)


def _named(reference: Mapping[str, Any]) -> tuple[Any, ...]:
    group = (reference.get("apiVersion") or "").rpartition("/")[0]
    return group, reference.get("kind"), reference.get("name")


def _shown(body: Mapping[str, Any]) -> str:
    metadata = body.get("metadata") or {}
    name = metadata.get("name") or metadata.get("generateName") or ""
    return f"{body.get('kind') or 'object'} {name!r}"
