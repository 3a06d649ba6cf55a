"""How a discovery Job is going, from its status, its pods and its log.

Contract:
    * :func:`judge` is called with what the cache knows. Where the answer needs the log it returns
      :class:`NeedsLog`; the caller reads that pod's log and asks again with it.
    * Jobs and pods come over two watches, and that of the pods may lag. So the end of a Job is explained by
      pods that are cached, but never by pods that are missing: for that it returns :class:`NeedsPods`.
    * A failure's message is for a person: what went wrong, and what would help.
    * Trouble that Kubernetes would retry for ever (an image that is not there) is a failure as soon as
      it is certain; trouble that may pass (a registry that times out, a Secret that comes a moment later)
      gets a grace period, and :class:`Running` says when to look again.

:class:`JobView` and :class:`PodView` are the parts of Kubernetes' objects that matter here; both read JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.domain.conditions import clip
from aimctl.domain.discovery_output import DiscoveryError, DiscoveryResult, last_lines, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CONFIG_GRACE",
    "PULL_GRACE",
    "UNSCHEDULABLE_GRACE",
    "Failed",
    "JobView",
    "LogLost",
    "NeedsLog",
    "NeedsPods",
    "Outcome",
    "PodLog",
    "PodView",
    "Running",
    "Succeeded",
    "Waiting",
    "judge",
]

PULL_GRACE = timedelta(seconds=120)
"""For image pulls that fail for a reason that may pass; about four of the kubelet's attempts."""

CONFIG_GRACE = timedelta(seconds=60)
"""For a missing Secret or ConfigMap: applied together, they may come a moment after the template."""

UNSCHEDULABLE_GRACE = timedelta(minutes=5)
"""For pods no node takes: long enough for an autoscaler, short enough not to hold a discovery slot."""

_NOT_FOUND = ("not found", "manifest unknown", "no such image", "does not exist", "notfound", "404")
_REFUSED = ("unauthorized", "denied", "authentication", "authorization", "forbidden", "401", "403")
_ABSENT = ("not found", "couldn't find")
_PULL_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError"}
)
_CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


class _Part(msgspec.Struct, frozen=True, rename="camel", gc=False):
    pass


class _OwnerView(_Part, frozen=True, gc=False):
    uid: str = ""
    controller: bool | None = None


class _MetaView(_Part, frozen=True, gc=False):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    owner_references: tuple[_OwnerView, ...] = ()


class _ConditionView(_Part, frozen=True, gc=False):
    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None


class _JobStatusView(_Part, frozen=True, gc=False):
    active: int | None = None
    ready: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    start_time: str | None = None
    conditions: tuple[_ConditionView, ...] | None = None


class JobView(_Part, frozen=True, gc=False):
    """The part of a ``batch/v1`` Job that decisions read."""

    metadata: _MetaView = _MetaView()
    status: _JobStatusView = _JobStatusView()

    @classmethod
    def decode(cls, raw: bytes) -> JobView:
        """Read one JSON body."""
        return msgspec.json.decode(raw, type=cls)

    def ended(self) -> _ConditionView | None:
        """The condition that says the Job is Complete or Failed; None while it is unfinished."""
        for condition in self.status.conditions or ():
            if condition.type in {"Complete", "Failed"} and condition.status == "True":
                return condition
        return None

    @property
    def finished(self) -> bool:
        """Whether the Job is Complete or Failed: only then it holds no discovery slot."""
        return self.ended() is not None


class _WaitingView(_Part, frozen=True, gc=False):
    reason: str | None = None
    message: str | None = None


class _TerminatedView(_Part, frozen=True, gc=False):
    exit_code: int = 0
    reason: str | None = None
    message: str | None = None
    signal: int | None = None


class _StateView(_Part, frozen=True, gc=False):
    waiting: _WaitingView | None = None
    running: dict[str, Any] | None = None
    terminated: _TerminatedView | None = None


class _ContainerView(_Part, frozen=True, gc=False):
    name: str = ""
    image: str = ""
    state: _StateView = _StateView()
    last_state: _StateView = _StateView()


class _PodStatusView(_Part, frozen=True, gc=False):
    phase: str = ""
    reason: str | None = None
    message: str | None = None
    conditions: tuple[_ConditionView, ...] | None = None
    container_statuses: tuple[_ContainerView, ...] | None = None
    init_container_statuses: tuple[_ContainerView, ...] | None = None


class PodView(_Part, frozen=True, gc=False):
    """The part of a Pod that decisions read."""

    metadata: _MetaView = _MetaView()
    status: _PodStatusView = _PodStatusView()

    @classmethod
    def decode(cls, raw: bytes) -> PodView:
        """Read one JSON body."""
        return msgspec.json.decode(raw, type=cls)

    @property
    def name(self) -> str:
        """The pod's name."""
        return self.metadata.name

    @property
    def containers(self) -> tuple[_ContainerView, ...]:
        """All container states, init containers first (a service mesh may add some)."""
        return (self.status.init_container_statuses or ()) + (self.status.container_statuses or ())

    def terminated(self, container: str) -> _TerminatedView | None:
        """How the container ended, now or in its last run."""
        for item in self.containers:
            if item.name == container:
                return item.state.terminated or item.last_state.terminated
        return None


@final
@dataclass(frozen=True, slots=True)
class Waiting:
    """The Job exists, and no container of it has started. ``message`` says on what it waits, if known."""

    message: str = ""
    look_again_after: float | None = None
    """Seconds after which the answer may change by itself; None: only an event changes it."""


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
class Succeeded:
    """The Job completed and printed a valid result."""

    result: DiscoveryResult


@final
@dataclass(frozen=True, slots=True)
class Failed:
    """Discovery failed; ``message`` says why and what would help."""

    message: str


@final
@dataclass(frozen=True, slots=True)
class LogLost:
    """The Job completed, but its output is gone: it has to run again."""

    message: str


Outcome = Waiting | Running | NeedsPods | NeedsLog | Succeeded | Failed | LogLost


@final
@dataclass(frozen=True, slots=True)
class PodLog:
    """What reading a pod's log gave; ``data`` is None when pod or log are gone."""

    pod: str
    data: bytes | None


def judge(
    job: JobView,
    pods: Sequence[PodView],
    *,
    container: str,
    log: PodLog | None,
    now: datetime,
    pods_read: bool = True,
) -> Outcome:
    """How the Job is going.

    Args:
        job: the Job.
        pods: its pods, in any order.
        container: name of the container whose output counts.
        log: what reading the log gave, after :class:`NeedsLog`; None before.
        now: the time, aware; compared with pods' creation for grace periods.
        pods_read: whether ``pods`` were read from the server after the Job was, and not from a cache.
    """
    newest_first = sorted(
        pods, key=lambda pod: (pod.metadata.creation_timestamp or "", pod.name), reverse=True
    )
    ended = job.ended()
    if ended is not None and ended.type == "Complete":
        return _completed(newest_first, log, pods_read=pods_read)
    if ended is not None:
        return _failed(ended, newest_first, container, log, pods_read=pods_read)
    for pod in newest_first:
        if pod.metadata.deletion_timestamp is None and pod.status.phase in {"", "Pending"}:
            outcome = _pending(pod, now)
            if outcome != Waiting():
                return outcome
            break
    if job.status.failed:
        return Running(f"{job.status.failed} attempts failed, trying again")
    if any(pod.status.phase in {"Running", "Succeeded"} for pod in newest_first):
        return Running()
    return Waiting()


def _completed(pods: Sequence[PodView], log: PodLog | None, *, pods_read: bool) -> Outcome:
    done = [pod for pod in pods if pod.status.phase == "Succeeded"]
    if not done and not pods_read:
        return NeedsPods()
    if not done:
        return LogLost("the Job is complete, but its pod is gone")
    if log is None or log.pod not in {pod.name for pod in done}:
        return NeedsLog(done[0].name)
    if log.data is None:
        return LogLost(f"the log of pod {log.pod} is gone")
    parsed = parse(log.data)
    return Failed(parsed.message) if isinstance(parsed, DiscoveryError) else Succeeded(parsed)


def _failed(
    ended: _ConditionView, pods: Sequence[PodView], container: str, log: PodLog | None, *, pods_read: bool
) -> Outcome:
    for pod in pods:
        end = pod.terminated(container)
        if end is None or end.exit_code == 0:
            continue
        if log is None or log.pod != pod.name:
            return NeedsLog(pod.name)
        tail = last_lines(log.data or b"") or last_lines((end.message or "").encode())
        why = f" ({end.reason})" if end.reason not in {None, "", "Error"} else ""
        hint = "; give the container more memory" if end.reason == "OOMKilled" else ""
        return Failed(
            f"the discovery container ended with exit code {end.exit_code}{why}{hint}."
            + (f" Last lines of its log: {tail}" if tail else " Its log is empty.")
        )
    if not pods_read:
        return NeedsPods()
    for pod in pods:
        if pod.status.reason or pod.status.message:
            detail = ": ".join(filter(None, (pod.status.reason, pod.status.message)))
            return Failed(clip(f"the discovery pod failed: {detail}", 1024))
    detail = ": ".join(filter(None, (ended.reason, ended.message)))
    if ended.reason == "DeadlineExceeded":
        detail += "; it was never scheduled, or the container hangs in its dry run"
    return Failed(clip(f"the discovery Job failed: {detail or 'no reason given'}", 1024))


def _pending(pod: PodView, now: datetime) -> Outcome:
    for item in pod.containers:
        waiting = item.state.waiting
        if waiting is None or not waiting.reason:
            continue
        message = waiting.message or ""
        if waiting.reason == "InvalidImageName":
            return Failed(f"{item.image!r} is no valid image name; correct the model's spec.image")
        if waiting.reason in _PULL_REASONS:
            return _pull_problem(pod, item.image, waiting.reason, message, now)
        if waiting.reason in _CONFIG_REASONS:
            text = f"the container cannot be set up: {message or waiting.reason}"
            if not any(word in message.lower() for word in _ABSENT):
                return Failed(clip(text, 1024))
            remedy = "create it, or correct env in the template, its model or runtime config"
            return _after_grace(pod, f"{text}; {remedy}", CONFIG_GRACE, now)
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            detail = condition.message or condition.reason or "no reason given"
            text = f"no node takes the discovery pod: {detail}"
            return _after_grace(pod, text, UNSCHEDULABLE_GRACE, now)
    return Waiting()


def _pull_problem(pod: PodView, image: str, reason: str, message: str, now: datetime) -> Outcome:
    lower = message.lower()
    detail = clip(message, 400) or reason
    # Registries answer "not found or access denied" to the unauthorized: a refusal is the better guess.
    if any(word in lower for word in _REFUSED):
        return Failed(
            f"the registry refused to give image {image!r}: {detail}."
            " Check the pull secrets of template and model, then run aimctl rediscover"
        )
    if any(word in lower for word in _NOT_FOUND):
        return Failed(f"image {image!r} was not found: {detail}. Correct the model's spec.image")
    text = f"image {image!r} cannot be pulled: {detail}"
    if reason == "ErrImagePull" or "ErrImagePull" in message:
        return _after_grace(pod, text, PULL_GRACE, now)
    # Back-off without a cause: the kubelet has tried and failed before, and the message says no more.
    return Failed(f"{text}. Check the image name and the pull secrets, then run aimctl rediscover")


def _after_grace(pod: PodView, message: str, grace: timedelta, now: datetime) -> Waiting | Failed:
    """Failed once the pod is older than ``grace``; until then still waiting, with the message."""
    created = _time(pod.metadata.creation_timestamp)
    left = grace - (now - created) if created is not None else grace
    message = clip(message, 1024)
    return Failed(message) if left <= timedelta(0) else Waiting(message, left.total_seconds())


def _time(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
