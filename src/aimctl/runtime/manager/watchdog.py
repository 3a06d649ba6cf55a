"""Detection of a blocked event loop, which neither reconciles nor renews the lease, but looks healthy from outside.

A timer every ``interval`` measures its own delay. The lag is a metric; if it exceeds ``limit_seconds``, the liveness
check fails until the timer is on time again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.runtime.clock import Clock

__all__ = ["LoopWatchdog"]


@final
class LoopWatchdog:
    """A runnable that measures the lag of the event loop on every replica.

    Args:
        clock: time.
        observe: receives each measured lag in seconds.
        interval: seconds between measurements.
        limit_seconds: a larger lag fails the check.
    """

    needs_leader_election = False

    def __init__(
        self, clock: Clock, observe: Callable[[float], None], *, interval: float, limit_seconds: float = 5.0
    ) -> None:
        self._clock = clock
        self._observe = observe
        self._interval = interval
        self._limit = limit_seconds
        self._lag = 0.0
        self._ticked: float | None = None

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            before = self._ticked = self._clock.monotonic()
            await self._clock.sleep(self._interval)
            self._lag = max(0.0, self._clock.monotonic() - before - self._interval)
            self._observe(self._lag)

    def check(self) -> str | None:
        """A liveness check; a measurement that is overdue counts as a lag."""
        overdue = 0.0 if self._ticked is None else self._clock.monotonic() - self._ticked - self._interval
        lag = max(self._lag, overdue)
        return f"the event loop lags {lag:.1f} s behind" if lag > self._limit else None
