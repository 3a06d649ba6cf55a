"""The kinds that several areas observe, and the references to models and runtime configs.

Invariant: every read is by key or by index, so its cost does not depend on the number of objects. Names that resemble a
missing one are looked for among those with the same first letter, once for each state of the cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.api import kinds
from aimctl.controllers.indexes.models import NAME_INDEXES, initial
from aimctl.controllers.indexes.services import SERVICE_LOOKUPS
from aimctl.controllers.indexes.templates import JOB_INDEXES, POD_INDEXES, TEMPLATE_INDEXES
from aimctl.controllers.inventory import GpuInventory
from aimctl.domain.naming import (
    DISCOVERY,
    DOWNLOAD,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_TEMPLATE,
    MANAGED_BY,
    similar,
)
from aimctl.domain.resolution import DEFAULT_RUNTIME_CONFIG, resolve_model, resolve_runtime_config
from aimctl.kubetypes.builtin import JOBS, NODES, PODS
from aimctl.kubetypes.permissions import observes

if TYPE_CHECKING:
    from aimctl.api.v1alpha1 import ModelSpec, RuntimeConfigSpec
    from aimctl.controllers.options import OperatorOptions
    from aimctl.domain.resolution import Missing, Resolved
    from aimctl.kubetypes import Resource
    from aimctl.runtime.cache import Cache

__all__ = ["DISCOVERY_SELECTOR", "OWN_SELECTOR", "References"]

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
    *observes(NODES, reason="read from labels and status of nodes which GPUs they offer"),
)

DISCOVERY_SELECTOR = f"{LABEL_TEMPLATE},{LABEL_COMPONENT}={DISCOVERY}"
"""Jobs and pods of discovery."""

OWN_SELECTOR = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_COMPONENT} in ({DISCOVERY},{DOWNLOAD})"
"""Jobs and pods of the operator. No others are listed or watched."""


_KEPT_SUGGESTIONS = 1000


@final
class References:
    """Declares the shared kinds, and resolves references.

    Args:
        cache: where the kinds are declared and read.
        options: the operator's.

    Attributes:
        cache: the cache.
        inventory: the GPUs that the nodes offer.
    """

    def __init__(self, cache: Cache, options: OperatorOptions) -> None:
        self.cache = cache
        self._operator_namespace = options.operator_namespace
        self._suggestions: dict[tuple[str, str, str], tuple[str, str]] = {}
        """By the missing object: the state of the caches, and the similar names."""
        self.inventory = self._declare(options.namespaces)

    def model(self, name: str, namespace: str, *, remedy: str = "") -> Resolved[ModelSpec] | Missing:
        """The model that a name refers to in a namespace; "" for cluster templates.

        ``remedy`` is what to do instead of creating a missing one.
        """
        get = self.cache.get
        own = get(kinds.MODELS, name, namespace) if namespace else None
        cluster = get(kinds.CLUSTER_MODELS, name)
        similar = "" if own or cluster else self._similar(name, namespace, kinds.MODELS, kinds.CLUSTER_MODELS)
        return resolve_model(name, namespace, namespaced=own, cluster=cluster, similar=similar, remedy=remedy)

    def runtime_config(self, name: str, namespace: str) -> Resolved[RuntimeConfigSpec] | Missing:
        """The runtime config that a name refers to in a namespace; "" for cluster-scoped objects."""
        where, name = namespace or self._operator_namespace, name or DEFAULT_RUNTIME_CONFIG
        own = self.cache.get(kinds.RUNTIME_CONFIGS, name, where)
        cluster = self.cache.get(kinds.CLUSTER_RUNTIME_CONFIGS, name)
        similar = ""
        if own is None and cluster is None and name != DEFAULT_RUNTIME_CONFIG:
            similar = self._similar(name, where, kinds.RUNTIME_CONFIGS, kinds.CLUSTER_RUNTIME_CONFIGS)
        return resolve_runtime_config(name, where, namespaced=own, cluster=cluster, similar=similar)

    def _similar(self, name: str, namespace: str, namespaced: Resource[Any], cluster: Resource[Any]) -> str:
        """The names of the namespace and the cluster that resemble a missing one, for messages."""
        places = [(cluster, ""), *([(namespaced, namespace)] if namespace else [])]
        version = str([self.cache.informer(kind).last_resource_version for kind, _ in places])
        key = (cluster.kind, namespace, name)
        known = self._suggestions.get(key)
        if known is not None and known[0] == version:
            return known[1]
        names = [
            item.meta.name
            for kind, where in places
            for item in self.cache.by_index(kind, "initial", initial(where, name))
        ]
        if len(self._suggestions) >= _KEPT_SUGGESTIONS:
            self._suggestions.clear()
        found = similar(name, names)
        self._suggestions[key] = version, found
        return found

    def _declare(self, namespaces: tuple[str, ...]) -> GpuInventory:
        declare = self.cache.declare
        declare(kinds.TEMPLATES, namespaces=namespaces, indexes=TEMPLATE_INDEXES)
        declare(kinds.CLUSTER_TEMPLATES, indexes=TEMPLATE_INDEXES)
        declare(kinds.SERVICES, namespaces=namespaces, indexes=SERVICE_LOOKUPS)
        declare(kinds.MODELS, namespaces=namespaces, indexes=NAME_INDEXES)
        declare(kinds.RUNTIME_CONFIGS, namespaces=namespaces, indexes=NAME_INDEXES)
        declare(kinds.CLUSTER_MODELS, indexes=NAME_INDEXES)
        declare(kinds.CLUSTER_RUNTIME_CONFIGS, indexes=NAME_INDEXES)
        declare(JOBS, namespaces=namespaces, label_selector=OWN_SELECTOR, indexes=JOB_INDEXES)
        declare(PODS, namespaces=namespaces, label_selector=OWN_SELECTOR, indexes=POD_INDEXES)
        return GpuInventory(declare(NODES))
