"""What caching says about one namespaced template: the condition ``CacheWarm``, and the template cache it asks for.

Contract:
    * :func:`decide_warming` is pure and total. It owns the condition ``CacheWarm`` and nothing else; without
      ``caching.enabled`` the condition is absent.
    * True only when the template cache has all the sources that the template's status has now: a cache that is warm for
      older sources is not warm.
    * The template cache is the one of the template's name: the template's own (owned by it), which follows its
      edits, or somebody's own, which is used as it is. Who takes it away when nobody wishes it any more:
      :mod:`aimctl.domain.caching.template_cache_decision`.
    * Progress is told in steps of ten percent, and so a bounded number of times.

Reasons: ``WarmRequested`` (no sources, no cache, or no download has begun), ``Warming``, ``Warm``, ``WarmFailed``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import CacheState
from aimctl.domain import conditions
from aimctl.domain.caching.template_cache import (
    spec_changes,
    template_cache_manifest,
    template_cache_spec,
    wants_caching,
)
from aimctl.domain.caching.template_cache_plan import sources_of
from aimctl.domain.conditions import rfc3339
from aimctl.domain.labels import propagated
from aimctl.domain.resolution import Resolved
from aimctl.domain.status_slice import StatusSlice
from aimctl.domain.templates.decision import CACHE_WARM, WARM_FAILED, WARM_REQUESTED

if TYPE_CHECKING:
    from datetime import datetime

    from aimctl.api.v1alpha1 import RuntimeConfigSpec
    from aimctl.domain.caching.template_cache_observation import SeenTemplateCache
    from aimctl.domain.resolution import Missing
    from aimctl.domain.templates.template import Template

__all__ = ["WarmingDecision", "WarmingObservation", "decide_warming"]

_OWNED_CONDITIONS = frozenset({CACHE_WARM})
_STEP = 10


@final
@dataclass(frozen=True, slots=True)
class WarmingObservation:
    """What is known about the caching of one namespaced template.

    Attributes:
        template: itself.
        runtime_config: of the template.
        cache: the template cache of its name.
        refused: why the server did not take the template cache, if it did not.
        now: the time, aware.
    """

    template: Template
    runtime_config: Resolved[RuntimeConfigSpec] | Missing
    cache: SeenTemplateCache | None
    now: datetime
    refused: str = ""


@final
@dataclass(frozen=True, slots=True)
class WarmingDecision:
    """What should be true: first ``create`` and ``patch``, then ``status``, None when nothing may be said.

    Attributes:
        create: the template cache.
        patch: the fields of its spec to set; null takes one away.
    """

    status: StatusSlice | None
    create: dict[str, Any] | None = None
    patch: dict[str, Any] | None = None


def decide_warming(seen: WarmingObservation) -> WarmingDecision:
    """Decide about one template."""
    template = seen.template
    if template.meta.deleting:
        return WarmingDecision(None)
    if not wants_caching(template.view):
        return WarmingDecision(StatusSlice({}, (), frozenset(), _OWNED_CONDITIONS))
    cache = seen.cache
    if cache is None:
        return _without(seen)
    ours = cache.managed and cache.controller == template.meta.uid and not cache.deleting
    patch = spec_changes(template_cache_spec(template), cache.view.spec) if ours else {}
    return WarmingDecision(_slice(seen, *_judge(seen, cache)), patch=patch or None)


def _without(seen: WarmingObservation) -> WarmingDecision:
    """There is no template cache."""
    name = seen.template.meta.name
    config = seen.runtime_config.spec if isinstance(seen.runtime_config, Resolved) else None
    labels = propagated(seen.template.meta.labels, config) if config is not None else {}
    manifest = template_cache_manifest(seen.template, seen.template.meta.namespace, labels=labels)
    if seen.refused:
        text = f"the API server refused AIMTemplateCache {name!r}: {seen.refused}"
        return WarmingDecision(_slice(seen, "False", WARM_FAILED, text), create=manifest)
    text = f"AIMTemplateCache {name!r} is being made"
    return WarmingDecision(_slice(seen, "False", WARM_REQUESTED, text), create=manifest)


def _judge(seen: WarmingObservation, cache: SeenTemplateCache) -> tuple[conditions.Status, str, str]:
    """What the cache means for the template: status, reason and message of ``CacheWarm``."""
    sources, status = sources_of(seen.template.view), cache.view.status
    name, of = f"AIMTemplateCache {cache.name!r}", status.resolved_template
    other = cache.view.spec.template_ref
    if other != seen.template.meta.name:
        text = (
            f"{name} is there already, for template {other!r}: delete it, and one for this template is made"
        )
        return "False", WARM_FAILED, text
    if not sources or cache.deleting:
        waits = "is being deleted; another one follows" if cache.deleting else "waits for the model sources"
        return "False", WARM_REQUESTED, f"{name} {waits}"
    if (
        of is None
        or of.uid != seen.template.meta.uid
        or not sources.keys() <= {item.source for item in status.models}
    ):
        return "False", WARM_REQUESTED, f"{name} does not know the model sources yet"
    ready = conditions.find(status.conditions, "Ready")
    says = f"{name}: {ready.message}" if ready is not None else name
    if status.status == CacheState.PROGRESSING:
        percent = status.progress.percent if status.progress is not None else 0
        return "False", "Warming", f"{name}: at least {percent - percent % _STEP} % is downloaded"
    if cache.available:
        return "True", "Warm", says
    return "False", WARM_FAILED if status.status == CacheState.FAILED else WARM_REQUESTED, says


def _slice(seen: WarmingObservation, status: conditions.Status, reason: str, message: str) -> StatusSlice:
    condition = conditions.condition(
        seen.template.view.status.conditions,
        CACHE_WARM,
        status,
        reason,
        message,
        generation=seen.template.meta.generation,
        now=rfc3339(seen.now),
    )
    return StatusSlice({}, (condition,), frozenset(), _OWNED_CONDITIONS)
