"""The built-in kinds of the server and their schemas.

Contract: :func:`builtin_kinds` returns every :class:`ServedKind`, :func:`definitions` their OpenAPI definitions. Field
names, types, list types and static defaults are those of Kubernetes (``builtin_types.json``, which
``hack/builtin_types.py`` generates). Unknown fields are pruned and types are checked; of the hand-written validation of
Kubernetes, only the required fields of the definitions in ``_ENFORCED`` are checked here.

Invariant: a definition has one node, however many kinds use it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.objects.kinds import ALL_VERBS, Scale, ServedKind
from aimctl.devcluster.apiserver.schema import OPEN, RAW, UNSET, Node, Schema
from aimctl.devcluster.apiserver.schema.meta import OBJECT_META_SOURCE, object_meta, with_object_meta
from aimctl.kubetypes import Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OBJECT_META", "BuiltinType", "builtin_kinds", "builtin_type", "definitions"]

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
_CREATE_ONLY = ("create",)
_NO_COLLECTION_DELETE = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")
_ENFORCED = frozenset(
    {
        *("core.v1.PodSpec", "core.v1.Container", "core.v1.VolumeMount", "core.v1.EnvVar", "core.v1.Volume"),
        *("batch.v1.JobSpec", "apps.v1.DeploymentSpec", "rbac.v1.RoleBinding", "rbac.v1.ClusterRoleBinding"),
        "storage.v1.StorageClass",
    }
)
"""Definitions whose required fields the server checks."""


@final
@dataclass(frozen=True, slots=True)
class BuiltinType:
    """The name of a built-in kind's definition, and its description for ``kubectl explain``."""

    definition: str
    description: str


@cache
def definitions() -> Mapping[str, Mapping[str, Any]]:
    """The OpenAPI definitions by name. References have the form ``#/definitions/<name>``."""
    text = files("aimctl.devcluster.apiserver.builtin").joinpath("builtin_types.json").read_bytes()
    types: dict[str, dict[str, Any]] = msgspec.json.decode(text)
    types[OBJECT_META] = dict(OBJECT_META_SOURCE)
    return MappingProxyType(types)


def builtin_type(kind: ServedKind) -> BuiltinType | None:
    """Definition and description of a kind; None for custom kinds."""
    return _types().get((kind.resource.group, kind.resource.kind))


@cache
def _types() -> Mapping[tuple[str, str], BuiltinType]:
    return {
        (entry.group, entry.kind): BuiltinType(_definition(entry), entry.description) for entry in _ENTRIES
    }


@final
@dataclass(frozen=True, slots=True)
class _Entry:
    kind: str
    plural: str
    description: str
    group: str = ""
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    storage_key: str = ""
    scalable: bool = False


_APPS, _RBAC, _AUTHZ = "apps", "rbac.authorization.k8s.io", "authorization.k8s.io"
_ALL = ("all",)
_ENTRIES: tuple[_Entry, ...] = (
    _Entry("Binding", "bindings", "Binds a pod to a node.", verbs=_CREATE_ONLY),
    _Entry("ConfigMap", "configmaps", "Configuration data for pods.", short=("cm",)),
    _Entry("Endpoints", "endpoints", "The addresses of a service.", short=("ep",)),
    _Entry("Event", "events", "A report of something that happened to an object.", short=("ev",)),
    _Entry(
        "LimitRange",
        "limitranges",
        "Limits and defaults of resource use per object in a namespace.",
        short=("limits",),
    ),
    _Entry(
        "Namespace",
        "namespaces",
        "A scope for names of objects.",
        namespaced=False,
        short=("ns",),
        status=True,
        subresources=("finalize",),
        verbs=_NO_COLLECTION_DELETE,
    ),
    _Entry("Node", "nodes", "A machine that runs pods.", namespaced=False, short=("no",), status=True),
    _Entry(
        "PersistentVolume",
        "persistentvolumes",
        "A piece of storage in the cluster.",
        namespaced=False,
        short=("pv",),
        status=True,
    ),
    _Entry(
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        "A request for storage.",
        short=("pvc",),
        status=True,
    ),
    _Entry(
        "Pod",
        "pods",
        "Containers that run together on one node.",
        short=("po",),
        categories=_ALL,
        status=True,
        subresources=("binding", "eviction", "log"),
    ),
    _Entry("PodTemplate", "podtemplates", "A template for pods."),
    _Entry(
        "ResourceQuota",
        "resourcequotas",
        "Limits of resource use for a whole namespace.",
        short=("quota",),
        status=True,
    ),
    _Entry("Secret", "secrets", "Confidential data."),
    _Entry(
        "Service",
        "services",
        "A name and address for a set of pods.",
        short=("svc",),
        categories=_ALL,
        status=True,
    ),
    _Entry(
        "ServiceAccount",
        "serviceaccounts",
        "An identity for processes in pods.",
        short=("sa",),
        subresources=("token",),
    ),
    _Entry(
        "DaemonSet",
        "daemonsets",
        "One pod on each matching node.",
        _APPS,
        short=("ds",),
        categories=_ALL,
        status=True,
    ),
    _Entry(
        "Deployment",
        "deployments",
        "A number of identical pods with an update strategy.",
        _APPS,
        short=("deploy",),
        categories=_ALL,
        status=True,
        scalable=True,
    ),
    _Entry(
        "ReplicaSet",
        "replicasets",
        "A number of identical pods.",
        _APPS,
        short=("rs",),
        categories=_ALL,
        status=True,
        scalable=True,
    ),
    _Entry(
        "StatefulSet",
        "statefulsets",
        "A number of pods with stable names and storage.",
        _APPS,
        short=("sts",),
        categories=_ALL,
        status=True,
        scalable=True,
    ),
    _Entry("Job", "jobs", "Pods that run to completion.", "batch", categories=_ALL, status=True),
    _Entry("Lease", "leases", "A lock with a holder and a duration.", "coordination.k8s.io"),
    _Entry(
        "Event",
        "events",
        "A report of something that happened to an object.",
        "events.k8s.io",
        short=("ev",),
        storage_key="events",
    ),
    _Entry("Role", "roles", "Permissions in a namespace.", _RBAC),
    _Entry("RoleBinding", "rolebindings", "Grants a role in a namespace.", _RBAC),
    _Entry("ClusterRole", "clusterroles", "Permissions in the whole cluster.", _RBAC, namespaced=False),
    _Entry(
        "ClusterRoleBinding",
        "clusterrolebindings",
        "Grants a role in the whole cluster.",
        _RBAC,
        namespaced=False,
    ),
    _Entry(
        "StorageClass",
        "storageclasses",
        "A class of storage for claims.",
        "storage.k8s.io",
        namespaced=False,
        short=("sc",),
    ),
    _Entry(
        "LocalSubjectAccessReview",
        "localsubjectaccessreviews",
        "Whether a user may make a request in a namespace.",
        _AUTHZ,
        verbs=_CREATE_ONLY,
    ),
    _Entry(
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        "Whether the caller may make a request.",
        _AUTHZ,
        namespaced=False,
        verbs=_CREATE_ONLY,
    ),
    _Entry(
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        "The permissions of the caller in a namespace.",
        _AUTHZ,
        namespaced=False,
        verbs=_CREATE_ONLY,
    ),
    _Entry(
        "SubjectAccessReview",
        "subjectaccessreviews",
        "Whether a user may make a request.",
        _AUTHZ,
        namespaced=False,
        verbs=_CREATE_ONLY,
    ),
    _Entry(
        "TokenReview",
        "tokenreviews",
        "The user of a token.",
        "authentication.k8s.io",
        namespaced=False,
        verbs=_CREATE_ONLY,
    ),
    _Entry(
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "The definition of a custom kind.",
        "apiextensions.k8s.io",
        namespaced=False,
        short=("crd", "crds"),
        categories=("api-extensions",),
        status=True,
    ),
)


def _definition(entry: _Entry) -> str:
    if entry.group == "apiextensions.k8s.io":
        return f"{_EXTENSIONS}.{entry.kind}"
    group = entry.group.partition(".")[0] or "core"
    return f"io.k8s.api.{group}.v1.{entry.kind}"


@cache
def builtin_kinds() -> tuple[ServedKind, ...]:
    """All built-in kinds, in the order of discovery. They are immutable and parsed once."""
    nodes = _Nodes()
    return tuple(_serve(entry, nodes) for entry in _ENTRIES)


def _serve(entry: _Entry, nodes: _Nodes) -> ServedKind:
    name = _definition(entry)
    root = with_object_meta(nodes.of(name))
    return ServedKind(
        resource=Resource.untyped(entry.group, "v1", entry.kind, entry.plural, namespaced=entry.namespaced),
        schema=Schema.builtin(root, definitions()[name]),
        short_names=entry.short,
        categories=entry.categories,
        verbs=entry.verbs,
        subresources=entry.subresources,
        status_subresource=entry.status,
        scale=Scale(".spec.replicas", ".status.replicas") if entry.scalable else None,
        storage_key=entry.storage_key,
        # Both kinds of Events share a collection, which is stored as v1.
        storage_version="v1" if entry.storage_key else "",
    )


_TEXT = Node(type="string")
_BOOLEAN = Node(type="boolean")
_ANY_OBJECT = Node(type="object", preserve_unknown=True)


@final
class _Nodes:
    """The schema nodes of definitions, each created once."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {
            OBJECT_META: object_meta(),
            _INT_OR_STRING: Node(int_or_string=True),
            # A string or any number.
            _QUANTITY: Node(),
            f"{_EXTENSIONS}.JSON": OPEN,
        }
        self._add_schema_props()

    def _add_schema_props(self) -> None:
        """Add the nodes of ``JSONSchemaProps``, which is recursive: its properties are filled in after its creation."""
        properties: dict[str, Node] = {}
        schema = Node(type="object", properties=MappingProxyType(properties))
        name = f"{_EXTENSIONS}.JSONSchemaProps"
        self._nodes[name] = schema
        # Alternatives have no type; lists and values without a meaning are checked with the schema.
        self._nodes[f"{name}OrBool"] = Node(properties=schema.properties, any_of=(_BOOLEAN, _ANY_OBJECT))
        self._nodes[f"{name}OrArray"] = Node(properties=schema.properties, items=schema)
        self._nodes[f"{name}OrStringArray"] = Node(properties=schema.properties, items=_TEXT)
        source = definitions()[name]["properties"]
        properties.update({key: self._parse(child) for key, child in source.items()})

    def of(self, name: str) -> Node:
        """The node of a definition."""
        node = self._nodes.get(name)
        if node is None:
            node = self._parse(definitions()[name])
            short = ".".join(name.split(".")[-3:])
            if node.required and short not in _ENFORCED:
                node = replace(node, required=())
            self._nodes[name] = node
        return node

    def _parse(self, source: Mapping[str, Any]) -> Node:
        reference = source.get("$ref")
        if reference is not None:
            node = self.of(reference.rpartition("/")[2])
            return replace(node, default=source["default"]) if "default" in source else node
        kind = source.get("type", "")
        properties = source.get("properties")
        additional = source.get("additionalProperties")
        if kind == "object" and properties is None and additional is None:
            return RAW
        items = source.get("items")
        list_type, keys = _list_type(source)
        return Node(
            type=kind,
            format=source.get("format", ""),
            properties=MappingProxyType(
                {key: self._parse(child) for key, child in (properties or {}).items()}
            ),
            additional=None if additional is None else self._parse(additional),
            items=None if items is None else self._parse(items),
            default=source.get("default", UNSET),
            required=tuple(source.get("required", ())),
            list_type=list_type,
            list_map_keys=keys,
            map_type=source.get("x-kubernetes-map-type", "granular"),
        )


def _list_type(source: Mapping[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """The list type: as given, else that of strategic merge, else atomic."""
    given = source.get("x-kubernetes-list-type")
    if given is not None:
        return given, tuple(source.get("x-kubernetes-list-map-keys", ()))
    if "merge" in source.get("x-kubernetes-patch-strategy", "").split(","):
        key = source.get("x-kubernetes-patch-merge-key")
        return ("map", (key,)) if key else ("set", ())
    return "atomic", ()
