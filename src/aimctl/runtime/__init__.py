"""The public API of the library: a controller-runtime-style reconciler library for asyncio.

Every public name can be imported from this package: ``from aimctl.runtime import Manager, Request, run``. A name is
loaded when it is first used, so a program pays only for the parts that it uses. ``__init__.pyi`` has the same names for
type checkers.

The packages below are layers, from the lowest to the highest: ``clock``, ``kube`` (client), ``cache`` and ``queue``,
``controller`` and ``writing``, ``manager``, ``program``. A layer imports only lower ones; import-linter enforces this.
The types of objects come from ``aimctl.kubetypes``, and the generators of manifests from ``aimctl.generation``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXPORTS: Mapping[str, str] = {
    "aimctl.generation": """
        AGE_COLUMN CelRule CustomKind EMBEDDED_OBJECT INT_OR_STRING KindVersion LIST_ATOMIC LIST_SET MAP_ATOMIC
        PRESERVE_UNKNOWN_FIELDS PrinterColumn Scale SchemaError cel_rules list_map schema_keywords
    """,
    "aimctl.generation.documents": "to_yaml",
    "aimctl.generation.roles": "policy_rules rbac_manifest role_manifest",
    "aimctl.generation.schemas": "structural_schema",
    "aimctl.kubetypes": """
        AccessReviewStatus AlreadyOwned Body CACHED_VIEWS Condition ConditionStatus DecodeError
        EncodeError InvalidOwner KubeError LocalObjectReference MetadataOnly Object ObjectKey
        ObjectMeta ObjectReference OwnerReference Pool Resource SelfSubjectAccessReview View
        add_finalizer append_owner_reference find_condition freeze has_finalizer is_newer is_true
        k8s new_condition owner_reference remove_finalizer remove_owner_reference set_condition
        set_controller_reference to_body
    """,
    "aimctl.kubetypes.builtin": "SELF_SUBJECT_ACCESS_REVIEWS",
    "aimctl.kubetypes.k8s": """
        ClusterRole ClusterRoleBinding ConfigMap CoreEvent CronJob CustomResourceDefinition
        DaemonSet Deployment EndpointSlice Event HorizontalPodAutoscaler Ingress Job Lease
        LimitRange Namespace NetworkPolicy Node PersistentVolume PersistentVolumeClaim Pod
        PodDisruptionBudget PriorityClass ReplicaSet ReplicationController ResourceQuota Role
        RoleBinding Secret Service ServiceAccount StatefulSet StorageClass
    """,
    "aimctl.kubetypes.kinds": """
        CLUSTER_ROLES CLUSTER_ROLE_BINDINGS CONFIG_MAPS CORE_EVENTS CRDS CRON_JOBS DAEMON_SETS
        DEPLOYMENTS ENDPOINT_SLICES EVENTS HORIZONTAL_POD_AUTOSCALERS INGRESSES JOBS LEASES
        LIMIT_RANGES NAMESPACES NETWORK_POLICIES NODES PERSISTENT_VOLUMES PODS
        POD_DISRUPTION_BUDGETS PRIORITY_CLASSES PVCS REPLICATION_CONTROLLERS REPLICA_SETS
        RESOURCE_QUOTAS ROLES ROLE_BINDINGS SECRETS SERVICES SERVICE_ACCOUNTS STATEFUL_SETS
        STORAGE_CLASSES
    """,
    "aimctl.kubetypes.permissions": "Permission observes owns writes_status",
    "aimctl.kubetypes.quantity": "Quantity parse_quantity",
    "aimctl.runtime.clock": "Clock LoopClock format_micro_time format_time parse_time",
    "aimctl.runtime.kube": """
        AbruptResponse Address AlreadyExists ApiError BadRequest CertificateSource Client ClientOptions
        ConfigurationError Conflict ConnectionFailed ConnectionInfo CredentialProvider Forbidden Gone HttpRequest
        HttpResponse HttpTransport Invalid MethodNotAllowed NotFound NotServed ObjectList Reader RequestObserver
        ServerError StaticCredentials TokenFile TooLarge TooManyRequests Transport Unauthorized UnsupportedMedia
        WatchEvent WatchLineTooLong WatchStalled WriteRefused environment_proxy from_kubeconfig hang_up in_cluster
        load_connection parse_retry_after proxy_login
    """,
    "aimctl.runtime.kube.discovery": "ServedApis ServedResource ServerVersion discover is_served server_version",
    "aimctl.runtime.cache": """
        Cache CacheError CacheNotSynced Change ClashingDeclaration Declaration EventHandler IndexFunction
        Informer InformerGauges InformerHealth InformerStopped LabelSelector Reflector ReflectorMetrics
        ReflectorOptions Registration Store UndeclaredKind UnknownIndex UnwatchedNamespace WatchEnd
    """,
    "aimctl.runtime.queue": """
        BucketRateLimiter DEFAULT_AGEING_SECONDS EXCEEDED_CARDINALITY_LIMIT ExponentialRateLimiter
        FastSlowRateLimiter MaxOfRateLimiter MaxWaitRateLimiter PRIORITY_DEFAULT PRIORITY_LOW QueueGauges
        QueueItem QueueMetrics QueueShutDown QueueSnapshot RateLimiter WorkQueue exponential_delay
    """,
    "aimctl.runtime.controller": """
        CacheSyncTimeout Channel Controller ControllerMetrics Created Deleted EnqueueMapped EnqueueObject
        EnqueueOwner Handler HotLoopDetector ObjectEvent Outcome Predicate RESULT_LABELS ReconcileFunc
        Reconciler Request Result RetryAfter Source Synced TerminalError Updated Watch all_of annotations_changed
        any_of changed classify current_reconcile_id generation_changed label_selector labels_changed not_
        objects_of resource_version_changed
    """,
    "aimctl.runtime.tracing": "TraceSpan Tracer",
    "aimctl.runtime.writing": "APPLIED_PREFIX Applied create_or_apply read_modify_write retry_on_conflict",
    "aimctl.runtime.manager": """
        Check ClusterCheck EVENT_PERMISSIONS Elector EventRecorder GraceExceeded LEADER_ELECTION_PERMISSIONS
        LeaderElectionOptions LeaderLost Manager ManagerOptions Page Requirements Runnable RuntimeMetrics
        SecureServing StatusSection Stoppable Warmable configure_logging lease_permissions parse_bind_address
        stop_on_signals
    """,
    "aimctl.runtime.manager.clusters": "run_managers",
    "aimctl.runtime.manager.serving.secure.access": "REVIEW_PERMISSIONS",
    "aimctl.runtime.program": """
        CannotExtend CannotRun Extension GC_THRESHOLD NotInstalled Remedies Right RunOptions Setup
        add_extensions check_requirements find_extensions new_event_loop parse_options program_manifests
        requirements_of rights_of run run_manager
    """,
}
"""The public names by the package that defines them, separated by spaces."""

_MODULES: Mapping[str, str] = {name: module for module, names in _EXPORTS.items() for name in names.split()}

__all__ = sorted(_MODULES)  # noqa: PLE0605 - __init__.pyi lists the names


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
