"""The status of a Deployment. No I/O.

Contract, as in Kubernetes: the condition Available depends on the available pods, Progressing on the course of the
update and its deadline, and ReplicaFailure is that of the ReplicaSets. Progressing is left out without a deadline.

Source: Kubernetes' ``pkg/controller/deployment`` (``sync.go``, ``progress.go``).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, final

from aimctl.runtime.clock import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.devcluster.controllers.deployments.deployment_sets import Limits, Replicas

__all__ = ["NEVER", "Conditions", "counts", "has_deadline", "progress", "stalls_at"]

JsonObject = dict[str, Any]

NEVER = 2**31 - 1
"""The progress deadline that means none."""
_COMPLETE = "NewReplicaSetAvailable"
_EXCEEDED = "ProgressDeadlineExceeded"
_AT_REST = frozenset({_COMPLETE, _EXCEEDED, "DeploymentPaused"})


@final
class Conditions:
    """The conditions of a Deployment. A changed one moves to the end of the list, as in Kubernetes."""

    def __init__(self, conditions: Sequence[JsonObject], now: datetime) -> None:
        self.items = [dict(item) for item in conditions]
        self.now = now

    def get(self, type_: str) -> JsonObject | None:
        """The condition of this type."""
        return next((item for item in self.items if item["type"] == type_), None)

    def set(self, type_: str, status: str, reason: str, message: str, *, again: bool = False) -> None:
        """Set a condition unless it has this status and reason; ``again`` sets it in any case."""
        old = self.get(type_)
        if old is not None and not again and (old["status"], old.get("reason")) == (status, reason):
            return
        moment = format_time(self.now)
        moved = old["lastTransitionTime"] if old is not None and old["status"] == status else moment
        self.remove(type_)
        self.items.append(
            {
                "type": type_,
                "status": status,
                "lastUpdateTime": moment,
                "lastTransitionTime": moved,
                "reason": reason,
                "message": message,
            }
        )

    def remove(self, type_: str) -> None:
        """Remove the condition of this type."""
        self.items = [item for item in self.items if item["type"] != type_]


def counts(
    deployment: Mapping[str, Any],
    every: Sequence[Replicas],
    new: Replicas | None,
    limits: Limits,
    conditions: Conditions,
) -> JsonObject:
    """The counters of the status. Sets the condition Available."""
    available = sum(each.status("availableReplicas") for each in every)
    found = {
        "replicas": sum(each.status("replicas") for each in every),
        "updatedReplicas": 0 if new is None else new.status("replicas"),
        "readyReplicas": sum(each.status("readyReplicas") for each in every),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(each.replicas for each in every) - available),
        "collisionCount": (deployment.get("status") or {}).get("collisionCount") or 0,
    }
    if available >= limits.least_available:
        text = "Deployment has minimum availability."
        conditions.set("Available", "True", "MinimumReplicasAvailable", text)
    else:
        text = "Deployment does not have minimum availability."
        conditions.set("Available", "False", "MinimumReplicasUnavailable", text)
    ending = sum(each.status("terminatingReplicas") for each in every)
    return {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        **{name: value for name, value in found.items() if value},
        "terminatingReplicas": ending,
    }


def has_deadline(spec: Mapping[str, Any]) -> bool:
    """Whether the Deployment has a progress deadline."""
    return int(spec.get("progressDeadlineSeconds", 600)) != NEVER


def progress(
    deployment: Mapping[str, Any],
    status: Mapping[str, Any],
    every: Sequence[Replicas],
    *,
    new: Replicas | None,
    conditions: Conditions,
) -> None:
    """Set the conditions Progressing and ReplicaFailure for the new counters."""
    if not has_deadline(deployment["spec"]):
        conditions.remove("Progressing")
    else:
        _progressing(deployment, status, new, conditions)
    failures = [
        item
        for each in ([] if new is None else [new]) + [each for each in every if each is not new]
        for item in (each.body.get("status") or {}).get("conditions") or ()
        if item["type"] == "ReplicaFailure"
    ]
    conditions.remove("ReplicaFailure")
    if failures:
        first = failures[0]
        known = {**first, "lastUpdateTime": first["lastTransitionTime"]}
        conditions.items.append(known)


def _progressing(
    deployment: Mapping[str, Any],
    status: Mapping[str, Any],
    new: Replicas | None,
    conditions: Conditions,
) -> None:
    current = conditions.get("Progressing")
    old = deployment.get("status") or {}
    subject = f'Deployment "{deployment["metadata"]["name"]}"' if new is None else f'ReplicaSet "{new.name}"'
    pods, updated = _count(status, "replicas"), _count(status, "updatedReplicas")
    if pods == updated and current is not None and current.get("reason") == _COMPLETE:
        return
    wanted = int(deployment["spec"].get("replicas", 1))
    if updated == pods == _count(status, "availableReplicas") == wanted:
        conditions.set("Progressing", "True", _COMPLETE, f"{subject} has successfully progressed.")
    elif (
        updated > _count(old, "updatedReplicas")
        or pods - updated < _count(old, "replicas") - _count(old, "updatedReplicas")
        or _count(status, "readyReplicas") > _count(old, "readyReplicas")
        or _count(status, "availableReplicas") > _count(old, "availableReplicas")
    ):
        conditions.set("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", again=True)
    elif current is not None and _timed_out(deployment["spec"], current, conditions.now):
        conditions.set("Progressing", "False", _EXCEEDED, f"{subject} has timed out progressing.")


def stalls_at(spec: Mapping[str, Any], conditions: Conditions) -> datetime | None:
    """When the update exceeds its deadline if nothing happens; None if it is complete or has exceeded it."""
    current = conditions.get("Progressing")
    if not has_deadline(spec) or current is None or current.get("reason") in _AT_REST:
        return None
    seconds = int(spec.get("progressDeadlineSeconds", 600)) + 1
    return parse_time(current["lastUpdateTime"]) + timedelta(seconds=seconds)


def _timed_out(spec: Mapping[str, Any], current: Mapping[str, Any], now: datetime) -> bool:
    if current.get("reason") == _COMPLETE:
        return False
    if current.get("reason") == _EXCEEDED:
        return True
    deadline = timedelta(seconds=int(spec.get("progressDeadlineSeconds", 600)))
    return parse_time(current["lastUpdateTime"]) + deadline < now


def _count(status: Mapping[str, Any], name: str) -> int:
    return int(status.get(name) or 0)
