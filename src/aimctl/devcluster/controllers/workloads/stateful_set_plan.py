"""The StatefulSet controller's decision: which pods to create and delete, and the status. No I/O.

Contract, as in Kubernetes:
    * Pods are named by ordinals, from ``ordinals.start``. With OrderedReady one pod is created or deleted at a time,
      upwards or downwards, and only while its predecessors are available. With Parallel there is no such order.
    * A rolling update deletes pods of other revisions from the highest ordinal down to ``partition``, at most
      ``maxUnavailable`` at a time. Pods below the partition are created with the current revision.
    * The current revision becomes the update revision when all pods have it and are ready.

Source: Kubernetes' ``pkg/controller/statefulset/stateful_set_control.go``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.controllers.workloads.pod_facts import (
    available_at,
    is_finished,
    is_ready,
    phase_of,
    scaled_value,
)
from aimctl.devcluster.controllers.workloads.revisions import REVISION_LABEL

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

__all__ = [
    "StatefulPlan",
    "claims_for",
    "current_revision",
    "live_revisions",
    "ordinal_of",
    "ordinals",
    "plan",
    "pod_for",
]

JsonObject = dict[str, Any]

_POD_NAME = "statefulset.kubernetes.io/pod-name"
_POD_INDEX = "apps.kubernetes.io/pod-index"
_MEMBER = re.compile(r"(.+)-(0|[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class StatefulPlan:
    """What to do for a StatefulSet.

    Attributes:
        create: ordinals of the pods to create, with the names of their revisions.
        delete: the pods to delete.
        status: the new status; None if it does not change.
        wake_at: when to decide again, if nothing else happens before.
    """

    create: tuple[tuple[int, str], ...] = ()
    delete: tuple[JsonObject, ...] = ()
    status: JsonObject | None = None
    wake_at: datetime | None = None


def ordinal_of(owner: Mapping[str, Any], pod: Mapping[str, Any]) -> int | None:
    """The ordinal in the name of a pod; None if it is not the name of a pod of this StatefulSet."""
    match = _MEMBER.fullmatch(pod["metadata"]["name"])
    return int(match[2]) if match and match[1] == owner["metadata"]["name"] else None


def ordinals(owner: Mapping[str, Any]) -> range:
    """The ordinals of the pods that a StatefulSet wants."""
    start = int((owner["spec"].get("ordinals") or {}).get("start") or 0)
    return range(start, start + int(owner["spec"].get("replicas", 1)))


def current_revision(owner: Mapping[str, Any], known: Collection[str], update: str) -> str:
    """The name of the revision in the status, or that of the update revision if there is no such revision."""
    current: str = (owner.get("status") or {}).get("currentRevision") or update
    return current if current in known else update


def live_revisions(pods: Sequence[JsonObject], *names: str) -> set[str]:
    """The names of the revisions that pods have, and these names."""
    return {str((pod["metadata"].get("labels") or {}).get(REVISION_LABEL)) for pod in pods} | set(names)


def pod_for(owner: Mapping[str, Any], body: JsonObject, ordinal: int, revision: str) -> JsonObject:
    """The pod with this ordinal. ``body`` is the pod from the template of the revision, and is changed."""
    name = f"{owner['metadata']['name']}-{ordinal}"
    metadata, spec = body["metadata"], body["spec"]
    metadata["name"] = name
    metadata["labels"] |= {_POD_NAME: name, _POD_INDEX: str(ordinal), REVISION_LABEL: revision}
    spec["hostname"] = name
    if owner["spec"].get("serviceName"):
        spec["subdomain"] = owner["spec"]["serviceName"]
    claims = {
        template["metadata"]["name"]: claim["metadata"]["name"]
        for template, claim in zip(_claim_templates(owner), claims_for(owner, ordinal), strict=True)
    }
    if claims:
        mounted = [
            {"name": volume, "persistentVolumeClaim": {"claimName": claim}}
            for volume, claim in sorted(claims.items())
        ]
        others = [volume for volume in spec.get("volumes") or () if volume["name"] not in claims]
        spec["volumes"] = [*mounted, *others]
    return body


def claims_for(owner: Mapping[str, Any], ordinal: int) -> list[JsonObject]:
    """The claims of the pod with this ordinal. They outlive it."""
    metadata = owner["metadata"]
    labels = (owner["spec"].get("selector") or {}).get("matchLabels") or {}
    found = []
    for template in _claim_templates(owner):
        own = template.get("metadata") or {}
        claim: JsonObject = {
            "name": f"{own['name']}-{metadata['name']}-{ordinal}",
            "namespace": metadata["namespace"],
            "labels": {**(own.get("labels") or {}), **labels},
        }
        if own.get("annotations"):
            claim["annotations"] = dict(own["annotations"])
        found.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": claim,
                "spec": dict(template["spec"]),
            }
        )
    return found


def _claim_templates(owner: Mapping[str, Any]) -> Sequence[JsonObject]:
    return owner["spec"].get("volumeClaimTemplates") or ()


def plan(
    owner: JsonObject,
    pods: Sequence[JsonObject],
    *,
    current: str,
    update: str,
    now: datetime,
) -> StatefulPlan:
    """Decide.

    Args:
        owner: the StatefulSet.
        pods: its pods, with and without valid ordinals.
        current: the name of the current revision.
        update: the name of the revision of the present template.
        now: the wall clock.
    """
    return _Step(owner, pods, current, update, now).plan()


@dataclass(slots=True)
class _Step:
    owner: JsonObject
    pods: Sequence[JsonObject]
    current: str
    update: str
    now: datetime
    create: list[tuple[int, str]] = field(init=False, default_factory=list)
    delete: list[JsonObject] = field(init=False, default_factory=list)
    wake: list[datetime] = field(init=False, default_factory=list)

    def plan(self) -> StatefulPlan:
        spec = self.owner["spec"]
        wanted = ordinals(self.owner)
        known = {ordinal: pod for pod in self.pods if (ordinal := ordinal_of(self.owner, pod)) is not None}
        if not self.owner["metadata"].get("deletionTimestamp"):
            ordered = spec.get("podManagementPolicy", "OrderedReady") != "Parallel"
            condemned = [known[ordinal] for ordinal in sorted(set(known) - set(wanted), reverse=True)]
            slots = [(ordinal, known.get(ordinal)) for ordinal in wanted]
            if self._fill(slots, ordered=ordered) and self._condemn(condemned, slots, ordered=ordered):
                self._roll([pod for _, pod in slots if pod is not None])
        status = self._status(list(known.values()), len(wanted))
        changed = status != self.owner.get("status")
        wake = min(self.wake, default=None)
        return StatefulPlan(tuple(self.create), tuple(self.delete), status if changed else None, wake)

    def _fill(self, slots: Sequence[tuple[int, JsonObject | None]], *, ordered: bool) -> bool:
        """Create missing pods and replace finished ones. False if the rest has to wait."""
        for ordinal, pod in slots:
            waits = True
            if pod is None:
                self.create.append((ordinal, self._revision_at(ordinal, slots[0][0])))
            elif is_finished(pod):
                if not _is_ending(pod):
                    self.delete.append(pod)
            else:
                waits = not self._is_available(pod) or _is_ending(pod)
            if waits and ordered:
                return False
        return True

    def _condemn(
        self,
        condemned: Sequence[JsonObject],
        slots: Sequence[tuple[int, JsonObject | None]],
        *,
        ordered: bool,
    ) -> bool:
        """Delete pods whose ordinals are not wanted. False if the rest has to wait."""
        present = [pod for _, pod in slots if pod is not None]
        unhealthy = [pod for pod in (*present, *reversed(condemned)) if not _is_healthy(pod)]
        for pod in condemned:
            first_unhealthy = bool(unhealthy) and pod is unhealthy[0]
            if _is_ending(pod) or (ordered and not self._is_available(pod) and not first_unhealthy):
                if ordered:
                    return False
                continue
            self.delete.append(pod)
            if ordered:
                return False
        return True

    def _roll(self, pods: Sequence[JsonObject]) -> None:
        """Delete pods of other revisions, from the last one, as far as maxUnavailable allows."""
        strategy = self.owner["spec"].get("updateStrategy") or {}
        if strategy.get("type", "RollingUpdate") != "RollingUpdate":
            return
        rolling = strategy.get("rollingUpdate") or {}
        most = max(1, scaled_value(rolling.get("maxUnavailable", 1), len(pods), up=False))
        missing = sum(not _is_healthy(pod) or not self._is_available(pod) for pod in pods)
        allowed = most - missing - len(self.create)
        for pod in reversed(pods[int(rolling.get("partition") or 0) :]):
            if allowed <= 0:
                return
            if _revision(pod) != self.update and not _is_ending(pod) and pod not in self.delete:
                self.delete.append(pod)
                allowed -= 1

    def _revision_at(self, ordinal: int, start: int) -> str:
        strategy = self.owner["spec"].get("updateStrategy") or {}
        partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
        return self.current if ordinal < start + partition else self.update

    def _is_available(self, pod: JsonObject) -> bool:
        """Whether the pod runs and is ready for ``minReadySeconds``. Notes when it will be."""
        time = available_at(pod, self.owner["spec"].get("minReadySeconds") or 0)
        if time is None or phase_of(pod) != "Running":
            return False
        if time > self.now:
            self.wake.append(time)
        return time <= self.now

    def _status(self, pods: Sequence[JsonObject], wanted: int) -> JsonObject:
        old = self.owner.get("status") or {}
        ready = [pod for pod in pods if phase_of(pod) == "Running" and is_ready(pod)]
        staying = [pod for pod in pods if not _is_ending(pod)]
        updated = sum(_revision(pod) == self.update for pod in staying)
        counts = {
            "readyReplicas": len(ready),
            "currentReplicas": sum(_revision(pod) == self.current for pod in staying),
            "updatedReplicas": updated,
        }
        current = self.current
        strategy = (self.owner["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate")
        if strategy == "RollingUpdate" and updated == len(ready) == len(pods) == wanted:
            current, counts["currentReplicas"] = self.update, updated
        status = {
            "observedGeneration": self.owner["metadata"].get("generation", 1),
            "replicas": len(pods),
            **{name: value for name, value in counts.items() if value},
            "currentRevision": current,
            "updateRevision": self.update,
            "collisionCount": old.get("collisionCount") or 0,
            "availableReplicas": sum(map(self._is_available, ready)),
        }
        if old.get("conditions"):
            status["conditions"] = old["conditions"]
        return status


def _revision(pod: Mapping[str, Any]) -> str:
    return str((pod["metadata"].get("labels") or {}).get(REVISION_LABEL, ""))


def _is_ending(pod: Mapping[str, Any]) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _is_healthy(pod: Mapping[str, Any]) -> bool:
    return phase_of(pod) == "Running" and is_ready(pod) and not _is_ending(pod)
