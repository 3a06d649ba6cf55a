"""Selects parts of a response: by JSON pointers, also in OpenAPI documents that are encoded as protobuf.

Contract: an OpenAPI document as protobuf is read as its JSON form, as far as definitions are concerned. What is not in
the tables below is left out. A pointer that leads nowhere selects ``ABSENT``.

Source of the field numbers: ``OpenAPIv2.proto`` and ``OpenAPIv3.proto`` of gnostic.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from conformance.targets import as_json
from support.documents import load_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_ABSENT = "ABSENT"

# number: (name, type). A type in upper case is a message; "*" is a list; "map" is a list of named values.
_V2: dict[str, dict[int, tuple[str, str]]] = {
    "DOCUMENT": {1: ("swagger", "text"), 9: ("definitions", "map SCHEMA")},
    "SCHEMA": {
        1: ("$ref", "text"),
        2: ("format", "text"),
        5: ("default", "any"),
        6: ("multipleOf", "double"),
        7: ("maximum", "double"),
        9: ("minimum", "double"),
        11: ("maxLength", "integer"),
        12: ("minLength", "integer"),
        13: ("pattern", "text"),
        14: ("maxItems", "integer"),
        15: ("minItems", "integer"),
        17: ("maxProperties", "integer"),
        18: ("minProperties", "integer"),
        19: ("required", "*text"),
        20: ("enum", "*any"),
        21: ("additionalProperties", "either"),
        22: ("type", "first"),
        23: ("items", "wrapped SCHEMA"),
        24: ("allOf", "*SCHEMA"),
        25: ("properties", "map SCHEMA"),
        31: ("", "named any"),
    },
}
_V3: dict[str, dict[int, tuple[str, str]]] = {
    "DOCUMENT": {1: ("openapi", "text"), 5: ("components", "COMPONENTS")},
    "COMPONENTS": {1: ("schemas", "map SCHEMA-OR-REFERENCE")},
    "SCHEMA-OR-REFERENCE": {1: ("", "SCHEMA"), 2: ("", "REFERENCE")},
    "REFERENCE": {1: ("$ref", "text")},
    "SCHEMA": {
        1: ("nullable", "flag"),
        10: ("multipleOf", "double"),
        11: ("maximum", "double"),
        13: ("minimum", "double"),
        15: ("maxLength", "integer"),
        16: ("minLength", "integer"),
        17: ("pattern", "text"),
        18: ("maxItems", "integer"),
        19: ("minItems", "integer"),
        21: ("maxProperties", "integer"),
        22: ("minProperties", "integer"),
        23: ("required", "*text"),
        24: ("enum", "*any"),
        25: ("type", "text"),
        26: ("allOf", "*SCHEMA-OR-REFERENCE"),
        27: ("oneOf", "*SCHEMA-OR-REFERENCE"),
        28: ("anyOf", "*SCHEMA-OR-REFERENCE"),
        30: ("items", "wrapped SCHEMA-OR-REFERENCE"),
        31: ("properties", "map SCHEMA-OR-REFERENCE"),
        32: ("additionalProperties", "either"),
        35: ("format", "text"),
        36: ("", "named any"),
    },
}


def openapi_document(body: bytes, media: str) -> Any:
    """An OpenAPI document in its JSON form."""
    if "proto-openapi.spec.v2" in media:
        return _Decoder(_V2, "SCHEMA").message("DOCUMENT", body)
    if "proto-openapi.spec.v3" in media:
        return _Decoder(_V3, "SCHEMA-OR-REFERENCE").message("DOCUMENT", body)
    return as_json(body)


def picked(value: Any, pointer: str) -> Any:
    """The part of a JSON value at a pointer, or ``ABSENT``."""
    for step in pointer.split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and "=" in key:
            name, _, wanted = key.partition("=")
            value = next(
                (item for item in value if isinstance(item, dict) and item.get(name) == wanted), _ABSENT
            )
        elif isinstance(value, list) and key.isdigit():
            value = value[int(key)] if int(key) < len(value) else _ABSENT
        elif isinstance(value, dict):
            value = value.get(key, _ABSENT)
        else:
            return _ABSENT
    return value


class _Decoder:
    """Decodes messages to JSON values. ``schema`` is the message of additional properties."""

    def __init__(self, tables: Mapping[str, Mapping[int, tuple[str, str]]], schema: str) -> None:
        self._tables, self._schema = tables, schema

    def message(self, name: str, data: bytes) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for number, value in _fields(data):
            if number not in self._tables[name]:
                continue
            key, kind = self._tables[name][number]
            if kind == "named any":
                entry = dict(_fields(value))
                result[entry[1].decode()] = _any(entry[2])
            elif not key:
                result.update(self.message(kind, value))
            elif kind.startswith("map "):
                named = [dict(_fields(each)) for _, each in _fields(value)]
                result[key] = {entry[1].decode(): self.message(kind[4:], entry[2]) for entry in named}
            elif kind.startswith("*"):
                result.setdefault(key, []).append(self._value(kind[1:], value))
            else:
                result[key] = self._value(kind, value)
        return result

    def _value(self, kind: str, value: Any) -> Any:
        if kind.startswith("wrapped "):
            return self.message(kind[8:], next(each for _, each in _fields(value)))
        if kind == "either":
            number, content = next(_fields(value))
            return self.message(self._schema, content) if number == 1 else bool(content)
        simple: dict[str, Callable[[Any], Any]] = {
            "any": _any,
            "double": lambda raw: struct.unpack("<d", raw)[0],
            "first": lambda raw: next(each for _, each in _fields(raw)).decode(),
            "flag": bool,
            "integer": int,
            "text": bytes.decode,
        }
        return simple[kind](value) if kind in simple else self.message(kind, value)


def _any(data: bytes) -> Any:
    return load_yaml(dict(_fields(data)).get(2, b"null"))


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < len(data):
        tag = varint()
        wire = tag & 7
        if wire == 0:
            yield tag >> 3, varint()
            continue
        length = varint() if wire == 2 else {1: 8, 5: 4}[wire]
        yield tag >> 3, data[at : at + length]
        at += length
