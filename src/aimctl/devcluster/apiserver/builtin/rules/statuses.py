"""The validation of the status of workloads.

Contract: each check returns the errors of an object; ``old`` is the stored one on an update.

Source: ``pkg/apis/apps/validation`` of Kubernetes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.devcluster.apiserver.schema.errors import FieldError

__all__ = ["status_errors"]

_ALL = "status.replicas"
_PARTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "Deployment": (("updatedReplicas", "readyReplicas", "availableReplicas"), "readyReplicas"),
    "ReplicaSet": (("fullyLabeledReplicas", "readyReplicas", "availableReplicas"), "readyReplicas"),
    "StatefulSet": (
        ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"),
        "status.readyReplicas",
    ),
}
"""The counters that are parts of all replicas, and the name of the ready ones in messages."""
_NUMBERS = ("observedGeneration", "unavailableReplicas", "terminatingReplicas", "collisionCount")


def status_errors(kind: str, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterable[FieldError]:
    """Counters are not negative and no larger than the number that they are a part of."""
    status: Mapping[str, Any] = new.get("status") or {}
    before: Mapping[str, Any] = (old or {}).get("status") or {}
    if old is None or status == before:
        return
    parts, ready = _PARTS[kind]
    for name in ("replicas", *parts, *_NUMBERS):
        if (status.get(name) or 0) < 0:
            yield invalid(f"status.{name}", status[name], "must be greater than or equal to 0")
    for name in parts:
        if (status.get(name) or 0) > (status.get("replicas") or 0):
            yield invalid(f"status.{name}", status.get(name) or 0, f"cannot be greater than {_ALL}")
    if (status.get("availableReplicas") or 0) > (status.get("readyReplicas") or 0):
        text = f"cannot be greater than {ready}"
        yield invalid("status.availableReplicas", status["availableReplicas"], text)
    if (status.get("collisionCount") or 0) < (before.get("collisionCount") or 0):
        yield invalid("status.collisionCount", status.get("collisionCount") or 0, "cannot be decremented")
