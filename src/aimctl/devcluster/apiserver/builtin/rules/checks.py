"""Checks of single values that the structures of several kinds need.

Contract: a check yields the errors of a value at a path; the value is None if it is absent. Values have the types of
their schema.

Source: Kubernetes' ``apimachinery/meta/v1/validation`` and ``core/validation``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required, unsupported
from aimctl.devcluster.apiserver.objects.names import label_value_errors, qualified_name_errors
from aimctl.devcluster.apiserver.objects.schedules import parse_schedule

if TYPE_CHECKING:
    from aimctl.devcluster.apiserver.schema.errors import FieldError

__all__ = [
    "CIDR_TEXT",
    "Check",
    "address",
    "all_of",
    "at_least",
    "between",
    "cidr",
    "each_of",
    "fields",
    "file_mode",
    "items",
    "label_key",
    "label_value",
    "listed",
    "name",
    "needed",
    "network",
    "one_of",
    "path_in_volume",
    "path_without_steps_back",
    "port",
    "relative_path",
    "requirement",
    "schedule",
    "selector_labels",
    "share",
    "when_given",
]

Check = Callable[[Any, str], "Iterator[FieldError]"]
"""Yields the errors of a value, which is None if it is absent, at a path."""
_MOST_PERMISSIONS = 0o777
_LONGEST_PORT_NAME = 15
_PORT_NAME = re.compile(r"[-a-z0-9]+")
_PERCENT = re.compile(r"[0-9]{1,9}%")
CIDR_TEXT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_PERCENT_TEXT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used"
    " for validation is '[0-9]+%')"
)


def one_of(*allowed: str, needed: bool = False) -> Check:
    """One of these texts; required if it is ``needed``."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if not value:
            if needed:
                yield required(path)
        elif value not in allowed:
            yield unsupported(path, value, allowed)

    return check


def listed(*allowed: str) -> Check:
    """One of these texts, and not the empty one."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if value not in allowed:
            yield unsupported(path, value, allowed)

    return check


def each_of(*allowed: str) -> Check:
    """A list of these texts."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        for each in value or ():
            if each not in allowed:
                yield unsupported(path, each, allowed)

    return check


def needed(text: str = "") -> Check:
    """The field is required."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if value is None or value == "":
            yield required(path, text)

    return check


def fields(**checks: Check) -> Check:
    """A structure whose fields, if they are given, pass these checks."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        for field, each in checks.items():
            if field in value and (content := value[field]) is not None:
                yield from each(content, f"{path}.{field}" if path else field)

    return check


def when_given(each: Check) -> Check:
    """A field that passes the check unless it is absent. An empty text is not absent."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if value is not None:
            yield from each(value, path)

    return check


def items(each: Check) -> Check:
    """A list whose items pass the check."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        for index, item in enumerate(value or ()):
            yield from each(item, f"{path}[{index}]")

    return check


def all_of(*checks: Check) -> Check:
    """A value that passes all checks."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        for each in checks:
            yield from each(value, path)

    return check


def label_key(value: Any, path: str) -> Iterator[FieldError]:
    """The syntax of a label's key, which is required."""
    for text in qualified_name_errors(value or ""):
        yield invalid(path, value or "", text)


def label_value(value: Any, path: str) -> Iterator[FieldError]:
    """The syntax of a label's value."""
    texts = label_value_errors(value or "")
    if texts:
        yield invalid(path, value, ";".join(texts))


def at_least(least: int, *, text: str = "") -> Check:
    """A number that is not smaller, if it is given."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if isinstance(value, int) and value < least:
            yield invalid(path, value, text or f"must be greater than or equal to {least}")

    return check


def between(least: int, most: int) -> Check:
    """A number in a range, if it is given."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        if isinstance(value, int) and not least <= value <= most:
            yield invalid(path, value, f"must be between {least} and {most}, inclusive")

    return check


def file_mode(value: Any, path: str) -> Iterator[FieldError]:
    """The permission bits of a file, if they are given."""
    if value is not None and not 0 <= value <= _MOST_PERMISSIONS:
        yield invalid(path, value, "must be a number between 0 and 0777 (octal), both inclusive")


def name(errors_of: Callable[[str], list[str]]) -> Check:
    """The syntax of a name, if it is given."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        for text in errors_of(value) if value else ():
            yield invalid(path, value, text)

    return check


def port(value: Any, path: str) -> Iterator[FieldError]:
    """The number or name of a port, if it is given."""
    if isinstance(value, str):
        for text in _port_name_errors(value):
            yield invalid(path, value, text)
    elif value is not None and not 0 < value < 1 << 16:
        yield invalid(path, value, "must be between 1 and 65535, inclusive")


def _port_name_errors(value: str) -> Iterator[str]:
    if len(value) > _LONGEST_PORT_NAME:
        yield f"must be no more than {_LONGEST_PORT_NAME} characters"
    if not _PORT_NAME.fullmatch(value):
        yield "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not any("a" <= char <= "z" for char in value):
        yield "must contain at least one letter (a-z)"
    if "--" in value:
        yield "must not contain consecutive hyphens"
    if value.startswith("-") or value.endswith("-"):
        yield "must not begin or end with a hyphen"


def path_without_steps_back(value: Any, path: str) -> Iterator[FieldError]:
    """A path without ``..``, if it is given."""
    if value and ".." in value.split("/"):
        yield invalid(path, value, "must not contain '..'")


def relative_path(value: Any, path: str) -> Iterator[FieldError]:
    """A path below another one, if it is given."""
    if value and value.startswith("/"):
        yield invalid(path, value, "must be a relative path")
    yield from path_without_steps_back(value, path)


def path_in_volume(value: Any, path: str) -> Iterator[FieldError]:
    """The path of a file in a volume. Those that start with two dots are reserved."""
    if not value:
        yield required(path)
        return
    yield from relative_path(value, path)
    if value.startswith("..") and not value.startswith("../"):
        yield invalid(path, value, "must not start with '..'")


def share(value: Any, path: str) -> Iterator[FieldError]:
    """A number that is not negative, or a percentage up to 100 %, if it is given."""
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            yield invalid(path, value, _PERCENT_TEXT)
        elif int(value[:-1]) > 100:
            yield invalid(path, value, "must not be greater than 100%")
    elif value is not None and value < 0:
        yield invalid(path, value, "must be greater than or equal to 0")


def schedule(value: Any, path: str) -> Iterator[FieldError]:
    """The schedule of a CronJob."""
    if not value:
        yield required(path)
    elif "TZ" in value:
        text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield invalid(path, value, text)
    else:
        try:
            parse_schedule(value)
        except ValueError as error:
            yield invalid(path, value, str(error))


def address(value: Any, path: str) -> Iterator[FieldError]:
    """An IP address."""
    try:
        ipaddress.ip_address((value or "").replace("%", " "))
    except ValueError:
        yield invalid(path, value or "", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The block of addresses that a text such as ``10.0.0.0/8`` names; None if it names none."""
    start, slash, bits = text.partition("/")
    if not slash or not bits.isdecimal() or "%" in start:
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def cidr(value: Any, path: str) -> Iterator[FieldError]:
    """A block of addresses, which is required."""
    if not value:
        yield required(path)
    elif network(value) is None:
        yield invalid(path, value, CIDR_TEXT)


def selector_labels(value: Any, path: str) -> Iterator[FieldError]:
    """The labels that a selector requires."""
    for key, each in (value or {}).items():
        for text in qualified_name_errors(key):
            yield invalid(path, key, text)
        for text in label_value_errors(each or ""):
            yield invalid(path, each, text)


def requirement(item: Any, path: str) -> Iterator[FieldError]:
    """One expression of a label selector."""
    operator, values = item.get("operator") or "", item.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield forbidden(f"{path}.values", text)
    else:
        yield invalid(f"{path}.operator", operator, "not a valid selector operator")
    yield from label_key(item.get("key"), f"{path}.key")
    for index, value in enumerate(values):
        for text in label_value_errors(value or ""):
            yield invalid(f"{path}.values[{index}]", value, text)
