"""From changes to handlers, in order.

Contract:
    * Each handler sees every change, in the order in which the store made them. There is no order between
      handlers.
    * A handler that joins late first gets an add, marked initial, for every object there is.
    * A handler that raises loses that one call; it and the others get all that follows.
    * Handlers are plain functions that should only enqueue a key: the watch waits for them.

Invariants:
    * ``_backlog`` holds what the store has and handlers have not; a large list is passed on in slices, so
      the loop is never held for long, and whatever comes meanwhile queues up behind it.
    * All on the loop's thread, and never re-entered: a change made by a handler is told after the current
      one.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, final

import structlog

from aimctl.runtime.cache.merge import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aimctl.kubetypes import Object

__all__ = ["Dispatcher", "EventHandler", "Registration"]

T = TypeVar("T")

_SLICE = 500
"""Changes told between two turns of the event loop; a millisecond or so of handlers that enqueue."""


class EventHandler(Protocol[T]):
    """What happens on events. Called on the loop's thread; must not block, and should only enqueue."""

    def on_add(self, obj: Object[T], *, initial: bool) -> None:
        """An object is there; ``initial``: it was when this handler or the informer began."""
        ...

    def on_update(self, old: Object[T], new: Object[T]) -> None:
        """An object changed; a resync passes the same object twice."""
        ...

    def on_delete(self, obj: Object[T], *, confirmed: bool) -> None:
        """An object is gone; ``obj`` is its last state, or the last known one when ``confirmed`` is False."""
        ...


@final
class Registration:
    """A handler's membership in an informer."""

    __slots__ = ("_remove", "synced")

    def __init__(self, remove: Callable[[Registration], None]) -> None:
        self.synced = asyncio.Event()
        """Set when this handler has had an add for every object of the informer's first list."""
        self._remove = remove

    def remove(self) -> None:
        """Leave: the handler is not called again. May be called twice."""
        self._remove(self)


@final
class Dispatcher(Generic[T]):
    """See the module.

    Args:
        on_error: called for each handler call that raised.
    """

    __slots__ = ("_backlog", "_busy", "_handlers", "_on_error", "_slicing")

    def __init__(self, on_error: Callable[[], None]) -> None:
        self._handlers: dict[Registration, EventHandler[T]] = {}
        self._backlog: deque[Change[T]] = deque()
        self._slicing = 0
        self._busy = False
        self._on_error = on_error

    def add(self, handler: EventHandler[T], present: Callable[[], Iterable[Object[T]]]) -> Registration:
        """Join. ``present`` is asked for what is there once everybody else is up to date.

        Raises:
            RuntimeError: called by a handler while it handles an event.
        """
        if self._busy:
            raise RuntimeError(
                "add_handler() was called by a handler during an event; call it from elsewhere"
            )
        self._drain()
        registration = Registration(self._leave)
        for obj in present():
            self._deliver(handler, Change(None, obj, initial=True))
        self._handlers[registration] = handler
        return registration

    def publish(self, changes: Iterable[Change[T]]) -> None:
        """Tell the handlers now, or after what is still being told."""
        self._backlog.extend(changes)
        if not self._slicing and not self._busy:
            self._drain()

    async def publish_sliced(self, changes: Iterable[Change[T]]) -> None:
        """Tell the handlers of many changes, giving the loop a turn now and then; returns when all are told.

        When cancelled, what is left is told before the next change.
        """
        self._backlog.extend(changes)
        self._slicing += 1
        try:
            while self._backlog:
                self._drain(_SLICE)
                await asyncio.sleep(0)
        finally:
            self._slicing -= 1

    def pending(self) -> set[tuple[str, str]]:
        """Namespace and name of objects with a change that is not told yet."""
        changed = [change.new or change.old for change in self._backlog]
        return {(obj.meta.namespace, obj.meta.name) for obj in changed if obj is not None}

    def mark_synced(self) -> None:
        """The first list has been told to everybody who is here."""
        for registration in self._handlers:
            registration.synced.set()

    def _leave(self, registration: Registration) -> None:
        self._handlers.pop(registration, None)

    def _drain(self, most: float = math.inf) -> None:
        self._busy = True
        try:
            while self._backlog and most > 0:
                most -= 1
                self._tell(self._backlog.popleft())
        finally:
            self._busy = False

    def _tell(self, change: Change[T]) -> None:
        for registration, handler in list(self._handlers.items()):
            if registration in self._handlers:  # it may have left during this very event
                self._deliver(handler, change)

    def _deliver(self, handler: EventHandler[T], change: Change[T]) -> None:
        old, new, confirmed, initial = change
        try:
            if new is None:
                if old is not None:
                    handler.on_delete(old, confirmed=confirmed)
            elif old is None:
                handler.on_add(new, initial=initial)
            else:
                handler.on_update(old, new)
        except Exception:  # noqa: BLE001 - foreign code: its mistake must cost no event but its own
            self._on_error()
            structlog.get_logger(__name__).exception("an event handler raised; later events still reach it")
