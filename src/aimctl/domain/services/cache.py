"""What a service says of the template cache it needs, and whether it has to make one.

Contract: caching is in play for a service that asks for it (``cacheModel``) and for a template that caches by itself.
Only for the first the service makes the AIMTemplateCache, and only if there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from aimctl.api.v1alpha1 import AIMServiceTemplate, CacheState
from aimctl.domain import conditions
from aimctl.domain.naming import describe

if TYPE_CHECKING:
    from aimctl.api.v1alpha1 import AIMTemplateCache
    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object

__all__ = ["CACHE_NAME_TAKEN", "CACHE_REFUSED", "CacheView", "look_at_cache"]

CACHE_AVAILABLE, CACHE_REQUESTED, CACHE_NOT_READY = "CacheAvailable", "CacheRequested", "CacheNotReady"
CACHE_FAILED, CACHE_REFUSED, CACHE_NAME_TAKEN = "CacheFailed", "CacheRefused", "CacheNameTaken"


@final
@dataclass(frozen=True, slots=True)
class CacheView:
    """The condition ``CacheReady``; ``create`` when there is no cache and the service wishes for it."""

    reason: str
    message: str
    create: bool = False

    @property
    def available(self) -> bool:
        """Whether the model is on its volumes."""
        return self.reason == CACHE_AVAILABLE


def look_at_cache(seen: ServiceObservation, template: Template | None) -> CacheView | None:
    """The cache of the template in use; None where caching is not in play."""
    if template is None:
        return None
    view, wished = template.view, seen.view.spec.cache_model
    caching = view.spec.caching if isinstance(view, AIMServiceTemplate) else None
    if not wished and not (caching is not None and caching.enabled):
        return None
    if seen.template_cache is not None:
        reason, message = _say(seen.template_cache, template)
        return CacheView(reason, message)
    refused = seen.refused
    if refused is not None and refused.kind == "AIMTemplateCache":
        message = f"the API server refused AIMTemplateCache {template.meta.name!r}: {refused.message}"
        return CacheView(CACHE_REFUSED, message, create=wished)
    if template.meta.deleting:  # what it owned would go at once
        return CacheView(
            CACHE_REQUESTED,
            f"AIMTemplateCache {template.meta.name!r} is not made: {describe(template)} is being deleted",
        )
    return CacheView(
        CACHE_REQUESTED, f"AIMTemplateCache {template.meta.name!r} is being created", create=wished
    )


def _say(found: Object[AIMTemplateCache], template: Template) -> tuple[str, str]:
    """Reason and message. How far it is stands in its own status: here it would be written again and again."""
    name, of, status = (
        f"AIMTemplateCache {found.meta.name!r}",
        found.view.spec.template_ref,
        found.view.status,
    )
    if of != found.meta.name:
        return (
            CACHE_NAME_TAKEN,
            f"{name} is there already, for another template ({of!r}): delete it, and one for this template is made",
        )
    if found.meta.deleting:
        return CACHE_NOT_READY, f"{name} is being deleted"
    held = {model.source for model in status.models}
    lacks = sorted({model.source for model in template.view.status.model_sources} - held)
    if status.status == CacheState.AVAILABLE and lacks:
        # It is found by name: that may have been another template's, or this one's with other sources.
        return CACHE_NOT_READY, f"{name} does not hold {lacks[0]!r} of {describe(template)} yet"
    if status.status == CacheState.AVAILABLE:
        return CACHE_AVAILABLE, f"{name} is Available"
    if status.status == CacheState.FAILED:
        ready = conditions.find(status.conditions, "Ready")
        return CACHE_FAILED, f"{name} is Failed: {ready.message if ready is not None else 'see its status'}"
    return CACHE_NOT_READY, f"{name} is {status.status or CacheState.PENDING}"
