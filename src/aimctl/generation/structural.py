"""Conversion of JSON schemas to structural schemas, the form that CustomResourceDefinitions require.

Contract:
    * The result has no references, a type on every node (or int-or-string, or unknown fields preserved), and no union
      of types. Keys keep their order.
    * ``X | None`` is an optional X. Where a null cannot be left out (a required field, an item of a list, a value of a
      mapping) the node is nullable.
    * ``int | str`` is int-or-string; unions of constants are one enum; ``Any`` preserves unknown fields; sets are lists
      of the type set; exclusive bounds are written as OpenAPI 3.0 has them.
    * Defaults are kept as the API server stores them: no nulls, no empty values, and no default objects, because the
      defaults of their fields apply when the type is decoded.
    * Keywords that are annotations only, such as titles and examples, are removed. Every other keyword that a schema
      of Kubernetes does not have raises :class:`SchemaError`, so that no constraint is lost silently.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, final

from aimctl.generation.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Converter"]

_ANNOTATIONS = frozenset(
    {
        "$comment",
        "$defs",
        "contentEncoding",
        "contentMediaType",
        "deprecated",
        "discriminator",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
_KEYWORDS = frozenset(
    {
        "description",
        "enum",
        "example",
        "externalDocs",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "nullable",
        "pattern",
        "required",
        "type",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    }
)
_FORMATS = frozenset(
    """
    bsonobjectid byte cidr creditcard date date-time datetime double duration email float hexcolor hostname int32 int64
    ipv4 ipv6 isbn isbn10 isbn13 mac password rgbcolor ssn uri uuid uuid3 uuid4 uuid5
    """.split()  # noqa: SIM905 - shorter than a list
)
"""The formats that the API server validates, and those of numbers. It ignores others."""

_BOUNDS = {"exclusiveMinimum": ("minimum", max), "exclusiveMaximum": ("maximum", min)}
_UNIONS = ("anyOf", "oneOf")
_NOT_IN_BRANCHES = frozenset(
    {"$ref", "additionalProperties", "const", "default", "description", "nullable", "title", "type"}
)
_NOT_RE2 = re.compile(r"\(\?(?:[=!>]|<[=!]|P=|\()|(?<!\\)(?:\\\\)*\\[1-9]")
_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
)
_REMEDIES = {
    "prefixItems": "a tuple of different items has no schema: use a class with named fields",
    "patternProperties": "a schema cannot restrict the keys of a mapping: use dict[str, ...], and a CEL rule",
    "propertyNames": "a schema cannot restrict the keys of a mapping: use dict[str, ...], and a CEL rule",
}


class _Flat(NamedTuple):
    """A node without references and unions."""

    words: dict[str, Any]
    nullable: bool
    seen: frozenset[str]
    """The definitions around the node, and its own."""


@final
class Converter:
    """Converts the nodes of one JSON schema.

    Args:
        definitions: what references of the form ``#/$defs/<name>`` name.
    """

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions

    def convert(
        self,
        source: Mapping[str, Any],
        path: str,
        *,
        defaults: bool,
        keep_null: bool = False,
        seen: frozenset[str] = frozenset(),
    ) -> dict[str, Any]:
        """Return the structural form of a node.

        Args:
            source: the node.
            path: of the node, for errors.
            defaults: keep default values.
            keep_null: a null cannot be left out here, so a node that permits it is nullable.
            seen: definitions that contain the node.

        Raises:
            SchemaError: the node has no structural form.
        """
        flat = self._flatten(source, path, seen)
        words = flat.words
        out: dict[str, Any] = {}
        for word, value in words.items():
            if word == "properties":
                out[word] = self._fields(value, path, flat, defaults=defaults)
            elif word == "items":
                out[word] = self._inner(value, f"{path}[]", flat, defaults=defaults)
            elif word == "default":
                if defaults and value not in (None, "", [], {}) and not words.get("properties"):
                    out[word] = value
            elif word != "additionalProperties" and word not in _ANNOTATIONS:
                _add(out, word, words, path)
        self._add_values(out, flat, path, defaults=defaults)
        if not words.keys() - _ANNOTATIONS - {"default", "description"}:
            out["x-kubernetes-preserve-unknown-fields"] = True
        return _complete(out, path, nullable=flat.nullable and keep_null)

    def _fields(
        self, fields: Mapping[str, Any], path: str, around: _Flat, *, defaults: bool
    ) -> dict[str, Any]:
        required = around.words.get("required", ())
        return {
            name: self.convert(
                field, f"{path}.{name}", defaults=defaults, keep_null=name in required, seen=around.seen
            )
            for name, field in fields.items()
        }

    def _inner(self, source: Any, path: str, around: _Flat, *, defaults: bool) -> dict[str, Any]:
        """Convert an item or a value; ``True`` means any."""
        node = source if isinstance(source, dict) else {}
        return self.convert(node, path, defaults=defaults, keep_null=True, seen=around.seen)

    def _add_values(self, out: dict[str, Any], flat: _Flat, path: str, *, defaults: bool) -> None:
        """Convert ``additionalProperties``, which structural schemas have only without ``properties``."""
        extra = flat.words.get("additionalProperties")
        if extra is None or extra is False or out.get("x-kubernetes-preserve-unknown-fields"):
            return
        if extra is True or not extra:
            out["x-kubernetes-preserve-unknown-fields"] = True
        elif out.get("properties"):
            raise SchemaError(
                f"{path}: an object has either named fields or values of one type: move the values to a field of their"
                " own, such as dict[str, ...]"
            )
        else:
            out["additionalProperties"] = self._inner(extra, f"{path}{{}}", flat, defaults=defaults)

    def _flatten(self, source: Mapping[str, Any], path: str, seen: frozenset[str]) -> _Flat:
        """Resolve references and unions; keywords of the field override those of the type."""
        out, nullable = dict(source), False
        while True:
            union = next((word for word in _UNIONS if word in out), None)
            if "$ref" in out:
                name = str(out.pop("$ref")).rpartition("/")[2]
                if name in seen:
                    raise SchemaError(
                        f"{path}: {name} contains itself, which a schema cannot express: use Any for the inner one"
                    )
                seen |= {name}
                out = {**self._definitions[name], **out}
            elif union is not None and "type" not in out:
                chosen, null = self._choose(out.pop(union), path, seen)
                nullable = nullable or null
                out = {**chosen, **out}
            else:
                break
        if "const" in out:
            out["enum"] = [out.pop("const")]
        if "enum" in out:
            nullable = nullable or None in out["enum"]
            out["enum"] = [value for value in out["enum"] if value is not None]
            if "type" not in out:
                out["type"] = _type_of(out["enum"], path)
        return _Flat(out, nullable, seen)

    def _choose(self, choices: list[Any], path: str, seen: frozenset[str]) -> tuple[dict[str, Any], bool]:
        """Return the one type of a union, and whether it permits null."""
        flat = [self._flatten(choice, path, seen) for choice in choices]
        nullable = any(one.nullable or one.words.get("type") == "null" for one in flat)
        kept = [
            (choice, one.words)
            for choice, one in zip(choices, flat, strict=True)
            if one.words.get("type") != "null"
        ]
        words = [one for _, one in kept]
        kinds = {one.get("type") for one in words}
        if len(kept) == 1:
            return kept[0][0], nullable
        if len(words) == 2 and kinds == {"integer", "string"} and not any("enum" in one for one in words):
            joined = {key: value for one in words for key, value in one.items() if key != "type"}
            return {**joined, "x-kubernetes-int-or-string": True}, nullable
        if len(kinds) == 1 and all("enum" in one for one in words):
            values = [value for one in words for value in one["enum"]]
            return {"enum": list(dict.fromkeys(values)), "type": kinds.pop()}, nullable
        if kinds == {"integer", "number"} and all(one.keys() <= {"type", "format"} for one in words):
            return {"type": "number"}, nullable
        names = ", ".join(_name(choice, one) for choice, one in kept)
        raise SchemaError(
            f"{path}: a union of {len(kept)} types ({names}) has no structural schema: give the field one type,"
            " give each alternative an optional field of its own and a CEL rule that exactly one is set, or use Any"
        )


def _add(out: dict[str, Any], word: str, words: Mapping[str, Any], path: str) -> None:
    """Add a keyword that says nothing about inner nodes, in the form that Kubernetes has for it."""
    value = words[word]
    if word in _BOUNDS:
        _add_bound(out, words, word, path)
    elif word == "uniqueItems":
        if value:
            out.setdefault("x-kubernetes-list-type", "set")
    elif word == "format":
        if value in _FORMATS:
            out[word] = value
    elif word in ("allOf", "not", *_UNIONS):
        _check_branches(word, value, path)
        out[word] = value
    elif word in _KEYWORDS:
        out[word] = value
    else:
        remedy = _REMEDIES.get(word, "Kubernetes has no such keyword: remove it, or use a CEL rule")
        raise SchemaError(f"{path}: {word}: {remedy}")


def _add_bound(out: dict[str, Any], words: Mapping[str, Any], word: str, path: str) -> None:
    """Write an exclusive bound as OpenAPI 3.0 does: the bound, and a flag."""
    value = words[word]
    if isinstance(value, bool):
        out[word] = value
        return
    plain, tighter = _BOUNDS[word]
    inclusive = words.get(plain, value)
    if tighter(inclusive, value) != value:
        raise SchemaError(f"{path}: {plain} {inclusive} and {word} {value}: declare one of them")
    out[plain], out[word] = value, True


def _check_branches(word: str, value: Any, path: str) -> None:
    """Check that ``allOf``, ``anyOf``, ``oneOf`` or ``not`` only validates values."""
    for branch in value if isinstance(value, list) else [value]:
        wrong = sorted(_NOT_IN_BRANCHES & set(branch))
        if wrong:
            raise SchemaError(
                f"{path}: {word} contains {wrong[0]}: it may only restrict values, for example with 'required';"
                " the types belong to the node itself"
            )
        for name, child in branch.get("properties", {}).items():
            _check_branches(word, child, f"{path}.{name}")


def _type_of(values: list[Any], path: str) -> str:
    for cls, name in _TYPES:
        if values and all(type(value) is cls for value in values):
            return name
    raise SchemaError(f"{path}: the values {values} have different types, or none: use values of one type")


def _complete(out: dict[str, Any], path: str, *, nullable: bool) -> dict[str, Any]:
    """Check a converted node, and add what follows from its keywords."""
    if out.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
    elif "type" not in out and not out.get("x-kubernetes-preserve-unknown-fields"):
        raise SchemaError(f"{path}: it has no type, only {', '.join(out) or 'nothing'}: add a type")
    if out.get("type") == "null":
        raise SchemaError(f"{path}: a field that is always null has no schema: remove it, or give it a type")
    if out.get("type") == "array" and "items" not in out:
        raise SchemaError(f"{path}: the items of the list have no type: declare it, such as tuple[str, ...]")
    if nullable:
        out["nullable"] = True
    _check_list(out, path)
    pattern = out.get("pattern")
    if pattern is not None and _NOT_RE2.search(pattern):
        raise SchemaError(
            f"{path}: pattern {pattern!r}: the API server has no look-around and no back-references (RE2): use another"
            " pattern, or a CEL rule"
        )
    return out


def _check_list(out: Mapping[str, Any], path: str) -> None:
    """Check what the API server requires of the types of lists. Keys without a default are made required."""
    kind, items = out.get("x-kubernetes-list-type"), out.get("items", {})
    if kind is None:
        return
    if out.get("type") != "array":
        raise SchemaError(f"{path}: x-kubernetes-list-type {kind!r}: the field is not a list: remove it")
    keys = out.get("x-kubernetes-list-map-keys", [])
    if kind == "map":
        properties = items.get("properties", {})
        for key in keys:
            if key not in properties:
                raise SchemaError(
                    f"{path}: list map key {key!r}: the items have no such field; fields:"
                    f" {', '.join(properties) or 'none'}"
                )
            if key not in items.get("required", ()) and "default" not in properties[key]:
                items["required"] = [*items.get("required", ()), key]
    elif kind == "set" and items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        raise SchemaError(
            f"{path}: a set of objects: its items must be scalars, or atomic objects: use list_map(...) with the fields"
            " that identify an item"
        )


def _name(choice: Mapping[str, Any], words: Mapping[str, Any]) -> str:
    """An alternative of a union, for an error."""
    reference = str(choice.get("$ref", "")).rpartition("/")[2]
    name = str(reference or words.get("type", "any value"))
    inner = words.get("items")
    return f"{name} of {_name(inner, inner)}" if isinstance(inner, dict) and not reference else name
