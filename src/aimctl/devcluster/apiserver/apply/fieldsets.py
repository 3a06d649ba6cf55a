"""Sets of field paths, and their ``FieldsV1`` form in ``managedFields``.

Contract: a path is a tuple of elements in the form of the wire: ``f:name`` for a field, ``k:{"type":"Ready"}`` for an
item of a list-map, ``v:"x"`` for an item of a set. A set of fields is a frozenset of paths, so the operations of
Python's sets apply.

Invariants: keys and values in an element are canonical JSON, so equal elements are equal strings. Parsing a
serialised set returns an equal set.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "EMPTY",
    "FieldSet",
    "Path",
    "canonical",
    "field_element",
    "fields_from_wire",
    "fields_to_wire",
    "key_element",
    "path_text",
    "value_element",
    "without_subtrees",
]

Path = tuple[str, ...]
FieldSet = frozenset[Path]
EMPTY: FieldSet = frozenset()

_RANK = {"f": 0, "k": 1, "v": 2, "i": 3}
_REMEMBERED = 4096
"""Most writes of a kind have the same sets of fields, so both forms of the latest ones are kept."""


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def canonical(value: Any) -> str:
    """Compact JSON with sorted keys."""
    return _encoder.encode(value)


def field_element(name: str) -> str:
    """The element for a key of an object."""
    return f"f:{name}"


def key_element(keys: Mapping[str, Any]) -> str:
    """The element for an item of a list-map."""
    values = tuple(keys.values())
    if all(type(value) is str for value in values):
        return _text_key(tuple(keys), values)
    return f"k:{canonical(keys)}"


@functools.lru_cache(_REMEMBERED)
def _text_key(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    return f"k:{canonical(dict(zip(names, values, strict=True)))}"


def value_element(value: Any) -> str:
    """The element for an item of a set."""
    return f"v:{canonical(value)}"


def path_text(path: Path) -> str:
    """The path in messages about conflicts: ``.status.conditions[type="Ready"].status``."""
    return "".join(_element_text(element) for element in path)


def _element_text(element: str) -> str:
    kind, content = element[0], element[2:]
    if kind == "f":
        return f".{content}"
    if kind == "k":
        pairs = json.loads(content)
        return "[" + ",".join(f"{name}={canonical(value)}" for name, value in sorted(pairs.items())) + "]"
    return f"[={content}]" if kind == "v" else f"[{content}]"


def fields_from_wire(wire: Mapping[str, Any]) -> FieldSet:
    """Parse a ``fieldsV1`` object. Elements of unknown kinds are ignored, as on the server."""
    return _parsed(msgspec.json.encode(wire))


@functools.lru_cache(_REMEMBERED)
def _parsed(encoded: bytes) -> FieldSet:
    found: set[Path] = set()
    _read(msgspec.json.decode(encoded, type=dict[str, Any]), (), found)
    return frozenset(found)


def _read(wire: Mapping[str, Any], path: Path, found: set[Path]) -> None:
    if not wire and path:
        found.add(path)
    for element, below in wire.items():
        if element == ".":
            found.add(path)
        elif element[:2] in ("k:", "v:"):
            _read(below, (*path, element[:2] + canonical(json.loads(element[2:]))), found)
        elif element[:2] in ("f:", "i:"):
            _read(below, (*path, element), found)


def fields_to_wire(fields: FieldSet) -> dict[str, Any]:
    """The ``fieldsV1`` object of a set, in the server's order: fields, keys, values, indexes, each sorted."""
    return msgspec.json.decode(_rendered(fields), type=dict[str, Any])


@functools.lru_cache(_REMEMBERED)
def _rendered(fields: FieldSet) -> bytes:
    wire: dict[str, Any] = {}
    for path in sorted(fields, key=_order):
        place = wire
        for element in path:
            place = place.setdefault(element, {})
        place["."] = {}
    return msgspec.json.encode(_without_lone_dots(wire))


def _order(path: Path) -> list[tuple[int, str]]:
    return [(_RANK.get(element[0], 4), element) for element in path]


def _without_lone_dots(wire: dict[str, Any]) -> dict[str, Any]:
    if set(wire) == {"."}:
        return {}
    return {element: _without_lone_dots(below) for element, below in wire.items()}


def without_subtrees(fields: FieldSet, roots: Iterable[Path]) -> FieldSet:
    """The set without these paths and everything below them."""
    tops = tuple(roots)
    if not tops:
        return fields
    if all(len(top) == 1 for top in tops):
        first = {top[0] for top in tops}
        return frozenset([path for path in fields if not path or path[0] not in first])
    return frozenset(path for path in fields if not any(path[: len(top)] == top for top in tops))
