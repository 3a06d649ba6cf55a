"""The Deployment controller's decision: what to do next for a Deployment and its ReplicaSets. No I/O.

Contract, as in Kubernetes:
    * :func:`plan` depends on its arguments only. A plan is one step; the events of its writes cause the next one.
    * The ReplicaSet with the template of the Deployment is the new one, so a template of an earlier revision makes its
      ReplicaSet the new one again, with the next revision number.
    * RollingUpdate keeps at most ``replicas + maxSurge`` pods, and at least ``replicas - maxUnavailable`` available.
      Recreate creates pods only when all old ones have ended. A paused Deployment is only scaled.
    * Of the old ReplicaSets, ``revisionHistoryLimit`` without pods are kept.

Source: Kubernetes' ``pkg/controller/deployment``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.controllers.deployments.deployment_sets import (
    DESIRED,
    HASH_LABEL,
    HISTORY,
    MAX_REPLICAS,
    REVISION,
    Limits,
    Replicas,
    same_template,
    scale_in_proportion,
    scale_old,
    size_of_new,
)
from aimctl.devcluster.controllers.deployments.deployment_status import (
    Conditions,
    counts,
    has_deadline,
    progress,
    stalls_at,
)
from aimctl.devcluster.controllers.workloads.pod_facts import owner_reference, template_hash

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

__all__ = ["DeploymentPlan", "plan"]

JsonObject = dict[str, Any]

_NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.to",
        REVISION,
        HISTORY,
        DESIRED,
        MAX_REPLICAS,
    }
)


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """What to do for a Deployment, in this order.

    Attributes:
        create: the ReplicaSet to create.
        patches: the names of ReplicaSets with the merge patches to send.
        delete: the ReplicaSets to delete.
        revision: the annotation of the Deployment with its revision; "" if it does not change.
        events: the Events to record, as reason and message.
        status: the new status; None if it does not change.
        wake_at: when to decide again, if nothing else happens before.
    """

    create: JsonObject | None = None
    patches: tuple[tuple[str, JsonObject], ...] = ()
    delete: tuple[JsonObject, ...] = ()
    revision: str = ""
    events: tuple[tuple[str, str], ...] = ()
    status: JsonObject | None = None
    wake_at: datetime | None = None


def plan(
    deployment: JsonObject, sets: Sequence[JsonObject], *, now: datetime, old_pods: bool = False
) -> DeploymentPlan:
    """Decide.

    Args:
        deployment: the Deployment.
        sets: the ReplicaSets it controls.
        now: the wall clock.
        old_pods: whether pods of other ReplicaSets than the new one exist that have not ended. Recreate waits for them.
    """
    return _Step(deployment, sets, now).plan(old_pods=old_pods)


def new_set(deployment: JsonObject, sets: Sequence[JsonObject]) -> JsonObject | None:
    """The oldest ReplicaSet with the template of the Deployment."""
    ordered = sorted(sets, key=lambda body: Replicas.of(body).age)
    template = deployment["spec"]["template"]
    return next((body for body in ordered if same_template(body["spec"]["template"], template)), None)


@dataclass(slots=True)
class _Step:
    deployment: JsonObject
    sets: Sequence[JsonObject]
    now: datetime
    spec: JsonObject = field(init=False)
    limits: Limits = field(init=False)
    new: Replicas | None = field(init=False)
    old: list[Replicas] = field(init=False)
    conditions: Conditions = field(init=False)
    delete: list[JsonObject] = field(init=False, default_factory=list)
    revision: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.spec = self.deployment["spec"]
        self.limits = Limits.of(self.spec)
        chosen = new_set(self.deployment, self.sets)
        self.new = None if chosen is None else Replicas.of(chosen)
        self.old = sorted(
            (Replicas.of(body) for body in self.sets if body is not chosen), key=lambda each: each.age
        )
        old = (self.deployment.get("status") or {}).get("conditions") or ()
        self.conditions = Conditions(old, self.now)

    @property
    def every(self) -> list[Replicas]:
        return self.old + ([] if self.new is None else [self.new])

    def plan(self, *, old_pods: bool) -> DeploymentPlan:
        if self.deployment["metadata"].get("deletionTimestamp"):
            return self._result(rollout=False)
        self._note_pause()
        if self.spec.get("paused") or self._is_rescaled():
            self._adopt_revision(create=False)
            self._scale()
            if self.spec.get("paused"):
                self._clean_up()
            return self._result(rollout=False)
        if (self.spec.get("strategy") or {}).get("type") == "Recreate":
            self._recreate(old_pods=old_pods)
        else:
            self._roll()
        return self._result(rollout=True)

    # -- the strategies

    def _roll(self) -> None:
        new = self._adopt_revision(create=True)
        wanted = size_of_new(self.limits, self.every, new.replicas, rolling=True)
        if wanted != new.replicas:
            new.scale(wanted, self.limits)
        elif not scale_old(self.limits, new, self.old) and self._is_complete():
            self._clean_up()

    def _recreate(self, *, old_pods: bool) -> None:
        self._adopt_revision(create=False)
        active = [each for each in self.old if each.replicas]
        for each in active:
            each.scale(0, self.limits)
        if active or old_pods:
            return
        new = self._adopt_revision(create=True)
        if new.replicas != self.limits.replicas:
            new.scale(self.limits.replicas, self.limits)
        elif self._is_complete():
            self._clean_up()

    def _is_rescaled(self) -> bool:
        """Whether the size of the Deployment changed since its active ReplicaSets were scaled."""
        sizes = {each.annotations.get(DESIRED) for each in self.every if each.replicas}
        return bool(sizes - {None, str(self.limits.replicas)})

    def _scale(self) -> None:
        """Bring the ReplicaSets to the size of the Deployment without updating pods."""
        active = [each for each in self.every if each.replicas]
        if len(active) <= 1:
            latest = self.new or (max(self.old, key=lambda each: each.age) if self.old else None)
            only = active[0] if active else latest
            if only is not None and only.replicas != self.limits.replicas:
                only.scale(self.limits.replicas, self.limits)
            return
        new = self.new
        if (
            new is not None
            and new.annotations.get(DESIRED) == str(self.limits.replicas)
            and new.replicas == new.status("availableReplicas") == self.limits.replicas
        ):
            for each in active:
                if each is not new:
                    each.scale(0, self.limits)
        elif (self.spec.get("strategy") or {}).get("type") != "Recreate":
            status = self.deployment.get("status") or {}
            scale_in_proportion(self.limits, active, int(status.get("replicas") or 0))

    def _is_complete(self) -> bool:
        status = self.deployment.get("status") or {}
        wanted = self.limits.replicas
        names = ("updatedReplicas", "replicas", "availableReplicas")
        return all(int(status.get(name) or 0) == wanted for name in names) and (
            status.get("observedGeneration") or 0
        ) >= (self.deployment["metadata"].get("generation") or 0)

    def _clean_up(self) -> None:
        kept = int(self.spec.get("revisionHistoryLimit", 10))
        alive = [each for each in self.old if not each.body["metadata"].get("deletionTimestamp")]
        for each in sorted(alive, key=lambda each: each.revision)[: max(0, len(alive) - kept)]:
            observed = each.status("observedGeneration") >= (each.body["metadata"].get("generation") or 0)
            if not each.replicas and not each.status("replicas") and observed:
                self.delete.append(each.body)

    # -- the new ReplicaSet and its revision

    def _adopt_revision(self, *, create: bool) -> Replicas:
        """Give the new ReplicaSet the next revision; create it if asked. Without one, returns an empty one."""
        revision = max((each.revision for each in self.old), default=0) + 1
        if self.new is None:
            if not create:
                return Replicas({"metadata": {"name": ""}, "spec": {}})
            self.new = self._created(revision)
            text = f'Created new replica set "{self.new.name}"'
            self._has_progressed("NewReplicaSetCreated", text)
        else:
            self._annotate(self.new, revision)
            if self.conditions.get("Progressing") is None:
                self._has_progressed("FoundNewReplicaSet", f'Found new replica set "{self.new.name}"')
        own = self.new.annotations.get(REVISION, "")
        known = (self.deployment["metadata"].get("annotations") or {}).get(REVISION)
        self.revision = own if own != known else ""
        return self.new

    def _has_progressed(self, reason: str, message: str) -> None:
        if has_deadline(self.spec):
            self.conditions.set("Progressing", "True", reason, message)

    def _created(self, revision: int) -> Replicas:
        metadata, template = self.deployment["metadata"], self.spec["template"]
        status = self.deployment.get("status") or {}
        digest = template_hash(template, int(status.get("collisionCount") or 0))
        own = template.get("metadata") or {}
        labels = {**(own.get("labels") or {}), HASH_LABEL: digest}
        selector = self.spec["selector"]
        matched = {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}
        rolling = (self.spec.get("strategy") or {}).get("type") != "Recreate"
        created = Replicas({}, created=False)
        created.scale(size_of_new(self.limits, self.old, 0, rolling=rolling), self.limits)
        created.annotations |= {**self._copied(), REVISION: str(revision)}
        spec: JsonObject = {
            "replicas": created.replicas,
            "selector": {**selector, "matchLabels": matched},
            "template": {**template, "metadata": {**own, "labels": labels}},
        }
        if self.spec.get("minReadySeconds"):
            spec["minReadySeconds"] = self.spec["minReadySeconds"]
        created.body = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{metadata['name']}-{digest}",
                "namespace": metadata["namespace"],
                "labels": labels,
                "annotations": created.annotations,
                "ownerReferences": [owner_reference(self.deployment)],
            },
            "spec": spec,
        }
        return created

    def _copied(self) -> dict[str, str]:
        """The annotations of the Deployment that its ReplicaSets get."""
        own = self.deployment["metadata"].get("annotations") or {}
        return {name: value for name, value in own.items() if name not in _NOT_COPIED}

    def _annotate(self, new: Replicas, revision: int) -> None:
        new.annotations |= self._copied()
        before = new.revision
        if before < revision:
            if before:
                history = [text for text in new.annotations.get(HISTORY, "").split(",") if text]
                new.annotations[HISTORY] = ",".join([*history, str(before)])
            new.annotations[REVISION] = str(revision)

    def _note_pause(self) -> None:
        if not has_deadline(self.spec):
            return
        current = self.conditions.get("Progressing")
        paused = current is not None and current.get("reason") == "DeploymentPaused"
        if self.spec.get("paused") and not paused:
            self.conditions.set("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
        elif paused and not self.spec.get("paused"):
            self.conditions.set("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")

    # -- the result

    def _result(self, *, rollout: bool) -> DeploymentPlan:
        status = counts(self.deployment, self.every, self.new, self.limits, self.conditions)
        if rollout:
            progress(self.deployment, status, self.every, new=self.new, conditions=self.conditions)
        if self.conditions.items:
            status["conditions"] = self.conditions.items
        stored = [each for each in self.every if each.created]
        made = self.new if self.new is not None and not self.new.created else None
        return DeploymentPlan(
            None if made is None else made.body,
            tuple((each.name, each.patch) for each in stored if each.patch),
            tuple(self.delete),
            self.revision,
            self._events(stored, made),
            None if status == self.deployment.get("status") else status,
            stalls_at(self.spec, self.conditions),
        )

    def _events(self, stored: Sequence[Replicas], made: Replicas | None) -> tuple[tuple[str, str], ...]:
        sizes = [(each, int(each.body["spec"].get("replicas", 1))) for each in stored]
        sizes += [] if made is None else [(made, 0)]
        changed = [(each, before) for each, before in sizes if each.replicas != before]
        return tuple(("ScalingReplicaSet", _scaled(each, before)) for each, before in changed)


def _scaled(each: Replicas, before: int) -> str:
    direction = "up" if each.replicas > before else "down"
    return f"Scaled {direction} replica set {each.name} from {before} to {each.replicas}"
