"""What the services reconciler says about one service, and what it has to make: its state, and why.

Contract:
    * :func:`decide_service` is pure and total: every observation has a decision.
    * It owns ``status``, ``observedGeneration``, the three resolved references, ``templateMatching`` and the conditions
      ``Resolved``, ``CacheReady``, ``RuntimeReady``, ``Ready``, ``Progressing`` and ``Failure``. It reads, and never
      writes, what derivation owns (``Derived``).
    * What is wished for is the same for the same observation, and nothing when it is there already.
    * Deciding again on the status it asked for changes nothing and records no event.

The state, the first that applies:
    ========  ========================================================================
    Degraded  what was Running has lost its template, its model or its readiness
    Pending   model, runtime config or named template missing
    Failed    no template fits, or several do; somebody else has the runtime's name
    Starting  template, cache or runtime are on their way; or nothing is to serve (``replicas: 0``)
    Running   the runtime is ready
    ========  ========================================================================
A runtime that serves goes on as it was last set up while template or cache are not Ready: only what is ready is
deployed, and nothing that serves is taken away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import ServiceState, TemplateState
from aimctl.domain import conditions
from aimctl.domain.caching.template_cache import template_cache_manifest
from aimctl.domain.events import EventWish
from aimctl.domain.labels import propagated
from aimctl.domain.naming import describe
from aimctl.domain.resolution import Reference, Resolved
from aimctl.domain.services.cache import CACHE_NAME_TAKEN, CACHE_REFUSED, look_at_cache
from aimctl.domain.services.candidates import why_not_ready
from aimctl.domain.services.derivation_decision import DERIVATION_REFUSED, DERIVED_NAME_TAKEN
from aimctl.domain.services.resolution import MODEL_REQUESTED, wished_model
from aimctl.domain.services.runtime_view import (
    NAME_TAKEN,
    RUNTIME_NOT_INSTALLED,
    RUNTIME_REFUSED,
    RUNTIME_STOPPED,
    RuntimeView,
    look_at_runtime,
)
from aimctl.domain.services.selection import TEMPLATE_NOT_READY
from aimctl.domain.status_slice import StatusSlice
from aimctl.domain.templates.observation import Blocked
from aimctl.domain.templates.template import discovered_image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.domain.services.cache import CacheView
    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.services.resolution import InUse

__all__ = [
    "OWNED_CONDITIONS",
    "OWNED_FIELDS",
    "ServiceDecision",
    "decide_service",
]

RESOLVED, CACHE_READY, RUNTIME_READY = "Resolved", "CacheReady", "RuntimeReady"
READY, PROGRESSING, FAILURE = "Ready", "Progressing", "Failure"

OWNED_FIELDS = frozenset(
    {
        "status",
        "observedGeneration",
        "resolvedRuntimeConfig",
        "resolvedImage",
        "resolvedTemplate",
        "templateMatching",
    }
)
OWNED_CONDITIONS = frozenset({RESOLVED, CACHE_READY, RUNTIME_READY, READY, PROGRESSING, FAILURE})

RUNNING = "Running"
TEMPLATE_SELECTED = "TemplateSelected"
_WARNING_STATES = frozenset({ServiceState.FAILED, ServiceState.DEGRADED})
_WAITS_FOR_PEOPLE = frozenset(
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
_STUCK = frozenset({TemplateState.FAILED, TemplateState.DEGRADED, TemplateState.NOT_AVAILABLE})
_SERVED = frozenset({ServiceState.RUNNING, ServiceState.DEGRADED})


@final
@dataclass(frozen=True, slots=True)
class ServiceDecision:
    """What should be true. ``status`` is None for a service that is being deleted.

    Attributes:
        create_model: the model of the image that the service names.
        create_cache: the template cache it wishes for.
        deploy: the runtime as it should be; None while it is so, or must not be touched.
        asks_for_runtime: only KServe is missing, and nothing will tell when it comes.
        awaits: UIDs of templates that are, or were for long enough, waited for.
    """

    status: StatusSlice | None
    events: tuple[EventWish, ...] = ()
    create_model: dict[str, Any] | None = None
    create_cache: dict[str, Any] | None = None
    deploy: dict[str, Any] | None = None
    asks_for_runtime: bool = False
    awaits: tuple[str, ...] = ()

    @property
    def wish(self) -> dict[str, Any] | None:
        """The one thing to make now."""
        return self.create_model or self.create_cache or self.deploy


@final
@dataclass(frozen=True, slots=True)
class _Verdict:
    """The state of the service in one word, the reason of ``Ready``, and a sentence."""

    state: ServiceState
    reason: str
    message: str
    progressing: bool = False


def decide_service(seen: ServiceObservation, in_use: InUse) -> ServiceDecision:
    """Decide about one service.

    Args:
        seen: with the template cache of the template in use.
        in_use: from :func:`~aimctl.domain.services.resolution.resolve_template`.
    """
    if seen.service.deleting:
        return ServiceDecision(None)
    cache = look_at_cache(seen, in_use.template)
    not_deployable = _why_not_deployable(seen, in_use, cache)
    runtime = look_at_runtime(seen, None if not_deployable else in_use.template, not_deployable)
    verdict = _judge(seen, in_use, runtime, not_deployable)
    create_cache = None
    config = seen.runtime_config
    if cache is not None and cache.create and in_use.template is not None and isinstance(config, Resolved):
        create_cache = template_cache_manifest(
            in_use.template,
            seen.service.namespace,
            service=seen.view.spec,
            labels=propagated(in_use.template.meta.labels, config.spec),
        )
    status = StatusSlice(
        _fields(seen, in_use, verdict, serves=runtime.ours),
        _conditions(seen, in_use, cache, runtime, verdict),
        OWNED_FIELDS,
        OWNED_CONDITIONS,
    )
    return ServiceDecision(
        status,
        tuple(_events(seen, in_use, verdict)),
        create_model=wished_model(seen),
        create_cache=create_cache,
        deploy=runtime.deploy,
        asks_for_runtime=runtime.reason == RUNTIME_NOT_INSTALLED,
        awaits=in_use.choice.awaits,
    )


# ---- the state


def _why_not_deployable(seen: ServiceObservation, in_use: InUse, cache: CacheView | None) -> Blocked | None:
    template = in_use.template
    if template is None:
        return Blocked(in_use.reason, in_use.message)
    not_ready = why_not_ready(template)
    if not_ready:
        return Blocked(TEMPLATE_NOT_READY, f"{describe(template)} is not Ready: {not_ready}")
    asked = discovered_image(template)
    if asked and isinstance(seen.model, Resolved) and seen.model.spec.image != asked:
        # A profile is of its image, and what the model says besides (credentials, environment) is of its new one.
        message = f"discovery for {describe(template)} has yet to look at the model's image {seen.model.spec.image!r}"
        return Blocked(TEMPLATE_NOT_READY, f"{message}; what it has found is of {asked!r}")
    if cache is not None and not cache.available:
        return Blocked(cache.reason, cache.message)
    return None


def _judge(
    seen: ServiceObservation, in_use: InUse, runtime: RuntimeView, blocked: Blocked | None
) -> _Verdict:
    was = seen.view.status.status in _SERVED
    if in_use.template is None and in_use.state is not ServiceState.STARTING:
        if was and runtime.ours:
            message = f"{in_use.message}; the runtime goes on as it was last set up"
            return _Verdict(ServiceState.DEGRADED, in_use.reason, message)
        progressing = in_use.reason == MODEL_REQUESTED
        return _Verdict(in_use.state or ServiceState.PENDING, in_use.reason, in_use.message, progressing)
    if runtime.ready:
        message, progressing = runtime.message, runtime.deploy is not None and not runtime.refused
        if blocked is not None:
            message = f"{message}, as it was last set up; {blocked.message}"
            progressing = _under_way(blocked.reason, in_use)
        return _Verdict(ServiceState.RUNNING, RUNNING, message, progressing)
    if runtime.reason == NAME_TAKEN:
        return _Verdict(ServiceState.FAILED, runtime.reason, runtime.message)
    wished = runtime.reason == RUNTIME_STOPPED
    state = ServiceState.DEGRADED if was and not wished else ServiceState.STARTING
    progressing = state is ServiceState.STARTING and _under_way(runtime.reason, in_use)
    return _Verdict(state, runtime.reason, runtime.message, progressing)


def _under_way(reason: str, in_use: InUse) -> bool:
    """Whether somebody is at work on what is waited for, and no person is asked."""
    template = in_use.template
    stuck = template is not None and template.view.status.status in _STUCK
    return reason not in _WAITS_FOR_PEOPLE and not (stuck and reason == TEMPLATE_NOT_READY)


def _fields(seen: ServiceObservation, in_use: InUse, verdict: _Verdict, *, serves: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "status": str(verdict.state),
        "observedGeneration": seen.service.generation,
    }
    for name, found in (("resolvedImage", seen.model), ("resolvedRuntimeConfig", seen.runtime_config)):
        if isinstance(found, Resolved) and found.reference is not None:
            fields[name] = found.reference.to_json()
    template = in_use.template
    if template is None and (serves or verdict.state is not ServiceState.FAILED):
        template = seen.current  # what the runtime was last set up with, and what is kept if it fits again
    if template is not None:
        fields["resolvedTemplate"] = Reference.of(template).to_json()
    if matching := in_use.choice.matching():
        fields["templateMatching"] = matching
    return fields


def _conditions(
    seen: ServiceObservation, in_use: InUse, cache: CacheView | None, runtime: RuntimeView, verdict: _Verdict
) -> tuple[dict[str, Any], ...]:
    def build(type_: str, true: object, reason: str, message: str) -> dict[str, Any]:
        return conditions.condition(
            seen.view.status.conditions,
            type_,
            "True" if true else "False",
            reason,
            message,
            generation=seen.service.generation,
            now=seen.timestamp,
        )

    failed = verdict.state is ServiceState.FAILED or in_use.state is ServiceState.FAILED
    failure = (verdict.reason, verdict.message) if failed else ("NoFailure", "nothing has failed")
    return (
        build(RESOLVED, in_use.template is not None, in_use.reason, in_use.message),
        *([build(CACHE_READY, cache.available, cache.reason, cache.message)] if cache is not None else ()),
        build(RUNTIME_READY, runtime.ready, runtime.reason, runtime.message),
        build(READY, verdict.state is ServiceState.RUNNING, verdict.reason, verdict.message),
        build(PROGRESSING, verdict.progressing, verdict.reason, verdict.message),
        build(FAILURE, failed, *failure),
    )


def _events(seen: ServiceObservation, in_use: InUse, verdict: _Verdict) -> Iterable[EventWish]:
    before, template = seen.view.status, in_use.template
    known = before.resolved_template
    if template is not None and (known is None or known.uid != template.meta.uid):
        yield EventWish("Normal", TEMPLATE_SELECTED, conditions.clip(in_use.message, 1024))
    if before.status != verdict.state:
        yield EventWish(
            "Warning" if verdict.state in _WARNING_STATES else "Normal",
            str(verdict.state),
            conditions.clip(f"{verdict.reason}: {verdict.message}", 1024),
        )
