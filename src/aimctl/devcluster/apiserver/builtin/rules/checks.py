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
    "Check",
    "at_least",
    "cidr",
    "each_of",
    "label_key",
    "label_value",
    "name",
    "needed",
    "one_of",
    "port",
    "requirement",
    "schedule",
    "selector_labels",
    "share",
]

Check = Callable[[Any, str], "Iterator[FieldError]"]
"""Yields the errors of a value, which is None if it is absent, at a path."""
_PORT_NAME = re.compile(r"[-a-z0-9]+")
_PERCENT = re.compile(r"[0-9]{1,9}%")
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


def name(errors_of: Callable[[str], list[str]]) -> Check:
    """The syntax of a name, if it is given."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        for text in errors_of(value) if value else ():
            yield invalid(path, value, text)

    return check


def port(value: Any, path: str) -> Iterator[FieldError]:
    """The number or name of a port, if it is given."""
    if isinstance(value, str):
        if not _PORT_NAME.fullmatch(value):
            yield invalid(
                path, value, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
            )
        if not any("a" <= char <= "z" for char in value):
            yield invalid(path, value, "must contain at least one letter (a-z)")
    elif value is not None and not 0 < value < 1 << 16:
        yield invalid(path, value, "must be between 1 and 65535, inclusive")


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


def cidr(value: Any, path: str) -> Iterator[FieldError]:
    """A block of addresses, which is required."""
    if not value:
        yield required(path)
        return
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        yield invalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")


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
