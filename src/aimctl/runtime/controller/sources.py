"""Where events come from: an informer, or anything outside the cluster.

Contract of a source:
    * ``start(queue)`` is called once, before or without leadership; from then on the source adds requests to
      the queue.
    * ``wait_synced()`` returns when everything that was there at the start has been added, or raises.
    * ``stop()`` ends it; nothing is added afterwards. May be called at any time, also twice.

Invariants:
    * Adding happens synchronously with the event: between an event and its request lies no task and no
      buffer, and no time but a pause that was asked for.
    * One event adds a request at most once.
    * A predicate or handler that raises costs its own event and nothing else; the failure is logged. A
      predicate that
      raises lets the event pass: one look too many is harmless, one too few is not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, final

import structlog

from aimctl.runtime.controller.events import Created, Deleted, Signalled, Updated
from aimctl.runtime.queue import PRIORITY_DEFAULT, PRIORITY_LOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.runtime.cache import Informer, Registration
    from aimctl.runtime.controller.events import Event
    from aimctl.runtime.controller.handlers import Handler
    from aimctl.runtime.controller.predicates import Predicate
    from aimctl.runtime.controller.reconcile import Request
    from aimctl.runtime.kube.objects import Object
    from aimctl.runtime.queue import WorkQueue

__all__ = ["Channel", "ChannelClosed", "Source", "Watch", "dispatch"]

T = TypeVar("T")


class Source(Protocol):
    """See the module."""

    async def start(self, queue: WorkQueue[Request]) -> None:
        """Begin. Raises anything: the controller then fails with it."""
        ...

    async def wait_synced(self) -> None:
        """Wait for the initial state to be in the queue."""
        ...

    def stop(self) -> None:
        """End."""
        ...

    def describe(self) -> str:
        """What it is and, when it is not synced, why: for messages."""
        ...


def dispatch(
    event: Event[T],
    queue: WorkQueue[Request],
    handler: Handler[T],
    predicates: Sequence[Predicate],
    *,
    pause: float = 0.0,
) -> None:
    """Pass one event through the predicates and the handler into the queue.

    Objects of the initial list and replays are added at :data:`PRIORITY_LOW`, so that after a restart fresh
    changes do not wait behind everything there is.

    Args:
        event: what happened.
        queue: where requests go.
        handler: names them.
        predicates: all of them must agree.
        pause: seconds that a request waits; what comes meanwhile is the same request.
    """
    log = structlog.get_logger(__name__)
    for predicate in predicates:
        try:
            if not predicate(event):
                return
        except Exception:  # foreign code: its mistake must not lose the event
            log.exception("a predicate failed, the event passes", object=repr(event.object))
    quiet = (isinstance(event, Created) and event.initial) or (isinstance(event, Updated) and event.replayed)
    priority = PRIORITY_LOW if quiet else PRIORITY_DEFAULT
    try:
        for request in dict.fromkeys(handler.requests(event)):
            if pause:
                queue.add_after(request, pause, priority=priority)
            else:
                queue.add(request, priority=priority)
    except Exception:  # foreign code: later events must still be handled
        log.exception("an event handler failed, the event is skipped", object=repr(event.object))


@final
class Watch(Generic[T]):
    """The events of an informer.

    Args:
        informer: from ``cache.declare(...)``.
        handler: from events to requests.
        predicates: all of them must agree; they hold for this source only.
        pause: seconds that its requests wait, so that a burst of events is one look: for whoever sums up many
            objects. Another source's request for the same key does not wait.
    """

    def __init__(
        self,
        informer: Informer[T],
        handler: Handler[T],
        predicates: Sequence[Predicate] = (),
        *,
        pause: float = 0.0,
    ) -> None:
        self._informer = informer
        self._handler = handler
        self._predicates = tuple(predicates)
        self._pause = pause
        self._queue: WorkQueue[Request] | None = None
        self._registration: Registration | None = None

    async def start(self, queue: WorkQueue[Request]) -> None:
        """Register with the informer, which replays what it holds."""
        if self._registration is not None:
            raise RuntimeError(f"{self.describe()} is started already: give each controller its own Watch")
        self._queue = queue
        self._registration = self._informer.add_handler(self)

    async def wait_synced(self) -> None:
        """Wait until this source has had every object of the informer's first list."""
        if self._registration is None:
            raise RuntimeError(f"{self.describe()} is not started")
        await self._registration.synced.wait()

    def stop(self) -> None:
        """Leave the informer."""
        if self._registration is not None and self._queue is not None:
            self._registration.remove()
        self._queue = None

    def describe(self) -> str:
        """Kind and, if any, the informer's last error."""
        error = self._informer.health.last_error
        name = f"watch of {self._informer.resource.group_resource}"
        return f"{name} (last error: {error})" if error else name

    # ---- what the informer calls

    def on_add(self, obj: Object[T], *, initial: bool) -> None:
        """An object appeared."""
        self._pass(Created(obj, initial=initial))

    def on_update(self, old: Object[T], new: Object[T]) -> None:
        """An object changed."""
        self._pass(Updated(old, new))

    def on_delete(self, obj: Object[T], *, confirmed: bool) -> None:
        """An object went away."""
        self._pass(Deleted(obj, confirmed=confirmed))

    def _pass(self, event: Event[T]) -> None:
        if self._queue is not None:
            dispatch(event, self._queue, self._handler, self._predicates, pause=self._pause)


class ChannelClosed(Exception):  # noqa: N818 - named for what happened
    """The channel takes no more events."""


@final
class Channel(Generic[T]):
    """Events from outside the cluster: a webhook call, a file that changed, another system.

    Events sent before the controller starts are kept, ``buffer`` of them; then :meth:`send` waits. Once
    started, an event goes straight into the queue, which coalesces, so nothing waits any more.

    Args:
        handler: from events to requests.
        predicates: all of them must agree.
        buffer: events kept before the start.
    """

    def __init__(
        self, handler: Handler[T], predicates: Sequence[Predicate] = (), *, buffer: int = 1024
    ) -> None:
        if buffer < 1:
            raise ValueError(f"buffer={buffer}: a channel keeps at least one event")
        self._handler = handler
        self._predicates = tuple(predicates)
        self._buffer = buffer
        self._kept: deque[Object[T]] = deque()
        self._queue: WorkQueue[Request] | None = None
        self._closed = False
        self._room = asyncio.Event()
        self._room.set()

    async def send(self, obj: Object[T]) -> None:
        """Say that something concerns ``obj``. Waits only while the buffer of an unstarted channel is full.

        Raises:
            ChannelClosed: closed, or its controller has ended.
        """
        while not self._room.is_set() and not self._closed:
            await self._room.wait()
        if self._closed:
            raise ChannelClosed("this channel is closed: its controller has ended, or close() was called")
        if self._queue is not None:
            dispatch(Signalled(obj), self._queue, self._handler, self._predicates)
            return
        self._kept.append(obj)
        if len(self._kept) >= self._buffer:
            self._room.clear()

    def close(self) -> None:
        """Take no more events. What was sent before is still delivered when the controller starts."""
        self._closed = True
        self._room.set()

    async def start(self, queue: WorkQueue[Request]) -> None:
        """Deliver what was kept, and from now on at once."""
        if self._queue is not None:
            raise RuntimeError("this channel is started already: give each controller its own Channel")
        self._queue = queue
        while self._kept:
            dispatch(Signalled(self._kept.popleft()), queue, self._handler, self._predicates)
        self._room.set()

    async def wait_synced(self) -> None:
        """At once: a channel has no initial state."""

    def stop(self) -> None:
        """The same as :meth:`close`."""
        self.close()

    def describe(self) -> str:
        """For messages."""
        return "channel"
