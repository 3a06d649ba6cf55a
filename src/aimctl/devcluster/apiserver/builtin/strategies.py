"""The rules of the built-in kinds that operators and kubectl rely on.

Contract: :func:`strategy_for` returns the :class:`Strategy` of a built-in kind by group and plural. Kinds that are not
listed here have the general rules, with unconditional update.

The functions are called with the object after defaulting.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.crd_rules import check_definition
from aimctl.devcluster.apiserver.builtin.crds import (
    definition_warnings,
    prepare_definition,
    settle_definition,
)
from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, value_at
from aimctl.devcluster.apiserver.builtin.rules.data import check_config_map, check_secret
from aimctl.devcluster.apiserver.builtin.rules.objects import (
    check_event,
    check_new_event,
    check_role,
    check_role_binding,
    check_stateful_set,
    check_workload,
    fixed,
)
from aimctl.devcluster.apiserver.builtin.workloads import (
    check_job,
    check_pod,
    pod_grace,
    pod_warnings,
    prepare_job,
    prepare_pod,
)
from aimctl.devcluster.apiserver.objects.kinds import Strategy
from aimctl.kubetypes.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.apiserver.schema.errors import FieldError

__all__ = ["CLAIM_FINALIZER", "strategy_for"]

Obj = dict[str, Any]

_FIRST_NODE_PORT, _NODE_PORTS = 30000, 2768
_ADDRESS_FIELDS = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
"""Fields that a Service loses when it becomes an external name."""
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_CLAIM_SOURCES = (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))
CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
"""The finalizer of every claim, which the claim protection controller removes."""


# -- namespaces


def _prepare_namespace(new: Obj, old: Mapping[str, Any] | None) -> None:
    if old is None:
        new["spec"] = {**(new.get("spec") or {}), "finalizers": ["kubernetes"]}
        new["status"] = {"phase": "Active"}
    else:
        new["spec"] = old.get("spec") or {}


# -- claims, services


def _prepare_claim(new: Obj, old: Mapping[str, Any] | None) -> None:
    spec = new.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    _set_data_sources(spec, (old or {}).get("spec") or {})
    if old is None:
        new["status"] = {"phase": "Pending"}
        finalizers = new["metadata"].get("finalizers") or []
        if CLAIM_FINALIZER not in finalizers:
            new["metadata"]["finalizers"] = [*finalizers, CLAIM_FINALIZER]


def _set_data_sources(spec: Obj, before: Mapping[str, Any]) -> None:
    """The source of a claim is in two fields. Without the newer one, only claims and snapshots are kept."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        if (source.get("apiGroup") or "", source.get("kind")) in _CLAIM_SOURCES or before.get("dataSource"):
            spec["dataSourceRef"] = dict(source)
        else:
            del spec["dataSource"]
    elif source is None and reference is not None and not reference.get("namespace"):
        spec["dataSource"] = dict(reference)


def _check_claim(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    size = ("spec", "resources", "requests", "storage")
    if old is None:
        return []
    bound = value_at(old, ("status", "phase")) == "Bound"
    free = ("volumeAttributesClassName", "volumeName", "storageClassName")
    mutable = (*free, "resources") if bound else free

    def fixed_part(obj: Mapping[str, Any]) -> Obj:
        return {name: value for name, value in (obj.get("spec") or {}).items() if name not in mutable}

    errors = []
    before = value_at(old, ("spec", "volumeName"))
    class_before = value_at(old, ("spec", "storageClassName"))
    if (
        fixed_part(new) != fixed_part(old)
        or (before and before != value_at(new, ("spec", "volumeName")))
        or (class_before is not None and class_before != value_at(new, ("spec", "storageClassName")))
    ):
        text = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for"
            " bound claims"
        )
        errors.append(forbidden("spec", text))
    wanted, capacity = value_at(new, size), value_at(old, ("status", "capacity", "storage"))
    # After a failed expansion, a request may decrease again, but not to the capacity of the volume.
    if bound and amount(wanted) < amount(value_at(old, size)) and amount(wanted) <= amount(capacity):
        errors.append(forbidden(".".join(size), "field can not be less than status.capacity"))
    return errors


def _prepare_service(new: Obj, old: Mapping[str, Any] | None) -> None:
    spec = new.setdefault("spec", {})
    third, fourth, *rest = hashlib.sha256(new["metadata"]["uid"].encode()).digest()
    if spec["type"] == "ExternalName" and (old or {}).get("spec", {}).get("type") not in (
        None,
        "ExternalName",
    ):
        for name in _ADDRESS_FIELDS:
            spec.pop(name, None)
    if spec["type"] != "ExternalName":
        headless = spec.get("clusterIP") == "None" and not spec.get("selector")
        spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if headless else ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "RequireDualStack" if headless else "SingleStack")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        before = {each.get("port"): each for each in ((old or {}).get("spec") or {}).get("ports") or ()}
        for index, port in enumerate(spec.get("ports") or ()):
            kept = (before.get(port.get("port")) or {}).get("nodePort")
            number = rest[index % len(rest)] * 10 + index
            port.setdefault("nodePort", kept or _FIRST_NODE_PORT + number % _NODE_PORTS)
    if old is None:
        new["status"] = {"loadBalancer": {}}
    if spec["type"] != "ExternalName" and not spec.get("clusterIP"):
        spec["clusterIP"] = _address(old) or f"10.96.{third}.{fourth}"
    if spec.get("clusterIP"):
        spec["clusterIPs"] = [spec["clusterIP"]]


def _address(service: Mapping[str, Any] | None) -> str:
    """The address that a Service keeps, or ""."""
    spec = (service or {}).get("spec") or {}
    return "" if spec.get("type") == "ExternalName" else str(spec.get("clusterIP") or "")


def _check_service(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    before = _address(old)
    if not before or new["spec"].get("type") == "ExternalName" or _address(new) == before:
        return []
    return [invalid("spec.clusterIPs[0]", [_address(new)], "may not change once set")]


# -- DaemonSets


def _settle_daemon_set(new: Obj, old: Mapping[str, Any] | None) -> None:
    """Count the changes of the template in the annotation that takes the place of an earlier field."""
    number = 1
    if old is not None:
        number = int((old["metadata"].get("annotations") or {}).get(_TEMPLATE_GENERATION) or 1)
        number += new["spec"].get("template") != old["spec"].get("template")
    annotations = new["metadata"].get("annotations") or {}
    new["metadata"]["annotations"] = {**annotations, _TEMPLATE_GENERATION: str(number)}


# -- events: one collection, two groups

_EVENT_NAMES = (
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
)


def _event_in(obj: Obj) -> Obj:
    """Convert an Event of events.k8s.io to one of the core group, which is the stored form."""
    for new, stored in _EVENT_NAMES:
        if new in obj:
            obj[stored] = obj.pop(new)
    obj["apiVersion"] = "v1"
    return obj


def _event_out(obj: Obj) -> Obj:
    for new, stored in _EVENT_NAMES:
        if stored in obj:
            obj[new] = obj.pop(stored)
    for name in ("reportingController", "reportingInstance"):
        if not obj.get(name):
            obj.pop(name, None)
    obj["apiVersion"] = "events.k8s.io/v1"
    return obj


# -- autoscalers: two versions


def _scaler_in(obj: Obj) -> Obj:
    """Convert an autoscaler of autoscaling/v1 to v2, which is the stored form."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    current = status.pop("currentCPUUtilizationPercentage", None)
    if current is not None:
        metric = {"name": "cpu", "current": {"averageUtilization": current}}
        status["currentMetrics"] = [{"type": "Resource", "resource": metric}]
    obj["apiVersion"] = "autoscaling/v2"
    return obj


def _scaler_out(obj: Obj) -> Obj:
    """Convert an autoscaler to autoscaling/v1, which shows only the metric of the CPU."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    for where, field, part, name in (
        (spec, "metrics", "target", "targetCPUUtilizationPercentage"),
        (status, "currentMetrics", "current", "currentCPUUtilizationPercentage"),
    ):
        for metric in where.pop(field, None) or ():
            resource = metric.get("resource") or {}
            percent = (resource.get(part) or {}).get("averageUtilization")
            if resource.get("name") == "cpu" and percent is not None:
                where[name] = percent
    spec.pop("behavior", None)
    status.pop("conditions", None)
    obj["apiVersion"] = "autoscaling/v1"
    return obj


_EVENT_FIELDS = (
    *(
        f"involvedObject.{name}"
        for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion")
    ),
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)


_builtin = partial(Strategy, name_rule="subdomain", generation=False, unconditional_update=True)
_WITH_GENERATION = (
    *(("apps", plural) for plural in ("deployments", "statefulsets", "daemonsets")),
    *(("networking.k8s.io", plural) for plural in ("ingresses", "ingressclasses", "networkpolicies")),
    ("discovery.k8s.io", "endpointslices"),
    ("scheduling.k8s.io", "priorityclasses"),
    *(
        ("admissionregistration.k8s.io", plural)
        for plural in (
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        )
    ),
)
_STRATEGIES: dict[tuple[str, str], Strategy] = {
    ("", "namespaces"): _builtin(
        name_rule="label", prepare=_prepare_namespace, field_paths=("status.phase",)
    ),
    ("", "nodes"): _builtin(keeps_status=True, field_paths=("spec.unschedulable",)),
    ("", "pods"): _builtin(
        generation=True,
        returns_deleted=True,
        grace_seconds=pod_grace,
        warn=pod_warnings,
        prepare=prepare_pod,
        check=check_pod,
        field_paths=(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
    ),
    ("", "secrets"): _builtin(check=check_secret, field_paths=("type",)),
    ("", "configmaps"): _builtin(check=check_config_map),
    ("", "serviceaccounts"): _builtin(returns_deleted=True),
    ("", "services"): _builtin(
        name_rule="label",
        returns_deleted=True,
        create_on_update=True,
        prepare=_prepare_service,
        check=_check_service,
        field_paths=("spec.clusterIP", "spec.type"),
    ),
    ("", "persistentvolumeclaims"): _builtin(
        returns_deleted=True, prepare=_prepare_claim, check=_check_claim
    ),
    ("", "events"): _builtin(create_on_update=True, check=check_event, field_paths=_EVENT_FIELDS),
    ("events.k8s.io", "events"): _builtin(
        create_on_update=True,
        check=check_new_event,
        field_paths=_EVENT_FIELDS,
        convert_in=_event_in,
        convert_out=_event_out,
    ),
    ("batch", "jobs"): _builtin(
        generation=True,
        orphans=True,
        prepare=prepare_job,
        check=check_job,
        field_paths=("status.successful",),
    ),
    ("apps", "replicasets"): _builtin(generation=True, check=check_workload, warn=pod_warnings),
    **{key: _builtin(generation=True) for key in _WITH_GENERATION},
    ("", "replicationcontrollers"): _builtin(generation=True, orphans=True, field_paths=("status.replicas",)),
    ("", "podtemplates"): _builtin(generation=True, returns_deleted=True),
    ("", "resourcequotas"): _builtin(returns_deleted=True, check=fixed("spec", "scopes")),
    ("policy", "poddisruptionbudgets"): _builtin(generation=True, unconditional_update=False),
    ("apps", "deployments"): _builtin(
        generation=True, check=check_workload, warn=pod_warnings, desires_annotations=True
    ),
    ("apps", "daemonsets"): _builtin(
        generation=True, settle=_settle_daemon_set, check=fixed("spec", "selector"), warn=pod_warnings
    ),
    ("apps", "statefulsets"): _builtin(generation=True, check=check_stateful_set, warn=pod_warnings),
    ("batch", "cronjobs"): _builtin(generation=True, warn=pod_warnings),
    ("storage.k8s.io", "storageclasses"): _builtin(check=fixed("provisioner")),
    ("certificates.k8s.io", "certificatesigningrequests"): _builtin(field_paths=("spec.signerName",)),
    ("autoscaling/v1", "horizontalpodautoscalers"): _builtin(convert_in=_scaler_in, convert_out=_scaler_out),
    ("coordination.k8s.io", "leases"): _builtin(unconditional_update=False, create_on_update=True),
    ("apiextensions.k8s.io", "customresourcedefinitions"): _builtin(
        generation=True,
        unconditional_update=False,
        settle=settle_definition,
        prepare=prepare_definition,
        check=check_definition,
        warn=definition_warnings,
    ),
    **{
        ("rbac.authorization.k8s.io", plural): _builtin(name_rule="path", check=check_role)
        for plural in ("roles", "clusterroles")
    },
    **{
        ("rbac.authorization.k8s.io", plural): _builtin(name_rule="path", check=check_role_binding)
        for plural in ("rolebindings", "clusterrolebindings")
    },
}
_ANY_BUILTIN = _builtin()


def strategy_for(group: str, plural: str) -> Strategy:
    """The strategy of a built-in kind."""
    return _STRATEGIES.get((group, plural), _ANY_BUILTIN)
