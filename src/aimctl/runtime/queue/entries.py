"""The pending items of a work queue, and the rule for positions that no longer refer to one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Entry", "mostly_stale"]

K = TypeVar("K", bound="Hashable")

_COMPACT_ABOVE = 64


@final
class Entry(Generic[K]):
    """A pending item.

    Attributes:
        item: the item.
        priority: the highest with which it was added.
        due: when it may be returned, in monotonic seconds.
        rank: its position among the ready items.
        place: its number among the ready or the waiting items.
        label: the priority label under which it counts in the depth; None until it is due.
    """

    __slots__ = ("due", "item", "label", "place", "priority", "rank")

    def __init__(self, item: K, priority: int, due: float) -> None:
        self.item: K = item
        self.priority: int = priority
        self.due: float = due
        self.rank: float = math.inf
        self.place: int = -1
        self.label: str | None = None


def mostly_stale(positions: int, live: int) -> bool:
    """Whether most of these positions are stale, and more than 64: then the heap that has them is rebuilt."""
    stale = positions - live
    return stale > _COMPACT_ABOVE and stale > live
