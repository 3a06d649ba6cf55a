"""The type of ``core/v1.Pod``."""

from __future__ import annotations

from aimctl.kubetypes.view import Condition, LocalObjectReference, View

__all__ = [
    "ClaimVolume",
    "Container",
    "ContainerState",
    "ContainerStatus",
    "Pod",
    "PodSpec",
    "PodStatus",
    "StateRunning",
    "StateTerminated",
    "StateWaiting",
    "Volume",
]


class Container(View, frozen=True, gc=False):
    """Name and image."""

    name: str = ""
    image: str = ""


class StateWaiting(View, frozen=True, gc=False):
    """Why a container is not running yet, such as ImagePullBackOff."""

    reason: str = ""
    message: str = ""


class StateTerminated(View, frozen=True, gc=False):
    """How a container ended."""

    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None


class StateRunning(View, frozen=True, gc=False):
    """When a running container started."""

    started_at: str | None = None


class ContainerState(View, frozen=True, gc=False):
    """The state of a container. At most one field is set."""

    waiting: StateWaiting | None = None
    running: StateRunning | None = None
    terminated: StateTerminated | None = None


class ContainerStatus(View, frozen=True, gc=False):
    """``core/v1.ContainerStatus``."""

    name: str = ""
    image: str = ""
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class ClaimVolume(View, frozen=True, gc=False):
    """``core/v1.PersistentVolumeClaimVolumeSource``."""

    claim_name: str = ""


class Volume(View, frozen=True, gc=False):
    """``core/v1.Volume``: its name, and its claim if it has one."""

    name: str = ""
    persistent_volume_claim: ClaimVolume | None = None


class PodSpec(View, frozen=True, gc=False):
    """Node, containers and volumes."""

    node_name: str | None = None
    service_account_name: str | None = None
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    volumes: tuple[Volume, ...] | None = None
    image_pull_secrets: tuple[LocalObjectReference, ...] | None = None


class PodStatus(View, frozen=True, gc=False):
    """Phase, conditions and the state of each container."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    start_time: str | None = None
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None
    init_container_statuses: tuple[ContainerStatus, ...] | None = None


class Pod(View, frozen=True, gc=False):
    """``core/v1.Pod``."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def container_statuses(self) -> tuple[ContainerStatus, ...]:
        """The status of every container, init containers first (a service mesh may inject some)."""
        return (self.status.init_container_statuses or ()) + (self.status.container_statuses or ())

    def terminated(self, container: str) -> StateTerminated | None:
        """How a container ended, in its current or else its last run; None when it has not ended."""
        for item in self.container_statuses:
            if item.name == container:
                return item.state.terminated or item.last_state.terminated
        return None
