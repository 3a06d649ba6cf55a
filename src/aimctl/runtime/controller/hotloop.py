"""Detection of hot loops: a request that is reconciled repeatedly without errors.

In a hot loop every reconcile succeeds, and its own write triggers the next one, for example a status with a new
timestamp, or two controllers that revert each other's changes. No error is logged, but each iteration costs a write.

The detector counts the reconciles of each request in windows of ``seconds``. It uses memory for one number per request
of the current window, and shortly before the limit also for the writes of the request, which the report names.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Generic, TypeVar, final

from aimctl.runtime.arguments import check_count, check_number
from aimctl.runtime.controller.write_log import WriteLog

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["STANDSTILL_RUNS", "HotLoopDetector", "on_standstill", "standstill_detector"]

K = TypeVar("K", bound="Hashable")

STANDSTILL_RUNS, _STANDSTILL_SECONDS = 1000, 0.001
"""Reconciles of a request in this virtual time, after which they are called a hot loop. A requeue after microseconds
would otherwise delay the timers of the test as much as one without any delay."""

_RECORDED = 10
"""Reconciles before the limit whose writes are recorded. Two writes are needed to show what changes, and not every
reconcile of a hot loop writes."""

on_standstill: ContextVar[Callable[[str], None] | None] = ContextVar("aimctl_on_standstill", default=None)
"""Set by a loop with virtual time: called with a description of a hot loop in which no time passes. The loop has to end
it, because no timer ever fires. In real time it is not needed."""


@final
class HotLoopDetector(Generic[K]):
    """Detects ``runs`` successful reconciles of a key within a window, once per key and window.

    Args:
        runs: number of reconciles that counts as a hot loop; 0 disables the detector.
        seconds: length of the window.
    """

    __slots__ = ("_counts", "_runs", "_seconds", "_since", "_writes")

    def __init__(self, runs: int = 50, seconds: float = 10.0) -> None:
        check_count("runs", runs, least=0)
        check_number("seconds", seconds)
        self._runs = runs
        self._seconds = seconds
        self._since = float("-inf")
        self._counts: dict[K, int] = {}
        self._writes: dict[K, WriteLog] = {}

    @property
    def enabled(self) -> bool:
        """Whether it detects anything."""
        return self._runs > 0

    @property
    def limit(self) -> str:
        """The limit as text, for the log."""
        return f"{self._runs} reconciles in {self._seconds:g} s"

    def write_log(self, key: K) -> WriteLog | None:
        """Where to record the writes of the next reconcile; None if the key is far from the limit, or above it."""
        if not 0 <= self._runs - 1 - self._counts.get(key, 0) < _RECORDED:
            return None
        return self._writes.setdefault(key, WriteLog())

    def writes(self, key: K) -> tuple[str, ...]:
        """The recorded writes of a key, described for the report."""
        log = self._writes.get(key)
        return () if log is None else log.described()

    def succeeded(self, key: K, now: float) -> bool:
        """Count a successful reconcile at monotonic time ``now``; True if it is the ``runs``-th of the window."""
        if self._runs == 0:
            return False
        if now - self._since >= self._seconds:
            self._since = now
            self._counts.clear()
            self._writes.clear()
        count = self._counts.get(key, 0) + 1
        self._counts[key] = count
        return count == self._runs


def standstill_detector() -> HotLoopDetector[K]:
    """A detector of hot loops in which hardly any time passes. It is disabled unless :data:`on_standstill` is set."""
    return HotLoopDetector(0 if on_standstill.get() is None else STANDSTILL_RUNS, _STANDSTILL_SECONDS)
