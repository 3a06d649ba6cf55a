"""How a schema merges a field in server-side apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aimctl.devcluster.apiserver.schema import Node, Schema

__all__ = ["merge_strategy"]


def merge_strategy(schema: Schema, *path: str) -> tuple[str, tuple[str, ...]]:
    """The list or map type of the field at this path, and its list-map keys. Lists on the way are entered."""
    node: Node | None = schema.root
    for name in path:
        while node is not None and node.items is not None:
            node = node.items
        node = None if node is None else node.child(name)
    assert node is not None, path
    if node.type == "array":
        return node.list_type, node.list_map_keys
    return (node.map_type if node.type == "object" else "scalar"), ()
