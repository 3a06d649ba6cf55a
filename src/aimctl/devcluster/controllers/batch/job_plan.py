"""The Job controller's decision: what to do next for a Job and its pods. No I/O.

Contract, as in Kubernetes:
    * :func:`plan` depends on its arguments only.
    * After a failed pod, the next is created with exponential back-off: ``base_seconds``, doubled up to
      ``max_seconds``, from the end of the failed one. A success resets it. With ``backoffLimitPerIndex`` each index has
      a back-off of its own.
    * A pod that is deleted before it has ended counts as failed, and is replaced at once; with a pod failure policy
      only when it has ended.
    * A Job that ends deletes its active pods, and is Complete or Failed when they have ended. A finished Job does not
      change, except for its deletion after ``ttlSecondsAfterFinished``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aimctl.devcluster.controllers.batch.job_indexes import index_of, is_indexed
from aimctl.devcluster.controllers.batch.job_pods import replaces_ended_only, restarts
from aimctl.devcluster.controllers.batch.job_policies import matched_success_rule
from aimctl.devcluster.controllers.batch.job_status import JobStatus, condition_of, finished
from aimctl.devcluster.controllers.batch.job_tally import FinishedPods, JobBackoff, tally
from aimctl.devcluster.controllers.workloads.pod_facts import is_active, is_ending, is_ready
from aimctl.runtime.clock import format_time, parse_time

__all__ = ["JobPlan", "plan"]

JsonObject = Mapping[str, Any]

_REACHED = ("Complete", "CompletionsReached", "Reached expected number of succeeded pods")


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What to do for a Job.

    Attributes:
        create: number of pods to create.
        indexes: the indexes of the pods to create, with the number of failed pods of each; empty without indexes.
        delete: names of the pods to delete.
        counts_deleted: whether the deleted pods count as failed, as those of a Job that ends.
        status: the new status; None if it does not change.
        wake_at: when to decide again, if nothing else happens before.
        delete_job: whether to delete the Job, with foreground propagation.
        event: type, reason and message of an Event to record.
        tally: the finished pods, to be passed to the next :func:`plan`.
    """

    create: int = 0
    indexes: tuple[tuple[int, int | None], ...] = ()
    delete: tuple[str, ...] = ()
    counts_deleted: bool = False
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
    ends_before_pods: bool = False,
) -> JobPlan:
    """Decide.

    Args:
        job: the Job.
        pods: the pods it controls.
        now: the wall clock.
        backoff: delays after failed pods.
        before: the tally of the last plan for this Job; None for the first one.
        ends_before_pods: whether the Job is Complete or Failed before its pods have ended, as up to Kubernetes 1.30.
    """
    ended = finished(job)
    if ended is not None:
        return _after_the_end(job, ended, pods, now, before or FinishedPods())
    if job["metadata"].get("deletionTimestamp"):
        return JobPlan(tally=before or FinishedPods())
    counts = tally(before, pods, job)
    return _Step(job, pods, counts, now=now, backoff=backoff, ends_before_pods=ends_before_pods).plan()


class _Step:
    def __init__(
        self,
        job: JsonObject,
        pods: Sequence[JsonObject],
        counts: FinishedPods,
        *,
        now: datetime,
        backoff: JobBackoff,
        ends_before_pods: bool,
    ) -> None:
        self._job = job
        self._spec = job["spec"]
        self._old: JsonObject = job.get("status") or {}
        self._now = now
        self._backoff = backoff
        self._counts = counts
        self._ends_before_pods = ends_before_pods
        self._active = [pod for pod in pods if is_active(pod)]
        self._ending = [pod for pod in pods if is_ending(pod)]
        self._suspended = bool(self._spec.get("suspend"))
        self._started = self._old.get("startTime") or (None if self._suspended else format_time(now))
        self._deadline = self._deadline_at()
        self._status = JobStatus(self._old, now)
        self._count()

    def plan(self) -> JobPlan:
        end = self._end()
        if end is not None:
            return self._finish(*end)
        return self._suspend() if self._suspended else self._proceed()

    def _count(self, **fields: int | None) -> None:
        counters = {
            "active": len(self._active),
            "ready": sum(map(is_ready, self._active)),
            "terminating": len(self._ending),
            "startTime": self._started,
            "uncountedTerminatedPods": self._old.get("uncountedTerminatedPods") or {},
        }
        self._status.count(self._counts, {**counters, **fields})

    # -- the end of the Job

    def _end(self) -> tuple[str, str, str] | None:
        """Complete or Failed, with reason and message, if the Job ends; else None."""
        for kind, type_ in (("Failed", "FailureTarget"), ("Complete", "SuccessCriteriaMet")):
            decided = condition_of(self._job, type_)
            if decided is not None:
                return kind, str(decided["reason"]), str(decided["message"])
        return self._failure() or self._success()

    def _failure(self) -> tuple[str, str, str] | None:
        spec, counts = self._spec, self._counts
        if counts.failure:
            return "Failed", "PodFailurePolicy", counts.failure
        limit = _number(spec.get("backoffLimit"), 6)
        restarted = 0
        if spec["template"]["spec"].get("restartPolicy") == "OnFailure":
            restarted = sum(map(restarts, self._active))
        if counts.failed > limit or (restarted > 0 and restarted >= limit):
            return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        if self._deadline is not None and self._now >= self._deadline:
            return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
        if counts.failed_indexes:
            most = spec.get("maxFailedIndexes")
            if most is not None and len(counts.failed_indexes) > int(most):
                text = "Job has exceeded the specified maximal number of failed indexes"
                return "Failed", "MaxFailedIndexesExceeded", text
            if len(counts.completed | counts.failed_indexes) >= _number(spec.get("completions"), 0):
                return "Failed", "FailedIndexes", "Job has failed indexes"
        return None

    def _success(self) -> tuple[str, str, str] | None:
        rule = matched_success_rule(self._spec, self._counts.completed)
        if rule is not None:
            return "Complete", "SuccessPolicy", f"Matched rules at index {rule}"
        wanted = self._spec.get("completions")
        if wanted is None:
            reached = self._counts.succeeded > 0 and not self._active
        else:
            reached = self._counts.succeeded >= wanted
        return _REACHED if reached else None

    def _finish(self, kind: str, reason: str, message: str) -> JobPlan:
        final = self._ends_before_pods or not (self._active or self._ending)
        self._count(active=0, ready=0, terminating=len(self._active) + len(self._ending))
        self._status.end(kind, reason, message, final=final)
        event = (
            ("Normal", "Completed", "Job completed") if kind == "Complete" else ("Warning", reason, message)
        )
        return JobPlan(
            delete=_names(self._active),
            counts_deleted=kind == "Failed",
            status=self._status.changed(),
            event=event if final else None,
            tally=self._counts,
        )

    # -- the pods of an unfinished Job

    def _suspend(self) -> JobPlan:
        """Delete all pods and set the condition Suspended."""
        event = None
        if self._status.condition("Suspended", "True", "JobSuspended", "Job suspended"):
            event = ("Normal", "Suspended", "Job suspended")
        self._count(active=0, ready=0, startTime=None)
        status = self._status.changed()
        return JobPlan(delete=_names(self._active), status=status, event=event, tally=self._counts)

    def _proceed(self) -> JobPlan:
        """Create or delete pods until the wanted number is active, after the back-off of a failed one."""
        event = None
        conditions = self._old.get("conditions") or ()
        if any(item["type"] == "Suspended" and item["status"] == "True" for item in conditions):
            self._status.condition("Suspended", "False", "JobResumed", "Job resumed")
            self._started = format_time(self._now)
            event = ("Normal", "Resumed", "Job resumed")
        surplus = self._duplicates() if is_indexed(self._spec) else []
        kept = [pod for pod in self._active if pod not in surplus]
        target = self._target(kept)
        surplus += kept[target:]
        wake = self._deadline
        missing, retry_at = self._wait(max(0, target - len(kept)))
        indexes: tuple[tuple[int, int | None], ...] = ()
        if is_indexed(self._spec):
            indexes, index_retry = self._next_indexes(kept, missing)
            missing, retry_at = len(indexes), _earliest(retry_at, index_retry)
        wake = _earliest(wake, retry_at)
        self._count(active=len(self._active) + missing - len(surplus))
        return JobPlan(
            missing, indexes, _names(surplus), False, self._status.changed(), wake, False, event, self._counts
        )

    def _target(self, active: Sequence[JsonObject]) -> int:
        """How many pods should be active."""
        wanted, parallelism = self._spec.get("completions"), _number(self._spec.get("parallelism"), 1)
        if wanted is None:
            target = len(active) if self._counts.succeeded else parallelism
        else:
            target = min(parallelism, wanted - self._counts.succeeded - len(self._counts.failed_indexes))
        waits = len(self._ending) if replaces_ended_only(self._spec) else 0
        return max(0, target - waits)

    def _wait(self, missing: int) -> tuple[int, datetime | None]:
        """No pods during the back-off, and when it ends."""
        last = self._counts.last_failure
        if not missing or last is None or self._spec.get("backoffLimitPerIndex") is not None:
            return missing, None
        retry_at = last + self._backoff.delay(self._counts.consecutive_failures)
        return (0, retry_at) if retry_at > self._now else (missing, None)

    def _duplicates(self) -> list[JsonObject]:
        """Active pods whose index is invalid, complete, given up, or has another active pod."""
        completions = _number(self._spec.get("completions"), 0)
        seen: set[int] = set()
        found = []
        for pod in self._active:
            index = index_of(pod)
            done = self._counts.completed | self._counts.failed_indexes | seen
            if index is None or index >= completions or index in done:
                found.append(pod)
            else:
                seen.add(index)
        return found

    def _next_indexes(
        self, active: Sequence[JsonObject], count: int
    ) -> tuple[tuple[tuple[int, int | None], ...], datetime | None]:
        """The first indexes without a pod, and when the back-off of the next one ends."""
        taken = {index_of(pod) for pod in active} | self._counts.completed | self._counts.failed_indexes
        if replaces_ended_only(self._spec):
            taken |= {index_of(pod) for pod in self._ending}
        per_index = self._spec.get("backoffLimitPerIndex") is not None
        found: list[tuple[int, int | None]] = []
        retry: datetime | None = None
        for index in range(_number(self._spec.get("completions"), 0)):
            if len(found) >= count:
                break
            if index in taken:
                continue
            failures = self._counts.index_failures.get(index)
            due = None if failures is None else failures.last + self._backoff.delay(failures.count)
            if due is not None and due > self._now:
                retry = _earliest(retry, due)
                continue
            number = (0 if failures is None else failures.count) if per_index else None
            found.append((index, number))
        return tuple(found), retry

    def _deadline_at(self) -> datetime | None:
        seconds = self._spec.get("activeDeadlineSeconds")
        if seconds is None or self._started is None or self._suspended:
            return None
        return parse_time(self._started) + timedelta(seconds=float(seconds))


def _after_the_end(
    job: JsonObject, ended: JsonObject, pods: Sequence[JsonObject], now: datetime, counts: FinishedPods
) -> JobPlan:
    status = None
    if (job.get("status") or {}).get("terminating") and not any(map(is_ending, pods)):
        status = {**job["status"], "terminating": 0}
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    if ttl is None or job["metadata"].get("deletionTimestamp"):
        return JobPlan(status=status, tally=counts)
    due = parse_time(str(ended["lastTransitionTime"])) + timedelta(seconds=float(ttl))
    if due <= now:
        return JobPlan(delete_job=True, tally=counts)
    return JobPlan(status=status, wake_at=due, tally=counts)


def _names(pods: Sequence[JsonObject]) -> tuple[str, ...]:
    return tuple(pod["metadata"]["name"] for pod in pods)


def _earliest(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


def _number(value: Any, default: int) -> int:
    return default if value is None else int(value)
