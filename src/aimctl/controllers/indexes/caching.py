"""Indexes over caches, and over the services and pods that use them.

Contract: as in :mod:`aimctl.controllers.indexes.templates`, a value is ``<namespace>/<name>``; with ``*`` as namespace
it finds the objects of all namespaces, for cluster templates and runtime configs. Objects that do not fit their type
are in no index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api.v1alpha1 import CacheState
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.kubetypes import ObjectKey, find_condition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.api.v1alpha1 import AIMModelCache, AIMService, AIMTemplateCache
    from aimctl.kubetypes import Object, Pod
    from aimctl.runtime.cache import IndexFunction

__all__ = [
    "CLAIM_INDEXES",
    "MODEL_CACHE_INDEXES",
    "SERVICE_CACHE_INDEXES",
    "TEMPLATE_CACHE_INDEXES",
    "UNBOUND",
    "available_sources",
    "claims_of",
]

UNBOUND = "unbound"
"""Index value of model caches whose volume is not ready: changes of storage classes concern them."""


def _by_template(cache: Object[AIMTemplateCache]) -> Iterator[str]:
    view = cache.view_or_none
    if view is not None:
        yield place(cache.meta.namespace, view.spec.template_ref)
        yield place(EVERYWHERE, view.spec.template_ref)


def _by_runtime_config(cache: Object[AIMTemplateCache] | Object[AIMModelCache]) -> Iterator[str]:
    view = cache.view_or_none
    if view is not None:
        yield place(cache.meta.namespace, view.spec.runtime_config_name)
        yield place(EVERYWHERE, view.spec.runtime_config_name)


def _by_model_cache(cache: Object[AIMTemplateCache]) -> Iterator[str]:
    """The model caches that its status lists, which are those that it uses."""
    view = cache.view_or_none
    for item in view.status.models if view is not None else ():
        yield place(cache.meta.namespace, item.model_cache)


def _by_listed_source(cache: Object[AIMTemplateCache]) -> Iterator[str]:
    view = cache.view_or_none
    for item in view.status.models if view is not None else ():
        yield place(cache.meta.namespace, item.source)


def _by_source(cache: Object[AIMModelCache]) -> Iterator[str]:
    view = cache.view_or_none
    if view is not None:
        yield place(cache.meta.namespace, view.spec.source_uri)


def _by_volume(cache: Object[AIMModelCache]) -> Iterator[str]:
    view = cache.view_or_none
    if view is not None:
        ready = find_condition(view.status.conditions, "StorageReady")
        if ready is None or ready.status != "True":
            yield UNBOUND


def _by_requested_cache(service: Object[AIMService]) -> Iterator[str]:
    """The template in use, if the service asks for its cache: a managed cache has the name of its template."""
    view = service.view_or_none
    if view is not None and view.spec.cache_model and view.status.resolved_template is not None:
        yield place(service.meta.namespace, view.status.resolved_template.name)


def _by_undecided_cache(service: Object[AIMService]) -> Iterator[str]:
    """The namespace of a service that asks for a cache, and has not reported since its last edit."""
    view, meta = service.view_or_none, service.meta
    if view is None or not view.spec.cache_model or meta.deleting:
        return
    if view.status.observed_generation != meta.generation:
        yield meta.namespace


def claims_of(pod: Object[Pod]) -> Iterator[ObjectKey]:
    """The volume claims that a pod mounts. The claim of a model cache has the name of the cache."""
    for item in pod.view.spec.volumes or ():
        if item.persistent_volume_claim is not None:
            yield ObjectKey(pod.meta.namespace, item.persistent_volume_claim.claim_name)


def _by_claim(pod: Object[Pod]) -> Iterator[str]:
    for claim in claims_of(pod):
        yield place(claim.namespace, claim.name)


def available_sources(cache: Object[AIMTemplateCache] | None) -> frozenset[str]:
    """The sources of which a template cache is Available; none if it is not, cannot be read, or does not exist."""
    view = None if cache is None else cache.view_or_none
    if view is None or view.status.status != CacheState.AVAILABLE:
        return frozenset()
    return frozenset(item.source for item in view.status.models)


TEMPLATE_CACHE_INDEXES: Mapping[str, IndexFunction[Any]] = {
    "template": _by_template,
    "runtime-config": _by_runtime_config,
    "model-cache": _by_model_cache,
    "source": _by_listed_source,
}
MODEL_CACHE_INDEXES: Mapping[str, IndexFunction[Any]] = {
    "source": _by_source,
    "runtime-config": _by_runtime_config,
    "volume": _by_volume,
}
SERVICE_CACHE_INDEXES: Mapping[str, IndexFunction[Any]] = {
    "requested-cache": _by_requested_cache,
    "undecided-cache": _by_undecided_cache,
}
CLAIM_INDEXES: Mapping[str, IndexFunction[Any]] = {"claim": _by_claim}
