"""The states of a container on a simulated node. No I/O.

    ContainerCreating -> (pull) -> Running -> Terminated -> CrashLoopBackOff -> Running ...
                            |-> ErrImagePull <-> ImagePullBackOff
                            |-> CreateContainerConfigError / CreateContainerError

Invariants:
    * :func:`step` makes at most one transition, and only at or after ``due``.
    * A container without ``due`` waits for something else: an init container before it, or its deletion.
    * Reasons and messages are those of the kubelet and containerd. The back-off is the kubelet's: 10 s, doubled up to
      300 s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from aimctl.kubetypes.helpers.backoff import exponential_delay

if TYPE_CHECKING:
    from aimctl.devcluster.node.programs import Behaviour, RunResult

__all__ = [
    "ContainerRun",
    "Facts",
    "Running",
    "Terminated",
    "Waiting",
    "back_off_seconds",
    "pull_error",
    "step",
    "terminate",
]

_BACKOFF_BASE_SECONDS = 10.0
_BACKOFF_CAP_SECONDS = 300.0
_CONFIG_RETRY_SECONDS = 5.0
_PULL_ERROR_SECONDS = 2.0
"""From ErrImagePull to ImagePullBackOff."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not running, with the reason."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """Running since ``started``."""

    started: datetime


@dataclass(frozen=True, slots=True)
class Terminated:
    """Ended, with its outcome."""

    exit_code: int
    reason: str
    started: datetime
    finished: datetime
    message: str = ""


@dataclass(frozen=True, slots=True)
class ContainerRun:
    """The state of one container of a pod.

    Attributes:
        name: the container's name.
        image: its image reference.
        state: its current state.
        last: the outcome of the previous run.
        restarts: number of previous runs.
        pull_failures: number of consecutive failed pulls.
        due: when the next transition happens; None if time alone changes nothing.
        result: the course of the current run, known from its start.
        sidecar: whether it is an init container that runs beside the others, with ``restartPolicy: Always``.
    """

    name: str
    image: str
    state: Waiting | Running | Terminated
    last: Terminated | None = None
    restarts: int = 0
    pull_failures: int = 0
    due: datetime | None = None
    result: RunResult | None = None
    sidecar: bool = False

    @property
    def initialized(self) -> bool:
        """Whether the next init container may start: it has succeeded, or has started if it is a sidecar."""
        if self.sidecar:
            return self.last is not None or not isinstance(self.state, Waiting)
        return self.succeeded

    @property
    def succeeded(self) -> bool:
        """Whether it ended with exit code 0."""
        return isinstance(self.state, Terminated) and self.state.exit_code == 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What a transition depends on besides the container.

    Attributes:
        behaviour: from a program; None if no registry has the image.
        credentials: whether the pod has a pull secret for the image's host.
        config_error: the kubelet's message if the container cannot be created (a missing Secret, key or ConfigMap),
            or "".
        restart_policy: of the pod.
        pod: ``name_namespace(uid)``, for messages.
    """

    behaviour: Behaviour | None
    credentials: bool = False
    config_error: str = ""
    restart_policy: str = "Always"
    pod: str = ""


def step(run: ContainerRun, facts: Facts, now: datetime) -> ContainerRun:
    """The container after the transition that is due, or unchanged.

    After a transition to Running, :func:`started` has to set ``result`` and ``due``.
    """
    if run.due is None or now < run.due:
        return run
    match run.state:
        case Waiting(reason="ContainerCreating" | "PodInitializing" | "ErrImagePull" | "ImagePullBackOff"):
            return _pulled(run, facts, now)
        case Waiting(reason="CreateContainerConfigError" | "CreateContainerError"):
            return _created(run, facts, now)
        case Waiting(reason="CrashLoopBackOff"):
            return _created(replace(run, restarts=run.restarts + 1), facts, now)
        case Running():
            return _ended(run, facts, now)
        case _:
            return replace(run, due=None)


def started(run: ContainerRun, result: RunResult, behaviour: Behaviour, now: datetime) -> ContainerRun:
    """The container that just became Running, with its result and its end."""
    seconds = behaviour.duration_seconds if result.duration_seconds is None else result.duration_seconds
    due = None if math.isinf(seconds) else now + timedelta(seconds=seconds)
    return replace(run, result=result, due=due)


def terminate(
    run: ContainerRun, now: datetime, *, exit_code: int = 137, reason: str = "Error"
) -> ContainerRun:
    """Kill a container if it is running. It then has no further transitions."""
    if not isinstance(run.state, Running):
        return replace(run, due=None)
    return replace(run, state=Terminated(exit_code, reason, run.state.started, now), due=None)


def back_off_seconds(failures: int) -> float:
    """The kubelet's back-off after this number of consecutive failures, at least one."""
    return exponential_delay(failures - 1, _BACKOFF_BASE_SECONDS, _BACKOFF_CAP_SECONDS)


def pull_error(run: ContainerRun, facts: Facts) -> str:
    """The message of containerd for a failed pull, or "" if the pull succeeds."""
    image = run.image
    prefix = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
    behaviour = facts.behaviour
    if behaviour is None or behaviour.pull == "not-found":
        return f"rpc error: code = NotFound desc = {prefix}{image}: not found"
    if behaviour.pull == "refused" or (behaviour.needs_pull_secret and not facts.credentials):
        return (
            f"rpc error: code = Unknown desc = {prefix}pull access denied, repository does not exist or may "
            "require authorization: server message: insufficient_scope: authorization failed"
        )
    if behaviour.pull == "unavailable":
        return f"rpc error: code = Unknown desc = {prefix}dial tcp: i/o timeout"
    return ""


def _pulled(run: ContainerRun, facts: Facts, now: datetime) -> ContainerRun:
    error = pull_error(run, facts)
    if not error:
        return _created(replace(run, pull_failures=0), facts, now)
    if run.state == Waiting("ErrImagePull", error):
        state = Waiting("ImagePullBackOff", f'Back-off pulling image "{run.image}": ErrImagePull: {error}')
        seconds = back_off_seconds(run.pull_failures)
        return replace(run, state=state, due=now + timedelta(seconds=seconds))
    return replace(
        run,
        state=Waiting("ErrImagePull", error),
        pull_failures=run.pull_failures + 1,
        due=now + timedelta(seconds=_PULL_ERROR_SECONDS),
    )


def _created(run: ContainerRun, facts: Facts, now: datetime) -> ContainerRun:
    retry = now + timedelta(seconds=_CONFIG_RETRY_SECONDS)
    if facts.config_error:
        return replace(run, state=Waiting("CreateContainerConfigError", facts.config_error), due=retry)
    if facts.behaviour is not None and facts.behaviour.create_error:
        return replace(run, state=Waiting("CreateContainerError", facts.behaviour.create_error), due=retry)
    return replace(run, state=Running(now), due=None)


def _ended(run: ContainerRun, facts: Facts, now: datetime) -> ContainerRun:
    result = run.result
    code = result.exit_code if result else 0
    reason = (result.reason if result else "") or ("Completed" if code == 0 else "Error")
    begun = run.state.started if isinstance(run.state, Running) else now
    end = Terminated(code, reason, begun, now, result.termination_message if result else "")
    if facts.restart_policy == "Never" or (facts.restart_policy == "OnFailure" and code == 0):
        return replace(run, state=end, due=None)
    seconds = back_off_seconds(run.restarts + 1)
    message = f"back-off {_duration(seconds)} restarting failed container={run.name} pod={facts.pod}"
    return replace(
        run,
        state=Waiting("CrashLoopBackOff", message),
        last=end,
        due=now + timedelta(seconds=seconds),
        result=None,
    )


def _duration(seconds: float) -> str:
    """A duration as Go prints it: ``10s``, ``1m20s``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
