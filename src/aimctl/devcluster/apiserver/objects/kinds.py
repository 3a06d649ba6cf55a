"""The kinds that are served, and the rules in which they differ.

Contract:
    * A :class:`ServedKind` is one kind at one version: its resource, names, schema, columns and :class:`Strategy`.
    * A :class:`KindRegistry` finds kinds by group, version and plural, and lists groups and versions in the order of
      discovery. It counts its changes, so that documents can be cached until the next one.
    * The versions of a kind share one collection of objects, whose name is ``storage_key``.

Invariants:
    * ``(group, version, plural)`` is unique in a registry.
    * The functions of a strategy do not keep a reference to their arguments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from aimctl.devcluster.apiserver.schema import FieldError, Schema
    from aimctl.kubetypes import Resource

__all__ = [
    "ALL_VERBS",
    "Conversion",
    "KindRegistry",
    "NameRule",
    "PrinterColumn",
    "Scale",
    "ServedKind",
    "Strategy",
    "version_priority",
]

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
"""The verbs of most kinds, in the order of discovery."""

NameRule = Literal["subdomain", "label", "label1035", "path"]
"""RFC 1123 subdomain, RFC 1123 label, RFC 1035 label, or a path segment (RBAC kinds)."""


@final
@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """A column of ``kubectl get``, as in ``additionalPrinterColumns`` of a CRD."""

    name: str
    type: str
    json_path: str
    description: str = ""
    priority: int = 0
    format: str = ""


@final
@dataclass(frozen=True, slots=True)
class Scale:
    """The fields of the scale subresource, as dotted paths with a leading dot."""

    spec_replicas_path: str
    status_replicas_path: str
    label_selector_path: str = ""


@final
@dataclass(frozen=True, slots=True)
class Strategy:
    """The rules of a kind.

    Attributes:
        name_rule: the syntax of names.
        generation: whether objects have ``metadata.generation``.
        unconditional_update: whether an update without resourceVersion is allowed, as for most built-in kinds.
        create_on_update: whether an update of a missing object creates it (Leases, Events).
        returns_deleted: whether a deletion returns the object instead of a Status.
        orphans: whether a deletion without a propagation policy orphans the dependents (Jobs).
        field_paths: dotted paths for field selectors, in addition to ``metadata.name`` and ``metadata.namespace``.
        grace_seconds: returns the grace period for an object and the requested one (or None); 0 deletes at once. None
            if the kind has no graceful deletion.
        settle: sets the fields of the server that the writer owns, on the new object; the old is None on a creation.
        prepare: sets the fields of the server that have no owner, with the same arguments.
        check: returns errors in addition to those of the schema, for the new and the old object (None on a creation).
        warn: returns the texts of warnings about an object that is written.
        keeps_status: whether an object may be created with its status, as Nodes.
        desires_annotations: whether a change of annotations increases the generation. A write of the status may change
            them too, without that effect (Deployments).
        convert_in: converts an object from this version to the stored one, and may change its argument.
        convert_out: converts an object from the stored version to this one, and may change its argument.
    """

    name_rule: NameRule = "subdomain"
    generation: bool = True
    unconditional_update: bool = False
    create_on_update: bool = False
    returns_deleted: bool = False
    orphans: bool = False
    field_paths: tuple[str, ...] = ()
    grace_seconds: Callable[[Mapping[str, Any], int | None], int] | None = None
    settle: Callable[[dict[str, Any], Mapping[str, Any] | None], None] | None = None
    prepare: Callable[[dict[str, Any], Mapping[str, Any] | None], None] | None = None
    check: Callable[[Mapping[str, Any], Mapping[str, Any] | None], list[FieldError]] | None = None
    warn: Callable[[Mapping[str, Any]], list[str]] | None = None
    keeps_status: bool = False
    desires_annotations: bool = False
    convert_in: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    convert_out: Callable[[dict[str, Any]], dict[str, Any]] | None = None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Conversion:
    """The conversion webhook of a CRD. Two are equal only if they are the same object.

    Attributes:
        definition: the name of the CRD.
        client: the ``clientConfig`` of the webhook.
        review_versions: the versions of ConversionReviews that it accepts, the preferred one first.
        schemas: the schema of each version, by apiVersion.
    """

    definition: str
    client: Mapping[str, Any]
    review_versions: tuple[str, ...]
    schemas: Mapping[str, Schema]


@final
@dataclass(frozen=True, slots=True)
class ServedKind:
    """One kind at one version.

    Attributes:
        list_kind: "" takes the kind with the suffix ``List``.
        verbs: the verbs in discovery. Kinds with only ``create``, such as access reviews, are not stored.
        subresources: those in addition to ``status`` and ``scale``, such as ``log`` or ``binding``.
        crd_name: the name of its CustomResourceDefinition; None for built-in kinds.
        storage_version: the apiVersion of stored objects; "" takes this version.
        storage_key: the name of the collection; "" takes ``plural.group``.
        strategy: None takes that of the built-in kind, or the general one.
        conversion: the webhook that converts objects between versions; None if only their apiVersion differs.
    """

    resource: Resource[Any]
    schema: Schema
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    list_kind: str = ""
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[str, ...] = ()
    status_subresource: bool = False
    scale: Scale | None = None
    columns: tuple[PrinterColumn, ...] = ()
    crd_name: str | None = None
    storage_version: str = ""
    storage_key: str = ""
    strategy: Strategy | None = None
    deprecated_warning: str = ""
    conversion: Conversion | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        if not self.singular:
            set_(self, "singular", self.resource.kind.lower())
        if not self.list_kind:
            set_(self, "list_kind", self.resource.kind + "List")
        if not self.storage_version:
            set_(self, "storage_version", self.resource.api_version)
        if not self.storage_key:
            set_(self, "storage_key", self.resource.group_resource)

    @property
    def custom(self) -> bool:
        """Whether a CRD defines it."""
        return self.crd_name is not None

    @property
    def stored(self) -> bool:
        """Whether its objects are stored."""
        return "get" in self.verbs

    @property
    def rules(self) -> Strategy:
        """The strategy, or the general one."""
        return self.strategy or _GENERAL


_GENERAL = Strategy()
_VERSION = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")


def version_priority(version: str) -> tuple[int, int, int, str]:
    """A sort key for the order of discovery: v2, v1, v1beta2, v1beta1, v1alpha1, then others by name."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return (3, 0, 0, version)
    major, stage, minor = match.groups()
    return ({None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0), version)


@final
@dataclass(slots=True)
class KindRegistry:
    """The kinds that are served. ``changes`` increases with each change."""

    changes: int = 0
    _by_path: dict[tuple[str, str, str], ServedKind] = field(default_factory=dict)
    _groups: dict[str, int] = field(default_factory=dict)
    converting: bool = False
    """Whether a kind has a conversion webhook."""

    def add(self, *kinds: ServedKind) -> None:
        """Serve these kinds. One with the same group, version and plural is replaced."""
        for kind in kinds:
            resource = kind.resource
            self._by_path[resource.group, resource.version, resource.plural] = kind
            self._groups.setdefault(resource.group, len(self._groups))
            self.converting = self.converting or kind.conversion is not None
        self.changes += 1

    def remove_crd(self, crd_name: str) -> None:
        """Stop serving the kinds of this CRD."""
        removed = [path for path, kind in self._by_path.items() if kind.crd_name == crd_name]
        for path in removed:
            del self._by_path[path]
        if removed:
            self.changes += 1
            self.converting = any(kind.conversion is not None for kind in self)

    def find(self, group: str, version: str, plural: str) -> ServedKind | None:
        """The kind with this group, version and plural."""
        return self._by_path.get((group, version, plural))

    def groups(self) -> list[str]:
        """The groups: core, then built-in groups in the order they were added, then others by name."""
        present = {group for group, _, _ in self._by_path}
        custom = {group for group in present if all(kind.custom for kind in self._of_group(group))}
        return sorted(
            present,
            key=lambda group: (group in custom, group if group in custom else "", self._groups[group]),
        )

    def versions(self, group: str) -> list[str]:
        """The versions of a group, the preferred one first."""
        return sorted({version for own, version, _ in self._by_path if own == group}, key=version_priority)

    def serves_builtins(self, group: str) -> bool:
        """Whether a group has built-in kinds."""
        return any(not kind.custom for kind in self._of_group(group))

    def at(self, group: str, version: str) -> list[ServedKind]:
        """The kinds of a group and version, sorted by plural."""
        kinds = (kind for kind in self._of_group(group) if kind.resource.version == version)
        return sorted(kinds, key=lambda kind: kind.resource.plural)

    def stored(self) -> Iterable[ServedKind]:
        """One kind for each collection, at the preferred version."""
        chosen: dict[str, ServedKind] = {}
        for kind in sorted(self, key=lambda kind: version_priority(kind.resource.version)):
            if kind.stored:
                chosen.setdefault(kind.storage_key, kind)
        return chosen.values()

    def _of_group(self, group: str) -> Iterator[ServedKind]:
        return (kind for kind in self._by_path.values() if kind.resource.group == group)

    def __iter__(self) -> Iterator[ServedKind]:
        return iter(tuple(self._by_path.values()))

    def __len__(self) -> int:
        return len(self._by_path)
