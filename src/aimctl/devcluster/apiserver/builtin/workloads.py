"""Defaulting and validation of pods, Jobs and other kinds with a pod template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, immutable_errors, value_at
from aimctl.devcluster.apiserver.schema.errors import FieldError
from aimctl.kubetypes.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_job", "check_pod", "pod_grace", "pod_warnings", "prepare_job", "prepare_pod"]

Obj = dict[str, Any]

_POD_GRACE_SECONDS = 30
_POD_MUTABLE = ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations", "schedulingGates")
_CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
_JOB_NAME = "batch.kubernetes.io/job-name"


def prepare_pod(new: Obj, old: Mapping[str, Any] | None) -> None:
    """Set the defaults and the initial status of a pod."""
    spec = new.setdefault("spec", {})
    tolerations = list(spec.get("tolerations") or ())
    for taint in ("not-ready", "unreachable"):
        key = f"node.kubernetes.io/{taint}"
        if not any(each.get("key") in (key, None, "") for each in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            )
    spec["tolerations"] = tolerations
    if old is not None:
        return
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    new["status"] = {"phase": "Pending", "qosClass": _quality(spec)}


def _quality(spec: Mapping[str, Any]) -> str:
    """The pod's QoS class."""
    guaranteed, any_set = True, False
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            any_set = any_set or amount(limits.get(name, 0)) > 0 or amount(requests.get(name, 0)) > 0
            if name not in limits or requests.get(name, limits[name]) != limits[name]:
                guaranteed = False
    return "Guaranteed" if guaranteed and any_set else "Burstable" if any_set else "BestEffort"


def check_pod(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """The errors of a pod in addition to those of its schema."""
    if old is None:
        return []

    def fixed_part(obj: Mapping[str, Any]) -> Obj:
        spec = {key: value for key, value in (obj.get("spec") or {}).items() if key not in _POD_MUTABLE}
        for name in ("containers", "initContainers"):
            if name in spec:
                spec[name] = [{**container, "image": ""} for container in spec[name]]
        return spec

    errors = []
    before, after = (value_at(obj, ("spec", "activeDeadlineSeconds")) for obj in (old, new))
    if before is not None and (after is None or after > before):
        text = "must be less than or equal to previous value"
        errors.append(FieldError("FieldValueInvalid", "spec.activeDeadlineSeconds", after, text))
    if fixed_part(new) == fixed_part(old):
        return errors
    return [
        *errors,
        forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions"
            " to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it"
            " was previously negative)",
        ),
    ]


def pod_warnings(obj: Mapping[str, Any]) -> list[str]:
    """The warnings about a pod, or about the pod template of a workload."""
    place, spec = "spec", obj.get("spec") or {}
    for name in ("jobTemplate", "template"):
        if name in spec:
            place, spec = f"{place}.{name}.spec", (spec[name] or {}).get("spec") or {}
    warnings = []
    for index, each in enumerate(spec.get("topologySpreadConstraints") or ()):
        if each.get("labelSelector") is None:
            path = f"{place}.topologySpreadConstraints[{index}].labelSelector"
            warnings.append(f"{path}: a null labelSelector results in matching no pod")
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            names = [variable.get("name") for variable in container.get("env") or ()]
            for number, variable in enumerate(names):
                if variable in names[:number]:
                    path = f"{place}.{field}[{index}].env[{number}]"
                    text = f'hides previous definition of "{variable}", which may be dropped when using apply'
                    warnings.append(f"{path}: {text}")
            for part in ("limits", "requests"):
                memory = ((container.get("resources") or {}).get(part) or {}).get("memory")
                if memory is not None and amount(memory) != amount(memory).to_integral_value():
                    path = f"{place}.{field}[{index}].resources.{part}[memory]"
                    text = f'fractional byte value "{memory}" is invalid, must be an integer'
                    warnings.append(f"{path}: {text}")
    return warnings


def pod_grace(obj: Mapping[str, Any], asked: int | None) -> int:
    """The grace period of a pod. It is zero for a pod that has no node or has finished."""
    spec = obj.get("spec") or {}
    if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return 0
    if asked is not None:
        return asked
    period = spec.get("terminationGracePeriodSeconds")
    return _POD_GRACE_SECONDS if period is None else int(period)


def prepare_job(new: Obj, old: Mapping[str, Any] | None) -> None:
    """Set the labels and the selector of a Job."""
    spec = new.setdefault("spec", {})
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
        labels = (spec.get("selector") or {}).get("matchLabels") or {}
        spec["selector"] = {**(spec.get("selector") or {}), "matchLabels": {**labels, _CONTROLLER_UID: uid}}
    labels = (spec["template"].get("metadata") or {}).get("labels")
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def check_job(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """The errors of a Job in addition to those of its schema."""
    if old is None:
        selector = value_at(new, ("spec", "selector"))
        own = {"matchLabels": {_CONTROLLER_UID: new["metadata"]["uid"]}}
        if value_at(new, ("spec", "manualSelector")) or selector == own:
            return []
        return [FieldError("FieldValueInvalid", "spec.selector", selector, "`selector` not auto-generated")]
    errors = (
        []
        if value_at(new, ("spec", "completionMode")) == "Indexed"
        else immutable_errors(new, old, "spec", "completions")
    )
    errors += immutable_errors(new, old, "spec", "selector")
    if not value_at(old, ("spec", "suspend")) or value_at(old, ("status", "startTime")):
        errors += immutable_errors(new, old, "spec", "template")
    return errors + immutable_errors(new, old, "spec", "completionMode")
