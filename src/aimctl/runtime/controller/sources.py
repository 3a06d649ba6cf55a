"""Sources of requests: an informer (:class:`Watch`), or any other component (:class:`Channel`).

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

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, final

import structlog

from aimctl.runtime.controller.events import Created, Deleted, Updated
from aimctl.runtime.queue import PRIORITY_DEFAULT, PRIORITY_LOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import Informer, Registration
    from aimctl.runtime.controller.events import Event
    from aimctl.runtime.controller.handlers import Handler
    from aimctl.runtime.controller.predicates import Predicate
    from aimctl.runtime.controller.reconcile import Request
    from aimctl.runtime.queue import WorkQueue

__all__ = ["Channel", "Source", "Watch", "dispatch"]

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


@final
class Channel:
    """Requests from other components: a webhook, a poller, another reconciler.

    Create the channel first, pass it to the sender, and list it in the ``sources`` of one controller::

        requeue = Channel()
        manager.add(Poller(requeue.send))
        manager.controller("teams", TeamReconciler(...), for_=TEAMS, sources=[requeue])

    Requests sent before the controller starts its sources are kept and enqueued then, in the order in which they
    were first sent. A request that is sent several times is kept once, with the highest of its priorities, so the
    memory is bounded by the number of distinct requests. Afterwards a request goes straight to the work queue,
    which coalesces as well. Requests sent after the controller has stopped are ignored, as by a work queue.
    """

    def __init__(self) -> None:
        self._kept: dict[Request, int] = {}
        self._queue: WorkQueue[Request] | None = None
        self._stopped = False

    def send(self, request: Request, *, priority: int = PRIORITY_DEFAULT) -> None:
        """Ask for a reconcile of ``request``. Returns at once.

        Call it on the event loop's thread; from another thread use ``loop.call_soon_threadsafe(channel.send, ...)``.

        Args:
            request: namespace and name.
            priority: in the work queue; see :class:`~aimctl.runtime.queue.WorkQueue`.
        """
        if self._stopped:
            return
        if self._queue is not None:
            self._queue.add(request, priority=priority)
        else:
            self._kept[request] = max(priority, self._kept.get(request, priority))

    async def start(self, queue: WorkQueue[Request]) -> None:
        """Enqueue the kept requests; from now on requests are enqueued as they are sent.

        Raises:
            RuntimeError: it was started before.
        """
        if self._queue is not None:
            raise RuntimeError("this channel is started already: give each controller its own Channel")
        self._queue = queue
        for request, priority in self._kept.items():
            queue.add(request, priority=priority)
        self._kept.clear()

    async def wait_synced(self) -> None:
        """Return at once: what was sent before the start is in the queue already."""

    def stop(self) -> None:
        """Ignore further requests and drop those that were kept."""
        self._stopped = True
        self._kept.clear()

    def describe(self) -> str:
        """For messages."""
        return "channel"
