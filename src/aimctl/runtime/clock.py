"""Time, injected.

Nothing in the runtime, the domain or the controllers reads a clock of its own. Whoever needs the time takes a
:class:`Clock`. The event loop is the source of monotonic time, so ``asyncio.timeout`` and ``loop.call_at`` agree
with it, and a loop with virtual time (``aimctl.testing``) moves everything at once.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Clock", "LoopClock", "format_micro_time", "format_time", "parse_time"]


class Clock(Protocol):
    """A source of time. All durations are float seconds."""

    def monotonic(self) -> float:
        """Seconds that never go back; equal to the running loop's ``time()``."""
        ...

    def now(self) -> datetime:
        """The wall clock, timezone-aware UTC. Only for what people and other programs read, never for waiting."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; at once (but yielding) when ``seconds`` is zero or negative."""
        ...


def _utc_now() -> datetime:
    return datetime.now(UTC)


@final
class LoopClock:
    """The running event loop's time.

    Args:
        wall: where the wall clock comes from; the default is the machine's.
    """

    __slots__ = ("_wall",)

    def __init__(self, wall: Callable[[], datetime] = _utc_now) -> None:
        self._wall = wall

    def monotonic(self) -> float:
        """Seconds of the running loop. Raises RuntimeError outside a loop."""
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        """The wall clock in UTC."""
        return self._wall()

    async def sleep(self, seconds: float) -> None:
        """``asyncio.sleep`` on the running loop."""
        await asyncio.sleep(max(0.0, seconds))


def format_time(moment: datetime) -> str:
    """``metav1.Time``: RFC 3339 in UTC with whole seconds, ``2026-01-02T03:04:05Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime) -> str:
    """``metav1.MicroTime``: RFC 3339 in UTC with six decimals, as Leases and Events use."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Read either form (any RFC 3339 text with a zone).

    Raises:
        ValueError: the text is not RFC 3339 or has no zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = f"time {text!r} has no zone: write it like 2026-01-02T03:04:05Z"
        raise ValueError(msg)
    return moment.astimezone(UTC)
