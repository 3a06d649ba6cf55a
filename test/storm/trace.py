"""What happened in a run, as lines with the virtual time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.runtime import Clock

__all__ = ["Trace"]

_MOST_LINES = 20_000


class Trace:
    """Lines in order; the oldest are dropped after 20,000."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)

    def add(self, text: str) -> None:
        """Add a line with the current time."""
        self._lines.append(f"{self._clock.monotonic():9.3f} {text}")

    def lines(self, *words: str) -> Iterator[str]:
        """The lines that contain one of the words; all without words."""
        return (line for line in self._lines if not words or any(word in line for word in words))
