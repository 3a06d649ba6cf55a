"""How long a failed item waits before it is tried again.

Contract: :meth:`RateLimiter.when` is asked once for each failure and counts it; :meth:`RateLimiter.forget`
is called after a success. Limiters keep numbers only, start no tasks and never wait themselves.

Invariant: an item that was forgotten leaves nothing behind.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, final

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
]

K = TypeVar("K", bound="Hashable")
K_contra = TypeVar("K_contra", bound="Hashable", contravariant=True)


class RateLimiter(Protocol[K_contra]):
    """Decides delays, one item at a time."""

    def when(self, item: K_contra) -> float:
        """Count one failure of ``item`` and return the seconds it should wait, zero or more."""
        ...

    def forget(self, item: K_contra) -> None:
        """The item succeeded, or is given up: its failures count no more."""
        ...

    def num_requeues(self, item: K_contra) -> int:
        """Failures counted since the item was last forgotten."""
        ...


@final
class ExponentialRateLimiter(Generic[K]):
    """``base_seconds * 2**failures`` for each item, never above ``max_seconds``.

    The defaults, 5 ms and 1000 s, are those of client-go's controller rate limiter.
    """

    __slots__ = ("_base", "_cap_at", "_failures", "_max")

    def __init__(self, base_seconds: float = 0.005, max_seconds: float = 1000.0) -> None:
        if not 0 < base_seconds <= max_seconds < math.inf:
            raise ValueError(
                f"base_seconds={base_seconds}, max_seconds={max_seconds}: use 0 < base_seconds <= max_seconds"
            )
        self._base = base_seconds
        self._max = max_seconds
        # From this failure on the cap holds, so the power below can never overflow.
        self._cap_at = math.ceil(math.log2(max_seconds / base_seconds))
        self._failures: dict[K, int] = {}

    def when(self, item: K) -> float:
        """Seconds for this failure: the first gives ``base_seconds``, each further one twice as much."""
        failures = self._failures.get(item, 0)
        self._failures[item] = failures + 1
        if failures >= self._cap_at:
            return self._max
        return min(self._max, self._base * 2.0**failures)

    def forget(self, item: K) -> None:
        """Start again at ``base_seconds``."""
        self._failures.pop(item, None)

    def num_requeues(self, item: K) -> int:
        """Failures since the item was last forgotten."""
        return self._failures.get(item, 0)


@final
class FastSlowRateLimiter(Generic[K]):
    """``fast_seconds`` for an item's first ``max_fast_attempts`` failures, then ``slow_seconds`` for ever."""

    __slots__ = ("_failures", "_fast", "_max_fast", "_slow")

    def __init__(self, fast_seconds: float, slow_seconds: float, max_fast_attempts: int) -> None:
        if fast_seconds < 0 or slow_seconds < 0:
            raise ValueError(
                f"fast_seconds={fast_seconds}, slow_seconds={slow_seconds}: neither may be negative"
            )
        self._fast = fast_seconds
        self._slow = slow_seconds
        self._max_fast = max_fast_attempts
        self._failures: dict[K, int] = {}

    def when(self, item: K) -> float:
        """Seconds for this failure."""
        failures = self._failures.get(item, 0) + 1
        self._failures[item] = failures
        return self._fast if failures <= self._max_fast else self._slow

    def forget(self, item: K) -> None:
        """The next failures are fast again."""
        self._failures.pop(item, None)

    def num_requeues(self, item: K) -> int:
        """Failures since the item was last forgotten."""
        return self._failures.get(item, 0)


@final
class BucketRateLimiter(Generic[K]):
    """One token bucket for all items: ``rate`` tokens a second, at most ``burst`` saved up.

    Each call takes a token, if need be one of the future, so the delays of many calls form an even row. A
    token taken is not given back when the queue merges the item into an earlier entry; do not stack this on
    a limiter whose items are often added by other ways as well.
    """

    __slots__ = ("_at", "_burst", "_clock", "_rate", "_tokens")

    def __init__(self, clock: Clock, rate: float, burst: int) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError(f"rate={rate}, burst={burst}: rate must be above 0 and burst at least 1")
        self._clock = clock
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at: float | None = None

    def when(self, item: K) -> float:  # noqa: ARG002 - the bucket is the same for all
        """Seconds until the token taken now exists."""
        now = self._clock.monotonic()
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self._rate)

    def forget(self, item: K) -> None:
        """Nothing to forget: the bucket knows no items."""

    def num_requeues(self, item: K) -> int:  # noqa: ARG002 - as above
        """Always 0."""
        return 0


@final
class MaxOfRateLimiter(Generic[K]):
    """The worst of several limiters."""

    __slots__ = ("_limiters",)

    def __init__(self, *limiters: RateLimiter[K]) -> None:
        if not limiters:
            raise ValueError("MaxOfRateLimiter needs at least one limiter")
        self._limiters = limiters

    def when(self, item: K) -> float:
        """The largest delay; every limiter counts the failure."""
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
    """Another limiter's delay, but never above ``max_seconds``."""

    __slots__ = ("_limiter", "_max")

    def __init__(self, limiter: RateLimiter[K], max_seconds: float) -> None:
        self._limiter = limiter
        self._max = max_seconds

    def when(self, item: K) -> float:
        """The inner delay, capped."""
        return min(self._max, self._limiter.when(item))

    def forget(self, item: K) -> None:
        """Forget in the inner limiter."""
        self._limiter.forget(item)

    def num_requeues(self, item: K) -> int:
        """The inner limiter's count."""
        return self._limiter.num_requeues(item)
