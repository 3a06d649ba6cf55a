"""The tables of kinds of scaling, networking, policy, scheduling, certificates, storage and admission.

Contract: :data:`TABLES` has the columns of the real server (1.36). The functions do not raise for objects that fit
their schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.tables.ages import age, human_duration
from aimctl.devcluster.apiserver.tables.common import (
    NONE,
    UNSET_TEXT,
    BuiltinTable,
    age_of,
    columns,
    container_texts,
    labels_text,
    metadata_of,
    name_of,
    selector_text,
    spec_of,
    status_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    Obj = Mapping[str, Any]

__all__ = ["TABLES"]

_SHOWN, _HOSTS_SHOWN, _METRICS_SHOWN, _ADDRESS_WIDTH = 3, 3, 2, 16


def _limited(texts: Sequence[str], most: int = _SHOWN, separator: str = ",") -> str:
    """The first texts, and how many more there are."""
    shown = separator.join(texts[:most])
    return f"{shown} + {len(texts) - most} more..." if len(texts) > most else shown


def _cronjob(obj: Obj, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    suspend = spec.get("suspend")
    job = spec_of(spec.get("jobTemplate") or {})
    last = status.get("lastScheduleTime")
    return [
        name_of(obj),
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        UNSET_TEXT if suspend is None else str(suspend),
        len(status.get("active") or ()),
        age(last, now) if last else NONE,
        age_of(obj, now),
        *container_texts(job.get("template") or {}),
        selector_text(job.get("selector")),
    ]


def _metric(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """``current/target`` of one metric of an autoscaler."""
    kind = spec.get("type") or ""
    field = kind[:1].lower() + kind[1:]
    source, current = spec.get(field) or {}, (status.get(field) or {}).get("current") or {}
    target = source.get("target") or {}
    if kind in ("Resource", "ContainerResource"):
        name = source.get("name", "")
        if "averageValue" in target:
            return f"{name}: {current.get('averageValue', '<unknown>')}/{target['averageValue']}"
        percent = current.get("averageUtilization")
        wanted = target.get("averageUtilization")
        shown = "<unknown>" if percent is None else f"{percent}%"
        return f"{name}: {shown}/{'<auto>' if wanted is None else f'{wanted}%'}"
    if kind == "Pods":
        return f"{current.get('averageValue', '<unknown>')}/{target.get('averageValue', '0')}"
    if kind in ("Object", "External"):
        if "averageValue" in target:
            return f"{current.get('averageValue', '<unknown>')}/{target['averageValue']} (avg)"
        return f"{current.get('value', '<unknown>')}/{target.get('value', '0')}"
    return "<unknown type>"


def _autoscaler(obj: Obj, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    target = spec.get("scaleTargetRef") or {}
    states = list(status.get("currentMetrics") or ())
    metrics = list(spec.get("metrics") or ())
    texts = [_metric(each, states[at] if at < len(states) else {}) for at, each in enumerate(metrics)]
    return [
        name_of(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _limited(texts, _METRICS_SHOWN, ", ") or NONE,
        str(spec.get("minReplicas", UNSET_TEXT)),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age_of(obj, now),
    ]


def _ingress(obj: Obj, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    rules = list(spec.get("rules") or ())
    hosts = [rule["host"] for rule in rules[:_HOSTS_SHOWN] if rule.get("host")]
    shown = ",".join(hosts) or "*"
    if hosts and len(rules) > _HOSTS_SHOWN:
        shown += f" + {len(rules) - _HOSTS_SHOWN} more..."
    points = (status_of(obj).get("loadBalancer") or {}).get("ingress") or ()
    address = ",".join(sorted({each.get("ip") or each.get("hostname") or "" for each in points} - {""}))
    if len(address) > _ADDRESS_WIDTH:
        address = f"{address[: _ADDRESS_WIDTH - 3]}..."
    ports = "80, 443" if spec.get("tls") else "80"
    return [name_of(obj), spec.get("ingressClassName") or NONE, shown, address, ports, age_of(obj, now)]


def _ingress_class(obj: Obj, now: datetime) -> list[Any]:
    annotations = metadata_of(obj).get("annotations") or {}
    default = annotations.get("ingressclass.kubernetes.io/is-default-class") == "true"
    given = spec_of(obj).get("parameters") or {}
    group = f".{given['apiGroup']}" if given.get("apiGroup") else ""
    parameters = f"{given.get('kind', '')}{group}/{given.get('name', '')}" if given else NONE
    name = f"{name_of(obj)} (default)" if default else name_of(obj)
    return [name, spec_of(obj).get("controller", ""), parameters, age_of(obj, now)]


def _network_policy(obj: Obj, now: datetime) -> list[Any]:
    return [name_of(obj), selector_text(spec_of(obj).get("podSelector")), age_of(obj, now)]


def _budget(obj: Obj, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    limits = (str(spec.get(name, "N/A")) for name in ("minAvailable", "maxUnavailable"))
    return [name_of(obj), *limits, status_of(obj).get("disruptionsAllowed", 0), age_of(obj, now)]


def _priority_class(obj: Obj, now: datetime) -> list[Any]:
    default, preemption = obj.get("globalDefault", False), obj.get("preemptionPolicy", "")
    return [name_of(obj), obj.get("value", 0), default, age_of(obj, now), preemption]


def _endpoint_slice(obj: Obj, now: datetime) -> list[Any]:
    ports = [str(port.get("port") or port.get("name") or "*") for port in obj.get("ports") or ()]
    addresses = [each for point in obj.get("endpoints") or () for each in point.get("addresses") or ()]
    lists = (_limited(ports) or UNSET_TEXT, _limited(addresses) or UNSET_TEXT)
    return [name_of(obj), obj.get("addressType", ""), *lists, age_of(obj, now)]


def _endpoints(obj: Obj, now: datetime) -> list[Any]:
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [str(each.get("ip", "")) for each in subset.get("addresses") or ()]
        ports = [port.get("port", 0) for port in subset.get("ports") or ()]
        hosts = [f"[{each}]" if ":" in each else each for each in addresses]
        found += [f"{each}:{port}" for port in ports for each in hosts] if ports else addresses
    return [name_of(obj), _limited(found) or NONE, age_of(obj, now)]


def _replication_controller(obj: Obj, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    texts = container_texts(spec.get("template") or {})
    numbers = (spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0))
    return [name_of(obj), *numbers, age_of(obj, now), *texts, labels_text(spec.get("selector"))]


def _revision(obj: Obj, now: datetime) -> list[Any]:
    owners = metadata_of(obj).get("ownerReferences") or ()
    owner = next((each for each in owners if each.get("controller")), None)
    shown = NONE
    if owner is not None:
        group = str(owner.get("apiVersion", "")).rpartition("/")[0]
        kind = str(owner.get("kind", "")).lower()
        shown = f"{kind}.{group}/{owner.get('name')}" if group else f"{kind}/{owner.get('name')}"
    return [name_of(obj), shown, obj.get("revision", 0), age_of(obj, now)]


def _webhooks(obj: Obj, now: datetime) -> list[Any]:
    return [name_of(obj), len(obj.get("webhooks") or ()), age_of(obj, now)]


def _runtime_class(obj: Obj, now: datetime) -> list[Any]:
    return [name_of(obj), obj.get("handler", ""), age_of(obj, now)]


def _certificate_request(obj: Obj, now: datetime) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    types = {each.get("type") for each in status.get("conditions") or ()}
    state = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    state += ",Failed" * ("Failed" in types) + ",Issued" * bool(status.get("certificate"))
    seconds = spec.get("expirationSeconds")
    duration = NONE if seconds is None else human_duration(seconds)
    names = (spec.get("signerName") or NONE, spec.get("username", ""))
    return [name_of(obj), age_of(obj, now), *names, duration, state]


def _csi_driver(obj: Obj, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    tokens = spec.get("tokenRequests")
    audiences = UNSET_TEXT if tokens is None else ",".join(each.get("audience", "") for each in tokens)
    return [
        name_of(obj),
        spec.get("attachRequired", True),
        spec.get("podInfoOnMount", False),
        spec.get("storageCapacity", False),
        audiences,
        spec.get("requiresRepublish", False),
        ",".join(spec.get("volumeLifecycleModes") or ()) or NONE,
        age_of(obj, now),
    ]


def _csi_node(obj: Obj, now: datetime) -> list[Any]:
    return [name_of(obj), len(spec_of(obj).get("drivers") or ()), age_of(obj, now)]


def _attachment(obj: Obj, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    volume = (spec.get("source") or {}).get("persistentVolumeName", "")
    names = (spec.get("attacher", ""), volume, spec.get("nodeName", ""))
    return [name_of(obj), *names, status_of(obj).get("attached", False), age_of(obj, now)]


def _capacity(obj: Obj, now: datetime) -> list[Any]:
    del now
    return [name_of(obj), obj.get("storageClassName", ""), obj.get("capacity", UNSET_TEXT)]


def _attributes_class(obj: Obj, now: datetime) -> list[Any]:
    return [name_of(obj), obj.get("driverName", ""), age_of(obj, now)]


def _quota(obj: Obj, now: datetime) -> list[Any]:
    status = status_of(obj)
    used, hard = status.get("used") or {}, status.get("hard") or {}

    def shown(names: Iterable[str]) -> str:
        return ", ".join(f"{name}: {used.get(name, 0)}/{hard[name]}" for name in sorted(names))

    limits = {name for name in hard if name.startswith("limits.")}
    return [name_of(obj), shown(hard.keys() - limits), shown(limits), age_of(obj, now)]


def _policy(obj: Obj, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    kind = spec.get("paramKind") or {}
    shown = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET_TEXT
    return [name_of(obj), len(spec.get("validations") or ()), shown, age_of(obj, now)]


def _policy_binding(obj: Obj, now: datetime) -> list[Any]:
    spec = spec_of(obj)
    given = spec.get("paramRef") or {}
    shown = f"{given.get('namespace') or '*'}/{given['name']}" if given.get("name") else UNSET_TEXT
    return [name_of(obj), spec.get("policyName", ""), shown, age_of(obj, now)]


def _pod_template(obj: Obj, now: datetime) -> list[Any]:
    del now
    template = obj.get("template") or {}
    return [name_of(obj), *container_texts(template), labels_text(metadata_of(template).get("labels"))]


def _service_range(obj: Obj, now: datetime) -> list[Any]:
    return [name_of(obj), ",".join(spec_of(obj).get("cidrs") or ()), age_of(obj, now)]


def _ip_address(obj: Obj, now: datetime) -> list[Any]:
    parent = spec_of(obj).get("parentRef") or {}
    kind = f"{parent.get('resource', '')}.{parent.get('group', '')}".rstrip(".").lower()
    parts = (kind, parent.get("namespace"), parent.get("name"))
    shown = "/".join(str(part) for part in parts if part) if parent else NONE
    return [name_of(obj), shown, age_of(obj, now)]


def _api_service(obj: Obj, now: datetime) -> list[Any]:
    service = spec_of(obj).get("service") or {}
    conditions = status_of(obj).get("conditions") or ()
    found: Mapping[str, Any] = next((each for each in conditions if each.get("type") == "Available"), {})
    state = found.get("status", "Unknown")
    if state != "True" and found.get("reason"):
        state += f" ({found['reason']})"
    shown = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"
    return [name_of(obj), shown, state, age_of(obj, now)]


_INTEGERS = frozenset({"Active", "Allowed Disruptions", "Value", "Webhooks", "Drivers", "Validations"})
_BOOLEANS = frozenset(
    {
        "Suspend",
        "Global-Default",
        "Attached",
        "AttachRequired",
        "PodInfoOnMount",
        "StorageCapacity",
        "RequiresRepublish",
    }
)
_WORKLOAD_WIDE = ("Containers", "Images", "Selector")


def _table(cells: Any, *names: str, wide: tuple[str, ...] = ()) -> BuiltinTable:
    found = columns("Name", *names, wide=wide, integers=_INTEGERS, booleans=_BOOLEANS)
    return BuiltinTable(found, cells)


_SCALING = _table(_autoscaler, "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age")
_NETWORK, _STORAGE, _ADMISSION = "networking.k8s.io", "storage.k8s.io", "admissionregistration.k8s.io"
_REPLICAS = frozenset({"Desired", "Current", "Ready"})

TABLES: Mapping[tuple[str, str], BuiltinTable] = {
    ("", "Endpoints"): _table(_endpoints, "Endpoints", "Age"),
    ("", "PodTemplate"): _table(_pod_template, "Containers", "Images", "Pod Labels"),
    ("", "ReplicationController"): BuiltinTable(
        columns("Name", "Desired", "Current", "Ready", "Age", wide=_WORKLOAD_WIDE, integers=_REPLICAS),
        _replication_controller,
    ),
    ("", "ResourceQuota"): _table(_quota, "Request", "Limit", "Age"),
    ("apps", "ControllerRevision"): _table(_revision, "Controller", "Revision", "Age"),
    ("batch", "CronJob"): _table(
        _cronjob,
        *("Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age"),
        wide=_WORKLOAD_WIDE,
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): _SCALING,
    (_NETWORK, "Ingress"): _table(_ingress, "Class", "Hosts", "Address", "Ports", "Age"),
    (_NETWORK, "IngressClass"): _table(_ingress_class, "Controller", "Parameters", "Age"),
    (_NETWORK, "NetworkPolicy"): _table(_network_policy, "Pod-Selector", "Age"),
    (_NETWORK, "ServiceCIDR"): _table(_service_range, "CIDRs", "Age"),
    (_NETWORK, "IPAddress"): _table(_ip_address, "ParentRef", "Age"),
    ("policy", "PodDisruptionBudget"): _table(
        _budget, "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"
    ),
    ("scheduling.k8s.io", "PriorityClass"): _table(
        _priority_class, "Value", "Global-Default", "Age", "PreemptionPolicy"
    ),
    ("discovery.k8s.io", "EndpointSlice"): _table(
        _endpoint_slice, "AddressType", "Ports", "Endpoints", "Age"
    ),
    ("node.k8s.io", "RuntimeClass"): _table(_runtime_class, "Handler", "Age"),
    ("certificates.k8s.io", "CertificateSigningRequest"): _table(
        _certificate_request, "Age", "SignerName", "Requestor", "RequestedDuration", "Condition"
    ),
    ("apiregistration.k8s.io", "APIService"): _table(_api_service, "Service", "Available", "Age"),
    (_STORAGE, "CSIDriver"): _table(
        _csi_driver,
        *("AttachRequired", "PodInfoOnMount", "StorageCapacity", "TokenRequests", "RequiresRepublish"),
        *("Modes", "Age"),
    ),
    (_STORAGE, "CSINode"): _table(_csi_node, "Drivers", "Age"),
    (_STORAGE, "CSIStorageCapacity"): _table(_capacity, "StorageClassName", "Capacity"),
    (_STORAGE, "VolumeAttachment"): _table(_attachment, "Attacher", "PV", "Node", "Attached", "Age"),
    (_STORAGE, "VolumeAttributesClass"): _table(_attributes_class, "DriverName", "Age"),
    (_ADMISSION, "MutatingWebhookConfiguration"): _table(_webhooks, "Webhooks", "Age"),
    (_ADMISSION, "ValidatingWebhookConfiguration"): _table(_webhooks, "Webhooks", "Age"),
    (_ADMISSION, "ValidatingAdmissionPolicy"): _table(_policy, "Validations", "ParamKind", "Age"),
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): _table(
        _policy_binding, "PolicyName", "ParamRef", "Age"
    ),
}
