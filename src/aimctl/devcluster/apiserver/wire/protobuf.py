"""Decoding of Kubernetes' protobuf, which kubectl's typed commands send.

Contract: :func:`decode_object` decodes a body of type ``application/vnd.kubernetes.protobuf`` to the dict of its JSON
form. Responses are never protobuf: every client that sends it also accepts JSON.

In protobuf, zero values cannot be distinguished from absent ones. Empty strings, zeros and false are decoded as absent,
except in pointer fields whose zero has a meaning (:data:`_ZERO_MATTERS`).

The field numbers are in ``protobuf_types.json``, which ``hack/protobuf_types.py`` generates.
"""

from __future__ import annotations

import base64
import functools
import struct
from datetime import UTC, datetime
from importlib import resources
from typing import Any, NamedTuple

import msgspec

from aimctl.runtime.clock import format_micro_time, format_time

__all__ = ["MEDIA_TYPE", "ProtobufError", "decode_object"]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"

_MAGIC = b"k8s\x00"
_INLINE = frozenset(
    {
        "ephemeralContainerCommon",
        "handler",
        "ingressRuleValue",
        "localObjectReference",
        "persistentVolumeSource",
        "rule",
        "ruleWithOperations",
        "volumeSource",
    }
)
"""Embedded structs, which are messages on the wire and part of their parent in JSON."""
_ZERO_MATTERS = frozenset(
    {
        "activeDeadlineSeconds",
        "automountServiceAccountToken",
        "backoffLimit",
        "completions",
        "enableServiceLinks",
        "gracePeriodSeconds",
        "minReplicas",
        "orphanDependents",
        "parallelism",
        "replicas",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "suspend",
        "terminationGracePeriodSeconds",
        "ttlSecondsAfterFinished",
    }
)
"""Pointer fields in which zero differs from absent."""
_MESSAGES_OF_ALL_GROUPS = {"DeleteOptions": "meta.v1.DeleteOptions"}


class ProtobufError(ValueError):
    """The bytes are not a valid message."""


class _Field(NamedTuple):
    name: str
    repeated: bool
    mapped: bool
    type: str


@functools.cache
def _types() -> dict[str, dict[int, _Field]]:
    text = resources.files("aimctl.devcluster.apiserver.wire").joinpath("protobuf_types.json").read_bytes()
    table = msgspec.json.decode(text, type=dict[str, list[str]])
    return {name: dict(_field(line) for line in lines) for name, lines in table.items()}


def _field(line: str) -> tuple[int, _Field]:
    number, name, kind = line.split()
    return int(number), _Field(name, kind.startswith("*"), kind.startswith("%"), kind.lstrip("*%"))


def decode_object(body: bytes) -> dict[str, Any]:
    """Decode one object.

    Raises:
        ProtobufError: another format, an unknown kind, or invalid bytes.
    """
    if not body.startswith(_MAGIC):
        raise ProtobufError(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    try:
        envelope = dict(_wire(body[len(_MAGIC) :]))
        head = dict(_wire(envelope.get(1, b"")))
        api_version = head.get(1, b"").decode()
        kind = head.get(2, b"").decode()
        name = _message_name(api_version, kind)
        return {"apiVersion": api_version, "kind": kind, **_message(envelope.get(2, b""), name)}
    except (IndexError, struct.error, UnicodeDecodeError, TypeError, AttributeError) as error:
        raise ProtobufError(f"unable to decode protobuf: {error}") from error


def _message_name(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    package = group.partition(".")[0] or "core"
    name = _MESSAGES_OF_ALL_GROUPS.get(kind, f"{package}.{version}.{kind}")
    if name not in _types():
        raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}" in protobuf')
    return name


def _wire(data: bytes) -> list[tuple[int, Any]]:
    """Field numbers and raw values: int for varints, bytes for all others."""
    found: list[tuple[int, Any]] = []
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                value, at = _varint(data, at)
                found.append((key >> 3, value))
            case 1:
                found.append((key >> 3, data[at : at + 8]))
                at += 8
            case 2:
                size, at = _varint(data, at)
                if at + size > len(data):
                    raise ProtobufError("unable to decode protobuf: unexpected EOF")
                found.append((key >> 3, data[at : at + size]))
                at += size
            case 5:
                found.append((key >> 3, data[at : at + 4]))
                at += 4
            case other:
                raise ProtobufError(f"unable to decode protobuf: illegal wireType {other}")
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _message(data: bytes, name: str) -> dict[str, Any]:
    fields = _types()[name]
    result: dict[str, Any] = {}
    for number, raw in _wire(data):
        field = fields.get(number)
        if field is None:
            continue
        if field.mapped:
            entry = dict(_wire(raw))
            key = entry.get(1, b"").decode()
            result.setdefault(field.name, {})[key] = _value(entry.get(2, b""), field.type)
            continue
        value = _value(raw, field.type)
        if field.repeated:
            result.setdefault(field.name, []).append(value)
        elif field.name in _INLINE and isinstance(value, dict):
            result.update(value)
        elif value is not None and (field.name in _ZERO_MATTERS or value not in ("", 0, False)):
            result[field.name] = value
    return result


def _value(raw: Any, kind: str) -> Any:
    match kind:
        case "s":
            return raw.decode()
        case "b":
            return bool(raw)
        case "i":
            return raw - (1 << 64) if raw >= 1 << 63 else raw
        case "y":
            return base64.b64encode(raw).decode()
        case "d":
            return struct.unpack("<d", raw)[0]
        case _:
            return _special(raw, kind)


def _special(raw: bytes, kind: str) -> Any:
    """Decode a message whose JSON form is not an object."""
    if kind not in _SIMPLE:
        return _message(raw, kind)
    parts = dict(_wire(raw))
    match kind:
        case "meta.v1.Time" | "meta.v1.MicroTime":
            return _time(parts, precise=kind == "meta.v1.MicroTime") if raw else None
        case "resource.Quantity":
            return parts.get(1, b"").decode()
        case "intstr.IntOrString":
            return parts.get(3, b"").decode() if parts.get(1) else _value(parts.get(2, 0), "i")
        case "meta.v1.FieldsV1" | "runtime.RawExtension":
            return msgspec.json.decode(parts.get(1) or b"null")
        case _:
            return [value.decode() for number, value in _wire(raw) if number == 1]


def _time(parts: dict[int, Any], *, precise: bool) -> str:
    moment = datetime.fromtimestamp(_value(parts.get(1, 0), "i"), UTC)
    if precise:
        return format_micro_time(moment.replace(microsecond=parts.get(2, 0) // 1000))
    return format_time(moment)


_SIMPLE = frozenset(
    {
        "authentication.v1.ExtraValue",
        "authorization.v1.ExtraValue",
        "intstr.IntOrString",
        "meta.v1.FieldsV1",
        "meta.v1.MicroTime",
        "meta.v1.Time",
        "meta.v1.Verbs",
        "resource.Quantity",
        "runtime.RawExtension",
    }
)
