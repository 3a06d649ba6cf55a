"""Services, wired: which events ask for a look at which service.

services change                 -> themselves; what derivation writes into their status counts
templates change                -> the services that name them, use them, have their model, or the model whose default
                                   they are; a namespaced one, those of the cluster template that it hides
models, runtime configs change  -> the services that use them or may
a GPU model comes, goes         -> the services of the models whose templates need it
template caches change          -> the services that use the template of the cache's name
InferenceServices change        -> the service of their name

All are found by index. A status that only tells how far something is asks nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.api import kinds
from aimctl.controllers.indexes.services import used
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.controllers.inventory import GpuChanges
from aimctl.controllers.services.observer import ServiceObserver, model_settled
from aimctl.controllers.services.reconciler import ServiceReconciler
from aimctl.kubetypes.permissions import Permission, owns, writes_status
from aimctl.runtime.controller import (
    Channel,
    EnqueueMapped,
    EnqueueObject,
    Request,
    Watch,
    any_of,
    changed,
    generation_changed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.controllers.assembly import Assembly
    from aimctl.runtime.controller import Source
    from aimctl.runtime.kube import Object, Resource

__all__ = ["add_services"]

PERMISSIONS = (
    *writes_status(kinds.SERVICES),
    *owns(kinds.SERVICES),
    Permission(kinds.MODELS, ("create",), "create a model for a service that names an image"),
    Permission(kinds.CLUSTER_MODELS, ("create",), "create a model for a service that names an image"),
    Permission(kinds.TEMPLATE_CACHES, ("create",), "cache the template of a service that requests it"),
    Permission(
        kinds.INFERENCE_SERVICES, ("get",), "check who owns a runtime of that name before it is applied"
    ),
    Permission(kinds.INFERENCE_SERVICES, ("create", "patch"), "run services, by server-side apply"),
)

_TEMPLATES: tuple[Resource[Any], ...] = (kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES)
_MODELS: tuple[Resource[Any], ...] = (kinds.MODELS, kinds.CLUSTER_MODELS)
_CONFIGS: tuple[Resource[Any], ...] = (kinds.RUNTIME_CONFIGS, kinds.CLUSTER_RUNTIME_CONFIGS)


def add_services(assembly: Assembly) -> None:
    """Add the reconciler of services."""
    manager, requeue = assembly.manager, Channel()
    observer = ServiceObserver(assembly.observer, assembly.options, manager.clock)
    reconciler = ServiceReconciler(
        observer=observer,
        client=manager.client,
        api_reader=manager.api_reader,
        turns=assembly.turns,
        events=manager.events,
        clock=manager.clock,
        requeue=requeue.send,
    )
    assembly.cache.informer(kinds.SERVICES).add_handler(assembly.metrics.services())
    manager.controller(
        "services",
        reconciler,
        for_=kinds.SERVICES,
        sources=[*_Sources(assembly).all(), requeue],
        **assembly.defaults(),
    )
    manager.add(reconciler.follow_runtime, name="KServe's arrival")


class _Condition(msgspec.Struct, gc=False):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class _Result(msgspec.Struct, gc=False):
    image: str = ""


class _Discovery(msgspec.Struct, gc=False):
    result: _Result | None = None


class _Status(msgspec.Struct, rename="camel", gc=False):
    status: str = ""
    discovery: _Discovery | None = None
    conditions: tuple[_Condition, ...] = ()
    model_sources: msgspec.Raw = msgspec.Raw()
    profile: msgspec.Raw = msgspec.Raw()


class _Spec(msgspec.Struct, rename="camel", gc=False):
    model_name: str = ""


class _Template(msgspec.Struct, gc=False):
    spec: _Spec
    status: _Status | None = None


class _Used(msgspec.Struct, rename="camel", gc=False):
    status: str = ""
    persistent_volume_claim: str | None = None


class _CacheStatus(msgspec.Struct, gc=False):
    status: str = ""
    conditions: tuple[_Condition, ...] = ()
    models: tuple[_Used, ...] = ()


class _Cache(msgspec.Struct, gc=False):
    status: _CacheStatus | None = None


class _ModelSpec(msgspec.Struct, gc=False):
    image: str = ""


class _Model(msgspec.Struct, gc=False):
    spec: _ModelSpec


_template = msgspec.json.Decoder(_Template)
_cache = msgspec.json.Decoder(_Cache)
_model = msgspec.json.Decoder(_Model)


def _of_template(obj: Object[Any]) -> Any:
    """What of a template concerns a service."""
    meta, status = obj.meta, _template.decode(obj.raw).status or _Status()
    said = tuple(
        (item.status, item.reason, "" if status.status == "Progressing" else item.message)
        for item in status.conditions
        if item.type == "Ready"
    )
    return (
        meta.generation,
        meta.deleting,
        frozenset(meta.labels.items()),
        meta.owners,
        status.status,
        said,
        bytes(status.model_sources),
        bytes(status.profile),
        # A new image may have the same profile, and is deployed all the same.
        None if status.discovery is None else status.discovery.result,
    )


def _of_cache(obj: Object[Any]) -> Any:
    """What of a template cache concerns a service."""
    status = _cache.decode(obj.raw).status or _CacheStatus()
    said = tuple(
        item.message for item in status.conditions if item.type == "Ready" and status.status == "Failed"
    )
    claims = tuple((item.status, item.persistent_volume_claim) for item in status.models)
    return obj.meta.generation, obj.meta.deleting, status.status, said, claims


@final
class _Sources:
    def __init__(self, assembly: Assembly) -> None:
        self._cache = assembly.cache
        self._inventory = assembly.observer.inventory

    def all(self) -> list[Source]:
        informer = self._cache.informer
        template_changed, cache_changed = changed(_of_template), changed(_of_cache)
        return [
            *(
                Watch(informer(kind), EnqueueMapped(self._of_template), [template_changed])
                for kind in _TEMPLATES
            ),
            *(
                Watch(
                    informer(kind),
                    EnqueueMapped(self._of_model),
                    [any_of(generation_changed, changed(model_settled))],
                )
                for kind in _MODELS
            ),
            *(
                Watch(informer(kind), EnqueueMapped(self._of_config), [generation_changed])
                for kind in _CONFIGS
            ),
            GpuChanges(self._inventory, lambda model: list(self._of_gpu(model))),
            Watch(informer(kinds.TEMPLATE_CACHES), EnqueueMapped(self._of_cache), [cache_changed]),
            Watch(informer(kinds.INFERENCE_SERVICES), EnqueueObject()),
        ]

    def _services(self, index: str, value: str) -> Iterator[Request]:
        yield from (item.key for item in self._cache.by_index(kinds.SERVICES, index, value))

    def _of_template(self, obj: Object[Any]) -> Iterator[Request]:
        namespace, name = obj.meta.namespace, obj.meta.name
        where = namespace or EVERYWHERE
        yield from self._services("template", place(where, name))
        yield from self._services("uses", used(obj.resource.kind, namespace, name))
        yield from self._of_its_model(obj, where)
        for kind in _MODELS:
            # Neither sees what the other's namespace holds.
            at = where if kind.namespaced else ""
            for model in self._cache.by_index(kind, "default-template", place(at, name)):
                yield from self._services("any-model", place(model.meta.namespace or where, model.meta.name))
        if namespace:
            hidden: Object[Any] | None = self._cache.get(kinds.CLUSTER_TEMPLATES, name)
            if hidden is not None:
                yield from self._of_its_model(hidden, where)

    def _of_its_model(self, template: Object[Any], where: str) -> Iterator[Request]:
        yield from self._services("any-model", place(where, _template.decode(template.raw).spec.model_name))

    def _of_model(self, obj: Object[Any]) -> Iterator[Request]:
        where = obj.meta.namespace or EVERYWHERE
        yield from self._services("any-model", place(where, obj.meta.name))
        yield from self._services("image", place(where, _model.decode(obj.raw).spec.image))
        if obj.meta.namespace:
            hidden: Object[Any] | None = self._cache.get(kinds.CLUSTER_MODELS, obj.meta.name)
            if hidden is not None:
                yield from self._services("image", place(where, _model.decode(hidden.raw).spec.image))

    def _of_config(self, obj: Object[Any]) -> Iterator[Request]:
        yield from self._services("runtime-config", place(obj.meta.namespace or EVERYWHERE, obj.meta.name))

    def _of_gpu(self, model: str) -> Iterator[Request]:
        for kind in _TEMPLATES:
            for template in self._cache.by_index(kind, "gpu", model):
                yield from self._of_its_model(template, template.meta.namespace or EVERYWHERE)

    def _of_cache(self, obj: Object[Any]) -> Iterator[Request]:
        yield from self._services("uses-name", place(obj.meta.namespace, obj.meta.name))
