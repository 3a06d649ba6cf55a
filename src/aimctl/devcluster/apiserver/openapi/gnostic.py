"""The OpenAPI documents as protobuf, which older clients and ``kubectl explain --output=plaintext-openapiv2`` read.

Contract: :func:`encode_openapi_v2` encodes a document of ``documents.openapi_v2`` as ``openapi.v2.Document``, and
:func:`encode_openapi_v3` one of ``documents.openapi_v3`` as ``openapi.v3.Document``. Paths are left out: clients read
only the schemas in this form.

Source of the field numbers: ``OpenAPIv2.proto`` and ``OpenAPIv3.proto`` of gnostic.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["encode_openapi_v2", "encode_openapi_v3"]

_TEXTS = (("$ref", 1), ("format", 2), ("title", 3), ("description", 4), ("pattern", 13))


def encode_openapi_v2(document: Mapping[str, Any]) -> bytes:
    """Encode a document."""
    info = document["info"]
    return b"".join(
        (
            _text(1, document["swagger"]),
            _part(2, _text(1, info["title"]) + _text(2, info["version"])),
            _part(8, b""),
            _part(9, _named(document["definitions"].items())),
        )
    )


def encode_openapi_v3(document: Mapping[str, Any]) -> bytes:
    """Encode a document."""
    info = document["info"]
    schemas = document.get("components", {}).get("schemas", {})
    return b"".join(
        (
            _text(1, document["openapi"]),
            _part(2, _text(1, info["title"]) + _text(4, info["version"])),
            _part(4, b""),
            _part(5, _part(1, _named_v3(schemas.items()))),
        )
    )


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _part(number: int, content: bytes) -> bytes:
    """A field with a length: a message or a text."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _part(number, text.encode())


def _named(schemas: Iterable[tuple[str, Mapping[str, Any]]]) -> bytes:
    """The fields of ``Definitions`` and ``Properties``."""
    return b"".join(_part(1, _text(1, name) + _part(2, _schema(schema))) for name, schema in schemas)


def _schema(schema: Mapping[str, Any]) -> bytes:
    parts = [_text(number, schema[word]) for word, number in _TEXTS if schema.get(word)]
    parts += [_text(19, name) for name in schema.get("required") or ()]
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        parts.append(_part(21, _part(1, _schema(additional))))
    elif additional is not None:
        parts.append(_part(21, _varint(2 << 3) + _varint(int(bool(additional)))))
    if schema.get("type"):
        parts.append(_part(22, _text(1, schema["type"])))
    if isinstance(schema.get("items"), dict):
        parts.append(_part(23, _part(1, _schema(schema["items"]))))
    parts += [_part(24, _schema(each)) for each in schema.get("allOf") or ()]
    if schema.get("properties"):
        parts.append(_part(25, _named(schema["properties"].items())))
    for name, value in schema.items():
        if name.startswith("x-"):
            # JSON is YAML.
            parts.append(_part(31, _text(1, name) + _part(2, _part(2, msgspec.json.encode(value)))))
    return b"".join(parts)


# -- version 3

_TEXTS_V3 = (("title", 9), ("pattern", 17), ("type", 25), ("description", 34), ("format", 35))
_FLAGS_V3 = (("nullable", 1), ("exclusiveMaximum", 12), ("exclusiveMinimum", 14), ("uniqueItems", 20))
_NUMBERS_V3 = (("multipleOf", 10), ("maximum", 11), ("minimum", 13))
_COUNTS_V3 = (
    *(("maxLength", 15), ("minLength", 16), ("maxItems", 18), ("minItems", 19)),
    *(("maxProperties", 21), ("minProperties", 22)),
)
_LISTS_V3 = (("allOf", 26), ("oneOf", 27), ("anyOf", 28))


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _named_v3(schemas: Iterable[tuple[str, Mapping[str, Any]]]) -> bytes:
    return b"".join(_part(1, _text(1, name) + _part(2, _either_v3(schema))) for name, schema in schemas)


def _either_v3(schema: Mapping[str, Any]) -> bytes:
    """A ``SchemaOrReference``."""
    if "$ref" in schema:
        return _part(2, _text(1, schema["$ref"]))
    return _part(1, _schema_v3(schema))


def _schema_v3(schema: Mapping[str, Any]) -> bytes:
    parts = [_text(number, schema[word]) for word, number in _TEXTS_V3 if schema.get(word)]
    parts += [_number(number, 1) for word, number in _FLAGS_V3 if schema.get(word)]
    parts += [_double(number, schema[word]) for word, number in _NUMBERS_V3 if word in schema]
    parts += [_number(number, schema[word]) for word, number in _COUNTS_V3 if word in schema]
    parts += [_text(23, name) for name in schema.get("required") or ()]
    parts += [_part(24, _json(value)) for value in schema.get("enum") or ()]
    parts += [
        _part(number, _either_v3(each)) for word, number in _LISTS_V3 for each in schema.get(word) or ()
    ]
    if "not" in schema:
        parts.append(_part(29, _schema_v3(schema["not"])))
    if isinstance(schema.get("items"), dict):
        parts.append(_part(30, _part(1, _either_v3(schema["items"]))))
    if schema.get("properties"):
        parts.append(_part(31, _named_v3(schema["properties"].items())))
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        parts.append(_part(32, _part(1, _either_v3(additional))))
    elif additional is not None:
        parts.append(_part(32, _number(2, int(bool(additional)))))
    if "default" in schema:
        parts += _default_v3(schema["default"])
    parts += [
        _part(36, _text(1, name) + _part(2, _json(value)))
        for name, value in schema.items()
        if name.startswith("x-")
    ]
    return b"".join(parts)


def _default_v3(value: Any) -> list[bytes]:
    """A default; the format has none for lists and objects."""
    if isinstance(value, bool):
        return [_part(33, _number(2, int(value)))]
    if isinstance(value, int | float):
        return [_part(33, _double(1, value))]
    return [_part(33, _text(3, value))] if isinstance(value, str) else []


def _json(value: Any) -> bytes:
    """An ``Any`` with YAML, which JSON is."""
    return _part(2, msgspec.json.encode(value))
