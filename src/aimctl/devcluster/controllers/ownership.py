"""Who owns whom, and what becomes of a dependent: the garbage collector's decisions, without I/O.

Contract (Kubernetes' garbage collector):
    * A dependent lives as long as one of its owners does. An owner exists when an object of that uid does,
      in the dependent's namespace or cluster-wide; the same name with another uid is somebody else.
    * An owner that waits for its dependents (finalizer ``foregroundDeletion``) holds none of them alive.
    * When some owners are left, only the references to the others are taken off.

Invariant: :class:`OwnerGraph` knows an object from its first event to its deletion, by uid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aimctl.kubetypes import ObjectKey, ObjectMeta, OwnerReference, Resource

__all__ = ["FOREGROUND", "ORPHAN", "Fate", "Item", "OwnerGraph", "OwnerState", "judge"]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"

OwnerState = Literal["solid", "waiting", "absent"]
Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class Item:
    """An object as the collector sees it."""

    resource: Resource[Any]
    key: ObjectKey
    meta: ObjectMeta

    @property
    def uid(self) -> str:
        """The object's uid."""
        return self.meta.uid

    @property
    def in_foreground_deletion(self) -> bool:
        """Whether it waits for its dependents to go."""
        return self.meta.deleting and FOREGROUND in (self.meta.finalizers or ())

    @property
    def in_orphaning(self) -> bool:
        """Whether it waits for its dependents to be let go."""
        return self.meta.deleting and ORPHAN in (self.meta.finalizers or ())


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a dependent.

    ``keep`` and ``delete`` None: nothing to do. ``keep``: the references that stay, the others go.
    ``delete``: how to delete it. ``unblock``: its dependents may no longer block it (a circle of foreground
    deletions).
    """

    keep: tuple[OwnerReference, ...] | None = None
    delete: Propagation | None = None
    unblock: bool = False


def judge(  # noqa: PLR0911 - a table, one row each
    owners: Sequence[OwnerReference],
    state: Callable[[OwnerReference], OwnerState],
    *,
    finalizers: Sequence[str] = (),
    has_dependents: bool = False,
    circle: bool = False,
) -> Fate:
    """Decide about an object that is not being deleted.

    Args:
        owners: its owner references.
        state: what is known of each owner.
        finalizers: the object's own; they choose how it is deleted.
        has_dependents: whether others name it as their owner.
        circle: whether one of those is itself in foreground deletion.
    """
    if not owners:
        return Fate()
    states = [(owner, state(owner)) for owner in owners]
    solid = tuple(owner for owner, is_ in states if is_ == "solid")
    if len(solid) == len(owners):
        return Fate()
    if solid:
        return Fate(keep=solid)
    if has_dependents and any(is_ == "waiting" for _, is_ in states):
        return Fate(delete="Foreground", unblock=circle)
    if ORPHAN in finalizers:
        return Fate(delete="Orphan")
    if FOREGROUND in finalizers:
        return Fate(delete="Foreground")
    return Fate(delete="Background")


@final
class OwnerGraph:
    """All objects by uid, and the dependents of each owner's uid, also of owners not seen yet."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._dependents: dict[str, dict[str, None]] = {}

    def put(self, item: Item) -> None:
        """Add an object, or take in its new state."""
        old = self._items.get(item.uid)
        if old is not None:
            self._unlink(old)
        self._items[item.uid] = item
        for owner in item.meta.owners:
            self._dependents.setdefault(owner.uid, {})[item.uid] = None

    def remove(self, uid: str) -> Item | None:
        """Forget an object; gives what was known of it."""
        item = self._items.pop(uid, None)
        if item is not None:
            self._unlink(item)
        return item

    def get(self, uid: str) -> Item | None:
        """The object of a uid."""
        return self._items.get(uid)

    def dependents(self, uid: str) -> list[Item]:
        """The objects that name this uid as an owner, in the order they came."""
        return [self._items[dependent] for dependent in self._dependents.get(uid, ())]

    def blocking(self, uid: str) -> list[Item]:
        """Those dependents whose reference has ``blockOwnerDeletion``."""
        return [
            item
            for item in self.dependents(uid)
            if any(owner.uid == uid and owner.block_owner_deletion for owner in item.meta.owners)
        ]

    def state(self, dependent: Item, owner: OwnerReference) -> OwnerState | None:
        """What the graph knows of an owner; None when it has not seen that uid where the dependent may
        look.
        """
        item = self._items.get(owner.uid)
        if item is None or item.key.namespace not in {"", dependent.key.namespace}:
            return None
        return "waiting" if item.in_foreground_deletion else "solid"

    def in_circle(self, item: Item) -> bool:
        """Whether a dependent of this object is itself in foreground deletion."""
        return any(other.in_foreground_deletion for other in self.dependents(item.uid))

    def _unlink(self, item: Item) -> None:
        for owner in item.meta.owners:
            known = self._dependents.get(owner.uid)
            if known is not None:
                known.pop(item.uid, None)
                if not known:
                    del self._dependents[owner.uid]
