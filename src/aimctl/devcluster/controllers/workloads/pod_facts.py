"""Facts about pods and their owners that the workload controllers decide with. No I/O.

Contract: all functions take objects as the API server returns them and do not change them. Hashes of templates are
stable, but differ from those of kube-controller-manager, which hashes Go structures.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from aimctl.runtime.clock import parse_time

__all__ = [
    "available_at",
    "controller_of",
    "is_active",
    "is_ending",
    "is_finished",
    "is_ready",
    "owner_reference",
    "phase_of",
    "pod_from_template",
    "ready_since",
    "scaled_value",
    "template_hash",
]

JsonObject = Mapping[str, Any]

_HASH_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Of ``rand.SafeEncodeString``: names made of it contain no words."""
_HASH_LENGTH = 10


def phase_of(pod: JsonObject) -> str:
    """The phase of a pod, Pending by default."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_finished(pod: JsonObject) -> bool:
    """Whether all containers of the pod have ended for good."""
    return phase_of(pod) in {"Succeeded", "Failed"}


def is_active(pod: JsonObject) -> bool:
    """Whether the pod is neither finished nor being deleted."""
    return not is_finished(pod) and not pod["metadata"].get("deletionTimestamp")


def is_ending(pod: JsonObject) -> bool:
    """Whether the pod is being deleted and not finished."""
    return not is_finished(pod) and bool(pod["metadata"].get("deletionTimestamp"))


def ready_since(pod: JsonObject) -> datetime | None:
    """Since when the pod has the condition Ready; None if it is not ready."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition["type"] == "Ready" and condition["status"] == "True":
            return parse_time(condition.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"])
    return None


def is_ready(pod: JsonObject) -> bool:
    """Whether the pod has the condition Ready."""
    return ready_since(pod) is not None


def available_at(pod: JsonObject, min_ready_seconds: float) -> datetime | None:
    """When the pod has been ready for ``min_ready_seconds``; None if it is not ready."""
    since = ready_since(pod)
    return None if since is None else since + timedelta(seconds=min_ready_seconds)


def controller_of(obj: JsonObject) -> dict[str, Any] | None:
    """The owner reference of the controller of an object, or None."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return dict(owner)
    return None


def owner_reference(owner: JsonObject) -> dict[str, Any]:
    """The owner reference that makes ``owner`` the controller of an object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod_from_template(owner: JsonObject, template: JsonObject) -> dict[str, Any]:
    """The pod to create for an owner: labels, annotations, finalizers and spec of the template, with generateName."""
    own = template.get("metadata") or {}
    metadata: dict[str, Any] = {
        "generateName": f"{owner['metadata']['name']}-",
        "namespace": owner["metadata"]["namespace"],
        "labels": dict(own.get("labels") or {}),
        "ownerReferences": [owner_reference(owner)],
    }
    if own.get("annotations"):
        metadata["annotations"] = dict(own["annotations"])
    if own.get("finalizers"):
        metadata["finalizers"] = list(own["finalizers"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": dict(template["spec"])}


def scaled_value(value: int | str | None, total: int, *, up: bool) -> int:
    """An integer, or a percentage of ``total`` rounded up or down. None is zero."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    share = int(value.removesuffix("%")) * total / 100
    return math.ceil(share) if up else math.floor(share)


def template_hash(value: Any, collisions: int = 0) -> str:
    """A short hash for names and labels. Other numbers of collisions give other hashes."""
    text = msgspec.json.encode([value, collisions], order="sorted")
    digest = hashlib.sha256(text).digest()[:_HASH_LENGTH]
    return "".join(_HASH_ALPHABET[byte % len(_HASH_ALPHABET)] for byte in digest)
