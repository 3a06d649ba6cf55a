"""The parts of Kubernetes' Jobs and pods that decisions read, decoded from JSON."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["ConditionView", "JobView", "PodView", "TerminatedView"]


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


class ConditionView(_Part, frozen=True, gc=False):
    """One condition of a Job or a pod."""

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
    conditions: tuple[ConditionView, ...] | None = None


class JobView(_Part, frozen=True, gc=False):
    """The part of a ``batch/v1`` Job that decisions read."""

    metadata: _MetaView = _MetaView()
    status: _JobStatusView = _JobStatusView()

    @classmethod
    def decode(cls, raw: bytes) -> JobView:
        """Read one JSON body."""
        return msgspec.json.decode(raw, type=cls)

    def ended(self) -> ConditionView | None:
        """The condition that says the Job is Complete or Failed; None while it is unfinished."""
        for condition in self.status.conditions or ():
            if condition.type in {"Complete", "Failed"} and condition.status == "True":
                return condition
        return None

    @property
    def finished(self) -> bool:
        """Whether the Job is Complete or Failed: only then it holds no discovery slot."""
        return self.ended() is not None


class WaitingView(_Part, frozen=True, gc=False):
    reason: str | None = None
    message: str | None = None


class TerminatedView(_Part, frozen=True, gc=False):
    """How a container ended."""

    exit_code: int = 0
    reason: str | None = None
    message: str | None = None
    signal: int | None = None


class _StateView(_Part, frozen=True, gc=False):
    waiting: WaitingView | None = None
    running: dict[str, Any] | None = None
    terminated: TerminatedView | None = None


class _ContainerView(_Part, frozen=True, gc=False):
    name: str = ""
    image: str = ""
    state: _StateView = _StateView()
    last_state: _StateView = _StateView()


class _PodStatusView(_Part, frozen=True, gc=False):
    phase: str = ""
    reason: str | None = None
    message: str | None = None
    conditions: tuple[ConditionView, ...] | None = None
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

    def terminated(self, container: str) -> TerminatedView | None:
        """How the container ended, now or in its last run."""
        for item in self.containers:
            if item.name == container:
                return item.state.terminated or item.last_state.terminated
        return None
