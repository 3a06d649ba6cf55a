"""The reconciler of template caches: one model cache for each source of a template.

Reconciled is a template cache, after an event of

* the template cache itself, or another one that shares a source with it,
* a model cache that it uses, or that has one of its sources; several events within :data:`ROLL_UP_SECONDS` cause one
  reconcile,
* its template, if that has other sources or another cause for having none,
* its runtime config,
* a service that asks for the cache of its template.

The rules are in :mod:`aimctl.domain.caching.template_cache_decision`. Every lookup is by key or index, so an
observation costs the same in small and large clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.api import kinds
from aimctl.controllers.execution.executor import Observed
from aimctl.controllers.indexes.caching import (
    MODEL_CACHE_INDEXES,
    SERVICE_CACHE_INDEXES,
    TEMPLATE_CACHE_INDEXES,
)
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.domain.caching.template_cache import model_cache_name, sources_of
from aimctl.domain.caching.template_cache_decision import decide_template_cache
from aimctl.domain.caching.template_cache_observation import (
    CacheUser,
    TemplateCacheObservation,
    is_settled,
)
from aimctl.domain.resolution import Resolved
from aimctl.kubetypes import find_condition
from aimctl.kubetypes.permissions import Permission, observes, owns, writes_status
from aimctl.runtime.controller import EnqueueMapped, Request, Watch, changed, generation_changed

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from aimctl.api.v1alpha1 import (
        AIMClusterRuntimeConfig,
        AIMModelCache,
        AIMRuntimeConfig,
        AIMService,
        AIMTemplateCache,
        ServiceSpec,
    )
    from aimctl.controllers.operator_context import OperatorContext
    from aimctl.domain.plan import Known
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.controller import Source

__all__ = ["FIELD_MANAGER", "add_template_caches"]

FIELD_MANAGER = "aim-template-caches"

PERMISSIONS = (
    *observes(kinds.TEMPLATE_CACHES, kinds.MODEL_CACHES, reason="observe every kind of the operator"),
    *writes_status(kinds.TEMPLATE_CACHES),
    *owns(kinds.TEMPLATE_CACHES),
    Permission(kinds.TEMPLATE_CACHES, ("patch",), "follow the env and the pull secrets of the template"),
    Permission(kinds.TEMPLATE_CACHES, ("delete",), "remove caches that are no longer requested"),
    Permission(kinds.MODEL_CACHES, ("create",), "cache one source of a template cache"),
    Permission(kinds.MODEL_CACHES, ("patch",), "follow the env and the pull secrets of the template caches"),
)

ROLL_UP_SECONDS = 0.5
"""Delay after an event of a model cache. Many downloads that progress at the same time cause one reconcile."""


def add_template_caches(context: OperatorContext) -> None:
    """Add the reconciler to the manager."""
    observer = _Observer(context)
    context.cache.informer(kinds.TEMPLATE_CACHES).add_handler(context.metrics.template_caches())
    context.manager.controller(
        "templatecaches",
        context.executor.reconciler(observer.observe, decide_template_cache, field_manager=FIELD_MANAGER),
        for_=kinds.TEMPLATE_CACHES,
        sources=_sources(context.cache),
        **context.defaults(),
    )


# ---- observing


@final
class _Observer:
    def __init__(self, context: OperatorContext) -> None:
        self._cache = context.cache
        self._references = context.references
        self._clock = context.manager.clock
        declare, namespaces = self._cache.declare, context.options.namespaces
        declare(kinds.TEMPLATE_CACHES, namespaces=namespaces, indexes=TEMPLATE_CACHE_INDEXES)
        declare(kinds.MODEL_CACHES, namespaces=namespaces, indexes=MODEL_CACHE_INDEXES)
        declare(kinds.SERVICES, namespaces=namespaces, indexes=SERVICE_CACHE_INDEXES)

    def observe(self, request: Request, known: Known) -> Observed[TemplateCacheObservation] | None:
        namespace = request.namespace
        cache = self._cache.get(kinds.TEMPLATE_CACHES, request.name, namespace)
        if cache is None:
            return None
        spec = cache.view.spec
        template = self._template(spec.template_ref, namespace)
        uris = sources_of(template)
        listed = {item.model_cache for item in cache.view.status.models}
        models = {item.meta.name: item for item in self._model_caches(namespace, uris, listed)}
        names = {model_cache_name(uri) for uri in uris} | listed
        # Other template caches have no influence on settled model caches, which are the normal case.
        unsettled = [name for name in names if name not in models or not is_settled(models[name])]
        rejections = {
            key.name: item.message
            for key, item in known.rejections.items()
            if key.kind == kinds.MODEL_CACHES.kind
        }
        seen = TemplateCacheObservation(
            cache=cache,
            template=template,
            runtime_config=self._references.runtime_config(spec.runtime_config_name, namespace),
            now=self._clock.now(),
            model_caches=tuple(models.values()),
            users=tuple(self._users(request, unsettled)),
            services=self._services(namespace, template) if template is not None else (),
            undecided=bool(self._cache.by_index(kinds.SERVICES, "undecided-cache", namespace)),
            rejections=rejections,
        )
        return Observed(cache, seen)

    def _template(self, name: str, namespace: str) -> Template | None:
        own: Template | None = self._cache.get(kinds.TEMPLATES, name, namespace)
        return own if own is not None else self._cache.get(kinds.CLUSTER_TEMPLATES, name)

    def _model_caches(
        self, namespace: str, uris: Iterable[str], names: Iterable[str]
    ) -> Iterator[Object[AIMModelCache]]:
        for name in {*names, *map(model_cache_name, uris)}:
            found = self._cache.get(kinds.MODEL_CACHES, name, namespace)
            if found is not None:
                yield found
        for uri in uris:
            yield from self._cache.by_index(kinds.MODEL_CACHES, "source", place(namespace, uri))

    def _users(self, request: Request, names: Iterable[str]) -> Iterator[CacheUser]:
        """The other template caches that use one of these model caches."""
        found = {
            user.meta.name: user
            for name in names
            for user in self._cache.by_index(
                kinds.TEMPLATE_CACHES, "model-cache", place(request.namespace, name)
            )
            if user.meta.name != request.name and not user.meta.deleting
        }
        for user in found.values():
            template = self._template(user.view.spec.template_ref, request.namespace)
            readable = template is not None and template.view_or_none is not None
            configured = self._has_config(user.view.spec.runtime_config_name, request.namespace)
            yield CacheUser(user, template if readable else None, configured)

    def _services(self, namespace: str, template: Template) -> tuple[ServiceSpec, ...]:
        """Of the services that use the template and ask for its cache, the oldest first.

        Those whose runtime config does not exist are last, so that their mistake does not delay the others.
        """
        found = []
        for service in self._cache.by_index(
            kinds.SERVICES, "requested-cache", place(namespace, template.meta.name)
        ):
            used = service.view.status.resolved_template
            if used is not None and used.uid == template.meta.uid and not service.meta.deleting:
                found.append(service)
        found.sort(
            key=lambda item: (
                not self._has_config(item.view.spec.runtime_config_name, namespace),
                item.meta.creation_timestamp,
                item.meta.name,
            )
        )
        return tuple(item.view.spec for item in found)

    def _has_config(self, name: str, namespace: str) -> bool:
        return isinstance(self._references.runtime_config(name, namespace), Resolved)


# ---- events


def _sources(cache: Cache) -> list[Source]:
    informer = cache.informer

    def find_caches(index: str, namespace: str, name: str) -> Iterator[Request]:
        for obj in cache.by_index(kinds.TEMPLATE_CACHES, index, place(namespace or EVERYWHERE, name)):
            yield obj.key

    def sharing(template_cache: Object[AIMTemplateCache]) -> Iterator[Request]:
        view = template_cache.view_or_none
        for item in view.status.models if view is not None else ():
            yield from find_caches("model-cache", template_cache.meta.namespace, item.model_cache)

    def using(model_cache: Object[AIMModelCache]) -> Iterator[Request]:
        namespace, view = model_cache.meta.namespace, model_cache.view_or_none
        yield from find_caches("model-cache", namespace, model_cache.meta.name)
        if view is not None:
            yield from find_caches("source", namespace, view.spec.source_uri)

    def of_template(template: Template) -> Iterator[Request]:
        return find_caches("template", template.meta.namespace, template.meta.name)

    def of_config(config: Object[AIMRuntimeConfig] | Object[AIMClusterRuntimeConfig]) -> Iterator[Request]:
        index = place(config.meta.namespace or EVERYWHERE, config.meta.name)
        for user in cache.by_index(kinds.TEMPLATE_CACHES, "runtime-config", index):
            yield user.key
            yield from sharing(user)

    return [
        Watch(informer(kinds.TEMPLATE_CACHES), EnqueueMapped(sharing), [generation_changed]),
        Watch(informer(kinds.MODEL_CACHES), EnqueueMapped(using), pause=ROLL_UP_SECONDS),
        Watch(informer(kinds.TEMPLATES), EnqueueMapped(of_template), [changed(_sources_and_cause)]),
        Watch(informer(kinds.CLUSTER_TEMPLATES), EnqueueMapped(of_template), [changed(_sources_and_cause)]),
        Watch(informer(kinds.RUNTIME_CONFIGS), EnqueueMapped(of_config), [generation_changed]),
        Watch(informer(kinds.CLUSTER_RUNTIME_CONFIGS), EnqueueMapped(of_config), [generation_changed]),
        Watch(informer(kinds.SERVICES), EnqueueMapped(_requested), [changed(_request)]),
    ]


def _sources_and_cause(template: Template) -> Hashable:
    """What a template cache looks at."""
    view, meta = template.view_or_none, template.meta
    if view is None:
        return meta.resource_version
    discovered = find_condition(view.status.conditions, "Discovered")
    cause = discovered.message if discovered is not None else ""
    return (meta.generation, meta.deletion_timestamp, view.status.model_sources, cause)


def _request(service: Object[AIMService]) -> Hashable:
    """What a template cache looks at."""
    view, meta = service.view_or_none, service.meta
    template = view.status.resolved_template if view is not None else None
    return (meta.generation, meta.deletion_timestamp, template.uid if template is not None else "")


def _requested(service: Object[AIMService]) -> Iterator[Request]:
    """The cache that the operator has created for the template in use has the name of the template."""
    view = service.view_or_none
    if view is not None and view.status.resolved_template is not None:
        yield Request(service.meta.namespace, view.status.resolved_template.name)
