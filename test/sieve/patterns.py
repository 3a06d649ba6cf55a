"""The patterns of disturbances, and the result of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from sieve.endstate import EndState

__all__ = ["CRASHES", "PATTERNS", "Disturbance", "Outcome", "Pattern"]

Pattern = Literal[
    "crash-before",
    "crash-after",
    "lost-request",
    "lost-response",
    "late-write",
    "stale-takeover",
    "time-travel",
    "lagging-watch",
    "lost-event",
]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
CRASHES: tuple[Pattern, ...] = ("crash-before", "crash-after")
"""Patterns that a sample contains as a whole."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What happens once in a run.

    Attributes:
        pattern: the kind of fault.
        number: of the write of a manager, or of the change of the kind, from 1.
        plural: the kind; "" for crashes.
    """

    pattern: Pattern
    number: int
    plural: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.pattern, self.plural, str(self.number))))


@dataclass(slots=True)
class Outcome:
    """The result of one run.

    Attributes:
        disturbance: None for the undisturbed run.
        where: the write or change at which it happened.
        problems: one line each.
        end: the end state.
        seconds: virtual time in which the scenario reached all its states.
        moments: writes, and changes of kinds that managers read, for each pattern that applies to them. Only of the
            undisturbed run.
    """

    disturbance: Disturbance | None = None
    where: str = ""
    problems: list[str] = field(default_factory=list)
    end: EndState = field(default_factory=dict)
    seconds: float = 0.0
    moments: Counter[Pattern] = field(default_factory=Counter)
