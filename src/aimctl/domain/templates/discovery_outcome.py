"""How a discovery Job is going: as any Job, and with the result that its log holds once it is complete.

Contract:
    * :func:`judge` is called with what the cache knows, and asks for pods or a log with
      :class:`~aimctl.domain.jobs.outcome.NeedsPods` and :class:`~aimctl.domain.jobs.outcome.NeedsLog`; see
      :mod:`aimctl.domain.jobs.outcome`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from aimctl.domain.jobs.outcome import (
    Cause,
    Failed,
    JobKind,
    NeedsLog,
    NeedsPods,
    Running,
    Waiting,
    judge_incomplete,
    newest_first,
)
from aimctl.domain.templates.discovery_job import CONTAINER
from aimctl.domain.templates.discovery_output import DiscoveryError, DiscoveryResult, parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from aimctl.domain.jobs.observed import PodLog
    from aimctl.kubetypes import Job, Object, Pod

__all__ = ["DISCOVERY_JOB", "LogLost", "Outcome", "Succeeded", "judge"]

DISCOVERY_JOB = JobKind(
    "discovery",
    CONTAINER,
    image_remedy="correct the model's spec.image",
    access_remedy="check the pull secrets of template and model, then run aimctl rediscover",
    env_remedy="create it, or correct env in the template, its model or runtime config",
    hang="the container hangs in its dry run",
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


Outcome = Waiting | Running | NeedsPods | NeedsLog | Succeeded | Failed | LogLost


def judge(
    job: Object[Job],
    pods: Sequence[Object[Pod]],
    *,
    log: PodLog | None,
    now: datetime,
    pods_read: bool = True,
) -> Outcome:
    """How a discovery Job is going.

    Args:
        job: the Job.
        pods: its pods, in any order.
        log: what reading the log gave, after :class:`NeedsLog`; None before.
        now: the time, aware; compared with pods' creation for grace periods.
        pods_read: whether ``pods`` were read from the server after the Job was, and not from a cache.
    """
    ended = job.view.ended
    if ended is not None and ended.type == "Complete":
        return _completed(newest_first(pods), log, pods_read=pods_read)
    return judge_incomplete(DISCOVERY_JOB, job, pods, log=log, now=now, pods_read=pods_read)


def _completed(pods: Sequence[Object[Pod]], log: PodLog | None, *, pods_read: bool) -> Outcome:
    done = [pod for pod in pods if pod.view.status.phase == "Succeeded"]
    if not done and not pods_read:
        return NeedsPods()
    if not done:
        return LogLost("the Job is complete, but its pod is gone")
    if log is None or log.pod not in {pod.meta.name for pod in done}:
        return NeedsLog(done[0].meta.name)
    if log.data is None:
        return LogLost(f"the log of pod {log.pod} is gone")
    parsed = parse(log.data)
    return Failed(parsed.message, Cause.OUTPUT) if isinstance(parsed, DiscoveryError) else Succeeded(parsed)
