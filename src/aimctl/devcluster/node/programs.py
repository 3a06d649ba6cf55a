"""The interface through which the simulated nodes learn what a container does.

Contract:
    * The node calls the :class:`Program` objects in order. The first result that is not None decides. If there is none,
      no registry has the image, and the kubelet reports that.
    * :class:`Behaviour` is what is known before the container exists: whether it can be scheduled and pulled, and how
      long it runs. Its ``run`` is called once when the container starts, with the environment from the kubelet.
    * ``run`` has no side effects, because it is called again after a reboot of the machines to restore the log. Effects
      of a run, such as a filled volume, belong in :attr:`RunResult.ended`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Behaviour",
    "ContainerCall",
    "MountedVolume",
    "Program",
    "Pull",
    "RunResult",
    "container_call",
]

Pull = Literal["ok", "not-found", "refused", "unavailable"]


@dataclass(frozen=True, slots=True)
class MountedVolume:
    """A claim's volume in a container.

    Attributes:
        path: the mount path.
        claim: the claim's name.
        uid: the claim's uid. Another claim of the same name is another volume.
        capacity_bytes: its size.
        read_only: whether it is mounted read-only.
    """

    path: str
    claim: str
    uid: str
    capacity_bytes: int
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ContainerCall:
    """The start of a container, from the point of view of its process.

    Attributes:
        image: the reference as written in the pod.
        command: the container's ``command``; empty for the image's own.
        args: the container's ``args``.
        env: the environment, with the values from Secrets and ConfigMaps.
        secret_env: names in ``env`` whose value came from a Secret.
        pod: the whole pod.
        container: this container's spec.
        restarts: number of earlier runs of this container.
        volumes: the claims' volumes that it mounts, in the order of its mounts.
    """

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: frozenset[str] = frozenset()
    pod: Mapping[str, Any] = field(default_factory=dict)
    container: Mapping[str, Any] = field(default_factory=dict)
    restarts: int = 0
    volumes: tuple[MountedVolume, ...] = ()


@dataclass(frozen=True, slots=True)
class RunResult:
    """The course of a run. Seconds are those of the program, before the node's pace.

    Attributes:
        log_at_start: content of the log as soon as the container runs.
        log_at_end: added when it ends.
        exit_code: 0 to 255.
        reason: of the terminated state; "" takes ``Completed`` or ``Error``.
        termination_message: what it has written to its termination log.
        duration_seconds: overrides that of the behaviour unless None; ``math.inf`` never ends.
        log_while: texts with the seconds after the start at which they are added to the log, in order.
        ended: called when the run is over, with its duration in seconds, or ``math.inf`` if it was not killed.
    """

    log_at_start: bytes = b""
    log_at_end: bytes = b""
    exit_code: int = 0
    reason: str = ""
    termination_message: str = ""
    duration_seconds: float | None = None
    log_while: tuple[tuple[float, bytes], ...] = ()
    ended: Callable[[float], None] | None = field(default=None, compare=False)


def _succeed(call: ContainerCall) -> RunResult:
    del call
    return RunResult()


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What is known of a container before it runs.

    Attributes:
        schedulable: False keeps the pod Pending, with the scheduler's condition.
        pull: the registry's answer.
        needs_pull_secret: whether the registry requires credentials for its host.
        pull_seconds: from the binding to the registry's answer.
        create_error: a message keeps the container in ``CreateContainerError``.
        duration_seconds: from start to end; ``math.inf`` never ends.
        termination_seconds: from SIGTERM to the end. A container that needs longer than the grace period of its pod is
            killed with exit code 137; others end with 143.
        run: decides log and exit code; must not raise.
    """

    schedulable: bool = True
    pull: Pull = "ok"
    needs_pull_secret: bool = False
    pull_seconds: float = 1.0
    create_error: str = ""
    duration_seconds: float = 2.0
    termination_seconds: float = 0.0
    run: Callable[[ContainerCall], RunResult] = _succeed


class Program(Protocol):
    """Decides what some containers do. The programs of a cluster are asked in order."""

    def behaviour(self, call: ContainerCall) -> Behaviour | None:
        """The behaviour, or None if another program has to decide. ``call.env`` is empty."""
        ...


def container_call(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    *,
    env: Mapping[str, str] | None = None,
    secret_env: frozenset[str] = frozenset(),
    restarts: int = 0,
    volumes: tuple[MountedVolume, ...] = (),
) -> ContainerCall:
    """The call for one container of a pod."""
    return ContainerCall(
        image=str(container.get("image") or ""),
        command=tuple(container.get("command") or ()),
        args=tuple(container.get("args") or ()),
        env=env or {},
        secret_env=secret_env,
        pod=pod,
        container=container,
        restarts=restarts,
        volumes=volumes,
    )
