"""A source that other components send requests to."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.runtime.controller.reconcile import is_request
from aimctl.runtime.queue import PRIORITY_DEFAULT

if TYPE_CHECKING:
    from aimctl.runtime.controller.reconcile import Request
    from aimctl.runtime.queue import WorkQueue

__all__ = ["Channel"]


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

        Raises:
            TypeError: not a Request, or the priority is not an int.
        """
        if not is_request(request):
            raise TypeError(f"send({request!r}): use Request(namespace, name), both as texts")
        if not isinstance(priority, int):
            raise TypeError(f"send(priority={priority!r}): use an int")
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
            raise RuntimeError("this channel is already started: give each controller its own Channel")
        self._queue = queue
        for request, priority in self._kept.items():
            queue.add(request, priority=priority)
        self._kept.clear()

    async def wait_synced(self) -> None:
        """Return at once: requests sent before the start are in the queue already."""

    def stop(self) -> None:
        """Ignore further requests and drop those that were kept."""
        self._stopped = True
        self._kept.clear()

    def describe(self) -> str:
        """The name of the source, for messages."""
        return "channel"
