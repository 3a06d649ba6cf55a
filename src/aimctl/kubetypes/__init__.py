"""The types that all layers share: objects of the API, their metadata, and the built-in kinds that are read.

This package does no I/O and imports only the standard library and msgspec. An :class:`Object` is what the cache of the
runtime stores and what the decisions of an operator look at.

``aimctl.kubetypes.kinds`` has the :class:`Resource` of each common built-in kind; the types of their views, in
``aimctl.kubetypes.k8s``, have all fields. The types in this module and the Resources in ``aimctl.kubetypes.builtin``
have only the fields that the project itself reads, which is faster. ``aimctl.kubetypes.quantity`` reads and writes
quantities.
"""

from __future__ import annotations

from aimctl.kubetypes import k8s as k8s
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
from aimctl.kubetypes.errors import AlreadyOwned as AlreadyOwned
from aimctl.kubetypes.errors import DecodeError as DecodeError
from aimctl.kubetypes.errors import EncodeError as EncodeError
from aimctl.kubetypes.errors import InvalidOwner as InvalidOwner
from aimctl.kubetypes.errors import KubeError as KubeError
from aimctl.kubetypes.errors import MetadataOnly as MetadataOnly
from aimctl.kubetypes.helpers.bodies import Body as Body
from aimctl.kubetypes.helpers.bodies import to_body as to_body
from aimctl.kubetypes.helpers.conditions import ConditionStatus as ConditionStatus
from aimctl.kubetypes.helpers.conditions import find_condition as find_condition
from aimctl.kubetypes.helpers.conditions import is_true as is_true
from aimctl.kubetypes.helpers.conditions import new_condition as new_condition
from aimctl.kubetypes.helpers.conditions import set_condition as set_condition
from aimctl.kubetypes.helpers.finalizers import add_finalizer as add_finalizer
from aimctl.kubetypes.helpers.finalizers import has_finalizer as has_finalizer
from aimctl.kubetypes.helpers.finalizers import remove_finalizer as remove_finalizer
from aimctl.kubetypes.helpers.owners import append_owner_reference as append_owner_reference
from aimctl.kubetypes.helpers.owners import owner_reference as owner_reference
from aimctl.kubetypes.helpers.owners import remove_owner_reference as remove_owner_reference
from aimctl.kubetypes.helpers.owners import set_controller_reference as set_controller_reference
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

__all__ = [
    "CACHED_VIEWS",
    "AccessReviewStatus",
    "AlreadyOwned",
    "Body",
    "ClaimVolume",
    "Condition",
    "ConditionStatus",
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
    "EncodeError",
    "Event",
    "EventSeries",
    "EventSource",
    "InvalidOwner",
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
    "add_finalizer",
    "append_owner_reference",
    "find_condition",
    "freeze",
    "has_finalizer",
    "is_newer",
    "is_true",
    "k8s",
    "new_condition",
    "owner_reference",
    "remove_finalizer",
    "remove_owner_reference",
    "set_condition",
    "set_controller_reference",
    "to_body",
]
