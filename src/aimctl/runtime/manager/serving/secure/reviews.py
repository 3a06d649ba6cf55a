"""Answers of reviews: cached, shared by concurrent requests, and limited in number.

Contract of :class:`Reviews`, for each key:
    * An answer is used again for a limited time: positive answers for :data:`POSITIVE_SECONDS`, negative ones for
      :data:`NEGATIVE_SECONDS`. Errors, timeouts and uncertain answers are never kept.
    * At most :data:`MAX_ENTRIES` positive and as many negative answers are kept. The one that was not used for the
      longest time is dropped. Negative answers never displace positive ones.
    * Concurrent requests for one key share one review. The review continues if the request that started it ends.
    * Reviews run in two classes, each with at most :data:`MAX_CONCURRENT` at a time: keys whose latest answer was
      positive, and all others. At most :data:`MAX_WAITING` reviews of the second class are unfinished, and they start
      at :data:`REVIEWS_PER_SECOND` after a burst of :data:`BURST`. Further ones are rejected at once. So invented
      tokens load the API server only to a limit, and do not delay clients that are known.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Self, TypeVar, final

from aimctl.runtime.manager.serving.limits import Budget

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aimctl.runtime.clock import Clock

__all__ = ["Answer", "Expiring", "Reviews", "Unavailable"]

V = TypeVar("V")

POSITIVE_SECONDS = 60.0
NEGATIVE_SECONDS = 10.0
MAX_ENTRIES = 256
MAX_CONCURRENT = 4
MAX_WAITING = 16
REVIEWS_PER_SECOND = 10.0
BURST = 20.0

REVIEW_SECONDS = 10.0
"""Time limit of one review, with the time for which it waits for its start."""


class Unavailable(Exception):  # noqa: N818 - a state, not a mistake of the caller
    """There is no answer: the review failed, took too long, or was not started because there are too many."""


@final
@dataclass(frozen=True, slots=True)
class Answer(Generic[V]):
    """The answer of a review.

    Attributes:
        value: the answer.
        positive: whether it grants something.
        certain: whether it may be kept.
    """

    value: V
    positive: bool
    certain: bool = True


@final
class Expiring(Generic[V]):
    """A bounded mapping whose entries end after some time.

    Args:
        now: monotonic time.
        limit: largest number of entries.
    """

    def __init__(self, now: Callable[[], float], limit: int) -> None:
        self._now = now
        self._limit = limit
        self._entries: OrderedDict[bytes, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> V | None:
        """The value, or None if there is none or its time is over."""
        entry = self._entries.get(key)
        if entry is None or entry[0] <= self._now():
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def has(self, key: bytes) -> bool:
        """Whether there is a value, also if its time is over."""
        return key in self._entries

    def put(self, key: bytes, value: V, seconds: float) -> None:
        """Keep a value for some seconds."""
        self._entries[key] = (self._now() + seconds, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def drop(self, key: bytes) -> None:
        """Remove a value, if there is one."""
        self._entries.pop(key, None)


@final
class Reviews(Generic[V]):
    """The reviews of one kind. Use it as an async context manager: leaving it ends those that are running.

    Args:
        clock: time.
    """

    def __init__(self, clock: Clock) -> None:
        self._positive: Expiring[Answer[V]] = Expiring(clock.monotonic, MAX_ENTRIES)
        self._negative: Expiring[Answer[V]] = Expiring(clock.monotonic, MAX_ENTRIES)
        self._running: dict[bytes, asyncio.Task[Answer[V]]] = {}
        self._known, self._others = asyncio.Semaphore(MAX_CONCURRENT), asyncio.Semaphore(MAX_CONCURRENT)
        self._unfinished = 0
        """Reviews of keys that are not known."""
        self._budget = Budget(clock.monotonic, rate=REVIEWS_PER_SECOND, maximum=BURST)

    async def __aenter__(self) -> Self:
        """Return itself; there is nothing to start."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel the reviews that are running, and wait for them."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def answer(self, key: bytes, ask: Callable[[], Awaitable[Answer[V]]]) -> V:
        """The answer for a key.

        Args:
            key: identifies the question.
            ask: sends the review; called if there is no answer yet.

        Raises:
            Unavailable: there is no answer.
        """
        kept = self._positive.get(key) or self._negative.get(key)
        if kept is not None:
            return kept.value
        task = self._running.get(key) or self._start(key, ask)
        try:
            # Shielded, because other requests wait for the same review.
            return (await asyncio.shield(task)).value
        except asyncio.CancelledError:
            if task.cancelled():
                raise Unavailable from None
            raise

    def _start(self, key: bytes, ask: Callable[[], Awaitable[Answer[V]]]) -> asyncio.Task[Answer[V]]:
        known = self._positive.has(key)
        if not known:
            if self._unfinished >= MAX_WAITING or not self._budget.available():
                raise Unavailable
            self._budget.spend(1.0)
            self._unfinished += 1
        task = asyncio.get_running_loop().create_task(self._review(key, ask, known=known))
        self._running[key] = task
        task.add_done_callback(lambda done: self._end(key, done, known=known))
        return task

    def _end(self, key: bytes, task: asyncio.Task[Answer[V]], *, known: bool) -> None:
        del self._running[key]
        if not known:
            self._unfinished -= 1
        if not task.cancelled():
            task.exception()  # it is raised where the answer is awaited, which may be nowhere

    async def _review(self, key: bytes, ask: Callable[[], Awaitable[Answer[V]]], *, known: bool) -> Answer[V]:
        try:
            async with asyncio.timeout(REVIEW_SECONDS), self._known if known else self._others:
                answer = await ask()
        except TimeoutError as error:
            raise Unavailable from error
        if answer.positive and answer.certain:
            self._negative.drop(key)
            self._positive.put(key, answer, POSITIVE_SECONDS)
        else:
            self._positive.drop(key)
            if answer.certain:
                self._negative.put(key, answer, NEGATIVE_SECONDS)
        return answer
