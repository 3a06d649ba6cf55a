"""Reading plans in tests of decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.domain.plan import Record, WriteStatus
from support.messages import MOST_CHARACTERS, message_problems

if TYPE_CHECKING:
    from aimctl.domain.events import PlannedEvent
    from aimctl.domain.plan import Plan
    from aimctl.domain.status_slice import StatusSlice

__all__ = ["condition_of", "events_of", "outline", "part_of", "status_of"]


def outline(plan: Plan) -> list[str]:
    """The actions in their order, such as ``["WriteStatus", "Create a"]``."""
    return [_line(action) for action in plan.actions]


def _line(action: Any) -> str:
    name = action.key.name if hasattr(action, "key") else getattr(action, "name", "")
    return f"{type(action).__name__} {name}".strip()


def part_of(plan: Plan) -> StatusSlice:
    """The part of the status that the plan writes. Fails if it writes none, several different ones, or bad messages."""
    parts: list[StatusSlice] = [action.part for action in plan.of_type(WriteStatus)]
    assert parts, f"the plan writes no status: {outline(plan)}"
    assert all(part == parts[0] for part in parts)
    assert list(message_problems(parts[0].conditions)) == []
    return parts[0]


def status_of(plan: Plan) -> dict[str, Any]:
    """That part as JSON."""
    return part_of(plan).status()


def condition_of(plan: Plan, type_: str = "Ready") -> dict[str, Any]:
    """One condition of that part."""
    return next(item for item in status_of(plan)["conditions"] if item["type"] == type_)


def events_of(plan: Plan) -> list[PlannedEvent]:
    """The Events that are recorded if all actions of the plan change something. A repeated status counts once."""
    found: list[PlannedEvent] = []
    for action in plan.actions:
        for event in (action.event,) if isinstance(action, Record) else getattr(action, "events", ()):
            assert len(event.message) <= MOST_CHARACTERS, event
            if event not in found:
                found.append(event)
    return found
