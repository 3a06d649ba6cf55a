"""The OpenAPI v2 document as protobuf, which older clients and ``kubectl explain --output=plaintext-openapiv2`` read.

Contract: :func:`encode_openapi_v2` encodes a document of ``documents.openapi_v2`` as ``openapi.v2.Document``. Paths are
left out: clients read only the definitions in this form.

Source of the field numbers: ``OpenAPIv2.proto`` of gnostic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["encode_openapi_v2"]

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
