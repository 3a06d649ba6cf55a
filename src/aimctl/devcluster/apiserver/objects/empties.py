"""Fields of built-in kinds that Go writes even if they are not set.

Contract: :data:`EMPTIES` has, by the short name of a definition, what such fields contain. That is null for a time that
is not a pointer and for a list or pointer without ``omitempty``, an empty object for a structure that is not a pointer,
or an empty text. Server-side apply and the owners of fields treat these as values.

Source: the types of k8s.io/api.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EMPTIES"]


def _nulls(*fields: str) -> dict[str, Any]:
    return dict.fromkeys(fields)


_TRANSITION = _nulls("lastTransitionTime")
_PROBED = _nulls("lastProbeTime", "lastTransitionTime")
_UPDATED = _nulls("lastUpdateTime", "lastTransitionTime")
_NODE_INFO = (
    *("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion"),
    *("kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture"),
)

EMPTIES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "apiextensions.v1.CustomResourceDefinitionCondition": _TRANSITION,
        "apiextensions.v1.CustomResourceDefinitionStatus": _nulls("conditions", "storedVersions"),
        "apps.v1.DaemonSetCondition": _TRANSITION,
        "apps.v1.DeploymentCondition": _UPDATED,
        "apps.v1.ReplicaSetCondition": _TRANSITION,
        "apps.v1.StatefulSetCondition": _TRANSITION,
        "apps.v1.StatefulSetSpec": {"serviceName": ""},
        "autoscaling.v2.HorizontalPodAutoscalerCondition": _TRANSITION,
        "autoscaling.v2.HorizontalPodAutoscalerStatus": _nulls("currentMetrics"),
        "batch.v1.JobCondition": _PROBED,
        "certificates.v1.CertificateSigningRequestCondition": _UPDATED,
        "core.v1.ContainerStateRunning": _nulls("startedAt"),
        "core.v1.ContainerStateTerminated": _nulls("startedAt", "finishedAt"),
        "core.v1.ContainerStatus": {"state": {}, "lastState": {}},
        "core.v1.Event": {
            **_nulls("eventTime", "firstTimestamp", "lastTimestamp"),
            "source": {},
            "reportingComponent": "",
            "reportingInstance": "",
        },
        "core.v1.LimitRangeSpec": _nulls("limits"),
        "core.v1.TypedLocalObjectReference": _nulls("apiGroup"),
        "core.v1.TypedObjectReference": _nulls("apiGroup"),
        "core.v1.NamespaceCondition": _TRANSITION,
        "core.v1.NodeCondition": _nulls("lastHeartbeatTime", "lastTransitionTime"),
        "core.v1.NodeDaemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
        "core.v1.NodeStatus": {
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": dict.fromkeys(_NODE_INFO, ""),
        },
        "core.v1.NodeSystemInfo": dict.fromkeys(_NODE_INFO, ""),
        "core.v1.PersistentVolumeClaimCondition": _PROBED,
        "core.v1.PodCondition": _PROBED,
        "core.v1.ReplicationControllerCondition": _TRANSITION,
        "discovery.v1.EndpointSlice": _nulls("endpoints", "ports"),
        "events.v1.Event": {
            **_nulls("eventTime", "deprecatedFirstTimestamp", "deprecatedLastTimestamp"),
            "deprecatedSource": {},
        },
        "meta.v1.Condition": _TRANSITION,
        "rbac.v1.ClusterRole": _nulls("rules"),
        "rbac.v1.Role": _nulls("rules"),
        "storage.v1.CSINodeSpec": _nulls("drivers"),
    }
)
