"""The schema of one kind: prune, fill defaults, validate, and how its parts merge.

Contract: the server calls, in this order, :meth:`Schema.prune`, :meth:`Schema.default` and
:meth:`Schema.validate`. All three leave their argument alone.

Invariants: a Schema never changes; rules are compiled when it is made.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, final

from aimctl.devcluster.apiserver.schema.errors import FieldError
from aimctl.devcluster.apiserver.schema.expressions import CelCompiler
from aimctl.devcluster.apiserver.schema.meta import with_object_meta
from aimctl.devcluster.apiserver.schema.node import OPEN, UNSET, Node, parse_node
from aimctl.devcluster.apiserver.schema.rules import Rules
from aimctl.devcluster.apiserver.schema.structural import structural_errors
from aimctl.devcluster.apiserver.schema.values import validate_lists, validate_value
from aimctl.devcluster.apiserver.schema.walk import fill_defaults, prune

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.devcluster.apiserver.schema.expressions import ExpressionCompiler

__all__ = ["InvalidSchema", "MergeStrategy", "Schema"]

MergeStrategy = Literal["scalar", "granular", "atomic", "set", "map"]

_RULES_SKIPPED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


class InvalidSchema(ValueError):  # noqa: N818 - names what was found, as NonStructuralSchema does
    """A definition's schema cannot be served. ``errors`` are the server's own."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(str(error) for error in errors))
        self.errors = tuple(errors)


@final
class Schema:
    """The schema of one kind at one version. Made by the static methods.

    Attributes:
        root: the whole object's node, metadata included.
        source: the OpenAPI source as given, for documents; empty when open.
        is_open: whether anything beside metadata is accepted.
    """

    __slots__ = ("_custom", "_rules", "is_open", "root", "source")

    def __init__(
        self, root: Node, source: Mapping[str, Any], *, rules: Rules | None = None, custom: bool = False
    ) -> None:
        self.root = root
        self.source = source
        self.is_open = root.preserve_unknown and set(root.properties) == {"apiVersion", "kind", "metadata"}
        self._rules = rules
        self._custom = custom

    @staticmethod
    def open() -> Schema:
        """Accepts anything that has metadata."""
        return Schema(with_object_meta(replace(OPEN, type="object")), {})

    @staticmethod
    def from_crd(
        openapi: Mapping[str, Any],
        *,
        path: str = "spec.validation.openAPIV3Schema",
        compiler: ExpressionCompiler | None = None,
    ) -> Schema:
        """Read a CustomResourceDefinition version's ``openAPIV3Schema``.

        Args:
            openapi: the schema as JSON values; kept, not copied.
            path: how the server names this place. It is the default when all versions share one schema,
                ``spec.versions[0].schema.openAPIV3Schema`` and so on when they differ.
            compiler: makes the rules' expressions; the Common Expression Language when None.

        Raises:
            InvalidSchema: the schema is not structural, or a rule does not compile.
        """
        errors = structural_errors(openapi, path)
        if errors:
            raise InvalidSchema(errors)
        root = with_object_meta(_resolve_embedded(parse_node(openapi)))
        rules = Rules(root, compiler or CelCompiler(), path)
        if rules.errors:
            raise InvalidSchema(rules.errors)
        return Schema(root, openapi, rules=rules, custom=True)

    @staticmethod
    def builtin(root: Node, source: Mapping[str, Any]) -> Schema:
        """A built-in kind's schema; its root already has metadata."""
        return Schema(root, source)

    def prune(self, obj: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The object without unknown fields, and their paths (``spec.foo``, ``spec.items[0].bar``).

        Below ``x-kubernetes-preserve-unknown-fields`` nothing is unknown, save below properties it names.
        """
        unknown: list[str] = []
        return prune(obj, self.root, "", unknown), unknown

    def default(self, obj: dict[str, Any]) -> dict[str, Any]:
        """The object with nulls that are not allowed dropped, then defaults filled in."""
        filled: dict[str, Any] = fill_defaults(obj, self.root)
        return filled

    def validate(self, obj: dict[str, Any], old: dict[str, Any] | None) -> list[FieldError]:
        """What is wrong with the object, in a stable order; empty when nothing is.

        ``old`` is the stored object on an update, None on create. ``metadata`` is checked for types, not for
        the rules of names and labels, which are the server's for all kinds alike.
        """
        before: Any = UNSET if old is None else old
        errors: list[FieldError] = []
        validate_value(obj, self.root, "", errors, before)
        if self._custom:
            validate_lists(obj, self.root, "", errors)
        if self._rules is not None and self._rules.any:
            if any(error.blocks_rules for error in errors):
                errors.append(FieldError("FieldValueInvalid", "<nil>", None, _RULES_SKIPPED))
            else:
                self._rules.check(
                    _visible(obj), self.root, "", errors, UNSET if old is None else _visible(old)
                )
        return errors

    def node_at(self, path: Sequence[str]) -> Node | None:
        """The node below these field names; lists are stepped into without naming an index. None if
        unknown.
        """
        node: Node | None = self.root
        for name in path:
            while node is not None and node.items is not None:
                node = node.items
            node = None if node is None else node.child(name)
        return node

    def merge_strategy(self, path: Sequence[str]) -> tuple[MergeStrategy, tuple[str, ...]]:
        """How the value at this path merges in server-side apply, and the keys of a list-map.

        Raises:
            KeyError: the schema has no such path.
        """
        node = self.node_at(path)
        if node is None:
            raise KeyError(".".join(path))
        if node.type == "array" or node.items is not None:
            return node.list_type, node.list_map_keys
        if node.type == "object" or node.properties or node.additional is not None or node.preserve_unknown:
            return node.map_type, ()
        return "scalar", ()


def _resolve_embedded(node: Node) -> Node:
    """Embedded resources know apiVersion, kind and metadata even where the schema does not list them."""
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
    return with_object_meta(resolved) if node.embedded else resolved


def _visible(obj: Mapping[str, Any]) -> dict[str, Any]:
    """What rules see of an object: of metadata only name and generateName."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        return dict(obj)
    seen = {key: metadata[key] for key in ("name", "generateName") if key in metadata}
    return {**obj, "metadata": seen}
