"""Injected time.

No code in the runtime, the domain or the controllers reads a system clock. Code that needs the time takes a
:class:`Clock`. The event loop is the source of monotonic time, so ``asyncio.timeout`` and ``loop.call_at`` agree
with it, and a loop with virtual time (``aimctl.testing``) advances all timers together.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, final

from aimctl.kubetypes.helpers.times import format_micro_time, format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Clock", "LoopClock", "format_micro_time", "format_time", "parse_time", "system_monotonic"]


class Clock(Protocol):
    """A source of time. All durations are float seconds."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point, never decreasing; equal to the running loop's ``time()``."""
        ...

    def now(self) -> datetime:
        """The wall-clock time, timezone-aware, in UTC. Only for timestamps in objects and logs, never for waiting."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``; for zero or less, yield to the event loop once."""
        ...


def _utc_now() -> datetime:
    return datetime.now(UTC)


@final
class LoopClock:
    """The time of the running event loop.

    Args:
        wall: returns the wall-clock time in UTC; default: the system clock.
    """

    __slots__ = ("_wall",)

    def __init__(self, wall: Callable[[], datetime] = _utc_now) -> None:
        self._wall = wall

    def monotonic(self) -> float:
        """The running loop's ``time()``. Raises RuntimeError outside a loop."""
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        """The wall-clock time in UTC."""
        return self._wall()

    async def sleep(self, seconds: float) -> None:
        """``asyncio.sleep`` on the running loop."""
        await asyncio.sleep(max(0.0, seconds))


def system_monotonic() -> float:
    """Seconds of the system's monotonic clock, for other threads than that of the event loop."""
    return time.monotonic()
