"""Whether the schema of a CustomResourceDefinition is structural.

Contract: :func:`structural_errors` returns the errors of the real server at the creation of the definition, with its
paths, such as ``spec.validation.openAPIV3Schema.properties[spec].type``.

Not implemented: the estimated cost of rules. The real server may reject a rule over lists without ``maxItems`` that is
accepted here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.schema.errors import FieldError
from aimctl.devcluster.apiserver.schema.node import Node, parse_node
from aimctl.devcluster.apiserver.schema.scalars.patterns import compile_pattern
from aimctl.devcluster.apiserver.schema.values import validate_value
from aimctl.devcluster.apiserver.schema.walk import at_key, prune

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["structural_errors"]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_UNSUPPORTED_IF_EMPTY = ("additionalItems", "dependencies", "$ref")
_EMPTY_WORDS = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_NO_ITEMS = "must be specified"
_INCOMPLETE = frozenset({*_EMPTY_WORDS.values(), _NO_ITEMS})
_ITEMS_LIST = "items must be a schema object and not an array"
_UNREADABLE = frozenset({_ITEMS_LIST, *(f"{word} is not supported" for word in _UNSUPPORTED)})
"""The errors of a schema in which the server does not look for what is missing."""
_JUNCTOR_FORBIDS = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


def structural_errors(source: Mapping[str, Any], path: str) -> list[FieldError]:
    """All errors, sorted by their text as on the server; empty if the schema is structural."""
    errors: list[FieldError] = []
    _check(source, path, "root", errors)
    _check_completeness(source, source, path, path, errors)
    if any(error.message in _UNREADABLE for error in errors):
        errors = [error for error in errors if error.message not in _INCOMPLETE]
    return sorted(errors, key=str)


def _invalid(errors: list[FieldError], path: str, value: Any, text: str) -> None:
    errors.append(FieldError("FieldValueInvalid", path, value, text))


def _required(errors: list[FieldError], path: str, text: str) -> None:
    errors.append(FieldError("FieldValueRequired", path, "", text))


def _forbidden(errors: list[FieldError], path: str, text: str) -> None:
    errors.append(FieldError("FieldValueForbidden", path, "", text))


def _check(source: Mapping[str, Any], path: str, level: str, errors: list[FieldError]) -> None:
    _check_words(source, path, errors)
    _check_type(source, path, level, errors)
    _check_extensions(source, path, errors)
    _check_metadata(source, path, level, errors)
    _check_list(source, path, errors)
    _check_default(source, path, level, errors)
    _check_values(source, path, errors)
    items = source.get("items")
    if isinstance(items, dict):
        _check(items, f"{path}.items", "item", errors)
    elif isinstance(items, list) and items:
        _forbidden(errors, f"{path}.items", _ITEMS_LIST)
    for key, child in (source.get("properties") or {}).items():
        _check(child or {}, f"{path}.properties[{key}]", "field", errors)
    additional = source.get("additionalProperties")
    if additional is not None:
        if level == "root":
            _forbidden(errors, f"{path}.additionalProperties", "must not be used at the root")
        if source.get("properties") and additional is not True:
            _forbidden(
                errors,
                f"{path}.additionalProperties",
                "additionalProperties and properties are mutual exclusive",
            )
        if isinstance(additional, dict):
            _check(additional, f"{path}.additionalProperties", "field", errors)


def _check_words(source: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    """Check for keywords that are not supported, at every level."""
    for word in _UNSUPPORTED:
        if source.get(word) or (word in _UNSUPPORTED_IF_EMPTY and source.get(word) is not None):
            _forbidden(errors, f"{path}.{word}", f"{word} is not supported")
    kind = source.get("type") or ""
    if kind == "null":
        text = "type cannot be set to null, use nullable as an alternative"
        _forbidden(errors, f"{path}.type", text)
    if source.get("x-kubernetes-preserve-unknown-fields") is False:
        place = f"{path}.x-kubernetes-preserve-unknown-fields"
        _invalid(errors, place, value=False, text="must be true or undefined")
    map_type = source.get("x-kubernetes-map-type")
    if map_type is None:
        return
    if kind != "object":
        text = "must be object if x-kubernetes-map-type is specified"
        if kind:
            _invalid(errors, f"{path}.type", kind, text)
        else:
            _required(errors, f"{path}.type", text)
    if map_type not in ("atomic", "granular"):
        words = 'supported values: "atomic", "granular"'
        errors.append(FieldError("FieldValueNotSupported", f"{path}.x-kubernetes-map-type", map_type, words))


def _check_type(source: Mapping[str, Any], path: str, level: str, errors: list[FieldError]) -> None:
    kind = source.get("type") or ""
    embedded = source.get("x-kubernetes-embedded-resource") is True
    open_ = source.get("x-kubernetes-preserve-unknown-fields") or source.get("x-kubernetes-int-or-string")
    if embedded and kind != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        if kind:
            _invalid(errors, f"{path}.type", kind, text)
        else:
            _required(errors, f"{path}.type", text)
    elif not kind and not open_:
        _required(errors, f"{path}.type", _EMPTY_WORDS[level])
    elif kind and kind not in _TYPES:
        supported = ", ".join(f'"{name}"' for name in _TYPES)
        errors.append(
            FieldError("FieldValueNotSupported", f"{path}.type", kind, f"supported values: {supported}")
        )
    elif level == "root" and kind not in ("", "object"):
        _invalid(errors, f"{path}.type", kind, "must be object at the root")
    if kind == "array" and not isinstance(source.get("items"), dict):
        _required(errors, f"{path}.items", _NO_ITEMS)


def _check_extensions(source: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    embedded = source.get("x-kubernetes-embedded-resource") is True
    if source.get("x-kubernetes-int-or-string") is True:
        for word in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if source.get(word) is True:
                text = "must be false if x-kubernetes-int-or-string is true"
                _invalid(errors, f"{path}.{word}", value=True, text=text)
    if embedded and source.get("additionalProperties") is not None:
        text = "must not be used if x-kubernetes-embedded-resource is set"
        _forbidden(errors, f"{path}.additionalProperties", text)
    if embedded and not source.get("x-kubernetes-preserve-unknown-fields") and not source.get("properties"):
        text = (
            "must not be empty if x-kubernetes-embedded-resource is true "
            "without x-kubernetes-preserve-unknown-fields"
        )
        _required(errors, f"{path}.properties", text)
    if source.get("uniqueItems") is True:
        _forbidden(
            errors,
            f"{path}.uniqueItems",
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        )


def _check_metadata(source: Mapping[str, Any], path: str, level: str, errors: list[FieldError]) -> None:
    if level != "root" and source.get("x-kubernetes-embedded-resource") is not True:
        return
    properties = source.get("properties") or {}
    for key, wanted in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        found = properties.get(key)
        if found is not None and found.get("type") != wanted:
            _invalid(errors, f"{path}.properties[{key}].type", found.get("type") or "", f"must be {wanted}")
    if level == "root":
        _check_top_defaults(properties, path, errors)
    metadata = properties.get("metadata")
    if level == "root" and metadata is not None:
        allowed = {"type", "properties", "description", "default"}
        if set(metadata) - allowed or set(metadata.get("properties") or {}) - {"name", "generateName"}:
            text = (
                "must not specify anything other than name and generateName, "
                "but metadata is implicitly specified"
            )
            _forbidden(errors, f"{path}.properties[metadata]", text)


def _check_top_defaults(properties: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    for key in ("apiVersion", "kind", "metadata"):
        found = properties.get(key) or {}
        places = {f"{path}.properties[{key}]": found}
        if key == "metadata":
            below = found.get("properties") or {}
            places |= {f"{path}.properties[{key}].properties[{name}]": part for name, part in below.items()}
        for place, part in places.items():
            if part and part.get("default") is not None:
                _forbidden(errors, f"{place}.default", f"must not be set in top-level {key}")


def _check_list(source: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    list_type = source.get("x-kubernetes-list-type")
    keys = source.get("x-kubernetes-list-map-keys") or []
    if list_type is None:
        if keys:
            _required(
                errors,
                f"{path}.x-kubernetes-list-type",
                "must be map if x-kubernetes-list-map-keys is non-empty",
            )
        return
    if keys and list_type != "map":
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        _invalid(errors, f"{path}.x-kubernetes-list-type", list_type, text)
    if source.get("type") != "array":
        kind = source.get("type") or ""
        _invalid(errors, f"{path}.type", kind, "must be array if x-kubernetes-list-type is specified")
        return
    if list_type not in ("atomic", "set", "map"):
        words = 'supported values: "atomic", "set", "map"'
        errors.append(
            FieldError("FieldValueNotSupported", f"{path}.x-kubernetes-list-type", list_type, words)
        )
    items = source.get("items")
    if list_type in ("set", "map") and isinstance(items, dict) and items.get("nullable"):
        text = f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        _forbidden(errors, f"{path}.items.nullable", text)
    if list_type == "set" and isinstance(items, dict):
        _check_set_items(items, f"{path}.items", errors)
    if list_type == "map":
        _check_map_keys(source, keys, path, errors)


def _check_set_items(items: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    text = "must be atomic as item of a list with x-kubernetes-list-type=set"
    list_type = items.get("x-kubernetes-list-type")
    if items.get("type") == "array" and list_type not in (None, "atomic"):
        _invalid(errors, f"{path}.x-kubernetes-list-type", list_type, text)
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        _invalid(errors, f"{path}.x-kubernetes-map-type", list_type, text)


def _check_map_keys(source: Mapping[str, Any], keys: list[str], path: str, errors: list[FieldError]) -> None:
    if not keys:
        _required(
            errors, f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map"
        )
        return
    items = source.get("items")
    if not isinstance(items, dict):
        return
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        _invalid(errors, f"{path}.items.type", items.get("type") or "", text)
        return
    properties = items.get("properties") or {}
    if len(set(keys)) != len(keys):
        _invalid(errors, f"{path}.x-kubernetes-list-map-keys", keys, "must not contain duplicate entries")
    for key in keys:
        child = properties.get(key)
        if child is None:
            text = "entries must all be names of item properties"
            _invalid(errors, f"{path}.x-kubernetes-list-map-keys", keys, text)
        elif child.get("type") in ("array", "object"):
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            _invalid(errors, f"{path}.items.properties[{key}].type", items.get("type"), text)
        if child is not None and child.get("default") is None and key not in (items.get("required") or ()):
            text = (
                "this property is in x-kubernetes-list-map-keys, "
                "so it must have a default or be a required property"
            )
            _required(errors, f"{path}.items.properties[{key}].default", text)
        if child is not None and child.get("nullable"):
            text = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            _forbidden(errors, f"{path}.items.properties[{key}].nullable", text)


def _check_default(source: Mapping[str, Any], path: str, level: str, errors: list[FieldError]) -> None:
    if source.get("default") is None:
        return
    if level == "root":
        for key in ("apiVersion", "kind"):
            if not isinstance(source["default"], dict) or not source["default"].get(key):
                _required(errors, f"{path}.default.{key}", "")
        return
    node = _try_parse(source)
    if node is None or node.int_or_string:
        return
    unknown: list[str] = []
    default = source["default"]
    prune(default, node, "", unknown)
    if unknown:
        _invalid(errors, f"{path}.default", default, "must not have unknown fields")
    found: list[FieldError] = []
    validate_value(default, node, "", found)
    # As on the server, the text has no path of the value.
    for error in found:
        place = error.field.removeprefix("<nil>")
        errors.append(replace(error, field=at_key(f"{path}.default", place).rstrip(".")))


def _try_parse(source: Mapping[str, Any]) -> Node | None:
    """The node, or None if the schema is so invalid that other errors are reported."""
    try:
        return parse_node(source)
    except (AttributeError, TypeError):
        return None


def _check_values(source: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    pattern = source.get("pattern")
    if pattern:
        try:
            compile_pattern(pattern)
        except ValueError as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            _invalid(errors, f"{path}.pattern", pattern, text)
    relaxed = source.get("x-kubernetes-int-or-string") is True
    for word in ("anyOf", "allOf", "oneOf"):
        for index, given in enumerate(source.get(word) or ()):
            part = given or {}
            if relaxed and word == "anyOf" and source[word] == _INT_OR_STRING:
                continue
            if relaxed and word == "allOf" and index == 0 and part.get("anyOf") == _INT_OR_STRING:
                continue
            _check_junctor(part, f"{path}.{word}[{index}]", errors)
    if isinstance(source.get("not"), dict):
        _check_junctor(source["not"], f"{path}.not", errors)


def _check_junctor(source: Mapping[str, Any], path: str, errors: list[FieldError]) -> None:
    _check_words(source, path, errors)
    _check_values(source, path, errors)
    for word, text in _JUNCTOR_FORBIDS.items():
        if source.get(word):
            _forbidden(errors, f"{path}.{word}", text)
    if isinstance(source.get("items"), dict):
        _check_junctor(source["items"], f"{path}.items", errors)
    for key, child in (source.get("properties") or {}).items():
        if key == "metadata":
            _forbidden(errors, f"{path}.properties[metadata]", "must not be specified in a nested context")
        _check_junctor(child or {}, f"{path}.properties[{key}]", errors)


def _check_completeness(
    value: Mapping[str, Any],
    real: Mapping[str, Any] | None,
    real_path: str,
    path: str,
    errors: list[FieldError],
) -> None:
    """Check that everything in a junctor of the root is also specified outside of it."""
    for word in ("anyOf", "allOf", "oneOf"):
        for index, part in enumerate(value.get(word) or ()):
            _check_nested(part or {}, real, real_path, f"{path}.{word}[{index}]", errors)
    if isinstance(value.get("not"), dict):
        _check_nested(value["not"], real, real_path, f"{path}.not", errors)


def _check_nested(
    value: Mapping[str, Any],
    real: Mapping[str, Any] | None,
    real_path: str,
    path: str,
    errors: list[FieldError],
) -> None:
    if real is None:
        _required(errors, real_path, f"because it is defined in {path}")
        return
    _check_completeness(value, real, real_path, path, errors)
    if isinstance(value.get("items"), dict):
        _check_nested(value["items"], real.get("items"), f"{real_path}.items", f"{path}.items", errors)
    for key, child in (value.get("properties") or {}).items():
        known = (real.get("properties") or {}).get(key)
        place = f"{real_path}.properties[{key}]"
        _check_nested(child or {}, known, place, f"{path}.properties[{key}]", errors)
