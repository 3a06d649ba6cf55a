"""The values of the Helm chart as a flat table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from aimctl.installation.values import Values

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["values_rows"]


def values_rows(group: BaseModel | None = None, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Each value as path, default and description."""
    group = Values() if group is None else group
    for name, field in type(group).model_fields.items():
        path, value = f"{prefix}{field.alias}", getattr(group, name)
        if isinstance(value, BaseModel):
            yield from values_rows(value, f"{path}.")
        else:
            default = list(value) if isinstance(value, tuple) else value
            yield path, default, " ".join((field.description or "").split())
