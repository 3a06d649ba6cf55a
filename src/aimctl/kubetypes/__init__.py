"""The types that all layers share: objects of the API, their metadata, and the built-in kinds that are read.

This package does no I/O and imports only the standard library and msgspec. An :class:`Object` is what the cache of the
runtime stores and what the decisions of an operator look at.

``aimctl.kubetypes.builtin`` has the :class:`Resource` of each built-in kind, ``aimctl.kubetypes.quantity`` reads and
writes quantities.
"""

from __future__ import annotations

from aimctl.kubetypes.core import ConfigMap as ConfigMap
from aimctl.kubetypes.core import Namespace as Namespace
from aimctl.kubetypes.core import NamespaceStatus as NamespaceStatus
from aimctl.kubetypes.core import Node as Node
from aimctl.kubetypes.core import NodeSpec as NodeSpec
from aimctl.kubetypes.core import NodeStatus as NodeStatus
from aimctl.kubetypes.core import PersistentVolumeClaim as PersistentVolumeClaim
from aimctl.kubetypes.core import PvcResources as PvcResources
from aimctl.kubetypes.core import PvcSpec as PvcSpec
from aimctl.kubetypes.core import PvcStatus as PvcStatus
from aimctl.kubetypes.core import Secret as Secret
from aimctl.kubetypes.core import ServiceAccount as ServiceAccount
from aimctl.kubetypes.core import StorageClass as StorageClass
from aimctl.kubetypes.core import Taint as Taint
from aimctl.kubetypes.errors import DecodeError as DecodeError
from aimctl.kubetypes.errors import KubeError as KubeError
from aimctl.kubetypes.errors import MetadataOnly as MetadataOnly
from aimctl.kubetypes.jobs import Job as Job
from aimctl.kubetypes.jobs import JobSpec as JobSpec
from aimctl.kubetypes.jobs import JobStatus as JobStatus
from aimctl.kubetypes.machinery import AccessReviewStatus as AccessReviewStatus
from aimctl.kubetypes.machinery import CoreEvent as CoreEvent
from aimctl.kubetypes.machinery import Crd as Crd
from aimctl.kubetypes.machinery import CrdNames as CrdNames
from aimctl.kubetypes.machinery import CrdSpec as CrdSpec
from aimctl.kubetypes.machinery import CrdStatus as CrdStatus
from aimctl.kubetypes.machinery import CrdVersion as CrdVersion
from aimctl.kubetypes.machinery import Event as Event
from aimctl.kubetypes.machinery import EventSeries as EventSeries
from aimctl.kubetypes.machinery import EventSource as EventSource
from aimctl.kubetypes.machinery import Lease as Lease
from aimctl.kubetypes.machinery import LeaseSpec as LeaseSpec
from aimctl.kubetypes.machinery import SelfSubjectAccessReview as SelfSubjectAccessReview
from aimctl.kubetypes.meta import ObjectKey as ObjectKey
from aimctl.kubetypes.meta import ObjectMeta as ObjectMeta
from aimctl.kubetypes.meta import OwnerReference as OwnerReference
from aimctl.kubetypes.objects import CACHED_VIEWS as CACHED_VIEWS
from aimctl.kubetypes.objects import Object as Object
from aimctl.kubetypes.objects import Pool as Pool
from aimctl.kubetypes.objects import Resource as Resource
from aimctl.kubetypes.objects import freeze as freeze
from aimctl.kubetypes.objects import is_newer as is_newer
from aimctl.kubetypes.owners import owner_reference as owner_reference
from aimctl.kubetypes.pods import ClaimVolume as ClaimVolume
from aimctl.kubetypes.pods import Container as Container
from aimctl.kubetypes.pods import ContainerState as ContainerState
from aimctl.kubetypes.pods import ContainerStatus as ContainerStatus
from aimctl.kubetypes.pods import Pod as Pod
from aimctl.kubetypes.pods import PodSpec as PodSpec
from aimctl.kubetypes.pods import PodStatus as PodStatus
from aimctl.kubetypes.pods import StateRunning as StateRunning
from aimctl.kubetypes.pods import StateTerminated as StateTerminated
from aimctl.kubetypes.pods import StateWaiting as StateWaiting
from aimctl.kubetypes.pods import Volume as Volume
from aimctl.kubetypes.view import Condition as Condition
from aimctl.kubetypes.view import LocalObjectReference as LocalObjectReference
from aimctl.kubetypes.view import ObjectReference as ObjectReference
from aimctl.kubetypes.view import View as View
from aimctl.kubetypes.view import find_condition as find_condition

__all__ = [
    "CACHED_VIEWS",
    "AccessReviewStatus",
    "ClaimVolume",
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
    "DecodeError",
    "Event",
    "EventSeries",
    "EventSource",
    "Job",
    "JobSpec",
    "JobStatus",
    "KubeError",
    "Lease",
    "LeaseSpec",
    "LocalObjectReference",
    "MetadataOnly",
    "Namespace",
    "NamespaceStatus",
    "Node",
    "NodeSpec",
    "NodeStatus",
    "Object",
    "ObjectKey",
    "ObjectMeta",
    "ObjectReference",
    "OwnerReference",
    "PersistentVolumeClaim",
    "Pod",
    "PodSpec",
    "PodStatus",
    "Pool",
    "PvcResources",
    "PvcSpec",
    "PvcStatus",
    "Resource",
    "Secret",
    "SelfSubjectAccessReview",
    "ServiceAccount",
    "StateRunning",
    "StateTerminated",
    "StateWaiting",
    "StorageClass",
    "Taint",
    "View",
    "Volume",
    "find_condition",
    "freeze",
    "is_newer",
    "owner_reference",
]
