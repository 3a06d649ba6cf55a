"""The types of bodies that are not stored: delete options, Scale, Binding, Eviction, TokenRequest and reviews.

Contract: :func:`decoded_as` returns the body without unknown fields and nulls, or raises a 400 if a field has a wrong
type, as the decoder of the real server does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.objects.decoding import decode_error
from aimctl.devcluster.apiserver.schema import Schema
from aimctl.devcluster.apiserver.schema.meta import with_object_meta
from aimctl.devcluster.apiserver.schema.node import parse_node
from aimctl.devcluster.apiserver.verbs import bodies
from aimctl.devcluster.apiserver.wire import statuses

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BINDING", "DELETE_OPTIONS", "EVICTION", "SCALE", "TOKEN_REQUEST", "decoded_as"]

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_INTEGER = {"type": "integer"}


def _fields(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _schema(kind: str, /, **properties: Mapping[str, Any]) -> tuple[str, Schema]:
    source = _fields(**properties)
    root = replace(with_object_meta(parse_node(source)), go_type=f"v1.{kind}")
    return kind, Schema.builtin(root, source)


_REFERENCE = _fields(kind=_TEXT, apiVersion=_TEXT, name=_TEXT, namespace=_TEXT, uid=_TEXT)
_DELETE_OPTIONS = {
    "kind": _TEXT,
    "apiVersion": _TEXT,
    "gracePeriodSeconds": _INTEGER,
    "preconditions": _fields(uid=_TEXT, resourceVersion=_TEXT),
    "orphanDependents": {"type": "boolean"},
    "propagationPolicy": _TEXT,
    "dryRun": _TEXTS,
    "ignoreStoreReadErrorWithClusterBreakingPotential": {"type": "boolean"},
}
DELETE_OPTIONS = _schema("DeleteOptions", **_DELETE_OPTIONS)
SCALE = _schema("Scale", spec=_fields(replicas=_INTEGER), status=_fields(replicas=_INTEGER, selector=_TEXT))
BINDING = _schema("Binding", target=_REFERENCE)
EVICTION = _schema("Eviction", deleteOptions=_fields(**_DELETE_OPTIONS))
TOKEN_REQUEST = _schema(
    "TokenRequest",
    spec=_fields(
        audiences=_TEXTS,
        expirationSeconds={"type": "integer", "maximum": 1 << 32},
        boundObjectRef=_REFERENCE,
    ),
)


def decoded_as(form: tuple[str, Schema], body: dict[str, Any]) -> dict[str, Any]:
    """The body as an object of this form: the name of its kind, and its schema. Raises StatusError 400."""
    kind, schema = form
    given = body.get("kind")
    if kind == "DeleteOptions" and given not in (None, "", kind):
        version = body.get("apiVersion") or ""
        raise statuses.bad_request(bodies.unregistered(str(given), str(version)))
    found = schema.default(schema.prune(body)[0])
    errors = schema.validate(found, None)
    if errors:
        problem = decode_error(found, schema.root)
        if problem and kind == "DeleteOptions":
            raise statuses.bad_request(problem)
        version = str(found.get("apiVersion") or "v1").rpartition("/")[2]
        raise statuses.bad_request(
            f'{kind} in version "{version}" cannot be handled as a {kind}: {problem or errors[0]}'
        )
    return found
