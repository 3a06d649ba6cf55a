"""The part of a status that one writer owns, for server-side apply.

Status has several writers. Who applies always applies all that its field manager owns, so a field it leaves out
disappears: one slice where a writer has a field manager for itself, the slices of the whole family where several
writers share one and so can be written in one request. :meth:`StatusSlice.changes` tells whether applying would change
anything: a settled object is not written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["StatusFamily", "StatusSlice"]


@final
@dataclass(frozen=True, slots=True)
class StatusSlice:
    """What one writer says.

    Attributes:
        fields: top-level fields of status this writer sets, as JSON, without ``conditions``.
        conditions: its conditions, as JSON.
        owned_fields: every top-level field it may set; one that is not in ``fields`` is to be absent.
        owned_conditions: every condition type it may set.
    """

    fields: Mapping[str, Any]
    conditions: tuple[Mapping[str, Any], ...]
    owned_fields: frozenset[str] = field(repr=False)
    owned_conditions: frozenset[str] = field(repr=False)

    def __post_init__(self) -> None:
        stray = (set(self.fields) - self.owned_fields) | (
            {item["type"] for item in self.conditions} - self.owned_conditions
        )
        if stray:
            raise ValueError(f"{sorted(stray)} belong to another writer of this status")

    def status(self) -> dict[str, Any]:
        """The ``status`` to apply."""
        return {**self.fields, "conditions": [dict(item) for item in self.conditions]}

    def changes(self, current: Mapping[str, Any]) -> bool:
        """Whether applying this to an object with status ``current`` (as JSON) would change it."""
        if any(current.get(name) != self.fields.get(name) for name in self.owned_fields):
            return True
        have = {
            item["type"]: dict(item)
            for item in current.get("conditions") or ()
            if item["type"] in self.owned_conditions
        }
        return have != {item["type"]: dict(item) for item in self.conditions}

    def merged_into(self, current: Mapping[str, Any]) -> dict[str, Any]:
        """The status after applying: what the others own stays."""
        kept = {name: value for name, value in current.items() if name not in self.owned_fields}
        others = [
            item for item in current.get("conditions") or () if item["type"] not in self.owned_conditions
        ]
        return {**kept, **self.fields, "conditions": [*others, *(dict(item) for item in self.conditions)]}


@final
@dataclass(frozen=True, slots=True)
class StatusFamily:
    """Writers that share one field manager.

    Attributes:
        fields: every top-level field of status that one of them may set.
        conditions: every condition type that one of them may set.
    """

    fields: frozenset[str]
    conditions: frozenset[str]

    def part(self, current: Mapping[str, Any], *said: StatusSlice) -> StatusSlice:
        """All that the family says once ``said`` is said: the rest of its part stays as it is in ``current``."""
        merged: Mapping[str, Any] = current
        for item in said:
            stray = (item.owned_fields - self.fields) | (item.owned_conditions - self.conditions)
            if stray:
                raise ValueError(f"{sorted(stray)} belong to another family of writers of this status")
            merged = item.merged_into(merged)
        return StatusSlice(
            {name: value for name, value in merged.items() if name in self.fields},
            tuple(item for item in merged.get("conditions") or () if item["type"] in self.conditions),
            self.fields,
            self.conditions,
        )
