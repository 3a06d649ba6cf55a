"""A pod on one of the simulated machines: its containers' lives, and what people are told of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.containers import ContainerRun, Running, Waiting

if TYPE_CHECKING:
    from aimctl.devcluster.environment import Environment
    from aimctl.devcluster.programs import Behaviour

__all__ = ["Life", "container_of", "events_of"]


@final
@dataclass(slots=True)
class Life:
    """What the node remembers of a pod.

    Attributes:
        ip: the pod's address.
        inits: its init containers, in order.
        mains: its containers.
        behaviours: what the programs said, by container.
        killed: whether its containers were ended for its deletion.
        environments: what was last looked up for each container.
    """

    ip: str
    inits: list[ContainerRun]
    mains: list[ContainerRun]
    behaviours: dict[str, Behaviour | None]
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
