"""The fields of every object: ``apiVersion``, ``kind`` and ``metav1.ObjectMeta``.

Contract: :data:`OBJECT_META_SOURCE` is the OpenAPI definition of ObjectMeta, with the list types that server-side apply
needs (owner references by uid, finalizers as a set). :func:`object_meta` is the same as a node.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.schema.node import Node, parse_node

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["API_VERSION_SOURCE", "KIND_SOURCE", "OBJECT_META_SOURCE", "object_meta", "with_object_meta"]


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _time(description: str) -> dict[str, Any]:
    return {**_text(description), "format": "date-time"}


def _texts(description: str) -> dict[str, Any]:
    return {"type": "object", "description": description, "additionalProperties": {"type": "string"}}


API_VERSION_SOURCE = _text("Group and version of this object's schema, such as apps/v1.")
KIND_SOURCE = _text("The kind of this object, in CamelCase.")

_OWNER_REFERENCE: dict[str, Any] = {
    "type": "object",
    "description": "An object that owns this one.",
    "x-kubernetes-map-type": "atomic",
    "required": ["apiVersion", "kind", "name", "uid"],
    "properties": {
        "apiVersion": _text("API version of the owner."),
        "blockOwnerDeletion": {
            "type": "boolean",
            "description": "Foreground deletion of the owner waits for this object.",
        },
        "controller": {"type": "boolean", "description": "Whether the owner is the managing controller."},
        "kind": _text("Kind of the owner."),
        "name": _text("Name of the owner."),
        "uid": _text("UID of the owner."),
    },
}
_MANAGED_FIELDS: dict[str, Any] = {
    "type": "object",
    "description": "The fields that one manager set with one operation.",
    "properties": {
        "apiVersion": _text("API version of the fields."),
        "fieldsType": _text("Format of fieldsV1, always FieldsV1."),
        "fieldsV1": {
            "type": "object",
            "description": "The set of fields.",
            "x-kubernetes-preserve-unknown-fields": True,
            "x-kubernetes-map-type": "atomic",
        },
        "manager": _text("Name of the manager."),
        "operation": _text("Apply or Update."),
        "subresource": _text("Subresource the fields were set through."),
        "time": _time("When the set of fields last changed."),
    },
}
OBJECT_META_SOURCE: Mapping[str, Any] = {
    "type": "object",
    "description": "Metadata that every object has.",
    "properties": {
        "annotations": _texts("Keys and values that tools store with the object. Selectors do not use them."),
        "creationTimestamp": {**_time("When the server created the object."), "nullable": True},
        "deletionGracePeriodSeconds": {
            "type": "integer",
            "format": "int64",
            "description": "Seconds until the object is deleted; set when deletion is requested.",
        },
        "deletionTimestamp": {
            **_time("When the object is to be deleted; set when deletion is requested."),
            "nullable": True,
        },
        "finalizers": {
            "type": "array",
            "description": "Components that must remove their entry before the object is deleted.",
            "items": {"type": "string"},
            "x-kubernetes-list-type": "set",
            "x-kubernetes-patch-strategy": "merge",
        },
        "generateName": _text("Prefix of the unique name that the server generates if name is empty."),
        "generation": {
            "type": "integer",
            "format": "int64",
            "description": "Number of changes of the desired state.",
        },
        "labels": _texts("Keys and values that selectors use."),
        "managedFields": {
            "type": "array",
            "description": "The managers of fields, maintained by the server.",
            "items": _MANAGED_FIELDS,
            "x-kubernetes-list-type": "atomic",
        },
        "name": _text("Name, unique among objects of the kind in the namespace."),
        "namespace": _text("Namespace of the object; empty for cluster-scoped objects."),
        "ownerReferences": {
            "type": "array",
            "description": "Owners of this object. It is deleted when all of them are deleted.",
            "items": _OWNER_REFERENCE,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["uid"],
            "x-kubernetes-patch-merge-key": "uid",
            "x-kubernetes-patch-strategy": "merge",
        },
        "resourceVersion": _text("Opaque version of this object, for optimistic concurrency and watches."),
        "selfLink": _text("Deprecated and never set."),
        "uid": _text("Unique in time and space, set by the server."),
    },
}


_STRING = parse_node({"type": "string"})
_PARSED = parse_node(OBJECT_META_SOURCE)
_TIMES = ("creationTimestamp", "deletionTimestamp")


def _items(field: str, go_type: str) -> Node:
    """A list of structures of a Go type, in which null is an empty one.

    The required fields of owner references are checked with the metadata, which has other messages.
    """
    node = _PARSED.properties[field]
    return replace(node, null_item={}, items=replace(node.items or _STRING, go_type=go_type, required=()))


def _entries() -> Node:
    node = _items("managedFields", "v1.ManagedFieldsEntry")
    entry = node.items or _STRING
    fields = {**entry.properties, "time": replace(entry.properties["time"], go_type="v1.Time")}
    return replace(node, items=replace(entry, properties=MappingProxyType(fields)))


_OBJECT_META = replace(
    _PARSED,
    go_type="v1.ObjectMeta",
    properties=MappingProxyType(
        {
            **_PARSED.properties,
            **{name: replace(_PARSED.properties[name], go_type="v1.Time") for name in _TIMES},
            **{name: replace(_PARSED.properties[name], null_item="") for name in ("annotations", "labels")},
            "finalizers": replace(_PARSED.properties["finalizers"], null_item=""),
            "managedFields": _entries(),
            "ownerReferences": _items("ownerReferences", "v1.OwnerReference"),
            "uid": replace(_PARSED.properties["uid"], go_type="types.UID"),
        }
    ),
)


def object_meta(given: Node | None = None) -> Node:
    """ObjectMeta, with the restrictions of name and generateName in the schema ``given`` for metadata, if any."""
    if given is None:
        return _OBJECT_META
    own = {key: node for key, node in given.properties.items() if key in ("name", "generateName")}
    return replace(
        _OBJECT_META, properties=MappingProxyType({**_OBJECT_META.properties, **own}), required=given.required
    )


def with_object_meta(node: Node) -> Node:
    """An object's schema with apiVersion, kind and metadata added."""
    properties = {
        **node.properties,
        "apiVersion": node.properties.get("apiVersion", _STRING),
        "kind": node.properties.get("kind", _STRING),
        "metadata": object_meta(node.properties.get("metadata")),
    }
    return replace(node, properties=MappingProxyType(properties))
