"""Types of core kinds, except Pods: namespaces, nodes, configuration and volume claims; storage classes."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations at run time

import msgspec

from aimctl.kubetypes.view import Condition, LocalObjectReference, View

__all__ = [
    "ConfigMap",
    "Namespace",
    "NamespaceStatus",
    "Node",
    "NodeSpec",
    "NodeStatus",
    "PersistentVolumeClaim",
    "PvcResources",
    "PvcSpec",
    "PvcStatus",
    "Secret",
    "ServiceAccount",
    "StorageClass",
    "Taint",
]


class NamespaceStatus(View, frozen=True, gc=False):
    """``phase`` is Active or Terminating."""

    phase: str = ""


class Namespace(View, frozen=True, gc=False):
    """``core/v1.Namespace``."""

    status: NamespaceStatus = NamespaceStatus()


class Taint(View, frozen=True, gc=False):
    """``core/v1.Taint``."""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(View, frozen=True, gc=False):
    """What prevents pods from being scheduled to a node."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] | None = None


class NodeStatus(View, frozen=True, gc=False):
    """Quantities are as the server writes them."""

    capacity: Mapping[str, str] | None = None
    allocatable: Mapping[str, str] | None = None
    conditions: tuple[Condition, ...] | None = None


class Node(View, frozen=True, gc=False):
    """``core/v1.Node``; its labels are in the metadata."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class Secret(msgspec.Struct, frozen=True):
    """``core/v1.Secret``."""

    type: str = ""
    data: Mapping[str, bytes] | None = None

    def __repr__(self) -> str:
        return f"Secret(type={self.type!r}, data of {len(self.data or ())} keys)"


class ServiceAccount(View, frozen=True, gc=False):
    """``core/v1.ServiceAccount``."""

    image_pull_secrets: tuple[LocalObjectReference, ...] | None = None


class ConfigMap(View, frozen=True, gc=False):
    """``core/v1.ConfigMap``."""

    data: Mapping[str, str] | None = None


class PvcResources(View, frozen=True, gc=False):
    """The requested quantities."""

    requests: Mapping[str, str] | None = None


class PvcSpec(View, frozen=True, gc=False):
    """``core/v1.PersistentVolumeClaimSpec``."""

    access_modes: tuple[str, ...] | None = None
    resources: PvcResources = PvcResources()
    storage_class_name: str | None = None
    volume_name: str | None = None


class PvcStatus(View, frozen=True, gc=False):
    """``phase`` is Pending, Bound or Lost."""

    phase: str = ""
    capacity: Mapping[str, str] | None = None
    conditions: tuple[Condition, ...] | None = None


class PersistentVolumeClaim(View, frozen=True, gc=False):
    """``core/v1.PersistentVolumeClaim``."""

    spec: PvcSpec = PvcSpec()
    status: PvcStatus = PvcStatus()


class StorageClass(View, frozen=True, gc=False):
    """``storage.k8s.io/v1.StorageClass``."""

    provisioner: str = ""
    volume_binding_mode: str = ""
    allow_volume_expansion: bool | None = None
