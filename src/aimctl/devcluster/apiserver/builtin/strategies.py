"""What the API server itself does for the built-in kinds: the few rules that operators and kubectl rely on.

Contract: :func:`strategy_for` gives the :class:`Strategy` of a built-in kind by group and plural; kinds not
named here follow the general rules with unconditional update, as nearly all built-in kinds do.

Functions here see the object after defaulting; ``prepare`` may change it, ``check`` may not.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.crds import check_definition, prepare_definition
from aimctl.devcluster.apiserver.builtin.pod_rules import pod_errors, template_errors
from aimctl.devcluster.apiserver.objects.kinds import Strategy
from aimctl.devcluster.apiserver.schema.errors import OMITTED, FieldError
from aimctl.kubetypes.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.apiserver.objects.kinds import NameRule

__all__ = ["CLAIM_FINALIZER", "strategy_for"]

Obj = dict[str, Any]

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
"""On every claim; taken off by the controller once no pod uses a claim that is being deleted."""

IMMUTABLE = "field is immutable"
_POD_GRACE_SECONDS = 30
_POD_MUTABLE = ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations", "schedulingGates")
_CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
_JOB_NAME = "batch.kubernetes.io/job-name"


def _fixed(new: Mapping[str, Any], old: Mapping[str, Any], *path: str) -> list[FieldError]:
    """An error when the value at the path changed."""
    after, before = _at(new, path), _at(old, path)
    if after == before:
        return []
    return [FieldError("FieldValueInvalid", ".".join(path), after, IMMUTABLE)]


def _at(obj: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = obj
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _forbid(field: str, text: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, OMITTED, text)


# -- namespaces


def _prepare_namespace(new: Obj, old: Mapping[str, Any] | None) -> None:
    metadata = new["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}
    if old is None:
        new["spec"] = {**(new.get("spec") or {}), "finalizers": ["kubernetes"]}
        new["status"] = {"phase": "Active"}
    else:
        new["spec"] = old.get("spec") or {}


# -- pods


def _prepare_pod(new: Obj, old: Mapping[str, Any] | None) -> None:
    spec = new.setdefault("spec", {})
    _default_pull_policies(spec)
    if old is not None:
        return
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    tolerations = list(spec.get("tolerations") or ())
    for taint in ("not-ready", "unreachable"):
        key = f"node.kubernetes.io/{taint}"
        if not any(each.get("key") in (key, None, "") for each in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            )
    spec["tolerations"] = tolerations
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    new["status"] = {"phase": "Pending", "qosClass": _quality(spec)}


def _default_pull_policies(spec: Obj) -> None:
    """``Always`` for images without a tag or with ``latest``, else ``IfNotPresent``."""
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            tag = str(container.get("image") or "").rpartition("/")[2].partition(":")[2]
            digest = "@" in str(container.get("image") or "")
            moving = not digest and tag in ("", "latest")
            container.setdefault("imagePullPolicy", "Always" if moving else "IfNotPresent")


def _prepare_workload(new: Obj, old: Mapping[str, Any] | None) -> None:  # noqa: ARG001 - the hook's parameters
    _default_pull_policies((new.get("spec") or {}).get("template", {}).get("spec") or {})


def _quality(spec: Mapping[str, Any]) -> str:
    """The pod's QoS class."""
    guaranteed, any_set = True, False
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            any_set = any_set or name in limits or name in requests
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                guaranteed = False
    return "Guaranteed" if guaranteed and any_set else "Burstable" if any_set else "BestEffort"


def _check_pod(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    if old is None:
        return list(pod_errors(new.get("spec") or {}))

    def fixed_part(obj: Mapping[str, Any]) -> Obj:
        spec = {key: value for key, value in (obj.get("spec") or {}).items() if key not in _POD_MUTABLE}
        for name in ("containers", "initContainers"):
            if name in spec:
                spec[name] = [{**container, "image": ""} for container in spec[name]]
        return spec

    if fixed_part(new) == fixed_part(old):
        return []
    return [
        _forbid(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions"
            " to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it"
            " was previously negative)",
        )
    ]


def _pod_grace(obj: Mapping[str, Any], asked: int | None) -> int:
    """A pod without a node, or one that is over, has nothing to wait for."""
    spec = obj.get("spec") or {}
    if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return 0
    if asked is not None:
        return asked
    period = spec.get("terminationGracePeriodSeconds")
    return _POD_GRACE_SECONDS if period is None else int(period)


# -- jobs


def _prepare_job(new: Obj, old: Mapping[str, Any] | None) -> None:
    spec = new.setdefault("spec", {})
    _prepare_workload(new, old)
    if old is not None:
        return
    metadata = new["metadata"]
    new["status"] = {}
    template = spec.setdefault("template", {})
    if not spec.get("manualSelector"):
        uid, name = metadata["uid"], metadata["name"]
        own = {_CONTROLLER_UID: uid, "controller-uid": uid, _JOB_NAME: name, "job-name": name}
        template_meta = dict(template.get("metadata") or {})
        template_meta["labels"] = {**(template_meta.get("labels") or {}), **own}
        spec["template"] = {**template, "metadata": template_meta}
        spec["selector"] = {"matchLabels": {_CONTROLLER_UID: uid}}
    labels = (spec["template"].get("metadata") or {}).get("labels")
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)
    for name, value in (
        ("backoffLimit", 6),
        ("completionMode", "NonIndexed"),
        ("suspend", False),
        ("manualSelector", False),
        ("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"),
    ):
        spec.setdefault(name, value)
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)


def _check_job(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    if old is None:
        errors = list(template_errors(_at(new, ("spec", "template")) or {}))
        if _at(new, ("spec", "template", "spec", "restartPolicy")) not in ("OnFailure", "Never"):
            text = 'valid values: "OnFailure", "Never"'
            path = "spec.template.spec.restartPolicy"
            errors.append(FieldError("FieldValueRequired", path, OMITTED, text))
        return errors
    errors = (
        [] if _at(new, ("spec", "completionMode")) == "Indexed" else _fixed(new, old, "spec", "completions")
    )
    errors += _fixed(new, old, "spec", "selector")
    if not _at(old, ("spec", "suspend")) or _at(old, ("status", "startTime")):
        errors += _fixed(new, old, "spec", "template")
    return errors + _fixed(new, old, "spec", "completionMode")


# -- secrets, config maps, claims, services


def _prepare_secret(new: Obj, old: Mapping[str, Any] | None) -> None:  # noqa: ARG001 - the hook's parameters
    new.setdefault("type", "Opaque")
    texts = new.pop("stringData", None)
    if texts:
        encoded = {name: base64.b64encode(str(text).encode()).decode() for name, text in texts.items()}
        new["data"] = {**(new.get("data") or {}), **encoded}


def _check_frozen(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """Secrets and ConfigMaps with ``immutable: true``."""
    if old is None or old.get("immutable") is not True:
        return []
    text = "field is immutable when `immutable` is set"
    errors = [] if new.get("immutable") is True else [_forbid("immutable", text)]
    return errors + [
        _forbid(name, text)
        for name in ("data", "binaryData")
        if (new.get(name) or {}) != (old.get(name) or {})
    ]


def _check_secret(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    errors = _check_frozen(new, old)
    return errors if old is None else errors + _fixed(new, old, "type")


def _prepare_claim(new: Obj, old: Mapping[str, Any] | None) -> None:
    spec = new.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    if old is None:
        new["status"] = {"phase": "Pending"}
        finalizers = new["metadata"].get("finalizers") or []
        if CLAIM_FINALIZER not in finalizers:
            new["metadata"]["finalizers"] = [*finalizers, CLAIM_FINALIZER]


def _check_claim(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    size = ("spec", "resources", "requests", "storage")
    if old is None:
        errors = []
        if not _at(new, ("spec", "accessModes")):
            text = "at least 1 access mode is required"
            errors.append(FieldError("FieldValueRequired", "spec.accessModes", OMITTED, text))
        if not _at(new, size):
            errors.append(FieldError("FieldValueRequired", "spec.resources[storage]", OMITTED, ""))
        elif amount(_at(new, size)) <= 0:
            text = "must be greater than zero"
            errors.append(FieldError("FieldValueInvalid", "spec.resources[storage]", _at(new, size), text))
        return errors
    bound = _at(old, ("status", "phase")) == "Bound"
    free = ("volumeAttributesClassName", "volumeName", "storageClassName")
    mutable = (*free, "resources") if bound else free

    def fixed_part(obj: Mapping[str, Any]) -> Obj:
        return {name: value for name, value in (obj.get("spec") or {}).items() if name not in mutable}

    errors = []
    before = _at(old, ("spec", "volumeName"))
    class_before = _at(old, ("spec", "storageClassName"))
    if (
        fixed_part(new) != fixed_part(old)
        or (before and before != _at(new, ("spec", "volumeName")))
        or (class_before is not None and class_before != _at(new, ("spec", "storageClassName")))
    ):
        text = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for"
            " bound claims"
        )
        errors.append(_forbid("spec", text))
    capacity = _at(old, ("status", "capacity", "storage"))
    # A request may be lowered again after an expansion that failed, but not to what the volume already has.
    if (
        bound
        and amount(_at(new, size)) < amount(_at(old, size))
        and amount(_at(new, size)) <= amount(capacity)
    ):
        errors.append(_forbid(".".join(size), "field can not be less than status.capacity"))
    return errors


def _prepare_service(new: Obj, old: Mapping[str, Any] | None) -> None:
    spec = new.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if old is None:
        new["status"] = {"loadBalancer": {}}
        if spec["type"] != "ExternalName" and not spec.get("clusterIP"):
            third, fourth = hashlib.sha256(new["metadata"]["uid"].encode()).digest()[:2]
            spec["clusterIP"] = f"10.96.{third}.{fourth}"
            spec["clusterIPs"] = [spec["clusterIP"]]
    elif "clusterIP" not in spec and "clusterIP" in (old.get("spec") or {}):
        spec["clusterIP"] = old["spec"]["clusterIP"]
        spec["clusterIPs"] = old["spec"].get("clusterIPs", [spec["clusterIP"]])


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
    """events.k8s.io to core, as which events are stored."""
    for new, stored in _EVENT_NAMES:
        if new in obj:
            obj[stored] = obj.pop(new)
    obj["apiVersion"] = "v1"
    return obj


def _event_out(obj: Obj) -> Obj:
    for new, stored in _EVENT_NAMES:
        if stored in obj:
            obj[new] = obj.pop(stored)
    obj["apiVersion"] = "events.k8s.io/v1"
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


def _builtin(
    *,
    name_rule: NameRule = "subdomain",
    generation: bool = False,
    unconditional_update: bool = True,
    **more: Any,
) -> Strategy:
    return Strategy(
        name_rule=name_rule, generation=generation, unconditional_update=unconditional_update, **more
    )


_PATH = _builtin(name_rule="path")
_STRATEGIES: dict[tuple[str, str], Strategy] = {
    ("", "namespaces"): _builtin(
        name_rule="label", prepare=_prepare_namespace, field_paths=("status.phase",)
    ),
    ("", "nodes"): _builtin(field_paths=("spec.unschedulable",)),
    ("", "pods"): _builtin(
        generation=True,
        returns_deleted=True,
        grace_seconds=_pod_grace,
        prepare=_prepare_pod,
        check=_check_pod,
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
    ("", "secrets"): _builtin(prepare=_prepare_secret, check=_check_secret, field_paths=("type",)),
    ("", "configmaps"): _builtin(check=_check_frozen),
    ("", "serviceaccounts"): _builtin(returns_deleted=True),
    ("", "services"): _builtin(
        name_rule="label1035",
        returns_deleted=True,
        prepare=_prepare_service,
        field_paths=("spec.clusterIP", "spec.type"),
    ),
    ("", "persistentvolumeclaims"): _builtin(
        returns_deleted=True, prepare=_prepare_claim, check=_check_claim
    ),
    ("", "events"): _builtin(create_on_update=True, field_paths=_EVENT_FIELDS),
    ("events.k8s.io", "events"): _builtin(
        create_on_update=True, field_paths=_EVENT_FIELDS, convert_in=_event_in, convert_out=_event_out
    ),
    ("batch", "jobs"): _builtin(
        generation=True,
        orphans=True,
        prepare=_prepare_job,
        check=_check_job,
        field_paths=("status.successful",),
    ),
    ("apps", "deployments"): _builtin(generation=True, prepare=_prepare_workload),
    ("apps", "statefulsets"): _builtin(generation=True, prepare=_prepare_workload),
    ("apps", "daemonsets"): _builtin(generation=True, prepare=_prepare_workload),
    ("apps", "replicasets"): _builtin(
        generation=True, prepare=_prepare_workload, field_paths=("status.replicas",)
    ),
    ("coordination.k8s.io", "leases"): _builtin(unconditional_update=False, create_on_update=True),
    ("apiextensions.k8s.io", "customresourcedefinitions"): _builtin(
        generation=True, unconditional_update=False, prepare=prepare_definition, check=check_definition
    ),
    **{
        ("rbac.authorization.k8s.io", plural): _PATH
        for plural in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
    },
}
_ANY_BUILTIN = _builtin()


def strategy_for(group: str, plural: str) -> Strategy:
    """The strategy of a built-in kind."""
    return _STRATEGIES.get((group, plural), _ANY_BUILTIN)
