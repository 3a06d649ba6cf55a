"""The controllers of templates and discovery, and discovery admission.

================================  ==================================================================================
event                             reconciled
================================  ==================================================================================
a template changes                the template, by both reconcilers
a model or runtime config         by both, the templates that refer to it
changes
a template cache is filled or     by both, the template of its name
emptied
a GPU model becomes available or  by both, the templates that need it
unavailable
a service changes                 by discovery, the templates that it waits for and that wait for a slot; they get one
                                  before others
a discovery Job or its pod        by discovery, the template that controls the Job
changes
the log of a pod was read         by discovery, its template
a discovery Job ends              admission: a round
a template gets a slot            by discovery, the template, which creates its Job
================================  ==================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.api import kinds
from aimctl.api.v1alpha1 import Scope
from aimctl.controllers.execution.pod_logs import PodLogs
from aimctl.controllers.execution.rejections import Rejections
from aimctl.controllers.indexes.caching import available_sources
from aimctl.controllers.indexes.services import resolved_of
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.controllers.inventory import GpuChanges
from aimctl.controllers.jobs import job_of_pod
from aimctl.controllers.templates.admission import ROUND, DiscoveryAdmission, slot_freed
from aimctl.controllers.templates.durations import DiscoveryDurations
from aimctl.controllers.templates.observer import TemplateObserver
from aimctl.domain.templates.decision import FIELD_MANAGER, decide_discovery, decide_template
from aimctl.domain.templates.discovery_output import MAX_OUTPUT_BYTES
from aimctl.kubetypes.builtin import CONFIG_MAPS, CORE_EVENTS, JOBS, PODS, SECRETS, SERVICE_ACCOUNTS
from aimctl.kubetypes.permissions import Permission, owns, writes_status
from aimctl.runtime.controller import (
    Channel,
    Created,
    EnqueueMapped,
    EnqueueObject,
    EnqueueOwner,
    HotLoopDetector,
    Request,
    Watch,
    any_of,
    changed,
    generation_changed,
)
from aimctl.runtime.queue import PRIORITY_DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.controllers.operator_context import OperatorContext
    from aimctl.runtime.controller import Controller, Source
    from aimctl.runtime.kube import Object, Resource

__all__ = ["add_templates"]

_WITH_SLOT = PRIORITY_DEFAULT + 1
"""A template with a slot is reconciled before others, because the slot is occupied meanwhile."""

PERMISSIONS = (
    *writes_status(kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES),
    *owns(kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES),
    Permission(JOBS, ("create",), "run discovery"),
    Permission(JOBS, ("get",), "find out whether a Job was created if the response to its creation was lost"),
    Permission(JOBS, ("delete",), "stop discovery Jobs whose result is no longer needed"),
    Permission(PODS, ("get",), "read the output of discovery", "log"),
    Permission(CORE_EVENTS, ("list",), "report why the API server rejects the pods of a Job"),
    Permission(SECRETS, ("get",), "find out from their metadata which Secrets of a failed Job do not exist"),
    Permission(
        CONFIG_MAPS, ("get",), "find out from their metadata which ConfigMaps of a failed Job do not exist"
    ),
    Permission(SERVICE_ACCOUNTS, ("get",), "find out whether the service account of a failed Job exists"),
)


def add_templates(context: OperatorContext) -> DiscoveryAdmission:
    """Add the reconcilers of templates and discovery for both scopes, and admission, which is returned."""
    wiring = _Wiring(context)
    wiring.add(kinds.TEMPLATES, Scope.NAMESPACE)
    wiring.add(kinds.CLUSTER_TEMPLATES, Scope.CLUSTER)
    wiring.add_admission()
    return wiring.admission


@final
class _Wiring:
    """The components that the controllers share."""

    def __init__(self, context: OperatorContext) -> None:
        manager, options = context.manager, context.options
        self._context = context
        self._cache = context.cache
        context.cache.declare(kinds.TEMPLATE_CACHES, namespaces=options.namespaces)
        self._references = context.references
        self._rounds = Channel()
        self._requests = {Scope.NAMESPACE: Channel(), Scope.CLUSTER: Channel()}
        self._discovery: list[Controller] = []
        self._logs = PodLogs(manager.client, manager.clock, self._notify, limit_bytes=MAX_OUTPUT_BYTES + 1)
        manager.add(self._logs, name="discovery-logs")
        self._rejections = Rejections(manager.clock, manager.events)
        self._observer = TemplateObserver(
            context.references,
            operator_namespace=options.operator_namespace,
            clock=manager.clock,
            rejected_jobs=self._rejections,
            log_of=self._logs.result,
        )
        self.admission = DiscoveryAdmission(
            cache=manager.cache,
            find=self._observer.template,
            api_reader=manager.api_reader,
            clock=manager.clock,
            limit=options.discovery_limit,
            operator_namespace=options.operator_namespace,
            namespaces=options.namespaces,
            awaited=self._observer.awaited,
            next_round=self._rounds.send,
            notify=lambda request: self._notify(request, _WITH_SLOT),
            granted=context.metrics.wait_seconds.observe,
            starting=lambda: any(len(controller.queue) for controller in self._discovery),
        )

    def add(self, resource: Resource[Any], scope: Scope) -> None:
        """Add the reconcilers of one scope."""
        context, manager = self._context, self._context.manager
        informer, executor = self._cache.informer(resource), context.executor
        informer.add_handler(context.metrics.templates(str(scope)))
        informer.add_handler(
            DiscoveryDurations(
                context.metrics,
                self._cache,
                operator_namespace=context.options.operator_namespace,
                leading=manager.elected.is_set,
            )
        )
        prefix = "cluster" if scope is Scope.CLUSTER else ""
        manager.controller(
            f"{prefix}templates",
            executor.reconciler(self._observer.observe, decide_template, field_manager=FIELD_MANAGER),
            for_=resource,
            sources=self._common(resource),
            **context.defaults(),
        )
        controller = manager.controller(
            f"{prefix}discovery",
            executor.reconciler(
                self._observer.observe,
                decide_discovery,
                field_manager=FIELD_MANAGER,
                reader=self._logs,
                gate=self.admission,
                rejections=self._rejections,
            ),
            for_=resource,
            owns=[JOBS],
            sources=[*self._common(resource), *self._for_discovery(resource), self._requests[scope]],
            **context.defaults(),
        )
        self._discovery.append(controller)

    def add_admission(self) -> None:
        """Add the controller of admission, and its metrics."""
        context, admission = self._context, self.admission
        jobs = Watch(self._cache.informer(JOBS), EnqueueMapped(lambda _: (ROUND,)), [slot_freed])
        context.manager.controller(
            "discovery-admission",
            admission,
            kind=JOBS.kind,
            sources=[jobs, self._rounds],
            # One request stands for all templates and Jobs, so frequent rounds do not indicate a hot loop.
            hot_loop=HotLoopDetector(0),
            **context.defaults(workers=1),
        )
        leads = context.manager.elected.is_set
        context.metrics.admission(
            limit=context.options.discovery_limit,
            running=lambda: admission.running if leads() else 0,
            pending=lambda: admission.pending,
        )

    def _notify(self, request: Request, priority: int = PRIORITY_DEFAULT) -> None:
        scope = Scope.NAMESPACE if request.namespace else Scope.CLUSTER
        self._requests[scope].send(request, priority=priority)

    # ---- sources

    def _common(self, resource: Resource[Any]) -> list[Source]:
        """The events that concern a template itself."""
        informer = self._cache.informer

        def by_name(index: str) -> EnqueueMapped[Any]:
            return EnqueueMapped(lambda obj: self._referring(resource, index, obj))

        filled = Watch(informer(kinds.TEMPLATE_CACHES), EnqueueObject(), [changed(available_sources)])
        return [
            *((filled,) if resource.namespaced else ()),
            *(
                Watch(informer(kind), by_name(index), [generation_changed])
                for index, pair in (
                    ("model", (kinds.MODELS, kinds.CLUSTER_MODELS)),
                    ("runtime-config", (kinds.RUNTIME_CONFIGS, kinds.CLUSTER_RUNTIME_CONFIGS)),
                )
                for kind in pair
            ),
            GpuChanges(
                self._references.inventory,
                lambda model: [item.key for item in self._cache.by_index(resource, "gpu", model)],
            ),
        ]

    def _for_discovery(self, resource: Resource[Any]) -> list[Source]:
        """The events that concern the discovery of a template."""
        informer, owner = self._cache.informer, EnqueueOwner(resource)

        def of_pod(pod: Object[Any]) -> Iterator[Request]:
            job = job_of_pod(self._cache, pod)
            if job is not None:
                yield from owner.requests(Created(job))

        def of_service(service: Object[Any]) -> Iterator[Request]:
            # A service only affects the order in which waiting templates get slots.
            for request in awaited_by(service):
                if self.admission.waits(request):
                    yield request

        def awaited_by(service: Object[Any]) -> Iterator[Request]:
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

    def _referring(self, resource: Resource[Any], index: str, obj: Object[Any]) -> list[Request]:
        """The templates of one scope that may refer to an object, because they have its name."""
        namespace = obj.meta.namespace
        if not resource.namespaced and namespace:
            # Cluster templates use no namespaced models, and only the runtime configs of the operator's namespace.
            if index == "model" or namespace != self._context.options.operator_namespace:
                return []
            namespace = ""
        where = place(namespace or EVERYWHERE, obj.meta.name)
        return [item.key for item in self._cache.by_index(resource, index, where)]
