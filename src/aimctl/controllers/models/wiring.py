"""The reconcilers of models, for both scopes.

These events enqueue models:
    models           themselves; an AIMModel that is created or deleted also enqueues the AIMClusterModel that it hides
    runtime configs  the models that refer to them
    templates        their model, when they are created or deleted, or when their state changes
    images           the models that asked for an image that has been read
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yarl import URL

from aimctl.api import kinds
from aimctl.api.v1alpha1 import Scope
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.controllers.models.image_readings import ImageReader, ImageReadings
from aimctl.controllers.models.observer import ModelObserver
from aimctl.controllers.models.pull_secrets import PullSecrets
from aimctl.controllers.models.registry_addresses import AddressGuard
from aimctl.controllers.models.registry_client import OciRegistry
from aimctl.controllers.models.registry_http import HttpExchange
from aimctl.domain.models.decision import decide_model
from aimctl.domain.templates.template import model_name, state
from aimctl.kubetypes.builtin import SECRETS
from aimctl.kubetypes.permissions import Permission, owns, writes_status
from aimctl.runtime.controller import (
    Channel,
    Created,
    EnqueueMapped,
    Request,
    Updated,
    Watch,
    changed,
    generation_changed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.controllers.models.registry import ImageRegistry
    from aimctl.controllers.operator_context import OperatorContext
    from aimctl.kubetypes import Object, Resource
    from aimctl.runtime.controller import Source
    from aimctl.runtime.controller.events import ObjectEvent

__all__ = ["FIELD_MANAGER", "add_models"]

_CREATES = "create the templates that the image of a model recommends"
PERMISSIONS = (
    *writes_status(kinds.MODELS, kinds.CLUSTER_MODELS),
    *owns(kinds.MODELS, kinds.CLUSTER_MODELS),
    Permission(kinds.TEMPLATES, ("create",), _CREATES),
    Permission(kinds.CLUSTER_TEMPLATES, ("create",), _CREATES),
    Permission(
        SECRETS, ("get",), "read the pull secrets that a model names, to read the labels of its image"
    ),
)

FIELD_MANAGER = "aim-models"

ROLL_UP_SECONDS = 0.5
"""Delay after a change of a template, so that many changes at once cause one reconcile of their model."""

_SCOPES: tuple[tuple[Resource[Any], str, Scope], ...] = (
    (kinds.MODELS, "models", Scope.NAMESPACE),
    (kinds.CLUSTER_MODELS, "clustermodels", Scope.CLUSTER),
)


def add_models(context: OperatorContext, registry: ImageRegistry | None = None) -> None:
    """Add the reconcilers of models and the component that reads images.

    Args:
        context: of the operator.
        registry: reads images; by default over HTTPS from the registries, or from the mirrors of the options.
    """
    manager, metrics = context.manager, context.metrics
    if registry is None:
        mirrors = context.options.registry_mirrors
        exchange = HttpExchange(addresses=AddressGuard(trusted=map(URL, mirrors.values())))
        manager.add(exchange, name="image registries")
        registry = OciRegistry(
            exchange, clock=manager.clock, mirrors=mirrors, allowed=context.options.allowed_registries
        )
    readings = ImageReadings(
        registry,
        PullSecrets(manager.api_reader),
        clock=manager.clock,
        rng=manager.rng,
        count=lambda result: metrics.image_reads[result].inc(),
    )
    manager.add(readings, name="image readings")
    for resource, name, scope in _SCOPES:
        observer = ModelObserver(resource, context.references, context.options, manager.clock, readings)
        context.cache.informer(resource).add_handler(metrics.models(str(scope)))
        image_read = Channel()
        manager.controller(
            name,
            context.executor.reconciler(
                observer.observe,
                decide_model,
                field_manager=FIELD_MANAGER,
                reader=ImageReader(readings, image_read.send),
            ),
            for_=resource,
            sources=[*_sources(context, resource), image_read],
            **context.defaults(),
        )


def _sources(context: OperatorContext, resource: Resource[Any]) -> Iterator[Source]:
    cache, namespaced = context.cache, resource.namespaced

    def of_config(config: Object[Any]) -> Iterator[Request]:
        namespace = config.meta.namespace
        # Cluster-scoped objects use namespaced runtime configs of the operator namespace only.
        if namespaced or namespace in ("", context.options.operator_namespace):
            where = namespace if namespaced and namespace else EVERYWHERE
            for model in cache.by_index(resource, "runtime-config", place(where, config.meta.name)):
                yield model.key

    def of_template(template: Object[Any]) -> tuple[Request]:
        return (Request(template.meta.namespace if namespaced else "", model_name(template)),)

    for configs in (kinds.RUNTIME_CONFIGS, kinds.CLUSTER_RUNTIME_CONFIGS):
        yield Watch(cache.informer(configs), EnqueueMapped(of_config), [generation_changed])
    for templates in (kinds.TEMPLATES,) if namespaced else (kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES):
        predicates = [changed(state), _has_state]
        yield Watch(cache.informer(templates), EnqueueMapped(of_template), predicates, pause=ROLL_UP_SECONDS)
    if not namespaced:
        hiding = EnqueueMapped[Any](lambda model: (Request("", model.meta.name),))
        yield Watch(cache.informer(kinds.MODELS), hiding, [lambda event: not isinstance(event, Updated)])


def _has_state(event: ObjectEvent[Any]) -> bool:
    """Ignores a new template until it has a state; otherwise its model would be Progressing for a moment."""
    return not isinstance(event, Created) or bool(state(event.object))
