"""Exponential back-off: the delay before something that has failed several times is tried again."""

from __future__ import annotations

import math

__all__ = ["exponential_delay"]

_MAX_EXPONENT = 128
"""Enough to exceed any delay, and too small to overflow."""


def exponential_delay(failures: int, base_seconds: float, max_seconds: float) -> float:
    """``base_seconds * 2**failures``, never above ``max_seconds``, for any number of failures from 0."""
    return min(max_seconds, math.ldexp(base_seconds, min(failures, _MAX_EXPONENT)))
