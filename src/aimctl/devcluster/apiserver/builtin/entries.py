"""The built-in kinds and the OpenAPI definitions of their structures, as in Kubernetes 1.36.

Contract:
    * :data:`ENTRIES` has one entry per kind and version, in the order of discovery. Kinds with only the verb ``create``
      are not stored.
    * :func:`definitions` has the definition of every kind and of every structure that it consists of.
    * :func:`empty_object` has the structures that every object of a definition contains.
    * :func:`structures_of` finds the structures of some definitions in an object. Parts of the object below which there
      are none are not visited.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, final

import msgspec

from aimctl.devcluster.apiserver.objects.empties import EMPTIES
from aimctl.devcluster.apiserver.objects.kinds import ALL_VERBS
from aimctl.devcluster.apiserver.schema.meta import OBJECT_META_SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "ENTRIES",
    "EXTENSIONS",
    "OBJECT_META",
    "Entry",
    "definition_of",
    "definitions",
    "empty_object",
    "structures_of",
]

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """One built-in kind at one version.

    Attributes:
        description: for ``kubectl explain``.
        short: the short names.
        status: whether it has the subresource ``status``.
        scalable: whether it has the subresource ``scale``.
        storage_key: the name of the collection, if another kind or version shares it.
        storage_version: the apiVersion of stored objects, if it is not that of the entry.
    """

    kind: str
    plural: str
    description: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False
    scalable: bool = False
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    storage_key: str = ""
    storage_version: str = ""


_CREATE_ONLY = ("create",)
_NO_COLLECTION_DELETE = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")
_ALL, _EXTENSIONS = ("all",), ("api-extensions",)


_cluster = partial(Entry, namespaced=False)


def _review(plural: str, kind: str, description: str, group: str, *, namespaced: bool = False) -> Entry:
    return Entry(kind, plural, description, group, namespaced=namespaced, verbs=_CREATE_ONLY)


_CORE = (
    Entry("Binding", "bindings", "Binds a pod to a node.", verbs=_CREATE_ONLY),
    Entry("ConfigMap", "configmaps", "Configuration data for pods.", short=("cm",)),
    Entry("Endpoints", "endpoints", "The addresses of a service.", short=("ep",)),
    Entry("Event", "events", "A report of something that happened to an object.", short=("ev",)),
    Entry("LimitRange", "limitranges", "Limits and defaults of resource use per object.", short=("limits",)),
    _cluster(
        "Namespace",
        "namespaces",
        "A scope for names of objects.",
        short=("ns",),
        status=True,
        subresources=("finalize",),
        verbs=_NO_COLLECTION_DELETE,
    ),
    _cluster("Node", "nodes", "A machine that runs pods.", short=("no",), status=True),
    _cluster("PersistentVolume", "persistentvolumes", "A piece of storage.", short=("pv",), status=True),
    Entry(
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        "A request for storage.",
        short=("pvc",),
        status=True,
    ),
    Entry(
        "Pod",
        "pods",
        "Containers that run together on one node.",
        short=("po",),
        categories=_ALL,
        status=True,
        subresources=("binding", "eviction", "log"),
    ),
    Entry("PodTemplate", "podtemplates", "A template for pods."),
    Entry(
        "ReplicationController",
        "replicationcontrollers",
        "A number of identical pods; ReplicaSets replace it.",
        short=("rc",),
        categories=_ALL,
        status=True,
        scalable=True,
    ),
    Entry("ResourceQuota", "resourcequotas", "Limits for a namespace.", short=("quota",), status=True),
    Entry("Secret", "secrets", "Confidential data."),
    Entry(
        "Service",
        "services",
        "A name and address for a set of pods.",
        short=("svc",),
        categories=_ALL,
        status=True,
    ),
    Entry(
        "ServiceAccount",
        "serviceaccounts",
        "An identity for processes in pods.",
        short=("sa",),
        subresources=("token",),
    ),
)


def _workload(plural: str, kind: str, description: str, short: str = "", group: str = "apps") -> Entry:
    return Entry(
        kind,
        plural,
        description,
        group,
        short=(short,) if short else (),
        categories=_ALL,
        status=True,
        scalable=kind in ("Deployment", "ReplicaSet", "StatefulSet"),
    )


_AUTHZ, _RBAC, _STORAGE = "authorization.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io"
_NETWORK, _ADMISSION = "networking.k8s.io", "admissionregistration.k8s.io"
_SCALER = "Sets the replicas of a workload by its metrics."
_SCALERS = "horizontalpodautoscalers.autoscaling"

ENTRIES: tuple[Entry, ...] = (
    *_CORE,
    _cluster(
        "APIService",
        "apiservices",
        "A group and version that another API server serves.",
        "apiregistration.k8s.io",
        categories=_EXTENSIONS,
        status=True,
    ),
    Entry("ControllerRevision", "controllerrevisions", "An earlier state of a workload.", "apps"),
    _workload("daemonsets", "DaemonSet", "One pod on each matching node.", "ds"),
    _workload("deployments", "Deployment", "A number of identical pods with an update strategy.", "deploy"),
    _workload("replicasets", "ReplicaSet", "A number of identical pods.", "rs"),
    _workload("statefulsets", "StatefulSet", "A number of pods with stable names and storage.", "sts"),
    Entry(
        "Event",
        "events",
        "A report of something that happened to an object.",
        "events.k8s.io",
        short=("ev",),
        storage_key="events",
        storage_version="v1",
    ),
    _review("tokenreviews", "TokenReview", "The user of a token.", "authentication.k8s.io"),
    _review(
        "localsubjectaccessreviews",
        "LocalSubjectAccessReview",
        "Whether a user may make a request in a namespace.",
        _AUTHZ,
        namespaced=True,
    ),
    _review(
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        "Whether the caller may make a request.",
        _AUTHZ,
    ),
    _review(
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        "The permissions of the caller in a namespace.",
        _AUTHZ,
    ),
    _review("subjectaccessreviews", "SubjectAccessReview", "Whether a user may make a request.", _AUTHZ),
    Entry(
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        _SCALER,
        "autoscaling",
        version="v2",
        short=("hpa",),
        categories=_ALL,
        status=True,
    ),
    Entry(
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        _SCALER,
        "autoscaling",
        short=("hpa",),
        categories=_ALL,
        status=True,
        storage_key=_SCALERS,
        storage_version="autoscaling/v2",
    ),
    _workload("cronjobs", "CronJob", "Jobs at fixed times.", "cj", "batch"),
    _workload("jobs", "Job", "Pods that run to completion.", group="batch"),
    _cluster(
        "CertificateSigningRequest",
        "certificatesigningrequests",
        "A request for a certificate.",
        "certificates.k8s.io",
        short=("csr",),
        status=True,
        subresources=("approval",),
    ),
    _cluster("IngressClass", "ingressclasses", "A controller of Ingresses.", _NETWORK),
    Entry("Ingress", "ingresses", "HTTP routes to services.", _NETWORK, short=("ing",), status=True),
    _cluster("IPAddress", "ipaddresses", "An address that an object uses.", _NETWORK, short=("ip",)),
    Entry("NetworkPolicy", "networkpolicies", "The traffic that pods allow.", _NETWORK, short=("netpol",)),
    _cluster("ServiceCIDR", "servicecidrs", "A range of service addresses.", _NETWORK, status=True),
    Entry(
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        "How many pods may be evicted at a time.",
        "policy",
        short=("pdb",),
        status=True,
    ),
    Entry("Role", "roles", "Permissions in a namespace.", _RBAC),
    Entry("RoleBinding", "rolebindings", "Grants a role in a namespace.", _RBAC),
    _cluster("ClusterRole", "clusterroles", "Permissions in the whole cluster.", _RBAC),
    _cluster("ClusterRoleBinding", "clusterrolebindings", "Grants a role in the whole cluster.", _RBAC),
    _cluster("CSIDriver", "csidrivers", "The properties of a volume driver.", _STORAGE),
    _cluster("CSINode", "csinodes", "The volume drivers of a node.", _STORAGE),
    Entry("CSIStorageCapacity", "csistoragecapacities", "The free capacity of a storage class.", _STORAGE),
    _cluster("StorageClass", "storageclasses", "A class of storage for claims.", _STORAGE, short=("sc",)),
    _cluster("VolumeAttachment", "volumeattachments", "Attaches a volume to a node.", _STORAGE, status=True),
    _cluster(
        "VolumeAttributesClass",
        "volumeattributesclasses",
        "Mutable properties of volumes.",
        _STORAGE,
        short=("vac",),
    ),
    *(
        _cluster(kind, plural, description, _ADMISSION, categories=_EXTENSIONS, status=status)
        for plural, kind, description, status in (
            ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", "Webhooks that change.", False),
            ("validatingadmissionpolicies", "ValidatingAdmissionPolicy", "CEL rules for writes.", True),
            (
                "validatingadmissionpolicybindings",
                "ValidatingAdmissionPolicyBinding",
                "Where a policy applies.",
                False,
            ),
            (
                "validatingwebhookconfigurations",
                "ValidatingWebhookConfiguration",
                "Webhooks that reject.",
                False,
            ),
        )
    ),
    _cluster(
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "The definition of a custom kind.",
        "apiextensions.k8s.io",
        short=("crd", "crds"),
        categories=_EXTENSIONS,
        status=True,
    ),
    _cluster("PriorityClass", "priorityclasses", "A priority of pods.", "scheduling.k8s.io", short=("pc",)),
    Entry("Lease", "leases", "A lock with a holder and a duration.", "coordination.k8s.io"),
    _cluster("RuntimeClass", "runtimeclasses", "A container runtime.", "node.k8s.io"),
    Entry("EndpointSlice", "endpointslices", "Some addresses of a service.", "discovery.k8s.io"),
)


_PACKAGES = {
    "apiextensions.k8s.io": EXTENSIONS,
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
}
"""The packages of the groups whose definitions are not in ``io.k8s.api``."""


def definition_of(entry: Entry) -> str:
    """The name of the definition of a kind."""
    group = entry.group.partition(".")[0] or "core"
    return f"{_PACKAGES.get(entry.group, f'io.k8s.api.{group}.{entry.version}')}.{entry.kind}"


@cache
def definitions() -> Mapping[str, Mapping[str, Any]]:
    """The OpenAPI definitions by name. References have the form ``#/definitions/<name>``."""
    types = {
        name: {word: value for word, value in source.items() if word != "zero"}
        for name, source in _generated().items()
    }
    types[OBJECT_META] = dict(OBJECT_META_SOURCE)
    return MappingProxyType(types)


@cache
def _generated() -> Mapping[str, Mapping[str, Any]]:
    text = files("aimctl.devcluster.apiserver.builtin").joinpath("builtin_types.json").read_bytes()
    types: dict[str, dict[str, Any]] = msgspec.json.decode(text)
    return types


@cache
def empty_object(definition: str) -> Mapping[str, Any]:
    """An object of a definition as it is in the server's memory before any field is set."""
    source = _generated().get(definition) or {}
    properties = source.get("properties") or {}
    zero = {
        name: dict(empty_object(properties[name]["$ref"].rpartition("/")[2]))
        if "$ref" in properties[name]
        else value
        for name, value in (source.get("zero") or {}).items()
    }
    return {**zero, **EMPTIES.get(".".join(definition.split(".")[-3:]), {})}


# -- structures in objects


class _Plan(NamedTuple):
    """Whether a structure is wanted, and the fields that lead to others: name, form and plan."""

    name: str
    fields: tuple[tuple[str, str, _Plan], ...]


def structures_of(
    definition: str, wanted: frozenset[str], obj: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The structures in an object: short name of the definition, value and path, outer ones first.

    Args:
        definition: the name of the object's definition.
        wanted: short names of definitions, such as ``core.v1.Container``.
        obj: the object. What does not fit its schema is skipped.
    """
    plan = _plan(definition, wanted)
    if plan is not None:
        yield from _visit(plan, obj, "")


def _visit(plan: _Plan, value: Any, path: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    if not isinstance(value, dict):
        return
    if plan.name:
        yield plan.name, value, path
    for name, form, below in plan.fields:
        child = value.get(name)
        place = f"{path}.{name}" if path else name
        if child is None:
            continue
        if form == "list":
            for index, item in enumerate(child) if isinstance(child, list) else ():
                yield from _visit(below, item, f"{place}[{index}]")
        elif form == "map":
            for key, item in child.items() if isinstance(child, dict) else ():
                yield from _visit(below, item, f"{place}[{key}]")
        else:
            yield from _visit(below, child, place)


@cache
def _plan(definition: str, wanted: frozenset[str]) -> _Plan | None:
    """The plan of a definition; None if nothing below it is wanted."""
    short = ".".join(definition.split(".")[-3:])
    fields = []
    for name, source in (definitions()[definition].get("properties") or {}).items():
        form, reference = _reference(source)
        # Schemas of definitions are recursive, and have a validation of their own.
        if reference and not reference.endswith("JSONSchemaProps"):
            below = _plan(reference, wanted)
            if below is not None:
                fields.append((name, form, below))
    name = short if short in wanted else ""
    return _Plan(name, tuple(fields)) if name or fields else None


def _reference(source: Mapping[str, Any]) -> tuple[str, str]:
    """How a field contains a structure ("one", "list" or "map"), and the name of its definition or ""."""
    for form, inner in (
        ("one", source),
        ("list", source.get("items") or {}),
        ("map", source.get("additionalProperties") or {}),
    ):
        if "$ref" in inner:
            return form, inner["$ref"].rpartition("/")[2]
    return "one", ""
