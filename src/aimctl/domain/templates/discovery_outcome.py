"""How a discovery Job is going: as any Job, and with the result that its log holds once it is complete.

Contract:
    * The discovery container counts, not the Job: if it has ended and an injected sidecar still runs, its result is
      read. The Job is then deleted, because it occupies a slot and may never end.
    * :func:`judge` decides from what the cache knows. Where that is not enough it returns the read that is needed, as
      :func:`aimctl.domain.jobs.outcome.judge_incomplete` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias, final

from aimctl.domain.conditions import parse_rfc3339
from aimctl.domain.jobs.hub_errors import ACCESS_DENIED, RATE_LIMITED, SOURCE_UNAVAILABLE, hub_problem
from aimctl.domain.jobs.inputs import unread
from aimctl.domain.jobs.outcome import (
    NODE_LOST,
    Cause,
    Failed,
    JobKind,
    NeededRead,
    Running,
    Waiting,
    container_failed,
    ended_beside_sidecars,
    judge_incomplete,
)
from aimctl.domain.jobs.rejected_pods import pod_rejection, rejected_pods
from aimctl.domain.jobs.retries import denied_pause, short_pause
from aimctl.domain.templates.discovery_job import CONTAINER, MEMORY_LIMIT
from aimctl.domain.templates.discovery_output import DiscoveryError, DiscoveryResult, parse
from aimctl.kubetypes.helpers.backoff import exponential_delay

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from aimctl.domain.jobs.observed import ObservedJob
    from aimctl.domain.plan import Known, List
    from aimctl.kubetypes import Object, Pod

__all__ = [
    "DISCOVERY_JOB",
    "FIRST_PAUSE",
    "RELEASE_AFTER",
    "RELEASE_WITHOUT_CAUSE_AFTER",
    "LogLost",
    "Outcome",
    "Stuck",
    "Succeeded",
    "is_denied",
    "judge",
    "pause_after",
]

_KUEUE_QUEUE = "kueue.x-k8s.io/queue-name"

DISCOVERY_JOB = JobKind(
    "discovery",
    CONTAINER,
    image_remedy="correct the model's spec.image",
    secrets_of="template or model",
    env_remedy="create it, or correct env in the template, its model or runtime config",
    hang="the container hangs in its dry run",
    memory=f"its memory limit is {MEMORY_LIMIT}; correct the image, whose dry run must not load the model",
)


@final
@dataclass(frozen=True, slots=True)
class Succeeded:
    """The Job completed and printed a valid result."""

    result: DiscoveryResult


@final
@dataclass(frozen=True, slots=True)
class LogLost:
    """The Job completed, but its output is gone: it has to run again."""

    message: str


@final
@dataclass(frozen=True, slots=True)
class Stuck:
    """The Job cannot run for a reason outside of it. It has to give its slot to another one, and is tried again.

    Attributes:
        message: the cause.
    """

    message: str


Outcome: TypeAlias = Waiting | Running | NeededRead | Succeeded | Failed | LogLost | Stuck

RELEASE_AFTER = timedelta(seconds=10)
"""How long a Job may be suspended, or have no pod because the API server rejects it.

The time begins with ``status.startTime``. The Job controller of Kubernetes 1.36 sets it also if the API server rejects
the pod, and creates pods within the same second. Before that the Job controller has not seen the Job, for example after
an outage of the control plane, and deleting the Job would not help.
"""

RELEASE_WITHOUT_CAUSE_AFTER = timedelta(seconds=150)
"""How long a Job may have no pod if no Event says that one was rejected.

After an outage of the API server, the Job controller of Kubernetes 1.36 has created pods up to 130 s later: its
informers pause for up to 60 s after a watch that was refused, and again after the 410 response to the next one.
"""

RETRY_GRACE = timedelta(seconds=20)
"""The longest grace period of a Job after a failed one, so that it does not occupy a slot for long."""

FIRST_PAUSE = 15.0
"""Seconds. With the run of a Job, discovery succeeds within a minute after the cause was removed."""

_DEADLINE_PAUSE, _LONGEST_DEADLINE_PAUSE = 600.0, 3600.0
"""Seconds after a Job that reached its deadline of 15 minutes. It occupied a slot for so long, and may do so again."""


def is_denied(failed: Failed) -> bool:
    """Whether the pod lacks access: to its image, to an object that it refers to, or to the hub."""
    match failed.cause:
        case Cause.IMAGE_ACCESS | Cause.SETUP:
            return True
        case Cause.CONTAINER:
            return failed.detail != "OOMKilled" and hub_problem(failed.message) == ACCESS_DENIED
        case _:
            return False


def pause_after(failed: Failed, failures: int) -> float | None:
    """Seconds until a failed discovery is tried again.

    Args:
        failed: the failure.
        failures: the number of failures of this input in a row, with this one.

    Returns:
        None if the cause can only be removed by a change of the template, its model or runtime config.
    """
    if is_denied(failed):
        return denied_pause(failures, FIRST_PAUSE)
    match failed.cause:
        case Cause.CONTAINER if failed.detail == "OOMKilled" or hub_problem(failed.message) not in (
            RATE_LIMITED,
            SOURCE_UNAVAILABLE,
        ):
            return None
        case Cause.JOB if failed.detail == "DeadlineExceeded":
            return exponential_delay(failures - 1, _DEADLINE_PAUSE, _LONGEST_DEADLINE_PAUSE)
        case Cause.IMAGE_NAME | Cause.OUTPUT:
            return None
        case _:
            return short_pause(failures, FIRST_PAUSE)


def judge(job: ObservedJob, known: Known, *, now: datetime, again: bool = False) -> Outcome:
    """How a discovery Job is going.

    Args:
        job: the Job, with what was read about it.
        known: the results of other reads.
        now: the time, aware; compared with the creation of pods for grace periods.
        again: whether a Job of the same input has failed before.
    """
    if job.job.view.complete:
        done = [pod for pod in job.newest_first() if pod.view.status.phase == "Succeeded"]
        if not done:
            return LogLost("the Job is complete, but its pod is gone") if job.pods_read else job.list_pods()
        return _result(job, done)
    ended = None if job.finished else ended_beside_sidecars(DISCOVERY_JOB, job)
    if ended is None:
        longest = RETRY_GRACE if again else None
        outcome = _without_pod(job, known, now) or judge_incomplete(
            DISCOVERY_JOB, job, now, longest_grace=longest
        )
        if isinstance(outcome, Failed) and outcome.detail == NODE_LOST:
            return Stuck(outcome.message)
        return outcome
    pod, end = ended
    return container_failed(DISCOVERY_JOB, job, pod, end) if end.exit_code else _result(job, [pod])


def _without_pod(job: ObservedJob, known: Known, now: datetime) -> Stuck | Waiting | List | None:
    """What is known about a Job that has no pod; None for any other Job. After some time it is given up.

    A pod that is missing from the cache may run. It is therefore read from the server before the Job is given up.
    """
    view, meta = job.job.view, job.meta
    created = parse_rfc3339(meta.creation_timestamp)
    ran = view.status.active or view.status.failed or view.status.succeeded
    if created is None or job.finished or job.deleting or job.pods or (ran and not view.spec.suspend):
        return None
    started = parse_rfc3339(view.status.start_time)
    if started is None and not view.spec.suspend:
        return None
    suspended = [
        item for item in view.status.conditions or () if item.type == "Suspended" and item.status == "True"
    ]
    times = [started, *(parse_rfc3339(item.last_transition_time) for item in suspended)]
    age = now - max([created, *filter(None, times)])
    if age < RELEASE_AFTER:
        return Waiting(requeue_after=(RELEASE_AFTER - age).total_seconds())
    if view.spec.suspend:
        queue = meta.labels.get(_KUEUE_QUEUE)
        by = f" by Kueue, in queue {queue!r}" if queue else ""
        return Stuck(
            f"the discovery Job was suspended{by}; exempt Jobs of the operator, or admit them within seconds"
        )
    return _without_pod_for_long(job, known, age)


def _without_pod_for_long(job: ObservedJob, known: Known, age: timedelta) -> Stuck | Waiting | List:
    if not job.pods_read:
        return job.list_pods()
    events = rejected_pods(job.job)
    if unread((events,), known):
        return events
    cause = pod_rejection(events, known)
    if cause:
        return Stuck(f"no pod was created for the discovery Job: {cause}")
    if age < RELEASE_WITHOUT_CAUSE_AFTER:
        left = min(RELEASE_AFTER, RELEASE_WITHOUT_CAUSE_AFTER - age)
        return Waiting("the Job controller has not created its pod yet", left.total_seconds())
    return Stuck(
        "no pod was created for the discovery Job, and no Event says why: check the Job controller, and"
        f" kubectl -n {job.meta.namespace} get events --field-selector involvedObject.name={job.name}"
    )


def _result(job: ObservedJob, done: Sequence[Object[Pod]]) -> NeededRead | Succeeded | Failed | LogLost:
    log = job.log
    if log is None or log.pod not in {pod.meta.name for pod in done}:
        return job.read_log(done[0], CONTAINER)
    if log.data is None:
        return LogLost(f"the log of pod {log.pod} is gone")
    parsed = parse(log.data)
    return Failed(parsed.message, Cause.OUTPUT) if isinstance(parsed, DiscoveryError) else Succeeded(parsed)
