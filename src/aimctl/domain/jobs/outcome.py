"""How a Job is going, from its status, its pods and its log.

Contract:
    * :func:`judge_incomplete` decides from what the cache knows. Where that is not enough it returns the read that is
      needed: :class:`~aimctl.domain.plan.List` for the pods, :class:`~aimctl.domain.plan.ReadLog` for a log. The caller
      plans it, and decides again with its result in the :class:`~aimctl.domain.jobs.observed.ObservedJob`.
    * Jobs and pods arrive over two watches, and the one of the pods may lag. The end of a Job is therefore explained by
      pods that are cached, but never by pods that are missing from the cache: these are read from the server.
    * The message of a failure states the cause and the remedy.
    * A problem that Kubernetes would retry without end (an image that does not exist) is a failure as soon as it is
      certain. A problem that may be temporary (a registry that times out, a Secret that is created a moment later) has
      a grace period; :class:`Waiting` says when it ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, final

from aimctl.domain.conditions import MAX_MESSAGE, abridge, list_few, parse_rfc3339, two_sentences
from aimctl.domain.excerpts import last_lines
from aimctl.domain.jobs.disruption import disruption, lost_node
from aimctl.domain.plan import List, ReadLog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from aimctl.domain.jobs.observed import ObservedJob, PodLog
    from aimctl.kubetypes import Condition, Job, Object, Pod, StateTerminated

__all__ = [
    "CONFIG_GRACE",
    "NODE_LOST",
    "POD_GRACE",
    "PULL_GRACE",
    "UNSCHEDULABLE_GRACE",
    "Cause",
    "Failed",
    "JobKind",
    "NeededRead",
    "Running",
    "Waiting",
    "container_failed",
    "ended_beside_sidecars",
    "judge_incomplete",
]

PULL_GRACE = timedelta(seconds=120)
"""For image pulls that fail for a reason that may be temporary; about four of the kubelet's attempts."""

CONFIG_GRACE = timedelta(seconds=60)
"""For a missing Secret or ConfigMap, which may be created a moment after the object that refers to it."""

UNSCHEDULABLE_GRACE = timedelta(minutes=5)
"""For pods that cannot be scheduled: long enough for an autoscaler, short enough not to waste a discovery slot."""

POD_GRACE = timedelta(seconds=60)
"""For a Job without a pod. The Job controller creates one within seconds; a rejection is only in the Job's Events."""

_MIN_DETAIL = 40
"""Characters of the container runtime's error in a message, however long the rest is."""

NODE_LOST = "NodeLost"
"""The ``detail`` of a failure because a node does not end its pod."""

_NOT_FOUND = ("not found", "manifest unknown", "no such image", "does not exist", "notfound", "404")
_DENIED = ("unauthorized", "denied", "authentication", "authorization", "forbidden", "401", "403")
_ABSENT = ("not found", "couldn't find")
_PULL_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError"}
)
_CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})

NeededRead: TypeAlias = List | ReadLog
"""What has to be read before it can be said how a Job ended."""


class Cause(StrEnum):
    """The point at which a Job failed.

    ``IMAGE_ACCESS``: the registry refuses access. ``IMAGE_NAME``: it has no such image, or the name is not valid.
    """

    IMAGE = "image"
    IMAGE_ACCESS = "image-access"
    IMAGE_NAME = "image-name"
    SETUP = "setup"
    PLACEMENT = "placement"
    CONTAINER = "container"
    POD = "pod"
    JOB = "job"
    OUTPUT = "output"


@final
@dataclass(frozen=True, slots=True)
class JobKind:
    """What the messages about a kind of Job say.

    Attributes:
        word: what the Job does, such as ``download``.
        container: name of the container whose exit code and log count.
        image_remedy: against an image that does not exist.
        secrets_of: the objects in whose imagePullSecrets a pull secret may be named.
        env_remedy: against a Secret or ConfigMap that does not exist.
        hang: why the Job may have exceeded its deadline.
        memory: the limit of its memory, and what helps if it was reached. Users cannot change the limit.
    """

    word: str
    container: str
    image_remedy: str
    secrets_of: str
    env_remedy: str
    hang: str
    memory: str


@final
@dataclass(frozen=True, slots=True)
class Waiting:
    """The Job exists, and none of its containers has started.

    Attributes:
        message: what it waits for, if known.
        requeue_after: seconds after which the answer may change without an event; None for never.
        without_pod: whether a pod is overdue.
    """

    message: str = ""
    requeue_after: float | None = None
    without_pod: bool = False


@final
@dataclass(frozen=True, slots=True)
class Running:
    """A container of the Job runs, or has run and is retried."""

    message: str = ""


@final
@dataclass(frozen=True, slots=True)
class Failed:
    """The Job failed.

    Attributes:
        message: cause and remedy.
        cause: the point at which it failed.
        detail: the reason that Kubernetes gives for the end of the container, the pod or the Job, such as
            ``OOMKilled``.
    """

    message: str
    cause: Cause
    detail: str = ""


def judge_incomplete(
    kind: JobKind, job: ObservedJob, now: datetime, *, longest_grace: timedelta | None = None
) -> Waiting | Running | NeededRead | Failed:
    """How a Job is going that is not Complete.

    Args:
        kind: for messages, and for the container that counts.
        job: the Job, with what was read about it.
        now: the time, aware; compared with the creation of pods for grace periods.
        longest_grace: an upper bound of the grace periods of pods; None for none.
    """
    view, pods = job.job.view, job.newest_first()
    if view.ended is not None:
        return _failed(kind, view.ended, job, pods)
    disrupted = _disrupted(pods[0], now) if pods else None
    if disrupted is not None:
        return disrupted
    for pod in pods:
        if not pod.meta.deleting and pod.view.status.phase in {"", "Pending"}:
            outcome = _pending(kind, pod, now, longest_grace)
            if outcome != Waiting():
                return outcome
            break
    if view.status.failed:
        attempts = "1 attempt" if view.status.failed == 1 else f"{view.status.failed} attempts"
        return Running(abridge(f"{attempts} failed, trying again{_last_end(kind, pods)}"))
    # A pod that failed has run; the count in the Job's status follows a moment later.
    if any(pod.view.status.phase in {"Running", "Succeeded", "Failed"} for pod in pods):
        return Running()
    return Waiting() if pods or view.status.active else _without_pod(job.job, now)


def _disrupted(pod: Object[Pod], now: datetime) -> Waiting | Failed | None:
    """The newest pod of an unfinished Job if Kubernetes ends it, or has ended it, for a reason outside of it."""
    lost, left = lost_node(pod, now)
    if lost:
        return Failed(abridge(lost), Cause.POD, NODE_LOST)
    why = disruption(pod)
    if not why and not left:
        return None
    text = f"pod {pod.meta.name} ends" + (f" ({why})" if why else "") + ", and Kubernetes replaces it"
    return Waiting(abridge(text), left or None)


def ended_beside_sidecars(kind: JobKind, job: ObservedJob) -> tuple[Object[Pod], StateTerminated] | None:
    """The newest pod whose own container has ended while another one still runs, and how it ended; None without one.

    The other one is an injected sidecar. The pod ends only with it, so the Job may never end.
    """
    for pod in job.newest_first():
        end = pod.view.terminated(kind.container)
        # Sidecars among the init containers are ended by the kubelet.
        others = pod.view.status.container_statuses or ()
        if end is not None and any(item.state.running is not None for item in others):
            return pod, end
    return None


def container_failed(
    kind: JobKind, job: ObservedJob, pod: Object[Pod], end: StateTerminated
) -> NeededRead | Failed:
    """The failure of a container that ended with an exit code other than 0, with the end of its log."""
    if job.log is None or job.log.pod != pod.meta.name:
        return job.read_log(pod, kind.container)
    return _container_failed(kind, end, job.log)


def _without_pod(job: Object[Job], now: datetime) -> Waiting:
    meta, created = job.meta, parse_rfc3339(job.meta.creation_timestamp)
    if created is None:
        return Waiting()
    left = (POD_GRACE - (now - created)).total_seconds()
    if left > 0:
        return Waiting(requeue_after=left)
    text = (
        "no pod has been created for it; a quota, a LimitRange or a policy of the namespace probably rejects the pod:"
        f" kubectl -n {meta.namespace} describe job {meta.name} shows which"
    )
    return Waiting(text, without_pod=True)


def _last_end(kind: JobKind, pods: Sequence[Object[Pod]]) -> str:
    """How the last attempt ended, as far as its pod says, so that the cause is visible before the last attempt."""
    for pod in pods:
        end = pod.view.terminated(kind.container)
        if end is not None and end.exit_code:
            tail = last_lines(end.message.encode())
            return f"; the last ended with exit code {_exit(end)}" + (f": {tail}" if tail else "")
    return ""


def _exit(end: StateTerminated) -> str:
    return f"{end.exit_code} ({end.reason})" if end.reason not in {"", "Error"} else str(end.exit_code)


def _failed(
    kind: JobKind, ended: Condition, job: ObservedJob, pods: Sequence[Object[Pod]]
) -> NeededRead | Failed:
    for pod in pods:
        end = pod.view.terminated(kind.container)
        if end is None or end.exit_code == 0:
            continue
        return container_failed(kind, job, pod, end)
    if not job.pods_read:
        return job.list_pods()
    for pod in pods:
        if pod.view.status.reason or pod.view.status.message:
            detail = ": ".join(filter(None, (pod.view.status.reason, pod.view.status.message)))
            text = abridge(f"the {kind.word} pod failed: {detail}")
            return Failed(text, Cause.POD, pod.view.status.reason)
    detail = ": ".join(filter(None, (ended.reason, ended.message)))
    if ended.reason == "DeadlineExceeded":
        detail += f"; it was never scheduled, or {kind.hang}"
    text = abridge(f"the {kind.word} Job failed: {detail or 'no reason given'}")
    return Failed(text, Cause.JOB, ended.reason)


def _container_failed(kind: JobKind, end: StateTerminated, log: PodLog) -> Failed:
    tail = last_lines(log.data or b"") or last_lines(end.message.encode())
    hint = f": {kind.memory}" if end.reason == "OOMKilled" else ""
    return Failed(
        f"the {kind.word} container ended with exit code {_exit(end)}{hint}."
        + (f" Last lines of its log: {tail}" if tail else " Its log is empty."),
        Cause.CONTAINER,
        end.reason,
    )


def _pending(kind: JobKind, pod: Object[Pod], now: datetime, longest: timedelta | None) -> Waiting | Failed:
    def after(problem: Failed, grace: timedelta) -> Waiting | Failed:
        return _after_grace(pod, problem, grace if longest is None else min(grace, longest), now)

    for item in pod.view.container_statuses:
        waiting = item.state.waiting
        if waiting is None or not waiting.reason:
            continue
        message = waiting.message
        if waiting.reason == "InvalidImageName":
            text = f"{item.image!r} is not a valid image name; {kind.image_remedy}"
            return Failed(text, Cause.IMAGE_NAME, waiting.reason)
        if waiting.reason in _PULL_REASONS:
            problem, grace = _pull_problem(kind, pod, item.image, waiting.reason, message)
            return after(problem, grace)
        if waiting.reason in _CONFIG_REASONS:
            text = f"the container cannot be created: {message or waiting.reason}"
            if not any(word in message.lower() for word in _ABSENT):
                return Failed(abridge(text), Cause.SETUP, waiting.reason)
            problem = Failed(f"{text}; {kind.env_remedy}", Cause.SETUP, waiting.reason)
            return after(problem, CONFIG_GRACE)
    for condition in pod.view.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            detail = condition.message or condition.reason or "no reason given"
            text = f"the {kind.word} pod cannot be scheduled: {detail}"
            problem = Failed(text, Cause.PLACEMENT, condition.reason)
            return after(problem, UNSCHEDULABLE_GRACE)
    return Waiting()


def _pull_problem(
    kind: JobKind, pod: Object[Pod], image: str, reason: str, message: str
) -> tuple[Failed, timedelta]:
    """Why a pull fails, and the grace period of that cause."""
    lower = message.lower()
    detail = _core(message) or reason
    at_once = timedelta(0)
    # Registries answer "not found or access denied" to clients without access, so this is tested first.
    if any(word in lower for word in _DENIED):
        text = f"the registry refused access to image {image!r}"
        return Failed(
            _with_remedy(text, detail, _access_remedy(kind, pod)), Cause.IMAGE_ACCESS, reason
        ), at_once
    if any(word in lower for word in _NOT_FOUND):
        text = f"image {image!r} was not found"
        return Failed(_with_remedy(text, detail, kind.image_remedy), Cause.IMAGE_NAME, reason), at_once
    text = f"image {image!r} cannot be pulled: {detail}"
    if reason == "ErrImagePull" or "ErrImagePull" in message:
        return Failed(text, Cause.IMAGE, reason), PULL_GRACE
    # Back-off without a cause: the kubelet has failed before, and the message does not say why.
    return Failed(f"{text}. Check the image name; {_access_remedy(kind, pod)}", Cause.IMAGE, reason), at_once


def _access_remedy(kind: JobKind, pod: Object[Pod]) -> str:
    """What to do about a registry that denies access, with the pull secrets that the pod has."""
    names = [repr(item.name) for item in pod.view.spec.image_pull_secrets or () if item.name]
    if names:
        return (
            f"correct the pull secret {list_few(names)}, or name another one in imagePullSecrets of"
            f" {kind.secrets_of}"
        )
    return (
        f"create a pull secret in namespace {pod.meta.namespace!r}, and name it in imagePullSecrets of"
        f" {kind.secrets_of}"
    )


def _core(message: str) -> str:
    """The cause in an error of the container runtime, which repeats the image before it."""
    return abridge(message.rpartition('": ')[2].removeprefix("rpc error: "), 100)


def _with_remedy(text: str, detail: str, remedy: str) -> str:
    """A message whose remedy stays whole: the detail is made shorter."""
    room = MAX_MESSAGE - len(two_sentences(f"{text}: ", remedy))
    return two_sentences(f"{text}: {abridge(detail, max(_MIN_DETAIL, room))}", remedy)


def _after_grace(pod: Object[Pod], problem: Failed, grace: timedelta, now: datetime) -> Waiting | Failed:
    """The problem once the pod is older than ``grace``; until then Waiting, with its message."""
    problem = replace(problem, message=abridge(problem.message))
    if not grace:
        return problem
    created = parse_rfc3339(pod.meta.creation_timestamp)
    left = grace - (now - created) if created is not None else grace
    return problem if left <= timedelta(0) else Waiting(problem.message, left.total_seconds())
