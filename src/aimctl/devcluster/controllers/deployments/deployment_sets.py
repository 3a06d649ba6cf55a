"""The ReplicaSets of a Deployment as input and output of its plan, and the arithmetic of their sizes. No I/O.

Contract: a :class:`Replicas` is one ReplicaSet. A plan changes its ``replicas`` and ``annotations``;
:attr:`Replicas.patch` is the difference from the stored object.

Source: Kubernetes' ``pkg/controller/deployment`` (``rolling.go``, ``sync.go``, ``util/deployment_util.go``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.controllers.workloads.pod_facts import scaled_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "DESIRED",
    "HASH_LABEL",
    "HISTORY",
    "MAX_REPLICAS",
    "REVISION",
    "Limits",
    "Replicas",
    "same_template",
    "scale_in_proportion",
    "scale_old",
    "size_of_new",
]

JsonObject = dict[str, Any]

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"


@final
@dataclass(frozen=True, slots=True)
class Limits:
    """The replicas of a Deployment, with the limits of its rolling update, which are zero for other strategies."""

    replicas: int
    surge: int = 0
    unavailable: int = 0

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Limits:
        """The limits of a Deployment's spec. Percentages of surge are rounded up, those of unavailability down."""
        replicas = int(spec.get("replicas", 1))
        strategy = spec.get("strategy") or {}
        if strategy.get("type") == "Recreate":
            return cls(replicas)
        rolling = strategy.get("rollingUpdate") or {}
        surge = scaled_value(rolling.get("maxSurge", "25%"), replicas, up=True)
        unavailable = scaled_value(rolling.get("maxUnavailable", "25%"), replicas, up=False)
        if not surge and not unavailable:
            unavailable = 1
        return cls(replicas, surge, min(unavailable, replicas))

    @property
    def most(self) -> int:
        """The highest number of pods during an update."""
        return self.replicas + self.surge

    @property
    def least_available(self) -> int:
        """The lowest number of available pods during an update."""
        return self.replicas - self.unavailable


@final
@dataclass(slots=True)
class Replicas:
    """One ReplicaSet. ``body`` is the stored object, or the object to create."""

    body: JsonObject
    replicas: int = 0
    annotations: dict[str, str] = field(default_factory=dict)
    created: bool = True

    @classmethod
    def of(cls, body: JsonObject) -> Replicas:
        """The stored ReplicaSet."""
        annotations = dict(body["metadata"].get("annotations") or {})
        return cls(body, int(body["spec"].get("replicas", 1)), annotations)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.body["metadata"]["name"])

    @property
    def age(self) -> tuple[str, str]:
        """Sorts ReplicaSets from the oldest to the newest."""
        return (str(self.body["metadata"].get("creationTimestamp") or "9999"), self.name)

    @property
    def revision(self) -> int:
        """The revision in its annotations; 0 if there is none."""
        text = self.annotations.get(REVISION, "")
        return int(text) if text.isascii() and text.isdigit() else 0

    def status(self, name: str) -> int:
        """A counter of its status."""
        return int((self.body.get("status") or {}).get(name) or 0)

    @property
    def patch(self) -> JsonObject:
        """The merge patch that stores the changes, empty if there are none."""
        patch: JsonObject = {}
        stored = self.body["metadata"].get("annotations") or {}
        if self.annotations != stored:
            removed = dict.fromkeys(set(stored) - set(self.annotations))
            patch["metadata"] = {"annotations": {**removed, **self.annotations}}
        if self.replicas != int(self.body["spec"].get("replicas", 1)):
            patch["spec"] = {"replicas": self.replicas}
        return patch

    def scale(self, replicas: int, limits: Limits) -> None:
        """Set the size, and the sizes of the Deployment for which it was chosen."""
        self.replicas = replicas
        self.annotations |= {DESIRED: str(limits.replicas), MAX_REPLICAS: str(limits.most)}


def same_template(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two pod templates are equal except for the label with their hash."""
    return _without_hash(one) == _without_hash(other)


def _without_hash(template: Mapping[str, Any]) -> JsonObject:
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL}
    return {**template, "metadata": {**metadata, "labels": labels}}


def size_of_new(limits: Limits, every: Sequence[Replicas], current: int, *, rolling: bool) -> int:
    """The size of the ReplicaSet with the current template.

    Args:
        limits: those of the Deployment.
        every: all ReplicaSets.
        current: its present size.
        rolling: whether the strategy is RollingUpdate.
    """
    if not rolling or current >= limits.replicas:
        return limits.replicas
    total = sum(each.replicas for each in every)
    return min(limits.replicas, current + max(0, limits.most - total))


def scale_old(limits: Limits, new: Replicas, old: Sequence[Replicas]) -> bool:
    """Scale down the other ReplicaSets of a rolling update, unavailable pods first. Whether any was scaled."""
    active = [each for each in old if each.replicas]
    every = [*active, new]
    missing = new.replicas - new.status("availableReplicas")
    allowed = sum(each.replicas for each in every) - limits.least_available - missing
    if allowed <= 0 or not active:
        return False
    before = [each.replicas for each in active]
    for each in active:
        unhealthy = max(0, each.replicas - each.status("availableReplicas"))
        count = min(allowed, unhealthy)
        if count:
            each.scale(each.replicas - count, limits)
            allowed -= count
    spare = sum(each.status("availableReplicas") for each in every) - limits.least_available
    for each in active:
        count = min(max(0, spare), each.replicas)
        if count:
            each.scale(each.replicas - count, limits)
            spare -= count
    return before != [each.replicas for each in active]


def scale_in_proportion(limits: Limits, active: Sequence[Replicas], status_replicas: int) -> None:
    """Distribute a change of the Deployment's size over its active ReplicaSets.

    Args:
        limits: those of the Deployment.
        active: the ReplicaSets with pods.
        status_replicas: ``status.replicas`` of the Deployment, for ReplicaSets without annotations.
    """
    change = (limits.most if limits.replicas else 0) - sum(each.replicas for each in active)
    newest_first = sorted(active, key=lambda each: each.age, reverse=True)
    ordered = sorted(newest_first if change > 0 else newest_first[::-1], key=lambda each: -each.replicas)
    sizes: dict[str, int] = {}
    added = 0
    for each in ordered:
        share = _share(each, limits, status_replicas) if change and each.replicas else 0
        left = change - added
        part = min(share, left) if change > 0 else max(share, left)
        added += part
        sizes[each.name] = each.replicas + part
    if ordered and change:
        sizes[ordered[0].name] = max(0, sizes[ordered[0].name] + change - added)
    for each in ordered:
        each.scale(sizes[each.name], limits)


def _share(each: Replicas, limits: Limits, status_replicas: int) -> int:
    if not limits.replicas:
        return -each.replicas
    text = each.annotations.get(MAX_REPLICAS, "")
    before = int(text) if text.isascii() and text.isdigit() else status_replicas
    if not before:
        return 0
    return int(each.replicas * limits.most / before + 0.5) - each.replicas
