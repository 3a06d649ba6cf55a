"""Is the event loop keeping time? A blocked loop reconciles nothing, renews no lease, and looks healthy from
outside.

A tick every ``interval`` measures by how much it came late. The lag is a gauge; more than ``limit_seconds``
of it fails the liveness check until a later tick is in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.runtime.clock import Clock

__all__ = ["LoopWatchdog"]


@final
class LoopWatchdog:
    """A runnable for every replica.

    Args:
        clock: time.
        observe: gets each lag in seconds.
        interval: seconds between ticks.
        limit_seconds: the lag from which on the check fails.
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
        """Tick until cancelled."""
        while True:
            before = self._ticked = self._clock.monotonic()
            await self._clock.sleep(self._interval)
            self._lag = max(0.0, self._clock.monotonic() - before - self._interval)
            self._observe(self._lag)

    def check(self) -> str | None:
        """For liveness; a tick that is overdue now counts like one that came late."""
        overdue = 0.0 if self._ticked is None else self._clock.monotonic() - self._ticked - self._interval
        lag = max(self._lag, overdue)
        return f"the event loop lags {lag:.1f} s behind" if lag > self._limit else None
