"""Sources of requests, and the source for an informer (:class:`Watch`).

Contract of a source:
    * ``start(queue)`` is called once, when the controller may reconcile: on a replica that does not lead it is not
      called, unless the controller runs on every replica. From then on the source adds requests to the queue.
    * A source with the attribute ``informers`` has their objects; a replica waits for these before it can lead.
    * ``wait_synced()`` returns when the initial state has been added, or raises.
    * ``stop()`` ends it: no requests are added afterwards. It may be called at any time, and repeatedly.

Invariants:
    * Requests are added synchronously with the event, without a task or a buffer in between.
    * One event adds a request at most once.
    * If a predicate or handler raises, the error is logged with the names of the controller and the function, and
      affects only this event. If a predicate raises, the event passes: an unnecessary reconcile is harmless, a missing
      one is not. If a handler raises, a :class:`Watch` maps the event again later (see ``redelivery``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, final

import structlog

from aimctl.runtime.callbacks import check_not_awaitable, check_synchronous, name_of, raise_if_ending
from aimctl.runtime.controller.events import Created, Deleted, Updated
from aimctl.runtime.controller.reconcile import is_request
from aimctl.runtime.controller.sources.redelivery import Redelivery
from aimctl.runtime.queue import PRIORITY_DEFAULT, PRIORITY_LOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import Informer, Registration
    from aimctl.runtime.controller.events import ObjectEvent
    from aimctl.runtime.controller.handlers import Handler
    from aimctl.runtime.controller.predicates import Predicate
    from aimctl.runtime.controller.reconcile import Request
    from aimctl.runtime.queue import WorkQueue

__all__ = ["Source", "Watch", "described", "dispatch"]

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class Source(Protocol):
    """Adds requests to the queue of a controller."""

    async def start(self, queue: WorkQueue[Request]) -> None:
        """Start adding requests. If it raises, the controller fails with this error."""
        ...

    async def wait_synced(self) -> None:
        """Wait until the requests for the initial state are in the queue."""
        ...

    def stop(self) -> None:
        """Stop adding requests."""
        ...

    def describe(self) -> str:
        """The name of the source and, if known, why it is not synced; for messages."""
        ...


def dispatch(
    event: ObjectEvent[T],
    queue: WorkQueue[Request],
    handler: Handler[T],
    predicates: Sequence[Predicate],
    *,
    pause: float = 0.0,
    repeated: bool = False,
) -> bool:
    """Filter one event with the predicates, map it with the handler, and enqueue the requests.

    Objects of the initial list and replays are added with :data:`PRIORITY_LOW`, so that after a restart new changes are
    processed before the existing objects.

    Args:
        event: the event.
        queue: receives the requests.
        handler: maps the event to requests.
        predicates: all of them must pass.
        pause: delay of the requests in seconds; requests in the meantime coalesce with them.
        repeated: the event failed before, so another failure is not logged.

    Returns:
        False if the handler raised, or returned something else than requests. The requests before that are enqueued.
    """
    for predicate in predicates:
        if not _passes(predicate, event, queue):
            return True
    quiet = (isinstance(event, Created) and event.initial) or (isinstance(event, Updated) and event.replayed)
    priority = PRIORITY_LOW if quiet else PRIORITY_DEFAULT
    requests: dict[Request, None] = {}
    done = True
    try:
        for request in handler.requests(event):
            requests[_checked(request, handler)] = None
    except BaseException as error:  # noqa: BLE001 - user code: later events must still be handled
        raise_if_ending(error)
        done = False
        if not repeated:
            _log.exception(
                "mapping an event to requests failed, it is repeated later",
                controller=queue.name,
                handler=repr(handler),
                object=repr(event.object),
            )
    for request in requests:
        if pause:
            queue.add_after(request, pause, priority=priority)
        else:
            queue.add(request, priority=priority)
    return done


def _checked(request: object, handler: Handler[Any]) -> Request:
    if not is_request(request):
        raise TypeError(f"{handler!r} returned {request!r}: return Request(namespace, name), both as texts")
    return request


def _passes(predicate: Predicate, event: ObjectEvent[Any], queue: WorkQueue[Request]) -> bool:
    try:
        verdict: object = predicate(event)
        if verdict is True or verdict is False:
            return verdict
        check_not_awaitable(f"the predicate {name_of(predicate)}", verdict)
        return bool(verdict)
    except BaseException as error:  # noqa: BLE001 - user code: its error must not lose the event
        raise_if_ending(error)
        _log.exception(
            "predicate failed, the event passes",
            controller=queue.name,
            predicate=name_of(predicate),
            object=repr(event.object),
        )
        return True


def described(informer: Informer[Any]) -> str:
    """The kind of an informer and, if there is one, its last error."""
    error, name = informer.health.last_error, informer.resource.group_resource
    return f"{name} (last error: {error})" if error else name


@final
class Watch(Generic[T]):
    """Enqueues requests for the events of an informer.

    Args:
        informer: from ``cache.declare(...)``.
        handler: maps an event to requests.
        predicates: all of them must pass; they apply to this source only.
        pause: delay of the requests in seconds, so that a burst of events leads to one reconcile; for reconcilers that
            aggregate many objects. A request for the same key from another source is not delayed.

    Raises:
        TypeError: a predicate is not callable, or is defined with ``async def``.
    """

    def __init__(
        self,
        informer: Informer[T],
        handler: Handler[T],
        predicates: Sequence[Predicate] = (),
        *,
        pause: float = 0.0,
    ) -> None:
        for predicate in predicates:
            check_synchronous("the predicate", predicate)
        self._informer = informer
        self._handler = handler
        self._predicates = tuple(predicates)
        self._pause = pause
        self._queue: WorkQueue[Request] | None = None
        self._registration: Registration | None = None
        self._failed: Redelivery[T] = Redelivery(self._repeat, lambda: self._informer.store)

    @property
    def informers(self) -> tuple[Informer[T], ...]:
        """The informer."""
        return (self._informer,)

    async def start(self, queue: WorkQueue[Request]) -> None:
        """Register with the informer, which then replays its objects.

        Raises:
            RuntimeError: it was started before.
        """
        if self._registration is not None:
            raise RuntimeError(f"{self.describe()} is already started: give each controller its own Watch")
        self._queue = queue
        self._registration = self._informer.add_handler(self)

    async def wait_synced(self) -> None:
        """Wait until every object of the informer's first list has been handled."""
        if self._registration is None:
            raise RuntimeError(f"{self.describe()} is not started")
        await self._registration.synced.wait()

    def stop(self) -> None:
        """Remove the handler from the informer."""
        if self._registration is not None and self._queue is not None:
            self._registration.remove()
        self._failed.stop()
        self._queue = None

    def describe(self) -> str:
        """The kind and, if there is one, the last error of the informer."""
        return f"watch of {described(self._informer)}"

    # ---- what the informer calls

    def on_add(self, obj: Object[T], *, initial: bool) -> None:
        """An object was created."""
        self._dispatch(Created(obj, initial=initial))

    def on_update(self, old: Object[T], new: Object[T]) -> None:
        """An object changed."""
        self._dispatch(Updated(old, new))

    def on_delete(self, obj: Object[T], *, confirmed: bool) -> None:
        """An object was deleted."""
        self._dispatch(Deleted(obj, confirmed=confirmed))

    def _dispatch(self, event: ObjectEvent[T]) -> None:
        if not self._deliver(event, repeated=False):
            self._failed.add(event)

    def _repeat(self, event: ObjectEvent[T]) -> bool:
        return self._deliver(event, repeated=True)

    def _deliver(self, event: ObjectEvent[T], *, repeated: bool) -> bool:
        if self._queue is None:
            return True
        return dispatch(
            event, self._queue, self._handler, self._predicates, pause=self._pause, repeated=repeated
        )
