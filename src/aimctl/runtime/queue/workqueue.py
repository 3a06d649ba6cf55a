"""The work queue: returns the next item to process, and never the same item to two workers at once.

Contract (that of client-go's ``workqueue``, with priorities and ageing):
    * An item is any hashable value. An item that is added several times before it is returned, is returned once.
    * A returned item is not returned again before :meth:`WorkQueue.done`. If it is added in the meantime, it is
      returned once more afterwards.
    * Merging two adds of an item keeps the higher priority and the earlier time.
    * Order: highest effective priority first; see :mod:`aimctl.runtime.queue.ageing`.
    * The length is not limited, but each distinct item is in the queue at most once.

Invariants (checked by a state machine in the tests):
    * ``_pending`` has every added item that has not been returned yet; client-go calls these items dirty.
    * A pending item is in exactly one state: waiting (not due), ready (due, may be returned), or held back (due, but
      also in ``_processing``, until ``done``).
    * The heaps and the lane contain numbers only. A returned or merged item leaves no reference behind.
    * The lane is sorted: an item whose position is behind all of the lane is appended to it, all others are in the
      heap. Items of one priority usually become ready in their order, so most never enter the heap.
    * All state changes happen between awaits on the event loop's thread, so no locks are needed.
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
from aimctl.runtime.queue.entries import Entry, mostly_stale
from aimctl.runtime.queue.items import QueueItem, QueueShutDown, QueueSnapshot
from aimctl.runtime.queue.metrics import PriorityLabels, QueueMetrics
from aimctl.runtime.queue.ratelimit import ExponentialRateLimiter, RateLimiter

if TYPE_CHECKING:
    from collections.abc import Hashable

    from aimctl.runtime.clock import Clock

__all__ = ["WorkQueue"]

K = TypeVar("K", bound="Hashable")


@final
class WorkQueue(Generic[K]):
    """A queue of distinct items. It can be created outside the event loop, but is used on one.

    Args:
        clock: its ``monotonic()`` must be the running loop's time.
        name: for metrics and the debug page.
        rate_limiter: for :meth:`add_rate_limited`; default: exponential per item, 5 ms to 1000 s.
        metrics: hooks; default: no metrics.
        ageing_seconds: waiting time that counts as 100 points of priority; 0 makes the queue first-in first-out.
    """

    __slots__ = (
        "_ageing",
        "_clock",
        "_closed",
        "_depths",
        "_drained",
        "_labels",
        "_lane",
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
        self._metrics = QueueMetrics() if metrics is None else metrics
        self._ageing = ageing_seconds
        self._pending: dict[K, Entry[K]] = {}
        self._processing: dict[K, float] = {}
        self._ready: dict[int, Entry[K]] = {}
        self._lane: deque[tuple[float, int, int]] = deque()
        self._ready_heap: list[tuple[float, int, int]] = []
        self._waiting: dict[int, Entry[K]] = {}
        self._waiting_heap: list[tuple[float, int]] = []
        self._next_place = itertools.count()
        self._labels = PriorityLabels()
        self._depths: dict[str, int] = {}
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0  # the handles of uvloop do not have their time
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._drained = asyncio.Event()
        self._metrics.attach(self)

    # ---- adding

    def add(self, item: K, *, priority: int = PRIORITY_DEFAULT) -> None:
        """Add ``item``, to be returned as soon as possible. Ignored after shutdown.

        An item that is pending is not added twice: it gets the earlier time and the higher priority.

        Raises:
            TypeError: ``priority`` is not an int.
        """
        self._put(item, 0.0, priority)

    def add_after(self, item: K, seconds: float, *, priority: int = PRIORITY_DEFAULT) -> None:
        """Add ``item`` in ``seconds``; at once if zero or less. Ignored after shutdown.

        An item is pending at most once: of several adds the earliest time applies.

        Raises:
            TypeError: ``seconds`` is not a number, or ``priority`` is not an int.
            ValueError: ``seconds`` is not a finite number.
        """
        try:
            finite = math.isfinite(seconds)
        except OverflowError:  # of an int
            finite = False
        if not finite:
            raise ValueError(f"add_after({item!r}, seconds={seconds}): use a finite number of seconds")
        if self._closed:
            return
        if seconds > 0:
            self._metrics.retried()
        self._put(item, seconds, priority)

    def add_rate_limited(self, item: K, *, priority: int = PRIORITY_DEFAULT) -> None:
        """Count a failure of ``item`` and add it after the delay of the rate limiter."""
        if not self._closed:
            self.add_after(item, self._limiter.when(item), priority=priority)

    def forget(self, item: K) -> None:
        """Reset the failures of ``item`` after a success. If it is pending, it stays pending."""
        self._limiter.forget(item)

    def num_requeues(self, item: K) -> int:
        """Failures of ``item`` since :meth:`forget`."""
        return self._limiter.num_requeues(item)

    # ---- working

    async def get(self) -> QueueItem[K]:
        """Wait for the next item and return it. Call :meth:`done` when it has been processed, successfully or not.

        Cancellation while waiting loses no item. To limit the wait use ``asyncio.timeout``, not ``asyncio.wait_for``:
        on Python 3.11 the latter may lose an item that is returned at the same moment.

        Raises:
            QueueShutDown: the queue is shut down and empty.
        """
        while True:
            now = self._clock.monotonic()
            if self._waiting_heap:
                self._promote(now)
            entry = self._pop_ready()
            if entry is not None:
                item = entry.item
                del self._pending[item]
                self._processing[item] = now
                self._count_depth(entry, None)
                waited = now - entry.due
                self._metrics.waited(waited if waited > 0 else 0.0)
                return QueueItem(item, entry.priority)
            if self._closed:
                raise QueueShutDown(f"work queue {self._name!r} is shut down")
            await self._wait_for_ready()

    def done(self, item: K) -> None:
        """Report that ``item`` has been processed. If it was added in the meantime, it becomes ready now.

        Raises:
            ValueError: the item is not being processed.
        """
        started = self._processing.pop(item, None)
        if started is None:
            raise ValueError(f"done({item!r}): the item is not being processed; call done once for each get")
        now = self._clock.monotonic()
        worked = now - started
        self._metrics.worked(worked if worked > 0 else 0.0)
        again = self._pending.get(item)
        if again is not None and again.label is not None:
            self._enqueue(again, now)
        if self._closed:
            self._check_drained()

    # ---- shutdown

    def shut_down(self, *, drop_queued: bool = False) -> None:
        """Ignore further adds and drop the items that are not due. Returns at once. Idempotent.

        Ready items are still returned, unless ``drop_queued``; after the last one :meth:`get` raises QueueShutDown. A
        pending :meth:`shut_down_with_drain` returns.
        """
        self._close()
        if drop_queued:
            for entry in self._pending.values():
                self._count_depth(entry, None)
            self._pending.clear()
            self._ready.clear()
            self._lane.clear()
            self._ready_heap.clear()
        self._drained.set()

    async def shut_down_with_drain(self) -> None:
        """Shut down, then wait until all ready items have been processed.

        The workers must continue to run. Use ``asyncio.timeout`` to limit the wait; :meth:`shut_down` ends it.
        """
        self._close()
        self._drained.clear()
        self._check_drained()
        await self._drained.wait()

    # ---- state

    @property
    def name(self) -> str:
        """The name passed to the constructor."""
        return self._name

    @property
    def shutting_down(self) -> bool:
        """Whether adds are ignored."""
        return self._closed

    def __len__(self) -> int:
        """Number of ready items."""
        self._promote(self._clock.monotonic())
        return len(self._ready)

    @property
    def waiting_count(self) -> int:
        """Number of items that are not due."""
        return len(self._waiting)

    @property
    def oldest_ready_seconds(self) -> float:
        """Seconds since the oldest ready item became due, or 0. Takes time linear in ``len``."""
        if not self._ready:
            return 0.0
        return max(0.0, self._clock.monotonic() - min(entry.due for entry in self._ready.values()))

    @property
    def unfinished_seconds(self) -> float:
        """Sum of the processing times so far of all items that are being processed."""
        now = self._clock.monotonic()
        return sum((now - started for started in self._processing.values()), 0.0)

    @property
    def longest_running_seconds(self) -> float:
        """Longest processing time so far of an item that is being processed, or 0."""
        return self._clock.monotonic() - min(self._processing.values()) if self._processing else 0.0

    def snapshot(self) -> QueueSnapshot[K]:
        """A copy of the state, for the debug page."""
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
        if priority.__class__ is not int and not isinstance(priority, int):
            raise TypeError(f"priority={priority!r} of {item!r}: use an int")
        now = self._clock.monotonic()
        if self._waiting_heap:
            self._promote(now)
        due = now + seconds if seconds > 0 else now
        entry = self._pending.get(item)
        if entry is None:
            entry = Entry(item, priority, due)
            self._pending[item] = entry
            if due <= now:
                self._become_due(entry)
            else:
                self._place(entry, now)
        elif entry.label is not None:
            self._merge_into_due(entry, priority, now)
        else:
            entry.priority = max(entry.priority, priority)
            if due < entry.due:
                del self._waiting[entry.place]
                entry.due = due
                self._place(entry, now)

    def _place(self, entry: Entry[K], now: float) -> None:
        if entry.due <= now:
            self._become_due(entry)
            return
        entry.place = next(self._next_place)
        self._waiting[entry.place] = entry
        heapq.heappush(self._waiting_heap, (entry.due, entry.place))
        if mostly_stale(len(self._waiting_heap), len(self._waiting)):
            self._waiting_heap = [(live.due, place) for place, live in self._waiting.items()]
            heapq.heapify(self._waiting_heap)
        self._arm()

    def _become_due(self, entry: Entry[K]) -> None:
        self._metrics.added()
        entry.label = label = self._labels.label(entry.priority)
        self._depths[label] = depth = self._depths.get(label, 0) + 1
        self._metrics.depth(label, depth)
        if entry.item not in self._processing:
            self._enqueue(entry, entry.due)

    def _merge_into_due(self, entry: Entry[K], priority: int, now: float) -> None:
        queued = entry.item not in self._processing
        if queued:
            self._metrics.merged()
        if priority <= entry.priority:
            return
        entry.priority = priority
        self._count_depth(entry, self._labels.label(priority))
        if queued:
            # Behind the items of its new priority, but not behind its former position.
            del self._ready[entry.place]
            self._enqueue(entry, now, no_later_than=entry.rank)

    def _enqueue(self, entry: Entry[K], since: float, *, no_later_than: float = math.inf) -> None:
        own = since if entry.priority == 0 else rank(entry.priority, since, self._ageing)
        entry.rank = min(own, no_later_than)
        entry.place = place = next(self._next_place)
        ready, lane, heap = self._ready, self._lane, self._ready_heap
        ready[place] = entry
        position = (entry.rank, -entry.priority, place)
        if not lane or lane[-1] < position:
            lane.append(position)
        else:
            heapq.heappush(heap, position)
        if len(lane) + len(heap) > len(ready) and mostly_stale(len(lane) + len(heap), len(ready)):
            self._lane = deque(sorted((live.rank, -live.priority, at) for at, live in ready.items()))
            heap.clear()
        if self._waiters:
            self._wake_one()

    def _pop_ready(self) -> Entry[K] | None:
        lane, heap = self._lane, self._ready_heap
        while lane or heap:
            behind = not lane or (heap and heap[0] < lane[0])
            position = heapq.heappop(heap) if behind else lane.popleft()
            entry = self._ready.pop(position[2], None)
            if entry is not None:
                return entry
        return None

    def _promote(self, now: float) -> None:
        """Move due items from waiting to ready, in the order of their due times."""
        heap = self._waiting_heap
        while heap and (heap[0][0] <= now or heap[0][1] not in self._waiting):
            entry = self._waiting.pop(heapq.heappop(heap)[1], None)
            if entry is not None:
                self._become_due(entry)

    def _arm(self) -> None:
        """Set the only timer to the earliest due time."""
        heap = self._waiting_heap
        if self._timer is not None:
            if heap and self._timer_at <= heap[0][0]:
                return  # when it fires, it is set again
            self._timer.cancel()
            self._timer = None
        if heap:
            self._timer_at = heap[0][0]
            self._timer = asyncio.get_running_loop().call_at(self._timer_at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._promote(self._clock.monotonic())
        self._arm()

    def _count_depth(self, entry: Entry[K], label: str | None) -> None:
        """Count the entry in the depth under ``label`` instead of its previous label; None: do not count it."""
        before = entry.label
        if before == label:
            return
        depths = self._depths
        if before is not None:
            depths[before] = depth = depths[before] - 1
            self._metrics.depth(before, depth)
        if label is not None:
            depths[label] = depth = depths.get(label, 0) + 1
            self._metrics.depth(label, depth)
        entry.label = label

    async def _wait_for_ready(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with contextlib.suppress(ValueError):  # a wake-up may have removed it already
                    self._waiters.remove(waiter)
            elif self._ready:
                self._wake_one()  # it was woken up for an item that it will not take
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
