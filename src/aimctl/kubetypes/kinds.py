"""The common built-in kinds with all their fields: one Resource for each.

The types of their views are in :mod:`aimctl.kubetypes.k8s`; the module of a type is imported when the first object of
its kind is decoded, so a kind that is not read costs nothing.

``aimctl.kubetypes.builtin`` has the same kinds with the fields that this project reads. The two Resources of a kind are
equal, because they are the same kind on the server. A cache that was declared with one of them does not accept the
other; in a scope of its own (``manager.scope``) each component declares what it reads.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from aimctl.kubetypes import k8s
from aimctl.kubetypes.builtin import decoder
from aimctl.kubetypes.objects import Resource

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CLUSTER_ROLES",
    "CLUSTER_ROLE_BINDINGS",
    "CONFIG_MAPS",
    "CORE_EVENTS",
    "CRDS",
    "CRON_JOBS",
    "DAEMON_SETS",
    "DEPLOYMENTS",
    "ENDPOINT_SLICES",
    "EVENTS",
    "HORIZONTAL_POD_AUTOSCALERS",
    "INGRESSES",
    "JOBS",
    "LEASES",
    "LIMIT_RANGES",
    "NAMESPACES",
    "NETWORK_POLICIES",
    "NODES",
    "PERSISTENT_VOLUMES",
    "PODS",
    "POD_DISRUPTION_BUDGETS",
    "PRIORITY_CLASSES",
    "PVCS",
    "REPLICATION_CONTROLLERS",
    "REPLICA_SETS",
    "RESOURCE_QUOTAS",
    "ROLES",
    "ROLE_BINDINGS",
    "SECRETS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "STATEFUL_SETS",
    "STORAGE_CLASSES",
]


@cache
def _decoder(view: str) -> Callable[[bytes], Any]:
    return decoder(getattr(k8s, view))


def _kind(
    group: str, version: str, kind: str, plural: str, *, view: str = "", namespaced: bool = True
) -> Resource[Any]:
    def decode(raw: bytes) -> Any:
        return _decoder(view or kind)(raw)

    return Resource(group, version, kind, plural, namespaced, decode)


CONFIG_MAPS: Resource[k8s.ConfigMap] = _kind("", "v1", "ConfigMap", "configmaps")
CORE_EVENTS: Resource[k8s.CoreEvent] = _kind("", "v1", "Event", "events", view="CoreEvent")
LIMIT_RANGES: Resource[k8s.LimitRange] = _kind("", "v1", "LimitRange", "limitranges")
NAMESPACES: Resource[k8s.Namespace] = _kind("", "v1", "Namespace", "namespaces", namespaced=False)
NODES: Resource[k8s.Node] = _kind("", "v1", "Node", "nodes", namespaced=False)
PERSISTENT_VOLUMES: Resource[k8s.PersistentVolume] = _kind(
    "", "v1", "PersistentVolume", "persistentvolumes", namespaced=False
)
PODS: Resource[k8s.Pod] = _kind("", "v1", "Pod", "pods")
PVCS: Resource[k8s.PersistentVolumeClaim] = _kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
REPLICATION_CONTROLLERS: Resource[k8s.ReplicationController] = _kind(
    "", "v1", "ReplicationController", "replicationcontrollers"
)
RESOURCE_QUOTAS: Resource[k8s.ResourceQuota] = _kind("", "v1", "ResourceQuota", "resourcequotas")
SECRETS: Resource[k8s.Secret] = _kind("", "v1", "Secret", "secrets")
SERVICES: Resource[k8s.Service] = _kind("", "v1", "Service", "services")
SERVICE_ACCOUNTS: Resource[k8s.ServiceAccount] = _kind("", "v1", "ServiceAccount", "serviceaccounts")

DAEMON_SETS: Resource[k8s.DaemonSet] = _kind("apps", "v1", "DaemonSet", "daemonsets")
DEPLOYMENTS: Resource[k8s.Deployment] = _kind("apps", "v1", "Deployment", "deployments")
REPLICA_SETS: Resource[k8s.ReplicaSet] = _kind("apps", "v1", "ReplicaSet", "replicasets")
STATEFUL_SETS: Resource[k8s.StatefulSet] = _kind("apps", "v1", "StatefulSet", "statefulsets")
CRON_JOBS: Resource[k8s.CronJob] = _kind("batch", "v1", "CronJob", "cronjobs")
JOBS: Resource[k8s.Job] = _kind("batch", "v1", "Job", "jobs")
HORIZONTAL_POD_AUTOSCALERS: Resource[k8s.HorizontalPodAutoscaler] = _kind(
    "autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"
)
POD_DISRUPTION_BUDGETS: Resource[k8s.PodDisruptionBudget] = _kind(
    "policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"
)

INGRESSES: Resource[k8s.Ingress] = _kind("networking.k8s.io", "v1", "Ingress", "ingresses")
NETWORK_POLICIES: Resource[k8s.NetworkPolicy] = _kind(
    "networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"
)
ENDPOINT_SLICES: Resource[k8s.EndpointSlice] = _kind(
    "discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"
)

ROLES: Resource[k8s.Role] = _kind("rbac.authorization.k8s.io", "v1", "Role", "roles")
ROLE_BINDINGS: Resource[k8s.RoleBinding] = _kind(
    "rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"
)
CLUSTER_ROLES: Resource[k8s.ClusterRole] = _kind(
    "rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False
)
CLUSTER_ROLE_BINDINGS: Resource[k8s.ClusterRoleBinding] = _kind(
    "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)

STORAGE_CLASSES: Resource[k8s.StorageClass] = _kind(
    "storage.k8s.io", "v1", "StorageClass", "storageclasses", namespaced=False
)
LEASES: Resource[k8s.Lease] = _kind("coordination.k8s.io", "v1", "Lease", "leases")
PRIORITY_CLASSES: Resource[k8s.PriorityClass] = _kind(
    "scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", namespaced=False
)
EVENTS: Resource[k8s.Event] = _kind("events.k8s.io", "v1", "Event", "events")
CRDS: Resource[k8s.CustomResourceDefinition] = _kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    namespaced=False,
)
