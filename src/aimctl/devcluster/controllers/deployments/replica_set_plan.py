"""The ReplicaSet controller's decisions. No I/O.

Contract, as in Kubernetes: :func:`missing` says how many pods to create, :func:`surplus` which pods to delete, and
:func:`next_status` returns the status. All three count the pods that are neither finished nor being deleted.

Source of the order of deletion: ``ActivePodsWithRanks`` in Kubernetes' ``pkg/controller``.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.controllers.workloads.pod_facts import (
    available_at,
    is_active,
    is_ending,
    is_ready,
    phase_of,
    ready_since,
)
from aimctl.runtime.clock import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

__all__ = ["becomes_available_at", "missing", "next_status", "surplus"]

JsonObject = dict[str, Any]

_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def missing(owner: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> int:
    """The number of pods to create."""
    return max(0, int(owner["spec"].get("replicas", 1)) - sum(map(is_active, pods)))


def surplus(
    owner: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], now: datetime
) -> list[Mapping[str, Any]]:
    """The pods to delete. First are pods without a node, then unready ones, then those of lower deletion cost."""
    active = [pod for pod in pods if is_active(pod)]
    count = len(active) - int(owner["spec"].get("replicas", 1))
    if count <= 0:
        return []
    on_node = Counter(pod["spec"].get("nodeName") for pod in active)

    def order(pod: Mapping[str, Any]) -> tuple[Any, ...]:
        metadata, status = pod["metadata"], pod.get("status") or {}
        node = pod["spec"].get("nodeName")
        ready = ready_since(pod)
        restarts = [item.get("restartCount") or 0 for item in status.get("containerStatuses") or ()]
        return (
            bool(node),
            _PHASES.get(phase_of(pod), 0),
            ready is not None,
            _cost(pod),
            -on_node[node],
            0 if ready is None else _magnitude(ready, now),
            -max(restarts, default=0),
            _magnitude(parse_time(metadata["creationTimestamp"]), now),
            metadata["uid"],
        )

    return sorted(active, key=order)[:count]


def becomes_available_at(
    owner: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], now: datetime
) -> datetime | None:
    """When the next ready pod becomes available, or None."""
    seconds = owner["spec"].get("minReadySeconds") or 0
    times = [available_at(pod, seconds) for pod in pods if is_active(pod)]
    return min((time for time in times if time is not None and time > now), default=None)


def next_status(
    owner: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    *,
    now: datetime,
    failure: str | None = None,
) -> JsonObject | None:
    """The new status, or None if it does not change.

    Args:
        owner: the ReplicaSet.
        pods: the pods it controls.
        now: the wall clock.
        failure: the message of an error while pods were created or deleted.
    """
    old = owner.get("status") or {}
    active = [pod for pod in pods if is_active(pod)]
    seconds = owner["spec"].get("minReadySeconds") or 0
    times = [available_at(pod, seconds) for pod in active]
    labels = ((owner["spec"].get("template") or {}).get("metadata") or {}).get("labels") or {}
    counts = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(
            labels.items() <= (pod["metadata"].get("labels") or {}).items() for pod in active
        ),
        "readyReplicas": sum(map(is_ready, active)),
        "availableReplicas": sum(time is not None and time <= now for time in times),
    }
    status: JsonObject = {
        **{name: value for name, value in counts.items() if value or name == "replicas"},
        "terminatingReplicas": sum(map(is_ending, pods)),
        "observedGeneration": owner["metadata"].get("generation", 1),
    }
    conditions = _conditions(owner, len(active), now, failure)
    if conditions:
        status["conditions"] = conditions
    return None if status == old else status


def _conditions(
    owner: Mapping[str, Any], active: int, now: datetime, failure: str | None
) -> list[JsonObject]:
    """The old conditions, with ReplicaFailure while there is a failure."""
    old = list((owner.get("status") or {}).get("conditions") or ())
    known = any(item["type"] == "ReplicaFailure" for item in old)
    if failure is None:
        return [item for item in old if item["type"] != "ReplicaFailure"]
    if known:
        return old
    too_few = active < int(owner["spec"].get("replicas", 1))
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": format_time(now),
        "reason": "FailedCreate" if too_few else "FailedDelete",
        "message": failure,
    }
    return [*old, condition]


def _cost(pod: Mapping[str, Any]) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(_DELETION_COST, "0")
    try:
        return int(text)
    except ValueError:
        return 0


def _magnitude(time: datetime, now: datetime) -> int:
    """The order of magnitude of the time since then, so that pods of similar age count as equal."""
    return int(math.log2(max(1.0, (now - time).total_seconds() * 1e9)))
