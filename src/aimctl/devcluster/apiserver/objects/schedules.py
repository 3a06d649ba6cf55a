"""The schedules of CronJobs: five fields of minutes, hours, days, months and weekdays, or ``@daily`` and the like.

Contract: :func:`parse_schedule` raises ValueError with the text of the real server. A day matches if it is in the days
and in the weekdays or, if both are restricted, in one of them.

Source: the package ``robfig/cron`` v3, which Kubernetes uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import final

__all__ = ["Schedule", "parse_schedule"]

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {month: at for at, month in enumerate(_MONTH_NAMES, 1)}
_DAYS = {day: at for at, day in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_BOUNDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_LONGEST_DAYS = 5 * 366
"""After that many days without a match, as for February 30th, there is none."""


@final
@dataclass(frozen=True, slots=True)
class Schedule:
    """The times of a CronJob. ``any_day`` and ``any_weekday`` tell whether the field is ``*`` or ``?``."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def after(self, time: datetime) -> datetime | None:
        """The first time later than this one, in its time zone; None if there is none."""
        found = time.replace(second=0, microsecond=0) + timedelta(minutes=1)
        for _ in range(_LONGEST_DAYS):
            if self._has_day(found):
                for hour in sorted(each for each in self.hours if each >= found.hour):
                    first = found.minute if hour == found.hour else 0
                    minute = min((each for each in self.minutes if each >= first), default=None)
                    if minute is not None:
                        return found.replace(hour=hour, minute=minute)
            found = found.replace(hour=0, minute=0) + timedelta(days=1)
        return None

    def _has_day(self, time: datetime) -> bool:
        if time.month not in self.months:
            return False
        day, weekday = time.day in self.days, time.isoweekday() % 7 in self.weekdays
        return day and weekday if self.any_day or self.any_weekday else day or weekday


def parse_schedule(text: str) -> Schedule:
    """Parse a schedule. Raises ValueError."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith("@"):
        if text not in _NICKNAMES:
            raise ValueError(f"unrecognized descriptor: {text}")
        text = _NICKNAMES[text]
    fields = text.split()
    if len(fields) != len(_BOUNDS):
        shown = " ".join(fields)
        raise ValueError(f"expected exactly {len(_BOUNDS)} fields, found {len(fields)}: [{shown}]")
    minutes, hours, days, months, weekdays = (
        _field(field, *bounds) for field, bounds in zip(fields, _BOUNDS, strict=True)
    )
    anything = [field.startswith(("*", "?")) for field in fields]
    return Schedule(minutes, hours, days, months, weekdays, any_day=anything[2], any_weekday=anything[4])


def _field(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        found |= _range(part, low, high, names)
    return frozenset(found)


def _range(text: str, low: int, high: int, names: dict[str, int]) -> set[int]:
    span, *steps = text.split("/")
    first, *lasts = span.split("-")
    if len(lasts) > 1:
        raise ValueError(f"too many hyphens: {text}")
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    if first in ("*", "?"):
        start, end = low, high
    else:
        start = _number(first, names)
        end = _number(lasts[0], names) if lasts else high if steps else start
    step = _number(steps[0], {}) if steps else 1
    if start < low:
        raise ValueError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise ValueError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return set(range(start, end + 1, step))


def _number(text: str, names: dict[str, int]) -> int:
    known = names.get(text.lower())
    if known is not None:
        return known
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise ValueError(
            f"failed to parse int from {text}: strconv.Atoi: parsing {_quoted(text)}: invalid syntax"
        )
    return int(text)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
