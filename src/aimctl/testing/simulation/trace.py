"""What happened in a simulated run: who wrote what, who saw what, and when.

Contract: entries are in the order in which they happened, with the virtual time. Their text is made when it is read, so
a run whose trace is not read costs little. The digest covers the text of all entries; runs are equal if their digests
are.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, NamedTuple, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Entry", "Trace"]


class Entry(NamedTuple):
    """One thing that happened.

    Attributes:
        at: virtual seconds since the start of the run.
        actor: who did or saw it: a process, ``cluster``, ``user`` or ``fault``.
        what: the text, or a function that makes it.
    """

    at: float
    actor: str
    what: str | Callable[[], str]

    def text(self) -> str:
        """One line."""
        what = self.what if isinstance(self.what, str) else self.what()
        return f"{self.at:9.3f} {self.actor:<12} {what}"


@final
class Trace:
    """All entries of a run."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, actor: str, what: str | Callable[[], str]) -> None:
        """Add an entry with the time of the running loop. A function must always return the same text."""
        self._entries.append(Entry(asyncio.get_running_loop().time(), actor, what))

    def lines(self, *words: str) -> Iterator[str]:
        """The entries as lines; with words, only those that contain at least one of them."""
        for entry in self._entries:
            line = entry.text()
            if not words or any(word in line for word in words):
                yield line

    def digest(self) -> str:
        """SHA-256 of all lines, in hexadecimal."""
        found = hashlib.sha256()
        for line in self.lines():
            found.update(line.encode() + b"\n")
        return found.hexdigest()

    def __len__(self) -> int:
        return len(self._entries)
