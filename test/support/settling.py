"""Carries out the decisions about a template on its status, without a server."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from aimctl.domain.plan import Delete, Got, Known, List, RequestSlot, WriteStatus
from aimctl.domain.templates.decision import decide_discovery, decide_template
from aimctl.kubetypes import Object
from aimctl.kubetypes.builtin import CORE_EVENTS, PODS
from support.messages import MOST_CHARACTERS, message_problems
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


def settle(
    status: dict[str, Any] | None = None,
    *,
    known: Known | None = None,
    pod_events: Sequence[str] = (),
    **differs: Any,
) -> Settled:
    """Write the planned status until nothing changes. Both reconcilers must plan the same one.

    Args:
        status: at first.
        known: what the executor knows. Lists are carried out.
        pod_events: messages of the Events about rejected pods, the oldest first.
        differs: from the default observation.
    """
    current: dict[str, Any] = dict(status or {})
    known = known or Known()
    events: list[PlannedEvent] = []
    for writes in range(3):
        seen = observe(current, known=known, **differs)
        plan = decide_discovery(seen)
        while lists := plan.of_type(List):
            known, differs = _read(lists, known, pod_events, differs)
            seen = observe(current, known=known, **differs)
            plan = decide_discovery(seen)
        (action,) = plan.of_type(WriteStatus)
        assert decide_template(seen).actions == (action,)
        assert list(message_problems(action.part.conditions)) == []
        assert all(len(event.message) <= MOST_CHARACTERS for event in action.events)
        if not action.part.changes(current):
            return Settled(current, plan, events, writes)
        current = action.part.merged_into(current)
        events += action.events
    raise AssertionError(f"the decision does not settle: {current}")


def _read(
    lists: Sequence[List], known: Known, pod_events: Sequence[str], differs: dict[str, Any]
) -> tuple[Known, dict[str, Any]]:
    """The results of the lists: the pods of the Jobs are those in the cache."""
    events = Got(tuple(_event(number, text) for number, text in enumerate(pod_events)))
    got = {read: events for read in lists if read.resource == CORE_EVENTS}
    if any(read.resource == PODS for read in lists):
        differs = {**differs, "jobs": [replace(job, pods_read=True) for job in differs["jobs"]]}
    return replace(known, reads={**known.reads, **got}), differs


def _event(number: int, message: str) -> Object[Any]:
    metadata = {"name": f"e{number}", "namespace": "team", "uid": f"e{number}"}
    body = {"metadata": metadata, "message": message, "lastTimestamp": f"2026-01-01T00:00:{number:02}Z"}
    return Object.parse(CORE_EVENTS, json.dumps(body).encode())
