"""The transition time of a condition changes only with its status."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import Condition
from aimctl.domain.conditions import (
    MAX_MESSAGE,
    Finding,
    clip,
    condition,
    conditions_of,
    parse_rfc3339,
    pause_left,
    rfc3339,
)
from aimctl.kubetypes import find_condition

BEFORE = (
    Condition(
        type="Ready",
        status="False",
        reason="Old",
        message="old",
        last_transition_time="T0",
        observed_generation=1,
    ),
)


def test_a_new_condition_has_the_current_time() -> None:
    assert condition((), "Ready", "True", "Done", "all well", generation=3, now="T1") == {
        "type": "Ready",
        "status": "True",
        "reason": "Done",
        "message": "all well",
        "observedGeneration": 3,
        "lastTransitionTime": "T1",
    }


def test_a_changed_reason_or_message_keeps_the_transition_time() -> None:
    changed = condition(BEFORE, "Ready", "False", "New", "new", generation=2, now="T1")
    assert changed["lastTransitionTime"] == "T0"
    assert (changed["reason"], changed["observedGeneration"]) == ("New", 2)


def test_a_changed_status_changes_the_transition_time() -> None:
    assert (
        condition(BEFORE, "Ready", "True", "Old", "old", generation=1, now="T1")["lastTransitionTime"] == "T1"
    )
    assert condition(BEFORE, "Ready", "Unknown", "Old", generation=1, now="T1")["lastTransitionTime"] == "T1"


def test_a_condition_without_a_transition_time_gets_one() -> None:
    bare = (Condition(type="Ready", status="True"),)
    assert condition(bare, "Ready", "True", "R", generation=1, now="T1")["lastTransitionTime"] == "T1"


def test_an_empty_message_is_replaced_by_the_reason() -> None:
    assert condition((), "Ready", "True", "Done", generation=1, now="T")["message"] == "Done"


def test_conditions_are_found_by_type() -> None:
    assert find_condition(BEFORE, "Ready") is BEFORE[0]
    assert find_condition(BEFORE, "Other") is None


@given(st.text(max_size=5000))
def test_no_message_is_longer_than_the_limit(text: str) -> None:
    message = condition((), "Ready", "True", "R", text, generation=1, now="T")["message"]
    assert 0 < len(message) <= MAX_MESSAGE
    assert clip(text, 10) == text or clip(text, 10).endswith("...")


def test_findings_become_conditions_that_keep_their_transition_times() -> None:
    findings = {"Ready": Finding(False, "R", "m"), "Failure": Finding(True, "F", "n")}
    now = datetime(2026, 5, 4, 12, tzinfo=UTC)
    ready, failure = conditions_of(findings, BEFORE, generation=3, now=now)
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "False", "R")
    assert ready["lastTransitionTime"] == "T0"
    assert (failure["status"], failure["message"], failure["observedGeneration"]) == ("True", "n", 3)
    assert failure["lastTransitionTime"] == "2026-05-04T12:00:00Z"


@pytest.mark.parametrize("text", [None, "", "yesterday", "2026-05-04T12:00:00"])
def test_a_text_that_is_not_a_time_with_an_offset_is_no_time(text: str | None) -> None:
    assert parse_rfc3339(text) is None


def test_a_time_is_read_as_it_was_written() -> None:
    moment = datetime(2026, 5, 4, 12, tzinfo=UTC)
    assert parse_rfc3339(rfc3339(moment)) == moment


@pytest.mark.parametrize(
    ("ends_in", "left"),
    [
        (30.0, 30.0),
        (80.0, 80.0),
        (0.0, None),
        (-7200.0, None),
        (81.0, None),
        (7200.0, None),
    ],
)
def test_a_pause_ends_at_its_time_or_if_a_wrong_clock_has_written_it(
    ends_in: float, left: float | None
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert pause_left(rfc3339(now + timedelta(seconds=ends_in)), now, 40.0) == left


@pytest.mark.parametrize("text", [None, "", "tomorrow"])
def test_a_pause_without_a_time_is_over(text: str | None) -> None:
    assert pause_left(text, datetime(2026, 1, 1, tzinfo=UTC), 40.0) is None
