"""A fast check that an object has its final form, which most objects in requests have.

Contract: the acceptor of a node returns True only for a value that pruning and defaulting do not change, in which
validation finds no error, and whose lists have no duplicates. False says nothing about the value: it has to go through
these steps, which also explain what is wrong.

Invariants: an acceptor does not change its argument. It makes no copies and no paths of fields, so it takes a small
part of the time of the steps that it replaces. Its answer depends on the encoded value only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.schema.scalars.formats import matches_format
from aimctl.devcluster.apiserver.schema.scalars.numbers import is_int64
from aimctl.devcluster.apiserver.schema.scalars.patterns import compile_pattern
from aimctl.devcluster.apiserver.schema.values import check_itself, check_size

if TYPE_CHECKING:
    from aimctl.devcluster.apiserver.schema.errors import FieldError
    from aimctl.devcluster.apiserver.schema.memory import Memory
    from aimctl.devcluster.apiserver.schema.node import Node

__all__ = ["Acceptor", "Acceptors", "whole_object"]

Acceptor = Callable[[Any], bool]

_SCALARS: dict[str, frozenset[type]] = {
    "string": frozenset({str}),
    "boolean": frozenset({bool}),
    "integer": frozenset({int}),
    "number": frozenset({int, float}),
}


@final
class Acceptors:
    """The acceptors of the nodes of one schema, each created when it is first needed.

    Schemas may be recursive: the acceptor of an object refers to those of its fields only after it met such a field.
    """

    def __init__(self) -> None:
        self._made: dict[Node, Acceptor] = {}

    def of(self, node: Node) -> Acceptor:
        """The acceptor of a node."""
        found = self._made.get(node)
        if found is None:
            found = self._made[node] = self._make(node)
        return found

    def _make(self, node: Node) -> Acceptor:
        if _is_open(node):
            return _anything
        types = _SCALARS.get(node.type)
        if types is not None and not node.int_or_string:
            full = _scalar(node, types)
            return (lambda value: bool(value) and full(value)) if node.empty_is_unset else full
        if node.type == "object" and not _is_special(node):
            return self.object(node, {})
        if node.type == "array" and not _is_special(node):
            return self._list(node)
        return self._any(node)

    def _any(self, node: Node) -> Acceptor:
        if node.int_or_string and node.format == "int32":
            return lambda value: type(value) is str or _is_int32(value)
        as_object, as_list = self.object(node, {}), self._list(node)

        def accepts(value: Any) -> bool:
            if not _is_valid_itself(value, node) or (value is None and node.go_type and not node.nullable):
                return False
            kind = type(value)
            if kind is dict:
                return as_object(value)
            return as_list(value) if kind is list else True

        return accepts

    def object(self, node: Node, fields: dict[str, Acceptor]) -> Acceptor:
        """The acceptor of a node as an object. ``fields`` has those of its properties, and gets those that it lacks."""
        of, properties, dropped = self.of, node.properties, node.dropped
        needed = tuple(dict.fromkeys((*node.required, *(key for key, _ in node.defaulted))))
        limits = None if node.limits.none else node.limits

        def find(key: str) -> Acceptor | None:
            child = properties.get(key)
            if child is not None:
                found = fields[key] = of(child)
                return found
            if node.additional is not None:
                return of(node.additional)
            return _anything if node.preserve_unknown else None

        def accepts(value: Any) -> bool:
            if type(value) is not dict:
                return False
            for key, item in value.items():
                field = fields.get(key) or find(key)
                if field is None or not field(item):
                    return False
                if not item and key in dropped and isinstance(item, dict | list):
                    return False
            for key in needed:
                if key not in value:
                    return False
            return limits is None or check_size(value, limits, "", [])

        return accepts

    def _list(self, node: Node) -> Acceptor:
        of, items, limits = self.of, node.items, node.limits
        keys = node.list_map_keys if node.list_type == "map" else None

        def accepts(value: Any) -> bool:
            if type(value) is not list:
                return False
            if limits.min_items is not None and len(value) < limits.min_items:
                return False
            if limits.max_items is not None and len(value) > limits.max_items:
                return False
            if items is not None:
                accepts_item = of(items)
                for item in value:
                    if not accepts_item(item):
                        return False
            if len(value) < 2 or node.list_type == "atomic":
                return True
            return _are_distinct(value) if keys is None else _have_distinct_keys(value, keys)

        return accepts


def whole_object(root: Node, memory: Memory) -> Acceptor:
    """The acceptor of the objects of a kind. ``memory`` has its answers for all fields except the metadata."""
    acceptors = Acceptors()
    if root.type != "object" or _is_special(root):
        return acceptors.of(root)

    def of_field(key: str, node: Node) -> Acceptor:
        what = ("accepts", key)

        def answer(value: Any) -> bool:
            return acceptors.of(node)(value)

        def accepts(value: Any) -> bool:
            return memory.recall(what, value, answer) if isinstance(value, dict | list) else answer(value)

        return accepts

    fields = {key: of_field(key, node) for key, node in root.properties.items() if key != "metadata"}
    return acceptors.object(root, fields)


def _anything(_: Any) -> bool:
    return True


def _is_special(node: Node) -> bool:
    """Whether more than the type and the parts of an object or list have to be checked."""
    return bool(
        node.nullable
        or node.int_or_string
        or node.enum
        or node.any_of
        or node.all_of
        or node.one_of
        or node.not_ is not None
    )


def _is_open(node: Node) -> bool:
    """Whether every value is accepted, as with :data:`~aimctl.devcluster.apiserver.schema.node.OPEN`."""
    return (
        node.preserve_unknown
        and not node.type
        and not node.properties
        and node.additional is None
        and node.items is None
        and not node.required
        and not node.dropped
        and node.list_type == "atomic"
        and node.limits.none
        and not _is_special(node)
    )


def _is_valid_itself(value: Any, node: Node) -> bool:
    errors: list[FieldError] = []
    check_itself(value, node, "", errors)
    return not errors


def _scalar(node: Node, types: frozenset[type]) -> Acceptor:
    if node.any_of or node.all_of or node.one_of or node.not_ is not None or node.nullable:
        return _checked(node, types)
    if node.type == "string":
        return _text(node)
    if node.type == "integer" and node.limits.none and not node.enum:
        return _is_int32 if node.format == "int32" else is_int64
    if node.enum or node.format == "int32" or not node.limits.none:
        return _checked(node, types)
    if node.type == "number":
        return _checked(node, types)
    (only,) = types
    return lambda value: type(value) is only


def _checked(node: Node, types: frozenset[type]) -> Acceptor:
    def accepts(value: Any) -> bool:
        return (type(value) in types or (value is None and node.nullable)) and _is_valid_itself(value, node)

    return accepts


def _text(node: Node) -> Acceptor:
    limits, name = node.limits, node.format
    shortest, longest = limits.min_length or 0, limits.max_length
    search = compile_pattern(limits.pattern).search if limits.pattern else None
    allowed = frozenset(each for each in node.enum if type(each) is str)
    if not (shortest or longest is not None or search or name or node.enum):
        return lambda value: type(value) is str

    def accepts(value: Any) -> bool:
        return (
            type(value) is str
            and (not node.enum or value in allowed)
            and len(value) >= shortest
            and (longest is None or len(value) <= longest)
            and (search is None or search(value) is not None)
            and (not name or matches_format(value, name))
        )

    return accepts


def _is_int32(value: Any) -> bool:
    return type(value) is int and -(1 << 31) <= value < 1 << 31


def _are_distinct(items: list[Any]) -> bool:
    """Whether the items certainly differ."""
    try:
        return len(set(items)) == len(items)
    except TypeError:
        return False


def _have_distinct_keys(items: list[Any], keys: tuple[str, ...]) -> bool:
    """Whether all items are objects whose keys certainly differ."""
    try:
        return len({tuple([item.get(key) for key in keys]) for item in items}) == len(items)
    except (TypeError, AttributeError):
        return False
