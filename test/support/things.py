"""Objects for tests."""

from __future__ import annotations

import json
from typing import Any

from aimctl.kubetypes import Object, Resource

THINGS = Resource.untyped("test.example", "v1", "Thing", "things")
PARTS = Resource.untyped("test.example", "v1", "Part", "parts")
CLUSTER_THINGS = Resource.untyped("test.example", "v1", "ClusterThing", "clusterthings", namespaced=False)


def make(
    name: str = "a",
    namespace: str = "ns",
    *,
    resource: Resource[Any] = THINGS,
    rv: int = 1,
    uid: str = "",
    generation: int = 1,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    owners: list[dict[str, Any]] | None = None,
    deleting: bool = False,
    created: str = "",
    **body: Any,
) -> Object[Any]:
    """One object."""
    meta: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(rv),
        "generation": generation,
        "labels": labels or {},
        "annotations": annotations or {},
        "ownerReferences": owners or [],
    }
    if created:
        meta["creationTimestamp"] = created
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    whole = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, **body}
    return Object.parse(resource, json.dumps(whole).encode())


def with_meta(obj: Object[Any], **metadata: Any) -> Object[Any]:
    """The object with other metadata, named as in JSON."""
    body = json.loads(obj.raw)
    return Object.parse(obj.resource, json.dumps(body | {"metadata": body["metadata"] | metadata}).encode())


def with_fields(obj: Object[Any], **fields: Any) -> Object[Any]:
    """The object with other top-level fields, such as ``spec``."""
    return Object.parse(obj.resource, json.dumps(json.loads(obj.raw) | fields).encode())


def owner(
    name: str, *, kind: str = "Thing", api_version: str = "test.example/v1", controller: bool = True
) -> dict[str, Any]:
    """One owner reference."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name,
        "uid": f"uid-{name}",
        "controller": controller,
    }
