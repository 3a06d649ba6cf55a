"""Rate limiters: the delay before a failed item is retried.

Contract: :meth:`RateLimiter.when` is called once for each failure and counts it; :meth:`RateLimiter.forget` is called
after a success. Rate limiters only compute delays; they do not wait and start no tasks.

Invariant: a forgotten item uses no memory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, final

from aimctl.kubetypes.helpers.backoff import exponential_delay
from aimctl.runtime.arguments import check_count, check_number

if TYPE_CHECKING:
    from collections.abc import Hashable

    from aimctl.runtime.clock import Clock

__all__ = [
    "BucketRateLimiter",
    "ExponentialRateLimiter",
    "FastSlowRateLimiter",
    "MaxOfRateLimiter",
    "MaxWaitRateLimiter",
    "RateLimiter",
    "exponential_delay",
]

K = TypeVar("K", bound="Hashable")
K_contra = TypeVar("K_contra", bound="Hashable", contravariant=True)


class RateLimiter(Protocol[K_contra]):
    """Computes the delay of an item from its failures."""

    def when(self, item: K_contra) -> float:
        """Count one failure of ``item`` and return its delay in seconds, zero or more."""
        ...

    def forget(self, item: K_contra) -> None:
        """Reset the failures of ``item``, because it succeeded or will not be retried."""
        ...

    def num_requeues(self, item: K_contra) -> int:
        """Failures counted since the item was last forgotten."""
        ...


class _FailureCounter(Generic[K]):
    """Counts failures per item."""

    __slots__ = ("_failures",)

    def __init__(self) -> None:
        self._failures: dict[K, int] = {}

    def _count(self, item: K) -> int:
        """Count a failure; returns the number of earlier ones."""
        failures = self._failures.get(item, 0)
        self._failures[item] = failures + 1
        return failures

    def forget(self, item: K) -> None:
        """Reset the failures of ``item``."""
        self._failures.pop(item, None)

    def num_requeues(self, item: K) -> int:
        """Failures since the item was last forgotten."""
        return self._failures.get(item, 0)


@final
class ExponentialRateLimiter(_FailureCounter[K]):
    """``base_seconds * 2**failures`` for each item, never above ``max_seconds``.

    The defaults, 5 ms and 1000 s, are those of client-go's controller rate limiter.
    """

    __slots__ = ("_base", "_max")

    def __init__(self, base_seconds: float = 0.005, max_seconds: float = 1000.0) -> None:
        if not 0 < base_seconds <= max_seconds < math.inf:
            raise ValueError(
                f"base_seconds={base_seconds}, max_seconds={max_seconds}: use 0 < base_seconds <= max_seconds"
            )
        super().__init__()
        self._base = base_seconds
        self._max = max_seconds

    def when(self, item: K) -> float:
        """Delay in seconds: ``base_seconds`` after the first failure, doubled after each further one."""
        return exponential_delay(self._count(item), self._base, self._max)


@final
class FastSlowRateLimiter(_FailureCounter[K]):
    """``fast_seconds`` for the first ``max_fast_attempts`` failures of an item, ``slow_seconds`` for all later ones."""

    __slots__ = ("_fast", "_max_fast", "_slow")

    def __init__(self, fast_seconds: float, slow_seconds: float, max_fast_attempts: int) -> None:
        check_number("fast_seconds", fast_seconds, zero=True)
        check_number("slow_seconds", slow_seconds, zero=True)
        check_count("max_fast_attempts", max_fast_attempts, least=0)
        super().__init__()
        self._fast = fast_seconds
        self._slow = slow_seconds
        self._max_fast = max_fast_attempts

    def when(self, item: K) -> float:
        """Delay in seconds."""
        return self._fast if self._count(item) < self._max_fast else self._slow


@final
class BucketRateLimiter(Generic[K]):
    """One token bucket for all items: ``rate`` tokens per second, at most ``burst`` tokens.

    Each call takes a token, if necessary a future one, so the delays of many calls are evenly spaced. A token is not
    returned if the queue merges the item into an earlier entry. Do not use it for items that are often added in other
    ways as well.
    """

    __slots__ = ("_at", "_burst", "_clock", "_rate", "_tokens")

    def __init__(self, clock: Clock, rate: float, burst: int) -> None:
        check_number("rate", rate)
        check_count("burst", burst)
        self._clock = clock
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at: float | None = None

    def when(self, item: K) -> float:  # noqa: ARG002 - the bucket is the same for all
        """Seconds until the token that this call takes is available."""
        now = self._clock.monotonic()
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self._rate)

    def forget(self, item: K) -> None:
        """Does nothing: the bucket has no state per item."""

    def num_requeues(self, item: K) -> int:  # noqa: ARG002 - the bucket is the same for all
        """Always 0."""
        return 0


@final
class MaxOfRateLimiter(Generic[K]):
    """The longest delay of several limiters."""

    __slots__ = ("_limiters",)

    def __init__(self, *limiters: RateLimiter[K]) -> None:
        if not limiters:
            raise ValueError("MaxOfRateLimiter needs at least one limiter")
        self._limiters = limiters

    def when(self, item: K) -> float:
        """The longest delay; every limiter counts the failure."""
        return max([limiter.when(item) for limiter in self._limiters])

    def forget(self, item: K) -> None:
        """Forget in all of them."""
        for limiter in self._limiters:
            limiter.forget(item)

    def num_requeues(self, item: K) -> int:
        """The largest count."""
        return max(limiter.num_requeues(item) for limiter in self._limiters)


@final
class MaxWaitRateLimiter(Generic[K]):
    """The delay of another limiter, at most ``max_seconds``."""

    __slots__ = ("_limiter", "_max")

    def __init__(self, limiter: RateLimiter[K], max_seconds: float) -> None:
        check_number("max_seconds", max_seconds, zero=True)
        self._limiter = limiter
        self._max = max_seconds

    def when(self, item: K) -> float:
        """The delay of the other limiter, at most ``max_seconds``."""
        return min(self._max, self._limiter.when(item))

    def forget(self, item: K) -> None:
        """Forget in the other limiter."""
        self._limiter.forget(item)

    def num_requeues(self, item: K) -> int:
        """The count of the other limiter."""
        return self._limiter.num_requeues(item)
