"""The shipped alert rules, with all times divided by a factor, so that a test need not wait for an hour.

Contract: only numbers differ from the shipped rules. They are derived mechanically:

* ``for: 15m`` becomes ``for: 15s``, with a factor of 60;
* a range ``[10m]`` becomes ``[10s]``;
* an age in seconds that is compared with ``>``, as in ``cache_age_seconds{...}) > 900``, becomes ``> 15``.

Numbers of objects, rates and ratios stay as they are, and so does the time until a certificate expires.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FACTOR", "seconds_of", "shortened"]

FACTOR = 60

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RANGE = re.compile(r"\[(\d+)([smhd])\]")
_AGE = re.compile(r"(_seconds\{[^}]*\}\)? > )(\d+)\b")


def seconds_of(duration: str) -> int:
    """A duration of Prometheus with one unit, in seconds; "" is 0."""
    return int(duration[:-1]) * _UNITS[duration[-1]] if duration else 0


def shortened(rule: Mapping[str, Any], factor: int = FACTOR) -> dict[str, Any]:
    """A rule with its times divided by ``factor``."""
    expr = _RANGE.sub(lambda found: f"[{_part(seconds_of(found[1] + found[2]), factor)}]", rule["expr"])
    expr = _AGE.sub(lambda found: f"{found[1]}{int(found[2]) // factor}", expr)
    hold = {"for": _part(seconds_of(rule["for"]), factor)} if "for" in rule else {}
    return {**rule, "expr": expr, **hold}


def _part(seconds: int, factor: int) -> str:
    return f"{seconds * 1000 // factor}ms"
