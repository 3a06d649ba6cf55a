"""The validation of the objects in fields with ``x-kubernetes-embedded-resource``.

Contract: :func:`embedded_errors` returns the errors of the real server in the types and the metadata of all embedded
objects of a custom object. Names may contain everything that is possible in a path, as the kinds are not known.

Source: Kubernetes' ``apiextensions/apiserver/schema/objectmeta``.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.objects.metadata import created_errors
from aimctl.devcluster.apiserver.objects.names import label1035_errors
from aimctl.devcluster.apiserver.schema import FieldError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.devcluster.apiserver.schema import Node

__all__ = ["embedded_errors"]

_EMPTY = "must not be empty"
_NEGATIVE = "must be greater than or equal to 0"
_MIXED_CASE = "may have mixed case, but should otherwise match: "


def embedded_errors(obj: Mapping[str, Any], root: Node) -> list[FieldError]:
    """The errors of the embedded objects of a custom object with this schema."""
    return list(_errors(obj, root, "")) if _has_embedded(root) else []


@functools.lru_cache(maxsize=4096)
def _has_embedded(node: Node) -> bool:
    """Whether there are embedded objects in the values of a node."""
    parts = [*node.properties.values(), *(part for part in (node.items, node.additional) if part is not None)]
    return node.embedded or any(_has_embedded(part) for part in parts)


def _errors(value: Any, node: Node, path: str) -> Iterator[FieldError]:
    if not _has_embedded(node):
        return
    if isinstance(value, list) and node.items is not None:
        for index, item in enumerate(value):
            yield from _errors(item, node.items, f"{path}[{index}]")
    if not isinstance(value, dict):
        return
    if node.embedded:
        yield from _object_errors(value, path)
    for key, item in value.items():
        known = node.properties.get(key)
        if known is not None:
            yield from _errors(item, known, f"{path}.{key}" if path else key)
        elif node.additional is not None:
            yield from _errors(item, node.additional, f"{path}[{key}]")


def _object_errors(value: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    version, kind, metadata = value.get("apiVersion"), value.get("kind"), value.get("metadata")
    if isinstance(version, str):
        if not version:
            yield FieldError("FieldValueInvalid", f"{path}.apiVersion", version, _EMPTY)
        elif version.count("/") > 1:
            text = f"unexpected GroupVersion string: {version}"
            yield FieldError("FieldValueInvalid", f"{path}.apiVersion", version, text)
    if isinstance(kind, str):
        texts = label1035_errors(kind.lower()) if kind else []
        if not kind:
            yield FieldError("FieldValueInvalid", f"{path}.kind", kind, _EMPTY)
        elif texts:
            yield FieldError("FieldValueInvalid", f"{path}.kind", kind, _MIXED_CASE + ",".join(texts))
    if isinstance(metadata, dict):
        named = {"name": "x", **metadata}
        for error in created_errors(
            named, rule="path", namespaced=bool(metadata.get("namespace")), custom=True
        ):
            yield replace(error, field=f"{path}.{error.field}")
        if (metadata.get("generation") or 0) < 0:
            place = f"{path}.metadata.generation"
            yield FieldError("FieldValueInvalid", place, metadata["generation"], _NEGATIVE)
