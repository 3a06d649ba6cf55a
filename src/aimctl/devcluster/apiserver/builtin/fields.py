"""Checks of single fields, which several kinds need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.schema.errors import OMITTED, FieldError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["IMMUTABLE", "forbidden", "immutable_errors", "invalid", "required", "unsupported", "value_at"]

IMMUTABLE = "field is immutable"


def immutable_errors(new: Mapping[str, Any], old: Mapping[str, Any], *path: str) -> list[FieldError]:
    """The error for a changed value at the path, if it changed."""
    after, before = value_at(new, path), value_at(old, path)
    if after == before:
        return []
    return [FieldError("FieldValueInvalid", ".".join(path), after, IMMUTABLE)]


def value_at(obj: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The value at a path of keys, or None."""
    value: Any = obj
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def forbidden(field: str, text: str) -> FieldError:
    """An error of the type FieldValueForbidden."""
    return FieldError("FieldValueForbidden", field, OMITTED, text)


def invalid(field: str, value: Any, text: str) -> FieldError:
    """An error of the type FieldValueInvalid."""
    return FieldError("FieldValueInvalid", field, value, text)


def required(field: str, text: str = "") -> FieldError:
    """An error of the type FieldValueRequired."""
    return FieldError("FieldValueRequired", field, OMITTED, text)


def unsupported(field: str, value: Any, allowed: Iterable[str]) -> FieldError:
    """An error of the type FieldValueNotSupported, whose text lists the allowed values in this order."""
    shown = ", ".join(f'"{each}"' for each in allowed)
    return FieldError("FieldValueNotSupported", field, value, f"supported values: {shown}")
