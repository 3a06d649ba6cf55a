from aimctl.generation import AGE_COLUMN as AGE_COLUMN
from aimctl.generation import EMBEDDED_OBJECT as EMBEDDED_OBJECT
from aimctl.generation import INT_OR_STRING as INT_OR_STRING
from aimctl.generation import LIST_ATOMIC as LIST_ATOMIC
from aimctl.generation import LIST_SET as LIST_SET
from aimctl.generation import MAP_ATOMIC as MAP_ATOMIC
from aimctl.generation import PRESERVE_UNKNOWN_FIELDS as PRESERVE_UNKNOWN_FIELDS
from aimctl.generation import CelRule as CelRule
from aimctl.generation import CustomKind as CustomKind
from aimctl.generation import KindVersion as KindVersion
from aimctl.generation import PrinterColumn as PrinterColumn
from aimctl.generation import Scale as Scale
from aimctl.generation import SchemaError as SchemaError
from aimctl.generation import cel_rules as cel_rules
from aimctl.generation import list_map as list_map
from aimctl.generation import schema_keywords as schema_keywords
from aimctl.generation.documents import to_yaml as to_yaml
from aimctl.generation.roles import policy_rules as policy_rules
from aimctl.generation.roles import rbac_manifest as rbac_manifest
from aimctl.generation.roles import role_manifest as role_manifest
from aimctl.generation.schemas import structural_schema as structural_schema
from aimctl.kubetypes import CACHED_VIEWS as CACHED_VIEWS
from aimctl.kubetypes import AccessReviewStatus as AccessReviewStatus
from aimctl.kubetypes import AlreadyOwned as AlreadyOwned
from aimctl.kubetypes import Body as Body
from aimctl.kubetypes import Condition as Condition
from aimctl.kubetypes import ConditionStatus as ConditionStatus
from aimctl.kubetypes import DecodeError as DecodeError
from aimctl.kubetypes import EncodeError as EncodeError
from aimctl.kubetypes import InvalidOwner as InvalidOwner
from aimctl.kubetypes import KubeError as KubeError
from aimctl.kubetypes import LocalObjectReference as LocalObjectReference
from aimctl.kubetypes import MetadataOnly as MetadataOnly
from aimctl.kubetypes import Object as Object
from aimctl.kubetypes import ObjectKey as ObjectKey
from aimctl.kubetypes import ObjectMeta as ObjectMeta
from aimctl.kubetypes import ObjectReference as ObjectReference
from aimctl.kubetypes import OwnerReference as OwnerReference
from aimctl.kubetypes import Pool as Pool
from aimctl.kubetypes import Resource as Resource
from aimctl.kubetypes import SelfSubjectAccessReview as SelfSubjectAccessReview
from aimctl.kubetypes import View as View
from aimctl.kubetypes import add_finalizer as add_finalizer
from aimctl.kubetypes import append_owner_reference as append_owner_reference
from aimctl.kubetypes import find_condition as find_condition
from aimctl.kubetypes import freeze as freeze
from aimctl.kubetypes import has_finalizer as has_finalizer
from aimctl.kubetypes import is_newer as is_newer
from aimctl.kubetypes import is_true as is_true
from aimctl.kubetypes import k8s as k8s
from aimctl.kubetypes import new_condition as new_condition
from aimctl.kubetypes import owner_reference as owner_reference
from aimctl.kubetypes import remove_finalizer as remove_finalizer
from aimctl.kubetypes import remove_owner_reference as remove_owner_reference
from aimctl.kubetypes import set_condition as set_condition
from aimctl.kubetypes import set_controller_reference as set_controller_reference
from aimctl.kubetypes import to_body as to_body
from aimctl.kubetypes.builtin import SELF_SUBJECT_ACCESS_REVIEWS as SELF_SUBJECT_ACCESS_REVIEWS
from aimctl.kubetypes.k8s import ClusterRole as ClusterRole
from aimctl.kubetypes.k8s import ClusterRoleBinding as ClusterRoleBinding
from aimctl.kubetypes.k8s import ConfigMap as ConfigMap
from aimctl.kubetypes.k8s import CoreEvent as CoreEvent
from aimctl.kubetypes.k8s import CronJob as CronJob
from aimctl.kubetypes.k8s import CustomResourceDefinition as CustomResourceDefinition
from aimctl.kubetypes.k8s import DaemonSet as DaemonSet
from aimctl.kubetypes.k8s import Deployment as Deployment
from aimctl.kubetypes.k8s import EndpointSlice as EndpointSlice
from aimctl.kubetypes.k8s import Event as Event
from aimctl.kubetypes.k8s import HorizontalPodAutoscaler as HorizontalPodAutoscaler
from aimctl.kubetypes.k8s import Ingress as Ingress
from aimctl.kubetypes.k8s import Job as Job
from aimctl.kubetypes.k8s import Lease as Lease
from aimctl.kubetypes.k8s import LimitRange as LimitRange
from aimctl.kubetypes.k8s import Namespace as Namespace
from aimctl.kubetypes.k8s import NetworkPolicy as NetworkPolicy
from aimctl.kubetypes.k8s import Node as Node
from aimctl.kubetypes.k8s import PersistentVolume as PersistentVolume
from aimctl.kubetypes.k8s import PersistentVolumeClaim as PersistentVolumeClaim
from aimctl.kubetypes.k8s import Pod as Pod
from aimctl.kubetypes.k8s import PodDisruptionBudget as PodDisruptionBudget
from aimctl.kubetypes.k8s import PriorityClass as PriorityClass
from aimctl.kubetypes.k8s import ReplicaSet as ReplicaSet
from aimctl.kubetypes.k8s import ReplicationController as ReplicationController
from aimctl.kubetypes.k8s import ResourceQuota as ResourceQuota
from aimctl.kubetypes.k8s import Role as Role
from aimctl.kubetypes.k8s import RoleBinding as RoleBinding
from aimctl.kubetypes.k8s import Secret as Secret
from aimctl.kubetypes.k8s import Service as Service
from aimctl.kubetypes.k8s import ServiceAccount as ServiceAccount
from aimctl.kubetypes.k8s import StatefulSet as StatefulSet
from aimctl.kubetypes.k8s import StorageClass as StorageClass
from aimctl.kubetypes.kinds import CLUSTER_ROLE_BINDINGS as CLUSTER_ROLE_BINDINGS
from aimctl.kubetypes.kinds import CLUSTER_ROLES as CLUSTER_ROLES
from aimctl.kubetypes.kinds import CONFIG_MAPS as CONFIG_MAPS
from aimctl.kubetypes.kinds import CORE_EVENTS as CORE_EVENTS
from aimctl.kubetypes.kinds import CRDS as CRDS
from aimctl.kubetypes.kinds import CRON_JOBS as CRON_JOBS
from aimctl.kubetypes.kinds import DAEMON_SETS as DAEMON_SETS
from aimctl.kubetypes.kinds import DEPLOYMENTS as DEPLOYMENTS
from aimctl.kubetypes.kinds import ENDPOINT_SLICES as ENDPOINT_SLICES
from aimctl.kubetypes.kinds import EVENTS as EVENTS
from aimctl.kubetypes.kinds import HORIZONTAL_POD_AUTOSCALERS as HORIZONTAL_POD_AUTOSCALERS
from aimctl.kubetypes.kinds import INGRESSES as INGRESSES
from aimctl.kubetypes.kinds import JOBS as JOBS
from aimctl.kubetypes.kinds import LEASES as LEASES
from aimctl.kubetypes.kinds import LIMIT_RANGES as LIMIT_RANGES
from aimctl.kubetypes.kinds import NAMESPACES as NAMESPACES
from aimctl.kubetypes.kinds import NETWORK_POLICIES as NETWORK_POLICIES
from aimctl.kubetypes.kinds import NODES as NODES
from aimctl.kubetypes.kinds import PERSISTENT_VOLUMES as PERSISTENT_VOLUMES
from aimctl.kubetypes.kinds import POD_DISRUPTION_BUDGETS as POD_DISRUPTION_BUDGETS
from aimctl.kubetypes.kinds import PODS as PODS
from aimctl.kubetypes.kinds import PRIORITY_CLASSES as PRIORITY_CLASSES
from aimctl.kubetypes.kinds import PVCS as PVCS
from aimctl.kubetypes.kinds import REPLICA_SETS as REPLICA_SETS
from aimctl.kubetypes.kinds import REPLICATION_CONTROLLERS as REPLICATION_CONTROLLERS
from aimctl.kubetypes.kinds import RESOURCE_QUOTAS as RESOURCE_QUOTAS
from aimctl.kubetypes.kinds import ROLE_BINDINGS as ROLE_BINDINGS
from aimctl.kubetypes.kinds import ROLES as ROLES
from aimctl.kubetypes.kinds import SECRETS as SECRETS
from aimctl.kubetypes.kinds import SERVICE_ACCOUNTS as SERVICE_ACCOUNTS
from aimctl.kubetypes.kinds import SERVICES as SERVICES
from aimctl.kubetypes.kinds import STATEFUL_SETS as STATEFUL_SETS
from aimctl.kubetypes.kinds import STORAGE_CLASSES as STORAGE_CLASSES
from aimctl.kubetypes.permissions import Permission as Permission
from aimctl.kubetypes.permissions import observes as observes
from aimctl.kubetypes.permissions import owns as owns
from aimctl.kubetypes.permissions import writes_status as writes_status
from aimctl.kubetypes.quantity import Quantity as Quantity
from aimctl.kubetypes.quantity import parse_quantity as parse_quantity
from aimctl.runtime.cache import Cache as Cache
from aimctl.runtime.cache import CacheError as CacheError
from aimctl.runtime.cache import CacheNotSynced as CacheNotSynced
from aimctl.runtime.cache import Change as Change
from aimctl.runtime.cache import ClashingDeclaration as ClashingDeclaration
from aimctl.runtime.cache import Declaration as Declaration
from aimctl.runtime.cache import EventHandler as EventHandler
from aimctl.runtime.cache import IndexFunction as IndexFunction
from aimctl.runtime.cache import Informer as Informer
from aimctl.runtime.cache import InformerGauges as InformerGauges
from aimctl.runtime.cache import InformerHealth as InformerHealth
from aimctl.runtime.cache import InformerStopped as InformerStopped
from aimctl.runtime.cache import LabelSelector as LabelSelector
from aimctl.runtime.cache import Reflector as Reflector
from aimctl.runtime.cache import ReflectorMetrics as ReflectorMetrics
from aimctl.runtime.cache import ReflectorOptions as ReflectorOptions
from aimctl.runtime.cache import Registration as Registration
from aimctl.runtime.cache import Store as Store
from aimctl.runtime.cache import UndeclaredKind as UndeclaredKind
from aimctl.runtime.cache import UnknownIndex as UnknownIndex
from aimctl.runtime.cache import UnwatchedNamespace as UnwatchedNamespace
from aimctl.runtime.cache import WatchEnd as WatchEnd
from aimctl.runtime.clock import Clock as Clock
from aimctl.runtime.clock import LoopClock as LoopClock
from aimctl.runtime.clock import format_micro_time as format_micro_time
from aimctl.runtime.clock import format_time as format_time
from aimctl.runtime.clock import parse_time as parse_time
from aimctl.runtime.controller import RESULT_LABELS as RESULT_LABELS
from aimctl.runtime.controller import CacheSyncTimeout as CacheSyncTimeout
from aimctl.runtime.controller import Channel as Channel
from aimctl.runtime.controller import Controller as Controller
from aimctl.runtime.controller import ControllerMetrics as ControllerMetrics
from aimctl.runtime.controller import Created as Created
from aimctl.runtime.controller import Deleted as Deleted
from aimctl.runtime.controller import EnqueueMapped as EnqueueMapped
from aimctl.runtime.controller import EnqueueObject as EnqueueObject
from aimctl.runtime.controller import EnqueueOwner as EnqueueOwner
from aimctl.runtime.controller import Handler as Handler
from aimctl.runtime.controller import HotLoopDetector as HotLoopDetector
from aimctl.runtime.controller import ObjectEvent as ObjectEvent
from aimctl.runtime.controller import Outcome as Outcome
from aimctl.runtime.controller import Predicate as Predicate
from aimctl.runtime.controller import ReconcileFunc as ReconcileFunc
from aimctl.runtime.controller import Reconciler as Reconciler
from aimctl.runtime.controller import Request as Request
from aimctl.runtime.controller import Result as Result
from aimctl.runtime.controller import RetryAfter as RetryAfter
from aimctl.runtime.controller import Source as Source
from aimctl.runtime.controller import Synced as Synced
from aimctl.runtime.controller import TerminalError as TerminalError
from aimctl.runtime.controller import Updated as Updated
from aimctl.runtime.controller import Watch as Watch
from aimctl.runtime.controller import all_of as all_of
from aimctl.runtime.controller import annotations_changed as annotations_changed
from aimctl.runtime.controller import any_of as any_of
from aimctl.runtime.controller import changed as changed
from aimctl.runtime.controller import classify as classify
from aimctl.runtime.controller import current_reconcile_id as current_reconcile_id
from aimctl.runtime.controller import generation_changed as generation_changed
from aimctl.runtime.controller import label_selector as label_selector
from aimctl.runtime.controller import labels_changed as labels_changed
from aimctl.runtime.controller import not_ as not_
from aimctl.runtime.controller import objects_of as objects_of
from aimctl.runtime.controller import resource_version_changed as resource_version_changed
from aimctl.runtime.kube import AbruptResponse as AbruptResponse
from aimctl.runtime.kube import Address as Address
from aimctl.runtime.kube import AlreadyExists as AlreadyExists
from aimctl.runtime.kube import ApiError as ApiError
from aimctl.runtime.kube import BadRequest as BadRequest
from aimctl.runtime.kube import CertificateSource as CertificateSource
from aimctl.runtime.kube import Client as Client
from aimctl.runtime.kube import ClientOptions as ClientOptions
from aimctl.runtime.kube import ConfigurationError as ConfigurationError
from aimctl.runtime.kube import Conflict as Conflict
from aimctl.runtime.kube import ConnectionFailed as ConnectionFailed
from aimctl.runtime.kube import ConnectionInfo as ConnectionInfo
from aimctl.runtime.kube import CredentialProvider as CredentialProvider
from aimctl.runtime.kube import Forbidden as Forbidden
from aimctl.runtime.kube import Gone as Gone
from aimctl.runtime.kube import HttpRequest as HttpRequest
from aimctl.runtime.kube import HttpResponse as HttpResponse
from aimctl.runtime.kube import HttpTransport as HttpTransport
from aimctl.runtime.kube import Invalid as Invalid
from aimctl.runtime.kube import MethodNotAllowed as MethodNotAllowed
from aimctl.runtime.kube import NotFound as NotFound
from aimctl.runtime.kube import NotServed as NotServed
from aimctl.runtime.kube import ObjectList as ObjectList
from aimctl.runtime.kube import Reader as Reader
from aimctl.runtime.kube import RequestObserver as RequestObserver
from aimctl.runtime.kube import ServerError as ServerError
from aimctl.runtime.kube import StaticCredentials as StaticCredentials
from aimctl.runtime.kube import TokenFile as TokenFile
from aimctl.runtime.kube import TooLarge as TooLarge
from aimctl.runtime.kube import TooManyRequests as TooManyRequests
from aimctl.runtime.kube import Transport as Transport
from aimctl.runtime.kube import Unauthorized as Unauthorized
from aimctl.runtime.kube import UnsupportedMedia as UnsupportedMedia
from aimctl.runtime.kube import WatchEvent as WatchEvent
from aimctl.runtime.kube import WatchLineTooLong as WatchLineTooLong
from aimctl.runtime.kube import WatchStalled as WatchStalled
from aimctl.runtime.kube import WriteRefused as WriteRefused
from aimctl.runtime.kube import environment_proxy as environment_proxy
from aimctl.runtime.kube import from_kubeconfig as from_kubeconfig
from aimctl.runtime.kube import hang_up as hang_up
from aimctl.runtime.kube import in_cluster as in_cluster
from aimctl.runtime.kube import load_connection as load_connection
from aimctl.runtime.kube import parse_retry_after as parse_retry_after
from aimctl.runtime.kube import proxy_login as proxy_login
from aimctl.runtime.kube.discovery import ServedApis as ServedApis
from aimctl.runtime.kube.discovery import ServedResource as ServedResource
from aimctl.runtime.kube.discovery import ServerVersion as ServerVersion
from aimctl.runtime.kube.discovery import discover as discover
from aimctl.runtime.kube.discovery import is_served as is_served
from aimctl.runtime.kube.discovery import server_version as server_version
from aimctl.runtime.manager import EVENT_PERMISSIONS as EVENT_PERMISSIONS
from aimctl.runtime.manager import LEADER_ELECTION_PERMISSIONS as LEADER_ELECTION_PERMISSIONS
from aimctl.runtime.manager import Check as Check
from aimctl.runtime.manager import ClusterCheck as ClusterCheck
from aimctl.runtime.manager import Elector as Elector
from aimctl.runtime.manager import EventRecorder as EventRecorder
from aimctl.runtime.manager import GraceExceeded as GraceExceeded
from aimctl.runtime.manager import LeaderElectionOptions as LeaderElectionOptions
from aimctl.runtime.manager import LeaderLost as LeaderLost
from aimctl.runtime.manager import Manager as Manager
from aimctl.runtime.manager import ManagerOptions as ManagerOptions
from aimctl.runtime.manager import Page as Page
from aimctl.runtime.manager import Requirements as Requirements
from aimctl.runtime.manager import Runnable as Runnable
from aimctl.runtime.manager import RuntimeMetrics as RuntimeMetrics
from aimctl.runtime.manager import SecureServing as SecureServing
from aimctl.runtime.manager import StatusSection as StatusSection
from aimctl.runtime.manager import Stoppable as Stoppable
from aimctl.runtime.manager import Warmable as Warmable
from aimctl.runtime.manager import configure_logging as configure_logging
from aimctl.runtime.manager import lease_permissions as lease_permissions
from aimctl.runtime.manager import parse_bind_address as parse_bind_address
from aimctl.runtime.manager import stop_on_signals as stop_on_signals
from aimctl.runtime.manager.clusters import run_managers as run_managers
from aimctl.runtime.manager.serving.secure.access import REVIEW_PERMISSIONS as REVIEW_PERMISSIONS
from aimctl.runtime.program import GC_THRESHOLD as GC_THRESHOLD
from aimctl.runtime.program import CannotExtend as CannotExtend
from aimctl.runtime.program import CannotRun as CannotRun
from aimctl.runtime.program import Extension as Extension
from aimctl.runtime.program import NotInstalled as NotInstalled
from aimctl.runtime.program import Remedies as Remedies
from aimctl.runtime.program import Right as Right
from aimctl.runtime.program import RunOptions as RunOptions
from aimctl.runtime.program import Setup as Setup
from aimctl.runtime.program import add_extensions as add_extensions
from aimctl.runtime.program import check_requirements as check_requirements
from aimctl.runtime.program import find_extensions as find_extensions
from aimctl.runtime.program import new_event_loop as new_event_loop
from aimctl.runtime.program import parse_options as parse_options
from aimctl.runtime.program import program_manifests as program_manifests
from aimctl.runtime.program import requirements_of as requirements_of
from aimctl.runtime.program import rights_of as rights_of
from aimctl.runtime.program import run as run
from aimctl.runtime.program import run_manager as run_manager
from aimctl.runtime.queue import DEFAULT_AGEING_SECONDS as DEFAULT_AGEING_SECONDS
from aimctl.runtime.queue import EXCEEDED_CARDINALITY_LIMIT as EXCEEDED_CARDINALITY_LIMIT
from aimctl.runtime.queue import PRIORITY_DEFAULT as PRIORITY_DEFAULT
from aimctl.runtime.queue import PRIORITY_LOW as PRIORITY_LOW
from aimctl.runtime.queue import BucketRateLimiter as BucketRateLimiter
from aimctl.runtime.queue import ExponentialRateLimiter as ExponentialRateLimiter
from aimctl.runtime.queue import FastSlowRateLimiter as FastSlowRateLimiter
from aimctl.runtime.queue import MaxOfRateLimiter as MaxOfRateLimiter
from aimctl.runtime.queue import MaxWaitRateLimiter as MaxWaitRateLimiter
from aimctl.runtime.queue import QueueGauges as QueueGauges
from aimctl.runtime.queue import QueueItem as QueueItem
from aimctl.runtime.queue import QueueMetrics as QueueMetrics
from aimctl.runtime.queue import QueueShutDown as QueueShutDown
from aimctl.runtime.queue import QueueSnapshot as QueueSnapshot
from aimctl.runtime.queue import RateLimiter as RateLimiter
from aimctl.runtime.queue import WorkQueue as WorkQueue
from aimctl.runtime.queue import exponential_delay as exponential_delay
from aimctl.runtime.tracing import Tracer as Tracer
from aimctl.runtime.tracing import TraceSpan as TraceSpan
from aimctl.runtime.writing import APPLIED_PREFIX as APPLIED_PREFIX
from aimctl.runtime.writing import Applied as Applied
from aimctl.runtime.writing import create_or_apply as create_or_apply
from aimctl.runtime.writing import read_modify_write as read_modify_write
from aimctl.runtime.writing import retry_on_conflict as retry_on_conflict

__all__ = [
    "AGE_COLUMN",
    "APPLIED_PREFIX",
    "CACHED_VIEWS",
    "CLUSTER_ROLES",
    "CLUSTER_ROLE_BINDINGS",
    "CONFIG_MAPS",
    "CORE_EVENTS",
    "CRDS",
    "CRON_JOBS",
    "DAEMON_SETS",
    "DEFAULT_AGEING_SECONDS",
    "DEPLOYMENTS",
    "EMBEDDED_OBJECT",
    "ENDPOINT_SLICES",
    "EVENTS",
    "EVENT_PERMISSIONS",
    "EXCEEDED_CARDINALITY_LIMIT",
    "GC_THRESHOLD",
    "HORIZONTAL_POD_AUTOSCALERS",
    "INGRESSES",
    "INT_OR_STRING",
    "JOBS",
    "LEADER_ELECTION_PERMISSIONS",
    "LEASES",
    "LIMIT_RANGES",
    "LIST_ATOMIC",
    "LIST_SET",
    "MAP_ATOMIC",
    "NAMESPACES",
    "NETWORK_POLICIES",
    "NODES",
    "PERSISTENT_VOLUMES",
    "PODS",
    "POD_DISRUPTION_BUDGETS",
    "PRESERVE_UNKNOWN_FIELDS",
    "PRIORITY_CLASSES",
    "PRIORITY_DEFAULT",
    "PRIORITY_LOW",
    "PVCS",
    "REPLICATION_CONTROLLERS",
    "REPLICA_SETS",
    "RESOURCE_QUOTAS",
    "RESULT_LABELS",
    "REVIEW_PERMISSIONS",
    "ROLES",
    "ROLE_BINDINGS",
    "SECRETS",
    "SELF_SUBJECT_ACCESS_REVIEWS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "STATEFUL_SETS",
    "STORAGE_CLASSES",
    "AbruptResponse",
    "AccessReviewStatus",
    "Address",
    "AlreadyExists",
    "AlreadyOwned",
    "ApiError",
    "Applied",
    "BadRequest",
    "Body",
    "BucketRateLimiter",
    "Cache",
    "CacheError",
    "CacheNotSynced",
    "CacheSyncTimeout",
    "CannotExtend",
    "CannotRun",
    "CelRule",
    "CertificateSource",
    "Change",
    "Channel",
    "Check",
    "ClashingDeclaration",
    "Client",
    "ClientOptions",
    "Clock",
    "ClusterCheck",
    "ClusterRole",
    "ClusterRoleBinding",
    "Condition",
    "ConditionStatus",
    "ConfigMap",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "ConnectionInfo",
    "Controller",
    "ControllerMetrics",
    "CoreEvent",
    "Created",
    "CredentialProvider",
    "CronJob",
    "CustomKind",
    "CustomResourceDefinition",
    "DaemonSet",
    "Declaration",
    "DecodeError",
    "Deleted",
    "Deployment",
    "Elector",
    "EncodeError",
    "EndpointSlice",
    "EnqueueMapped",
    "EnqueueObject",
    "EnqueueOwner",
    "Event",
    "EventHandler",
    "EventRecorder",
    "ExponentialRateLimiter",
    "Extension",
    "FastSlowRateLimiter",
    "Forbidden",
    "Gone",
    "GraceExceeded",
    "Handler",
    "HorizontalPodAutoscaler",
    "HotLoopDetector",
    "HttpRequest",
    "HttpResponse",
    "HttpTransport",
    "IndexFunction",
    "Informer",
    "InformerGauges",
    "InformerHealth",
    "InformerStopped",
    "Ingress",
    "Invalid",
    "InvalidOwner",
    "Job",
    "KindVersion",
    "KubeError",
    "LabelSelector",
    "LeaderElectionOptions",
    "LeaderLost",
    "Lease",
    "LimitRange",
    "LocalObjectReference",
    "LoopClock",
    "Manager",
    "ManagerOptions",
    "MaxOfRateLimiter",
    "MaxWaitRateLimiter",
    "MetadataOnly",
    "MethodNotAllowed",
    "Namespace",
    "NetworkPolicy",
    "Node",
    "NotFound",
    "NotInstalled",
    "NotServed",
    "Object",
    "ObjectEvent",
    "ObjectKey",
    "ObjectList",
    "ObjectMeta",
    "ObjectReference",
    "Outcome",
    "OwnerReference",
    "Page",
    "Permission",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Pod",
    "PodDisruptionBudget",
    "Pool",
    "Predicate",
    "PrinterColumn",
    "PriorityClass",
    "Quantity",
    "QueueGauges",
    "QueueItem",
    "QueueMetrics",
    "QueueShutDown",
    "QueueSnapshot",
    "RateLimiter",
    "Reader",
    "ReconcileFunc",
    "Reconciler",
    "Reflector",
    "ReflectorMetrics",
    "ReflectorOptions",
    "Registration",
    "Remedies",
    "ReplicaSet",
    "ReplicationController",
    "Request",
    "RequestObserver",
    "Requirements",
    "Resource",
    "ResourceQuota",
    "Result",
    "RetryAfter",
    "Right",
    "Role",
    "RoleBinding",
    "RunOptions",
    "Runnable",
    "RuntimeMetrics",
    "Scale",
    "SchemaError",
    "Secret",
    "SecureServing",
    "SelfSubjectAccessReview",
    "ServedApis",
    "ServedResource",
    "ServerError",
    "ServerVersion",
    "Service",
    "ServiceAccount",
    "Setup",
    "Source",
    "StatefulSet",
    "StaticCredentials",
    "StatusSection",
    "Stoppable",
    "StorageClass",
    "Store",
    "Synced",
    "TerminalError",
    "TokenFile",
    "TooLarge",
    "TooManyRequests",
    "TraceSpan",
    "Tracer",
    "Transport",
    "Unauthorized",
    "UndeclaredKind",
    "UnknownIndex",
    "UnsupportedMedia",
    "UnwatchedNamespace",
    "Updated",
    "View",
    "Warmable",
    "Watch",
    "WatchEnd",
    "WatchEvent",
    "WatchLineTooLong",
    "WatchStalled",
    "WorkQueue",
    "WriteRefused",
    "add_extensions",
    "add_finalizer",
    "all_of",
    "annotations_changed",
    "any_of",
    "append_owner_reference",
    "cel_rules",
    "changed",
    "check_requirements",
    "classify",
    "configure_logging",
    "create_or_apply",
    "current_reconcile_id",
    "discover",
    "environment_proxy",
    "exponential_delay",
    "find_condition",
    "find_extensions",
    "format_micro_time",
    "format_time",
    "freeze",
    "from_kubeconfig",
    "generation_changed",
    "hang_up",
    "has_finalizer",
    "in_cluster",
    "is_newer",
    "is_served",
    "is_true",
    "k8s",
    "label_selector",
    "labels_changed",
    "lease_permissions",
    "list_map",
    "load_connection",
    "new_condition",
    "new_event_loop",
    "not_",
    "objects_of",
    "observes",
    "owner_reference",
    "owns",
    "parse_bind_address",
    "parse_options",
    "parse_quantity",
    "parse_retry_after",
    "parse_time",
    "policy_rules",
    "program_manifests",
    "proxy_login",
    "rbac_manifest",
    "read_modify_write",
    "remove_finalizer",
    "remove_owner_reference",
    "requirements_of",
    "resource_version_changed",
    "retry_on_conflict",
    "rights_of",
    "role_manifest",
    "run",
    "run_manager",
    "run_managers",
    "schema_keywords",
    "server_version",
    "set_condition",
    "set_controller_reference",
    "stop_on_signals",
    "structural_schema",
    "to_body",
    "to_yaml",
    "writes_status",
]
