"""A pod on one of the simulated machines: its containers' lives, and what people are told of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.node.containers import ContainerRun, Running, Terminated, Waiting

if TYPE_CHECKING:
    from datetime import datetime

    from aimctl.devcluster.node.environment import Environment
    from aimctl.devcluster.node.programs import Behaviour

__all__ = ["Life", "container_of", "events_of", "note_end", "with_message"]


@final
@dataclass(slots=True)
class Life:
    """What the node remembers of a pod.

    Attributes:
        ip: the pod's address.
        inits: its init containers, in order.
        mains: its containers.
        behaviours: what the programs said, by container.
        ends: when its containers end for its deletion, once that was asked for.
        killed: whether they were ended so.
        environments: what was last looked up for each container.
    """

    ip: str
    inits: list[ContainerRun]
    mains: list[ContainerRun]
    behaviours: dict[str, Behaviour | None]
    ends: datetime | None = None
    killed: bool = False
    environments: dict[str, Environment] = field(default_factory=dict)

    def put(self, run: ContainerRun) -> None:
        """Replace the container of that name."""
        for runs in (self.inits, self.mains):
            for position, known in enumerate(runs):
                if known.name == run.name:
                    runs[position] = run


def container_of(pod: dict[str, Any], name: str) -> dict[str, Any]:
    """The spec of a container. Raises KeyError for a name the pod does not have."""
    for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
        if container["name"] == name:
            return dict(container)
    raise KeyError(name)


def events_of(before: ContainerRun, after: ContainerRun) -> list[tuple[str, str, str]]:
    """The kubelet's Events (type, reason, message) for a step of a container."""
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


def note_end(run: ContainerRun, killed_at: datetime | None, pace: float) -> None:
    """Tell the program of a container, if it runs, that the run is over: killed, or (None) at its own end.

    Programs hear of their own seconds, whatever the node's pace.
    """
    if not isinstance(run.state, Running) or run.result is None or run.result.ended is None:
        return
    lasted = math.inf
    if killed_at is not None and pace:
        lasted = (killed_at - run.state.started).total_seconds() / pace
    run.result.ended(lasted)


def with_message(run: ContainerRun, container: dict[str, Any], last_words: str) -> ContainerRun:
    """The container that just ended, with its log as termination message where its spec asks for that."""
    if container.get("terminationMessagePolicy") != "FallbackToLogsOnError" or not last_words:
        return run
    ended = run.state if isinstance(run.state, Terminated) else run.last
    if ended is None or not ended.exit_code:
        return run
    told = replace(ended, message=last_words)
    return replace(run, state=told) if ended is run.state else replace(run, last=told)
