"""Frozen views of the kinds in :mod:`aimctl.runtime.kube.builtin`: the fields that operators read.

They hold a part of each kind only: write with plain mappings, never by encoding a view. A field that the
server leaves out has its default. Secret data is decoded from base64 and kept out of ``repr``.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations at run time

import msgspec

__all__ = [
    "AccessReviewStatus",
    "Condition",
    "ConfigMap",
    "Container",
    "ContainerState",
    "ContainerStatus",
    "CoreEvent",
    "Crd",
    "CrdNames",
    "CrdSpec",
    "CrdStatus",
    "CrdVersion",
    "Event",
    "EventSeries",
    "EventSource",
    "Job",
    "JobSpec",
    "JobStatus",
    "Lease",
    "LeaseSpec",
    "LocalObjectReference",
    "Namespace",
    "NamespaceStatus",
    "Node",
    "NodeSpec",
    "NodeStatus",
    "ObjectReference",
    "PersistentVolumeClaim",
    "Pod",
    "PodSpec",
    "PodStatus",
    "PvcResources",
    "PvcSpec",
    "PvcStatus",
    "Secret",
    "SelfSubjectAccessReview",
    "ServiceAccount",
    "StateRunning",
    "StateTerminated",
    "StateWaiting",
    "Taint",
    "condition",
]


class _View(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The way all views are made."""


class Condition(_View, frozen=True):
    """The common part of all conditions."""

    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None


def condition(conditions: tuple[Condition, ...] | None, type_: str) -> Condition | None:
    """The condition of that type, or None."""
    return next((one for one in conditions or () if one.type == type_), None)


class LocalObjectReference(_View, frozen=True):
    """A name in the same namespace."""

    name: str = ""


class ObjectReference(_View, frozen=True):
    """``core/v1.ObjectReference``."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""


# Namespaces and nodes


class NamespaceStatus(_View, frozen=True):
    """Active or Terminating."""

    phase: str = ""


class Namespace(_View, frozen=True):
    """``core/v1.Namespace``."""

    status: NamespaceStatus = NamespaceStatus()


class Taint(_View, frozen=True):
    """``core/v1.Taint``."""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(_View, frozen=True):
    """What keeps pods away."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] | None = None


class NodeStatus(_View, frozen=True):
    """Quantities are as the server writes them."""

    capacity: Mapping[str, str] | None = None
    allocatable: Mapping[str, str] | None = None
    conditions: tuple[Condition, ...] | None = None


class Node(_View, frozen=True):
    """``core/v1.Node``; its labels are in the metadata."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


# Pods and jobs


class Container(_View, frozen=True):
    """Name and image."""

    name: str = ""
    image: str = ""


class StateWaiting(_View, frozen=True):
    """Why a container does not run yet, such as ImagePullBackOff."""

    reason: str = ""
    message: str = ""


class StateTerminated(_View, frozen=True):
    """How a container ended."""

    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None


class StateRunning(_View, frozen=True):
    """Since when it runs."""

    started_at: str | None = None


class ContainerState(_View, frozen=True):
    """At most one is set."""

    waiting: StateWaiting | None = None
    running: StateRunning | None = None
    terminated: StateTerminated | None = None


class ContainerStatus(_View, frozen=True):
    """``core/v1.ContainerStatus``."""

    name: str = ""
    image: str = ""
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodSpec(_View, frozen=True):
    """Where and what."""

    node_name: str | None = None
    service_account_name: str | None = None
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None


class PodStatus(_View, frozen=True):
    """How far it got, and why not further."""

    phase: str = ""
    reason: str | None = None
    message: str | None = None
    start_time: str | None = None
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None
    init_container_statuses: tuple[ContainerStatus, ...] | None = None


class Pod(_View, frozen=True):
    """``core/v1.Pod``."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class JobSpec(_View, frozen=True):
    """Limits of a job; its pod template is not in the view."""

    parallelism: int | None = None
    completions: int | None = None
    backoff_limit: int | None = None
    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None
    suspend: bool | None = None


class JobStatus(_View, frozen=True):
    """Counts of pods, and how it ended."""

    active: int | None = None
    ready: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    start_time: str | None = None
    completion_time: str | None = None
    conditions: tuple[Condition, ...] | None = None


class Job(_View, frozen=True):
    """``batch/v1.Job``."""

    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()

    @property
    def complete(self) -> bool:
        """It ended well."""
        return self._has("Complete")

    @property
    def failed(self) -> bool:
        """It ended badly; the condition ``Failed`` says why."""
        return self._has("Failed")

    @property
    def finished(self) -> bool:
        """It ended."""
        return self.complete or self.failed

    def _has(self, type_: str) -> bool:
        found = condition(self.status.conditions, type_)
        return found is not None and found.status == "True"


# Configuration and storage


class Secret(msgspec.Struct, frozen=True):
    """``core/v1.Secret``."""

    type: str = ""
    data: Mapping[str, bytes] | None = None

    def __repr__(self) -> str:
        return f"Secret(type={self.type!r}, data of {len(self.data or ())} keys)"


class ServiceAccount(_View, frozen=True):
    """``core/v1.ServiceAccount``."""

    image_pull_secrets: tuple[LocalObjectReference, ...] | None = None


class ConfigMap(_View, frozen=True):
    """``core/v1.ConfigMap``."""

    data: Mapping[str, str] | None = None


class PvcResources(_View, frozen=True):
    """Quantities."""

    requests: Mapping[str, str] | None = None


class PvcSpec(_View, frozen=True):
    """What was asked for."""

    access_modes: tuple[str, ...] | None = None
    resources: PvcResources = PvcResources()
    storage_class_name: str | None = None
    volume_name: str | None = None


class PvcStatus(_View, frozen=True):
    """Pending, Bound or Lost."""

    phase: str = ""
    capacity: Mapping[str, str] | None = None
    conditions: tuple[Condition, ...] | None = None


class PersistentVolumeClaim(_View, frozen=True):
    """``core/v1.PersistentVolumeClaim``."""

    spec: PvcSpec = PvcSpec()
    status: PvcStatus = PvcStatus()


# Events


class EventSource(_View, frozen=True):
    """Who reported it, in the older form."""

    component: str = ""
    host: str = ""


class CoreEvent(_View, frozen=True):
    """``core/v1.Event``, what ``kubectl describe`` reads."""

    type: str = ""
    reason: str = ""
    message: str = ""
    count: int = 0
    involved_object: ObjectReference = ObjectReference()
    source: EventSource = EventSource()
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None


class EventSeries(_View, frozen=True):
    """How often it was seen again."""

    count: int = 0
    last_observed_time: str | None = None


class Event(_View, frozen=True):
    """``events.k8s.io/v1.Event``: the same objects in the newer form."""

    type: str = ""
    reason: str = ""
    note: str = ""
    action: str = ""
    event_time: str | None = None
    reporting_controller: str = ""
    reporting_instance: str = ""
    regarding: ObjectReference = ObjectReference()
    related: ObjectReference | None = None
    series: EventSeries | None = None


# Coordination, extension, authorisation


class LeaseSpec(_View, frozen=True):
    """``coordination.k8s.io/v1.LeaseSpec``; times are MicroTime."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(_View, frozen=True):
    """``coordination.k8s.io/v1.Lease``."""

    spec: LeaseSpec = LeaseSpec()


class CrdNames(_View, frozen=True):
    """The names of a kind."""

    plural: str = ""
    singular: str = ""
    kind: str = ""
    short_names: tuple[str, ...] | None = None


class CrdVersion(_View, frozen=True):
    """One version; its schema is not in the view."""

    name: str = ""
    served: bool = False
    storage: bool = False


class CrdSpec(_View, frozen=True):
    """What the kind is called and where it lives."""

    group: str = ""
    scope: str = ""
    names: CrdNames = CrdNames()
    versions: tuple[CrdVersion, ...] | None = None


class CrdStatus(_View, frozen=True):
    """``Established`` says that it is served."""

    conditions: tuple[Condition, ...] | None = None


class Crd(_View, frozen=True):
    """``apiextensions.k8s.io/v1.CustomResourceDefinition``."""

    spec: CrdSpec = CrdSpec()
    status: CrdStatus = CrdStatus()


class AccessReviewStatus(_View, frozen=True):
    """The answer."""

    allowed: bool = False
    denied: bool = False
    reason: str = ""
    evaluation_error: str = ""


class SelfSubjectAccessReview(_View, frozen=True):
    """``authorization.k8s.io/v1.SelfSubjectAccessReview``: may we do this?"""

    status: AccessReviewStatus = AccessReviewStatus()
