"""Checks of values that users pass to constructors: numbers, and lists.

A number that is NaN makes every comparison false, so that a limit never applies. A single value in the place of a list
is iterated: of a text, each character would be an entry. Both are rejected where they are given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

__all__ = ["check_count", "check_list", "check_number", "check_texts"]


def check_number(
    field: str, value: object, *, zero: bool = False, negative: bool = False, endless: bool = False
) -> None:
    """Reject what is not a number in the range.

    Args:
        field: its name, for the message.
        value: the number.
        zero: 0 is in the range.
        negative: every number is in the range.
        endless: infinity is in the range.

    Raises:
        TypeError: not a number.
        ValueError: NaN, infinite or out of the range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{field}={value!r}: must be a number, such as timedelta.total_seconds()")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{field}: must be a finite number, and not such a large one") from None
    if math.isnan(number) or (number == math.inf and not endless) or number == -math.inf:
        raise ValueError(f"{field}={value}: must be a finite number")
    if value < 0 and not negative:
        raise ValueError(f"{field}={value}: must be {'zero or more' if zero else 'above zero'}")
    if value == 0 and not (zero or negative):
        raise ValueError(f"{field}={value}: must be above zero")


def check_count(field: str, value: object, *, least: int = 1) -> None:
    """Reject what is not a whole number of at least ``least``.

    Raises:
        TypeError: not an int.
        ValueError: too small.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{field}={value!r}: must be a whole number, {least} or more")
    if value < least:
        raise ValueError(f"{field}={value}: use {least} or more")


def check_list(field: str, value: object) -> None:
    """Reject a single value in the place of a list.

    Raises:
        TypeError: ``value`` is a text, or cannot be iterated.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"{field}={value!r}: must be a list, such as [{value!r}]")


def check_texts(field: str, value: Any) -> None:
    """Reject what is not a list of texts.

    Raises:
        TypeError: a single string, something that cannot be iterated, or an entry that is not a string.
    """
    check_list(field, value)
    wrong = [one for one in value if not isinstance(one, str)]
    if wrong:
        raise TypeError(f"{field}={value!r}: {wrong[0]!r} must be a text")
