"""The part of a status that one field manager owns, for server-side apply.

A status has several writers. A writer always applies the whole part that its field manager owns, because server-side
apply removes the fields that it leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["StatusSlice"]


@final
@dataclass(frozen=True, slots=True)
class StatusSlice:
    """What a field manager writes.

    Attributes:
        fields: top-level fields of the status as JSON, without ``conditions``.
        conditions: its conditions, as JSON.
        owned_fields: every top-level field that it may set. One that is not in ``fields`` is removed.
        owned_conditions: every condition type that it may set. One that is not in ``conditions`` is removed.

    Raises:
        ValueError: ``fields`` or ``conditions`` has something that is not owned.
    """

    fields: Mapping[str, Any]
    conditions: tuple[Mapping[str, Any], ...]
    owned_fields: frozenset[str] = field(repr=False)
    owned_conditions: frozenset[str] = field(repr=False)

    def __post_init__(self) -> None:
        foreign = (set(self.fields) - self.owned_fields) | (
            {item["type"] for item in self.conditions} - self.owned_conditions
        )
        if foreign:
            raise ValueError(f"{sorted(foreign)} belong to another writer of this status")

    def status(self) -> dict[str, Any]:
        """The ``status`` to apply."""
        return {**self.fields, "conditions": [dict(item) for item in self.conditions]}

    def changes(self, current: Mapping[str, Any]) -> bool:
        """Whether applying this would change a status, given as JSON."""
        if any(current.get(name) != self.fields.get(name) for name in self.owned_fields):
            return True
        owned = {
            item["type"]: dict(item)
            for item in current.get("conditions") or ()
            if item["type"] in self.owned_conditions
        }
        return owned != {item["type"]: dict(item) for item in self.conditions}

    def merged_into(self, current: Mapping[str, Any]) -> dict[str, Any]:
        """The status after applying this: what other writers own is unchanged."""
        kept = {name: value for name, value in current.items() if name not in self.owned_fields}
        others = [
            item for item in current.get("conditions") or () if item["type"] not in self.owned_conditions
        ]
        return {**kept, **self.fields, "conditions": [*others, *(dict(item) for item in self.conditions)]}
