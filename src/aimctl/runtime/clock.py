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


def format_time(moment: datetime) -> str:
    """``metav1.Time``: RFC 3339 in UTC with whole seconds, ``2026-01-02T03:04:05Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime) -> str:
    """``metav1.MicroTime``: RFC 3339 in UTC with six decimals, as Leases and Events use."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Parse either format, or any other RFC 3339 text with a time zone.

    Raises:
        ValueError: the text is not RFC 3339 or has no time zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time {text!r} has no time zone: write it like 2026-01-02T03:04:05Z")
    return moment.astimezone(UTC)
