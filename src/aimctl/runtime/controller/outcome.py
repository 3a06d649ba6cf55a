"""The outcome of a reconcile, as a pure function of what the reconciler returned or raised.

    result label    counts as error    requeue
    success         no                 no; failures are reset
    requeue_after   no                 after the given seconds; failures are reset
    requeue_after   no                 after a second, if the reconciler read a cache that is not synced
    requeue         no                 rate limited
    error           yes                rate limited, at least the server's Retry-After
    error, terminal yes                no
    conflict        no                 after 0.1 s; failures are neither counted nor reset
    refused         no                 rate limited: this process may not write now (see ``WriteRefused``)

A conflict is not an error: another client has written the object between the read and the write, which is normal with
optimistic locking. The next reconcile reads the newer object. A server-side-apply conflict about field ownership does
not resolve itself, so it is an error. So is the eleventh consecutive conflict of one request.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from aimctl.runtime.cache import CacheNotSynced
from aimctl.runtime.controller.reconcile import (
    LONGEST_REQUEUE_SECONDS,
    Result,
    RetryAfter,
    TerminalError,
)
from aimctl.runtime.kube.errors import ApiError, Conflict, WriteRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CONFLICT_RETRY_SECONDS",
    "MAX_CONFLICTS_IN_A_ROW",
    "RESULT_LABELS",
    "Outcome",
    "ResultLabel",
    "classify",
    "limited",
    "text_of",
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
"""The values of the metric label ``result``, one for each kind of outcome."""

CONFLICT_RETRY_SECONDS = 0.1
"""Time for the watch to deliver the newer object, if the cache does not have it yet."""
MAX_CONFLICTS_IN_A_ROW = 10
UNSYNCED_RETRY_SECONDS = 1.0
"""Delay after a read of a cache that is not synced, which may take long."""

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
"""Exceptions that indicate a programming error; the counterpart of a panic."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How to count a reconcile and when to requeue its request.

    Attributes:
        label: value of the metric label ``result``.
        forget: reset the failures of the request.
        after: seconds until the next reconcile, None for none; a minimum if ``rate_limited``.
        rate_limited: the next reconcile is delayed by the rate limiter.
        terminal, panic: further counters to increase.
        error: the exception, for the log.
    """

    label: ResultLabel
    forget: bool = False
    after: float | None = None
    rate_limited: bool = False
    terminal: bool = False
    panic: bool = False
    error: BaseException | None = None


_SUCCESS = Outcome("success", forget=True)


def classify(result: Result | None, error: Exception | None, *, conflicts_in_a_row: int = 0) -> Outcome:
    """The outcome. Of the members of an exception group the most severe decides.

    It never raises: an exception that cannot be classified, such as one without the attributes of its base class, is an
    error like any other. ``after`` is at most :data:`LONGEST_REQUEUE_SECONDS`.

    Args:
        result: the value that the reconciler returned.
        error: the exception that it raised instead, or None.
        conflicts_in_a_row: number of consecutive ``conflict`` outcomes of this request before.
    """
    try:
        outcome = _classify(result, error, conflicts_in_a_row)
        if outcome.after is None or 0 <= outcome.after <= LONGEST_REQUEUE_SECONDS:
            return outcome
        return replace(outcome, after=limited(outcome.after))
    except Exception as unclear:  # noqa: BLE001 - user code: subclasses of our exceptions
        unclear.__cause__ = unclear.__cause__ or error
        return Outcome("error", after=0.0, rate_limited=True, panic=True, error=unclear)


def limited(seconds: float) -> float:
    """Between zero and :data:`LONGEST_REQUEUE_SECONDS`; NaN becomes the longest delay."""
    return max(0.0, seconds) if seconds <= LONGEST_REQUEUE_SECONDS else LONGEST_REQUEUE_SECONDS


def text_of(error: BaseException | None) -> str:
    """The message for the log: "" for no error, the name of the class for one without a message."""
    if error is None:
        return ""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001 - user code: a broken __str__
        return type(error).__name__


def _classify(result: Result | None, error: Exception | None, conflicts_in_a_row: int) -> Outcome:
    if error is not None:
        worst = max((_classify_one(leaf, conflicts_in_a_row) for leaf in _leaves(error)), key=_severity)
        return worst if worst.error is error else replace(worst, error=error)
    if result is None:
        return _SUCCESS
    if result.requeue_after is not None and result.requeue_after > 0:
        return Outcome("requeue_after", forget=True, after=result.requeue_after)
    if result.requeue:
        return Outcome("requeue", after=0.0, rate_limited=True)
    return _SUCCESS


def _classify_one(error: BaseException, conflicts_in_a_row: int) -> Outcome:  # noqa: PLR0911 - one for each kind
    match error:
        case RetryAfter() if error.seconds > 0:
            return Outcome("requeue_after", forget=True, after=error.seconds, error=error)
        case RetryAfter():  # at once: with the back-off of the rate limiter, or it would spin
            return Outcome("requeue", after=0.0, rate_limited=True, error=error)
        case CacheNotSynced():
            return Outcome("requeue_after", forget=True, after=UNSYNCED_RETRY_SECONDS, error=error)
        case TerminalError():
            return Outcome("error", terminal=True, error=error)
        case WriteRefused():
            return Outcome("refused", after=0.0, rate_limited=True, error=error)
        case Conflict() if conflicts_in_a_row < MAX_CONFLICTS_IN_A_ROW and not error.about_ownership:
            return Outcome("conflict", after=CONFLICT_RETRY_SECONDS, error=error)
        case ApiError():
            return Outcome("error", after=error.retry_after or 0.0, rate_limited=True, error=error)
        case _:
            return Outcome("error", after=0.0, rate_limited=True, panic=isinstance(error, _BUGS), error=error)


def _severity(outcome: Outcome) -> tuple[bool, bool, bool, bool, float]:
    """Sort key, the most severe last. An error to retry is more severe than a terminal one, because both are
    retried.
    """
    return (
        outcome.label == "error",
        outcome.panic,
        not outcome.terminal and outcome.label == "error",
        outcome.label in {"refused", "conflict"},
        outcome.after or 0.0,
    )


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    else:
        yield error
