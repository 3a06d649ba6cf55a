"""The entries of ``metadata.managedFields``: the managers of an object's fields.

Contract: :func:`decode_managers` parses them, :func:`with_managers` writes them in the server's order. The identity
of a manager is its name, operation, subresource and, for updates, version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

from aimctl.devcluster.apiserver.apply.fieldsets import FieldSet, fields_from_wire, fields_to_wire

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "UNOWNED",
    "Entry",
    "Identity",
    "Managers",
    "Operation",
    "decode_managers",
    "with_managers",
    "without_managers",
]

Operation = Literal["Apply", "Update"]

UNOWNED: FieldSet = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                *("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation"),
                *("managedFields", "resourceVersion"),
            )
        ),
    }
)
"""Fields that no manager owns: the stripMeta set of Kubernetes."""


class Identity(NamedTuple):
    """The identity of a manager. Its text is that in messages about conflicts."""

    manager: str
    operation: Operation
    api_version: str
    subresource: str

    def __str__(self) -> str:
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == "Update" else text


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """The fields of a manager, their version, and when they changed last (RFC 3339, or "" if unknown)."""

    fields: FieldSet
    api_version: str
    time: str


Managers = dict[Identity, Entry]


def decode_managers(obj: Mapping[str, Any] | None) -> Managers:
    """The managers of an object; empty if there are none or they cannot be parsed."""
    managers: Managers = {}
    metadata = (obj or {}).get("metadata") or {}
    for entry in metadata.get("managedFields") or ():
        if entry.get("fieldsType") != "FieldsV1":
            return {}
        if entry.get("operation") not in ("Apply", "Update"):
            return {}
        operation: Operation = entry["operation"]
        version = entry.get("apiVersion") or ""
        identity = Identity(
            entry.get("manager") or "",
            operation,
            version if operation == "Update" else "",
            entry.get("subresource") or "",
        )
        try:
            fields = fields_from_wire(entry.get("fieldsV1") or {})
        except (ValueError, TypeError, AttributeError):
            return {}
        managers[identity] = Entry(fields, version, entry.get("time") or "")
    return managers


def without_managers(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The object without managedFields. The result has its own metadata and shares the rest with ``obj``."""
    bare = dict(obj)
    metadata = bare.get("metadata")
    if isinstance(metadata, dict):
        bare["metadata"] = {name: value for name, value in metadata.items() if name != "managedFields"}
    return bare


def with_managers(obj: Any, managers: Managers) -> dict[str, Any]:
    """Set the object's managedFields, sorted by operation, time, manager, version and subresource."""
    full: dict[str, Any] = obj
    metadata = full.setdefault("metadata", {})
    metadata.pop("managedFields", None)
    order = sorted(
        managers.items(),
        key=lambda pair: (
            pair[0].operation,
            pair[1].time,
            pair[0].manager,
            pair[1].api_version,
            pair[0].subresource,
        ),
    )
    entries = []
    for identity, entry in order:
        written: dict[str, Any] = {
            "manager": identity.manager,
            "operation": identity.operation,
            "apiVersion": entry.api_version,
            "time": entry.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields_to_wire(entry.fields),
        }
        if not entry.time:
            del written["time"]
        if identity.subresource:
            written["subresource"] = identity.subresource
        entries.append(written)
    if entries:
        metadata["managedFields"] = entries
    return full
