"""Decodes the bodies of requests to objects.

Contract: :func:`decode_body` accepts JSON, YAML and protobuf, and raises the 400 and 415 of the real server. A JSON
null is an empty object. :func:`duplicate_fields` finds what strict validation rejects and decoders do not report.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.devcluster.apiserver.objects.decoding import cannot_unmarshal, json_error
from aimctl.devcluster.apiserver.objects.yaml_values import YamlError
from aimctl.devcluster.apiserver.verbs.patching import decode_yaml
from aimctl.devcluster.apiserver.wire import protobuf, statuses
from aimctl.devcluster.apiserver.wire.requests import MEDIA_TYPES, header, media_type

if TYPE_CHECKING:
    from aimctl.runtime.kube.transport import HttpRequest

__all__ = ["decode_body", "duplicate_fields"]

_TYPE_META = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)

_NO_JSON = "couldn't get version/kind; json parse error: "
_MOST_SHOWN = 30
"""Bytes of the body that messages contain."""


def decode_body(request: HttpRequest, kind: str = "") -> dict[str, Any]:
    """Decode the body to an object.

    Args:
        request: the request.
        kind: the expected kind in messages; "" for bodies that are not stored.

    Raises:
        StatusError: 400, 415.
    """
    media = media_type(header(request.headers, "Content-Type")) or MEDIA_TYPES[0]
    body = bytes(request.body or b"")
    if media == protobuf.MEDIA_TYPE:
        try:
            return protobuf.decode_object(body)
        except protobuf.ProtobufError as error:
            raise statuses.bad_request(str(error)) from error
    if media not in MEDIA_TYPES:
        raise statuses.unsupported_media_type((*MEDIA_TYPES, protobuf.MEDIA_TYPE))
    obj = _yaml(body, kind) if media == "application/yaml" else _json(body, kind)
    if obj is None:
        return {}
    if not isinstance(obj, dict):
        raise _unrecognized(body, kind, f"{_NO_JSON}{cannot_unmarshal(obj)} {_TYPE_META}")
    return obj


def duplicate_fields(request: HttpRequest) -> tuple[str, ...]:
    """The paths of the keys that a JSON body has more than once, such as ``data.a``."""
    if media_type(header(request.headers, "Content-Type")) == "application/yaml":
        return ()
    found: list[str] = []
    try:
        tree = json.loads(bytes(request.body or b""), object_pairs_hook=_Pairs)
    except ValueError:
        return ()
    _collect(tree, "", found)
    return tuple(found)


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of an object, in order."""


def _collect(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            place = f"{path}.{key}" if path else key
            if key in seen:
                found.append(f'duplicate field "{place}"')
            else:
                seen.add(key)
                _collect(item, place, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _collect(item, f"{path}[{index}]", found)


def _json(body: bytes, kind: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unrecognized(body, kind, _NO_JSON + json_error(body, error)) from error


def _yaml(body: bytes, kind: str) -> Any:
    try:
        return decode_yaml(body)
    except YamlError as error:
        raise _unrecognized(body, kind, str(error)) from error


def _unrecognized(body: bytes, kind: str, problem: str) -> statuses.StatusError:
    if not kind:
        return statuses.bad_request(problem)
    head, rest = body[:_MOST_SHOWN], " ..." * (len(body) > _MOST_SHOWN)
    shown = "<empty>" if not body else head.decode("utf-8", "replace") if body[:1] == b"{" else head.hex()
    return statuses.bad_request(
        f"the object provided is unrecognized (must be of type {kind}): {problem} ({shown}{rest})"
    )
