"""The numbers of JSON as Go reads and writes them.

Contract:
    * An integer is one of 64 bits. A larger one is a float, and one that is too large for a float cannot be decoded.
    * A float without a fraction is written as an integer up to 1e21.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["is_int64", "unreadable_number", "with_plain_numbers"]

_EXPONENT_FROM = 1e21


def is_int64(value: Any) -> bool:
    """Whether a decoded value is an integer of 64 bits, and not a boolean."""
    return type(value) is int and -(1 << 63) <= value < 1 << 63


def unreadable_number(value: Any) -> int | None:
    """The first integer in a JSON value that is too large for a float; None if there is none."""
    if isinstance(value, dict | list):
        for _, item in _items(value):
            if isinstance(item, dict | list | int) and (found := unreadable_number(item)) is not None:
                return found
    elif isinstance(value, int) and abs(value) >= 1 << 1023:
        try:
            float(value)
        except OverflowError:
            return value
    return None


def with_plain_numbers(value: Any) -> Any:
    """The value with its numbers in the form in which the server stores them; maps and lists are changed in place."""
    if isinstance(value, dict | list):
        for place, item in _items(value):
            if isinstance(item, dict | list | float | int):
                plain = with_plain_numbers(item)
                if plain is not item:
                    value[place] = plain
        return value
    if type(value) is int and not is_int64(value):
        value = float(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXPONENT_FROM:
        return int(Decimal(repr(value)))
    return value


def _items(value: dict[str, Any] | list[Any]) -> Iterator[tuple[Any, Any]]:
    return iter(value.items()) if isinstance(value, dict) else enumerate(value)
