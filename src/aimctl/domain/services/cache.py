"""The template cache of a service: what the service reports about it, and whether the service has to create it.

Contract: a service needs a cache if it requests one (``cacheModel``) or if its template enables caching. Only in the
first case the service creates the AIMTemplateCache, and only if there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api import kinds
from aimctl.api.v1alpha1 import CacheState
from aimctl.domain.caching.template_cache import template_cache_manifest
from aimctl.domain.conditions import Finding
from aimctl.domain.labels import propagated
from aimctl.domain.naming import being_deleted, describe
from aimctl.domain.plan import Create
from aimctl.domain.resolution import Resolved
from aimctl.domain.templates.template import wants_caching
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.api.v1alpha1 import AIMTemplateCache
    from aimctl.domain.services.observation import DeploymentObservation
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object

__all__ = ["CACHE_NAME_TAKEN", "CACHE_REFUSED", "cache_finding", "cache_to_create"]

CACHE_AVAILABLE, CACHE_REQUESTED, CACHE_NOT_READY = "CacheAvailable", "CacheRequested", "CacheNotReady"
CACHE_FAILED, CACHE_REFUSED, CACHE_NAME_TAKEN = "CacheFailed", "CacheRefused", "CacheNameTaken"


def cache_finding(seen: DeploymentObservation) -> Finding | None:
    """The condition ``CacheReady`` of a service; None if it needs no cache."""
    template = seen.resolution.template
    if template is None or not (seen.service.spec.cache_model or wants_caching(template)):
        return None
    if seen.template_cache is not None:
        return _finding(seen.template_cache, template)
    name = template.meta.name
    rejection = seen.service.known.rejection(kinds.TEMPLATE_CACHES, seen.service.namespace, name)
    if rejection is not None:
        message = f"the API server rejected AIMTemplateCache {name!r}: {rejection.message}"
        return Finding(False, CACHE_REFUSED, message)
    if template.meta.deleting:
        message = (
            f"AIMTemplateCache {name!r} is not created: {describe(template)} {being_deleted(template.meta)}"
        )
        return Finding(False, CACHE_REQUESTED, message)
    return Finding(False, CACHE_REQUESTED, f"AIMTemplateCache {name!r} is being created")


def cache_to_create(seen: DeploymentObservation) -> Iterator[Create]:
    """The template cache that a service has to create, if any."""
    service, template, config = seen.service, seen.resolution.template, seen.service.runtime_config
    if (
        template is None
        or template.meta.deleting  # it would own the cache, which would be deleted with it
        or seen.template_cache is not None
        or not service.spec.cache_model
        or not isinstance(config, Resolved)
    ):
        return
    labels = propagated(template.meta.labels, config.spec)
    manifest: dict[str, Any] = template_cache_manifest(
        template, service.namespace, service=service.spec, labels=labels
    )
    yield Create(kinds.TEMPLATE_CACHES, manifest)


def _finding(cache: Object[AIMTemplateCache], template: Template) -> Finding:
    """What the cache means for the service. Its progress changes often, and is in its own status only."""
    name, status, of = (
        f"AIMTemplateCache {cache.meta.name!r}",
        cache.view.status,
        cache.view.spec.template_ref,
    )
    if of != cache.meta.name:
        message = f"{name} is of another template ({of!r}): delete it, and one of this template is created"
        return Finding(False, CACHE_NAME_TAKEN, message)
    if cache.meta.deleting:
        return Finding(False, CACHE_NOT_READY, f"{name} {being_deleted(cache.meta)}")
    cached = {model.source for model in status.models}
    missing = sorted({model.source for model in template.view.status.model_sources} - cached)
    if status.status == CacheState.AVAILABLE and missing:
        # It was found by its name. It may be of an earlier template of that name, or of earlier sources.
        return Finding(
            False, CACHE_NOT_READY, f"{name} does not have {missing[0]!r} of {describe(template)} yet"
        )
    if status.status == CacheState.AVAILABLE:
        return Finding(True, CACHE_AVAILABLE, f"{name} is Available")
    if status.status == CacheState.FAILED:
        ready = find_condition(status.conditions, "Ready")
        cause = ready.message if ready is not None else "see its status"
        return Finding(False, CACHE_FAILED, f"{name} is Failed: {cause}")
    return Finding(False, CACHE_NOT_READY, f"{name} is {status.status or CacheState.PENDING}")
