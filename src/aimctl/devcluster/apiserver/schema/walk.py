"""Pruning and defaulting: the two passes before validation.

Contract:
    * :func:`prune` drops unknown fields and reports their paths.
    * :func:`fill_defaults` drops nulls that are not allowed, then sets defaults, depth first.
    * Both return a new value that shares no mutable part with the defaults, and do not change their argument.

Invariant: both are idempotent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.schema.node import UNSET

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.devcluster.apiserver.schema.node import Node

__all__ = ["at_index", "at_key", "fill_defaults", "fill_object", "prune"]


def at_key(path: str, key: str) -> str:
    """The path of an object's key."""
    return f"{path}.{key}" if path else key


def at_index(path: str, index: int) -> str:
    """The path of a list's item."""
    return f"{path}[{index}]"


def prune(value: Any, node: Node, path: str, unknown: list[str]) -> Any:
    """A copy of ``value`` without unknown keys, whose paths are appended to ``unknown`` in order."""
    if isinstance(value, dict):
        kept: dict[str, Any] = {}
        for key, item in value.items():
            child = node.child(key)
            if child is None:
                unknown.append(at_key(path, key))
            else:
                kept[key] = prune(item, child, at_key(path, key), unknown)
        return kept
    if isinstance(value, list):
        items = node.items
        if items is None:
            return copied(value)
        return [prune(item, items, at_index(path, index), unknown) for index, item in enumerate(value)]
    return value


def fill_defaults(value: Any, node: Node) -> Any:
    """A copy of ``value`` without nulls that are not allowed, and with defaults."""
    if isinstance(value, dict):
        return fill_object(value, node, fill_defaults)
    if isinstance(value, list) and node.items is not None:
        null = node.null_item
        return [
            fill_defaults(null if item is None and null is not UNSET else item, node.items) for item in value
        ]
    return copied(value)


def fill_object(value: dict[str, Any], node: Node, fill: Callable[[Any, Node], Any]) -> dict[str, Any]:
    """:func:`fill_defaults` for an object, whose fields are filled by ``fill``."""
    filled: dict[str, Any] = {}
    for key, item in value.items():
        child = node.properties.get(key) or node.additional
        if item is None and child is not None and not _may_be_null(child):
            if node.null_item is not UNSET:
                filled[key] = copied(node.null_item)
            continue
        if not item and key in node.dropped and child is not None and isinstance(item, _container(child)):
            continue
        filled[key] = copied(item) if child is None else fill(item, child)
    for key, child in node.defaulted:
        if key not in filled or (child.empty_is_unset and filled[key] in ("", 0)):
            filled[key] = fill_defaults(child.default, child)
    return filled


def _container(node: Node) -> type:
    return list if node.type == "array" else dict


def _may_be_null(node: Node) -> bool:
    """Whether null is allowed, which it is too if no type is given."""
    return node.nullable or (not node.type and not node.int_or_string and not node.go_type)


def copied(value: Any) -> Any:
    """A deep copy of a JSON value.

    JSON has no cycles and no other containers than dict and list, which makes this several times faster than
    ``copy.deepcopy``.
    """
    if isinstance(value, dict):
        return {key: copied(item) if isinstance(item, dict | list) else item for key, item in value.items()}
    if isinstance(value, list):
        return [copied(item) if isinstance(item, dict | list) else item for item in value]
    return value
