"""Both decisions about a template carried out on a status, as the reconcilers do it, without a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aimctl.domain.templates.decision import decide_template
from aimctl.domain.templates.discovery_decision import decide_discovery
from support.templates import observe

if TYPE_CHECKING:
    from aimctl.domain.events import EventWish
    from aimctl.domain.templates.decision import TemplateDecision
    from aimctl.domain.templates.discovery_decision import DiscoveryDecision


@dataclass
class Settled:
    """The status and what was decided last, and every event on the way."""

    status: dict[str, Any]
    discovery: DiscoveryDecision
    template: TemplateDecision
    events: list[EventWish] = field(default_factory=list)
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
    def facts(self) -> tuple[str, tuple[str, str], tuple[str, str]]:
        """State, Discovered and Ready."""
        return self.state, self.condition("Discovered"), self.condition("Ready")


def settle(status: dict[str, Any] | None = None, **differs: Any) -> Settled:
    """Decide and apply until nothing changes; at most a few rounds, else the decisions chase each other."""
    now: dict[str, Any] = dict(status or {})
    events: list[EventWish] = []
    for writes in range(4):
        seen = observe(now, **differs)
        discovery = decide_discovery(seen)
        changed = False
        if discovery.status is not None and discovery.status.changes(now):
            seen = seen.after(discovery.status)
            now, changed = discovery.status.merged_into(now), True
            events += discovery.events
        template = decide_template(seen)
        if template.status is not None and template.status.changes(now):
            now, changed = template.status.merged_into(now), True
            events += template.events
        if not changed:
            return Settled(now, discovery, template, events, writes)
    raise AssertionError(f"the two decisions never settle: {now}")
