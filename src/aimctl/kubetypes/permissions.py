"""Permissions: what a component does with which resource, declared next to the component.

A module that reads or writes objects has a constant ``PERMISSIONS``, a tuple of :class:`Permission`. The RBAC rules of
a program are the union over its modules, so a new component brings its rules with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from aimctl.kubetypes.objects import Resource

__all__ = ["Permission", "observes", "owns", "writes_status"]

_NO_VERBS = frozenset({"read", "write", "edit", "apply", "post", "put", "remove", "all"})
"""Words that are often mistaken for verbs. Server-side apply needs ``patch``. APIs may have verbs of their own."""

_WITHOUT_NAMES = frozenset({"create", "list", "watch", "deletecollection"})


@final
@dataclass(frozen=True, slots=True)
class Permission:
    """Verbs on one resource, and the reason why they are needed.

    Attributes:
        resource: kind of the objects. If it is namespaced, the verbs are needed in every watched namespace.
        verbs: as in RBAC rules, such as ``list``.
        reason: why, as a clause without a full stop; a comment of the generated rule.
        subresource: ``status``, ``log`` and the like; empty for the objects themselves.
        names: of the objects, if these are known; empty for all. RBAC cannot restrict ``create``, ``list``, ``watch``
            and ``deletecollection`` to names.
    """

    resource: Resource[Any]
    verbs: tuple[str, ...]
    reason: str
    subresource: str = ""
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError with the value and the rule if the verbs are not valid."""
        named = f"verbs={self.verbs!r} of a Permission on {self.resource.group_resource}"
        verbs: object = self.verbs  # a text in place of a tuple is a frequent mistake
        if isinstance(verbs, str) or not verbs:
            raise ValueError(f"{named}: use a tuple of verbs, such as ('list', 'watch')")
        wrong = [verb for verb in self.verbs if verb in _NO_VERBS or not verb.islower()]
        if wrong:
            raise ValueError(
                f"{named}: {wrong[0]!r} is not a verb of RBAC: use get, list, watch, create, update, patch, delete or"
                " deletecollection"
            )
        unnamed = sorted(_WITHOUT_NAMES.intersection(self.verbs)) if self.names else []
        if unnamed:
            raise ValueError(
                f"{named}: RBAC cannot restrict {unnamed[0]!r} to names={self.names!r}: use a Permission of its own"
            )


def observes(*resources: Resource[Any], reason: str) -> tuple[Permission, ...]:
    """Return what an informer of each resource needs: list and watch.

    Declared kinds imply these permissions, so only kinds that are read without a declaration need them.

    Args:
        resources: the kinds.
        reason: as in :class:`Permission`.
    """
    return tuple(Permission(resource, ("list", "watch"), reason) for resource in resources)


def writes_status(*resources: Resource[Any]) -> tuple[Permission, ...]:
    """Return what a writer of the status of each resource needs: ``get``, and ``patch`` of the status."""
    return tuple(
        permission
        for resource in resources
        for permission in (
            Permission(resource, ("get",), "read the latest state after a conflict"),
            Permission(resource, ("patch",), "write the status by server-side apply", "status"),
        )
    )


def owns(*owners: Resource[Any]) -> tuple[Permission, ...]:
    """Return what is needed to create objects with a blocking owner reference to each resource.

    It is ``update`` of the subresource ``finalizers``, which only clusters with the admission plugin
    OwnerReferencesPermissionEnforcement check.
    """
    reason = (
        "set blockOwnerDeletion where the admission plugin OwnerReferencesPermissionEnforcement is enabled"
    )
    return tuple(Permission(owner, ("update",), reason, "finalizers") for owner in owners)
