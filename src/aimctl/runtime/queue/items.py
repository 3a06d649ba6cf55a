"""The results of a work queue: items, the shutdown error, and snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["QueueItem", "QueueShutDown", "QueueSnapshot"]

K = TypeVar("K", bound="Hashable")


class QueueShutDown(Exception):  # noqa: N818 - client-go calls this state "shut down"
    """The queue is shut down and empty: the worker should end."""


class QueueItem(NamedTuple, Generic[K]):
    """An item to process, and the highest priority with which it was added since it was last returned."""

    item: K
    priority: int


@dataclass(frozen=True, slots=True)
class QueueSnapshot(Generic[K]):
    """A copy of the state of a queue, for the debug page. Items are in processing order.

    Attributes:
        name: of the queue.
        ready: item, priority, seconds since it became due.
        waiting: item, priority, seconds until it is due.
        processing: item, seconds since it was returned by ``get``, whether it has been added again.
        shutting_down: whether adds are ignored.
    """

    name: str
    ready: tuple[tuple[K, int, float], ...]
    waiting: tuple[tuple[K, int, float], ...]
    processing: tuple[tuple[K, float, bool], ...]
    shutting_down: bool
