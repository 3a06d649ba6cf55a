"""Models, wired: which events ask for which reconciler.

models change             -> themselves; an AIMModel that comes or goes, also the AIMClusterModel that it hides
runtime configs           -> the models that refer to them (by index)
templates come, go, or
change their state        -> the model they run, in whatever scope it is; a burst of them is one look
an image has been read    -> the models that asked
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api import kinds
from aimctl.api.v1alpha1 import Scope
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.controllers.models.image_readings import ImageReadings
from aimctl.controllers.models.observer import ModelObserver, model_of, state_of
from aimctl.controllers.models.pull_secrets import PullSecrets
from aimctl.controllers.models.reconciler import ModelReconciler
from aimctl.controllers.models.registry_client import OciRegistry
from aimctl.controllers.models.registry_http import HttpExchange
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

    from aimctl.controllers.assembly import Assembly
    from aimctl.controllers.models.registry import ImageRegistry
    from aimctl.runtime.controller import Source
    from aimctl.runtime.controller.events import Event
    from aimctl.runtime.kube import Object, Resource

__all__ = ["add_models"]

PERMISSIONS = (
    *writes_status(kinds.MODELS, kinds.CLUSTER_MODELS),
    *owns(kinds.MODELS, kinds.CLUSTER_MODELS),
    Permission(kinds.TEMPLATES, ("create",), "create the templates that the image of a model recommends"),
    Permission(
        kinds.CLUSTER_TEMPLATES, ("create",), "create the templates that the image of a model recommends"
    ),
    Permission(
        SECRETS, ("get",), "read the pull secrets that a model names, to read the labels of its image"
    ),
)

ROLL_UP_SECONDS = 0.5
"""How long a template's news waits for others': many templates that change at once are one look at their model."""

_SCOPES: tuple[tuple[Resource[Any], str, Scope], ...] = (
    (kinds.MODELS, "models", Scope.NAMESPACE),
    (kinds.CLUSTER_MODELS, "clustermodels", Scope.CLUSTER),
)


def add_models(assembly: Assembly, registry: ImageRegistry | None = None) -> None:
    """Add the reconcilers of models, for both scopes, and what reads their images.

    Args:
        assembly: the operator's.
        registry: where images are read; default: over HTTPS, or from the mirrors of the options.
    """
    manager, options = assembly.manager, assembly.options
    if registry is None:
        exchange = HttpExchange()
        manager.add(exchange, name="image registries")
        registry = OciRegistry(exchange, clock=manager.clock, mirrors=options.registry_mirrors)
    metrics = assembly.metrics
    readings = ImageReadings(
        registry,
        PullSecrets(manager.api_reader),
        clock=manager.clock,
        rng=manager.rng,
        count=lambda good: (metrics.image_reads_succeeded if good else metrics.image_reads_failed).inc(),
    )
    manager.add(readings, name="image readings")
    observer = ModelObserver(assembly.observer, options, manager.clock)
    for resource, name, scope in _SCOPES:
        assembly.cache.informer(resource).add_handler(metrics.models(str(scope)))
        requeue = Channel()
        reconciler = ModelReconciler(
            resource,
            observer=observer,
            readings=readings,
            client=manager.client,
            turns=assembly.turns,
            events=manager.events,
            requeue=requeue.send,
        )
        manager.controller(
            name,
            reconciler,
            for_=resource,
            sources=[*_sources(assembly, observer, resource), requeue],
            **assembly.defaults(),
        )


def _sources(assembly: Assembly, observer: ModelObserver, resource: Resource[Any]) -> list[Source]:
    cache, cluster = assembly.cache, not resource.namespaced

    def of_config(config: Object[Any]) -> Iterator[Request]:
        namespace = config.meta.namespace
        if cluster and namespace:
            # Cluster-scoped objects see runtime configs of the operator's namespace only.
            if namespace != assembly.options.operator_namespace:
                return
            namespace = ""
        for item in cache.by_index(
            resource, "runtime-config", place(namespace or EVERYWHERE, config.meta.name)
        ):
            yield item.key

    def of_template(template: Object[Any]) -> Iterator[Request]:
        namespace, name = template.meta.namespace, model_of(template)
        if not cluster:
            yield Request(namespace, name)
        elif not namespace or not observer.hidden(namespace, name):
            yield Request("", name)

    sources: list[Source] = [
        *(
            Watch(cache.informer(kind), EnqueueMapped(of_config), [generation_changed])
            for kind in (kinds.RUNTIME_CONFIGS, kinds.CLUSTER_RUNTIME_CONFIGS)
        ),
        *(
            Watch(
                cache.informer(kind),
                EnqueueMapped(of_template),
                [changed(state_of), _has_a_state],
                pause=ROLL_UP_SECONDS,
            )
            for kind in ((kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES) if cluster else (kinds.TEMPLATES,))
        ),
    ]
    if cluster:
        sources.append(
            Watch(
                cache.informer(kinds.MODELS),
                EnqueueMapped(lambda model: (Request("", model.meta.name),)),
                [_comes_or_goes],
            )
        )
    return sources


def _has_a_state(event: Event[Any]) -> bool:
    """A new template has none for a moment: it would take its model's state away for that moment."""
    return not isinstance(event, Created) or bool(state_of(event.object))


def _comes_or_goes(event: Event[Any]) -> bool:
    return not isinstance(event, Updated)
