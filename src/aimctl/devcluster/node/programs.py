"""What a simulated container does: the joint between the simulated node and whoever decides a container's
fate.

Contract:
    * The node asks its :class:`Program` list in order; the first answer that is not None decides. No answer
      at all means that no registry has the image, and the kubelet says so.
    * :class:`Behaviour` is known before the container exists (may it be scheduled, pulled, how long does it
      run); its ``run`` is called once when a container starts, with the environment the kubelet would give
      it.
    * ``run`` itself has no effects: after a reboot of the machines it is called once more, for the log alone.
      What a run leaves behind (a filled volume) belongs into :attr:`RunResult.ended`.
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

Pull = Literal["ok", "not-found", "refused"]


@dataclass(frozen=True, slots=True)
class MountedVolume:
    """A claim's volume in a container.

    Attributes:
        path: where it is mounted.
        claim: the claim's name.
        uid: the claim's uid; another claim of the same name is another volume.
        capacity_bytes: how much it holds.
        read_only: whether this container may only read it.
    """

    path: str
    claim: str
    uid: str
    capacity_bytes: int
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ContainerCall:
    """One start of a container, as the process in it sees the world.

    Attributes:
        image: the reference as written in the pod.
        command: the pod's ``command``, empty for the image's own.
        args: the pod's ``args``.
        env: the environment, with secrets and config maps looked up.
        secret_env: names in ``env`` whose value came from a Secret.
        pod: the whole pod.
        container: this container's spec.
        restarts: how often this container ran before.
        volumes: the claims' volumes it mounts, in the order of its mounts.
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
    """How a run goes.

    Attributes:
        log_at_start: what the log holds as soon as the container runs.
        log_at_end: what is added when it ends.
        exit_code: 0 to 255.
        reason: the terminated state's reason; "" takes ``Completed`` or ``Error``.
        duration_seconds: overrides the behaviour's when not None; ``math.inf`` never ends.
        log_while: texts with the seconds after the start at which the log gets them, in order.
        ended: called when the run is over, with the seconds it lasted: ``math.inf`` when it came to its own
            end, fewer when it was killed. Seconds are the program's own, whatever the node's pace.
    """

    log_at_start: bytes = b""
    log_at_end: bytes = b""
    exit_code: int = 0
    reason: str = ""
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
        pull: what the registry answers.
        needs_pull_secret: the registry answers only those who bring credentials for its host.
        pull_seconds: from binding to the registry's answer.
        create_error: a message here keeps the container in ``CreateContainerConfigError``.
        duration_seconds: from start to end; ``math.inf`` never ends.
        run: decides log and exit code; may raise nothing.
    """

    schedulable: bool = True
    pull: Pull = "ok"
    needs_pull_secret: bool = False
    pull_seconds: float = 1.0
    create_error: str = ""
    duration_seconds: float = 2.0
    run: Callable[[ContainerCall], RunResult] = _succeed


class Program(Protocol):
    """Knows some containers' behaviour."""

    def behaviour(self, call: ContainerCall) -> Behaviour | None:
        """The behaviour, or None when the program does not know the container; ``call.env`` is empty."""
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
