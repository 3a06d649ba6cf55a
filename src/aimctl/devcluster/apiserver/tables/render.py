"""The Table output of ``kubectl get`` (``meta.k8s.io/v1``).

Contract: custom kinds have the columns of their definition, built-in kinds those of the real server, all others Name
and Age. Dates are shown as ages. Of an object whose cells cannot be computed, only the name is shown. The caller sets
``apiVersion`` and ``metadata`` of the Table.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from aimctl.devcluster.apiserver.objects.kinds import PrinterColumn
from aimctl.devcluster.apiserver.tables.ages import age
from aimctl.devcluster.apiserver.tables.builtin import BUILTIN_TABLES, BuiltinTable
from aimctl.devcluster.apiserver.tables.jsonpaths import find

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from aimctl.devcluster.apiserver.objects.kinds import ServedKind

__all__ = ["render_table"]

Include = Literal["Metadata", "None", "Object"]

_NAME = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Name of the object, unique among its kind in the namespace.",
    "priority": 0,
}
_AGE = PrinterColumn(
    name="Age",
    type="date",
    json_path=".metadata.creationTimestamp",
    description="Time since the object was created.",
)


def render_table(
    kind: ServedKind,
    objects: Iterable[Mapping[str, Any]],
    *,
    include: Include = "Metadata",
    now: datetime,
) -> dict[str, Any]:
    """The Table of some objects.

    Args:
        kind: the kind at the version of the objects.
        objects: the objects, in the order of the rows.
        include: what a row contains of its object: its metadata, nothing, or all.
        now: the current time, for ages.
    """
    builtin = None if kind.custom else BUILTIN_TABLES.get((kind.resource.group, kind.resource.kind))
    columns = kind.columns or (_AGE,)
    definitions = _builtin_definitions(builtin) if builtin else [_NAME, *map(_definition, columns)]
    rows = []
    for obj in objects:
        try:
            if builtin is not None:
                cells = builtin.cells(obj, now)
            else:
                cells = [_name(obj), *(_cell(obj, column, now) for column in columns)]
        except Exception:  # noqa: BLE001 - one malformed object must not hide the others
            cells = [_name(obj) if each["name"] == "Name" else None for each in definitions]
        rows.append({"cells": cells, "object": _row_object(obj, include)})
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": definitions,
        "rows": rows,
    }


def _definition(column: PrinterColumn) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description
        or f"Custom resource definition column (in JSONPath format): {column.json_path}",
        "priority": column.priority,
    }


def _builtin_definitions(table: BuiltinTable) -> list[dict[str, Any]]:
    return [
        _NAME
        if name == "Name" and not priority
        else {
            "name": name,
            "type": type_,
            "format": "name" if name == "Name" else "",
            "description": "",
            "priority": priority,
        }
        for name, type_, priority in table.columns
    ]


def _name(obj: Mapping[str, Any]) -> Any:
    return (obj.get("metadata") or {}).get("name")


def _row_object(obj: Mapping[str, Any], include: Include) -> Any:
    if include == "None":
        return None
    if include == "Object":
        return obj
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj.get("metadata") or {},
    }


def _first(obj: Mapping[str, Any], path: str) -> Any:
    try:
        return next(iter(find(obj, path)), None)
    except ValueError:
        return None


def _cell(obj: Mapping[str, Any], column: PrinterColumn, now: datetime) -> Any:
    """One cell of a custom kind. It is None, which is shown as empty, if the value is absent or has another type."""
    value = _first(obj, column.json_path)
    if value is None:
        return None
    if column.type in ("integer", "number"):
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        return int(value) if column.type == "integer" else value
    if column.type == "boolean" and not isinstance(value, bool):
        return None
    if column.type == "date":
        return age(value, now) if isinstance(value, str) else None
    return value if isinstance(value, str | bool) else _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
