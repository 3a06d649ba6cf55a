"""From what a reconciler returned or raised to what happens next: one pure function.

    result label    counted as error   next look
    success         no                 none; failures forgotten
    requeue_after   no                 after the asked seconds; failures forgotten
    requeue         no                 rate limited
    error           yes                rate limited, at least the server's Retry-After
    error, terminal yes                none
    conflict        no                 0.1 s, failures neither added nor forgotten
    refused         no                 rate limited: this process may not write now (see ``WriteRefused``)

Why a conflict is no error: somebody else wrote between our read and our write, the normal case of optimistic
locking. The next look reads the newer object. A server-side-apply conflict about field ownership does not go
away by looking again, so it is an error, and so is the eleventh conflict in a row of one key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from aimctl.runtime.controller.reconcile import Result, RetryAfter, TerminalError
from aimctl.runtime.kube.errors import ApiError, Conflict, WriteRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CONFLICT_RETRY_SECONDS",
    "MAX_CONFLICTS_IN_A_ROW",
    "RESULT_LABELS",
    "Outcome",
    "ResultLabel",
    "judge",
]

ResultLabel: TypeAlias = Literal["success", "requeue_after", "requeue", "error", "conflict", "refused"]
RESULT_LABELS: tuple[ResultLabel, ...] = (
    "success",
    "requeue_after",
    "requeue",
    "error",
    "conflict",
    "refused",
)

CONFLICT_RETRY_SECONDS = 0.1
"""Time for the watch to bring the newer object when the store does not have it yet."""
MAX_CONFLICTS_IN_A_ROW = 10

_BUGS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NameError,
    NotImplementedError,
    RecursionError,
    TypeError,
)
"""What Python raises for a mistake in the code; the counterpart of a panic."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to count and what to do.

    Attributes:
        label: value of the metric label ``result``.
        forget: drop the key's memory of failures.
        after: seconds to the next look, None for none; ``rate_limited`` makes it a minimum.
        rate_limited: the next look waits for the key's growing pause.
        terminal, panic: further counters to raise.
        error: what was raised, for the log.
    """

    label: ResultLabel
    forget: bool = False
    after: float | None = None
    rate_limited: bool = False
    terminal: bool = False
    panic: bool = False
    error: BaseException | None = None


def judge(result: Result | None, error: Exception | None, *, conflicts_in_a_row: int = 0) -> Outcome:
    """Decide. An error wins over a result; in an exception group the worst member decides.

    Args:
        result: what the reconciler returned.
        error: what it raised instead.
        conflicts_in_a_row: how many runs of this key just before ended as ``conflict``.
    """
    if error is not None:
        worst = max((_judge_one(leaf, conflicts_in_a_row) for leaf in _leaves(error)), key=_severity)
        if worst.error is error:
            return worst
        return Outcome(
            worst.label, worst.forget, worst.after, worst.rate_limited, worst.terminal, worst.panic, error
        )
    if result is None:
        return Outcome("success", forget=True)
    if result.requeue_after is not None and result.requeue_after > 0:
        return Outcome("requeue_after", forget=True, after=result.requeue_after)
    if result.requeue:
        return Outcome("requeue", after=0.0, rate_limited=True)
    return Outcome("success", forget=True)


def _judge_one(error: BaseException, conflicts_in_a_row: int) -> Outcome:
    match error:
        case RetryAfter():
            return Outcome("requeue_after", forget=True, after=max(0.0, error.seconds), error=error)
        case TerminalError():
            return Outcome("error", terminal=True, error=error)
        case WriteRefused():
            return Outcome("refused", after=0.0, rate_limited=True, error=error)
        case Conflict() if conflicts_in_a_row < MAX_CONFLICTS_IN_A_ROW and not _about_ownership(error):
            return Outcome("conflict", after=CONFLICT_RETRY_SECONDS, error=error)
        case ApiError():
            return Outcome("error", after=error.retry_after or 0.0, rate_limited=True, error=error)
        case _:
            return Outcome("error", after=0.0, rate_limited=True, panic=isinstance(error, _BUGS), error=error)


def _severity(outcome: Outcome) -> tuple[bool, bool, bool, bool, float]:
    """Later in the order wins; a terminal error loses to one worth retrying, since retrying serves both."""
    return (
        outcome.label == "error",
        outcome.panic,
        not outcome.terminal and outcome.label == "error",
        outcome.label in {"refused", "conflict"},
        outcome.after or 0.0,
    )


def _about_ownership(error: Conflict) -> bool:
    causes = error.details.get("causes") or ()
    return any(cause.get("reason") == "FieldManagerConflict" for cause in causes)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    else:
        yield error
