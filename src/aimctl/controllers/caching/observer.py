"""Observe: a template cache, or the caching of a template, and everything their decisions look at.

Invariant: every lookup is by key or index, so an observation costs the same with ten namespaces and with a thousand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.api import kinds
from aimctl.controllers.indexes.caching import (
    CACHE_WISH_INDEXES,
    MODEL_CACHE_INDEXES,
    TEMPLATE_CACHE_INDEXES,
)
from aimctl.controllers.indexes.templates import place
from aimctl.domain.caching.template_cache import is_managed, model_cache_name
from aimctl.domain.caching.template_cache_observation import (
    CacheUser,
    ObservedModelCache,
    SeenTemplateCache,
    TemplateCacheObservation,
)
from aimctl.domain.caching.template_cache_plan import sources_of
from aimctl.domain.caching.warming import WarmingObservation
from aimctl.kubetypes.permissions import observes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aimctl.api.v1alpha1 import ServiceSpec
    from aimctl.controllers.observer import TemplateObserver
    from aimctl.domain.templates.template import Template
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Object

__all__ = ["CachingObserver"]

PERMISSIONS = observes(kinds.TEMPLATE_CACHES, kinds.MODEL_CACHES, reason="observe every kind of the operator")


@final
class CachingObserver:
    """See the module.

    Args:
        templates: for templates and runtime configs.
        namespaces: that are looked at; empty for all.
        clock: for ``now``.
    """

    def __init__(self, templates: TemplateObserver, namespaces: tuple[str, ...], clock: Clock) -> None:
        self.cache = templates.cache
        self._templates = templates
        self._clock = clock
        declare = self.cache.declare
        declare(kinds.TEMPLATE_CACHES, namespaces=namespaces, indexes=TEMPLATE_CACHE_INDEXES)
        declare(kinds.MODEL_CACHES, namespaces=namespaces, indexes=MODEL_CACHE_INDEXES)
        declare(kinds.SERVICES, namespaces=namespaces, indexes=CACHE_WISH_INDEXES)

    # ---- template caches

    def template_cache(
        self, request: Request, refused: Mapping[str, str]
    ) -> tuple[Object[Any], TemplateCacheObservation] | None:
        """The template cache of this key and what concerns it; None when it is gone.

        Args:
            request: which one.
            refused: why the server did not take a model cache, by name.
        """
        obj = self.cache.get(kinds.TEMPLATE_CACHES, request.name, request.namespace)
        if obj is None:
            return None
        seen, namespace = _template_cache(obj), request.namespace
        spec = obj.view.spec
        template = self._template(spec.template_ref, namespace)
        sizes = sources_of(template.view) if template is not None else {}
        listed = {item.model_cache for item in obj.view.status.models}
        models = {item.name: item for item in self._model_caches(namespace, sizes, listed)}
        names = {model_cache_name(uri) for uri in sizes} | listed
        # Nobody else's word counts where all is there and filled, which is most of the time.
        open_names = {name for name in names if name not in models or not models[name].settled}
        return obj, TemplateCacheObservation(
            cache=seen,
            template=template,
            runtime_config=self._templates.runtime_config(spec.runtime_config_name, namespace),
            now=self._clock.now(),
            model_caches=tuple(models.values()),
            users=tuple(self._users(request, open_names)),
            wishes=self._wishes(namespace, template) if template is not None else (),
            refused=refused,
        )

    def _template(self, name: str, namespace: str) -> Object[Any] | None:
        obj: Object[Any] | None = self.cache.get(kinds.TEMPLATES, name, namespace)
        return obj if obj is not None else self.cache.get(kinds.CLUSTER_TEMPLATES, name)

    def _model_caches(
        self, namespace: str, uris: Iterable[str], names: Iterable[str]
    ) -> Iterator[ObservedModelCache]:
        for name in {*names, *map(model_cache_name, uris)}:
            obj = self.cache.get(kinds.MODEL_CACHES, name, namespace)
            if obj is not None:
                yield _model_cache(obj)
        for uri in uris:
            for obj in self.cache.by_index(kinds.MODEL_CACHES, "source", place(namespace, uri)):
                yield _model_cache(obj)

    def _users(self, request: Request, names: Iterable[str]) -> Iterator[CacheUser]:
        """The other template caches that use one of these model caches."""
        found: dict[str, Object[Any]] = {}
        for name in names:
            for obj in self.cache.by_index(
                kinds.TEMPLATE_CACHES, "model-cache", place(request.namespace, name)
            ):
                found[obj.meta.name] = obj
        found.pop(request.name, None)
        for name, obj in found.items():
            if obj.meta.deleting:
                continue
            view = obj.view
            template = self._template(view.spec.template_ref, request.namespace)
            yield CacheUser(
                name=name,
                created=obj.meta.creation_timestamp,
                spec=view.spec,
                model_caches=frozenset(item.model_cache for item in view.status.models),
                sizes=sources_of(template.view) if template is not None else {},
            )

    def _wishes(self, namespace: str, template: Template) -> tuple[ServiceSpec, ...]:
        """Of the services that use the template and wish its model cached, the oldest first."""
        found = []
        for obj in self.cache.by_index(kinds.SERVICES, "wished-cache", place(namespace, template.meta.name)):
            used = obj.view.status.resolved_template
            if used is not None and used.uid == template.meta.uid and not obj.meta.deleting:
                found.append((obj.meta.creation_timestamp, obj.meta.name, obj.view.spec))
        return tuple(spec for _, _, spec in sorted(found, key=lambda item: item[:2]))

    # ---- templates

    def warming(self, request: Request, refused: str) -> tuple[Object[Any], WarmingObservation] | None:
        """The namespaced template of this key and what concerns its caching; None when it is gone.

        Args:
            request: which one.
            refused: why the server did not take the template cache.
        """
        obj = self.cache.get(kinds.TEMPLATES, request.name, request.namespace)
        if obj is None:
            return None
        view, cache = obj.view, self.cache.get(kinds.TEMPLATE_CACHES, request.name, request.namespace)
        return obj, WarmingObservation(
            template=obj,
            runtime_config=self._templates.runtime_config(view.spec.runtime_config_name, request.namespace),
            cache=None if cache is None else _template_cache(cache),
            now=self._clock.now(),
            refused=refused,
        )


def _template_cache(obj: Object[Any]) -> SeenTemplateCache:
    meta = obj.meta
    return SeenTemplateCache(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
        generation=meta.generation,
        created=meta.creation_timestamp,
        labels=meta.labels,
        controller=next((owner.uid for owner in meta.owners if owner.controller), ""),
        managed=is_managed(meta.labels),
        deleting=meta.deleting,
        view=obj.view,
    )


def _model_cache(obj: Object[Any]) -> ObservedModelCache:
    meta = obj.meta
    return ObservedModelCache(
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
        created=meta.creation_timestamp,
        managed=is_managed(meta.labels),
        deleting=meta.deleting,
        view=obj.view,
    )
