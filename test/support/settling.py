"""Carries out the decisions about a template on its status, without a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aimctl.domain.plan import Delete, RequestSlot, WriteStatus
from aimctl.domain.templates.decision import decide_discovery, decide_template
from support.templates import observe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.domain.events import PlannedEvent
    from aimctl.domain.plan import Create, Plan


@dataclass
class Settled:
    """The resulting status, the last plan of discovery, and all Events."""

    status: dict[str, Any]
    plan: Plan
    events: list[PlannedEvent] = field(default_factory=list)
    writes: int = 0

    @property
    def state(self) -> str:
        return self.status["status"]

    def condition(self, type_: str) -> tuple[str, str]:
        found = next(item for item in self.status["conditions"] if item["type"] == type_)
        return found["status"], found["reason"]

    def message(self, type_: str) -> str:
        return next(item["message"] for item in self.status["conditions"] if item["type"] == type_)

    @property
    def wanted(self) -> Create | None:
        """The Job for which a slot is requested."""
        return next((action.create for action in self.plan.of_type(RequestSlot)), None)

    @property
    def deleted(self) -> Sequence[str]:
        """The names of the Jobs to be deleted."""
        return [action.target.name for action in self.plan.of_type(Delete)]


def settle(status: dict[str, Any] | None = None, **differs: Any) -> Settled:
    """Write the planned status until nothing changes. Both reconcilers must plan the same one."""
    current: dict[str, Any] = dict(status or {})
    events: list[PlannedEvent] = []
    for writes in range(3):
        seen = observe(current, **differs)
        plan = decide_discovery(seen)
        (action,) = plan.of_type(WriteStatus)
        assert decide_template(seen).actions == (action,)
        if not action.part.changes(current):
            return Settled(current, plan, events, writes)
        current = action.part.merged_into(current)
        events += action.events
    raise AssertionError(f"the decision does not settle: {current}")
