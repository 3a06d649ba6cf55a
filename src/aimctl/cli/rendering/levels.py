"""How good a state is, and its colour."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Level", "level_of"]


class Level(IntEnum):
    """How good a state is; a higher level needs attention sooner."""

    GOOD = 0
    BUSY = 1
    UNKNOWN = 2
    WAITING = 3
    BAD = 4

    @property
    def style(self) -> str:
        """The style of a state's word. Colour repeats what the word says."""
        return ("green", "cyan", "magenta", "yellow", "red")[self]


_LEVELS = {
    Level.GOOD: ("Ready", "Running", "Available", "Complete", "Succeeded", "Bound", "Present"),
    Level.BUSY: ("Progressing", "Starting", "Deleting"),
    Level.WAITING: ("New", "Waiting", "Pending", "NotReady", "NotAvailable"),
    Level.BAD: ("Degraded", "Failed", "Missing", "Lost", "Warning"),
}
_BY_STATE = {state: level for level, states in _LEVELS.items() for state in states}


def level_of(state: str) -> Level:
    """The level of a state's word; UNKNOWN for a word that is not known."""
    return _BY_STATE.get(state, Level.UNKNOWN)
