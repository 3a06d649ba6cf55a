"""The parsed form of an OpenAPI v3 schema.

Contract: :func:`parse_node` parses the ``JSONSchemaProps`` of a CustomResourceDefinition. It is lenient:
``structural.py`` decides whether the schema is valid.

Invariants: nodes are immutable and may be shared, so the built-in types form a graph without copies. ``properties``
keeps the order of the source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, cast, final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OPEN", "RAW", "UNSET", "Limits", "Node", "Rule", "parse_node"]

ListType = Literal["atomic", "set", "map"]
MapType = Literal["granular", "atomic"]


@final
class _Unset:
    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Final = _Unset()
"""The absence of a value, as opposed to null."""


@final
@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of ``x-kubernetes-validations``.

    Attributes:
        rule: the CEL expression, which is true for valid values.
        message: reported if the rule is false; "" if not given.
        message_expression: a CEL expression that returns the message and has precedence; "" if not given.
        reason: of the error, such as "FieldValueForbidden"; "" if not given, which means "FieldValueInvalid".
        field_path: the field that the error names, relative to the node; "" for the node itself.
        optional_old_self: whether ``oldSelf`` is an optional, so that the rule also applies to new values.
        raw: the source.
    """

    rule: str
    message: str = ""
    message_expression: str = ""
    reason: str = ""
    field_path: str = ""
    optional_old_self: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False)


@final
@dataclass(frozen=True, slots=True)
class Limits:
    """The validations that compare a value with a number or a pattern; None if not given."""

    minimum: float | None = None
    exclusive_minimum: bool = False
    maximum: float | None = None
    exclusive_maximum: bool = False
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str = ""
    min_items: int | None = None
    max_items: int | None = None
    min_properties: int | None = None
    max_properties: int | None = None

    @property
    def none(self) -> bool:
        """Whether no limit is given."""
        return self == _NO_LIMITS


_NO_LIMITS = Limits()
_NOTHING: Mapping[str, Node] = MappingProxyType({})


@final
@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """The structural schema of one value.

    Attributes:
        type: "" if not given (int-or-string, open values, junctors such as anyOf).
        format: such as "int32" or "date-time"; "" if not given.
        description: for OpenAPI documents and ``kubectl explain``.
        nullable: whether null is a valid value.
        properties: the known keys of a map, and the schemas of their values.
        additional: schema of additional keys; None if they are unknown keys.
        items: schema of the items of a list; None if it is not a list or they are not described.
        default: value for an absent key; UNSET if there is none.
        required: keys that must be present.
        enum: the allowed values; empty if all are allowed.
        limits: of numbers, texts, lists and maps.
        int_or_string: whether the value is an integer or a text (``x-kubernetes-int-or-string``).
        preserve_unknown: whether unknown keys are kept.
        embedded: whether the value is a complete object with apiVersion, kind and metadata.
        list_type: how server-side apply merges the list: "atomic" (as a whole) if not given, "set" (by value), or "map"
            (by the keys in ``list_map_keys``).
        list_map_keys: the keys that identify an item of a list of type "map".
        map_type: how server-side apply merges the map: "granular" (by key) if not given, or "atomic" (as a whole).
        all_of: schemas of which all must accept the value.
        any_of: schemas of which at least one must accept the value; empty if not given.
        one_of: schemas of which exactly one must accept the value; empty if not given.
        not_: a schema that must not accept the value.
        rules: CEL rules, checked after the rest of the schema.
        raw: the source, for OpenAPI documents.
        dropped: the properties that are not stored if they are empty lists or maps.
        go_type: the name of the server's type in messages, such as "v1.Container"; "" if it has none.
        within_unknown: whether unknown keys are kept here or in an object around it, so that they can be applied.
        null_item: what a null in this list or map of a built-in kind is decoded as; UNSET if nulls are not allowed.
        empty_is_unset: whether the default also replaces an empty text or zero, as in built-in kinds.
        defaulted: the ``properties`` that have a default, of the many that most objects do not use.
    """

    type: str = ""
    format: str = ""
    description: str = ""
    nullable: bool = False
    properties: Mapping[str, Node] = field(default_factory=lambda: _NOTHING)
    additional: Node | None = None
    items: Node | None = None
    default: Any = UNSET
    required: tuple[str, ...] = ()
    enum: tuple[Any, ...] = ()
    limits: Limits = _NO_LIMITS
    int_or_string: bool = False
    preserve_unknown: bool = False
    embedded: bool = False
    list_type: ListType = "atomic"
    list_map_keys: tuple[str, ...] = ()
    map_type: MapType = "granular"
    all_of: tuple[Node, ...] = ()
    any_of: tuple[Node, ...] = ()
    one_of: tuple[Node, ...] = ()
    not_: Node | None = None
    rules: tuple[Rule, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    dropped: frozenset[str] = frozenset()
    go_type: str = ""
    within_unknown: bool = False
    null_item: Any = UNSET
    empty_is_unset: bool = False
    defaulted: tuple[tuple[str, Node], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        defaulted = tuple((key, child) for key, child in self.properties.items() if child.has_default)
        object.__setattr__(self, "defaulted", defaulted)

    @property
    def has_default(self) -> bool:
        """Whether a default is given, which may be null."""
        return self.default is not UNSET

    def child(self, key: str) -> Node | None:
        """The schema of the value of a key; None if the key is unknown."""
        known = self.properties.get(key)
        if known is not None:
            return known
        if self.additional is not None:
            return self.additional
        return OPEN if self.preserve_unknown else None


OPEN: Final = Node(preserve_unknown=True)
"""Accepts any value. Maps are merged by key and lists are replaced, as the server does for unknown content."""

RAW: Final = Node(type="object", preserve_unknown=True, map_type="atomic")
"""An object whose content is opaque (``runtime.RawExtension``) and owned as a whole."""


def parse_node(source: Mapping[str, Any], *, within_unknown: bool = False) -> Node:
    """Parse one ``JSONSchemaProps``. Values of wrong types count as absent."""
    within = within_unknown or source.get("x-kubernetes-preserve-unknown-fields") is True
    fields = [(key, child or {}) for key, child in (source.get("properties") or {}).items()]
    additional = source.get("additionalProperties")
    items = source.get("items")
    int_or_string = source.get("x-kubernetes-int-or-string") is True
    any_of = _parse_all(source.get("anyOf"))
    all_of = _parse_all(source.get("allOf"))
    negated = source.get("not")
    return Node(
        type=source.get("type") or "",
        format=source.get("format") or "",
        description=source.get("description") or "",
        nullable=source.get("nullable") is True,
        properties=MappingProxyType({key: parse_node(child, within_unknown=within) for key, child in fields}),
        additional=parse_node(additional, within_unknown=within)
        if isinstance(additional, dict)
        else (OPEN if additional else None),
        items=parse_node(items, within_unknown=within) if isinstance(items, dict) else None,
        default=UNSET if source.get("default") is None else source["default"],
        required=tuple(source.get("required") or ()),
        enum=tuple(source.get("enum") or ()),
        limits=_parse_limits(source),
        int_or_string=int_or_string,
        preserve_unknown=source.get("x-kubernetes-preserve-unknown-fields") is True,
        embedded=source.get("x-kubernetes-embedded-resource") is True,
        list_type=cast("ListType", source.get("x-kubernetes-list-type") or "atomic"),
        list_map_keys=tuple(source.get("x-kubernetes-list-map-keys") or ()),
        map_type=cast("MapType", source.get("x-kubernetes-map-type") or "granular"),
        all_of=all_of,
        any_of=any_of,
        one_of=_parse_all(source.get("oneOf")),
        not_=parse_node(negated) if isinstance(negated, dict) else None,
        rules=tuple(_parse_rule(rule) for rule in source.get("x-kubernetes-validations") or ()),
        raw=source,
        within_unknown=within,
    )


def _parse_all(sources: Any) -> tuple[Node, ...]:
    return tuple(parse_node(source or {}) for source in sources or ())


def _parse_limits(source: Mapping[str, Any]) -> Limits:
    limits = Limits(
        minimum=source.get("minimum"),
        exclusive_minimum=source.get("exclusiveMinimum") is True,
        maximum=source.get("maximum"),
        exclusive_maximum=source.get("exclusiveMaximum") is True,
        multiple_of=source.get("multipleOf"),
        min_length=source.get("minLength"),
        max_length=source.get("maxLength"),
        pattern=source.get("pattern") or "",
        min_items=source.get("minItems"),
        max_items=source.get("maxItems"),
        min_properties=source.get("minProperties"),
        max_properties=source.get("maxProperties"),
    )
    return _NO_LIMITS if limits.none else limits


def _parse_rule(source: Mapping[str, Any]) -> Rule:
    return Rule(
        rule=source.get("rule") or "",
        message=source.get("message") or "",
        message_expression=source.get("messageExpression") or "",
        reason=source.get("reason") or "",
        field_path=source.get("fieldPath") or "",
        optional_old_self=source.get("optionalOldSelf") is True,
        raw=source,
    )
