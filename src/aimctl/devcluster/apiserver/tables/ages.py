"""Durations in the output of ``kubectl get``: ``90s``, ``5m30s``, ``3h``, ``2d4h``.

The thresholds are those of ``k8s.io/apimachinery/pkg/util/duration`` (HumanDuration).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.runtime.clock import parse_time

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["age", "human_duration"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_YEAR_DAYS = 365


def human_duration(seconds: float) -> str:
    """The duration in one or two units. Above -2 seconds, a negative one is "0s"; below, it is "<invalid>"."""
    if seconds <= -2:
        return "<invalid>"
    whole = int(seconds)
    if whole < 0:
        return "0s"
    minutes, hours, days = whole // _MINUTE, whole // _HOUR, whole // _DAY
    if whole < 2 * _MINUTE:
        text = f"{whole}s"
    elif minutes < 10:
        text = _two(minutes, "m", whole % _MINUTE, "s")
    elif minutes < 180:
        text = f"{minutes}m"
    elif hours < 8:
        text = _two(hours, "h", minutes % 60, "m")
    elif hours < 48:
        text = f"{hours}h"
    elif hours < 192:
        text = _two(days, "d", hours % 24, "h")
    elif days < 2 * _YEAR_DAYS:
        text = f"{days}d"
    elif days < 8 * _YEAR_DAYS:
        text = _two(days // _YEAR_DAYS, "y", days % _YEAR_DAYS, "d")
    else:
        text = f"{days // _YEAR_DAYS}y"
    return text


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def age(timestamp: Any, now: datetime) -> str:
    """The time since an RFC 3339 timestamp, or "<unknown>" if there is none."""
    if not timestamp or not isinstance(timestamp, str):
        return "<unknown>"
    try:
        return human_duration((now - parse_time(timestamp)).total_seconds())
    except ValueError:
        return "<invalid>"
