"""Which kinds are served, and how each differs from the rest.

Contract:
    * A :class:`ServedKind` is one kind at one version: its resource, names, schema, columns and
      :class:`Strategy`.
    * A :class:`KindRegistry` finds kinds by URL words or by kind, lists groups and versions in discovery
      order, and counts its changes so that documents made from it can be remembered until the next one.
    * Versions of one kind share one collection of objects, named by ``storage_key``.

Invariants:
    * ``(group, version, plural)`` is unique in a registry; adding it again replaces it.
    * A strategy's functions never keep the dict they are given.

Like the whole server, a registry is changed only between awaits on the loop's thread.
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
    "KindRegistry",
    "NameRule",
    "PrinterColumn",
    "Scale",
    "ServedKind",
    "Strategy",
    "version_priority",
]

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
"""What an ordinary kind can do, in the order discovery shows it."""

NameRule = Literal["subdomain", "label", "label1035", "path"]
"""RFC 1123 subdomain, RFC 1123 label, RFC 1035 label, or any one path segment (the RBAC kinds)."""


@final
@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """One column of ``kubectl get``, as in a CRD's ``additionalPrinterColumns``."""

    name: str
    type: str
    json_path: str
    description: str = ""
    priority: int = 0
    format: str = ""


@final
@dataclass(frozen=True, slots=True)
class Scale:
    """Where the scale subresource finds its numbers, as dotted paths with a leading dot."""

    spec_replicas_path: str
    status_replicas_path: str
    label_selector_path: str = ""


@final
@dataclass(frozen=True, slots=True)
class Strategy:
    """How one kind departs from the general rules.

    Attributes:
        name_rule: what names are legal.
        generation: whether ``metadata.generation`` is kept.
        unconditional_update: whether a PUT without resourceVersion overwrites (built-in kinds mostly; never
            CRs).
        create_on_update: whether a PUT of a missing object creates it (Leases, Events).
        returns_deleted: whether DELETE answers with the object instead of a Status.
        orphans: whether a DELETE that names no policy leaves the dependents (Jobs, for old clients' sake).
        field_paths: dotted paths that field selectors may name, besides ``metadata.name`` and ``.namespace``.
        grace_seconds: for kinds with graceful deletion, the period that applies to this object, given what
            the caller asked for (or None); 0 deletes at once. None: the kind has no graceful deletion.
        prepare: sets what the server itself sets, on the new object, which it may change; gets the old one
            too, None on create.
        check: rules beyond the schema (immutable fields); gets new and old, None on create.
        convert_in, convert_out: between this version and the stored one; each gets a private dict to change.
    """

    name_rule: NameRule = "subdomain"
    generation: bool = True
    unconditional_update: bool = False
    create_on_update: bool = False
    returns_deleted: bool = False
    orphans: bool = False
    field_paths: tuple[str, ...] = ()
    grace_seconds: Callable[[Mapping[str, Any], int | None], int] | None = None
    prepare: Callable[[dict[str, Any], Mapping[str, Any] | None], None] | None = None
    check: Callable[[Mapping[str, Any], Mapping[str, Any] | None], list[FieldError]] | None = None
    convert_in: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    convert_out: Callable[[dict[str, Any]], dict[str, Any]] | None = None


@final
@dataclass(frozen=True, slots=True)
class ServedKind:
    """One kind at one version.

    Attributes:
        list_kind: defaults to the kind with ``List`` behind it.
        verbs: what discovery offers; kinds with only ``create`` are answered, not stored (access reviews).
        subresources: besides ``status`` and ``scale``, such as ``log`` or ``binding``.
        crd_name: the CustomResourceDefinition it comes from; None for built-in kinds.
        storage_version: the apiVersion objects are stored with; "" means this version's own.
        storage_key: the collection; "" means ``plural.group``.
        strategy: None lets the server choose the one for this built-in kind, or the general one.
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
        """Whether a CRD defined it."""
        return self.crd_name is not None

    @property
    def stored(self) -> bool:
        """Whether objects of it are kept (and not just answered)."""
        return "get" in self.verbs

    @property
    def rules(self) -> Strategy:
        """The strategy in force."""
        return self.strategy or _GENERAL


_GENERAL = Strategy()
_VERSION = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")


def version_priority(version: str) -> tuple[int, int, int, str]:
    """A sort key that puts versions as discovery does: v2, v1, v1beta2, v1beta1, v1alpha1, then others by
    name.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        return (3, 0, 0, version)
    major, stage, minor = match.groups()
    return ({None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0), version)


@final
@dataclass(slots=True)
class KindRegistry:
    """The kinds served now. ``changes`` grows with every add and remove."""

    changes: int = 0
    _by_path: dict[tuple[str, str, str], ServedKind] = field(default_factory=dict)
    _groups: dict[str, int] = field(default_factory=dict)

    def add(self, *kinds: ServedKind) -> None:
        """Serve these kinds from now on, replacing any at the same group, version and plural."""
        for kind in kinds:
            resource = kind.resource
            self._by_path[resource.group, resource.version, resource.plural] = kind
            self._groups.setdefault(resource.group, len(self._groups))
        self.changes += 1

    def remove_crd(self, crd_name: str) -> list[ServedKind]:
        """Serve nothing of this CRD any more; returns what was served."""
        gone = [kind for kind in self._by_path.values() if kind.crd_name == crd_name]
        for kind in gone:
            del self._by_path[kind.resource.group, kind.resource.version, kind.resource.plural]
        if gone:
            self.changes += 1
        return gone

    def find(self, group: str, version: str, plural: str) -> ServedKind | None:
        """The kind behind these URL words."""
        return self._by_path.get((group, version, plural))

    def groups(self) -> list[str]:
        """Group names: core first, then built-in groups in the order they came, then the others by name."""
        present = {group for group, _, _ in self._by_path}
        custom = {group for group in present if all(kind.custom for kind in self._of_group(group))}
        return sorted(
            present,
            key=lambda group: (group in custom, group if group in custom else "", self._groups[group]),
        )

    def versions(self, group: str) -> list[str]:
        """The group's versions, the preferred one first."""
        return sorted({version for own, version, _ in self._by_path if own == group}, key=version_priority)

    def at(self, group: str, version: str) -> list[ServedKind]:
        """The kinds of one group version, by plural."""
        kinds = (kind for kind in self._of_group(group) if kind.resource.version == version)
        return sorted(kinds, key=lambda kind: kind.resource.plural)

    def stored(self) -> Iterable[ServedKind]:
        """One kind for each collection (its preferred version), namespaced or not."""
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
