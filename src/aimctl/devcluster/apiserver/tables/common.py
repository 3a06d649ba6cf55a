"""The form of tables, and cells that several kinds have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.tables.ages import age

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

__all__ = [
    "NONE",
    "UNSET_TEXT",
    "BuiltinTable",
    "age_of",
    "columns",
    "container_texts",
    "labels_text",
    "metadata_of",
    "name_of",
    "selector_text",
    "spec_of",
    "status_of",
    "true_condition",
]

NONE = "<none>"
UNSET_TEXT = "<unset>"

Column = tuple[str, str, int]
"""Name, type and priority. Columns with a priority above zero are shown with ``-o wide`` only."""


@final
@dataclass(frozen=True, slots=True)
class BuiltinTable:
    """The columns of a kind, and the function that returns the cells of an object."""

    columns: tuple[Column, ...]
    cells: Callable[[Mapping[str, Any], datetime], list[Any]]


def columns(
    *names: str,
    wide: tuple[str, ...] = (),
    integers: frozenset[str] = frozenset(),
    booleans: frozenset[str] = frozenset(),
) -> tuple[Column, ...]:
    """Columns of these names; those in ``wide`` are the last."""

    def column(name: str, priority: int) -> Column:
        kind = "integer" if name in integers else "boolean" if name in booleans else "string"
        return (name, kind, priority)

    return (*(column(name, 0) for name in names), *(column(name, 1) for name in wide))


def metadata_of(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The metadata, or an empty mapping."""
    return obj.get("metadata") or {}


def name_of(obj: Mapping[str, Any]) -> Any:
    """The name."""
    return metadata_of(obj).get("name")


def spec_of(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The spec, or an empty mapping."""
    return obj.get("spec") or {}


def status_of(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status, or an empty mapping."""
    return obj.get("status") or {}


def age_of(obj: Mapping[str, Any], now: datetime) -> str:
    """The time since the creation."""
    return age(metadata_of(obj).get("creationTimestamp"), now)


def labels_text(labels: Mapping[str, str] | None) -> str:
    """Labels as ``a=b,c=d``."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A label selector as kubectl prints it."""
    parts = [f"{key}={value}" for key, value in sorted(((selector or {}).get("matchLabels") or {}).items())]
    for item in (selector or {}).get("matchExpressions") or ():
        key, values = item.get("key", ""), ",".join(sorted(item.get("values") or ()))
        shown = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        parts.append(shown.get(item.get("operator", ""), key))
    return ",".join(parts) or NONE


def container_texts(template: Mapping[str, Any]) -> tuple[str, str]:
    """The names and images of a pod template's containers."""
    containers = spec_of(template).get("containers") or ()
    return ",".join(item.get("name", "") for item in containers), ",".join(
        item.get("image", "") for item in containers
    )


def true_condition(obj: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The condition of this type if it is True, else an empty mapping."""
    conditions: Iterable[Mapping[str, Any]] = status_of(obj).get("conditions") or ()
    return next(
        (item for item in conditions if item.get("type") == kind and item.get("status") == "True"), {}
    )
