"""Merging, comparing and pruning objects by their schema: the operations of server-side apply.

Contract: objects are granular unless ``x-kubernetes-map-type`` is atomic. Lists are atomic unless they are sets or
list-maps. Without a schema, objects are granular and lists are atomic.

Invariants: no function changes its arguments; ``merge(a, a) == a``; ``compare(a, b)`` has no path in two of its sets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.apply.fieldsets import (
    EMPTY,
    FieldSet,
    Path,
    field_element,
    key_element,
    path_text,
    value_element,
)
from aimctl.devcluster.apiserver.schema.node import OPEN, UNSET
from aimctl.devcluster.apiserver.schema.walk import copied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.apiserver.schema.node import Node

__all__ = ["Comparison", "MergeError", "compare", "fields_of", "merge", "remove", "with_named_parents"]


_WHOLE = replace(OPEN, map_type="atomic")
_FORMS: Mapping[str, tuple[Any, str]] = MappingProxyType(
    {
        "string": (str, "string"),
        "integer": ((int, float), "numeric (int or float)"),
        "number": ((int, float), "numeric (int or float)"),
        "boolean": (bool, "boolean"),
    }
)
_CONTAINERS: Mapping[str, tuple[type, str]] = MappingProxyType(
    {"object": (dict, "map"), "array": (list, "list")}
)


class MergeError(ValueError):
    """An object cannot be merged because it does not fit its schema. The text starts with the path."""


@final
@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences between two objects."""

    added: FieldSet = EMPTY
    removed: FieldSet = EMPTY
    modified: FieldSet = EMPTY

    @property
    def changed(self) -> FieldSet:
        """The added and the modified fields."""
        return self.added | self.modified

    @property
    def same(self) -> bool:
        """Whether there are no differences."""
        return not (self.added or self.removed or self.modified)


def _is_atomic(node: Node, value: Any) -> bool:
    """Whether a list or object is owned and replaced as a whole."""
    if isinstance(value, list):
        return node.items is None or node.list_type == "atomic"
    return node.map_type == "atomic"


def _below(node: Node, key: str) -> Node | None:
    child = node.child(key)
    if child is None and (node.within_unknown or (not node.type and not node.properties)):
        return OPEN
    return child


def _element(node: Node, index: int, item: Any, path: str) -> str:
    """The identity of an item in a set or list-map."""
    if node.list_type == "set":
        return value_element(item)
    if not isinstance(item, dict):
        raise MergeError(f"{path}: element {index}: associative list with keys may not have non-map elements")
    keys: dict[str, Any] = {}
    missing = []
    for key in node.list_map_keys:
        child = None if node.items is None else node.items.child(key)
        if item.get(key) is not None:
            keys[key] = item[key]
        elif child is not None and child.has_default:
            keys[key] = child.default
        elif child is not None and node.items is not None and node.items.go_type:
            # The required fields of built-in kinds have the zero values of Go.
            keys[key] = "" if child.type == "string" else 0
        else:
            missing.append(key)
    if missing:
        names = " ".join(f'"{key}"' for key in missing)
        what, rest = (
            ("key field", "default value")
            if keys
            else ("all key fields", "default values for any key fields")
        )
        raise MergeError(
            f"{path}: element {index}: associative list with keys has an element that omits"
            f" {what} {names if keys else f'[{names}]'} (and doesn't have {rest})"
        )
    return key_element(keys)


def _indexed(node: Node, items: Any, path: str) -> dict[str, Any]:
    """Items by identity, in order. Of stored items with the same identity, the first is used."""
    found: dict[str, Any] = {}
    for index, item in enumerate(items or ()):
        found.setdefault(_element(node, index, item, path), item)
    return found


def _repeated(node: Node, items: Any, found: Mapping[str, Any]) -> set[str]:
    """The identities that several items have. Of these, the fields have no owners of their own."""
    if items is None or len(items) == len(found):
        return set()
    identities = [_element(node, index, item, "") for index, item in enumerate(items)]
    return {each for each in found if identities.count(each) > 1}


def _item_node(node: Node) -> Node:
    return OPEN if node.items is None else node.items


def fields_of(value: Any, node: Node, *, strict: bool = False) -> FieldSet:
    """The fields of an applied configuration.

    Args:
        value: the object.
        node: its schema.
        strict: raise for unknown fields instead of ignoring them.

    Raises:
        MergeError: an item of a list-map has no key, or a field is unknown and ``strict`` is set.
    """
    found: set[Path] = set()
    _collect(value, node, (), found, "", strict=strict)
    return frozenset(found)


def _collect(value: Any, node: Node, path: Path, found: set[Path], text: str, *, strict: bool) -> None:
    if strict:
        _check_form(value, node, text)
    if isinstance(value, dict | list) and _is_atomic(node, value):
        found.add(path)
    elif isinstance(value, dict):
        for key, item in value.items():
            child = _below(node, key)
            place = f"{text}.{key}"
            if child is None:
                if strict:
                    raise MergeError(f"{place}: field not declared in schema")
                continue
            below = (*path, field_element(key))
            _collect(item, child, below, found, place, strict=strict)
            if item is None or item == {} or key not in node.properties:
                found.add(below)
    elif isinstance(value, list):
        seen = set()
        for index, item in enumerate(value):
            element = _element(node, index, item, text)
            if element in seen and strict:
                raise MergeError(f"{text}: duplicate entries for key {path_text((element,))}")
            seen.add(element)
            below = (*path, element)
            _collect(item, _item_node(node), below, found, text + path_text((element,)), strict=strict)
            found.add(below)
    elif path:
        found.add(path)


def _check_form(value: Any, node: Node, text: str) -> None:
    """Raise MergeError if a value is not of the type of the schema. Items and fields are not checked."""
    wanted = _CONTAINERS.get(node.type)
    if wanted is None:
        if not isinstance(value, dict | list):
            _check_scalar(value, node, text)
    elif value is not None and not isinstance(value, wanted[0]):
        raise MergeError(f"{text}: expected {wanted[1]}, got &{{{_go_print(value)}}}")


def _go_print(value: Any) -> str:
    """A value as Go's ``%v`` prints it."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_go_print(item)}' for key, item in sorted(value.items()))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_go_print, value))}]"
    return value if isinstance(value, str) else "<nil>" if value is None else json.dumps(value)


def _check_scalar(value: Any, node: Node, text: str) -> None:
    """Raise MergeError if a value has a type that the schema does not allow."""
    form = _FORMS.get(node.type)
    if (
        value is None
        or form is None
        or (isinstance(value, form[0]) and isinstance(value, bool) == (form[0] is bool))
    ):
        return
    shown = json.dumps(value, ensure_ascii=False)
    raise MergeError(f"{text}: expected {form[1]}, got &value.valueUnstructured{{Value:{shown}}}")


def with_named_parents(fields: FieldSet, node: Node) -> FieldSet:
    """The set with all parents of its paths that the schema names, so that emptied objects can be removed."""
    parents: set[Path] = set(fields)
    for path in fields:
        current: Node | None = node
        for depth, element in enumerate(path[:-1], start=1):
            if current is None:
                break
            if element.startswith("f:"):
                if element[2:] in current.properties:
                    parents.add(path[:depth])
                current = _below(current, element[2:])
            else:
                current = current.items
    return frozenset(parents)


def merge(live: Any, applied: Any, node: Node, text: str = "") -> Any:
    """The live value with the applied one merged into it. Either may be UNSET.

    Items of sets and list-maps that both have are in the applied order. Items that only one has keep their position
    relative to their neighbours. As on the real server, an applied null does not remove an object or list that is
    merged by its parts: it counts as an empty one.
    """
    if applied is UNSET:
        return copied(live)
    if applied is None and isinstance(live, dict | list) and not _is_atomic(node, live):
        return copied(live)
    if live is UNSET or type(live) is not type(applied) or not isinstance(applied, dict | list):
        return copied(applied)
    if _is_atomic(node, applied):
        return copied(applied)
    if isinstance(applied, dict):
        merged = {}
        for key in [*live, *(key for key in applied if key not in live)]:
            child = _below(node, key) or OPEN
            merged[key] = merge(live.get(key, UNSET), applied.get(key, UNSET), child, f"{text}.{key}")
        return merged
    ours, theirs = _indexed(node, live, text), _indexed(node, applied, text)
    child = _item_node(node)
    return [
        merge(ours.get(identity, UNSET), theirs.get(identity, UNSET), child, f"{text}[{identity[2:]}]")
        for identity in _interleave(list(ours), list(theirs))
    ]


def _interleave(ours: list[str], theirs: list[str]) -> list[str]:
    """Merge two orders. For elements that both have, that of ``theirs`` is used."""
    wanted = set(theirs)
    order: list[str] = []
    position = 0
    for identity in ours:
        if identity not in wanted:
            order.append(identity)
        elif position < len(theirs) and identity in theirs[position:]:
            stop = theirs.index(identity, position) + 1
            order += theirs[position:stop]
            position = stop
    return order + theirs[position:]


def remove(value: Any, fields: FieldSet, node: Node, *, drop_emptied: bool = False) -> Any:
    """The value without these fields; ``drop_emptied`` also removes what becomes empty."""
    if not fields or not isinstance(value, dict | list) or _is_atomic(node, value):
        return copied(value)
    below: dict[str, set[Path]] = {}
    for path in fields:
        below.setdefault(path[0], set()).add(path[1:])
    if isinstance(value, dict):
        kept = {}
        for key, item in value.items():
            paths = below.get(field_element(key), set())
            if () in paths:
                continue
            child = _below(node, key) or OPEN
            left = remove(item, frozenset(paths), child, drop_emptied=drop_emptied)
            if not (drop_emptied and item and left in ({}, [])):
                kept[key] = left
        return kept
    items = []
    for index, item in enumerate(value):
        paths = below.get(_element(node, index, item, ""), set())
        if () not in paths:
            items.append(remove(item, frozenset(paths), _item_node(node), drop_emptied=drop_emptied))
    return items


def compare(old: Any, new: Any, node: Node) -> Comparison:
    """The differences between two values of one schema."""
    added: set[Path] = set()
    removed: set[Path] = set()
    modified: set[Path] = set()
    _compare(old, new, node, (), (added, removed, modified))
    return Comparison(frozenset(added), frozenset(removed), frozenset(modified))


def _compare(old: Any, new: Any, node: Node, path: Path, out: tuple[set[Path], set[Path], set[Path]]) -> None:
    # Most of an object does not change. The comparisons run in C; == alone takes true for 1.
    if old is new or (old == new and msgspec.json.encode(old) == msgspec.json.encode(new)):
        return
    added, removed, modified = out
    if old is UNSET or new is UNSET:
        _add_all(new if old is UNSET else old, node, path, added if old is UNSET else removed)
        return
    before, after = _container(old), _container(new)
    shape = after if after is not None else before
    if shape is None or (before is not None and after is not None and type(before) is not type(after)):
        _compare_leaf(old, new, path, modified)
        return
    if _is_atomic(node, shape) or not (before or after):
        _compare_leaf(old, new, path, modified)
        return
    if (before is None and old is not None) or (after is None and new is not None):
        modified.add(path)
    if isinstance(shape, dict):
        ours, theirs = before or {}, after or {}
        for key in {**ours, **theirs}:
            left, right = ours.get(key, UNSET), theirs.get(key, UNSET)
            if isinstance(left, str) and left == right:
                continue
            _compare(left, right, _below(node, key) or OPEN, (*path, field_element(key)), out)
        return
    first, second = _indexed(node, before, ""), _indexed(node, after, "")
    repeated = _repeated(node, before, first) | _repeated(node, after, second)
    for identity in {**first, **second}:
        left, right = first.get(identity, UNSET), second.get(identity, UNSET)
        below = _WHOLE if identity in repeated else _item_node(node)
        _compare(left, right, below, (*path, identity), out)


def _add_all(value: Any, node: Node, path: Path, found: set[Path]) -> None:
    """Add the path of a value that only one of two objects has, and all paths below it."""
    if path:
        found.add(path)
    if not value or not isinstance(value, dict | list) or _is_atomic(node, value):
        return
    if isinstance(value, dict):
        for key, item in value.items():
            _add_all(item, _below(node, key) or OPEN, (*path, field_element(key)), found)
    else:
        items = _indexed(node, value, "")
        repeated = _repeated(node, value, items)
        for identity, item in items.items():
            below = _WHOLE if identity in repeated else _item_node(node)
            _add_all(item, below, (*path, identity), found)


def _container(value: Any) -> Any:
    return value if isinstance(value, dict | list) else None


def _compare_leaf(old: Any, new: Any, path: Path, modified: set[Path]) -> None:
    if path and not _equal(old, new):
        modified.add(path)


def _equal(first: Any, second: Any) -> bool:
    """JSON equality, in which true is not 1."""
    if isinstance(first, bool) != isinstance(second, bool):
        return False
    return bool(first == second)
