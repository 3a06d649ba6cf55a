"""ConversionReviews: what is sent to a conversion webhook, and what its response means.

Source: ``pkg/apiserver/conversion`` of ``k8s.io/apiextensions-apiserver``, whose messages these are. It does no I/O.

Invariant: of the metadata that a webhook returns, only labels and annotations are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.devcluster.apiserver.objects.decoding import cannot_unmarshal
from aimctl.devcluster.apiserver.objects.metadata import annotation_errors, label_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["REVIEW_VERSIONS", "ConversionFailed", "checked", "kind_of", "parse_response", "review_of"]

REVIEW_VERSIONS = ("v1", "v1beta1")
"""The versions of ConversionReviews that the server knows."""
_GROUP = "apiextensions.k8s.io"
_ANNOTATION = "metadata.annotation"
"""The path in messages about annotations."""


class ConversionFailed(Exception):  # noqa: N818 - the text is a part of a message
    """A webhook did not convert an object."""


def review_of(obj: Mapping[str, Any], desired: str, uid: str, accepted: Sequence[str]) -> dict[str, Any]:
    """A ConversionReview for one object, in the first version of ``accepted`` that the server knows."""
    version = next((each for each in accepted if each in REVIEW_VERSIONS), REVIEW_VERSIONS[0])
    return {
        "kind": "ConversionReview",
        "apiVersion": f"{_GROUP}/{version}",
        "request": {"uid": uid, "desiredAPIVersion": desired, "objects": [obj]},
        "response": {"uid": "", "convertedObjects": None, "result": {"metadata": {}}},
    }


def parse_response(body: bytes, kind: str, uid: str) -> Mapping[str, Any]:
    """The converted object in the body of a response with status 200.

    Args:
        body: of the response.
        kind: the kind of the object before its conversion, as ``g/v, Kind=K``.
        uid: of the review.

    Raises:
        ConversionFailed: the response contains no object.
    """
    try:
        objects = _objects(body, uid)
    except _Malformed as error:
        raise ConversionFailed(f"conversion webhook for {kind} failed: {error}") from error
    if len(objects) != 1:
        raise ConversionFailed(f"conversion webhook for {kind} returned {len(objects)} objects, expected 1")
    found = objects[0]
    if not isinstance(found, dict):
        raise ConversionFailed(f"{cannot_unmarshal(found)} map[string]interface {{}}")
    return found


class _Malformed(Exception):  # noqa: N818 - the text becomes a part of a message
    """A response is no ConversionReview that answers the request, or reports a failure."""


def _objects(body: bytes, uid: str) -> Sequence[Any]:
    try:
        review = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _Malformed(f"couldn't get version/kind; json parse error: {error}") from error
    review = review if isinstance(review, dict) else {}
    version, kind = str(review.get("apiVersion") or ""), str(review.get("kind") or "")
    if version != f"{_GROUP}/v1beta1" and (version, kind) != (f"{_GROUP}/v1", "ConversionReview"):
        wanted = f"{_GROUP}/v1, Kind=ConversionReview"
        shown = version if "/" in version else f"/{version}"
        raise _Malformed(f"expected webhook response of {wanted}, got {shown}, Kind={kind}")
    response = review.get("response")
    if not isinstance(response, dict):
        raise _Malformed("no response provided")
    # As on the real server, reviews of version v1beta1 may have another uid.
    if version == f"{_GROUP}/v1" and response.get("uid") != uid:
        raise _Malformed(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    result = response.get("result")
    result = result if isinstance(result, dict) else {}
    if result.get("status") != "Success":
        text = f"response.result.status was '{result.get('status') or ''}', not 'Success'"
        raise _Malformed(str(result.get("message") or text))
    objects = response.get("convertedObjects")
    return objects if isinstance(objects, list) else ()


def checked(original: Mapping[str, Any], converted: Mapping[str, Any], desired: str) -> dict[str, Any]:
    """The converted object with the metadata of the original one, except for labels and annotations.

    Args:
        original: the object before its conversion.
        converted: what the webhook returned.
        desired: the apiVersion that was requested.

    Raises:
        ConversionFailed: it is another object, in another version, or its labels or annotations are invalid.
    """
    prefix = f"conversion webhook for {kind_of(original)} returned invalid"
    version, kind = converted.get("apiVersion"), converted.get("kind")
    if version != desired:
        text = f"invalid groupVersion (expected {desired}, received {version or ''})"
        raise ConversionFailed(f"{prefix} object at index 0: {text}")
    if kind != original.get("kind"):
        text = f"invalid kind (expected {original.get('kind')}, received {kind or ''})"
        raise ConversionFailed(f"{prefix} object at index 0: {text}")
    metadata = converted.get("metadata")
    found = metadata if isinstance(metadata, dict) else {}
    for field, shown in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        before, after = original["metadata"].get(field) or "", found.get(field) or ""
        if before != after:
            raise ConversionFailed(f"{prefix} object: must have the same {shown}: {before} != {after}")
    try:
        return {**converted, "metadata": _restored(original["metadata"], converted)}
    except _Malformed as error:
        raise ConversionFailed(f"{prefix} metadata: {error}") from error


def kind_of(obj: Mapping[str, Any]) -> str:
    """Version and kind of an object as messages show them."""
    return f"{obj.get('apiVersion')}, Kind={obj.get('kind')}"


def _restored(original: Mapping[str, Any], converted: Mapping[str, Any]) -> dict[str, Any]:
    if "metadata" not in converted:
        raise _Malformed("missing metadata in converted object")
    returned = converted["metadata"]
    if not isinstance(returned, dict):
        raise _Malformed(f"invalid metadata of type {_go_type(returned)} in converted object")
    restored = dict(original)
    for field in ("labels", "annotations"):
        texts = returned.get(field)
        if texts is None:
            restored.pop(field, None)
            continue
        if not isinstance(texts, dict):
            raise _Malformed(f"invalid metadata.{field} of type {_go_type(texts)} in converted object")
        for key, text in texts.items():
            if not isinstance(text, str):
                shown = f"but is {_go_type(text)} in converted object"
                raise _Malformed(f"metadata.{field}[{key}] must be a string, {shown}")
        if texts != (original.get(field) or {}):
            errors = label_errors(texts) if field == "labels" else annotation_errors(texts, _ANNOTATION)
            found = [str(error) for error in errors]
            if found:
                raise _Malformed(found[0] if len(found) == 1 else f"[{', '.join(found)}]")
        restored[field] = texts
    return restored


def _go_type(value: Any) -> str:
    names = {str: "string", bool: "bool", int: "int64", float: "float64", dict: "map[string]interface {}"}
    return names.get(type(value), "[]interface {}" if isinstance(value, list) else "<nil>")
