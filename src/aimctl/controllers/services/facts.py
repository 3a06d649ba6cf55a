"""What of a template and of a template cache concerns services, for the predicates of their watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api.v1alpha1 import CacheState, TemplateState
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from aimctl.api.v1alpha1 import AIMTemplateCache
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object

__all__ = ["cache_facts", "template_facts"]


def template_facts(template: Template) -> Any:
    """Everything except progress. A new image is deployed even if its profile is the same."""
    meta, view = template.meta, template.view_or_none
    metadata = (meta.generation, meta.deleting, frozenset(meta.labels.items()), meta.owners)
    if view is None:
        return metadata
    status = view.status
    ready = find_condition(status.conditions, "Ready")
    text = "" if ready is None or status.status == TemplateState.PROGRESSING else ready.message
    return (
        metadata,
        status.status,
        None if ready is None else (ready.status, ready.reason, text),
        status.model_sources,
        status.profile,
        None
        if status.discovery is None or status.discovery.result is None
        else status.discovery.result.image,
    )


def cache_facts(cache: Object[AIMTemplateCache]) -> Any:
    """The state, the volumes, and why the cache is Failed."""
    meta, view = cache.meta, cache.view_or_none
    if view is None:
        return meta.generation, meta.deleting
    status = view.status
    ready = find_condition(status.conditions, "Ready")
    text = ready.message if ready is not None and status.status == CacheState.FAILED else ""
    volumes = tuple((model.status, model.persistent_volume_claim) for model in status.models)
    return meta.generation, meta.deleting, status.status, text, volumes
