"""Decodes the values of built-in kinds as the structures of the real server do.

Contract:
    * :func:`decode_error` is the message for the first value of a wrong type, in the order of the document, or "".
    * :func:`canonicalize` brings quantities, times and base64 into the form in which the server returns them, in place:
      quantities as ``resource.Quantity`` prints them, times in UTC with whole seconds (``v1.Time``) or six decimals
      (``v1.MicroTime``), base64 without line breaks. It raises :class:`DecodeError` for values that cannot be decoded.
      The object has the types of its schema.

Source: the UnmarshalJSON functions of ``resource.Quantity``, ``v1.Time`` and ``v1.MicroTime``, and the messages of Go's
``encoding/json``.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from aimctl.kubetypes.quantity import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.devcluster.apiserver.schema.node import Node

__all__ = [
    "DecodeError",
    "cannot_unmarshal",
    "canonical_quantity",
    "canonicalize",
    "decode_error",
    "json_error",
]

_WRONG_QUANTITY = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
_WRONG_SUFFIX = "unable to parse quantity's suffix"
_WRONG_NUMBER = "unable to parse numeric part of quantity"
_QUANTITY = re.compile(r"[+-]?(?P<whole>\d*+)(?:\.(?P<fraction>\d*+))?+(?P<suffix>[eEinumkKMGTP]*[-+]?\d*)")
_SUFFIX = re.compile(r"[KMGTPE]i|[numkMGTPE]?|[eE][+-]?\d+")
_DECIMALS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_SECONDS_END = len("2006-01-02T15:04:05")
_TIME_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_GO_KINDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_JSON_KINDS = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
}


class DecodeError(ValueError):
    """A value cannot be decoded. The text is that of the real server."""


# -- JSON


_PLACES = (
    ("Extra data", "after top-level value"),
    ("Invalid control character", "in string literal"),
    ("Expecting ',' delimiter", "after object key:value pair"),
    ("Expecting ':' delimiter", "after object key"),
    ("Expecting property name", "looking for beginning of object key string"),
    ("Illegal trailing comma", "looking for beginning of object key string"),
)


def cannot_unmarshal(value: Any) -> str:
    """The begin of the message for a JSON value of a wrong type; the name of the expected type follows."""
    return f"json: cannot unmarshal {_GO_KINDS.get(type(value), 'null')} into Go value of type"


def json_error(body: bytes, error: Exception) -> str:
    """The message for a body that is not JSON, of which ``error`` is the decoder's error."""
    text = body.decode("utf-8", "replace")
    try:
        json.loads(text)
    except json.JSONDecodeError as problem:
        if problem.pos >= len(text.rstrip()) or problem.msg.startswith("Unterminated string"):
            return "unexpected end of JSON input"
        return f"invalid character {_quoted(text[problem.pos])} {_where(problem.msg)}"
    except ValueError:
        pass
    return str(error)


def _where(message: str) -> str:
    """The place of a wrong character, as Go names it, by the message of Python's decoder."""
    return next(
        (where for start, where in _PLACES if message.startswith(start)), "looking for beginning of value"
    )


def _quoted(character: str) -> str:
    """A character as Go quotes it."""
    return "'\\''" if character == "'" else "'\"'" if character == '"' else repr(character)


# -- types


def decode_error(obj: dict[str, Any], node: Node) -> str:
    """The message for the first value whose type is not that of the schema; "" if there is none."""
    return next(_errors(obj, node, node.go_type.rpartition(".")[2], ""), "")


def _errors(value: Any, node: Node, owner: str, path: str) -> Any:
    """The messages. ``owner`` is the structure that has the field at the path."""
    if value is None or (not node.type and not node.int_or_string):
        return
    if not _fits(value, node):
        yield _mismatch(value, node, owner, path)
    elif isinstance(value, list) and node.items is not None:
        for item in value:
            yield from _errors(item, node.items, owner, path)
    elif isinstance(value, dict):
        own = node.go_type.rpartition(".")[2] if node.properties else owner
        for key, item in value.items():
            child = node.child(key)
            if child is not None:
                below = path if node.properties.get(key) is None else f"{path}.{key}" if path else key
                yield from _errors(item, child, own, below)


def _fits(value: Any, node: Node) -> bool:
    if node.int_or_string and isinstance(value, str):
        return True
    if (node.type == "integer" or node.int_or_string) and type(value) is not bool:
        bits = 31 if node.format == "int32" else 63
        return isinstance(value, int) and -(1 << bits) <= value < 1 << bits
    wanted: Any = _JSON_KINDS.get(node.type, object)
    return isinstance(value, wanted) and isinstance(value, bool) == (node.type == "boolean")


def _mismatch(value: Any, node: Node, owner: str, path: str) -> str:
    kind = _GO_KINDS[type(value)]
    if kind == "number" and (node.type == "integer" or node.int_or_string):
        kind = f"number {value}"
    expected = "int32" if node.int_or_string else "string" if node.format == "date-time" else _go_type(node)
    return f"json: cannot unmarshal {kind} into Go struct field {owner}.{path} of type {expected}"


def _go_type(node: Node) -> str:
    if node.go_type:
        return node.go_type
    if node.type == "array":
        return f"[]{_go_type(node.items)}" if node.items is not None else "[]interface {}"
    if node.type == "object":
        below = node.additional
        return f"map[string]{_go_type(below)}" if below is not None else "map[string]interface {}"
    if node.type == "string":
        return "[]uint8" if node.format == "bytes" else "string"
    return {"boolean": "bool", "number": "float64"}.get(node.type) or node.format or "int64"


# -- canonical forms


def canonicalize(obj: dict[str, Any], node: Node) -> None:
    """Bring the values of an object into their canonical forms. Raises DecodeError, and then changes nothing."""
    plan = _plan(node)
    if plan is not None:
        changes: list[tuple[Any, Any, Any]] = []
        _visit(obj, plan, changes)
        for container, key, value in changes:
            container[key] = value


class _Plan(NamedTuple):
    """How the values below a node are changed: the value itself, the items of a list or map, or fields of an object."""

    change: Callable[[Any], Any] | None
    every: _Plan | None
    fields: tuple[tuple[str, _Plan], ...]


@functools.cache
def _plan(node: Node) -> _Plan | None:
    """The plan for a node; None if nothing below it changes. The schemas of definitions are recursive."""
    change = _changes(node)
    if change is not None:
        return _Plan(change, None, ())
    if node.go_type.startswith("v1.JSONSchemaProps"):
        return None
    every = node.items if node.items is not None else node.additional
    below = _plan(every) if every is not None and not node.properties else None
    fields = tuple(
        (name, plan) for name, child in node.properties.items() if (plan := _plan(child)) is not None
    )
    return _Plan(None, below, fields) if below is not None or fields else None


def _changes(node: Node) -> Callable[[Any], Any] | None:
    if node.go_type == "resource.Quantity":
        return canonical_quantity
    if node.go_type == "v1.MicroTime":
        return _canonical_micro_time
    if node.go_type == "v1.Time":
        return _canonical_time
    return _canonical_base64 if node.format == "bytes" else None


def _visit(value: Any, plan: _Plan, changes: list[tuple[Any, Any, Any]]) -> None:
    """Find the values that are not canonical: container, index or key, and canonical value of each."""
    if isinstance(value, list):
        if plan.every is not None:
            for index, item in enumerate(value):
                _visit_item(value, index, item, plan.every, changes)
    elif isinstance(value, dict):
        if plan.every is not None:
            for key, item in value.items():
                _visit_item(value, key, item, plan.every, changes)
        for name, below in plan.fields:
            item = value.get(name)
            if item is not None:
                _visit_item(value, name, item, below, changes)


def _visit_item(
    container: Any, key: Any, item: Any, plan: _Plan, changes: list[tuple[Any, Any, Any]]
) -> None:
    if plan.change is None:
        _visit(item, plan, changes)
    elif item is not None:
        canonical = plan.change(item)
        if canonical is not item and canonical != item:
            changes.append((container, key, canonical))


def canonical_quantity(value: Any) -> str:
    """The form in which the server returns a quantity, which may be a JSON number. Raises DecodeError."""
    if isinstance(value, bool | list | dict):
        raise DecodeError(_WRONG_QUANTITY)
    return _canonical_quantity(str(value).strip())


@functools.lru_cache(maxsize=1024)
def _canonical_quantity(text: str) -> str:
    match = _QUANTITY.fullmatch(text)
    if not text or match is None:
        raise DecodeError(_WRONG_QUANTITY)
    suffix = match["suffix"]
    if not _SUFFIX.fullmatch(suffix):
        raise DecodeError(_WRONG_SUFFIX)
    fraction = match["fraction"] or ""
    digits = match["whole"].lstrip("0") + fraction
    try:
        canonical = str(parse_quantity(text))
    except ValueError:
        raise DecodeError(_WRONG_NUMBER) from None
    if "i" in suffix or len(digits) > 18:
        return canonical
    # The server keeps a decimal text that needs no other suffix.
    exponent = int(suffix[1:]) if suffix[:1] in ("e", "E") and len(suffix) > 1 else _DECIMALS[suffix]
    scale = exponent - len(fraction)
    kept = scale % 3 == 0 and scale >= -9 and not digits.endswith("000") and digits[:1] not in ("", "0")
    return text if kept else canonical


@functools.lru_cache(maxsize=4096)
def _canonical_time(text: str) -> str:
    return _moment(text, _TIME_LAYOUT).strftime("%Y-%m-%dT%H:%M:%SZ")


@functools.lru_cache(maxsize=1024)
def _canonical_micro_time(text: str) -> str:
    moment = _moment(text, _MICRO_LAYOUT)
    zone = text.find("Z") if "Z" in text else len(text) - len("+00:00")
    digits = zone - _SECONDS_END - 1
    if digits < 6:
        raise _unparsed(text, _MICRO_LAYOUT, text[_SECONDS_END:], ".000000")
    if digits > 6:
        raise _unparsed(text, _MICRO_LAYOUT, text[_SECONDS_END + 7 :], "Z07:00")
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moment(text: str, layout: str) -> datetime:
    if _TIME.fullmatch(text) is None:
        raise _unparsed(text, layout, text, "2006")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise DecodeError(f'parsing time "{text}": day out of range') from None


def _unparsed(text: str, layout: str, rest: str, wanted: str) -> DecodeError:
    return DecodeError(f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{wanted}"')


def _canonical_base64(text: str) -> str:
    joined = text.replace("\r", "").replace("\n", "")
    try:
        return base64.b64encode(base64.b64decode(joined, validate=True)).decode()
    except (binascii.Error, ValueError):
        wrong = re.search(r"[^A-Za-z0-9+/=]", joined)
        at = wrong.start() if wrong else len(joined) - len(joined) % 4
        raise DecodeError(f"illegal base64 data at input byte {at}") from None
