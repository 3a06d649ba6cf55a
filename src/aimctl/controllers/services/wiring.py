"""The services reconciler.

These events enqueue services:
    services                 themselves; also when derivation writes their status
    templates                the services that name them, use them or have their model, and those whose model has them
                             as its default; for a namespaced one also those of the cluster template that it hides
    models, runtime configs  the services that use them or may use them
    GPU models of nodes      the services of the models whose templates need them, when one appears or disappears
    template caches          the services that use the template of the cache's name
    InferenceServices        the service that controls them, and those whose InferenceService has that name
    KServe                   the services that lack only KServe, when it is installed

Services are found by index. Status changes that report only progress enqueue nothing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, final

from aimctl.api import kinds
from aimctl.controllers.indexes.services import WITHOUT_RUNTIME, services_by, used
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.controllers.inventory import GpuChanges
from aimctl.controllers.services.deployment import DeploymentObserver
from aimctl.controllers.services.facts import cache_facts, template_facts
from aimctl.controllers.services.observer import ServiceObserver, model_progress
from aimctl.controllers.services.wiring_derivation import add_derivation
from aimctl.domain.services.decision import decide_service
from aimctl.domain.templates.template import model_name
from aimctl.kubetypes.permissions import Permission, owns, writes_status
from aimctl.runtime.controller import (
    Channel,
    EnqueueMapped,
    Request,
    Watch,
    any_of,
    changed,
    generation_changed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.api.v1alpha1 import AIMTemplateCache
    from aimctl.controllers.operator_context import OperatorContext
    from aimctl.domain.models.observation import Model
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object, Resource
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Source

__all__ = ["FIELD_MANAGER", "RUNTIME_POLL_SECONDS", "add_services"]

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

FIELD_MANAGER = "aim-services"

RUNTIME_POLL_SECONDS = 5.0
"""Interval of the checks whether KServe is installed. No event reports that the server serves a new kind. The check is
local and one for all services."""

_TEMPLATES: tuple[Resource[Any], ...] = (kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES)
_MODELS: tuple[Resource[Any], ...] = (kinds.MODELS, kinds.CLUSTER_MODELS)
_CONFIGS: tuple[Resource[Any], ...] = (kinds.RUNTIME_CONFIGS, kinds.CLUSTER_RUNTIME_CONFIGS)


def add_services(context: OperatorContext) -> None:
    """Add the reconcilers of services: that of their status and runtime, and derivation."""
    manager, kserve_installed = context.manager, Channel()
    services = ServiceObserver(context.references, context.options, manager.clock)
    observer = DeploymentObserver(services, context.options)
    context.cache.informer(kinds.SERVICES).add_handler(context.metrics.services())
    manager.controller(
        "services",
        context.executor.reconciler(
            observer.observe, decide_service, field_manager=FIELD_MANAGER, settled=observer.settled
        ),
        for_=kinds.SERVICES,
        sources=[*_Sources(context).all(), kserve_installed],
        **context.defaults(),
    )
    arrival = _RuntimeArrival(observer, context.cache, manager.clock, kserve_installed)
    manager.add(arrival.run, name="KServe's arrival")
    add_derivation(context, services)


@final
class _RuntimeArrival:
    """Enqueues the services that lack only KServe when it is installed."""

    def __init__(self, observer: DeploymentObserver, cache: Cache, clock: Clock, enqueue: Channel) -> None:
        self._observer = observer
        self._cache = cache
        self._clock = clock
        self._enqueue = enqueue

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await self._clock.sleep(RUNTIME_POLL_SECONDS)
            if self._observer.kserve_served:
                for service in self._cache.by_index(kinds.SERVICES, "state", WITHOUT_RUNTIME):
                    self._enqueue.send(service.key)


@final
class _Sources:
    def __init__(self, context: OperatorContext) -> None:
        self._cache = context.cache
        self._services = partial(services_by, context.cache)
        self._inventory = context.references.inventory

    def all(self) -> list[Source]:
        informer = self._cache.informer
        return [
            *(
                Watch(informer(kind), EnqueueMapped(self._of_template), [changed(template_facts)])
                for kind in _TEMPLATES
            ),
            *(
                Watch(
                    informer(kind),
                    EnqueueMapped(self._of_model),
                    [any_of(generation_changed, changed(model_progress))],
                )
                for kind in _MODELS
            ),
            *(
                Watch(informer(kind), EnqueueMapped(self._of_config), [generation_changed])
                for kind in _CONFIGS
            ),
            GpuChanges(self._inventory, lambda model: list(self._of_gpu(model))),
            Watch(informer(kinds.TEMPLATE_CACHES), EnqueueMapped(self._of_cache), [changed(cache_facts)]),
            Watch(informer(kinds.INFERENCE_SERVICES), EnqueueMapped(self._of_runtime)),
        ]

    def _of_template(self, template: Template) -> Iterator[Request]:
        namespace, name = template.meta.namespace, template.meta.name
        where = namespace or EVERYWHERE
        yield from self._services("template", place(where, name))
        yield from self._services("uses", used(template.resource.kind, namespace, name))
        yield from self._of_model_of(template, where)
        for kind in _MODELS:
            # A default template of the namespace concerns AIMModels of the namespace, and every AIMClusterModel.
            at = where if kind.namespaced else ""
            for model in self._cache.by_index(kind, "default-template", place(at, name)):
                yield from self._services("any-model", place(model.meta.namespace or where, model.meta.name))
        hidden = self._cache.get(kinds.CLUSTER_TEMPLATES, name) if namespace else None
        if hidden is not None:
            yield from self._of_model_of(hidden, where)

    def _of_model_of(self, template: Template, where: str) -> Iterator[Request]:
        yield from self._services("any-model", place(where, model_name(template)))

    def _of_model(self, model: Model) -> Iterator[Request]:
        namespace, name = model.meta.namespace, model.meta.name
        where = namespace or EVERYWHERE
        yield from self._services("any-model", place(where, name))
        hidden = self._cache.get(kinds.CLUSTER_MODELS, name) if namespace else None
        for item in (model, hidden):
            view = None if item is None else item.view_or_none
            if view is not None:
                yield from self._services("image", place(where, view.spec.image))

    def _of_config(self, config: Object[Any]) -> Iterator[Request]:
        where = config.meta.namespace or EVERYWHERE
        yield from self._services("runtime-config", place(where, config.meta.name))

    def _of_gpu(self, model: str) -> Iterator[Request]:
        for kind in _TEMPLATES:
            for template in self._cache.by_index(kind, "gpu", model):
                yield from self._of_model_of(template, template.meta.namespace or EVERYWHERE)

    def _of_runtime(self, runtime: Object[Any]) -> Iterator[Request]:
        namespace, name, owner = runtime.meta.namespace, runtime.meta.name, runtime.meta.controller
        names = dict.fromkeys([name])
        if owner is not None and (owner.group, owner.kind) == (kinds.SERVICES.group, kinds.SERVICES.kind):
            names[owner.name] = None
        yield from (Request(namespace, one) for one in names)
        yield from self._services("runtime", place(namespace, name))

    def _of_cache(self, cache: Object[AIMTemplateCache]) -> Iterator[Request]:
        yield from self._services("uses-name", place(cache.meta.namespace, cache.meta.name))
