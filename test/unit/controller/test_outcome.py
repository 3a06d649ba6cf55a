from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.runtime.controller import RESULT_LABELS, Outcome, Result, RetryAfter, TerminalError, classify
from aimctl.runtime.controller.outcome import CONFLICT_RETRY_SECONDS, MAX_CONFLICTS_IN_A_ROW
from aimctl.runtime.kube.errors import (
    AlreadyExists,
    Conflict,
    ConnectionFailed,
    NotFound,
    TooManyRequests,
    WriteRefused,
)

CONFLICT = Conflict(409, "Conflict", "the object has been modified")
OWNED = Conflict(
    409,
    "Conflict",
    "Apply failed",
    details={"causes": [{"reason": "FieldManagerConflict", "field": ".spec.x"}]},
)


@pytest.mark.parametrize(
    ("result", "label", "forget", "after", "limited"),
    [
        (None, "success", True, None, False),
        (Result(), "success", True, None, False),
        (Result(requeue=True), "requeue", False, 0.0, True),
        (Result(requeue_after=7), "requeue_after", True, 7, False),
        (Result(requeue=True, requeue_after=7), "requeue_after", True, 7, False),
        (Result(requeue_after=0), "success", True, None, False),
        (Result(requeue=True, requeue_after=0), "requeue", False, 0.0, True),
    ],
)
def test_the_outcome_of_each_result(result, label, forget, after, limited):
    assert classify(result, None) == Outcome(label, forget=forget, after=after, rate_limited=limited)


@pytest.mark.parametrize(
    ("seconds", "kind"),
    [
        (math.inf, ValueError),
        (-math.inf, ValueError),
        (math.nan, ValueError),
        (10**400, ValueError),
        (timedelta(seconds=5), TypeError),
        ("5", TypeError),
        (True, TypeError),
        (1j, TypeError),
    ],
)
def test_a_requeue_time_that_is_no_finite_number_is_rejected_where_it_is_given(seconds, kind):
    with pytest.raises(kind, match=r"requeue_after=.* number of seconds"):
        Result(requeue_after=seconds)
    with pytest.raises(kind, match=r"seconds=.* number of seconds"):
        RetryAfter(seconds)


def test_a_priority_that_is_no_int_is_rejected():
    with pytest.raises(TypeError, match="priority='high': use an int"):
        Result(priority="high")


@pytest.mark.parametrize(
    ("error", "label", "forget", "after", "limited", "terminal", "panic"),
    [
        (RuntimeError("x"), "error", False, 0.0, True, False, False),
        (KeyError("x"), "error", False, 0.0, True, False, True),
        (TypeError("x"), "error", False, 0.0, True, False, True),
        (TerminalError("x"), "error", False, None, False, True, False),
        (RetryAfter(5), "requeue_after", True, 5, False, False, False),
        (RetryAfter(0), "requeue", False, 0.0, True, False, False),
        (RetryAfter(-5), "requeue", False, 0.0, True, False, False),
        (CONFLICT, "conflict", False, CONFLICT_RETRY_SECONDS, False, False, False),
        (OWNED, "error", False, 0.0, True, False, False),
        (AlreadyExists(409, "AlreadyExists", "x"), "error", False, 0.0, True, False, False),
        (NotFound(404, "NotFound", "x"), "error", False, 0.0, True, False, False),
        (TooManyRequests(429, "", "x", retry_after=9.0), "error", False, 9.0, True, False, False),
        (ConnectionFailed("x"), "error", False, 0.0, True, False, False),
        (WriteRefused("x"), "refused", False, 0.0, True, False, False),
    ],
)
def test_the_outcome_of_each_error(error, label, forget, after, limited, terminal, panic):
    assert classify(None, error) == Outcome(label, forget, after, limited, terminal, panic, error)


def test_an_error_takes_precedence_over_a_result():
    """Checklist 97: Requeue is rate-limited; RequeueAfter is a plain delay that wins over it; an error wins over both."""
    assert classify(Result(requeue=True, requeue_after=3), RuntimeError("x")).label == "error"
    assert classify(Result(requeue=True, requeue_after=3), None).after == 3


def test_the_eleventh_consecutive_conflict_is_an_error():
    assert classify(None, CONFLICT, conflicts_in_a_row=MAX_CONFLICTS_IN_A_ROW - 1).label == "conflict"
    assert classify(None, CONFLICT, conflicts_in_a_row=MAX_CONFLICTS_IN_A_ROW).label == "error"


@pytest.mark.parametrize(
    ("members", "label"),
    [
        ([CONFLICT, CONFLICT], "conflict"),
        ([CONFLICT, RetryAfter(3)], "conflict"),
        ([CONFLICT, ValueError("x")], "error"),
        ([CONFLICT, WriteRefused("x")], "conflict"),
    ],
)
def test_the_most_severe_member_of_a_group_decides(members, label):
    group = ExceptionGroup("several", members)
    outcome = classify(None, group)
    assert outcome.label == label
    assert outcome.error is group


def test_a_group_with_one_error_worth_retrying_is_not_terminal():
    group = ExceptionGroup("several", [TerminalError("x"), OSError("y")])
    assert not classify(None, group).terminal
    assert classify(
        None, ExceptionGroup("all", [TerminalError("x"), ExceptionGroup("in", [TerminalError("y")])])
    ).terminal


errors = st.sampled_from(
    [RuntimeError("a"), KeyError("a"), TerminalError("a"), RetryAfter(2), CONFLICT, OWNED, WriteRefused("a")]
)


@given(
    st.one_of(
        st.none(), st.builds(Result, requeue=st.booleans(), requeue_after=st.floats(-1, 100) | st.none())
    ),
    st.one_of(
        st.none(), errors, st.lists(errors, min_size=1, max_size=4).map(lambda e: ExceptionGroup("g", e))
    ),
    st.integers(0, 20),
)
def test_every_outcome_is_consistent(result, error, conflicts):
    outcome = classify(result, error, conflicts_in_a_row=conflicts)
    assert outcome.label in RESULT_LABELS
    assert outcome.error is error
    # A request is requeued exactly if its outcome is not final.
    settled = outcome.label == "success" or outcome.terminal
    assert (outcome.after is None) == settled
    # Only a success or a requested delay resets the failures.
    assert outcome.forget == (outcome.label in {"success", "requeue_after"})
    # Only a conflict or a requested delay is not rate limited.
    if outcome.after is not None and not outcome.rate_limited:
        assert outcome.label in {"conflict", "requeue_after"}
