"""The graph of owner references, and the garbage collector's decisions. No I/O.

Contract, as in Kubernetes:
    * A dependent is kept while one of its owners exists: an object with the uid of the reference, in the namespace of
      the dependent or cluster-scoped. An object with the same name and another uid is not the owner.
    * An owner that waits for its dependents (finalizer ``foregroundDeletion``) does not keep them.
    * If some owners exist, only the references to the others are removed.

Invariant: :class:`OwnerGraph` has an object, by uid, from its first event to its deletion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aimctl.kubetypes import ObjectKey, ObjectMeta, OwnerReference, Resource

__all__ = ["FOREGROUND", "ORPHAN", "Decision", "Item", "OwnerGraph", "OwnerState", "decide"]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"

OwnerState = Literal["solid", "waiting", "absent"]
Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class Item:
    """An object as input of the decisions."""

    resource: Resource[Any]
    key: ObjectKey
    meta: ObjectMeta

    @property
    def uid(self) -> str:
        """The object's uid."""
        return self.meta.uid

    @property
    def in_foreground_deletion(self) -> bool:
        """Whether it waits until its dependents are deleted."""
        return self.meta.deleting and FOREGROUND in (self.meta.finalizers or ())

    @property
    def in_orphaning(self) -> bool:
        """Whether it waits until its dependents have no reference to it."""
        return self.meta.deleting and ORPHAN in (self.meta.finalizers or ())


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a dependent; nothing by default.

    Attributes:
        keep: the owner references that stay; the others are removed.
        delete: delete it with this propagation policy.
        unblock: clear ``blockOwnerDeletion`` of its dependents, because they form a cycle of foreground deletions.
    """

    keep: tuple[OwnerReference, ...] | None = None
    delete: Propagation | None = None
    unblock: bool = False


def decide(  # noqa: PLR0911 - one return for each row of the table
    owners: Sequence[OwnerReference],
    state: Callable[[OwnerReference], OwnerState],
    *,
    finalizers: Sequence[str] = (),
    has_dependents: bool = False,
    cycle: bool = False,
) -> Decision:
    """Decide about an object that is not being deleted.

    Args:
        owners: its owner references.
        state: the state of each owner.
        finalizers: those of the object, which select how it is deleted.
        has_dependents: whether other objects reference it as owner.
        cycle: whether one of those is in foreground deletion.
    """
    if not owners:
        return Decision()
    states = [(owner, state(owner)) for owner in owners]
    solid = tuple(owner for owner, is_ in states if is_ == "solid")
    if len(solid) == len(owners):
        return Decision()
    if solid:
        return Decision(keep=solid)
    if has_dependents and any(is_ == "waiting" for _, is_ in states):
        return Decision(delete="Foreground", unblock=cycle)
    if ORPHAN in finalizers:
        return Decision(delete="Orphan")
    if FOREGROUND in finalizers:
        return Decision(delete="Foreground")
    return Decision(delete="Background")


@final
class OwnerGraph:
    """All objects by uid, and the dependents of each owner's uid, whether the owner is known or not."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._dependents: dict[str, dict[str, None]] = {}

    def put(self, item: Item) -> None:
        """Add or update an object."""
        old = self._items.get(item.uid)
        if old is not None:
            self._unlink(old)
        self._items[item.uid] = item
        for owner in item.meta.owners:
            self._dependents.setdefault(owner.uid, {})[item.uid] = None

    def remove(self, uid: str) -> Item | None:
        """Remove an object and return its last state."""
        item = self._items.pop(uid, None)
        if item is not None:
            self._unlink(item)
        return item

    def get(self, uid: str) -> Item | None:
        """The object with this uid."""
        return self._items.get(uid)

    def dependents(self, uid: str) -> list[Item]:
        """The objects that reference this uid as owner, in the order they were added."""
        return [self._items[dependent] for dependent in self._dependents.get(uid, ())]

    def blocking(self, uid: str) -> list[Item]:
        """Those dependents whose reference has ``blockOwnerDeletion``."""
        return [
            item
            for item in self.dependents(uid)
            if any(owner.uid == uid and owner.block_owner_deletion for owner in item.meta.owners)
        ]

    def state(self, dependent: Item, owner: OwnerReference) -> OwnerState | None:
        """The state of an owner; None if the graph has no such object in the dependent's namespace or cluster-wide."""
        item = self._items.get(owner.uid)
        if item is None or item.key.namespace not in {"", dependent.key.namespace}:
            return None
        return "waiting" if item.in_foreground_deletion else "solid"

    def in_cycle(self, item: Item) -> bool:
        """Whether a dependent of this object is itself in foreground deletion."""
        return any(other.in_foreground_deletion for other in self.dependents(item.uid))

    def _unlink(self, item: Item) -> None:
        for owner in item.meta.owners:
            known = self._dependents.get(owner.uid)
            if known is not None:
                known.pop(item.uid, None)
                if not known:
                    del self._dependents[owner.uid]
