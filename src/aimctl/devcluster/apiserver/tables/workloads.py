"""The rows of Jobs, Deployments, ReplicaSets, StatefulSets and DaemonSets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.tables.ages import human_duration
from aimctl.devcluster.apiserver.tables.common import (
    age_of,
    container_texts,
    labels_text,
    metadata_of,
    name_of,
    selector_text,
    spec_of,
    status_of,
    true_condition,
)
from aimctl.runtime.clock import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["daemonset_cells", "deployment_cells", "job_cells", "replicaset_cells", "statefulset_cells"]


def job_cells(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    """The cells of a Job."""
    spec, status = spec_of(obj), status_of(obj)
    succeeded = status.get("succeeded", 0)
    completions, parallelism = spec.get("completions"), spec.get("parallelism")
    if completions is not None:
        done = f"{succeeded}/{completions}"
    elif parallelism is not None and parallelism > 1:
        done = f"{succeeded}/1 of {parallelism}"
    else:
        done = f"{succeeded}/1"
    duration = ""
    if status.get("startTime"):
        end = parse_time(status["completionTime"]) if status.get("completionTime") else now
        duration = human_duration((end - parse_time(status["startTime"])).total_seconds())
    return [name_of(obj), _job_state(obj), done, duration, *_last_cells(obj, now)]


def _last_cells(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    """Age, container names, images and selector."""
    spec = spec_of(obj)
    names, images = container_texts(spec.get("template") or {})
    return [age_of(obj, now), names, images, selector_text(spec.get("selector"))]


def _job_state(obj: Mapping[str, Any]) -> str:
    for kind, state in (("Complete", "Complete"), ("Failed", "Failed")):
        if true_condition(obj, kind):
            return state
    if metadata_of(obj).get("deletionTimestamp"):
        return "Terminating"
    if true_condition(obj, "Suspended"):
        return "Suspended"
    if true_condition(obj, "FailureTarget"):
        return "FailureTarget"
    return "SuccessCriteriaMet" if true_condition(obj, "SuccessCriteriaMet") else "Running"


def deployment_cells(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    """The cells of a Deployment."""
    status = status_of(obj)
    numbers = (status.get("updatedReplicas", 0), status.get("availableReplicas", 0))
    return [name_of(obj), _ready(obj), *numbers, *_last_cells(obj, now)]


def _ready(obj: Mapping[str, Any]) -> str:
    return f"{status_of(obj).get('readyReplicas', 0)}/{spec_of(obj).get('replicas', 1)}"


def replicaset_cells(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    """The cells of a ReplicaSet."""
    status = status_of(obj)
    numbers = (spec_of(obj).get("replicas", 1), status.get("replicas", 0), status.get("readyReplicas", 0))
    return [name_of(obj), *numbers, *_last_cells(obj, now)]


def statefulset_cells(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    """The cells of a StatefulSet."""
    return [name_of(obj), _ready(obj), *_last_cells(obj, now)[:-1]]


def daemonset_cells(obj: Mapping[str, Any], now: datetime) -> list[Any]:
    """The cells of a DaemonSet."""
    numbers = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    return [
        name_of(obj),
        *(status_of(obj).get(name, 0) for name in numbers),
        labels_text(spec_of(spec_of(obj).get("template") or {}).get("nodeSelector")),
        *_last_cells(obj, now),
    ]
