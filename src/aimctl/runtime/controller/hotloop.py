"""Finds a key that is reconciled again and again without any error.

Such a loop is silent: every run succeeds, and its own write (a status with a fresh timestamp, two controllers
that undo each other) causes the next. It costs the API server a write each time and is found, if ever, by its
bill.

Counts runs of each key in windows of ``seconds``. Memory: one number for each key that ran in the current
window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["HotLoopDetector"]

K = TypeVar("K", bound="Hashable")


@final
class HotLoopDetector(Generic[K]):
    """Says once a window and key that ``runs`` successful runs fell into it.

    Args:
        runs: how many are too many; 0 switches the detector off.
        seconds: length of the window.
    """

    __slots__ = ("_counts", "_runs", "_seconds", "_since")

    def __init__(self, runs: int = 50, seconds: float = 10.0) -> None:
        if runs < 0 or seconds <= 0:
            raise ValueError(f"runs={runs}, seconds={seconds}: runs must not be negative, seconds above zero")
        self._runs = runs
        self._seconds = seconds
        self._since = float("-inf")
        self._counts: dict[K, int] = {}

    @property
    def limit(self) -> str:
        """The rule in words, for the log."""
        return f"{self._runs} runs in {self._seconds:g} s"

    def succeeded(self, key: K, now: float) -> bool:
        """Count a successful run at monotonic time ``now``; True exactly when it is the one too many."""
        if self._runs == 0:
            return False
        if now - self._since >= self._seconds:
            self._since = now
            self._counts.clear()
        count = self._counts.get(key, 0) + 1
        self._counts[key] = count
        return count == self._runs
