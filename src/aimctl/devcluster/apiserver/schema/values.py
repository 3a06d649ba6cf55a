"""Validation of values: types, enums, limits, formats, junctors such as anyOf, and unique list keys.

Contract: :func:`validate_value` appends one :class:`FieldError` for each error, with the messages of the API server's
OpenAPI validation. Errors in a subtree that equals that of the stored object are omitted ("ratcheting", enabled by
default since Kubernetes 1.33), so a stricter schema does not prevent status updates.

Invariant: errors are in the order of the schema, so the same object always results in the same text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.schema.errors import FieldError, go_quote
from aimctl.devcluster.apiserver.schema.node import UNSET
from aimctl.devcluster.apiserver.schema.scalars.formats import matches_format
from aimctl.devcluster.apiserver.schema.scalars.numbers import is_int64
from aimctl.devcluster.apiserver.schema.scalars.patterns import compile_pattern
from aimctl.devcluster.apiserver.schema.walk import at_index, at_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.devcluster.apiserver.schema.errors import FieldErrorType
    from aimctl.devcluster.apiserver.schema.node import Limits, Node

__all__ = [
    "check_itself",
    "check_size",
    "correlate",
    "json_type",
    "list_map_key",
    "validate_lists",
    "validate_value",
]


_LARGEST_WHOLE = (1 << 53) - 1
"""The largest number that counts as an integer although JSON has it with a fraction or an exponent."""
_RELATIVE_ERROR = 1e-9
_LARGEST_FLOAT = 3.4028234663852886e38


def json_type(value: Any) -> str:
    """The JSON schema type of a decoded value. A float is a "number" even if it is integral, as is a huge integer."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if is_int64(value) else "number"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def same(first: Any, second: Any) -> bool:
    """JSON equality: numbers are compared by value, and booleans differ from numbers."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(item, second[key]) for key, item in first.items())
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def list_map_key(item: Any, keys: tuple[str, ...]) -> str:
    """The identity of an item of a list-map: its keys as canonical JSON, without absent ones."""
    if not isinstance(item, dict):
        return "{}"
    return json.dumps({key: item[key] for key in keys if key in item}, sort_keys=True)


def correlate(node: Node, items: list[Any], old: Any) -> list[Any]:
    """For each item its counterpart in the old list, or UNSET.

    Only items of list-maps have counterparts; those of sets and atomic lists have no identity.
    """
    if not isinstance(old, list) or node.list_type != "map":
        return [UNSET] * len(items)
    known = {list_map_key(item, node.list_map_keys): item for item in old}
    return [known.get(list_map_key(item, node.list_map_keys), UNSET) for item in items]


def validate_value(value: Any, node: Node, path: str, errors: list[FieldError], old: Any = UNSET) -> None:
    """Check one value and everything below it.

    Args:
        value: the value, not UNSET.
        node: its schema.
        path: its path; "" for the root.
        errors: the list to which errors are appended.
        old: the stored value; UNSET if there is none.
    """
    # The operator == runs in C. It differs from `same` only for booleans and numbers.
    if old is not UNSET and value == old and same(value, old):
        return
    check_itself(value, node, path, errors)
    if isinstance(value, list):
        _check_list(value, node, path, errors, old)
    elif isinstance(value, dict):
        _check_object(value, node, path, errors, old)


def check_itself(value: Any, node: Node, path: str, errors: list[FieldError]) -> None:
    """Check a value without the items of a list and the fields of an object.

    The arguments are those of :func:`validate_value`.
    """
    _check_type(value, node, path, errors)
    if node.any_of or node.all_of or node.one_of or node.not_ is not None:
        _check_junctors(value, node, path, errors)
    if isinstance(value, str):
        _check_string(value, node, path, errors)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, node, path, errors)
    if node.enum and not any(same(value, allowed) for allowed in node.enum):
        _check_enum(value, node, path, errors)


def _report(errors: list[FieldError], kind: FieldErrorType, path: str, value: Any, rest: str) -> None:
    errors.append(FieldError(kind, path, value, f"{path} in body {rest}"))


def _check_type(value: Any, node: Node, path: str, errors: list[FieldError]) -> None:
    found = json_type(value)
    if found == "null" and node.nullable:
        return
    if node.int_or_string:
        if found not in ("integer", "string"):
            _report(
                errors, "FieldValueTypeInvalid", path, found, f'must be of type integer,string: "{found}"'
            )
        return
    wanted = node.type
    if not wanted or found == wanted:
        return
    if wanted == "number" and found == "integer":
        return
    if wanted == "integer" and found == "number":
        _check_integer(value, node.format, path, errors)
    else:
        _report(errors, "FieldValueTypeInvalid", path, found, f'must be of type {wanted}: "{found}"')


def _check_integer(value: float, form: str, path: str, errors: list[FieldError]) -> None:
    """Check a number that is not a 64-bit integer in JSON: a fraction of 0 is allowed up to 2**53."""
    whole = isinstance(value, int) or value.is_integer()
    if not whole or abs(value) > _LARGEST_WHOLE:
        known = form in ("int32", "int64")
        wanted, found = (form, "float64") if known else ("integer", "number")
        _report(errors, "FieldValueTypeInvalid", path, found, f'must be of type {wanted}: "{found}"')
    if not whole or not -(1 << 63) <= value < 1 << 63:
        shown = f" with format {form}" if form in ("int32", "int64") else f" ({form or 'default format'})"
        text = f"Checked value must be of type integer{shown} in {path}"
        errors.append(FieldError("FieldValueInvalid", "<nil>", "", text))


def _check_enum(value: Any, node: Node, path: str, errors: list[FieldError]) -> None:
    shown = [allowed if isinstance(allowed, str) else json.dumps(allowed) for allowed in node.enum]
    supported = ", ".join(go_quote(text) for text in shown)
    errors.append(FieldError("FieldValueNotSupported", path, value, f"supported values: {supported}"))


def _check_string(value: str, node: Node, path: str, errors: list[FieldError]) -> None:
    limits = node.limits
    if limits.max_length is not None and len(value) > limits.max_length:
        errors.append(_too_long(path, limits.max_length))
    if limits.min_length is not None and len(value) < limits.min_length:
        _report(
            errors, "FieldValueInvalid", path, value, f"should be at least {limits.min_length} chars long"
        )
    if limits.pattern and not compile_pattern(limits.pattern).search(value):
        _report(errors, "FieldValueInvalid", path, value, f"should match '{limits.pattern}'")
    if node.format and node.type == "string" and not matches_format(value, node.format):
        text = f"must be of type {node.format}: {go_quote(value)}"
        _report(errors, "FieldValueTypeInvalid", path, value, text)


def _too_long(path: str, limit: int) -> FieldError:
    unit = "byte" if limit == 1 else "bytes"
    return FieldError("FieldValueTooLong", path, "", f"may not be more than {limit} {unit}")


def _too_many(path: str, actual: int, limit: int) -> FieldError:
    unit = "item" if limit == 1 else "items"
    return FieldError("FieldValueTooMany", path, actual, f"must have at most {limit} {unit}")


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _is_multiple(value: float, factor: float) -> bool:
    """Whether the quotient is whole up to 2**53. That of a float has a relative error."""
    if is_int64(value):
        return value % int(factor) == 0
    if abs(value) > _LARGEST_WHOLE * max(1, factor):
        return False
    quotient = 1 / factor * value if factor < 1 else value / factor
    if not abs(quotient) <= _LARGEST_WHOLE:
        return False
    rest = abs(quotient - int(quotient))
    return rest == 0 or rest / (2 * abs(quotient)) < _RELATIVE_ERROR


def _check_number(value: float, node: Node, path: str, errors: list[FieldError]) -> None:
    limits = node.limits
    whole = isinstance(value, int) or value.is_integer()
    if node.format == "float" and node.type == "number" and abs(value) > _LARGEST_FLOAT:
        text = f"Checked value must be of type number with format float in {path}"
        errors.append(FieldError("FieldValueInvalid", "<nil>", "", text))
    outside = not -(1 << 31) <= value < 1 << 31
    if node.format == "int32" and node.type == "integer" and outside and whole and abs(value) < 1 << 63:
        text = f"Checked value must be of type integer with format int32 in {path}"
        errors.append(FieldError("FieldValueInvalid", "<nil>", "", text))
    # The real server cuts the fraction of the factor for integers.
    factor = limits.multiple_of
    integer = is_int64(value)
    if factor is not None and (int(factor) if integer else factor) <= 0:
        cut = 0 if integer else factor
        text = f"factor MultipleOf declared for {path} must be positive: {_plain(cut)}"
        errors.append(FieldError("FieldValueInvalid", path, value, text))
    elif factor is not None and not _is_multiple(value, factor):
        _report(errors, "FieldValueInvalid", path, value, f"should be a multiple of {_plain(factor)}")
    if limits.maximum is not None:
        strict = limits.exclusive_maximum
        if value > limits.maximum or (strict and value == limits.maximum):
            words = "should be less than" if strict else "should be less than or equal to"
            _report(errors, "FieldValueInvalid", path, value, f"{words} {_plain(limits.maximum)}")
    if limits.minimum is not None:
        strict = limits.exclusive_minimum
        if value < limits.minimum or (strict and value == limits.minimum):
            words = "should be greater than" if strict else "should be greater than or equal to"
            _report(errors, "FieldValueInvalid", path, value, f"{words} {_plain(limits.minimum)}")


def _check_list(value: list[Any], node: Node, path: str, errors: list[FieldError], old: Any) -> None:
    if node.items is not None:
        counterparts = correlate(node, value, old)
        for index, (item, before) in enumerate(zip(value, counterparts, strict=True)):
            validate_value(item, node.items, at_index(path, index), errors, before)
    limits = node.limits
    if limits.min_items is not None and len(value) < limits.min_items:
        _report(
            errors, "FieldValueInvalid", path, len(value), f"should have at least {limits.min_items} items"
        )
    if limits.max_items is not None and len(value) > limits.max_items:
        errors.append(_too_many(path, len(value), limits.max_items))


def _check_object(value: dict[str, Any], node: Node, path: str, errors: list[FieldError], old: Any) -> None:
    if not check_size(value, node.limits, path, errors):
        return
    before: dict[str, Any] = old if isinstance(old, dict) else {}
    if node.additional is not None:
        for key, item in value.items():
            if key not in node.properties:
                validate_value(item, node.additional, at_key(path, key), errors, before.get(key, UNSET))
    known = node.properties
    # Errors have the order of the schema, which may have many more properties than the object has keys.
    keys = (
        known if len(known) < 3 * len(value) else sorted(known.keys() & value.keys(), key=list(known).index)
    )
    for key in keys:
        if key in value:
            validate_value(value[key], known[key], at_key(path, key), errors, before.get(key, UNSET))
    errors.extend(
        FieldError("FieldValueRequired", at_key(path, key), "", "")
        for key in node.required
        if key not in value
    )


def check_size(value: dict[str, Any], limits: Limits, path: str, errors: list[FieldError]) -> bool:
    """Whether the number of keys is allowed. If not, the server does not check the object further."""
    if limits.min_properties is not None and len(value) < limits.min_properties:
        words = f"should have at least {limits.min_properties} properties"
        _report(errors, "FieldValueInvalid", path, len(value), words)
        return False
    if limits.max_properties is not None and len(value) > limits.max_properties:
        errors.append(_too_many(path, len(value), limits.max_properties))
        return False
    return True


def _closest(attempts: list[list[FieldError]]) -> list[FieldError]:
    """The errors of the alternative with the fewest."""
    return min(attempts, key=lambda found: len(found))  # noqa: PLW0108 - len itself is typed too widely


def _errors_of(value: Any, node: Node, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    validate_value(value, node, path, found)
    return found


def _check_junctors(value: Any, node: Node, path: str, errors: list[FieldError]) -> None:
    shown = f'"{path}"'

    def report_junctor(text: str) -> None:
        errors.append(FieldError("FieldValueInvalid", "<nil>", "", f"{shown} {text}"))

    for part in node.all_of:
        errors.extend(_errors_of(value, part, path))
    if node.any_of:
        _check_any(value, node.any_of, path, errors, report_junctor)
    if node.one_of:
        attempts = [_errors_of(value, part, path) for part in node.one_of]
        passed = sum(not attempt for attempt in attempts)
        if passed != 1:
            found = f"Found {passed} valid alternatives" if passed else "Found none valid"
            report_junctor(f"must validate one and only one schema (oneOf). {found}")
            if not passed:
                errors.extend(_closest(attempts))
    if node.not_ is not None and not _errors_of(value, node.not_, path):
        report_junctor("must not validate the schema (not)")


def _check_any(
    value: Any,
    parts: tuple[Node, ...],
    path: str,
    errors: list[FieldError],
    report_junctor: Callable[[str], None],
) -> None:
    attempts = [_errors_of(value, part, path) for part in parts]
    if all(attempts):
        report_junctor("must validate at least one schema (anyOf)")
        errors.extend(_closest(attempts))


def validate_lists(value: Any, node: Node, path: str, errors: list[FieldError]) -> None:
    """Check that items of sets and keys of list-maps are unique. Each duplicate is reported once."""
    if isinstance(value, dict):
        for key, item in value.items():
            child = node.child(key)
            if child is not None:
                validate_lists(item, child, at_key(path, key), errors)
    elif isinstance(value, list):
        if node.list_type == "set":
            _check_unique(value, [json.dumps(item, sort_keys=True) for item in value], value, path, errors)
        elif node.list_type == "map":
            _check_list_map(value, node, path, errors)
        if node.items is not None:
            for index, item in enumerate(value):
                validate_lists(item, node.items, at_index(path, index), errors)


def _check_list_map(value: list[Any], node: Node, path: str, errors: list[FieldError]) -> None:
    for index, item in enumerate(value):
        if item is not None and not isinstance(item, dict):
            text = "must be an object for an array of list-type map"
            errors.append(FieldError("FieldValueInvalid", at_index(path, index), item, text))
            return
    identities = [list_map_key(item, node.list_map_keys) for item in value]
    _check_unique(value, identities, [json.loads(identity) for identity in identities], path, errors)


def _check_unique(
    value: list[Any], identities: list[str], shown: list[Any], path: str, errors: list[FieldError]
) -> None:
    seen: dict[str, int] = {}
    for index in range(len(value)):
        count = seen[identities[index]] = seen.get(identities[index], 0) + 1
        if count == 2:
            errors.append(FieldError("FieldValueDuplicate", at_index(path, index), shown[index], ""))
