"""Query parameters, headers and bodies of requests.

Pure functions. An empty option is omitted, so the server's default applies.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from aimctl.kubetypes import EncodeError
from aimctl.runtime.kube.transport import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.kubetypes import Resource

__all__ = [
    "PATCH_TYPES",
    "FieldValidation",
    "PatchKind",
    "Propagation",
    "Query",
    "accept",
    "check_path",
    "check_segment",
    "collection_path",
    "delete_options",
    "encode",
    "identity_of",
    "list_query",
    "log_path",
    "object_path",
    "request_with_body",
    "watch_query",
    "write_query",
]

Query = tuple[tuple[str, str], ...]
PatchKind = Literal["merge", "json", "strategic"]
Propagation = Literal["Background", "Foreground", "Orphan"]
FieldValidation = Literal["", "Ignore", "Warn", "Strict"]

PATCH_TYPES: Mapping[str, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",  # JSON is YAML
}

_INVALID_IN_SEGMENT = re.compile(r"[/%\x00-\x1f\x7f]")

_PARTIAL = "application/json;as={};g=meta.k8s.io;v=v1"


def accept(*, metadata_only: bool = False, many: bool = False) -> Mapping[str, str]:
    """The Accept header. No fallback to full objects: a server before 1.15 answers 406."""
    if not metadata_only:
        return {"Accept": "application/json"}
    return {"Accept": _PARTIAL.format("PartialObjectMetadataList" if many else "PartialObjectMetadata")}


def list_query(
    *,
    label_selector: str = "",
    field_selector: str = "",
    limit: int | None = None,
    continue_token: str = "",
    resource_version: str | None = None,
    resource_version_match: str = "",
) -> Query:
    """``metav1.ListOptions`` of a list. Without a resource version: the most recent state; "0": any state."""
    pairs = [
        ("labelSelector", label_selector),
        ("fieldSelector", field_selector),
        ("limit", str(limit) if limit else ""),
        ("continue", continue_token),
        ("resourceVersion", resource_version or ""),
        ("resourceVersionMatch", resource_version_match),
    ]
    return _given(pairs)


def watch_query(
    *,
    resource_version: str,
    label_selector: str,
    field_selector: str,
    timeout_seconds: int,
    initial_events: bool = False,
    bookmarks: bool = True,
) -> Query:
    """``metav1.ListOptions`` of a watch or of a streaming list."""
    pairs = [
        ("watch", "true"),
        ("allowWatchBookmarks", "true" if bookmarks else ""),
        ("sendInitialEvents", "true" if initial_events else ""),
        ("resourceVersionMatch", "NotOlderThan" if initial_events else ""),
        ("resourceVersion", resource_version),
        ("labelSelector", label_selector),
        ("fieldSelector", field_selector),
        ("timeoutSeconds", str(timeout_seconds)),
    ]
    return _given(pairs)


def write_query(
    *,
    field_manager: str,
    field_validation: FieldValidation,
    dry_run: bool,
    force: bool = False,
    timeout_seconds: float | None = None,
) -> Query:
    """Options of create, update and patch; ``timeout`` is a Go duration."""
    pairs = [
        ("fieldManager", field_manager),
        ("fieldValidation", field_validation),
        ("force", "true" if force else ""),
        ("dryRun", "All" if dry_run else ""),
        ("timeout", f"{timeout_seconds:g}s" if timeout_seconds else ""),
    ]
    return _given(pairs)


def delete_options(
    *, uid: str, resource_version: str, propagation: Propagation | None, grace_period_seconds: int | None
) -> bytes:
    """The body of a delete."""
    body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
    preconditions = {
        name: value for name, value in (("uid", uid), ("resourceVersion", resource_version)) if value
    }
    if preconditions:
        body["preconditions"] = preconditions
    if propagation is not None:
        body["propagationPolicy"] = propagation
    if grace_period_seconds is not None:
        body["gracePeriodSeconds"] = grace_period_seconds
    return msgspec.json.encode(body)


def collection_path(resource: Resource[Any], namespace: str) -> str:
    """The path of a collection; an empty namespace means all namespaces.

    Raises:
        ValueError: the namespace is not a valid path segment.
    """
    check_segment("namespace", namespace)
    return resource.path(namespace)


def object_path(resource: Resource[Any], name: str, namespace: str, subresource: str = "") -> str:
    """The path of one object.

    Raises:
        ValueError: the name is empty, the namespace of a namespaced kind is, or one of them or a part of the
            subresource is not a valid path segment. The path would address something else.
    """
    if not name:
        raise ValueError(f"a {resource.kind} needs a name: metadata.name is empty")
    if resource.namespaced and not namespace:
        raise ValueError(
            f"{resource.kind} {name!r} needs a namespace: {resource.plural} are namespaced; pass it, or set"
            " metadata.namespace in the body"
        )
    check_segment("name", name)
    check_segment("namespace", namespace)
    if subresource:
        for part in subresource.split("/"):  # "proxy/metrics": a subresource may have a path of its own
            if not part:
                raise ValueError(f"subresource {subresource!r}: a part of it is empty")
            check_segment("subresource", part)
    return resource.path(namespace, name, subresource)


def log_path(pod: str, namespace: str) -> str:
    """The path of the logs of a Pod.

    Raises:
        ValueError: a name is empty or not a valid path segment.
    """
    if not pod or not namespace:
        raise ValueError("logs need a pod and a namespace")
    check_segment("pod", pod)
    check_segment("namespace", namespace)
    return f"/api/v1/namespaces/{namespace}/pods/{pod}/log"


def check_segment(field: str, value: str) -> None:
    """Reject a value that would change the target of a request. "" is accepted: it is left out of the path.

    The rule is ``IsValidPathSegmentName`` of apimachinery, which the API server also applies to names. Control
    characters are rejected as well.

    Raises:
        ValueError: the value is "." or "..", or contains "/", "%" or a control character.
    """
    if value in {".", ".."}:
        raise ValueError(f"{field} {value!r} is not valid: it may not be {value!r}")
    found = _INVALID_IN_SEGMENT.search(value)
    if found is not None:
        raise ValueError(f"{field} {value!r} is not valid: it may not contain {found.group()!r}")


def check_path(path: str) -> None:
    """Reject a complete path that a proxy or server could resolve to another one.

    Raises:
        ValueError: the path does not start with "/", or has a "." or ".." segment.
    """
    if not path.startswith("/"):
        raise ValueError(f"path {path!r}: it must start with '/'")
    if not {".", ".."}.isdisjoint(path.split("/")):
        raise ValueError(f"path {path!r}: it may not contain the segments '.' and '..'")


def identity_of(body: Mapping[str, Any]) -> tuple[str, str]:
    """Name and namespace in ``metadata`` of a plain body; "" if absent.

    Raises:
        EncodeError: the metadata is not an object, or the name or the namespace is not a string.
    """
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise EncodeError(
            f"metadata is a {type(metadata).__name__}; use an object with a name and a namespace"
        )
    for field in ("name", "namespace"):
        if not isinstance(metadata.get(field) or "", str):
            raise EncodeError(f"metadata.{field} is {metadata[field]!r}; use a text")
    return metadata.get("name") or "", metadata.get("namespace") or ""


def encode(resource: Resource[Any], body: Mapping[str, Any]) -> bytes:
    """A plain body as JSON, with apiVersion and kind added if missing."""
    return msgspec.json.encode({"apiVersion": resource.api_version, "kind": resource.kind, **body})


def request_with_body(
    method: str, path: str, query: Query, body: bytes, content_type: str = "application/json"
) -> HttpRequest:
    """A request with a JSON body."""
    return HttpRequest(method, path, query, {**accept(), "Content-Type": content_type}, body)


def _given(pairs: list[tuple[str, str]]) -> Query:
    return tuple((name, value) for name, value in pairs if value)
