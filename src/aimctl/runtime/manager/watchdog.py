"""Detection of a blocked event loop, which neither reconciles nor renews the lease, but looks healthy from outside.

A timer on the loop measures its own delay: the lag. It is a metric, and the liveness check fails while the lag exceeds
a limit. A blocked loop cannot report anything itself, so a daemon thread checks that the timer fires, and otherwise
logs the stack of the code that is running on the loop.

Contract:
    * Code that blocks the loop for ``stall_seconds`` is reported within that time, with its stack. Code that blocks it
      for less than half of that time is not. While it blocks, the report is repeated after 2, 4, 8 ... times as long.
    * The end of such a stall is logged with its duration, and passed to the metrics. This also holds for a stall that
      the thread could not see, because native code held the interpreter lock.
    * A process that was suspended as a whole is not reported by the thread.
    * Leaving the context ends the timer and the thread.

Invariant: the thread shares only two numbers with the loop, and never waits for the loop.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Protocol, Self, final

import structlog

from aimctl.runtime.clock import system_monotonic

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from aimctl.runtime.clock import Clock

__all__ = ["LoopMetrics", "LoopWatchdog"]

_TICKS = 2
"""Ticks of the timer in ``stall_seconds``. Each one costs about 0.1 ms of CPU time, mostly for waking up."""

_FRAMES = 40
"""Innermost frames of the stack that are logged."""


class LoopMetrics(Protocol):
    """Receives what the watchdog measures, on the loop's thread."""

    def loop_lag(self, seconds: float) -> None:
        """The lag of one tick."""
        ...

    def loop_stall(self, seconds: float) -> None:
        """The loop was blocked for this time."""
        ...


@final
class LoopWatchdog:
    """Measures the lag of the event loop, and reports stalls. Use it as an async context manager, once.

    Args:
        clock: time of the loop.
        metrics: hooks.
        interval: seconds between measurements of the lag; 0 for no watchdog.
        limit_seconds: a larger lag fails the check.
        stall_seconds: real seconds after which a thread reports a blocked loop; 0 for no thread. The lag is then
            measured at least twice in this time. Not for a loop with virtual time.
        logger: for stalls.

    Raises:
        ValueError: a negative number.
    """

    def __init__(
        self,
        clock: Clock,
        metrics: LoopMetrics,
        *,
        interval: float,
        limit_seconds: float = 5.0,
        stall_seconds: float = 0.0,
        logger: FilteringBoundLogger | None = None,
    ) -> None:
        if interval < 0 or stall_seconds < 0:
            raise ValueError(f"loop_lag_interval={interval}, stall_seconds={stall_seconds}: use 0 or more")
        self._clock = clock
        self._metrics = metrics
        self._limit = limit_seconds
        self._stall = stall_seconds
        most = stall_seconds / _TICKS
        self._interval = min(interval or most, most or interval)
        self._log: FilteringBoundLogger = logger or structlog.get_logger(__name__)
        self._lag = 0.0
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ticked = 0.0
        """Time of the latest tick on the clock of the system."""
        self._reported = 0.0
        """The tick after which the latest stall was reported."""
        self._running = threading.Lock()
        """Held until the thread has to end. A lock, because waiting for an Event costs twice the CPU time."""
        self._thread: threading.Thread | None = None

    async def __aenter__(self) -> Self:
        """Start the timer and the thread."""
        if self._interval:
            self._schedule()
        if self._stall:
            self._ticked = system_monotonic()
            loop = asyncio.get_running_loop()
            self._running.acquire()
            watched = threading.get_ident()
            self._thread = threading.Thread(
                target=self._watch, args=(loop, watched), name="event loop watchdog", daemon=True
            )
            self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End them. The thread waits for nothing but its lock, so this does not block."""
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._running.release()
            self._thread.join()

    def check(self) -> str | None:
        """A liveness check; a measurement that is overdue counts as a lag."""
        overdue = 0.0 if self._due is None else self._clock.monotonic() - self._due
        lag = max(self._lag, overdue)
        return f"the event loop lags {lag:.1f} s behind" if lag > self._limit else None

    # ---- on the loop

    def _schedule(self) -> None:
        self._due = self._clock.monotonic() + self._interval
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._tick)

    def _tick(self) -> None:
        lag = 0.0 if self._due is None else max(0.0, self._clock.monotonic() - self._due)
        self._lag = lag
        self._metrics.loop_lag(lag)
        if self._stall:
            reported = self._reported == self._ticked
            self._ticked = system_monotonic()
            if reported or lag >= self._stall:
                self._metrics.loop_stall(lag)
                self._log.warning("the event loop was blocked", seconds=round(lag, 3))
        self._schedule()

    # ---- in the thread

    def _watch(self, loop: asyncio.AbstractEventLoop, watched: int) -> None:
        """Wait until the latest tick is ``stall_seconds`` old; report then, and again at doubling ages."""
        tick, age, now = self._ticked, self._stall, system_monotonic()
        while True:
            until = max(now, tick + age)
            if self._running.acquire(timeout=until - now):
                return
            now = system_monotonic()
            if now - until > self._stall / 2:  # this thread was late as well: the process was suspended
                tick = self._ticked
                age = now - tick + self._stall
            elif tick != self._ticked:
                tick, age = self._ticked, self._stall
            else:
                self._reported = tick
                self._report(loop, watched, now - tick)
                age *= 2

    def _report(self, loop: asyncio.AbstractEventLoop, watched: int, seconds: float) -> None:
        frame = sys._current_frames().get(watched)  # noqa: SLF001 - the documented way to the stack of a thread
        stack = traceback.extract_stack(frame, limit=_FRAMES) if frame is not None else []
        task = asyncio.current_task(loop)
        self._log.error(
            "the event loop is blocked: no timer, watch or lease renewal can run",
            seconds=round(seconds, 3),
            task="" if task is None else task.get_name(),
            at=f"{stack[-1].filename}:{stack[-1].lineno} in {stack[-1].name}" if stack else "",
            stack="".join(traceback.format_list(stack)),
            remedy="await instead of blocking, or call the blocking function with asyncio.to_thread",
        )
