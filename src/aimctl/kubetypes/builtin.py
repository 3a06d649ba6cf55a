"""The built-in kinds, each with its view.

A null in a body means the same as a missing field, as in Go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from aimctl.kubetypes.core import (
    ConfigMap,
    Namespace,
    Node,
    PersistentVolumeClaim,
    Secret,
    ServiceAccount,
    StorageClass,
)
from aimctl.kubetypes.jobs import Job
from aimctl.kubetypes.machinery import CoreEvent, Crd, Event, Lease, SelfSubjectAccessReview
from aimctl.kubetypes.objects import Resource
from aimctl.kubetypes.pods import Pod

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CONFIG_MAPS",
    "CORE_EVENTS",
    "CRDS",
    "EVENTS",
    "JOBS",
    "LEASES",
    "NAMESPACES",
    "NODES",
    "PODS",
    "PVCS",
    "SECRETS",
    "SELF_SUBJECT_ACCESS_REVIEWS",
    "SERVICE_ACCOUNTS",
    "STORAGE_CLASSES",
]

T = TypeVar("T")


def _kind(
    group: str, version: str, kind: str, plural: str, view: type[T], *, namespaced: bool = True
) -> Resource[T]:
    return Resource(group, version, kind, plural, namespaced, decoder(view))


def decoder(view: type[T]) -> Callable[[bytes], T]:
    """Return the decoder of a type, for :attr:`Resource.decode`."""
    strict = msgspec.json.Decoder(view)

    def decode(raw: bytes) -> T:
        try:
            return strict.decode(raw)
        except msgspec.ValidationError:
            # A null for a field without None: in the JSON of the API it means that the field is missing.
            return msgspec.convert(_without_nulls(msgspec.json.decode(raw)), view)

    return decode


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


NAMESPACES = _kind("", "v1", "Namespace", "namespaces", Namespace, namespaced=False)
NODES = _kind("", "v1", "Node", "nodes", Node, namespaced=False)
PODS = _kind("", "v1", "Pod", "pods", Pod)
SECRETS = _kind("", "v1", "Secret", "secrets", Secret)
SERVICE_ACCOUNTS = _kind("", "v1", "ServiceAccount", "serviceaccounts", ServiceAccount)
CONFIG_MAPS = _kind("", "v1", "ConfigMap", "configmaps", ConfigMap)
CORE_EVENTS = _kind("", "v1", "Event", "events", CoreEvent)
EVENTS = _kind("events.k8s.io", "v1", "Event", "events", Event)
LEASES = _kind("coordination.k8s.io", "v1", "Lease", "leases", Lease)
JOBS = _kind("batch", "v1", "Job", "jobs", Job)
PVCS = _kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", PersistentVolumeClaim)
STORAGE_CLASSES = _kind(
    "storage.k8s.io", "v1", "StorageClass", "storageclasses", StorageClass, namespaced=False
)
CRDS = _kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    Crd,
    namespaced=False,
)
SELF_SUBJECT_ACCESS_REVIEWS = _kind(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    SelfSubjectAccessReview,
    namespaced=False,
)
"""Create one to learn whether the account of the request has a permission. The server does not store it."""
