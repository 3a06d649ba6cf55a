"""The part of a long page that a live view shows, and the keys that move it.

Contract: pure. The window always lies within the page. It follows the page when the page becomes shorter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HELP", "QUIT", "Keys", "Window"]

UP, DOWN, PAGE_UP, PAGE_DOWN, TOP, BOTTOM, QUIT = (
    "up",
    "down",
    "page-up",
    "page-down",
    "top",
    "bottom",
    "quit",
)

HELP = "arrows, PgUp, PgDn scroll, q quits"

_KEYS: Mapping[str, str] = {
    **dict.fromkeys(("k", "\x1b[A", "\x1bOA"), UP),
    **dict.fromkeys(("j", "\n", "\r", "\x1b[B", "\x1bOB"), DOWN),
    **dict.fromkeys(("b", "\x1b[5~"), PAGE_UP),
    **dict.fromkeys((" ", "f", "\x1b[6~"), PAGE_DOWN),
    **dict.fromkeys(("g", "\x1b[H", "\x1b[1~", "\x1bOH"), TOP),
    **dict.fromkeys(("G", "\x1b[F", "\x1b[4~", "\x1bOF"), BOTTOM),
    **dict.fromkeys(("q", "Q"), QUIT),
}
"""The keys of ``less``, and the sequences that terminals send for arrows, PgUp, PgDn, Home and End."""

_TOKEN = re.compile(r"\x1b\[[0-9;]{0,8}[A-Za-z~]|\x1bO[A-Z]|[^\x1b]|\x1b(?!\[|O|\Z)")
_BEGINNING = re.compile(r"\x1b(\[[0-9;]{0,8}|O)?\Z")


@final
class Keys:
    """Translates what a terminal sends into commands; a sequence may be split between two pieces."""

    def __init__(self) -> None:
        self._rest = ""

    def __call__(self, piece: str) -> list[str]:
        """The commands of the keys in this piece; unknown keys are ignored."""
        text = self._rest + piece
        beginning = _BEGINNING.search(text)
        self._rest = beginning.group() if beginning is not None else ""
        tokens = _TOKEN.findall(text.removesuffix(self._rest))
        return [_KEYS[token] for token in tokens if token in _KEYS]


@final
class Window:
    """The rows that are shown.

    Attributes:
        first: number of rows before the first one that is shown.
    """

    def __init__(self) -> None:
        self.first = 0
        self._rows = 0
        self._room = 1

    def fit(self, rows: int, room: int) -> slice:
        """The rows to show of so many, in so many lines; both at least 0."""
        self._rows, self._room = rows, max(1, room)
        self.first = max(0, min(self.first, rows - self._room))
        return slice(self.first, self.first + self._room)

    def move(self, command: str) -> None:
        """Move by a command of :class:`Keys`."""
        page = max(1, self._room - 1)
        steps = {UP: -1, DOWN: 1, PAGE_UP: -page, PAGE_DOWN: page, TOP: -self._rows, BOTTOM: self._rows}
        self.first += steps.get(command, 0)
        self.fit(self._rows, self._room)

    @property
    def text(self) -> str:
        """Which rows are shown, as ``lines 1-20 of 65``."""
        last = min(self._rows, self.first + self._room)
        return f"lines {self.first + 1}-{last} of {self._rows}"
