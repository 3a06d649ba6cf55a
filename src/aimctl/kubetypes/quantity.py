"""Kubernetes quantities, such as ``16Gi``, ``500m`` or ``1e3``, as exact decimal numbers.

Contract:
    * :func:`parse_quantity` accepts what ``resource.Quantity`` of Kubernetes accepts: an optional sign, digits with
      an optional fraction, then a binary suffix (Ki .. Ei), a decimal suffix (n u m k M G T P E) or an exponent.
    * ``str(quantity)`` is the canonical form: no fraction, the largest suffix that loses no precision, the suffix
      family of the input. ``parse_quantity(str(q))`` equals ``q``.
    * ``+`` and ``-`` are exact.
    * Amounts finer than 1n are rounded away from zero, as Kubernetes does.
    * :func:`amount` never raises: it is for values of objects that an API server has validated.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from decimal import ROUND_UP, Context, Decimal
from typing import TYPE_CHECKING, Literal, final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MAX_BYTES",
    "Quantity",
    "amount",
    "parse_quantity",
    "readable_quantity",
    "readable_size",
    "size_in_bytes",
]

Family = Literal["binary", "decimal", "exponent"]

MAX_BYTES = 2**63 - 1
"""Largest int64, the type of ``sizeBytes``."""

_BINARY: Mapping[str, int] = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL: Mapping[str, int] = {
    "n": -9,
    "u": -6,
    "m": -3,
    "": 0,
    "k": 3,
    "M": 6,
    "G": 9,
    "T": 12,
    "P": 15,
    "E": 18,
}
_PATTERN = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))"
    r"(?:(?P<suffix>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[+-]?[0-9]+))?"
)
_MAX_LENGTH = 64
_MAX_EXPONENT = 100
"""Far beyond int64; keeps ``1e999999999`` from becoming a number with a billion digits."""
_CONTEXT = Context(prec=400)
"""Enough digits for every number of 64 characters with an exponent of at most 100, so that no operation rounds."""


@final
@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact amount and the suffix family it is written in.

    Quantities of different families are unequal even if their amounts are equal; compare ``value`` instead.
    """

    value: Decimal
    family: Family = "decimal"

    def __add__(self, other: Quantity) -> Quantity:
        """The exact sum, in the family of this quantity, or of the other one if this is zero, as in Kubernetes."""
        family = self.family if self.value else other.family
        return Quantity(_CONTEXT.add(self.value, other.value), family)

    def __sub__(self, other: Quantity) -> Quantity:
        """The exact difference, in the family of this quantity, or of the other one if this is zero."""
        return self + Quantity(_CONTEXT.minus(other.value), other.family)

    def __str__(self) -> str:
        if self.value == 0:
            return "0"
        if (
            self.family == "binary"
            and abs(self.value) >= 1024
            and self.value == self.value.to_integral_value()
        ):
            number, power = int(self.value), 0
            while number % 1024 == 0 and power < 6:
                number, power = number // 1024, power + 1
            return f"{number}{('', *_BINARY)[power]}"
        exponent = -9
        number = int(_CONTEXT.scaleb(self.value, 9))
        while number % 1000 == 0 and exponent < (18 if self.family != "exponent" else _MAX_EXPONENT):
            number, exponent = number // 1000, exponent + 3
        if self.family == "exponent":
            return f"{number}e{exponent}" if exponent else str(number)
        return f"{number}{next(suffix for suffix, power in _DECIMAL.items() if power == exponent)}"


@functools.lru_cache(maxsize=1024)
def parse_quantity(text: str) -> Quantity:
    """Parse a quantity.

    Raises:
        ValueError: not a quantity; the message shows the text and an example.
    """
    match = _PATTERN.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        raise ValueError(f"{text[:_MAX_LENGTH]!r} is not a quantity; write for example 16Gi, 500m or 1e9")
    number = Decimal(match["number"])
    suffix = match["suffix"] or ""
    family: Family = "decimal"
    if match["exponent"] is not None:
        exponent = int(match["exponent"])
        if abs(exponent) > _MAX_EXPONENT:
            raise ValueError(
                f"{text!r} has an exponent beyond {_MAX_EXPONENT}; write for example 16Gi, 500m or 1e9"
            )
        family, number = "exponent", _CONTEXT.scaleb(number, exponent)
    elif suffix in _BINARY:
        family, number = "binary", _CONTEXT.multiply(number, Decimal(1024 ** _BINARY[suffix]))
    else:
        number = _CONTEXT.scaleb(number, _DECIMAL[suffix])
    nano = _CONTEXT.scaleb(number, 9).to_integral_value(ROUND_UP, _CONTEXT)
    return Quantity(_CONTEXT.scaleb(nano, -9), family)


def amount(value: object) -> Decimal:
    """The amount of a quantity as it stands in a decoded object, where it may also be a JSON number.

    Zero for anything that is not a quantity: an API server does not store such a value.
    """
    try:
        return parse_quantity(str(value)).value
    except ValueError:
        return Decimal()


def size_in_bytes(text: str) -> int:
    """A size as whole bytes, rounded up.

    Raises:
        ValueError: not a quantity, negative, or above :data:`MAX_BYTES`.
    """
    value = parse_quantity(text).value
    if not 0 <= value <= MAX_BYTES:
        raise ValueError(f"{text!r} is not a size in bytes; use 0 to {MAX_BYTES}")
    return int(value.to_integral_value(ROUND_UP, _CONTEXT))


def readable_size(count: int) -> str:
    """A number of bytes for people, in binary units with at most one decimal: ``64 GiB``, ``1.5 MiB``."""
    value, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    for unit in units:
        rounded = round(value, 1)
        if rounded < 1024 or unit == units[-1]:
            return f"{rounded:.1f}".removesuffix(".0") + f" {unit}"
        value /= 1024
    raise AssertionError


def readable_quantity(text: str) -> str:
    """A size as an object has it, such as ``67072Mi``, for people; the text itself if it is not a size."""
    try:
        return readable_size(size_in_bytes(text))
    except ValueError:
        return text
