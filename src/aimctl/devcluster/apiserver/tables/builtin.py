"""The columns of built-in kinds, as in the real server (1.36).

Contract: :data:`BUILTIN_TABLES` has, by group and kind, the columns (name, type, priority) and a function that
returns the cells of an object. Columns with a priority above zero are shown with ``-o wide`` only. The functions do
not raise for objects that fit their schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.tables.ages import age
from aimctl.devcluster.apiserver.tables.common import (
    NONE,
    UNSET_TEXT,
    BuiltinTable,
    age_of,
    columns,
    labels_text,
    metadata_of,
    name_of,
    spec_of,
    status_of,
)
from aimctl.devcluster.apiserver.tables.pod import pod_cells
from aimctl.devcluster.apiserver.tables.policies import TABLES
from aimctl.devcluster.apiserver.tables.workloads import (
    daemonset_cells,
    deployment_cells,
    job_cells,
    replicaset_cells,
    statefulset_cells,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

__all__ = ["BUILTIN_TABLES", "BuiltinTable"]


def _configmap(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    return [name_of(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), age_of(obj, now)]


def _secret(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    return [name_of(obj), obj.get("type"), len(obj.get("data") or {}), age_of(obj, now)]


def _serviceaccount(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    return [name_of(obj), age_of(obj, now)]


def _namespace(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    return [name_of(obj), status_of(obj).get("phase", ""), age_of(obj, now)]


def _node(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    conditions = {item.get("type"): item.get("status") for item in status_of(obj).get("conditions") or ()}
    states = [
        "Unknown" if "Ready" not in conditions else "Ready" if conditions["Ready"] == "True" else "NotReady"
    ]
    if spec_of(obj).get("unschedulable"):
        states.append("SchedulingDisabled")
    roles = {
        key.removeprefix("node-role.kubernetes.io/") if key != "kubernetes.io/role" else value
        for key, value in (metadata_of(obj).get("labels") or {}).items()
        if key.startswith("node-role.kubernetes.io/") or key == "kubernetes.io/role"
    }
    addresses: dict[str, str] = {}
    for item in status_of(obj).get("addresses") or ():
        addresses.setdefault(item.get("type"), item.get("address"))
    info = status_of(obj).get("nodeInfo") or {}
    return [
        name_of(obj),
        ",".join(states),
        ",".join(sorted(role for role in roles if role)) or NONE,
        age_of(obj, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(modes: Iterable[str] | None) -> str:
    given = set(modes or ())
    return ",".join(short for name, short in _MODES.items() if name in given)


def _claim(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    phase = "Terminating" if metadata_of(obj).get("deletionTimestamp") else status.get("phase", "")
    bound = bool(spec.get("volumeName"))
    storage_class = spec.get("storageClassName") or ""
    return [
        name_of(obj),
        phase,
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "") if bound else "",
        _modes(status.get("accessModes")) if bound else "",
        storage_class,
        spec.get("volumeAttributesClassName") or UNSET_TEXT,
        age_of(obj, now),
        spec.get("volumeMode") or UNSET_TEXT,
    ]


def _volume(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    claim = spec.get("claimRef") or {}
    return [
        name_of(obj),
        (spec.get("capacity") or {}).get("storage", ""),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if metadata_of(obj).get("deletionTimestamp") else status.get("phase", ""),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        spec.get("storageClassName", ""),
        spec.get("volumeAttributesClassName") or UNSET_TEXT,
        status.get("reason", ""),
        age_of(obj, now),
        spec.get("volumeMode") or UNSET_TEXT,
    ]


def _storage_class(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    annotations = metadata_of(obj).get("annotations") or {}
    default = annotations.get("storageclass.kubernetes.io/is-default-class") == "true"
    return [
        f"{name_of(obj)} (default)" if default else name_of(obj),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", "Immediate"),
        obj.get("allowVolumeExpansion", False),
        age_of(obj, now),
    ]


def _port(port: Mapping[str, Any]) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}"


def _service(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    spec = spec_of(obj)
    ports = [_port(port) for port in spec.get("ports") or ()]
    addresses = [
        item.get("ip") or item.get("hostname")
        for item in (status_of(obj).get("loadBalancer") or {}).get("ingress") or ()
    ]
    external = [*(addresses or ()), *(spec.get("externalIPs") or ())]
    pending = "<pending>" if spec.get("type") == "LoadBalancer" else NONE
    name = spec.get("externalName") if spec.get("type") == "ExternalName" else None
    return [
        name_of(obj),
        spec.get("type", ""),
        spec.get("clusterIP") or NONE,
        name or ",".join(str(item) for item in external) or pending,
        ",".join(ports) or NONE,
        age_of(obj, now),
        labels_text(spec.get("selector")),
    ]


def _lease(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    return [name_of(obj), spec_of(obj).get("holderIdentity", ""), age_of(obj, now)]


def _event(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    """The cells of an Event of either group, whose fields have different names."""
    series = obj.get("series") or {}
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    last = (
        series.get("lastObservedTime")
        or obj.get("lastTimestamp")
        or obj.get("deprecatedLastTimestamp")
        or first
    )
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    origin = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or ""
    count = series.get("count") or obj.get("count") or obj.get("deprecatedCount") or 1
    target = (
        f"{about.get('kind', '').lower()}/{about.get('name', '')}"
        if about.get("name")
        else about.get("kind", "").lower()
    )
    return [
        age(last, now),
        obj.get("type", ""),
        obj.get("reason", ""),
        target,
        about.get("fieldPath", ""),
        f"{origin}, {host}" if host else origin,
        str(obj.get("message") or obj.get("note") or "").strip(),
        age(first, now),
        count,
        name_of(obj),
    ]


def _created_at(obj: Mapping[str, Any], _now: datetime) -> list[Any]:
    return [name_of(obj), metadata_of(obj).get("creationTimestamp")]


def _binding(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    role = obj.get("roleRef") or {}
    subjects = obj.get("subjects") or ()

    def named(kind: str) -> str:
        found = [item for item in subjects if item.get("kind") == kind]
        if kind == "ServiceAccount":
            return ", ".join(f"{item.get('namespace', '')}/{item.get('name', '')}" for item in found)
        return ", ".join(item.get("name", "") for item in found)

    return [
        name_of(obj),
        f"{role.get('kind', '')}/{role.get('name', '')}",
        age_of(obj, now),
        named("User"),
        named("Group"),
        named("ServiceAccount"),
    ]


_RBAC = "rbac.authorization.k8s.io"
_WORKLOAD_WIDE = ("Containers", "Images", "Selector")
_EVENTS = BuiltinTable(
    tuple(
        (name, "string", priority)
        for name, priority in (
            *(("Last Seen", 0), ("Type", 0), ("Reason", 0), ("Object", 0), ("Subobject", 1), ("Source", 1)),
            *(("Message", 0), ("First Seen", 1), ("Count", 1), ("Name", 1)),
        )
    ),
    _event,
)
_CREATED = BuiltinTable((("Name", "string", 0), ("Created At", "date", 0)), _created_at)
_BINDINGS = BuiltinTable(
    columns("Name", "Role", "Age", wide=("Users", "Groups", "ServiceAccounts")), _binding
)

BUILTIN_TABLES: Mapping[tuple[str, str], BuiltinTable] = {
    ("", "ConfigMap"): BuiltinTable(columns("Name", "Data", "Age"), _configmap),
    ("", "Secret"): BuiltinTable(columns("Name", "Type", "Data", "Age"), _secret),
    ("", "ServiceAccount"): BuiltinTable(columns("Name", "Age"), _serviceaccount),
    ("", "Namespace"): BuiltinTable(columns("Name", "Status", "Age"), _namespace),
    ("", "Node"): BuiltinTable(
        columns(
            *("Name", "Status", "Roles", "Age", "Version"),
            wide=("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"),
        ),
        _node,
    ),
    ("", "Pod"): BuiltinTable(
        columns(
            *("Name", "Ready", "Status", "Restarts", "Age"),
            wide=("IP", "Node", "Nominated Node", "Readiness Gates"),
        ),
        pod_cells,
    ),
    ("", "PersistentVolumeClaim"): BuiltinTable(
        columns(
            *(
                "Name",
                "Status",
                "Volume",
                "Capacity",
                "Access Modes",
                "StorageClass",
                "VolumeAttributesClass",
                "Age",
            ),
            wide=("VolumeMode",),
        ),
        _claim,
    ),
    ("", "PersistentVolume"): BuiltinTable(
        columns(
            *("Name", "Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim", "StorageClass"),
            *("VolumeAttributesClass", "Reason", "Age"),
            wide=("VolumeMode",),
        ),
        _volume,
    ),
    ("", "Service"): BuiltinTable(
        columns("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", wide=("Selector",)), _service
    ),
    ("", "Event"): _EVENTS,
    ("events.k8s.io", "Event"): _EVENTS,
    ("storage.k8s.io", "StorageClass"): BuiltinTable(
        columns("Name", "Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion", "Age"),
        _storage_class,
    ),
    ("batch", "Job"): BuiltinTable(
        columns("Name", "Status", "Completions", "Duration", "Age", wide=_WORKLOAD_WIDE), job_cells
    ),
    ("coordination.k8s.io", "Lease"): BuiltinTable(columns("Name", "Holder", "Age"), _lease),
    ("apps", "Deployment"): BuiltinTable(
        columns("Name", "Ready", "Up-to-date", "Available", "Age", wide=_WORKLOAD_WIDE), deployment_cells
    ),
    ("apps", "ReplicaSet"): BuiltinTable(
        columns(
            *("Name", "Desired", "Current", "Ready", "Age"),
            wide=_WORKLOAD_WIDE,
            integers=frozenset({"Desired", "Current", "Ready"}),
        ),
        replicaset_cells,
    ),
    ("apps", "StatefulSet"): BuiltinTable(
        columns("Name", "Ready", "Age", wide=("Containers", "Images")), statefulset_cells
    ),
    ("apps", "DaemonSet"): BuiltinTable(
        columns(
            *("Name", "Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age"),
            wide=_WORKLOAD_WIDE,
            integers=frozenset({"Desired", "Current", "Ready", "Up-to-date", "Available"}),
        ),
        daemonset_cells,
    ),
    (_RBAC, "Role"): _CREATED,
    (_RBAC, "ClusterRole"): _CREATED,
    (_RBAC, "RoleBinding"): _BINDINGS,
    (_RBAC, "ClusterRoleBinding"): _BINDINGS,
    ("", "LimitRange"): _CREATED,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _CREATED,
    **TABLES,
}
