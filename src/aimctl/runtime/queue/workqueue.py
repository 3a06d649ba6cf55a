"""The work queue: which item should be worked on next, and never the same one twice at once.

Contract (client-go's ``workqueue`` with priorities and ageing):
    * An item is any hashable. However often it is added before its hand-out, it is handed out once.
    * An item handed out is not handed out again before :meth:`WorkQueue.done`; added meanwhile, it comes
      once more after.
    * Merging keeps the highest priority and the earliest time. A merge never makes an item later or less
      important.
    * Order: highest effective priority first, see :mod:`aimctl.runtime.queue.ageing` for the rule and its
      bound.
    * Unbounded, but coalescing: it holds each distinct item at most once.

Invariants (checked by a state machine in the tests):
    * ``_pending`` holds every item wanted and not handed out, once: "dirty" in client-go's words.
    * A pending item is in exactly one place: waiting (not due), ready (due, may be handed out), or held
      back (due, but also in ``_processing``, until done).
    * The heaps hold numbers only. A popped or merged item leaves no reference behind.
    * All state changes between awaits on the loop's thread, so there are no locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar, final

from aimctl.runtime.queue.ageing import DEFAULT_AGEING_SECONDS, PRIORITY_DEFAULT, rank
from aimctl.runtime.queue.handout import Handout, QueueShutDown, QueueSnapshot
from aimctl.runtime.queue.metrics import NoMetrics, PriorityLabels, QueueMetrics
from aimctl.runtime.queue.ratelimit import ExponentialRateLimiter, RateLimiter

if TYPE_CHECKING:
    from collections.abc import Hashable

    from aimctl.runtime.clock import Clock

__all__ = ["WorkQueue"]

K = TypeVar("K", bound="Hashable")

_COMPACT_ABOVE = 64
"""A heap with more dead numbers than this, and more dead than live ones, is rebuilt."""


class _Entry(Generic[K]):
    __slots__ = ("due", "item", "label", "place", "priority", "rank")

    def __init__(self, item: K, priority: int, due: float) -> None:
        self.item = item
        self.priority = priority
        self.due = due
        self.rank = math.inf
        self.place = -1
        """Its number in the ready or waiting heap."""
        self.label: str | None = None
        """The depth label it counts under; None until it is due."""


@final
class WorkQueue(Generic[K]):
    """See the module. Make it anywhere, use it inside the running loop.

    Args:
        clock: its ``monotonic()`` must be the running loop's time.
        name: for metrics and the debug page.
        rate_limiter: for :meth:`add_rate_limited`; default: exponential per item, 5 ms to 1000 s.
        metrics: hooks; default none.
        ageing_seconds: waiting worth 100 points of priority; 0 makes the queue first-in first-out.
    """

    __slots__ = (
        "_ageing",
        "_clock",
        "_closed",
        "_depths",
        "_drained",
        "_labels",
        "_limiter",
        "_metrics",
        "_name",
        "_next_place",
        "_pending",
        "_processing",
        "_ready",
        "_ready_heap",
        "_timer",
        "_timer_at",
        "_waiters",
        "_waiting",
        "_waiting_heap",
    )

    def __init__(
        self,
        *,
        clock: Clock,
        name: str = "",
        rate_limiter: RateLimiter[K] | None = None,
        metrics: QueueMetrics | None = None,
        ageing_seconds: float = DEFAULT_AGEING_SECONDS,
    ) -> None:
        if not 0 <= ageing_seconds < math.inf:
            raise ValueError(f"ageing_seconds={ageing_seconds}: use a finite number of seconds, 0 or more")
        self._clock = clock
        self._name = name
        self._limiter: RateLimiter[K] = ExponentialRateLimiter() if rate_limiter is None else rate_limiter
        self._metrics: QueueMetrics = NoMetrics() if metrics is None else metrics
        self._ageing = ageing_seconds
        self._pending: dict[K, _Entry[K]] = {}
        self._processing: dict[K, float] = {}
        self._ready: dict[int, _Entry[K]] = {}
        self._ready_heap: list[tuple[float, int, int]] = []
        self._waiting: dict[int, _Entry[K]] = {}
        self._waiting_heap: list[tuple[float, int]] = []
        self._next_place = itertools.count()
        self._labels = PriorityLabels()
        self._depths: dict[str, int] = {}
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0  # a uvloop handle does not tell its time
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._drained = asyncio.Event()
        self._metrics.attach(self)

    # ---- adding

    def add(self, item: K, *, priority: int = PRIORITY_DEFAULT) -> None:
        """Want ``item`` handed out now. Ignored after shutdown."""
        self._put(item, 0.0, priority)

    def add_after(self, item: K, seconds: float, *, priority: int = PRIORITY_DEFAULT) -> None:
        """Want ``item`` in ``seconds``; at once when zero or less. Ignored after shutdown.

        There is one pending hand-out for an item: whichever asks for the earlier time wins, and the later
        wish is dropped, because the earlier hand-out serves it.

        Raises:
            ValueError: ``seconds`` is not a finite number.
        """
        if not math.isfinite(seconds):
            raise ValueError(f"add_after({item!r}, seconds={seconds}): use a finite number of seconds")
        if self._closed:
            return
        if seconds > 0:
            self._metrics.retried()
        self._put(item, seconds, priority)

    def add_rate_limited(self, item: K, *, priority: int = PRIORITY_DEFAULT) -> None:
        """Count a failure of ``item`` and want it after the delay that its rate limiter says."""
        if not self._closed:
            self.add_after(item, self._limiter.when(item), priority=priority)

    def forget(self, item: K) -> None:
        """The item succeeded: its failures count no more. A pending hand-out stays."""
        self._limiter.forget(item)

    def num_requeues(self, item: K) -> int:
        """Failures of ``item`` since it was last forgotten."""
        return self._limiter.num_requeues(item)

    # ---- working

    async def get(self) -> Handout[K]:
        """Wait for the next item and hand it out; call :meth:`done` once the work has ended, in any way.

        Cancelling while it waits loses nothing. Bound it with ``asyncio.timeout``, not
        ``asyncio.wait_for``, which on Python 3.11 may drop an item handed out in the same moment.

        Raises:
            QueueShutDown: shut down, and nothing is left to hand out.
        """
        while True:
            now = self._clock.monotonic()
            self._promote(now)
            entry = self._pop_ready()
            if entry is not None:
                del self._pending[entry.item]
                self._processing[entry.item] = now
                self._count_depth(entry, None)
                self._metrics.waited(max(0.0, now - entry.due))
                return Handout(entry.item, entry.priority)
            if self._closed:
                raise QueueShutDown(f"work queue {self._name!r} is shut down")
            await self._wait_for_ready()

    def done(self, item: K) -> None:
        """The work on ``item`` has ended. If it was added meanwhile it goes to the back of its class.

        Raises:
            ValueError: the item is not handed out.
        """
        started = self._processing.pop(item, None)
        if started is None:
            raise ValueError(f"done({item!r}): it is not handed out; call done once for each get")
        now = self._clock.monotonic()
        self._metrics.worked(max(0.0, now - started))
        again = self._pending.get(item)
        if again is not None and again.label is not None:
            self._enqueue(again, now)
        self._check_drained()

    # ---- ending

    def shut_down(self, *, drop_queued: bool = False) -> None:
        """Ignore all further adds and drop what waits for its time. Does not wait; may be called again.

        What is ready is still handed out unless ``drop_queued``; then every :meth:`get` raises
        QueueShutDown. Also releases a drain that somebody waits for.
        """
        self._close()
        if drop_queued:
            for entry in self._pending.values():
                self._count_depth(entry, None)
            self._pending.clear()
            self._ready.clear()
            self._ready_heap.clear()
        self._drained.set()

    async def shut_down_with_drain(self) -> None:
        """Shut down, then wait until all that was ready or handed out is done.

        Needs workers that go on; bound it with ``asyncio.timeout``. :meth:`shut_down` releases it.
        """
        self._close()
        self._drained.clear()
        self._check_drained()
        await self._drained.wait()

    # ---- looking

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    @property
    def shutting_down(self) -> bool:
        """Whether adds are ignored."""
        return self._closed

    def __len__(self) -> int:
        """Items that could be handed out now."""
        self._promote(self._clock.monotonic())
        return len(self._ready)

    @property
    def waiting_count(self) -> int:
        """Items whose time has not come."""
        return len(self._waiting)

    @property
    def oldest_ready_seconds(self) -> float:
        """How long the longest waiting ready item has been due, or 0. Costs time linear in ``len``."""
        if not self._ready:
            return 0.0
        return max(0.0, self._clock.monotonic() - min(entry.due for entry in self._ready.values()))

    @property
    def unfinished_seconds(self) -> float:
        """Time spent so far on all items handed out and not done, summed."""
        now = self._clock.monotonic()
        return sum((now - started for started in self._processing.values()), 0.0)

    @property
    def longest_running_seconds(self) -> float:
        """Age of the oldest hand-out that is not done; 0 when there is none."""
        return self._clock.monotonic() - min(self._processing.values()) if self._processing else 0.0

    def snapshot(self) -> QueueSnapshot[K]:
        """A copy of the state for people to read."""
        now = self._clock.monotonic()
        self._promote(now)
        ready = sorted(self._ready.values(), key=lambda entry: (entry.rank, -entry.priority, entry.place))
        waiting = sorted(self._waiting.values(), key=lambda entry: (entry.due, entry.place))
        return QueueSnapshot(
            name=self._name,
            ready=tuple((entry.item, entry.priority, max(0.0, now - entry.due)) for entry in ready),
            waiting=tuple((entry.item, entry.priority, entry.due - now) for entry in waiting),
            processing=tuple(
                (item, now - began, item in self._pending) for item, began in self._processing.items()
            ),
            shutting_down=self._closed,
        )

    # ---- helpers

    def _put(self, item: K, seconds: float, priority: int) -> None:
        if self._closed:
            return
        now = self._clock.monotonic()
        self._promote(now)
        due = now + max(0.0, seconds)
        entry = self._pending.get(item)
        if entry is None:
            entry = _Entry(item, priority, due)
            self._pending[item] = entry
            self._place(entry, now)
        elif entry.label is not None:
            self._merge_into_due(entry, priority, now)
        else:
            entry.priority = max(entry.priority, priority)
            if due < entry.due:
                del self._waiting[entry.place]
                entry.due = due
                self._place(entry, now)

    def _place(self, entry: _Entry[K], now: float) -> None:
        if entry.due <= now:
            self._become_due(entry)
            return
        entry.place = next(self._next_place)
        self._waiting[entry.place] = entry
        heapq.heappush(self._waiting_heap, (entry.due, entry.place))
        if _mostly_dead(self._waiting_heap, self._waiting):
            self._waiting_heap = [(live.due, place) for place, live in self._waiting.items()]
            heapq.heapify(self._waiting_heap)
        self._arm()

    def _become_due(self, entry: _Entry[K]) -> None:
        self._metrics.added()
        self._count_depth(entry, self._labels.label(entry.priority))
        if entry.item not in self._processing:
            self._enqueue(entry, entry.due)

    def _merge_into_due(self, entry: _Entry[K], priority: int, now: float) -> None:
        queued = entry.item not in self._processing
        if queued:
            self._metrics.merged()
        if priority <= entry.priority:
            return
        entry.priority = priority
        self._count_depth(entry, self._labels.label(priority))
        if queued:
            # Behind those of its new class, but never behind where it stood.
            del self._ready[entry.place]
            self._enqueue(entry, now, no_later_than=entry.rank)

    def _enqueue(self, entry: _Entry[K], since: float, *, no_later_than: float = math.inf) -> None:
        entry.rank = min(no_later_than, rank(entry.priority, since, self._ageing))
        entry.place = next(self._next_place)
        self._ready[entry.place] = entry
        heapq.heappush(self._ready_heap, (entry.rank, -entry.priority, entry.place))
        if _mostly_dead(self._ready_heap, self._ready):
            self._ready_heap = [(live.rank, -live.priority, place) for place, live in self._ready.items()]
            heapq.heapify(self._ready_heap)
        self._wake_one()

    def _pop_ready(self) -> _Entry[K] | None:
        while self._ready_heap:
            entry = self._ready.pop(heapq.heappop(self._ready_heap)[2], None)
            if entry is not None:
                return entry
        return None

    def _promote(self, now: float) -> None:
        """Move what is due from waiting to ready, in the order of the due times."""
        heap = self._waiting_heap
        while heap and (heap[0][0] <= now or heap[0][1] not in self._waiting):
            entry = self._waiting.pop(heapq.heappop(heap)[1], None)
            if entry is not None:
                self._become_due(entry)

    def _arm(self) -> None:
        """Keep one timer, at the earliest due time."""
        heap = self._waiting_heap
        if self._timer is not None:
            if heap and self._timer_at <= heap[0][0]:
                return  # it re-arms itself
            self._timer.cancel()
            self._timer = None
        if heap:
            self._timer_at = heap[0][0]
            self._timer = asyncio.get_running_loop().call_at(self._timer_at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._promote(self._clock.monotonic())
        self._arm()

    def _count_depth(self, entry: _Entry[K], label: str | None) -> None:
        """Count the entry under ``label``, or nowhere, instead of where it was."""
        if entry.label == label:
            return
        for name, step in ((entry.label, -1), (label, 1)):
            if name is not None:
                self._depths[name] = self._depths.get(name, 0) + step
                self._metrics.depth(name, self._depths[name])
        entry.label = label

    async def _wait_for_ready(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with contextlib.suppress(ValueError):  # a wake-up may have skipped it already
                    self._waiters.remove(waiter)
            elif self._ready:
                self._wake_one()  # it was woken for an item it will not take
            raise

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _close(self) -> None:
        self._closed = True
        for entry in self._waiting.values():
            del self._pending[entry.item]
        self._waiting.clear()
        self._waiting_heap.clear()
        self._arm()
        while self._waiters:
            self._wake_one()

    def _check_drained(self) -> None:
        if self._closed and not self._processing and not self._ready:
            self._drained.set()


def _mostly_dead(
    heap: list[tuple[float, int, int]] | list[tuple[float, int]], live: dict[int, _Entry[K]]
) -> bool:
    dead = len(heap) - len(live)
    return dead > _COMPACT_ABOVE and dead > len(live)
