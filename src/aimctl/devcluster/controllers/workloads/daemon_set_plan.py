"""The DaemonSet controller's decision: on which nodes to create pods, which to delete, and the status. No I/O.

Contract, as in Kubernetes:
    * Each node whose labels and taints the pod template accepts gets one pod. Taints of unready, unreachable and
      cordoned nodes are always tolerated. A pod stays if only a ``NoSchedule`` taint was added after its start.
    * A rolling update keeps at most ``maxUnavailable`` nodes without an available pod, or with ``maxSurge`` creates the
      new pod beside the old one.

Source: Kubernetes' ``pkg/controller/daemon``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.controllers.workloads.pod_facts import (
    available_at,
    is_finished,
    is_ready,
    phase_of,
    pod_from_template,
    scaled_value,
)
from aimctl.devcluster.controllers.workloads.revisions import REVISION_LABEL
from aimctl.devcluster.machinery.node_fit import matches_node, tolerates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

__all__ = ["DaemonPlan", "live_revisions", "node_of", "plan", "pod_for"]

JsonObject = dict[str, Any]

_TOLERATED = (
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
)


@dataclass(frozen=True, slots=True)
class DaemonPlan:
    """What to do for a DaemonSet.

    Attributes:
        create: the names of the nodes that get a pod.
        delete: the pods to delete.
        events: the Events to record, as type, reason and message.
        status: the new status; None if it does not change.
        wake_at: when to decide again, if nothing else happens before.
    """

    create: tuple[str, ...] = ()
    delete: tuple[JsonObject, ...] = ()
    events: tuple[tuple[str, str, str], ...] = ()
    status: JsonObject | None = None
    wake_at: datetime | None = None


def pod_for(owner: JsonObject, node: str, digest: str) -> JsonObject:
    """The pod for a node, which its node affinity names. ``digest`` is the hash of its revision."""
    body = pod_from_template(owner, owner["spec"]["template"])
    body["metadata"]["labels"][REVISION_LABEL] = digest
    spec = body["spec"]
    affinity = dict(spec.get("affinity") or {})
    field_ = {"key": "metadata.name", "operator": "In", "values": [node]}
    affinity["nodeAffinity"] = {
        **(affinity.get("nodeAffinity") or {}),
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [field_]}]},
    }
    spec["affinity"] = affinity
    spec["tolerations"] = _tolerations(spec)
    return body


def live_revisions(revisions: Sequence[JsonObject], pods: Sequence[JsonObject], digest: str) -> set[str]:
    """The names of the revisions that pods have, and of the current one, whose hash is ``digest``."""
    used = {(pod["metadata"].get("labels") or {}).get(REVISION_LABEL) for pod in pods} | {digest}
    found = (each["metadata"] for each in revisions)
    return {metadata["name"] for metadata in found if metadata["labels"].get(REVISION_LABEL) in used}


def node_of(pod: Mapping[str, Any]) -> str:
    """The node of a pod, or the node that its affinity names while it is not bound; "" if there is none."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for item in term.get("matchFields") or ():
            if item.get("key") == "metadata.name" and len(item.get("values") or ()) == 1:
                return str(item["values"][0])
    return ""


def plan(
    owner: JsonObject,
    pods: Sequence[JsonObject],
    nodes: Sequence[JsonObject],
    *,
    digest: str,
    now: datetime,
) -> DaemonPlan:
    """Decide.

    Args:
        owner: the DaemonSet.
        pods: the pods it controls.
        nodes: all Nodes.
        digest: the hash of the revision with the present template.
        now: the wall clock.
    """
    return _Step(owner, pods, nodes, digest, now).plan()


@dataclass(slots=True)
class _Step:
    owner: JsonObject
    pods: Sequence[JsonObject]
    nodes: Sequence[JsonObject]
    digest: str
    now: datetime
    create: list[str] = field(init=False, default_factory=list)
    delete: list[JsonObject] = field(init=False, default_factory=list)
    events: list[tuple[str, str, str]] = field(init=False, default_factory=list)
    wake: list[datetime] = field(init=False, default_factory=list)

    def plan(self) -> DaemonPlan:
        by_node: dict[str, list[JsonObject]] = {node["metadata"]["name"]: [] for node in self.nodes}
        for pod in sorted(self.pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], _name(pod))):
            node = node_of(pod)
            if node in by_node:
                by_node[node].append(pod)
            elif not pod["spec"].get("nodeName") and not _is_ending(pod):
                self.delete.append(pod)
        fits = {node["metadata"]["name"]: self._fit(node) for node in self.nodes}
        if not self.owner["metadata"].get("deletionTimestamp"):
            for node, own in by_node.items():
                self._manage(node, own, fits[node])
            strategy = self.owner["spec"].get("updateStrategy") or {}
            if strategy.get("type", "RollingUpdate") == "RollingUpdate":
                wanted = {node: own for node, own in by_node.items() if fits[node][0]}
                self._roll(wanted, strategy.get("rollingUpdate") or {})
        status = self._status(by_node, fits)
        changed = status != self.owner.get("status")
        return DaemonPlan(
            tuple(self.create),
            tuple(self.delete),
            tuple(self.events),
            status if changed else None,
            min(self.wake, default=None),
        )

    def _fit(self, node: JsonObject) -> tuple[bool, bool]:
        """Whether the node should get a pod, and whether it may keep one."""
        spec = self.owner["spec"]["template"]["spec"]
        if not matches_node(spec, node["metadata"].get("labels") or {}, node["metadata"]["name"]):
            return False, False
        tolerating = {"tolerations": _tolerations(spec)}
        refused = {
            taint.get("effect")
            for taint in (node.get("spec") or {}).get("taints") or ()
            if not tolerates(tolerating, taint)
        }
        return not refused & {"NoSchedule", "NoExecute"}, "NoExecute" not in refused

    def _manage(self, node: str, pods: Sequence[JsonObject], fit: tuple[bool, bool]) -> None:
        """Create a missing pod, and delete failed, surplus and unwanted ones."""
        should_run, may_stay = fit
        if not may_stay:
            self.delete += [pod for pod in pods if not _is_ending(pod)]
            return
        kept = []
        for pod in pods:
            if _is_ending(pod):
                kept.append(pod)
            elif is_finished(pod):
                reason = "FailedDaemonPod" if phase_of(pod) == "Failed" else "SucceededDaemonPod"
                kind = "failed" if phase_of(pod) == "Failed" else "succeeded"
                text = (
                    f"Found {kind} daemon pod {pod['metadata']['namespace']}/{_name(pod)} on node {node},"
                    f" will try to {'kill' if kind == 'failed' else 'delete'} it"
                )
                self.events.append(("Warning" if kind == "failed" else "Normal", reason, text))
                self.delete.append(pod)
            else:
                kept.append(pod)
        if not pods and should_run:
            self.create.append(node)
        newest = {_revision(pod): pod for pod in reversed(kept) if not _is_ending(pod)}
        surplus = [pod for pod in kept if not _is_ending(pod) and newest[_revision(pod)] is not pod]
        self.delete += surplus

    def _roll(self, by_node: Mapping[str, Sequence[JsonObject]], rolling: Mapping[str, Any]) -> None:
        surge = scaled_value(rolling.get("maxSurge"), len(by_node), up=True)
        unavailable = scaled_value(rolling.get("maxUnavailable", 1), len(by_node), up=True)
        if surge:
            self._roll_with_surge(by_node, surge)
            return
        missing, broken, candidates = 0, [], []
        for pods in by_node.values():
            new, old = self._split(pods)
            if (new is None) == (old is None):
                missing += 1
            elif new is not None:
                missing += not self._is_available(new)
            elif old is not None and not self._is_available(old):
                missing += 1
                broken.append(old)
            elif old is not None:
                candidates.append(old)
        self._remove([*broken, *candidates[: max(0, unavailable - missing)]])

    def _roll_with_surge(self, by_node: Mapping[str, Sequence[JsonObject]], surge: int) -> None:
        free, outdated = surge, []
        candidates = []
        for node, pods in by_node.items():
            new, old = self._split(pods)
            if old is None:
                continue
            if new is not None:
                free -= 1
                if self._is_available(new):
                    outdated.append(old)
            elif not self._is_available(old):
                self.create.append(node)
            else:
                candidates.append(node)
        self.create += candidates[: max(0, free)]
        self._remove(outdated)

    def _remove(self, pods: Sequence[JsonObject]) -> None:
        self.delete += [pod for pod in pods if pod not in self.delete and not _is_ending(pod)]

    def _split(self, pods: Sequence[JsonObject]) -> tuple[JsonObject | None, JsonObject | None]:
        """The pod with the present template, and a pod with another one."""
        staying = [pod for pod in pods if not _is_ending(pod)]
        new = next((pod for pod in staying if _revision(pod) == self.digest), None)
        old = next((pod for pod in staying if _revision(pod) != self.digest), None)
        return new, old

    def _is_available(self, pod: JsonObject) -> bool:
        time = available_at(pod, self.owner["spec"].get("minReadySeconds") or 0)
        if time is not None and time > self.now:
            self.wake.append(time)
        return time is not None and time <= self.now and not _is_ending(pod)

    def _status(
        self, by_node: Mapping[str, Sequence[JsonObject]], fits: Mapping[str, tuple[bool, bool]]
    ) -> JsonObject:
        wanted = [node for node in by_node if fits[node][0]]
        first = {node: own[0] for node, own in by_node.items() if own}
        running = [first[node] for node in wanted if node in first]
        available = sum(map(self._is_available, running))
        status: JsonObject = {
            "currentNumberScheduled": len(running),
            "numberMisscheduled": sum(not fits[node][0] for node in first),
            "desiredNumberScheduled": len(wanted),
            "numberReady": sum(map(is_ready, running)),
            "observedGeneration": self.owner["metadata"].get("generation", 1),
            "updatedNumberScheduled": sum(_revision(pod) == self.digest for pod in running),
            "numberAvailable": available,
            "numberUnavailable": len(wanted) - available,
        }
        optional = ("updatedNumberScheduled", "numberAvailable", "numberUnavailable")
        status = {name: value for name, value in status.items() if value or name not in optional}
        for name in ("collisionCount", "conditions"):
            if (self.owner.get("status") or {}).get(name):
                status[name] = self.owner["status"][name]
        return status


def _tolerations(spec: Mapping[str, Any]) -> list[JsonObject]:
    """The tolerations of a template, with those that every pod of a DaemonSet has."""
    found = list(spec.get("tolerations") or ())
    own = [(taint, effect) for taint, effect in _TOLERATED]
    if spec.get("hostNetwork"):
        own.append(("network-unavailable", "NoSchedule"))
    for taint, effect in own:
        each = {"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": effect}
        if each not in found:
            found.append(each)
    return found


def _revision(pod: Mapping[str, Any]) -> str:
    return str((pod["metadata"].get("labels") or {}).get(REVISION_LABEL, ""))


def _is_ending(pod: Mapping[str, Any]) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _name(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"]["name"])
