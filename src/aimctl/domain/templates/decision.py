"""What the template reconciler says about one template: its state, and why.

Contract:
    * :func:`decide_template` is pure and total: every observation has a decision.
    * It owns ``status``, ``observedGeneration``, ``resolvedImage``, ``resolvedRuntimeConfig`` and the
      conditions ``Ready``, ``Progressing`` and ``Failure``. It reads, and never writes, what discovery
      (``modelSources``, ``discovery``, ``Discovered``) and caching (``CacheWarm``) own. What discovery says
      changes it nearly always: the two are a :data:`FAMILY`, written in one request.
    * Deciding again on the status it asked for changes nothing and records no event.
    * Events come at each change of state; their reason is the new state, their message says why.

The state, the first that applies:
    ============  ==================================================================
    Pending       model or runtime config missing (Degraded if it was ready once)
    NotAvailable  no node offers the GPU
    Failed        discovery of this input failed (Degraded if an older result serves)
    Pending       no result yet: discovery waits for a slot, or its Job to start
    Progressing   no result yet: the Job runs; or the cache warms
    Degraded      the cache could not be filled
    Ready         there is a result, and the cache is warm where that was asked for
    ============  ==================================================================
While a changed input is discovered anew, the state stays what the old result makes it, and ``Progressing``
is True.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import AIMServiceTemplate, TemplateState
from aimctl.domain import conditions
from aimctl.domain.events import EventWish
from aimctl.domain.resolution import Resolved
from aimctl.domain.status_slice import StatusFamily, StatusSlice
from aimctl.domain.templates.discovery_decision import (
    AWAITING_DISCOVERY,
    DISCOVERED,
    DISCOVERY_FAILED,
    DISCOVERY_RUNNING,
    PROFILES_DISCOVERED,
)
from aimctl.domain.templates.discovery_decision import OWNED_CONDITIONS as DISCOVERY_CONDITIONS
from aimctl.domain.templates.discovery_decision import OWNED_FIELDS as DISCOVERY_FIELDS
from aimctl.domain.templates.observation import Blocked, TemplateObservation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.api.v1alpha1 import Condition

__all__ = [
    "CACHE_WARM",
    "FAMILY",
    "OWNED_CONDITIONS",
    "OWNED_FIELDS",
    "RollUp",
    "TemplateDecision",
    "decide_template",
    "roll_up",
]

READY, PROGRESSING, FAILURE = "Ready", "Progressing", "Failure"
CACHE_WARM = "CacheWarm"
"""Condition that caching owns; reasons WarmRequested, Warming, Warm, WarmFailed."""

OWNED_FIELDS = frozenset({"status", "observedGeneration", "resolvedImage", "resolvedRuntimeConfig"})
OWNED_CONDITIONS = frozenset({READY, PROGRESSING, FAILURE})
FAMILY = StatusFamily(OWNED_FIELDS | DISCOVERY_FIELDS, OWNED_CONDITIONS | DISCOVERY_CONDITIONS)
"""What this decision and discovery's own together."""

WARM_REQUESTED, WARMING, WARM_FAILED = "WarmRequested", "Warming", "WarmFailed"
_WARNING_STATES = frozenset({TemplateState.FAILED, TemplateState.DEGRADED, TemplateState.NOT_AVAILABLE})


@final
@dataclass(frozen=True, slots=True)
class RollUp:
    """The state of a template in one word, the reason of ``Ready``, and a sentence."""

    state: TemplateState
    reason: str
    message: str
    failure: bool = False
    rediscovering: bool = False

    @property
    def ready(self) -> bool:
        """Whether services may use it."""
        return self.state is TemplateState.READY

    @property
    def progressing(self) -> bool:
        """Whether the operator is at work on it."""
        return self.state is TemplateState.PROGRESSING or self.rediscovering


@final
@dataclass(frozen=True, slots=True)
class TemplateDecision:
    """What should be true. ``status`` is None for a template that is being deleted."""

    status: StatusSlice | None
    events: tuple[EventWish, ...] = ()


def decide_template(seen: TemplateObservation) -> TemplateDecision:
    """Decide about one template; Jobs are not looked at."""
    if seen.template.deleting:
        return TemplateDecision(None)
    rolled = roll_up(seen)
    fields: dict[str, Any] = {
        "status": str(rolled.state),
        "observedGeneration": seen.template.generation,
    }
    for name, found in (("resolvedImage", seen.model), ("resolvedRuntimeConfig", seen.runtime_config)):
        if isinstance(found, Resolved) and found.reference is not None:
            fields[name] = found.reference.to_json()
    status = StatusSlice(fields, _conditions(seen, rolled), OWNED_FIELDS, OWNED_CONDITIONS)
    return TemplateDecision(status, tuple(_events(seen, rolled)))


def roll_up(seen: TemplateObservation) -> RollUp:
    """The state of the template; see the module for the order."""
    input_ = seen.discovery_input()
    if isinstance(input_, Blocked):
        state = TemplateState.DEGRADED if seen.has_result() else TemplateState.PENDING
        return RollUp(state, input_.reason, input_.message)
    missing = seen.missing_gpu()
    if missing is not None:
        return RollUp(TemplateState.NOT_AVAILABLE, missing.reason, missing.message)
    discovered = conditions.find(seen.view.status.conditions, DISCOVERED)
    if seen.view.spec.model_sources:
        return _static(seen, discovered)
    if seen.answered(input_.hash):
        return _cached(seen, rediscovering=False)
    return _unanswered(seen, input_.hash, discovered)


def _static(seen: TemplateObservation, discovered: Condition | None) -> RollUp:
    """The state of a template whose spec gives the sources."""
    if discovered is not None and discovered.reason == DISCOVERY_FAILED:
        return _failed(discovered.message, once=seen.has_result())
    if seen.has_result():
        return _cached(seen, rediscovering=False)
    return RollUp(TemplateState.PENDING, AWAITING_DISCOVERY, "the sources of the spec are being copied")


def _unanswered(seen: TemplateObservation, input_hash: str, discovered: Condition | None) -> RollUp:
    """The state of a template whose input discovery has not answered, or answered with a failure."""
    failure, once = seen.last_failure(), seen.has_result()
    if failure is not None and (once or failure.input_hash == input_hash):
        return _failed(failure.message, once=once, rediscovering=failure.input_hash != input_hash)
    if once:
        return _cached(seen, rediscovering=True)
    if discovered is not None and discovered.reason == DISCOVERY_RUNNING:
        return RollUp(TemplateState.PROGRESSING, DISCOVERY_RUNNING, discovered.message)
    awaited = discovered is not None and discovered.reason == AWAITING_DISCOVERY
    message = discovered.message if awaited and discovered is not None else "discovery has not started yet"
    return RollUp(TemplateState.PENDING, AWAITING_DISCOVERY, message)


def _failed(message: str, *, once: bool, rediscovering: bool = False) -> RollUp:
    state = TemplateState.DEGRADED if once else TemplateState.FAILED
    return RollUp(state, DISCOVERY_FAILED, message, failure=not rediscovering, rediscovering=rediscovering)


def _cached(seen: TemplateObservation, *, rediscovering: bool) -> RollUp:
    """The state of a template that has sources."""
    view = seen.view
    if not (
        isinstance(view, AIMServiceTemplate) and view.spec.caching is not None and view.spec.caching.enabled
    ):
        count = len(view.status.model_sources)
        message = f"{count} model source{'' if count == 1 else 's'} known"
        return RollUp(TemplateState.READY, PROFILES_DISCOVERED, message, rediscovering=rediscovering)
    warm = conditions.find(view.status.conditions, CACHE_WARM)
    if warm is None:
        return RollUp(
            TemplateState.PROGRESSING,
            WARM_REQUESTED,
            "caching is enabled and has not started",
            rediscovering=rediscovering,
        )
    if warm.status == "True":
        return RollUp(TemplateState.READY, warm.reason or "Warm", warm.message, rediscovering=rediscovering)
    state = TemplateState.DEGRADED if warm.reason == WARM_FAILED else TemplateState.PROGRESSING
    # How far it is changes again and again: said in one place, it costs one write.
    message = (
        "the cache is being filled, see the condition CacheWarm" if warm.reason == WARMING else warm.message
    )
    return RollUp(state, warm.reason or WARM_REQUESTED, message, rediscovering=rediscovering)


def _conditions(seen: TemplateObservation, rolled: RollUp) -> tuple[dict[str, Any], ...]:
    def build(type_: str, *, true: bool, reason: str, message: str) -> dict[str, Any]:
        return conditions.condition(
            seen.view.status.conditions,
            type_,
            "True" if true else "False",
            reason,
            message,
            generation=seen.template.generation,
            now=seen.timestamp,
        )

    failure = (DISCOVERY_FAILED, rolled.message) if rolled.failure else ("NoFailure", "nothing has failed")
    progressing = (
        ("Rediscovering", "discovery of the changed input is under way")
        if rolled.rediscovering
        else (
            rolled.reason,
            rolled.message,
        )
    )
    return (
        build(READY, true=rolled.ready, reason=rolled.reason, message=rolled.message),
        build(PROGRESSING, true=rolled.progressing, reason=progressing[0], message=progressing[1]),
        build(FAILURE, true=rolled.failure, reason=failure[0], message=failure[1]),
    )


def _events(seen: TemplateObservation, rolled: RollUp) -> Iterable[EventWish]:
    before = seen.view.status
    if before.status != rolled.state:
        yield EventWish(
            "Warning" if rolled.state in _WARNING_STATES else "Normal",
            str(rolled.state),
            conditions.clip(f"{rolled.reason}: {rolled.message}", 1024),
        )
    absent = isinstance(seen.runtime_config, Resolved) and seen.runtime_config.reference is None
    if absent and (before.resolved_runtime_config is not None or not before.status):
        yield EventWish(
            "Normal",
            "DefaultRuntimeConfigNotFound",
            "no runtime config named default; built-in defaults are used",
        )
