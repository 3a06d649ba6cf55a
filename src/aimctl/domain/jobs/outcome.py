"""How a Job is going, from its status, its pods and its log.

Contract:
    * :func:`judge_incomplete` is called with what the cache knows. Where the answer needs the log it returns
      :class:`NeedsLog`; the caller reads that pod's log and asks again with it.
    * Jobs and pods come over two watches, and that of the pods may lag. So the end of a Job is explained by
      pods that are cached, but never by pods that are missing: for that it returns :class:`NeedsPods`.
    * A failure's message is for a person: what went wrong, and what would help.
    * Trouble that Kubernetes would retry for ever (an image that is not there) is a failure as soon as
      it is certain; trouble that may pass (a registry that times out, a Secret that comes a moment later)
      gets a grace period, and :class:`Running` says when to look again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, final

from aimctl.domain.conditions import clip
from aimctl.domain.excerpts import last_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.domain.jobs.observed import PodLog
    from aimctl.kubetypes import Condition, Job, Object, Pod, StateTerminated

__all__ = [
    "CONFIG_GRACE",
    "POD_GRACE",
    "PULL_GRACE",
    "UNSCHEDULABLE_GRACE",
    "Cause",
    "Failed",
    "JobKind",
    "NeedsLog",
    "NeedsPods",
    "Running",
    "Waiting",
    "judge_incomplete",
    "newest_first",
]

PULL_GRACE = timedelta(seconds=120)
"""For image pulls that fail for a reason that may pass; about four of the kubelet's attempts."""

CONFIG_GRACE = timedelta(seconds=60)
"""For a missing Secret or ConfigMap: applied together, they may come a moment after the template."""

UNSCHEDULABLE_GRACE = timedelta(minutes=5)
"""For pods no node takes: long enough for an autoscaler, short enough not to hold a discovery slot."""

POD_GRACE = timedelta(minutes=5)
"""For a Job without a pod: its controller makes one within seconds, and hides a refusal in the Job's Events."""

_NOT_FOUND = ("not found", "manifest unknown", "no such image", "does not exist", "notfound", "404")
_REFUSED = ("unauthorized", "denied", "authentication", "authorization", "forbidden", "401", "403")
_ABSENT = ("not found", "couldn't find")
_PULL_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError"}
)
_CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


class Cause(StrEnum):
    """The point at which a Job failed."""

    IMAGE = "image"
    SETUP = "setup"
    PLACEMENT = "placement"
    CONTAINER = "container"
    POD = "pod"
    JOB = "job"
    OUTPUT = "output"


@final
@dataclass(frozen=True, slots=True)
class JobKind:
    """What sort of Job it is: words for messages.

    Attributes:
        word: what it does.
        container: name of the container whose output counts.
        image_remedy: what helps against an image that is not there.
        access_remedy: what helps against a registry that refuses.
        env_remedy: what helps against a Secret or ConfigMap that is not there.
        hang: what it may be that has not ended in time.
    """

    word: str
    container: str
    image_remedy: str
    access_remedy: str
    env_remedy: str
    hang: str


@final
@dataclass(frozen=True, slots=True)
class Waiting:
    """The Job exists, and no container of it has started. ``message`` says on what it waits, if known."""

    message: str = ""
    look_again_after: float | None = None
    """Seconds after which the answer may change by itself; None: only an event changes it."""
    podless: bool = False
    """Whether it should have had a pod long ago."""


@final
@dataclass(frozen=True, slots=True)
class Running:
    """A container of the Job runs, or ran and is tried again."""

    message: str = ""
    look_again_after: float | None = None


@final
@dataclass(frozen=True, slots=True)
class NeedsLog:
    """The log of this pod decides."""

    pod: str


@final
@dataclass(frozen=True, slots=True)
class NeedsPods:
    """The Job has ended, and its pods have to be read from the server itself to say how."""


@final
@dataclass(frozen=True, slots=True)
class Failed:
    """It failed; ``message`` says why and what would help.

    Attributes:
        cause: at which point.
        detail: Kubernetes' word for how the container, the pod or the Job ended, such as ``OOMKilled``.
    """

    message: str
    cause: Cause
    detail: str = ""


def judge_incomplete(
    kind: JobKind,
    job: Object[Job],
    pods: Sequence[Object[Pod]],
    *,
    log: PodLog | None,
    now: datetime,
    pods_read: bool = True,
) -> Waiting | Running | NeedsPods | NeedsLog | Failed:
    """How a Job of any kind is going that has not completed; see :func:`judge`."""
    ended, ordered = job.view.ended, newest_first(pods)
    if ended is not None:
        return _failed(kind, ended, ordered, log, pods_read=pods_read)
    for pod in ordered:
        if not pod.meta.deleting and pod.view.status.phase in {"", "Pending"}:
            outcome = _pending(kind, pod, now)
            if outcome != Waiting():
                return outcome
            break
    if job.view.status.failed:
        attempts = "1 attempt" if job.view.status.failed == 1 else f"{job.view.status.failed} attempts"
        return Running(clip(f"{attempts} failed, trying again{_last_end(kind, ordered)}", 1024))
    # A pod that failed has run; the Job's own count follows a moment later.
    if any(pod.view.status.phase in {"Running", "Succeeded", "Failed"} for pod in ordered):
        return Running()
    return Waiting() if pods or job.view.status.active else _without_pod(job, now)


def _without_pod(job: Object[Job], now: datetime) -> Waiting:
    meta, created = job.meta, _time(job.meta.creation_timestamp)
    if created is None:
        return Waiting()
    left = (POD_GRACE - (now - created)).total_seconds()
    if left > 0:
        return Waiting(look_again_after=left)
    text = (
        "no pod is made for it: likely a quota, a LimitRange or a policy of the namespace refuses the pod;"
        f" kubectl -n {meta.namespace} describe job {meta.name} tells what does"
    )
    return Waiting(text, podless=True)


def _last_end(kind: JobKind, pods: Sequence[Object[Pod]]) -> str:
    """How the last attempt ended, as far as its pod tells: nobody should have to wait for the last one to know."""
    for pod in pods:
        end = pod.view.terminated(kind.container)
        if end is not None and end.exit_code:
            why = f" ({end.reason})" if end.reason not in {"", "Error"} else ""
            tail = last_lines(end.message.encode())
            return f"; the last ended with exit code {end.exit_code}{why}" + (f": {tail}" if tail else "")
    return ""


def newest_first(pods: Sequence[Object[Pod]]) -> list[Object[Pod]]:
    """The pods by creation, the newest first; by name where that is equal."""
    return sorted(pods, key=lambda pod: (pod.meta.creation_timestamp, pod.meta.name), reverse=True)


def _failed(
    kind: JobKind, ended: Condition, pods: Sequence[Object[Pod]], log: PodLog | None, *, pods_read: bool
) -> NeedsPods | NeedsLog | Failed:
    for pod in pods:
        end = pod.view.terminated(kind.container)
        if end is None or end.exit_code == 0:
            continue
        if log is None or log.pod != pod.meta.name:
            return NeedsLog(pod.meta.name)
        return _container_failed(kind, end, log)
    if not pods_read:
        return NeedsPods()
    for pod in pods:
        if pod.view.status.reason or pod.view.status.message:
            detail = ": ".join(filter(None, (pod.view.status.reason, pod.view.status.message)))
            text = clip(f"the {kind.word} pod failed: {detail}", 1024)
            return Failed(text, Cause.POD, pod.view.status.reason)
    detail = ": ".join(filter(None, (ended.reason, ended.message)))
    if ended.reason == "DeadlineExceeded":
        detail += f"; it was never scheduled, or {kind.hang}"
    text = clip(f"the {kind.word} Job failed: {detail or 'no reason given'}", 1024)
    return Failed(text, Cause.JOB, ended.reason)


def _container_failed(kind: JobKind, end: StateTerminated, log: PodLog) -> Failed:
    tail = last_lines(log.data or b"") or last_lines(end.message.encode())
    why = f" ({end.reason})" if end.reason not in {"", "Error"} else ""
    hint = "; give the container more memory" if end.reason == "OOMKilled" else ""
    return Failed(
        f"the {kind.word} container ended with exit code {end.exit_code}{why}{hint}."
        + (f" Last lines of its log: {tail}" if tail else " Its log is empty."),
        Cause.CONTAINER,
        end.reason,
    )


def _pending(kind: JobKind, pod: Object[Pod], now: datetime) -> Waiting | Failed:
    for item in pod.view.container_statuses:
        waiting = item.state.waiting
        if waiting is None or not waiting.reason:
            continue
        message = waiting.message
        if waiting.reason == "InvalidImageName":
            text = f"{item.image!r} is no valid image name; {kind.image_remedy}"
            return Failed(text, Cause.IMAGE, waiting.reason)
        if waiting.reason in _PULL_REASONS:
            problem, grace = _pull_problem(kind, item.image, waiting.reason, message)
            return _after_grace(pod, problem, grace, now)
        if waiting.reason in _CONFIG_REASONS:
            text = f"the container cannot be set up: {message or waiting.reason}"
            if not any(word in message.lower() for word in _ABSENT):
                return Failed(clip(text, 1024), Cause.SETUP, waiting.reason)
            problem = Failed(f"{text}; {kind.env_remedy}", Cause.SETUP, waiting.reason)
            return _after_grace(pod, problem, CONFIG_GRACE, now)
    for condition in pod.view.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            detail = condition.message or condition.reason or "no reason given"
            problem = Failed(
                f"no node takes the {kind.word} pod: {detail}", Cause.PLACEMENT, condition.reason
            )
            return _after_grace(pod, problem, UNSCHEDULABLE_GRACE, now)
    return Waiting()


def _pull_problem(kind: JobKind, image: str, reason: str, message: str) -> tuple[Failed, timedelta]:
    """What is wrong with a pull, and how long it may pass by itself."""
    lower = message.lower()
    detail = clip(message, 400) or reason
    now = timedelta(0)
    # Registries answer "not found or access denied" to the unauthorized: a refusal is the better guess.
    if any(word in lower for word in _REFUSED):
        text = f"the registry refused to give image {image!r}: {detail}. {_sentence(kind.access_remedy)}"
        return Failed(text, Cause.IMAGE, reason), now
    if any(word in lower for word in _NOT_FOUND):
        text = f"image {image!r} was not found: {detail}. {_sentence(kind.image_remedy)}"
        return Failed(text, Cause.IMAGE, reason), now
    text = f"image {image!r} cannot be pulled: {detail}"
    if reason == "ErrImagePull" or "ErrImagePull" in message:
        return Failed(text, Cause.IMAGE, reason), PULL_GRACE
    # Back-off without a cause: the kubelet has tried and failed before, and the message says no more.
    return Failed(f"{text}. Check the image name; {kind.access_remedy}", Cause.IMAGE, reason), now


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _after_grace(pod: Object[Pod], problem: Failed, grace: timedelta, now: datetime) -> Waiting | Failed:
    """The problem once the pod is older than ``grace``; until then still waiting, with its message."""
    problem = replace(problem, message=clip(problem.message, 1024))
    if not grace:
        return problem
    created = _time(pod.meta.creation_timestamp)
    left = grace - (now - created) if created is not None else grace
    return problem if left <= timedelta(0) else Waiting(problem.message, left.total_seconds())


def _time(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
