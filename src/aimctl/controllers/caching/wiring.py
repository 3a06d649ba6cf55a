"""Caching, wired: which events ask for which reconciler.

templates change        -> warming, for those that ask for caching; template caches, for those that name them (by index)
template caches change  -> warming, for the template of their name; themselves, and those that share a source (by index)
model caches change     -> template caches, for those that use them or their source (by index); a burst is one look
runtime configs change  -> template caches, for those that refer to them (by index)
services change         -> template caches, for the template whose model they wish cached
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.api import kinds
from aimctl.controllers.caching.observer import CachingObserver
from aimctl.controllers.caching.template_caches import TemplateCacheReconciler
from aimctl.controllers.caching.warming import WarmingReconciler
from aimctl.controllers.caching.wiring_model_caches import add_model_caches
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.kubetypes.permissions import Permission, owns, writes_status
from aimctl.runtime.controller import (
    EnqueueMapped,
    EnqueueObject,
    Request,
    Watch,
    changed,
    generation_changed,
    objects_of,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from aimctl.controllers.assembly import Assembly
    from aimctl.runtime.controller import Event, Source
    from aimctl.runtime.kube import Object

__all__ = ["add_caching", "add_template_caching"]

PERMISSIONS = (
    *writes_status(kinds.TEMPLATE_CACHES),
    *owns(kinds.TEMPLATE_CACHES),
    Permission(kinds.TEMPLATE_CACHES, ("create",), "cache the sources of templates that request it"),
    Permission(kinds.TEMPLATE_CACHES, ("patch",), "follow the env and the pull secrets of the template"),
    Permission(kinds.TEMPLATE_CACHES, ("delete",), "remove caches that are no longer requested"),
    Permission(kinds.MODEL_CACHES, ("create",), "cache one source of a template cache"),
    Permission(kinds.MODEL_CACHES, ("patch",), "follow the env and the pull secrets of the template caches"),
)

ROLL_UP_SECONDS = 0.5
"""How long a model cache's news waits for that of others: many downloads that come on are one look at their sum."""


def add_caching(assembly: Assembly) -> None:
    """Add the reconcilers of template caches and model caches, and the one that warms templates."""
    add_template_caching(assembly)
    add_model_caches(assembly)


def add_template_caching(assembly: Assembly) -> None:
    """Add what needs model caches, and not what fills them."""
    _TemplateCaches(assembly).build()


class _Condition(msgspec.Struct, frozen=True, gc=False):
    type: str = ""
    message: str = ""


class _Status(msgspec.Struct, rename="camel", gc=False):
    model_sources: msgspec.Raw = msgspec.Raw()
    conditions: tuple[_Condition, ...] = ()


class _Template(msgspec.Struct, gc=False):
    status: _Status | None = None


_template = msgspec.json.Decoder(_Template)


def _of_template(obj: Object[Any]) -> Hashable:
    """What a template cache looks at."""
    status = _template.decode(obj.raw).status or _Status()
    discovered = next((item.message for item in status.conditions if item.type == "Discovered"), "")
    return (obj.meta.generation, obj.meta.deletion_timestamp, bytes(status.model_sources), discovered)


def _concerns_caching(event: Event[Any]) -> bool:
    """A predicate: the template has caching in its spec, or the condition CacheWarm."""
    return any(b'"caching"' in obj.raw or b'"CacheWarm"' in obj.raw for obj in objects_of(event))


def _wish(service: Object[Any]) -> Hashable:
    """What a template cache looks at."""
    template = service.view.status.resolved_template
    uid = template.uid if template is not None else ""
    return (service.meta.generation, service.meta.deletion_timestamp, uid)


def _wished(service: Object[Any]) -> Iterator[Request]:
    """A managed cache has its template's name."""
    template = service.view.status.resolved_template
    if template is not None:
        yield Request(service.meta.namespace, template.name)


@final
class _TemplateCaches:
    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._cache = assembly.cache
        options, clock = assembly.options, assembly.manager.clock
        self._observer = CachingObserver(assembly.observer, options.namespaces, clock)

    def build(self) -> None:
        assembly, manager, informer = self._assembly, self._assembly.manager, self._cache.informer
        common: dict[str, Any] = {
            "observer": self._observer,
            "client": manager.client,
            "turns": assembly.turns,
            "events": manager.events,
        }
        manager.controller(
            "warming",
            WarmingReconciler(**common),
            for_=kinds.TEMPLATES,
            predicates=[_concerns_caching],
            sources=[Watch(informer(kinds.TEMPLATE_CACHES), EnqueueObject())],
            **assembly.defaults(),
        )
        manager.controller(
            "templatecaches",
            TemplateCacheReconciler(**common),
            for_=kinds.TEMPLATE_CACHES,
            sources=self._sources(),
            **assembly.defaults(),
        )

    def _sources(self) -> list[Source]:
        informer = self._cache.informer
        return [
            Watch(informer(kinds.TEMPLATE_CACHES), EnqueueMapped(self._sharing), [generation_changed]),
            Watch(informer(kinds.MODEL_CACHES), EnqueueMapped(self._using), pause=ROLL_UP_SECONDS),
            *(
                Watch(informer(kind), EnqueueMapped(self._caching), [changed(_of_template)])
                for kind in (kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES)
            ),
            *(
                Watch(informer(kind), EnqueueMapped(self._configured), [generation_changed])
                for kind in (kinds.RUNTIME_CONFIGS, kinds.CLUSTER_RUNTIME_CONFIGS)
            ),
            Watch(informer(kinds.SERVICES), EnqueueMapped(_wished), [changed(_wish)]),
        ]

    def _find(self, index: str, namespace: str, name: str) -> Iterator[Request]:
        for obj in self._cache.by_index(kinds.TEMPLATE_CACHES, index, place(namespace or EVERYWHERE, name)):
            yield obj.key

    def _sharing(self, cache: Object[Any]) -> Iterator[Request]:
        """The template caches whose word counts more, or less, now that this one says something else."""
        for item in cache.view.status.models:
            yield from self._find("model-cache", cache.meta.namespace, item.model_cache)

    def _using(self, model_cache: Object[Any]) -> Iterator[Request]:
        namespace = model_cache.meta.namespace
        yield from self._find("model-cache", namespace, model_cache.meta.name)
        yield from self._find("source", namespace, model_cache.view.spec.source_uri)

    def _caching(self, template: Object[Any]) -> Iterator[Request]:
        return self._find("template", template.meta.namespace, template.meta.name)

    def _configured(self, config: Object[Any]) -> Iterator[Request]:
        return self._find("runtime-config", config.meta.namespace, config.meta.name)
