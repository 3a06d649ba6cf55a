"""Observe: one template and everything its decisions look at, read from the cache without waiting.

Invariant: nothing is read but what was declared in :meth:`TemplateObserver.declare`, and every lookup is by key or
index, so an observation costs the same with ten templates and with ten thousand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, final

from aimctl.api import kinds
from aimctl.controllers.indexes.services import SERVICE_LOOKUPS
from aimctl.controllers.indexes.templates import JOB_INDEXES, POD_INDEXES, TEMPLATE_INDEXES
from aimctl.controllers.inventory import GpuInventory
from aimctl.controllers.jobs import owned_jobs
from aimctl.domain.naming import (
    DISCOVERY,
    DOWNLOAD,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_TEMPLATE,
    MANAGED_BY,
)
from aimctl.domain.resolution import DEFAULT_RUNTIME_CONFIG, resolve_model, resolve_runtime_config
from aimctl.domain.templates.discovery_job import REDISCOVER_ANNOTATION, TemplateIdentity
from aimctl.domain.templates.observation import TemplateObservation
from aimctl.kubetypes.builtin import JOBS, NODES, PODS
from aimctl.kubetypes.permissions import observes
from aimctl.runtime.kube import ObjectKey

if TYPE_CHECKING:
    from aimctl.api.v1alpha1 import (
        AIMClusterServiceTemplate,
        AIMServiceTemplate,
        ModelSpec,
        RuntimeConfigSpec,
    )
    from aimctl.controllers.options import OperatorOptions
    from aimctl.domain.jobs.observed import ObservedJob
    from aimctl.domain.resolution import Missing, Resolved
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Object, Resource

__all__ = [
    "DISCOVERY_SELECTOR",
    "OWN_SELECTOR",
    "TemplateObserver",
]

PERMISSIONS = (
    *observes(
        kinds.TEMPLATES,
        kinds.CLUSTER_TEMPLATES,
        kinds.SERVICES,
        kinds.MODELS,
        kinds.CLUSTER_MODELS,
        kinds.RUNTIME_CONFIGS,
        kinds.CLUSTER_RUNTIME_CONFIGS,
        reason="observe every kind of the operator",
    ),
    *observes(JOBS, reason="count unfinished discovery Jobs, and observe discovery and downloads"),
    *observes(PODS, reason="report why the pod of a Job does not start"),
    *observes(NODES, reason="read from the labels of nodes which GPUs they offer"),
)

S = TypeVar("S")

DISCOVERY_SELECTOR = f"{LABEL_TEMPLATE},{LABEL_COMPONENT}={DISCOVERY}"
"""Jobs and pods of discovery."""

OWN_SELECTOR = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_COMPONENT} in ({DISCOVERY},{DOWNLOAD})"
"""Jobs and pods of the operator: no others are listed or watched."""


@final
class TemplateObserver:
    """See the module.

    Args:
        cache: where everything is declared and read.
        options: the operator's.
        clock: for ``now``.
    """

    def __init__(self, cache: Cache, options: OperatorOptions, clock: Clock) -> None:
        self.cache = cache
        self._options = options
        self._clock = clock
        self.inventory = self._declare()

    def observe(
        self, resource: Resource[Any], request: Request, *, with_jobs: bool
    ) -> tuple[Object[Any], TemplateObservation] | None:
        """The template of this key and what concerns it; None when it is gone.

        Args:
            resource: namespaced or cluster templates.
            request: which one.
            with_jobs: also its Jobs and their pods.
        """
        obj = self.cache.get(resource, request.name, request.namespace)
        if obj is None:
            return None
        # The typed view is not remembered on the object: a template is decided about once and then left alone.
        view: AIMServiceTemplate | AIMClusterServiceTemplate = resource.decode(obj.raw)
        identity = TemplateIdentity(
            kind=resource.kind,
            namespace=obj.meta.namespace,
            name=obj.meta.name,
            uid=obj.meta.uid,
            generation=obj.meta.generation,
            deleting=obj.meta.deleting,
            rediscover=obj.annotations.get(REDISCOVER_ANNOTATION, ""),
            labels=obj.meta.labels,
        )
        seen = TemplateObservation(
            template=identity,
            view=view,
            model=self.model(view.spec.model_name, obj.meta.namespace),
            runtime_config=self.runtime_config(view.spec.runtime_config_name, obj.meta.namespace),
            gpu_models=self.inventory.offered,
            operator_namespace=self._options.operator_namespace,
            now=self._clock.now(),
            jobs=self.jobs_of(obj.meta.uid) if with_jobs else (),
        )
        return obj, seen

    def jobs_of(self, uid: str) -> tuple[ObservedJob, ...]:
        """The Jobs that the object of this UID owns, each with its pods."""
        return owned_jobs(self.cache, uid)

    def job_of_pod(self, pod: Object[Any]) -> Object[Any] | None:
        """The Job a discovery pod belongs to, while it is cached."""
        for owner in pod.meta.owners:
            if owner.kind == JOBS.kind and owner.controller:
                job = self.cache.informer(JOBS).store.get(ObjectKey(pod.meta.namespace, owner.name))
                if job is not None and job.meta.uid == owner.uid:
                    return job
        return None

    def model(self, name: str, namespace: str) -> Resolved[ModelSpec] | Missing:
        """The model that a name refers to in a namespace; "" for cluster templates."""
        get = self.cache.get
        own = get(kinds.MODELS, name, namespace) if namespace else None
        return resolve_model(name, namespace, namespaced=own, cluster=get(kinds.CLUSTER_MODELS, name))

    def runtime_config(self, name: str, namespace: str) -> Resolved[RuntimeConfigSpec] | Missing:
        """The runtime config that a name refers to in a namespace; "" for cluster-scoped objects."""
        where, name = namespace or self._options.operator_namespace, name or DEFAULT_RUNTIME_CONFIG
        own = self.cache.get(kinds.RUNTIME_CONFIGS, name, where)
        cluster = self.cache.get(kinds.CLUSTER_RUNTIME_CONFIGS, name)
        return resolve_runtime_config(name, where, namespaced=own, cluster=cluster)

    def _declare(self) -> GpuInventory:
        declare, own = self.cache.declare, self._options.namespaces
        declare(kinds.TEMPLATES, namespaces=own, indexes=TEMPLATE_INDEXES)
        declare(kinds.CLUSTER_TEMPLATES, indexes=TEMPLATE_INDEXES)
        declare(kinds.SERVICES, namespaces=own, indexes=SERVICE_LOOKUPS)
        declare(kinds.MODELS, namespaces=own)
        declare(kinds.RUNTIME_CONFIGS, namespaces=own)
        declare(kinds.CLUSTER_MODELS)
        declare(kinds.CLUSTER_RUNTIME_CONFIGS)
        declare(JOBS, namespaces=own, label_selector=OWN_SELECTOR, indexes=JOB_INDEXES)
        declare(PODS, namespaces=own, label_selector=OWN_SELECTOR, indexes=POD_INDEXES)
        return GpuInventory(declare(NODES, projection="metadata"))
