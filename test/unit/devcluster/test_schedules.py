"""The schedules of CronJobs. Other rules of built-in kinds are compared with recordings, see test_conformance.py."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aimctl.devcluster.apiserver.objects.schedules import parse_schedule


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("*/20 * * * *", ["2026-01-01T00:20", "2026-01-01T00:40", "2026-01-01T01:00"]),
        ("5 4 * * *", ["2026-01-01T04:05", "2026-01-02T04:05"]),
        ("0 0 1,15 * *", ["2026-01-15T00:00", "2026-02-01T00:00"]),
        ("30 8 * * mon-fri", ["2026-01-01T08:30", "2026-01-02T08:30", "2026-01-05T08:30"]),
        ("0 12 13 * 5", ["2026-01-02T12:00", "2026-01-09T12:00", "2026-01-13T12:00"]),
        ("0 0 29 feb ?", ["2028-02-29T00:00"]),
        ("@weekly", ["2026-01-04T00:00", "2026-01-11T00:00"]),
        ("0 22/1 * * *", ["2026-01-01T22:00", "2026-01-01T23:00", "2026-01-02T22:00"]),
    ],
)
def test_a_schedule_has_these_times(text: str, times: list[str]) -> None:
    now: datetime | None = datetime(2026, 1, 1, tzinfo=UTC)
    for time in times:
        assert now is not None
        now = parse_schedule(text).after(now)
        assert now == datetime.fromisoformat(time).replace(tzinfo=UTC)


def test_a_schedule_without_times_has_none() -> None:
    assert parse_schedule("0 0 30 2 *").after(datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    "text", ["", "@x", "* * * *", "60 * * * *", "5-1 * * * *", "*/0 * * * *", "a * * * *", "1-2-3 * * * *"]
)
def test_an_invalid_schedule_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_schedule(text)
