"""Delivery of changes to event handlers, in order.

Contract:
    * Each handler receives every change, in the order in which the store made them. There is no order among handlers.
    * A handler that is added later first receives an add, marked initial, for every existing object, and then every
      change that was made after it was added. The first 500 objects are delivered before :meth:`Dispatcher.add`
      returns, the others in slices: the event loop continues after each 500. Other handlers do not wait for this one.
    * If a handler raises, this call is lost; later changes still reach it, and the other handlers are not affected.
    * Handlers are synchronous and should only enqueue a key: the watch waits for them.

Invariants:
    * ``_backlog`` has the changes that are in the store but not delivered yet. A large list is delivered in slices, so
      that it does not block the event loop for long; later changes wait in the backlog.
    * The objects that a new handler receives include the changes in the backlog, so it receives only those that are
      published after it was added. ``_Subscriber.since`` is the number of the first one.
    * Everything runs on the event loop's thread and is not re-entrant: a change caused by a handler is delivered after
      the current one.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, final

import structlog

from aimctl.runtime.cache.storage.merge import Change
from aimctl.runtime.callbacks import raise_if_ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aimctl.kubetypes import Object

__all__ = ["Dispatcher", "EventHandler", "Registration"]

T = TypeVar("T")

_SLICE = 500
"""Changes delivered between two yields to the event loop: about a millisecond for handlers that enqueue."""


class EventHandler(Protocol[T]):
    """Receives the changes of an informer, on the event loop's thread. Must not block, and should only enqueue."""

    def on_add(self, obj: Object[T], *, initial: bool) -> None:
        """An object exists. ``initial``: it existed when the informer started or the handler was added."""
        ...

    def on_update(self, old: Object[T], new: Object[T]) -> None:
        """An object changed. A resync passes the same object as ``old`` and ``new``."""
        ...

    def on_delete(self, obj: Object[T], *, confirmed: bool) -> None:
        """An object was deleted. ``obj`` is its last state, or its last known state if ``confirmed`` is False."""
        ...


@final
class Registration:
    """The registration of a handler with an informer."""

    __slots__ = ("_remove", "synced")

    def __init__(self, remove: Callable[[Registration], None]) -> None:
        self.synced: asyncio.Event = asyncio.Event()
        """Set when the handler has received an add for every object of the informer's first list."""
        self._remove = remove

    def remove(self) -> None:
        """Remove the handler; it is not called again. Idempotent."""
        self._remove(self)


@final
class _Subscriber(Generic[T]):
    """A handler, and what it has not received yet.

    Attributes:
        handler: the handler.
        since: number of the first change that it receives.
        existing: the objects that were there when it was added.
        behind: whether changes have to wait in ``later``, because ``existing`` is not empty.
        later: changes after it was added.
    """

    __slots__ = ("behind", "existing", "handler", "later", "since")

    def __init__(self, handler: EventHandler[T], since: int, existing: Iterable[Object[T]]) -> None:
        self.handler = handler
        self.since = since
        self.existing: deque[Object[T]] = deque(existing)
        self.later: deque[Change[T]] = deque()
        self.behind = True

    def next(self) -> Change[T] | None:
        """The next of the changes that wait; None if there are none."""
        if self.existing:
            return Change(None, self.existing.popleft(), initial=True)
        return self.later.popleft() if self.later else None


@final
class Dispatcher(Generic[T]):
    """Delivers changes to any number of handlers.

    Args:
        on_error: called for each handler call that raised.
    """

    __slots__ = ("_backlog", "_busy", "_delivered", "_handlers", "_on_error", "_slicing", "_synced")

    def __init__(self, on_error: Callable[[], None]) -> None:
        self._handlers: dict[Registration, _Subscriber[T]] = {}
        self._backlog: deque[Change[T]] = deque()
        self._delivered = 0
        """Number of changes that have left the backlog."""
        self._slicing = 0
        self._busy = False
        self._synced = False
        self._on_error = on_error

    def add(self, handler: EventHandler[T], present: Iterable[Object[T]]) -> Registration:
        """Add a handler that first receives the existing objects ``present``.

        Raises:
            RuntimeError: called by a handler during an event.
        """
        if self._busy:
            raise RuntimeError(
                "add_handler() was called by a handler during an event; call it from elsewhere"
            )
        registration = Registration(self._remove)
        self._handlers[registration] = _Subscriber(handler, self._delivered + len(self._backlog), present)
        self._catch_up(registration)
        return registration

    @property
    def handlers(self) -> int:
        """Number of handlers."""
        return len(self._handlers)

    def publish(self, changes: Iterable[Change[T]]) -> None:
        """Deliver changes now, or after those that are being delivered."""
        self._backlog.extend(changes)
        if not self._slicing and not self._busy:
            self._drain()

    async def publish_sliced(self, changes: Iterable[Change[T]]) -> None:
        """Deliver many changes, yielding to the event loop after each slice. Returns when all are delivered, also to
        handlers that were added in the meantime.

        If it is cancelled, the rest is delivered before the next change.
        """
        self._backlog.extend(changes)
        del changes  # each change is freed after its delivery
        self._slicing += 1
        try:
            while self._backlog or any(subscriber.behind for subscriber in self._handlers.values()):
                self._drain(_SLICE)
                await asyncio.sleep(0)
        finally:
            self._slicing -= 1

    def pending(self) -> set[tuple[str, str]]:
        """Namespace and name of the objects with undelivered changes."""
        changed = [change.new or change.old for change in self._backlog]
        return {(obj.meta.namespace, obj.meta.name) for obj in changed if obj is not None}

    def mark_synced(self) -> None:
        """The first list has been delivered. A handler that is behind is synced as soon as it has caught up."""
        self._synced = True
        for registration, subscriber in self._handlers.items():
            if not subscriber.behind:
                registration.synced.set()

    def _remove(self, registration: Registration) -> None:
        self._handlers.pop(registration, None)

    def _catch_up(self, registration: Registration) -> None:
        """Deliver a slice of what a new handler has not received, and the next one in a later step of the loop."""
        subscriber, change, left = self._handlers.get(registration), None, _SLICE
        self._busy = True
        try:
            while subscriber is not None and left and (change := subscriber.next()) is not None:
                left -= 1
                self._deliver(subscriber.handler, change)
                subscriber = self._handlers.get(registration)  # it may have been removed by this change
        finally:
            self._busy = False
        if subscriber is not None and left:
            subscriber.behind = False
            if self._synced:
                registration.synced.set()
        elif subscriber is not None:
            asyncio.get_running_loop().call_soon(self._catch_up, registration)
        self.publish(())  # what handlers have caused

    def _drain(self, most: float = math.inf) -> None:
        self._busy = True
        try:
            while self._backlog and most > 0:
                most -= 1
                change = self._backlog.popleft()
                self._delivered += 1
                self._deliver_to_all(change, self._delivered - 1)
        finally:
            self._busy = False

    def _deliver_to_all(self, change: Change[T], number: int) -> None:
        for registration, subscriber in list(self._handlers.items()):
            if number < subscriber.since or registration not in self._handlers:
                continue  # it has received the change already, or was removed during this event
            if subscriber.behind:
                subscriber.later.append(change)
            else:
                self._deliver(subscriber.handler, change)

    def _deliver(self, handler: EventHandler[T], change: Change[T]) -> None:
        old, new = change.old, change.new
        try:
            if new is None:
                if old is not None:
                    handler.on_delete(old, confirmed=change.confirmed)
            elif old is None:
                handler.on_add(new, initial=change.initial)
            else:
                handler.on_update(old, new)
        except BaseException as error:  # noqa: BLE001 - user code: its error must not affect other events
            raise_if_ending(error)
            self._on_error()
            structlog.get_logger(__name__).exception("event handler failed")
