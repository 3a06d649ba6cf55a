"""What caching reports about a namespaced template: the condition ``CacheWarm``, and the template cache it needs.

Contract:
    * :func:`decide_warming` is pure and total. It owns the condition ``CacheWarm`` and nothing else. Without
      ``caching.enabled`` the condition is absent.
    * ``CacheWarm`` is True only if the template cache has all sources that the template's status lists now: a cache
      with older sources does not count.
    * The template cache has the template's name. The operator creates it, with the template as its owner, or a user
      has created it; that one is used as it is. :mod:`aimctl.domain.caching.template_cache_decision` updates and
      deletes template caches.
    * Progress is reported in steps of ten percent, so the number of writes is bounded.

Reasons: ``WarmRequested`` (no sources, no cache, or no download has started), ``Warming``, ``Warm``, ``WarmFailed``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from aimctl.api.kinds import TEMPLATE_CACHES
from aimctl.api.v1alpha1 import CacheState
from aimctl.domain.caching.template_cache import (
    sources_of,
    state_of,
    template_cache_manifest,
)
from aimctl.domain.conditions import Finding, conditions_of
from aimctl.domain.labels import propagated
from aimctl.domain.naming import being_deleted
from aimctl.domain.plan import Create, Plan, WriteStatus
from aimctl.domain.resolution import Resolved
from aimctl.domain.status_slice import StatusSlice
from aimctl.domain.templates.decision import CACHE_WARM, WARM_FAILED, WARM_REQUESTED
from aimctl.domain.templates.template import wants_caching
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aimctl.api.v1alpha1 import AIMServiceTemplate, AIMTemplateCache, RuntimeConfigSpec
    from aimctl.domain.resolution import Missing
    from aimctl.kubetypes import Object

__all__ = ["WARM", "WARMING", "WARM_REASONS", "WarmingObservation", "decide_warming"]

WARM, WARMING = "Warm", "Warming"
WARM_REASONS: Mapping[CacheState, str] = {
    CacheState.PENDING: WARM_REQUESTED,
    CacheState.PROGRESSING: WARMING,
    CacheState.AVAILABLE: WARM,
    CacheState.FAILED: WARM_FAILED,
}
"""The reason of ``CacheWarm`` for each state of a template cache."""

_OWNED_CONDITIONS = frozenset({CACHE_WARM})
_STEP = 10
"""Percentage points between two messages about progress."""


@final
@dataclass(frozen=True, slots=True)
class WarmingObservation:
    """What is known about the caching of one namespaced template.

    Attributes:
        template: the template.
        runtime_config: of the template.
        cache: the template cache of its name.
        now: the time, aware.
        rejection: why the API server rejected the creation of the template cache; empty if it did not.
    """

    template: Object[AIMServiceTemplate]
    runtime_config: Resolved[RuntimeConfigSpec] | Missing
    cache: Object[AIMTemplateCache] | None
    now: datetime
    rejection: str = ""


def decide_warming(seen: WarmingObservation) -> Plan:
    """Decide about one template."""
    if seen.template.meta.deleting:
        return Plan()
    if not wants_caching(seen.template):
        return Plan((WriteStatus(StatusSlice({}, (), frozenset(), _OWNED_CONDITIONS)),))
    if seen.cache is None:
        return Plan((_create(seen), _status(seen, _missing(seen))))
    return Plan((_status(seen, _judge(seen, seen.cache)),))


def _create(seen: WarmingObservation) -> Create:
    template, config = seen.template, seen.runtime_config
    labels = propagated(template.meta.labels, config.spec) if isinstance(config, Resolved) else {}
    return Create(TEMPLATE_CACHES, template_cache_manifest(template, template.meta.namespace, labels=labels))


def _missing(seen: WarmingObservation) -> Finding:
    name = f"AIMTemplateCache {seen.template.meta.name!r}"
    if seen.rejection:
        return Finding(False, WARM_FAILED, f"the API server rejected {name}: {seen.rejection}")
    return Finding(False, WARM_REQUESTED, f"{name} is being created")


def _judge(seen: WarmingObservation, cache: Object[AIMTemplateCache]) -> Finding:
    """What the template cache means for the template."""
    name, other = f"AIMTemplateCache {cache.meta.name!r}", cache.view.spec.template_ref
    if other != seen.template.meta.name:
        text = (
            f"{name} exists already, for template {other!r}: delete it to have one created for this template"
        )
        return Finding(False, WARM_FAILED, text)
    if cache.meta.deleting:
        return Finding(
            False, WARM_REQUESTED, f"{name} {being_deleted(cache.meta)}; a new one will be created"
        )
    sources, status = sources_of(seen.template), cache.view.status
    if not sources:
        return Finding(False, WARM_REQUESTED, f"{name} waits for the model sources")
    resolved, listed = status.resolved_template, {item.source for item in status.models}
    if resolved is None or resolved.uid != seen.template.meta.uid or not sources.keys() <= listed:
        return Finding(False, WARM_REQUESTED, f"{name} has not processed the model sources yet")
    return _reported(cache, name)


def _reported(cache: Object[AIMTemplateCache], name: str) -> Finding:
    """What the status of a template cache with all sources reports."""
    status, state = cache.view.status, state_of(cache)
    if state is CacheState.PROGRESSING:
        percent = status.progress.percent if status.progress is not None else 0
        return Finding(False, WARMING, f"{name}: at least {percent - percent % _STEP} % is downloaded")
    ready = find_condition(status.conditions, "Ready")
    message = f"{name}: {ready.message}" if ready is not None else name
    return Finding(state is CacheState.AVAILABLE, WARM_REASONS[state], message)


def _status(seen: WarmingObservation, finding: Finding) -> WriteStatus:
    template = seen.template
    built = conditions_of(
        {CACHE_WARM: finding},
        template.view.status.conditions,
        generation=template.meta.generation,
        now=seen.now,
    )
    return WriteStatus(StatusSlice({}, built, frozenset(), _OWNED_CONDITIONS))
