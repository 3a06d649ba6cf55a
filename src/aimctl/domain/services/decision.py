"""What the services reconciler does for one service: its status, and the objects that it needs.

Contract:
    * :func:`decide_service` is pure and total.
    * It owns ``status``, ``observedGeneration``, the three resolved references, ``templateMatching``, ``url``,
      ``replicas``, ``selector`` and the conditions ``Resolved``, ``CacheReady``, ``RuntimeReady``, ``Ready``,
      ``Progressing`` and ``Failure``. Derivation owns ``Derived``.
    * A decision about the status that an earlier one wrote changes nothing and records no Event.

Order of the plan: the status is written first, because a template cache that no service uses, according to the
statuses, may be deleted. Immediately before an InferenceService is created, its absence is confirmed: applying
would take over an object that the cache does not have yet.

The state, the first that applies:
    ========  =====================================================================================
    Degraded  it was Running, and template, model or runtime are no longer Ready
    Pending   model, runtime config or named template are missing
    Failed    no template matches, or several do; another object has the name of the runtime, no name is possible, or
              the API server or a webhook denied the runtime
    Starting  template, cache or runtime are not Ready yet; or ``replicas`` is 0
    Running   the runtime is Ready
    ========  =====================================================================================
A runtime that serves keeps its configuration while template or cache are not Ready: only what is Ready is deployed, and
what serves is not removed.

A service with fewer pods than requested is progressing. After scaling up, one write therefore reports the new number of
pods together with the end of the progress.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aimctl.api import kinds
from aimctl.api.v1alpha1 import ServiceState, TemplateState
from aimctl.domain import conditions
from aimctl.domain.conditions import Finding, RollUp
from aimctl.domain.events import NEEDS_ACTION, PlannedEvent, event_type
from aimctl.domain.models.auto_model import auto_model
from aimctl.domain.naming import describe
from aimctl.domain.plan import Apply, Confirm, Create, Plan, WriteStatus
from aimctl.domain.resolution import Missing, Reference, Resolved
from aimctl.domain.services.cache import CACHE_NAME_TAKEN, CACHE_REFUSED, cache_finding, cache_to_create
from aimctl.domain.services.candidates import not_ready
from aimctl.domain.services.choice import Choice
from aimctl.domain.services.derivation.derived_template import base_name, changes_from_base, is_managed
from aimctl.domain.services.kserve.status import POD_LABEL, url_of
from aimctl.domain.services.observation import NewModel
from aimctl.domain.services.resolution import (
    DERIVATION_REFUSED,
    DERIVED_NAME_TAKEN,
    OF_DERIVATION,
    Resolution,
)
from aimctl.domain.services.runtime import (
    NAME_IMPOSSIBLE,
    NAME_TAKEN,
    RUNTIME_NOT_INSTALLED,
    RUNTIME_REFUSED,
    RUNTIME_STOPPED,
    runtime_of,
)
from aimctl.domain.services.selection import MODEL_REQUESTED, TEMPLATE_NOT_READY, WAIT_SECONDS
from aimctl.domain.status_slice import StatusSlice
from aimctl.domain.templates.template import discovered_image
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.domain.services.observation import DeploymentObservation, ServiceObservation
    from aimctl.domain.services.runtime import Runtime
    from aimctl.domain.templates.template import Template

__all__ = ["RUNTIME_READY", "decide_service"]

RESOLVED, CACHE_READY, RUNTIME_READY = "Resolved", "CacheReady", "RuntimeReady"
READY, PROGRESSING, FAILURE = "Ready", "Progressing", "Failure"

_OWNED_FIELDS = frozenset(
    {
        "status",
        "observedGeneration",
        "resolvedRuntimeConfig",
        "resolvedImage",
        "resolvedTemplate",
        "templateMatching",
        "url",
        "replicas",
        "selector",
    }
)
_OWNED_CONDITIONS = frozenset({RESOLVED, CACHE_READY, RUNTIME_READY, READY, PROGRESSING, FAILURE})

RUNNING = "Running"
TEMPLATE_SELECTED = "TemplateSelected"
_WARNING_STATES = frozenset({ServiceState.FAILED, ServiceState.DEGRADED})
_NEEDS_INTERVENTION = frozenset(
    {
        RUNTIME_NOT_INSTALLED,
        RUNTIME_REFUSED,
        RUNTIME_STOPPED,
        CACHE_NAME_TAKEN,
        CACHE_REFUSED,
        DERIVED_NAME_TAKEN,
        DERIVATION_REFUSED,
    }
)
SEE_DERIVED = "see the condition Derived"
_STUCK = frozenset({TemplateState.FAILED, TemplateState.DEGRADED, TemplateState.NOT_AVAILABLE})
_SERVED = frozenset({ServiceState.RUNNING, ServiceState.DEGRADED})


def decide_service(seen: DeploymentObservation) -> Plan:
    """Decide about one service."""
    service = seen.service
    if service.obj.meta.deleting:
        return Plan()
    if isinstance(service.runtime_config, Missing):
        seen = replace(seen, resolution=_without_runtime_config(service.runtime_config))
    resolution = seen.resolution
    cache = cache_finding(seen)
    obstacle = _obstacle(service, resolution, cache)
    runtime = runtime_of(seen, resolution.template, obstacle)
    roll_up, progressing = _roll_up(service, resolution, runtime, obstacle)
    findings = {
        RESOLVED: Finding(resolution.template is not None, resolution.reason, resolution.message),
        **({CACHE_READY: cache} if cache is not None else {}),
        RUNTIME_READY: runtime.finding,
        **roll_up.findings(
            ready=roll_up.state is ServiceState.RUNNING,
            progressing=progressing,
            failed=ServiceState.FAILED in (roll_up.state, resolution.state),
        ),
    }
    shown = conditions.refer_to_first(findings, RESOLVED, CACHE_READY, RUNTIME_READY)
    if resolution.reason in OF_DERIVATION:
        for type_ in (RESOLVED, RUNTIME_READY):
            if findings[type_].message == resolution.message:
                shown[type_] = findings[type_]._replace(message=SEE_DERIVED)
    meta, before = service.obj.meta, service.status.conditions
    part = StatusSlice(
        {**_fields(service, resolution, roll_up, serves=runtime.exists), **_runtime_fields(seen, runtime)},
        conditions.conditions_of(shown, before, generation=meta.generation, now=service.now),
        _OWNED_FIELDS,
        _OWNED_CONDITIONS,
    )
    actions = (
        WriteStatus(part, tuple(_events(service, resolution, roll_up))),
        *_create_model(service),
        *cache_to_create(seen),
        *_apply_runtime(seen, runtime),
    )
    waits = (service.waits.get(uid, WAIT_SECONDS) for uid in resolution.choice.awaits)
    return Plan(actions, min((seconds for seconds in waits if seconds > 0), default=None))


def _without_runtime_config(missing: Missing) -> Resolution:
    """A service whose runtime config is missing uses no template."""
    choice = Choice(None, missing.reason, missing.message, ServiceState.PENDING)
    return Resolution(choice, None, choice.reason, choice.message, choice.state)


# ---- what the service needs


def _create_model(service: ServiceObservation) -> Iterator[Create]:
    if isinstance(service.model, NewModel) and isinstance(service.runtime_config, Resolved):
        manifest = auto_model(service.model.image, service.namespace, service.spec, service.runtime_config)
        kind = kinds.MODELS if manifest["kind"] == kinds.MODELS.kind else kinds.CLUSTER_MODELS
        yield Create(kind, manifest)


def _apply_runtime(seen: DeploymentObservation, runtime: Runtime) -> Iterator[Confirm | Apply]:
    if runtime.apply is None:
        return
    found, manifest = seen.inference_service, runtime.apply
    name = manifest["metadata"]["name"]
    if found is None:
        yield Confirm(kinds.INFERENCE_SERVICES, seen.service.namespace, name)
        event = PlannedEvent("Normal", "RuntimeCreated", f"InferenceService {name!r} was created")
    else:
        event = PlannedEvent("Normal", "RuntimeUpdated", f"InferenceService {name!r} was updated")
        # The decision holds for the observed state only.
        metadata = {**manifest["metadata"], "resourceVersion": found.meta.resource_version}
        manifest = {**manifest, "metadata": metadata}
    yield Apply(kinds.INFERENCE_SERVICES, manifest, (event,))


# ---- the state


def _obstacle(service: ServiceObservation, resolution: Resolution, cache: Finding | None) -> Finding | None:
    """Why the template cannot be deployed; None if it can."""
    template = resolution.template
    if template is None:
        return Finding(False, resolution.reason, resolution.message)
    why = not_ready(template)
    if why:
        return Finding(False, TEMPLATE_NOT_READY, f"{describe(template)} is not Ready: {why}")
    if _differs_from_base(resolution, template):
        # The user who changed it may have fewer permissions than the owner of the service.
        message = f"{describe(template)} was changed, and is being brought in line with its base"
        return Finding(False, TEMPLATE_NOT_READY, message)
    discovered = discovered_image(template)
    if discovered and isinstance(service.model, Resolved) and service.model.spec.image != discovered:
        # The profile belongs to its image; credentials and environment of the model are for the new image.
        image = service.model.spec.image
        message = f"discovery of the model's image {image!r} is not finished for {describe(template)}"
        return Finding(False, TEMPLATE_NOT_READY, f"{message}; its profile is of {discovered!r}")
    return cache if cache is not None and not cache.true else None


def _differs_from_base(resolution: Resolution, template: Template) -> bool:
    """Whether a derived template has other contents than its base, until derivation has corrected it."""
    base = resolution.base
    return (
        base is not None
        and is_managed(template)
        and base_name(template) == base.meta.name
        and bool(changes_from_base(base, template))
    )


def _roll_up(
    service: ServiceObservation, resolution: Resolution, runtime: Runtime, obstacle: Finding | None
) -> tuple[RollUp[ServiceState], bool]:
    """The state of the service, and whether it is progressing."""
    finding, served = runtime.finding, service.status.status in _SERVED
    reason, message = resolution.reason, resolution.message
    if resolution.template is None and resolution.state is not ServiceState.STARTING:
        if served and runtime.exists:
            message = f"{message}. The runtime keeps its last configuration"
            return RollUp(ServiceState.DEGRADED, reason, message), False
        state = resolution.state or ServiceState.PENDING
        return RollUp(state, reason, message), reason == MODEL_REQUESTED
    if finding.true:
        message, progressing = finding.message, runtime.apply is not None and not runtime.rejected
        if obstacle is not None:
            message = f"{message}, with its last configuration; {obstacle.message}"
            progressing = _is_progressing(obstacle.reason, resolution)
        elif runtime.pods < service.spec.replicas and not runtime.rejected:
            message = f"{message}, with {runtime.pods} of {service.spec.replicas} pods"
            progressing = True
        return RollUp(ServiceState.RUNNING, RUNNING, message), progressing
    if finding.reason in (NAME_TAKEN, NAME_IMPOSSIBLE) or (runtime.denied and not served):
        return RollUp(ServiceState.FAILED, finding.reason, finding.message), False
    stopped = finding.reason == RUNTIME_STOPPED
    if served and not stopped:
        return RollUp(ServiceState.DEGRADED, finding.reason, finding.message), False
    progressing = _is_progressing(finding.reason, resolution)
    return RollUp(ServiceState.STARTING, finding.reason, finding.message), progressing


def _is_progressing(reason: str, resolution: Resolution) -> bool:
    """Whether what is missing is expected without intervention."""
    template = resolution.template
    stuck = template is not None and template.view.status.status in _STUCK
    return reason not in _NEEDS_INTERVENTION and not (stuck and reason == TEMPLATE_NOT_READY)


def _fields(
    service: ServiceObservation, resolution: Resolution, roll_up: RollUp[ServiceState], *, serves: bool
) -> Mapping[str, Any]:
    fields: dict[str, Any] = {
        "status": str(roll_up.state),
        "observedGeneration": service.obj.meta.generation,
    }
    for name, found in (
        ("resolvedImage", service.model),
        ("resolvedRuntimeConfig", service.runtime_config),
    ):
        if isinstance(found, Resolved) and found.reference is not None:
            fields[name] = found.reference.to_json()
    template = resolution.template
    if template is None and (serves or roll_up.state is not ServiceState.FAILED):
        template = service.current  # of the last configuration; it is used again when it matches again
    if template is not None:
        fields["resolvedTemplate"] = Reference.of(template).to_json()
    if matching := resolution.choice.matching():
        fields["templateMatching"] = matching
    return fields


def _runtime_fields(seen: DeploymentObservation, runtime: Runtime) -> Mapping[str, Any]:
    """Where the service serves, and what its subresource ``scale`` reports.

    The selector is there from the beginning and 0 replicas are omitted, so that a new service needs no further write.
    """
    found = seen.inference_service if runtime.exists else None
    name, url = seen.runtime_name, url_of(found)
    return {
        **({"selector": f"{POD_LABEL}={name}"} if name else {}),
        **({"replicas": runtime.pods} if runtime.pods else {}),
        **({"url": url} if url else {}),
    }


def _events(
    service: ServiceObservation, resolution: Resolution, roll_up: RollUp[ServiceState]
) -> Iterator[PlannedEvent]:
    before, template = service.status, resolution.template
    known = before.resolved_template
    if template is not None and (known is None or known.uid != template.meta.uid):
        yield PlannedEvent("Normal", TEMPLATE_SELECTED, conditions.abridge(resolution.message))
    ready = find_condition(before.conditions, READY)
    blocked = roll_up.reason in NEEDS_ACTION and (ready is None or ready.reason != roll_up.reason)
    if before.status != roll_up.state or blocked:
        text = conditions.abridge(f"{roll_up.reason}: {roll_up.message}")
        warning = event_type(roll_up.reason, failed=roll_up.state in _WARNING_STATES)
        yield PlannedEvent(warning, str(roll_up.state), text)
