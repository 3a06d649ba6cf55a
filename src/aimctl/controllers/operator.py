"""The operator, put together: which events ask for which reconciler.

    templates change        -> templates and discovery, for themselves
    models, runtime configs -> both, for the templates that refer to them (by index)
    a GPU model comes, goes -> both, for the templates that need it (by index)
    services change         -> discovery, for the templates they wait for: these get slots first
    Jobs and their pods     -> discovery, for the template that owns them
    a Job ends or is gone   -> admission

Everything here uses what a platform team's own reconciler would use; see ``docs/examples``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import Scope
from aimctl.controllers import kinds
from aimctl.controllers.admission import ROUND, DiscoveryAdmission, slot_freed
from aimctl.controllers.discovery import DiscoveryReconciler
from aimctl.controllers.indexes import EVERYWHERE, place
from aimctl.controllers.inventory import GpuChanges
from aimctl.controllers.metrics import OperatorMetrics
from aimctl.controllers.observer import TemplateObserver
from aimctl.controllers.options import OperatorOptions
from aimctl.controllers.status import Turns
from aimctl.controllers.templates import TemplateReconciler
from aimctl.runtime.controller import (
    Controller,
    Created,
    EnqueueMapped,
    EnqueueObject,
    EnqueueOwner,
    HotLoopDetector,
    Request,
    Watch,
    generation_changed,
)
from aimctl.runtime.kube.builtin import JOBS, PODS
from aimctl.runtime.queue import ExponentialRateLimiter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aimctl.runtime.controller import Reconciler, Source
    from aimctl.runtime.kube import Object, Resource
    from aimctl.runtime.manager import Manager

__all__ = ["OperatorOptions", "add_operator"]

LONGEST_PAUSE_SECONDS = 60.0
"""Between two attempts that fail, so that nothing waits much longer than an outage lasted."""


def add_operator(manager: Manager, options: OperatorOptions) -> DiscoveryAdmission:
    """Add the operator's controllers, metrics and debug page to a manager; returns the admission for whoever shows it.

    Call it before ``manager.run()``.
    """
    return _Assembly(manager, options).build()


@final
class _Assembly:
    def __init__(self, manager: Manager, options: OperatorOptions) -> None:
        self._manager = manager
        self._options = options
        self._cache = manager.cache
        self._observer = TemplateObserver(manager.cache, options, manager.clock)

    def build(self) -> DiscoveryAdmission:
        manager, options = self._manager, self._options
        admission = DiscoveryAdmission(
            cache=manager.cache,
            client=manager.client,
            api_reader=manager.api_reader,
            clock=manager.clock,
            limit=options.discovery_limit,
            namespaces=options.namespaces,
        )
        metrics = OperatorMetrics(
            manager.metrics.registry,
            limit=options.discovery_limit,
            running=lambda: admission.running,
            pending=lambda: admission.pending,
        )
        admission.on_granted(metrics.wait_seconds.observe)
        scopes: tuple[tuple[Resource[Any], Scope], ...] = (
            (kinds.TEMPLATES, Scope.NAMESPACE),
            (kinds.CLUSTER_TEMPLATES, Scope.CLUSTER),
        )
        queues = []
        for resource, scope in scopes:
            self._cache.informer(resource).add_handler(metrics.templates(str(scope)))
            prefix = "cluster" if scope is Scope.CLUSTER else ""
            turns = Turns()
            templates = TemplateReconciler(
                resource,
                observer=self._observer,
                client=manager.client,
                turns=turns,
                events=manager.events,
            )
            discovery = DiscoveryReconciler(
                resource,
                observer=self._observer,
                client=manager.client,
                turns=turns,
                events=manager.events,
                admission=admission,
                metrics=metrics,
                clock=manager.clock,
            )
            self._add(f"{prefix}templates", templates, resource, self._common(resource))
            controller = self._add(
                f"{prefix}discovery", discovery, resource, [*self._common(resource), *self._of_jobs(resource)]
            )
            discovery.look_again_with(controller.queue.add)
            queues.append(controller.queue)
        admission.gather_while(lambda: any(map(len, queues)))
        self._add_admission(admission)
        manager.add_debug_page("discovery", admission.queue)
        return admission

    # ---- controllers

    def _add(
        self, name: str, reconciler: Reconciler, resource: Resource[Any], sources: Iterable[Source]
    ) -> Controller:
        manager = self._manager
        controller = Controller(
            name,
            reconciler,
            kind=resource.kind,
            sources=sources,
            clock=manager.clock,
            rng=manager.rng,
            rate_limiter=ExponentialRateLimiter(max_seconds=LONGEST_PAUSE_SECONDS),
            max_concurrent_reconciles=self._options.max_concurrent_reconciles,
            metrics=manager.metrics.controller(name),
            queue_metrics=manager.metrics.queue(name),
        )
        manager.add(controller)
        return controller

    def _add_admission(self, admission: DiscoveryAdmission) -> None:
        manager, name = self._manager, "discovery-admission"
        jobs = Watch(self._cache.informer(JOBS), EnqueueMapped(lambda _: (ROUND,)), [slot_freed])
        controller = Controller(
            name,
            admission,
            kind="Job",
            sources=[jobs],
            # Its one key stands for every template that waits and every Job that ends: often is right.
            hot_loop=HotLoopDetector(0),
            clock=manager.clock,
            rng=manager.rng,
            rate_limiter=ExponentialRateLimiter(max_seconds=LONGEST_PAUSE_SECONDS),
            metrics=manager.metrics.controller(name),
            queue_metrics=manager.metrics.queue(name),
        )
        admission.wake_with(lambda: controller.queue.add(ROUND))
        manager.add(controller)

    # ---- sources

    def _common(self, resource: Resource[Any]) -> list[Source]:
        """What concerns a template itself."""
        find, informer = self._templates(resource), self._cache.informer

        def by_name(index: str) -> EnqueueMapped[Any]:
            return EnqueueMapped(lambda obj: find(index, obj))

        return [
            Watch(informer(resource), EnqueueObject()),
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

    def _of_jobs(self, resource: Resource[Any]) -> list[Source]:
        """What concerns a template's discovery."""
        informer, owner = self._cache.informer, EnqueueOwner(resource)

        def of_pod(pod: Object[Any]) -> Iterator[Request]:
            job = self._observer.job_of_pod(pod)
            if job is not None:
                yield from owner.requests(Created(job))

        def of_service(service: Object[Any]) -> Iterator[Request]:
            spec = service.view.spec
            where = service.meta.namespace if resource.namespaced else ""
            if spec.template_ref:
                yield Request(where, spec.template_ref)
            elif spec.model.ref:
                for item in self._cache.by_index(resource, "model", place(where, spec.model.ref)):
                    yield item.key

        return [
            Watch(informer(JOBS), owner),
            Watch(informer(PODS), EnqueueMapped(of_pod)),
            Watch(informer(kinds.SERVICES), EnqueueMapped(of_service), [generation_changed]),
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
