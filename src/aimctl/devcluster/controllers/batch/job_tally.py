"""The finished pods of a Job, each counted once. No I/O.

Contract: a tally has the uids of the pods in its counters, so a pod that is deleted stays counted. After a restart it
is restored from the counters and indexes of the status. A failed pod that the pod failure policy ignores is in no
counter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from aimctl.devcluster.controllers.batch.job_indexes import (
    failures_of,
    format_indexes,
    index_of,
    is_indexed,
    parse_indexes,
)
from aimctl.devcluster.controllers.batch.job_policies import verdict
from aimctl.kubetypes.helpers.backoff import exponential_delay
from aimctl.runtime.clock import parse_time

__all__ = ["FinishedPods", "IndexFailures", "JobBackoff", "as_failed", "tally"]

JsonObject = Mapping[str, Any]


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
class IndexFailures:
    """The failed pods of one index: their number, and the end of the last one."""

    count: int
    last: datetime


@dataclass(frozen=True, slots=True)
class FinishedPods:
    """The tally of finished pods.

    Attributes:
        counted: uids of the pods in the counters.
        succeeded: number of succeeded pods; for an Indexed Job, of completed indexes.
        failed: number of failed pods.
        consecutive_failures: failures since the last success.
        last_failure: end of the last failed pod, if no success followed.
        completed: the completed indexes.
        failed_indexes: the indexes that are not tried again.
        index_failures: by index, its failed pods.
        failure: the message of the pod failure policy if it fails the Job, else "".
    """

    counted: frozenset[str] = frozenset()
    succeeded: int = 0
    failed: int = 0
    consecutive_failures: int = 0
    last_failure: datetime | None = None
    completed: frozenset[int] = frozenset()
    failed_indexes: frozenset[int] = frozenset()
    index_failures: Mapping[int, IndexFailures] = field(default_factory=dict)
    failure: str = ""

    @property
    def index_fields(self) -> dict[str, str]:
        """The fields of the status with indexes, without empty ones."""
        fields = {"completedIndexes": self.completed, "failedIndexes": self.failed_indexes}
        return {name: format_indexes(indexes) for name, indexes in fields.items() if indexes}


def tally(before: FinishedPods | None, pods: Sequence[JsonObject], job: JsonObject) -> FinishedPods:
    """Count finished pods, each uid once. Without a tally, the counters of the status include the existing pods."""
    ended = [pod for pod in pods if _phase(pod) in {"Succeeded", "Failed"}]
    counts = _restored(job, ended) if before is None else before
    for pod in sorted((pod for pod in ended if _uid(pod) not in counts.counted), key=_end_time):
        counts = _count(counts, pod, job["spec"])
    if is_indexed(job["spec"]):
        counts = replace(counts, succeeded=len(counts.completed))
    return counts


def as_failed(pod: JsonObject) -> dict[str, Any]:
    """The pod as it would be if a finalizer had kept it until it had ended."""
    return {**pod, "status": {**(pod.get("status") or {}), "phase": "Failed"}}


def _restored(job: JsonObject, ended: Sequence[JsonObject]) -> FinishedPods:
    """The tally without the existing pods, which are counted next."""
    status = job.get("status") or {}
    seen = sum(_phase(pod) == "Succeeded" for pod in ended)
    return FinishedPods(
        succeeded=max(0, int(status.get("succeeded") or 0) - seen),
        failed=max(0, int(status.get("failed") or 0) - (len(ended) - seen)),
        completed=parse_indexes(status.get("completedIndexes") or ""),
        failed_indexes=parse_indexes(status.get("failedIndexes") or ""),
    )


def _count(counts: FinishedPods, pod: JsonObject, spec: JsonObject) -> FinishedPods:
    counts = replace(counts, counted=counts.counted | {_uid(pod)})
    index = index_of(pod) if is_indexed(spec) else None
    if is_indexed(spec) and (index is None or index >= int(spec.get("completions") or 0)):
        return counts
    if _phase(pod) == "Succeeded":
        done = counts.completed if index is None else counts.completed | {index}
        return replace(
            counts,
            succeeded=counts.succeeded + 1,
            consecutive_failures=0,
            last_failure=None,
            completed=done,
        )
    judged = verdict(spec, pod)
    if judged.action == "FailJob":
        counts = replace(counts, failure=counts.failure or judged.message)
    if judged.action == "Ignore":
        return counts
    counts = replace(
        counts,
        failed=counts.failed + 1,
        consecutive_failures=counts.consecutive_failures + 1,
        last_failure=parse_time(_end_time(pod)),
    )
    limit = spec.get("backoffLimitPerIndex")
    if index is None or limit is None:
        return counts
    known = counts.index_failures.get(index)
    number = max(failures_of(pod), 0 if known is None else known.count) + 1
    failures = {**counts.index_failures, index: IndexFailures(number, parse_time(_end_time(pod)))}
    given_up = {index} if number > int(limit) or judged.action == "FailIndex" else set()
    return replace(counts, index_failures=failures, failed_indexes=counts.failed_indexes | given_up)


def _phase(pod: JsonObject) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


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
