"""The Job controller's decision: what to do next for a Job and its pods. No I/O.

Contract, as in Kubernetes for the completion mode NonIndexed:
    * :func:`plan` depends on its arguments only. The tally has the finished pods that were counted, so a pod that is
      deleted is counted exactly once. After a restart it is restored from the status.
    * After a failed pod, the next is created with exponential back-off: ``base_seconds``, doubled up to
      ``max_seconds``, from the end of the failed one. A success resets it.
    * A pod that is deleted before it has ended counts as failed, and is replaced at once; with a pod failure policy
      only when it has ended. Rules of the policy with ``onPodConditions`` and the action Ignore are applied.
    * A finished Job does not change, except for its deletion after ``ttlSecondsAfterFinished``.
    * The status passes the API server's validation: counters never decrease, ``completionTime`` exists only with
      Complete, ``startTime`` is absent only while suspended. Zeros are omitted, so the status has to replace the old
      one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aimctl.kubetypes.helpers.backoff import exponential_delay
from aimctl.runtime.clock import format_time, parse_time

__all__ = ["FinishedPods", "JobBackoff", "JobPlan", "as_failed", "finished", "plan", "pod_for", "tally"]

JsonObject = Mapping[str, Any]

_GATE = "batch.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class JobBackoff:
    """Back-off after failed pods. The defaults are those of Kubernetes 1.28 and later.

    Attributes:
        base_seconds: delay after the first failure; doubled after each further one.
        max_seconds: longest delay.
        factor: multiplies the delay; 0 disables it.
    """

    base_seconds: float = 10.0
    max_seconds: float = 600.0
    factor: float = 1.0

    def delay(self, failures: int) -> timedelta:
        """The delay after a number of consecutive failures; zero after none."""
        if failures <= 0:
            return timedelta()
        seconds = exponential_delay(failures - 1, self.base_seconds, self.max_seconds)
        return timedelta(seconds=seconds * self.factor)


@dataclass(frozen=True, slots=True)
class FinishedPods:
    """The tally of finished pods.

    Attributes:
        counted: uids of the pods in the counters.
        succeeded: number of succeeded pods.
        failed: number of failed pods.
        consecutive_failures: failures since the last success.
        last_failure: end of the last failed pod, if no success followed.
    """

    counted: frozenset[str] = frozenset()
    succeeded: int = 0
    failed: int = 0
    consecutive_failures: int = 0
    last_failure: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What to do for a Job.

    Attributes:
        create: number of pods to create.
        delete: names of the pods to delete.
        status: the new status; None if it does not change.
        wake_at: when to decide again, if nothing else happens before.
        delete_job: whether to delete the Job, with foreground propagation.
        event: type, reason and message of an Event to record.
        tally: the finished pods, to be passed to the next :func:`plan`.
    """

    create: int = 0
    delete: tuple[str, ...] = ()
    status: dict[str, Any] | None = None
    wake_at: datetime | None = None
    delete_job: bool = False
    event: tuple[str, str, str] | None = None
    tally: FinishedPods = field(default_factory=FinishedPods)


def plan(
    job: JsonObject,
    pods: Sequence[JsonObject],
    *,
    now: datetime,
    backoff: JobBackoff,
    before: FinishedPods | None,
) -> JobPlan:
    """Decide.

    Args:
        job: the Job.
        pods: the pods it controls.
        now: the wall clock.
        backoff: delays after failed pods.
        before: the tally of the last plan for this Job; None for the first one.
    """
    status: Mapping[str, Any] = job.get("status") or {}
    ended = finished(job)
    if ended is not None:
        return _after_the_end(job, ended, now, before or FinishedPods())
    if job["metadata"].get("deletionTimestamp"):
        return JobPlan(tally=before or FinishedPods())
    spec = job["spec"]
    counts = tally(before, pods, status, ignores=lambda pod: _is_ignored(spec, pod))
    active = [pod for pod in pods if _active(pod)]
    ending = [pod for pod in pods if _ending(pod)] if _replaces_ended_only(spec) else []
    suspended = bool(spec.get("suspend"))
    started = status.get("startTime") or (None if suspended else format_time(now))
    following = _NextStatus(status, counts, active, now, started)
    deadline = _deadline(spec, started)
    failure = _failure(spec, counts, active, now, deadline)
    if failure is not None:
        return following.end("Failed", *failure)
    wanted = spec.get("completions")
    parallelism = _number(spec.get("parallelism"), 1)
    if counts.succeeded >= wanted if wanted is not None else counts.succeeded > 0 and not active:
        return following.end("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
    if suspended:
        return following.suspend()
    if wanted is None:
        target = len(active) if counts.succeeded else parallelism
    else:
        target = min(parallelism, wanted - counts.succeeded)
    return following.proceed(max(0, target - len(ending)), counts, backoff, deadline)


def tally(
    before: FinishedPods | None,
    pods: Sequence[JsonObject],
    status: JsonObject,
    ignores: Callable[[JsonObject], bool] = lambda _: False,
) -> FinishedPods:
    """Count finished pods, each uid once. Without a tally, the counters of the status include the existing pods.

    ``ignores`` says which failed pods do not count.
    """
    ended = [pod for pod in pods if _phase(pod) in {"Succeeded", "Failed"}]
    if before is None:
        seen = [pod for pod in ended if _phase(pod) == "Succeeded"]
        before = FinishedPods(
            succeeded=max(0, _number(status.get("succeeded"), 0) - len(seen)),
            failed=max(0, _number(status.get("failed"), 0) - (len(ended) - len(seen))),
        )
    fresh = sorted((pod for pod in ended if _uid(pod) not in before.counted), key=_end_time)
    succeeded, failed = before.succeeded, before.failed
    consecutive, last = before.consecutive_failures, before.last_failure
    for pod in fresh:
        if _phase(pod) == "Succeeded":
            succeeded, consecutive, last = succeeded + 1, 0, None
        elif not ignores(pod):
            failed, consecutive, last = failed + 1, consecutive + 1, parse_time(_end_time(pod))
    return FinishedPods(before.counted | {_uid(pod) for pod in fresh}, succeeded, failed, consecutive, last)


def finished(job: JsonObject) -> JsonObject | None:
    """The condition Complete or Failed if it is True, or None."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in {"Complete", "Failed"} and condition["status"] == "True":
            return dict(condition)
    return None


def as_failed(pod: JsonObject) -> dict[str, Any]:
    """The pod as it would be if a finalizer had kept it until it had ended."""
    return {**pod, "status": {**(pod.get("status") or {}), "phase": "Failed"}}


def pod_for(job: JsonObject) -> dict[str, Any]:
    """The pod to create: the template, with generateName, the four labels and the owner reference."""
    metadata = job["metadata"]
    template = job["spec"]["template"]
    own = template.get("metadata") or {}
    name, uid = metadata["name"], metadata["uid"]
    labels = {
        **(own.get("labels") or {}),
        "controller-uid": uid,
        "job-name": name,
        f"{_GATE}controller-uid": uid,
        f"{_GATE}job-name": name,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{name}-",
            "namespace": metadata["namespace"],
            "labels": labels,
            **({"annotations": dict(own["annotations"])} if own.get("annotations") else {}),
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": name,
                    "uid": uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": template["spec"],
    }


class _NextStatus:
    """Builds the next status. It starts from the old one, so unknown fields are kept."""

    def __init__(
        self,
        old: JsonObject,
        counts: FinishedPods,
        active: Sequence[JsonObject],
        now: datetime,
        started: str | None,
    ) -> None:
        self._old = old
        self._counts = counts
        self._active = active
        self._now = now
        self._status: dict[str, Any] = {
            **old,
            "active": len(active),
            "ready": sum(1 for pod in active if _ready(pod)),
            "succeeded": counts.succeeded,
            "failed": counts.failed,
            "startTime": started,
        }

    def end(self, kind: str, reason: str, message: str) -> JobPlan:
        """Finish the Job: set the preliminary condition of newer servers, and Complete or Failed."""
        precursor = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
        self._status |= {"active": 0, "ready": 0}
        for type_ in (precursor, kind):
            self._condition(type_, "True", reason, message)
        if kind == "Complete":
            self._status["completionTime"] = format_time(self._now)
        event = (
            ("Normal", "Completed", "Job completed") if kind == "Complete" else ("Warning", reason, message)
        )
        names = tuple(pod["metadata"]["name"] for pod in self._active)
        return JobPlan(delete=names, status=self._changed(), event=event, tally=self._counts)

    def suspend(self) -> JobPlan:
        """Delete all pods and set the condition Suspended."""
        event = None
        if self._condition("Suspended", "True", "JobSuspended", "Job suspended"):
            event = ("Normal", "Suspended", "Job suspended")
        self._status |= {"active": 0, "ready": 0, "startTime": None}
        names = tuple(pod["metadata"]["name"] for pod in self._active)
        return JobPlan(delete=names, status=self._changed(), event=event, tally=self._counts)

    def proceed(
        self, target: int, counts: FinishedPods, backoff: JobBackoff, deadline: datetime | None
    ) -> JobPlan:
        """Create or delete pods until ``target`` are active, after the back-off of a failed one."""
        event = None
        conditions = self._old.get("conditions") or ()
        if any(item["type"] == "Suspended" and item["status"] == "True" for item in conditions):
            self._condition("Suspended", "False", "JobResumed", "Job resumed")
            self._status["startTime"] = format_time(self._now)
            event = ("Normal", "Resumed", "Job resumed")
        missing = max(0, target - len(self._active))
        surplus = tuple(pod["metadata"]["name"] for pod in self._active[max(0, target) :])
        wake = deadline
        if missing and counts.last_failure is not None:
            retry_at = counts.last_failure + backoff.delay(counts.consecutive_failures)
            if retry_at > self._now:
                missing = 0
                wake = min(retry_at, deadline) if deadline else retry_at
        self._status["active"] = len(self._active) + missing - len(surplus)
        return JobPlan(missing, surplus, self._changed(), wake, event=event, tally=self._counts)

    def _condition(self, type_: str, status: str, reason: str, message: str) -> bool:
        """Set a condition. False if it had this status already."""
        conditions = [dict(item) for item in self._status.get("conditions") or ()]
        known = next((item for item in conditions if item["type"] == type_), None)
        if known is not None and known["status"] == status:
            return False
        timestamp = format_time(self._now)
        fresh = {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            "lastProbeTime": timestamp,
            "lastTransitionTime": timestamp,
        }
        self._status["conditions"] = [item for item in conditions if item["type"] != type_] + [fresh]
        return True

    def _changed(self) -> dict[str, Any] | None:
        """The new status without zeros, or None if it equals the old one."""
        new, old = _set_fields(self._status), _set_fields(self._old)
        return None if new == old else new


def _set_fields(status: JsonObject) -> dict[str, Any]:
    return {key: value for key, value in status.items() if value is not None and value != 0}


def _after_the_end(job: JsonObject, ended: JsonObject, now: datetime, counts: FinishedPods) -> JobPlan:
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    if ttl is None or job["metadata"].get("deletionTimestamp"):
        return JobPlan(tally=counts)
    due = parse_time(str(ended["lastTransitionTime"])) + timedelta(seconds=float(ttl))
    return JobPlan(delete_job=True, tally=counts) if due <= now else JobPlan(wake_at=due, tally=counts)


def _failure(
    spec: JsonObject,
    counts: FinishedPods,
    active: Sequence[JsonObject],
    now: datetime,
    deadline: datetime | None,
) -> tuple[str, str] | None:
    limit = _number(spec.get("backoffLimit"), 6)
    restarts = 0
    if spec["template"]["spec"].get("restartPolicy") == "OnFailure":
        restarts = sum(_restarts(pod) for pod in active)
    if counts.failed > limit or (restarts > 0 and restarts >= limit):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    if deadline is not None and now >= deadline:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    return None


def _deadline(spec: JsonObject, started: str | None) -> datetime | None:
    seconds = spec.get("activeDeadlineSeconds")
    if seconds is None or started is None or spec.get("suspend"):
        return None
    return parse_time(started) + timedelta(seconds=float(seconds))


def _phase(pod: JsonObject) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def _active(pod: JsonObject) -> bool:
    return _phase(pod) not in {"Succeeded", "Failed"} and not pod["metadata"].get("deletionTimestamp")


def _ending(pod: JsonObject) -> bool:
    return _phase(pod) not in {"Succeeded", "Failed"} and bool(pod["metadata"].get("deletionTimestamp"))


def _replaces_ended_only(spec: JsonObject) -> bool:
    """The default of ``podReplacementPolicy`` depends on whether there is a pod failure policy."""
    policy = spec.get("podReplacementPolicy")
    return bool(policy == "Failed" if policy else spec.get("podFailurePolicy"))


def _is_ignored(spec: JsonObject, pod: JsonObject) -> bool:
    """Whether the first rule of the pod failure policy that matches the conditions of a pod says Ignore."""
    conditions = {
        (item["type"], item["status"]) for item in (pod.get("status") or {}).get("conditions") or ()
    }
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        wanted = rule.get("onPodConditions") or ()
        if any((item["type"], item.get("status", "True")) in conditions for item in wanted):
            return bool(rule["action"] == "Ignore")
    return False


def _ready(pod: JsonObject) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _restarts(pod: JsonObject) -> int:
    status = pod.get("status") or {}
    containers = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return sum(_number(item.get("restartCount"), 0) for item in containers)


def _uid(pod: JsonObject) -> str:
    return str(pod["metadata"]["uid"])


def _end_time(pod: JsonObject) -> str:
    """The end of the last container; the creation time of a pod without one."""
    ends = [
        state["terminated"]["finishedAt"]
        for item in (pod.get("status") or {}).get("containerStatuses") or ()
        if (state := item.get("state") or {}).get("terminated", {}).get("finishedAt")
    ]
    return max(ends, default=str(pod["metadata"]["creationTimestamp"]))


def _number(value: Any, default: int) -> int:
    return default if value is None else int(value)
