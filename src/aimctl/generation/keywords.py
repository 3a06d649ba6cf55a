"""Schema keywords of Kubernetes that neither pydantic nor msgspec has.

Contract:
    * The keywords of a field are a dict for ``Field(json_schema_extra=...)`` of pydantic or
      ``msgspec.Meta(extra_json_schema=...)``. Join several with ``|``.
    * :func:`schema_keywords` adds keywords to a class, in particular rules about several of its fields.
    * Keywords are copied to the schema unchanged, and override what is derived from the type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "EMBEDDED_OBJECT",
    "INT_OR_STRING",
    "LIST_ATOMIC",
    "LIST_SET",
    "MAP_ATOMIC",
    "PRESERVE_UNKNOWN_FIELDS",
    "CelRule",
    "cel_rules",
    "keywords_of",
    "list_map",
    "schema_keywords",
]

C = TypeVar("C", bound=type)
_ATTRIBUTE: Final = "__schema_keywords__"

LIST_SET: Final[dict[str, Any]] = {"x-kubernetes-list-type": "set"}
"""A list of different scalars. Server-side apply merges the items of several writers. Types such as ``frozenset`` imply
it."""

LIST_ATOMIC: Final[dict[str, Any]] = {"x-kubernetes-list-type": "atomic"}
"""A list that one writer replaces as a whole."""

MAP_ATOMIC: Final[dict[str, Any]] = {"x-kubernetes-map-type": "atomic"}
"""An object that one writer replaces as a whole."""

INT_OR_STRING: Final[dict[str, Any]] = {"x-kubernetes-int-or-string": True}
"""An integer or a string, such as a port or a quantity. The type ``int | str`` implies it."""

PRESERVE_UNKNOWN_FIELDS: Final[dict[str, Any]] = {"x-kubernetes-preserve-unknown-fields": True}
"""Unknown fields are stored. The types ``Any`` and ``dict[str, Any]`` imply it."""

EMBEDDED_OBJECT: Final[dict[str, Any]] = {
    "type": "object",
    "x-kubernetes-embedded-resource": True,
    "x-kubernetes-preserve-unknown-fields": True,
}
"""A complete Kubernetes object, such as a template; the server checks its apiVersion, kind and metadata."""


def list_map(*keys: str) -> dict[str, Any]:
    """Return the keywords of a list whose items are identified by these fields, as containers are by their name.

    Server-side apply merges the items of several writers, and the server rejects two items with the same keys. A key
    without a default is required in the schema, also if its type has an empty default.

    Raises:
        ValueError: no key is given.
    """
    if not keys:
        raise ValueError("list_map: name the fields that identify an item, such as list_map('name')")
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


@final
@dataclass(frozen=True, slots=True)
class CelRule:
    """A validation rule in CEL, the Common Expression Language.

    Attributes:
        rule: expression about ``self``, the value, and ``oldSelf``, that before an update. It is true for valid values.
        message: the error when it is false.
        message_expression: CEL expression that returns the error; used instead of the message.
        reason: ``FieldValueInvalid`` (default), ``FieldValueForbidden``, ``FieldValueRequired`` or
            ``FieldValueDuplicate``.
        field_path: the field that the error names, relative to the value, such as ``.replicas``.
        optional_old_self: evaluate a rule with ``oldSelf`` also at creation; ``oldSelf`` is an optional then.
    """

    rule: str
    message: str = ""
    message_expression: str = ""
    reason: str = ""
    field_path: str = ""
    optional_old_self: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the item of ``x-kubernetes-validations``."""
        fields = {
            "rule": self.rule,
            "message": self.message,
            "messageExpression": self.message_expression,
            "reason": self.reason,
            "fieldPath": self.field_path,
            "optionalOldSelf": self.optional_old_self,
        }
        return {name: value for name, value in fields.items() if value}


def cel_rules(*rules: CelRule | tuple[str, str]) -> dict[str, Any]:
    """Return the keyword of validation rules.

    Args:
        rules: of one value; a tuple has the rule and its message.
    """
    return {
        "x-kubernetes-validations": [
            (rule if isinstance(rule, CelRule) else CelRule(*rule)).to_json() for rule in rules
        ]
    }


def schema_keywords(keywords: Mapping[str, Any]) -> Callable[[C], C]:
    """Add keywords to the schema of a class. Subclasses do not inherit them.

    Args:
        keywords: for example ``cel_rules(("self.min <= self.max", "min must not exceed max"))``.
    """

    def decorate(cls: C) -> C:
        setattr(cls, _ATTRIBUTE, {**keywords_of(cls), **keywords})
        return cls

    return decorate


def keywords_of(cls: type) -> Mapping[str, Any]:
    """Return the keywords that :func:`schema_keywords` added to a class."""
    added: Mapping[str, Any] = vars(cls).get(_ATTRIBUTE, {})
    return added
