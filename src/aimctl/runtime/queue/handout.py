"""What a queue gives out: items to work on, its end, and a picture of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Handout", "QueueShutDown", "QueueSnapshot"]

K = TypeVar("K", bound="Hashable")


class QueueShutDown(Exception):  # noqa: N818 - named for what happened
    """The queue is shut down and has nothing left to hand out: the worker should end."""


class Handout(NamedTuple, Generic[K]):
    """An item to work on, and the highest priority it was asked for since its last hand-out."""

    item: K
    priority: int


@dataclass(frozen=True, slots=True)
class QueueSnapshot(Generic[K]):
    """What the debug page shows; a copy of one moment. Items come in the order they will be handed out.

    Attributes:
        name: the queue's name.
        ready: item, priority, seconds since it became due.
        waiting: item, priority, seconds until it is due.
        processing: item, seconds since its hand-out, whether it is wanted again.
        shutting_down: whether adds are ignored.
    """

    name: str
    ready: tuple[tuple[K, int, float], ...]
    waiting: tuple[tuple[K, int, float], ...]
    processing: tuple[tuple[K, float, bool], ...]
    shutting_down: bool
