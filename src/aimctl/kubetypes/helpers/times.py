"""Times in the formats of the API. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["format_micro_time", "format_time", "parse_time"]


def format_time(moment: datetime) -> str:
    """``metav1.Time``: RFC 3339 in UTC with whole seconds, ``2026-01-02T03:04:05Z``."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_micro_time(moment: datetime) -> str:
    """``metav1.MicroTime``: RFC 3339 in UTC with six decimals, as Leases and Events use."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """Parse either format, or any other RFC 3339 text with a time zone.

    Raises:
        ValueError: the text is not RFC 3339 or has no time zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time {text!r} has no time zone: write it like 2026-01-02T03:04:05Z")
    return moment.astimezone(UTC)
