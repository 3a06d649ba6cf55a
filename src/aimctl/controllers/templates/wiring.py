"""Templates and discovery, wired: which events ask for which reconciler.

templates change        -> templates and discovery, for themselves
models, runtime configs -> both, for the templates that refer to them (by index)
a GPU model comes, goes -> both, for the templates that need it (by index)
services change         -> discovery, for those of the templates they wait for that wait for a slot: they get it first
Jobs and their pods     -> discovery, for the template that owns them
a Job ends or is gone   -> admission
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.api import kinds
from aimctl.api.v1alpha1 import Scope
from aimctl.controllers.indexes.services import resolved_of
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.controllers.inventory import GpuChanges
from aimctl.controllers.templates.admission import ROUND, DiscoveryAdmission, slot_freed
from aimctl.controllers.templates.discovery import DiscoveryReconciler
from aimctl.controllers.templates.reconciler import TemplateReconciler
from aimctl.kubetypes.builtin import JOBS, PODS
from aimctl.kubetypes.permissions import Permission, owns, writes_status
from aimctl.runtime.controller import (
    Channel,
    Created,
    EnqueueMapped,
    EnqueueOwner,
    HotLoopDetector,
    Request,
    Watch,
    any_of,
    changed,
    generation_changed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.controllers.assembly import Assembly
    from aimctl.runtime.controller import Controller, Source
    from aimctl.runtime.kube import Object, Resource

__all__ = ["add_templates"]

PERMISSIONS = (
    *writes_status(kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES),
    *owns(kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES),
    Permission(JOBS, ("create",), "run discovery"),
    Permission(JOBS, ("get",), "find out whether a Job was created if the response to its creation was lost"),
    Permission(JOBS, ("delete",), "stop discovery Jobs whose result is no longer needed"),
    Permission(PODS, ("get",), "read the output of discovery", "log"),
)

_SCOPES: tuple[tuple[Resource[Any], Scope], ...] = (
    (kinds.TEMPLATES, Scope.NAMESPACE),
    (kinds.CLUSTER_TEMPLATES, Scope.CLUSTER),
)


def add_templates(assembly: Assembly) -> DiscoveryAdmission:
    """Add the reconcilers of templates and discovery, for both scopes, and admission, which is returned."""
    wiring = _Wiring(assembly)
    wiring.build()
    return wiring.admission


@final
class _Wiring:
    def __init__(self, assembly: Assembly) -> None:
        manager, options = assembly.manager, assembly.options
        self._assembly = assembly
        self._rounds = Channel()
        self._discovery: list[Controller] = []
        self.admission = DiscoveryAdmission(
            cache=manager.cache,
            client=manager.client,
            api_reader=manager.api_reader,
            clock=manager.clock,
            limit=options.discovery_limit,
            namespaces=options.namespaces,
            requeue=self._rounds.send,
            granted=assembly.metrics.wait_seconds.observe,
            busy=lambda: any(len(controller.queue) for controller in self._discovery),
        )
        self._options = assembly.options
        self._cache = assembly.cache
        self._observer = assembly.observer

    def build(self) -> None:
        assembly, manager = self._assembly, self._assembly.manager
        for resource, scope in _SCOPES:
            self._cache.informer(resource).add_handler(assembly.metrics.templates(str(scope)))
            prefix = "cluster" if scope is Scope.CLUSTER else ""
            templates = TemplateReconciler(
                resource,
                observer=self._observer,
                client=manager.client,
                turns=assembly.turns,
                events=manager.events,
            )
            requeue = Channel()
            discovery = DiscoveryReconciler(
                resource,
                observer=self._observer,
                client=manager.client,
                turns=assembly.turns,
                events=manager.events,
                admission=self.admission,
                metrics=assembly.metrics,
                clock=manager.clock,
                requeue=requeue.send,
            )
            manager.controller(
                f"{prefix}templates",
                templates,
                for_=resource,
                sources=self._common(resource),
                **assembly.defaults(),
            )
            controller = manager.controller(
                f"{prefix}discovery",
                discovery,
                for_=resource,
                owns=[JOBS],
                sources=[*self._common(resource), *self._for_discovery(resource), requeue],
                **assembly.defaults(),
            )
            self._discovery.append(controller)
        jobs = Watch(self._cache.informer(JOBS), EnqueueMapped(lambda _: (ROUND,)), [slot_freed])
        manager.controller(
            "discovery-admission",
            self.admission,
            kind=JOBS.kind,
            sources=[jobs, self._rounds],
            # One key stands for all templates and Jobs, so frequent rounds are no sign of a hot loop.
            hot_loop=HotLoopDetector(0),
            **assembly.defaults(workers=1),
        )

    # ---- sources

    def _common(self, resource: Resource[Any]) -> list[Source]:
        """What concerns a template itself."""
        find, informer = self._templates(resource), self._cache.informer

        def by_name(index: str) -> EnqueueMapped[Any]:
            return EnqueueMapped(lambda obj: find(index, obj))

        return [
            *(
                Watch(informer(kind), by_name(index), [generation_changed])
                for index, pair in (
                    ("model", (kinds.MODELS, kinds.CLUSTER_MODELS)),
                    ("runtime-config", (kinds.RUNTIME_CONFIGS, kinds.CLUSTER_RUNTIME_CONFIGS)),
                )
                for kind in pair
            ),
            GpuChanges(
                self._observer.inventory,
                lambda model: [item.key for item in self._cache.by_index(resource, "gpu", model)],
            ),
        ]

    def _for_discovery(self, resource: Resource[Any]) -> list[Source]:
        """What concerns a template's discovery."""
        informer, owner = self._cache.informer, EnqueueOwner(resource)

        def of_pod(pod: Object[Any]) -> Iterator[Request]:
            job = self._observer.job_of_pod(pod)
            if job is not None:
                yield from owner.requests(Created(job))

        def of_service(service: Object[Any]) -> Iterator[Request]:
            # Whether a service waits for it matters for a template's place in the line, and so only in the line.
            for request in waited_for(service):
                if self.admission.waits(place(request.namespace, request.name)):
                    yield request

        def waited_for(service: Object[Any]) -> Iterator[Request]:
            spec, (template, model) = service.view.spec, resolved_of(service)
            where = service.meta.namespace if resource.namespaced else ""
            if template is not None and template.kind == resource.kind:
                yield Request(where, template.name)
            if spec.template_ref:
                yield Request(where, spec.template_ref)
            elif name := spec.model.ref or (model is not None and model.name):
                for item in self._cache.by_index(resource, "model", place(where, name)):
                    yield item.key

        return [
            Watch(informer(PODS), EnqueueMapped(of_pod)),
            Watch(
                informer(kinds.SERVICES),
                EnqueueMapped(of_service),
                [any_of(generation_changed, changed(resolved_of))],
            ),
        ]

    def _templates(self, resource: Resource[Any]) -> Any:
        """The templates of one scope that may mean an object when they say its name."""
        operator_namespace = self._options.operator_namespace

        def find(index: str, obj: Object[Any]) -> list[Request]:
            namespace = obj.meta.namespace
            if not resource.namespaced and namespace:
                # Cluster templates see no namespaced models, and runtime configs of the operator's namespace only.
                if index == "model" or namespace != operator_namespace:
                    return []
                namespace = ""
            where = place(namespace or EVERYWHERE, obj.meta.name)
            return [item.key for item in self._cache.by_index(resource, index, where)]

        return find
