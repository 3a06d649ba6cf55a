"""The decisions of a reflector, as tables."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.runtime.cache.reflector.policy import (
    Backoff,
    Next,
    Pause,
    Step,
    WatchEnd,
    WatchReport,
    after_list,
    after_watch,
    is_too_large_version,
    list_limit,
    list_version,
)
from aimctl.runtime.kube.errors import (
    ApiError,
    ConnectionFailed,
    DecodeError,
    KubeError,
    WatchLineTooLong,
    error_from_status,
)
from aimctl.runtime.kube.watch import WatchStalled

TOO_LARGE = [
    error_from_status(504, "Timeout", "Timeout: Too large resource version: 9, current: 5"),
    error_from_status(
        504, "Timeout", "try later", details={"causes": [{"reason": "ResourceVersionTooLarge"}]}
    ),
    error_from_status(
        504, "Timeout", "try later", details={"causes": [{"message": "Too large resource version"}]}
    ),
]


def api(status: int, reason: str = "", retry_after: float | None = None) -> ApiError:
    return error_from_status(status, reason, "scripted", retry_after=retry_after)


@pytest.mark.parametrize("error", TOO_LARGE)
def test_a_too_large_version_is_recognized_in_its_three_forms(error: ApiError) -> None:
    """Checklist 49: handled like 410, in each form that servers have used."""
    assert is_too_large_version(error)
    assert after_list(error, requested="9") == Next(Step.LIST, newest=True)
    after = after_watch(WatchReport(5, error=error), internal_error_window=60)
    assert (after.step, after.pause, after.end) == (Step.LIST, Pause.BACKOFF, WatchEnd.EXPIRED)


@pytest.mark.parametrize("error", [api(504, "Timeout"), ConnectionFailed("no"), api(410)])
def test_other_errors_are_no_too_large_version(error: KubeError) -> None:
    assert not is_too_large_version(error)


@pytest.mark.parametrize(
    ("error", "requested", "expected"),
    [
        (api(410, "Expired"), "9", Next(Step.LIST, newest=True)),
        (api(410, "Gone"), "", Next(Step.LIST, Pause.BACKOFF, newest=True)),
        (TOO_LARGE[0], "", Next(Step.LIST, Pause.BACKOFF, newest=True)),
        (api(404), "9", Next(Step.LIST, Pause.BACKOFF)),
        (api(403), "9", Next(Step.LIST, Pause.BACKOFF, refused=True)),
        (api(405), "9", Next(Step.LIST, Pause.BACKOFF, refused=True)),
        (api(401), "9", Next(Step.LIST, Pause.BACKOFF)),
        (api(429, retry_after=7), "9", Next(Step.LIST, Pause.BACKOFF, at_least=7)),
        (api(503, retry_after=9), "9", Next(Step.LIST, Pause.BACKOFF, at_least=9)),
        (api(500), "9", Next(Step.LIST, Pause.BACKOFF)),
        (ConnectionFailed("refused", refused=True), "9", Next(Step.LIST, Pause.BACKOFF)),
        (DecodeError("not JSON"), "9", Next(Step.LIST, Pause.BACKOFF)),
    ],
)
def test_after_a_failed_list(error: KubeError, requested: str, expected: Next) -> None:
    assert after_list(error, requested=requested) == expected


def test_a_404_that_discovery_confirms_means_that_the_kind_is_not_served() -> None:
    expected = Next(Step.LIST, Pause.SLOW, newest=True, vanished=True)
    assert after_list(api(404), requested="9", unserved=True) == expected


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (WatchReport(400, 10), Next(Step.WATCH, end=WatchEnd.CLOSED)),
        (WatchReport(0.5, 1), Next(Step.WATCH, end=WatchEnd.CLOSED)),
        (WatchReport(0.5, 0), Next(Step.WATCH, Pause.BACKOFF, end=WatchEnd.SHORT)),
        (WatchReport(600, 9, overdue=True), Next(Step.WATCH, end=WatchEnd.OVERDUE)),
        (WatchReport(75, error=WatchStalled(75)), Next(Step.CHECK, end=WatchEnd.STALLED)),
        (WatchReport(9, 1, error=ConnectionFailed("reset")), Next(Step.WATCH, end=WatchEnd.BROKEN)),
        (
            WatchReport(0.2, 1, error=ConnectionFailed("reset")),
            Next(Step.WATCH, Pause.BACKOFF, end=WatchEnd.BROKEN),
        ),
        (
            WatchReport(30, opened=False, error=ConnectionFailed("timed out")),
            Next(Step.WATCH, Pause.BACKOFF, end=WatchEnd.BROKEN),
        ),
        (WatchReport(9, error=api(410)), Next(Step.LIST, Pause.BACKOFF, end=WatchEnd.EXPIRED)),
        (WatchReport(0, error=api(410), paused=True), Next(Step.LIST, end=WatchEnd.EXPIRED)),
        (
            WatchReport(0, error=api(410, retry_after=5), paused=True),
            Next(Step.LIST, at_least=5, end=WatchEnd.EXPIRED),
        ),
        (WatchReport(0, error=api(404)), Next(Step.LIST, end=WatchEnd.ERROR)),
        (WatchReport(0, error=api(401)), Next(Step.WATCH, Pause.BACKOFF, end=WatchEnd.ERROR)),
        (WatchReport(0, error=api(403)), Next(Step.WATCH, Pause.BACKOFF, refused=True, end=WatchEnd.REFUSED)),
        (WatchReport(0, error=api(405)), Next(Step.WATCH, Pause.BACKOFF, refused=True, end=WatchEnd.REFUSED)),
        (
            WatchReport(0, error=api(429, retry_after=5)),
            Next(Step.WATCH, Pause.BACKOFF, at_least=5, end=WatchEnd.ERROR),
        ),
        (
            WatchReport(0, error=api(503, retry_after=5)),
            Next(Step.WATCH, Pause.BACKOFF, at_least=5, end=WatchEnd.ERROR),
        ),
        (
            WatchReport(0, error=api(500), failing_seconds=60),
            Next(Step.WATCH, Pause.BACKOFF, end=WatchEnd.ERROR),
        ),
        (
            WatchReport(0, error=api(500), failing_seconds=61),
            Next(Step.LIST, Pause.BACKOFF, end=WatchEnd.ERROR),
        ),
        (
            WatchReport(0, error=api(500, "StoreReadError")),
            Next(Step.LIST, Pause.BACKOFF, end=WatchEnd.ERROR),
        ),
        (WatchReport(0, error=api(400)), Next(Step.LIST, Pause.BACKOFF, end=WatchEnd.ERROR)),
        (WatchReport(0, error=WatchLineTooLong(1)), Next(Step.LIST, Pause.BACKOFF, end=WatchEnd.OVERSIZED)),
        (
            WatchReport(0, error=DecodeError("no")),
            Next(Step.LIST, Pause.BACKOFF, newest=True, end=WatchEnd.UNREADABLE),
        ),
    ],
)
def test_after_a_watch(report: WatchReport, expected: Next) -> None:
    assert after_watch(report, internal_error_window=60) == expected


@given(
    st.floats(0, 1000),
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from([400, 401, 403, 404, 405, 409, 410, 413, 422, 429, 500, 502, 503, 504]),
    st.floats(0, 200),
)
def test_no_repeated_response_is_retried_at_once_forever(
    seconds: float, events: int, opened: bool, status: int, failing: float
) -> None:
    """Every repeated response leads to a pause; a 404 leads to an immediate list, which then pauses."""
    report = WatchReport(seconds, events, opened, api(status), failing_seconds=failing)
    decision = after_watch(report, internal_error_window=60)
    assert decision.pause is not Pause.NONE or (status == 404 and decision.step is Step.LIST)
    again = after_list(api(status), requested="")
    assert again.pause is not Pause.NONE


@pytest.mark.parametrize(
    ("known", "newest", "version"), [("", False, ""), ("7", False, "7"), ("7", True, ""), ("", True, "")]
)
def test_the_version_to_list_from(known: str, newest: bool, version: str) -> None:
    assert list_version(known, newest=newest) == version


@pytest.mark.parametrize(
    ("requested", "page_size", "limit"), [("", None, 500), ("7", None, None), ("7", 50, 50), ("", 50, 50)]
)
def test_lists_from_a_concrete_version_are_not_paged(
    requested: str, page_size: int | None, limit: int | None
) -> None:
    """Checklist 50: the newest state is; an explicit page size takes precedence."""
    assert list_limit(requested, page_size=page_size, default=500) == limit


def test_back_off_doubles_up_to_the_limit_with_jitter() -> None:
    backoff = Backoff(random.Random(3), initial_seconds=0.8, cap_seconds=30)
    now = 0.0
    for base in (0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0):
        pause = backoff.next(now)
        assert base <= pause < 2 * base
        now += pause


def test_back_off_starts_over_after_two_minutes_without_failures() -> None:
    backoff = Backoff(random.Random(3), initial_seconds=0.8, cap_seconds=30, reset_seconds=120)
    now = backoff.next(0.0) + 119.9
    pause = backoff.next(now)
    assert pause >= 1.6
    assert backoff.next(now + pause + 120) < 1.6


@pytest.mark.parametrize("causes", [True, 5, "text", {"reason": "x"}, [None, 3, "x"], None])
def test_causes_of_another_form_are_ignored(causes) -> None:
    error = error_from_status(500, "InternalError", "no", details={"causes": causes})
    assert error.causes == ()
    assert not is_too_large_version(error)
