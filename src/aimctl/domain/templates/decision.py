"""The plans of the two reconcilers of a template.

Contract:
    * The functions are pure and total.
    * :data:`FIELD_MANAGER` owns one part of the status: the state, the resolved references, what discovery found, and
      the conditions ``Discovered``, ``Ready``, ``Progressing`` and ``Failure``. Both reconcilers plan the whole part,
      and from the same observation the same part; so the second one has nothing to write. What depends on reads is
      planned by discovery only. Caching owns ``CacheWarm``.
    * Deciding again on the resulting status plans the same part, and no Events.
    * An Event is recorded at each change of the state, and if something prevents progress until a user acts. Its reason
      is the state.

Order of the actions of discovery: a read that the others depend on; the status, because a Job must not be deleted
before its result is stored; deletions of Jobs; the request of a slot.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aimctl.api import kinds
from aimctl.api.v1alpha1 import TemplateState
from aimctl.domain.conditions import Finding, abridge, conditions_of
from aimctl.domain.events import NEEDS_ACTION, PlannedEvent, event_type
from aimctl.domain.plan import Get, Plan, RequestSlot, WriteStatus
from aimctl.domain.resolution import Resolved
from aimctl.domain.status_slice import StatusSlice
from aimctl.domain.templates.discovery_decision import discover
from aimctl.domain.templates.discovery_report import DISCOVERED, DISCOVERY_FAILED
from aimctl.domain.templates.state import CACHE_WARM, WARM_FAILED, WARM_REQUESTED, roll_up
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.domain.conditions import RollUp
    from aimctl.domain.plan import Action
    from aimctl.domain.templates.discovery_decision import Discovery
    from aimctl.domain.templates.discovery_report import DiscoveryReport
    from aimctl.domain.templates.observation import TemplateObservation

__all__ = [
    "CACHE_WARM",
    "FIELD_MANAGER",
    "PROGRESSING",
    "REDISCOVERING",
    "WARM_FAILED",
    "WARM_REQUESTED",
    "decide_discovery",
    "decide_template",
]

FIELD_MANAGER = "aim-templates"

PROGRESSING = "Progressing"
REDISCOVERING = "Rediscovering"
"""Reason of ``Progressing`` while a changed input is being discovered."""

_OWNED_FIELDS = frozenset(
    {
        "status",
        "observedGeneration",
        "resolvedImage",
        "resolvedRuntimeConfig",
        "modelSources",
        "profile",
        "discovery",
    }
)
_OWNED_CONDITIONS = frozenset({DISCOVERED, "Ready", PROGRESSING, "Failure"})
_WARNING_STATES = frozenset({TemplateState.FAILED, TemplateState.DEGRADED, TemplateState.NOT_AVAILABLE})


def decide_template(seen: TemplateObservation) -> Plan:
    """The plan of the template reconciler: the status, unless it depends on reads, which the other one carries out."""
    if seen.template.meta.deleting:
        return Plan()
    discovery = discover(seen)
    return Plan() if discovery.lookups else Plan(tuple(_status(seen, discovery)))


def decide_discovery(seen: TemplateObservation) -> Plan:
    """The plan of the discovery reconciler: the status, and the Jobs."""
    if seen.template.meta.deleting:
        return Plan()
    discovery = discover(seen)
    actions: list[Action] = [*discovery.lookups, *([] if discovery.read is None else [discovery.read])]
    actions += _status(seen, discovery)
    actions += discovery.deletions
    if discovery.create is not None:
        actions.append(RequestSlot(replace(discovery.create, inputs=tuple(_inputs(seen))), discovery.since))
    return Plan(tuple(actions), discovery.requeue_after)


def _inputs(seen: TemplateObservation) -> Iterator[Get]:
    """The template, whose status has the results of former discoveries, and its model."""
    meta = seen.template.meta
    yield Get(seen.template.resource, meta.namespace, meta.name)
    if isinstance(seen.model, Resolved) and (model := seen.model.reference) is not None:
        yield Get(kinds.MODELS if model.namespace else kinds.CLUSTER_MODELS, model.namespace, model.name)


def _status(seen: TemplateObservation, discovery: Discovery) -> Iterator[WriteStatus]:
    """The status, if it is known."""
    report = discovery.report
    if report is None:
        return
    rolled, generation = roll_up(seen, report), seen.template.meta.generation
    fields: dict[str, Any] = {
        "status": str(rolled.state),
        "observedGeneration": generation,
        **report.fields(),
    }
    for name, found in (("resolvedImage", seen.model), ("resolvedRuntimeConfig", seen.runtime_config)):
        if isinstance(found, Resolved) and found.reference is not None:
            fields[name] = found.reference.to_json()
    conditions = conditions_of(
        _findings(report, rolled), seen.view.status.conditions, generation=generation, now=seen.now
    )
    part = StatusSlice(fields, conditions, _OWNED_FIELDS, _OWNED_CONDITIONS)
    yield WriteStatus(part, (*discovery.events, *_events(seen, rolled)))


def _findings(report: DiscoveryReport, rolled: RollUp[TemplateState]) -> dict[str, Finding]:
    """The conditions by type."""
    findings = rolled.findings(
        ready=rolled.state is TemplateState.READY,
        progressing=rolled.state is TemplateState.PROGRESSING,
        failed=rolled.reason == DISCOVERY_FAILED and not report.rediscovering,
    )
    if report.rediscovering:
        text = "discovery of the changed input is in progress"
        findings[PROGRESSING] = Finding(True, REDISCOVERING, text)
    return {DISCOVERED: report.condition, **findings}


def _events(seen: TemplateObservation, rolled: RollUp[TemplateState]) -> Iterator[PlannedEvent]:
    before = seen.view.status
    ready = find_condition(before.conditions, "Ready")
    blocked = rolled.reason in NEEDS_ACTION and (ready is None or ready.reason != rolled.reason)
    if before.status != rolled.state or blocked:
        yield PlannedEvent(
            event_type(rolled.reason, failed=rolled.state in _WARNING_STATES),
            str(rolled.state),
            abridge(f"{rolled.reason}: {rolled.message}"),
        )
    absent = isinstance(seen.runtime_config, Resolved) and seen.runtime_config.reference is None
    if absent and (before.resolved_runtime_config is not None or not before.status):
        yield PlannedEvent(
            "Normal",
            "DefaultRuntimeConfigNotFound",
            "there is no runtime config named default; the built-in defaults are used",
        )
