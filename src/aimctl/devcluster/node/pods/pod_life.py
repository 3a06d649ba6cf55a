"""A pod on a simulated machine: the state of its containers, and the Events about them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.node.pods.containers import ContainerRun, Running, Terminated, Waiting

if TYPE_CHECKING:
    from datetime import datetime

    from aimctl.devcluster.node.pods.environment import Environment
    from aimctl.devcluster.node.programs import Behaviour

__all__ = ["PodRun", "container_of", "events_of", "notify_ended", "with_termination_message"]


@final
@dataclass(slots=True)
class PodRun:
    """The state of a pod on its node.

    Attributes:
        ip: the pod's address.
        inits: its init containers, in order.
        mains: its containers.
        behaviours: by container, the behaviour that a program returned; None if the image does not exist.
        stopped: when its containers, or at its end only its sidecars, got SIGTERM; None before that.
        killed: whether they have ended because of its deletion.
        environments: by container, the environment that was read last.
    """

    ip: str
    inits: list[ContainerRun]
    mains: list[ContainerRun]
    behaviours: dict[str, Behaviour | None]
    stopped: datetime | None = None
    killed: bool = False
    environments: dict[str, Environment] = field(default_factory=dict)

    @property
    def sidecars(self) -> list[ContainerRun]:
        """Its init containers that run beside the others."""
        return [run for run in self.inits if run.sidecar]

    def put(self, run: ContainerRun) -> None:
        """Replace the container of that name."""
        for runs in (self.inits, self.mains):
            for position, known in enumerate(runs):
                if known.name == run.name:
                    runs[position] = run


def container_of(pod: dict[str, Any], name: str) -> dict[str, Any]:
    """The spec of a container. Raises KeyError for an unknown name."""
    for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
        if container["name"] == name:
            return dict(container)
    raise KeyError(name)


def events_of(before: ContainerRun, after: ContainerRun) -> list[tuple[str, str, str]]:
    """The kubelet's Events, as type, reason and message, for a transition of a container."""
    if before.state == after.state:
        return []
    match after.state:
        case Running():
            return [("Normal", "Started", f"Started container {after.name}")]
        case Waiting(reason="ErrImagePull", message=message):
            return [("Warning", "Failed", f'Failed to pull image "{after.image}": {message}')]
        case Waiting(reason="ImagePullBackOff" | "CrashLoopBackOff", message=message):
            return [("Warning", "BackOff", message)]
        case Waiting(message=message) if message:
            return [("Warning", "Failed", f"Error: {message}")]
        case _:
            return []


def notify_ended(run: ContainerRun, killed_at: datetime | None, pace: float) -> None:
    """Call ``RunResult.ended`` of a running container.

    Args:
        run: the container; nothing happens if it is not running.
        killed_at: when it was killed; None if it ended by itself.
        pace: the node's pace, by which the duration is divided.
    """
    if not isinstance(run.state, Running) or run.result is None or run.result.ended is None:
        return
    lasted = math.inf
    if killed_at is not None and pace:
        lasted = (killed_at - run.state.started).total_seconds() / pace
    run.result.ended(lasted)


def with_termination_message(run: ContainerRun, container: dict[str, Any], message: str) -> ContainerRun:
    """The container that just ended, with the end of its log as message if it has none, failed, and its spec has
    ``FallbackToLogsOnError``.
    """
    if container.get("terminationMessagePolicy") != "FallbackToLogsOnError" or not message:
        return run
    ended = run.state if isinstance(run.state, Terminated) else run.last
    if ended is None or not ended.exit_code or ended.message:
        return run
    ended_with_message = replace(ended, message=message)
    if ended is run.state:
        return replace(run, state=ended_with_message)
    return replace(run, last=ended_with_message)
