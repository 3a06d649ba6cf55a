"""Owner references of objects that a reconciler creates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aimctl.kubetypes.objects import Object

__all__ = ["owner_reference"]


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
