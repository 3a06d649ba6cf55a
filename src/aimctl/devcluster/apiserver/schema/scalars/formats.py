"""The values of ``format`` in a CustomResourceDefinition, as predicates on strings.

Contract: :func:`matches_format` is True for unknown formats, as on the real server, and decides like its checks, which
accept more than the names of the formats suggest. :func:`is_known_format` tells whether a format is validated.

Source of the list: the section on validation of Kubernetes' documentation of CustomResourceDefinitions.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["duration_seconds", "is_go_duration", "is_known_format", "matches_format"]

_NUMBER = r"(\d+(\.\d*)?|\.\d+)"
_GO_DURATION = re.compile(rf"[-+]?({_NUMBER}(ns|us|µs|ms|s|m|h))+|[-+]?0")
_WORDED_DURATION = re.compile(r"(?<!\d)(\d++)\s*+([A-Za-zµ]++)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "hr": 3600.0}
_UNITS = {**_SECONDS, "d": 86400.0, "w": 604800.0}
_UNIT_WORDS = {
    "nano": 1e-9,
    "micro": 1e-6,
    "milli": 1e-3,
    "sec": 1.0,
    "min": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
    "week": 604800.0,
    "wk": 604800.0,
}
"""The words with which a unit may begin. An abbreviation has to be the whole unit."""
_GO_DURATION_PART = re.compile(r"(?<![\d.])(\d++(?:\.\d*+)?+|\.\d++)(ns|us|µs|ms|s|m|h)")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_HOSTNAME = re.compile(
    r"[a-zA-Z0-9](-?[a-zA-Z0-9]{0,62})?|([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z]{2,63}"
)
_EMAIL = re.compile(r"""(?:"[^"\\\r\n]*"|[^@\s"<>,;:()\[\]]+)@[^@\s<>,;]+""")
_ADDRESS_SIGNS = frozenset("@<>,;")
_BYTE = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})")
_MAC = re.compile(
    r"([0-9A-Fa-f]{2})(([:-])[0-9A-Fa-f]{2}){5}((\3[0-9A-Fa-f]{2}){2}|(\3[0-9A-Fa-f]{2}){14})?"
    r"|[0-9A-Fa-f]{4}(\.[0-9A-Fa-f]{4}){2}((\.[0-9A-Fa-f]{4}){1}|(\.[0-9A-Fa-f]{4}){7})?|[0-9A-Fa-f]{12}"
)
_UUID = re.compile(
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?([0-9a-f])[0-9a-f]{3}-?([0-9a-f])[0-9a-f]{3}-?[0-9a-f]{12}", re.IGNORECASE
)
_VARIANTS = frozenset("89abAB")
"""The first digits of the fourth group of a UUID of version 4 or 5."""
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_CARD = re.compile(
    r"(?:4\d{12}(?:\d{3})?|5[1-5]\d{14}|2[2-7]\d{14}|6\d{15}|3[47]\d{13}|3[068]\d{12}|35\d{14})"
)
_SSN = re.compile(r"\d{3}[- ]\d{2}[- ]\d{4}")
_HEX_COLOR = re.compile(r"#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_COLOR_PART = r"\s*(?:0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])\s*"
_RGB_COLOR = re.compile(rf"rgb\({_COLOR_PART},{_COLOR_PART},{_COLOR_PART}\)")
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NUMBER_FORMATS = {"integer": frozenset({"int32", "int64"}), "number": frozenset({"float", "double"})}


@lru_cache(maxsize=4096)
def _date_time(text: str) -> bool:
    if not _DATE_TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text.upper())
    except ValueError:
        return False
    return True


def _date(text: str) -> bool:
    try:
        return len(text) == 10 and bool(date.fromisoformat(text))
    except ValueError:
        return False


def duration_seconds(text: str) -> float | None:
    """The seconds of a duration of Go, or of the numbers with units in a text such as "2 weeks"; None without any.

    As on the real server, the latter have no sign and no fraction: "1.5w" are five weeks.
    """
    if is_go_duration(text):
        parts = _GO_DURATION_PART.findall(text)
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
        return -seconds if text.startswith("-") else seconds
    units = [(int(number), _unit_seconds(unit.lower())) for number, unit in _WORDED_DURATION.findall(text)]
    found = [number * seconds for number, seconds in units if seconds is not None]
    return sum(found) if found else None


def _unit_seconds(unit: str) -> float | None:
    """The seconds of a unit; None if it is not one."""
    words = (seconds for word, seconds in _UNIT_WORDS.items() if unit.startswith(word))
    return _UNITS.get(unit, next(words, None))


def _duration(text: str) -> bool:
    return duration_seconds(text) is not None


def _hostname(text: str) -> bool:
    """Letters of all alphabets are letters, and symbols count as digits."""
    kinds = {"L": "a", "S": "0"}
    plain = "".join(kinds.get(unicodedata.category(char)[0], char) if char > "~" else char for char in text)
    parts = text.split(".")
    return (
        len(text) <= 255 and _HOSTNAME.fullmatch(plain) is not None and all(0 < len(p) <= 63 for p in parts)
    )


def _email(text: str) -> bool:
    """An address, which may follow a name: ``A <a@b.c>``."""
    if text.endswith(">"):
        name, bracket, text = text[:-1].rpartition("<")
        if not bracket or _ADDRESS_SIGNS & set(name) or not (name[-1:] or " ").isspace():
            return False
    return _EMAIL.fullmatch(text) is not None


def _isbn10(text: str) -> bool:
    plain = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"\d{9}[\dX]", plain, re.ASCII):
        return False
    return sum((10 if digit == "X" else int(digit)) * place for place, digit in enumerate(plain, 1)) % 11 == 0


def _isbn13(text: str) -> bool:
    plain = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"\d{13}", plain, re.ASCII):
        return False
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(plain)) % 10 == 0


def _card(text: str) -> bool:
    digits = re.sub(r"\D", "", text, flags=re.ASCII)
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return _CARD.fullmatch(digits) is not None and sum(each - 9 * (each > 9) for each in doubled) % 10 == 0


def _uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    host = parts.netloc.rpartition("@")[2]
    if " " in host or _BAD_ESCAPE.search(host):
        return False
    return bool(parts.scheme) or text.startswith("/") or text == "*"


def _decimal(text: str) -> str:
    """An address without leading zeros of decimal numbers, which the server accepts."""
    head, colon, tail = text.rpartition(":")
    return head + colon + re.sub(r"(?<![0-9.])0+(?=\d)|(?<=\.)0+(?=\d)", "", tail) if "." in tail else text


def _ipv4(text: str) -> bool:
    return "." in text and _is_address(text)


def _ipv6(text: str) -> bool:
    return ":" in text and _is_address(text)


def _is_address(text: str) -> bool:
    try:
        return "%" not in text and bool(ipaddress.ip_address(_decimal(text)))
    except ValueError:
        return False


def _cidr(text: str) -> bool:
    address, slash, bits = text.partition("/")
    try:
        return bool(slash) and bool(ipaddress.ip_network(f"{_decimal(address)}/{bits}", strict=False))
    except ValueError:
        return False


def _uuid(version: str) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        found = _UUID.fullmatch(text)
        if found is None or version not in ("", found[1]):
            return False
        return version not in ("4", "5") or found[2] in _VARIANTS

    return check


def _form(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "date-time": _date_time,
    "datetime": _date_time,
    "date": _date,
    "duration": _duration,
    "byte": _form(_BYTE),
    "uri": _uri,
    "email": _email,
    "hostname": _hostname,
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "cidr": _cidr,
    "mac": _form(_MAC),
    "uuid": _uuid(""),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4"),
    "uuid5": _uuid("5"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _card,
    "ssn": _form(_SSN),
    "hexcolor": _form(_HEX_COLOR),
    "rgbcolor": _form(_RGB_COLOR),
    "bsonobjectid": _form(_OBJECT_ID),
    "password": lambda _: True,
    "k8s-short-name": _form(_DNS_LABEL),
    "k8s-long-name": lambda text: (
        len(text) <= 253 and all(_DNS_LABEL.fullmatch(part) is not None for part in text.split("."))
    ),
}


def is_go_duration(text: str) -> bool:
    """Whether Go reads the text as a duration."""
    return _GO_DURATION.fullmatch(text) is not None


def is_known_format(kind: str, name: str) -> bool:
    """Whether the server validates this format of values of a JSON schema type."""
    return name in (_CHECKS if kind == "string" else _NUMBER_FORMATS.get(kind, ()))


def matches_format(text: str, name: str) -> bool:
    """Whether the text has the named format."""
    check = _CHECKS.get(name)
    return check is None or check(text)
