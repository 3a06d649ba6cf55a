"""The pods of Jobs: their states, and the pod to create. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.controllers.batch.job_indexes import FAILURES, INDEX
from aimctl.devcluster.controllers.workloads.pod_facts import pod_from_template

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["pod_for", "replaces_ended_only", "restarts"]

JsonObject = dict[str, Any]

_GATE = "batch.kubernetes.io/"
_ENVIRONMENT = "JOB_COMPLETION_INDEX"


def replaces_ended_only(spec: Mapping[str, Any]) -> bool:
    """Whether pods that are being deleted are replaced when they have ended, and not before.

    The default of ``podReplacementPolicy`` depends on whether there is a pod failure policy.
    """
    policy = spec.get("podReplacementPolicy")
    return bool(policy == "Failed" if policy else spec.get("podFailurePolicy"))


def restarts(pod: Mapping[str, Any]) -> int:
    """The number of restarts of all containers of a pod."""
    status = pod.get("status") or {}
    containers = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return sum(int(item.get("restartCount") or 0) for item in containers)


def pod_for(job: Mapping[str, Any], index: int | None = None, failures: int | None = None) -> JsonObject:
    """The pod to create: the template, with generateName, the four labels and the owner reference.

    Args:
        job: the Job.
        index: the completion index of a pod of an Indexed Job.
        failures: the number of failed pods of this index, if the Job has a limit for each index.
    """
    owner = {"apiVersion": "batch/v1", "kind": "Job", "metadata": job["metadata"]}
    body = pod_from_template(owner, job["spec"]["template"])
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    own = {"controller-uid": uid, "job-name": name, f"{_GATE}controller-uid": uid, f"{_GATE}job-name": name}
    metadata = body["metadata"]
    metadata["labels"] |= own
    if index is not None:
        metadata["labels"][INDEX] = str(index)
        metadata["generateName"] = f"{name}-{index}-"
        metadata["annotations"] = {**metadata.get("annotations", {}), INDEX: str(index)}
        if failures is not None:
            metadata["annotations"][FAILURES] = str(failures)
        _set_index(body["spec"], f"{name}-{index}")
    return body


def _set_index(spec: JsonObject, hostname: str) -> None:
    spec.setdefault("hostname", hostname)
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    variable = {"name": _ENVIRONMENT, "valueFrom": source}
    for field in ("initContainers", "containers"):
        if spec.get(field):
            spec[field] = [_with_variable(each, variable) for each in spec[field]]


def _with_variable(container: JsonObject, variable: JsonObject) -> JsonObject:
    present = container.get("env") or ()
    if any(each["name"] == _ENVIRONMENT for each in present):
        return container
    return {**container, "env": [*present, variable]}
