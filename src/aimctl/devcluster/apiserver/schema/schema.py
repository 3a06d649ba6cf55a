"""The schema of one kind at one version: pruning, defaulting and validation.

Contract: the server calls :meth:`Schema.prune`, :meth:`Schema.default`, :meth:`Schema.complete` and
:meth:`Schema.validate` in this order. Only ``complete`` changes its argument.

Invariants: a schema is immutable, so equal sources share one. Its rules are compiled when it is created. The passes
return new objects, which the caller may change, also if their results are remembered.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.devcluster.apiserver.schema.acceptance import whole_object
from aimctl.devcluster.apiserver.schema.errors import FieldError
from aimctl.devcluster.apiserver.schema.memory import Memory
from aimctl.devcluster.apiserver.schema.meta import with_object_meta
from aimctl.devcluster.apiserver.schema.node import OPEN, UNSET, Node, parse_node
from aimctl.devcluster.apiserver.schema.rules import Rules
from aimctl.devcluster.apiserver.schema.scalars.formats import is_known_format
from aimctl.devcluster.apiserver.schema.structural import structural_errors
from aimctl.devcluster.apiserver.schema.values import validate_lists, validate_value
from aimctl.devcluster.apiserver.schema.walk import fill_defaults, fill_object, prune

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["InvalidSchema", "Schema"]

_RULES_SKIPPED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


class InvalidSchema(ValueError):  # noqa: N818 - named after the condition NonStructuralSchema
    """The schema of a CustomResourceDefinition is invalid. ``errors`` are those of the real server."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(str(error) for error in errors))
        self.errors = tuple(errors)


class Schema:
    """The schema of one kind at one version, created by one of the static methods.

    Attributes:
        root: the node of the whole object, including metadata.
        source: the OpenAPI source, for documents; empty if the schema is open.
        is_open: whether any content in addition to metadata is accepted.
        unknown_formats: the formats in the schema of a custom kind that the server does not check.
        empty: the structures of a built-in kind that every object contains, which creating one does not set.
    """

    __slots__ = (
        "_accepts",
        "_complete",
        "_custom",
        "_memory",
        "_rules",
        "empty",
        "is_open",
        "root",
        "source",
        "unknown_formats",
    )

    def __init__(
        self,
        root: Node,
        source: Mapping[str, Any],
        *,
        rules: Rules | None = None,
        custom: bool = False,
        complete: Callable[[dict[str, Any]], None] | None = None,
        empty: Mapping[str, Any] | None = None,
    ) -> None:
        self.root = root
        self.source = source
        self.empty: Mapping[str, Any] = empty or {}
        self.is_open = root.preserve_unknown and set(root.properties) == {"apiVersion", "kind", "metadata"}
        self._memory = Memory()
        self._accepts = whole_object(root, self._memory)
        self._rules = rules
        self._custom = custom
        self.unknown_formats = tuple(sorted(_unknown_formats(root, set()))) if custom else ()
        self._complete = complete

    @staticmethod
    def open() -> Schema:
        """A schema that accepts any object with metadata."""
        return Schema(with_object_meta(replace(OPEN, type="object")), {})

    @staticmethod
    def from_crd(
        openapi: Mapping[str, Any],
        *,
        path: str = "spec.validation.openAPIV3Schema",
    ) -> Schema:
        """The schema in ``openAPIV3Schema`` of a CustomResourceDefinition version.

        Args:
            openapi: the schema as JSON values.
            path: the path in error messages: the default if all versions have the same schema, else
                ``spec.versions[0].schema.openAPIV3Schema`` and so on.

        Raises:
            InvalidSchema: the schema is not structural, or a rule does not compile.
        """
        return _from_crd(msgspec.json.encode(openapi), path)

    @staticmethod
    def builtin(
        root: Node,
        source: Mapping[str, Any],
        *,
        complete: Callable[[dict[str, Any]], None] | None = None,
        empty: Mapping[str, Any] | None = None,
    ) -> Schema:
        """The schema of a built-in kind, whose root has metadata already.

        ``complete`` sets the defaults that depend on other fields in an object; ``empty`` is the attribute.
        """
        return Schema(root, source, complete=complete, empty=empty)

    def accepts(self, obj: dict[str, Any]) -> bool:
        """Whether :meth:`prune` and :meth:`default` certainly do not change the object, and its values are valid.

        This is much faster than these steps. False says nothing, and rules are not checked.
        """
        return self._accepts(obj)

    def prune(self, obj: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The object without unknown fields, and their paths (``spec.foo``, ``spec.items[0].bar``).

        Below ``x-kubernetes-preserve-unknown-fields`` all fields are known, except below the properties given there.
        """
        kept: dict[str, Any] = {}
        unknown: list[str] = []
        for key, item in obj.items():
            child = self.root.child(key)
            if child is None:
                unknown.append(key)
            elif key == "metadata" or not isinstance(item, dict | list):
                kept[key] = prune(item, child, key, unknown)
            else:
                encoded, below = self._memory.recall(("prune", key), item, partial(_pruned, child, key))
                kept[key] = msgspec.json.decode(encoded)
                unknown += below
        return kept, unknown

    def default(self, obj: dict[str, Any]) -> dict[str, Any]:
        """The object without nulls that are not allowed, and with defaults."""
        return fill_object(obj, self.root, self._filled)

    def _filled(self, value: Any, node: Node) -> Any:
        if not value or not isinstance(value, dict | list) or node is self.root.properties.get("metadata"):
            return fill_defaults(value, node)
        return msgspec.json.decode(self._memory.recall(("default", node), value, partial(_filled, node)))

    def complete(self, obj: dict[str, Any]) -> None:
        """Set the defaults that depend on other fields, in place. The object has the types of the schema."""
        if self._complete is not None:
            self._complete(obj)

    def validate(
        self, obj: dict[str, Any], old: dict[str, Any] | None, *, blocked: bool = False
    ) -> list[FieldError]:
        """The errors of an object, in a stable order.

        Args:
            obj: the object. Of its metadata only the types are checked here, not the syntax of names and labels.
            old: the stored object on an update, None on a creation.
            blocked: whether errors of the metadata prevent that rules are checked.
        """
        before: Any = UNSET if old is None else old
        errors: list[FieldError] = []
        if not self.accepts(obj):
            validate_value(obj, self.root, "", errors, before)
            if self._custom:
                # Duplicates in the metadata are not rejected.
                rest = {key: value for key, value in obj.items() if key != "metadata"}
                validate_lists(rest, self.root, "", errors)
        if self._rules is not None and self._rules.any:
            if blocked or any(error.blocks_rules for error in errors):
                errors.append(FieldError("FieldValueInvalid", "<nil>", None, _RULES_SKIPPED))
            else:
                self._rules.check(
                    _visible(obj), self.root, "", errors, UNSET if old is None else _visible(old)
                )
        return errors


def _pruned(node: Node, path: str, value: Any) -> tuple[bytes, list[str]]:
    unknown: list[str] = []
    return msgspec.json.encode(prune(value, node, path, unknown)), unknown


def _filled(node: Node, value: Any) -> bytes:
    return msgspec.json.encode(fill_defaults(value, node))


def _resolve_embedded(node: Node) -> Node:
    """Add apiVersion, kind and metadata to the schemas of embedded resources; the first two are required."""
    properties = {key: _resolve_embedded(child) for key, child in node.properties.items()}
    items = None if node.items is None else _resolve_embedded(node.items)
    additional = None if node.additional is None else _resolve_embedded(node.additional)
    unchanged = (
        not node.embedded
        and items is node.items
        and additional is node.additional
        and all(properties[key] is child for key, child in node.properties.items())
    )
    if unchanged:
        return node
    resolved = replace(node, properties=MappingProxyType(properties), items=items, additional=additional)
    if not node.embedded:
        return resolved
    required = tuple(dict.fromkeys((*node.required, "apiVersion", "kind")))
    return with_object_meta(replace(resolved, required=required))


def _unknown_formats(node: Node, found: set[str]) -> set[str]:
    if node.format and not is_known_format(node.type, node.format):
        found.add(node.format)
    parts = (*node.properties.values(), *node.all_of, *node.any_of, *node.one_of)
    for part in (*parts, node.items, node.additional, node.not_):
        if part is not None:
            _unknown_formats(part, found)
    return found


def _visible(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object as rules see it: of its metadata only name and generateName."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        return dict(obj)
    seen = {key: metadata[key] for key in ("name", "generateName") if key in metadata}
    return {**obj, "metadata": seen}


@functools.lru_cache(maxsize=64)
def _from_crd(source: bytes, path: str) -> Schema:
    """Parsing takes about 5 ms, and each definition is parsed when it is checked and when it is served."""
    openapi = msgspec.json.decode(source)
    errors = structural_errors(openapi, path)
    if errors:
        raise InvalidSchema(errors)
    root = with_object_meta(_resolve_embedded(parse_node(openapi)))
    rules = Rules(root, path)
    if rules.errors:
        raise InvalidSchema(rules.errors)
    return Schema(root, openapi, rules=rules, custom=True)
