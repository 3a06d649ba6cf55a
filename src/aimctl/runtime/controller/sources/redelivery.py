"""Repeats the mapping of events for which the handler raised.

Contract:
    * A failed event is mapped again after a second, then with pauses that double up to five minutes, until it succeeds.
      An error that disappears therefore loses no request.
    * If more than ``_MAX_EVENTS`` events have failed, the oldest ones are replaced by a resync: every object of the
      informer is mapped again.

Invariant: at most one timer is set, and none while no event has failed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar, final

import structlog

from aimctl.runtime.controller.events import Updated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aimctl.kubetypes import Object
    from aimctl.runtime.controller.events import ObjectEvent

__all__ = ["Redelivery"]

T = TypeVar("T")

_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 300.0
_MAX_EVENTS = 10_000
_SLICE = 500
"""Events mapped between two yields to the event loop."""


@final
class Redelivery(Generic[T]):
    """The failed events of one source.

    Args:
        deliver: maps an event; False if the handler raised again.
        objects: the objects of the informer, for a resync.
    """

    __slots__ = ("_deliver", "_events", "_objects", "_overflow", "_pause", "_round", "_timer")

    def __init__(
        self, deliver: Callable[[ObjectEvent[T]], bool], objects: Callable[[], Iterable[Object[T]]]
    ) -> None:
        self._deliver = deliver
        self._objects = objects
        self._events: deque[ObjectEvent[T]] = deque(maxlen=_MAX_EVENTS)
        self._overflow = False
        self._round: deque[ObjectEvent[T]] = deque()
        """The events of the current round that have not been repeated yet."""
        self._pause = _FIRST_SECONDS
        self._timer: asyncio.TimerHandle | None = None

    def add(self, event: ObjectEvent[T]) -> None:
        """Keep an event for which the handler raised."""
        self._overflow = self._overflow or len(self._events) == _MAX_EVENTS
        self._events.append(event)
        if self._timer is None:
            self._schedule(self._pause)

    def stop(self) -> None:
        """Forget all events. Events that are added afterwards are repeated as at first."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pause = _FIRST_SECONDS
        self._overflow = False
        self._events.clear()
        self._round.clear()

    def _schedule(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._repeat)

    def _repeat(self) -> None:
        if not self._round:
            self._round.extend(self._events)
            self._events.clear()
            if self._overflow:
                self._overflow = False
                self._round.extend(Updated(obj, obj) for obj in self._objects())
        for _ in range(min(_SLICE, len(self._round))):
            event = self._round.popleft()
            if not self._deliver(event):
                self._overflow = self._overflow or len(self._events) == _MAX_EVENTS
                self._events.append(event)
        self._timer = None
        if self._round:
            self._schedule(0.0)
        elif self._events:
            self._pause = min(_LONGEST_SECONDS, self._pause * 2)
            self._schedule(self._pause)
            structlog.get_logger(__name__).warning(
                "events still cannot be mapped to requests", events=len(self._events), retry_in=self._pause
            )
        else:
            self._pause = _FIRST_SECONDS
