"""Detection of hot loops: a request that is reconciled repeatedly without errors.

In a hot loop every reconcile succeeds, and its own write triggers the next one, for example a status with a new
timestamp, or two controllers that revert each other's changes. No error is logged, but each iteration costs a write.

The detector counts the reconciles of each request in windows of ``seconds``. It uses memory for one number per request
of the current window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["HotLoopDetector"]

K = TypeVar("K", bound="Hashable")


@final
class HotLoopDetector(Generic[K]):
    """Detects ``runs`` successful reconciles of a key within a window, once per key and window.

    Args:
        runs: number of reconciles that counts as a hot loop; 0 disables the detector.
        seconds: length of the window.
    """

    __slots__ = ("_counts", "_runs", "_seconds", "_since")

    def __init__(self, runs: int = 50, seconds: float = 10.0) -> None:
        if runs < 0 or seconds <= 0:
            raise ValueError(f"runs={runs}, seconds={seconds}: use runs >= 0 and seconds > 0")
        self._runs = runs
        self._seconds = seconds
        self._since = float("-inf")
        self._counts: dict[K, int] = {}

    @property
    def limit(self) -> str:
        """The limit as text, for the log."""
        return f"{self._runs} reconciles in {self._seconds:g} s"

    def succeeded(self, key: K, now: float) -> bool:
        """Count a successful reconcile at monotonic time ``now``; True if it is the ``runs``-th of the window."""
        if self._runs == 0:
            return False
        if now - self._since >= self._seconds:
            self._since = now
            self._counts.clear()
        count = self._counts.get(key, 0) + 1
        self._counts[key] = count
        return count == self._runs
