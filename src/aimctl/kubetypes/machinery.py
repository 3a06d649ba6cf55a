"""Types of the kinds that controllers use to work: Events, Leases, CRDs and access reviews."""

from __future__ import annotations

from aimctl.kubetypes.view import Condition, ObjectReference, View

__all__ = [
    "AccessReviewStatus",
    "CoreEvent",
    "Crd",
    "CrdNames",
    "CrdSpec",
    "CrdStatus",
    "CrdVersion",
    "Event",
    "EventSeries",
    "EventSource",
    "Lease",
    "LeaseSpec",
    "SelfSubjectAccessReview",
]


class EventSource(View, frozen=True, gc=False):
    """``core/v1.EventSource``: the component that reported the Event."""

    component: str = ""
    host: str = ""


class CoreEvent(View, frozen=True, gc=False):
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


class EventSeries(View, frozen=True, gc=False):
    """``events.k8s.io/v1.EventSeries``: how often the Event was repeated."""

    count: int = 0
    last_observed_time: str | None = None


class Event(View, frozen=True, gc=False):
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


class LeaseSpec(View, frozen=True, gc=False):
    """``coordination.k8s.io/v1.LeaseSpec``; times are MicroTime."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(View, frozen=True, gc=False):
    """``coordination.k8s.io/v1.Lease``."""

    spec: LeaseSpec = LeaseSpec()


class CrdNames(View, frozen=True, gc=False):
    """The names of a kind."""

    plural: str = ""
    singular: str = ""
    kind: str = ""
    short_names: tuple[str, ...] | None = None


class CrdVersion(View, frozen=True, gc=False):
    """One version, without its schema."""

    name: str = ""
    served: bool = False
    storage: bool = False


class CrdSpec(View, frozen=True, gc=False):
    """Group, scope, names and versions."""

    group: str = ""
    scope: str = ""
    names: CrdNames = CrdNames()
    versions: tuple[CrdVersion, ...] | None = None


class CrdStatus(View, frozen=True, gc=False):
    """The condition ``Established`` is True when the kind is served."""

    conditions: tuple[Condition, ...] | None = None


class Crd(View, frozen=True, gc=False):
    """``apiextensions.k8s.io/v1.CustomResourceDefinition``."""

    spec: CrdSpec = CrdSpec()
    status: CrdStatus = CrdStatus()


class AccessReviewStatus(View, frozen=True, gc=False):
    """``authorization.k8s.io/v1.SubjectAccessReviewStatus``: the answer to an access review.

    Attributes:
        allowed: whether the action is allowed.
        denied: whether it is denied explicitly. Neither allowed nor denied also means that it is rejected.
        reason: why, if the authorizer says so.
        evaluation_error: an error of the authorizer, which may not affect the answer.
    """

    allowed: bool = False
    denied: bool = False
    reason: str = ""
    evaluation_error: str = ""


class SelfSubjectAccessReview(View, frozen=True, gc=False):
    """``authorization.k8s.io/v1.SelfSubjectAccessReview``: whether the account of the request may do something."""

    status: AccessReviewStatus = AccessReviewStatus()
