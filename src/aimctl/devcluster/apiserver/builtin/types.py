"""The built-in kinds of the server and their schemas.

Contract: :func:`builtin_kinds` returns every :class:`ServedKind` of the entries. Field
names, types, list types and static defaults are those of Kubernetes (``builtin_types.json``, which
``hack/builtin_types.py`` generates). Unknown fields are pruned and types are checked. Which fields are required is part
of the validation in ``rules``.

Invariant: a definition has one node, however many kinds use it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.builtin.defaults import set_defaults
from aimctl.devcluster.apiserver.builtin.entries import (
    ENTRIES,
    EXTENSIONS,
    OBJECT_META,
    definition_of,
    definitions,
    empty_object,
)
from aimctl.devcluster.apiserver.objects.empties import EMPTIES
from aimctl.devcluster.apiserver.objects.kinds import Scale, ServedKind
from aimctl.devcluster.apiserver.schema import OPEN, RAW, UNSET, Node, Schema
from aimctl.devcluster.apiserver.schema.meta import object_meta, with_object_meta
from aimctl.kubetypes import Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.apiserver.builtin.entries import Entry

__all__ = ["OBJECT_META", "BuiltinType", "builtin_kinds", "builtin_type", "definitions"]

_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_ENDPOINTS_DEPRECATED = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


@final
@dataclass(frozen=True, slots=True)
class BuiltinType:
    """The name of a built-in kind's definition, and its description for ``kubectl explain``."""

    definition: str
    description: str


def builtin_type(kind: ServedKind) -> BuiltinType | None:
    """Definition and description of a kind; None for custom kinds."""
    return _types().get((kind.resource.group, kind.resource.version, kind.resource.kind))


@cache
def _types() -> Mapping[tuple[str, str, str], BuiltinType]:
    return {
        (entry.group, entry.version, entry.kind): BuiltinType(definition_of(entry), entry.description)
        for entry in ENTRIES
    }


@cache
def builtin_kinds() -> tuple[ServedKind, ...]:
    """All built-in kinds, in the order of discovery. They are immutable and parsed once."""
    nodes = _Nodes()
    return tuple(_serve(entry, nodes) for entry in ENTRIES)


def _serve(entry: Entry, nodes: _Nodes) -> ServedKind:
    name = definition_of(entry)
    root = with_object_meta(nodes.of(name))
    return ServedKind(
        resource=Resource.untyped(
            entry.group, entry.version, entry.kind, entry.plural, namespaced=entry.namespaced
        ),
        schema=Schema.builtin(
            root, definitions()[name], complete=partial(set_defaults, name), empty=empty_object(name)
        ),
        short_names=entry.short,
        categories=entry.categories,
        verbs=entry.verbs,
        subresources=entry.subresources,
        status_subresource=entry.status,
        scale=Scale(".spec.replicas", ".status.replicas", ".spec.selector") if entry.scalable else None,
        storage_key=entry.storage_key,
        storage_version=entry.storage_version,
        deprecated_warning=_ENDPOINTS_DEPRECATED if entry.plural == "endpoints" else "",
    )


_PLAIN = frozenset(
    {
        *("apps.v1.DaemonSetUpdateStrategy", "apps.v1.DeploymentStrategy", "apps.v1.StatefulSetSpec"),
        *("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", "apps.v1.StatefulSetUpdateStrategy"),
        *("batch.v1.CronJobSpec", "batch.v1.PodFailurePolicyOnPodConditionsPattern"),
        *("core.v1.Container", "core.v1.ContainerPort", "core.v1.EndpointPort", "core.v1.HTTPGetAction"),
        *("core.v1.ObjectFieldSelector", "core.v1.PersistentVolumeSpec", "core.v1.PodSpec", "core.v1.Probe"),
        *("core.v1.Secret", "core.v1.ServicePort", "core.v1.ServiceSpec", "rbac.v1.RoleRef"),
    }
)
"""Definitions whose texts and, in probes, numbers are not pointers in Go: defaults replace empty ones too."""

_TEXT = Node(type="string")
_BOOLEAN = Node(type="boolean")
_ANY_OBJECT = Node(type="object", preserve_unknown=True)


@final
class _Nodes:
    """The schema nodes of definitions, each created once."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {
            OBJECT_META: object_meta(),
            _INT_OR_STRING: Node(int_or_string=True, format="int32", go_type="intstr.IntOrString"),
            # A string or any number.
            _QUANTITY: Node(go_type="resource.Quantity"),
            f"{EXTENSIONS}.JSON": OPEN,
            f"{EXTENSIONS}.CustomResourceSubresourceStatus": Node(type="object"),
        }
        self._add_schema_props()

    def _add_schema_props(self) -> None:
        """Add the nodes of ``JSONSchemaProps``, which is recursive: its properties are filled in after its creation."""
        properties: dict[str, Node] = {}
        go_type = "v1.JSONSchemaProps"
        name = f"{EXTENSIONS}.JSONSchemaProps"
        schema = Node(
            type="object",
            properties=MappingProxyType(properties),
            go_type=go_type,
            dropped=_dropped(definitions()[name]),
        )
        self._nodes[name] = schema
        # Alternatives have no type; lists and values without a meaning are checked with the schema.
        self._nodes[f"{name}OrBool"] = Node(
            properties=schema.properties, any_of=(_BOOLEAN, _ANY_OBJECT), go_type=f"{go_type}OrBool"
        )
        self._nodes[f"{name}OrArray"] = Node(
            properties=schema.properties, items=schema, go_type=f"{go_type}OrArray"
        )
        self._nodes[f"{name}OrStringArray"] = Node(
            properties=schema.properties, items=_TEXT, go_type=f"{go_type}OrStringArray"
        )
        source = definitions()[name]["properties"]
        properties.update({key: self._parse(child) for key, child in source.items()})

    def of(self, name: str) -> Node:
        """The node of a definition."""
        node = self._nodes.get(name)
        if node is None:
            source = definitions()[name]
            node = replace(
                self._parse(source),
                go_type=".".join(name.split(".")[-2:]),
                dropped=_dropped(source),
            )
            short = ".".join(name.split(".")[-3:])
            if short in _PLAIN:
                node = _with_plain_fields(node, numbers=short == "core.v1.Probe")
            if short in EMPTIES:
                node = _with_empties(node, EMPTIES[short])
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
            # Texts in base64 are decoded, not checked as those of custom kinds, which must not be empty.
            format="bytes" if source.get("format") == "byte" else source.get("format", ""),
            properties=MappingProxyType(
                {key: self._parse(child) for key, child in (properties or {}).items()}
            ),
            additional=None if additional is None else self._parse(additional),
            items=None if items is None else self._parse(items),
            default=source.get("default", UNSET),
            list_type=list_type,
            list_map_keys=keys,
            map_type=source.get("x-kubernetes-map-type", "granular"),
            null_item=self._zero(items, additional),
        )

    def _zero(self, items: Mapping[str, Any] | None, additional: Mapping[str, Any] | None) -> Any:
        """What Go decodes a null in a list or map as; UNSET if it is kept or dropped."""
        if items is not None:
            return _ZEROS.get(items.get("type", "object"), UNSET)
        if additional is None:
            return UNSET
        if additional.get("$ref", "").endswith(_QUANTITY):
            return "0"
        kind = additional.get("type") or self._parse(additional).type
        return _ZEROS.get(kind, UNSET) if kind in ("string", "object") else UNSET


_ZEROS: Mapping[str, Any] = {"string": "", "object": {}, "integer": 0, "boolean": False}
"""What Go decodes a null as, by the type."""


def _with_empties(node: Node, fields: Mapping[str, Any]) -> Node:
    """The node with fields that every object has. Those that are null if they are not set are null if empty too."""
    nulls = {name for name, value in fields.items() if value is None}
    properties = {
        name: replace(node.properties[name], nullable=value is None, default=value)
        for name, value in fields.items()
    }
    return replace(
        node, properties=MappingProxyType({**node.properties, **properties}), dropped=node.dropped | nulls
    )


def _with_plain_fields(node: Node, *, numbers: bool) -> Node:
    """The node with fields whose defaults also replace empty texts and, if so asked, zeros."""
    plain = ("string", "integer") if numbers else ("string",)
    fields = {
        name: replace(child, empty_is_unset=True)
        for name, child in node.defaulted
        if child.type in plain and name != "volumeMode"
    }
    return replace(node, properties=MappingProxyType({**node.properties, **fields}))


def _dropped(source: Mapping[str, Any]) -> frozenset[str]:
    """The optional lists and maps of a definition, which Go does not write if they are empty."""
    return frozenset(
        name
        for name, field in (source.get("properties") or {}).items()
        if name not in source.get("required", ())
        and (field.get("type") == "array" or "additionalProperties" in field)
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
