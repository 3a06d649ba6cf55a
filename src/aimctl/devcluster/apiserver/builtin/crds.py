"""CustomResourceDefinitions and the kinds that they define.

Contract:
    * A definition is validated when it is written (``crd_rules.py``). One that an older version of this server stored
      without that validation, and that cannot be served, is logged and not served. It can be read and deleted.
    * The conditions NamesAccepted and Established of a valid one are set by a second write directly after the first.
      Its kinds are served from then on. If a name is in use, it is not established.
    * A deletion deletes the objects first. While objects with finalizers exist, the finalizer
      ``customresourcecleanup.apiextensions.k8s.io`` keeps the definition, and no object can be created.
    * Objects are stored in the storage version. With the strategy Webhook the kinds have a conversion, which
      ``webhooks/conversions.py`` uses; with the strategy None versions differ only in their apiVersion.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.objects.kinds import (
    Conversion,
    PrinterColumn,
    Scale,
    ServedKind,
    Strategy,
)
from aimctl.devcluster.apiserver.schema import Schema
from aimctl.devcluster.apiserver.verbs.deletion import DeleteOptions
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.kubetypes import Resource
from aimctl.runtime.clock import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.apiserver.objects.kinds import KindRegistry
    from aimctl.devcluster.apiserver.verbs.deletion import Deletion
    from aimctl.devcluster.storage.history import Collection
    from aimctl.devcluster.storage.records import Change, Record
    from aimctl.devcluster.storage.store import Storage
    from aimctl.runtime.clock import Clock

__all__ = [
    "CRD_COLLECTION",
    "CrdController",
    "definition_warnings",
    "kinds_of",
    "prepare_definition",
    "settle_definition",
]

_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
"""The verbs of custom kinds, in the order of discovery, which is another one than that of built-in kinds."""

Obj = dict[str, Any]

_log = logging.getLogger("aimctl.devcluster")

CRD_COLLECTION = "customresourcedefinitions.apiextensions.k8s.io"
CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_TERMINATING = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def settle_definition(new: Obj, old: Mapping[str, Any] | None) -> None:  # noqa: ARG001 - the parameters of a strategy
    """Set default names, the default conversion, and the fields that every version has."""
    spec = new.setdefault("spec", {})
    names = dict(spec.get("names") or {})
    kind = names.get("kind") or ""
    if kind:
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")
    spec["names"] = names
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    if conversion.get("webhook") == {}:
        del conversion["webhook"]
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)
    if spec.get("preserveUnknownFields") is False:
        del spec["preserveUnknownFields"]
    for version in spec.get("versions") or ():
        version.setdefault("served", False)
        version.setdefault("storage", False)


def prepare_definition(new: Obj, old: Mapping[str, Any] | None) -> None:
    """Add the storage version to ``status.storedVersions``."""
    versions = new["spec"].get("versions") or ()
    current = [each.get("name") or "" for each in versions if each.get("storage")][:1]
    if old is None:
        names = {"kind": "", "plural": ""}
        new["status"] = {"conditions": None, "acceptedNames": names, "storedVersions": current}
        return
    status = new.get("status") or {}
    stored = status.get("storedVersions") or []
    added = [name for name in current if name not in stored]
    if added:
        new["status"] = {**status, "storedVersions": [*stored, *added]}


def definition_warnings(definition: Mapping[str, Any]) -> list[str]:
    """The warnings about formats that the server does not know. The definition is valid."""
    found: dict[str, None] = {}
    for version in definition["spec"]["versions"]:
        found |= dict.fromkeys(Schema.from_crd(version["schema"]["openAPIV3Schema"]).unknown_formats)
    return [f'unrecognized format "{name}"' for name in found]


def kinds_of(definition: Mapping[str, Any]) -> tuple[ServedKind, ...]:
    """The kinds of a valid definition, one for each served version."""
    return _parsed(msgspec.json.encode([definition["metadata"]["name"], definition["spec"]]))


@functools.lru_cache(maxsize=64)
def _parsed(source: bytes) -> tuple[ServedKind, ...]:
    """The kinds of a definition with this name and spec. Each write of a definition asks three times."""
    name, spec = msgspec.json.decode(source)
    definition = {"metadata": {"name": name}, "spec": spec}
    names = spec["names"]
    storage = next(each["name"] for each in spec["versions"] if each.get("storage"))
    conversion = _conversion(definition)
    return tuple(
        _kind(
            definition,
            version,
            storage_version=f"{spec['group']}/{storage}",
            names=names,
            conversion=conversion,
        )
        for version in spec["versions"]
        if version.get("served")
    )


def _kind(
    definition: Mapping[str, Any],
    version: Mapping[str, Any],
    *,
    storage_version: str,
    names: Mapping[str, Any],
    conversion: Conversion | None,
) -> ServedKind:
    spec = definition["spec"]
    subresources = version.get("subresources") or {}
    scale = subresources.get("scale")
    name = version["name"]
    warning = ""
    if version.get("deprecated"):
        text = f"{spec['group']}/{name} {names['kind']} is deprecated"
        warning = version.get("deprecationWarning") or text
    fields = tuple(each["jsonPath"].removeprefix(".") for each in version.get("selectableFields") or ())
    return ServedKind(
        resource=Resource.untyped(
            spec["group"], name, names["kind"], names["plural"], namespaced=spec["scope"] == "Namespaced"
        ),
        schema=Schema.from_crd(version["schema"]["openAPIV3Schema"]),
        singular=names["singular"],
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        list_kind=names["listKind"],
        verbs=_VERBS,
        status_subresource="status" in subresources,
        scale=None
        if scale is None
        else Scale(
            scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath") or ""
        ),
        columns=tuple(
            PrinterColumn(
                each["name"],
                each["type"],
                each["jsonPath"],
                each.get("description") or "",
                each.get("priority") or 0,
                each.get("format") or "",
            )
            for each in version.get("additionalPrinterColumns") or [_AGE]
        ),
        crd_name=definition["metadata"]["name"],
        storage_version=storage_version,
        strategy=Strategy(field_paths=fields),
        deprecated_warning=warning,
        conversion=conversion,
    )


def _conversion(definition: Mapping[str, Any]) -> Conversion | None:
    """The conversion webhook of a valid definition; None with the strategy None, or if there is one version."""
    spec = definition["spec"]
    conversion = spec.get("conversion") or {}
    if conversion.get("strategy") != "Webhook" or len(spec["versions"]) == 1:
        return None
    webhook = conversion["webhook"]
    return Conversion(
        definition["metadata"]["name"],
        webhook["clientConfig"],
        tuple(webhook["conversionReviewVersions"]),
        {
            f"{spec['group']}/{version['name']}": Schema.from_crd(version["schema"]["openAPIV3Schema"])
            for version in spec["versions"]
        },
    )


@final
class CrdController:
    """Updates the registry of kinds within each write of a definition."""

    def __init__(self, storage: Storage, kinds: KindRegistry, deletion: Deletion, *, clock: Clock) -> None:
        self._storage = storage
        self._kinds = kinds
        self._deletion = deletion
        self._clock = clock
        deletion.finishers[CRD_COLLECTION] = self
        storage.observers.append(self._observe)

    def load(self) -> None:
        """Serve the definitions in the journal."""
        for record in list(self._storage.collection(CRD_COLLECTION).scan()):
            self._serve(record.object())

    @staticmethod
    def _kinds_of(definition: Obj) -> tuple[ServedKind, ...] | None:
        """The kinds of a stored definition; None if it is invalid, which is logged."""
        try:
            return kinds_of(definition)
        except Exception as error:  # noqa: BLE001 - it was stored without today's validation
            name = (definition.get("metadata") or {}).get("name")
            _log.warning("CustomResourceDefinition %s is invalid and not served: %r", name, error)
            return None

    def check_creation(self, kind: ServedKind) -> None:
        """Raise StatusError if the kind's definition is being deleted."""
        record = self._storage.collection(CRD_COLLECTION).records.get(kind.crd_name or "")
        if record is None or b'"deletionTimestamp"' not in record.raw:
            return
        if record.object()["metadata"].get("deletionTimestamp"):
            text = "create not allowed while custom resource definition is terminating"
            raise statuses.status(405, "MethodNotAllowed", text)

    def begin(self, kind: ServedKind, record: Record) -> Obj | None:  # noqa: ARG002 - the protocol's parameters
        """Delete the objects, then the definition."""
        definitions = self._storage.collection(CRD_COLLECTION)
        obj = self._deletion.mark(definitions, record).object()
        finalizers = obj["metadata"].get("finalizers") or []
        if CLEANUP_FINALIZER not in finalizers:
            obj["metadata"]["finalizers"] = [*finalizers, CLEANUP_FINALIZER]
        self._condition(obj, "Terminating", "True", "InstanceDeletionPending", _TERMINATING)
        marked = self._storage.put(definitions, obj).object()
        served = next(iter(self._kinds_of(marked) or ()), None)
        if served is not None and self._established(marked):
            collection = self._storage.collection(served.storage_key, served.rules.field_paths)
            for each in list(collection.scan()):
                present = collection.records.get(each.key)
                if present is not None:
                    self._deletion.delete(
                        served, collection, present, DeleteOptions(propagation="Background")
                    )
        self._finish_if_empty(record.name)
        return marked

    def may_finish(self, kind: ServedKind, obj: Mapping[str, Any]) -> bool:  # noqa: ARG002 - the protocol's
        """Always: only finalizers keep a definition."""
        return True

    def _observe(self, collection: Collection, change: Change) -> None:
        if collection.name == CRD_COLLECTION:
            if change.type == "DELETED":
                self._kinds.remove_crd(change.record.name)
                self._storage.drop(change.record.name)
            elif collection.records.get(change.record.key) is change.record:
                self._accept(collection, change.record)
        elif change.type == "DELETED" and not collection.records:
            self._finish_if_empty(collection.name)

    def _finish_if_empty(self, name: str) -> None:
        definitions = self._storage.collection(CRD_COLLECTION)
        record = definitions.records.get(name)
        if record is None or self._storage.collection(name).records:
            return
        obj = record.object()
        finalizers = obj["metadata"].get("finalizers") or []
        if not obj["metadata"].get("deletionTimestamp") or CLEANUP_FINALIZER not in finalizers:
            return
        obj["metadata"]["finalizers"] = [each for each in finalizers if each != CLEANUP_FINALIZER]
        if obj["metadata"]["finalizers"]:
            self._storage.put(definitions, obj)
        else:
            self._storage.delete(definitions, record)

    def _accept(self, collection: Collection, record: Record) -> None:
        """Set conditions and accepted names of a new or changed definition."""
        obj = record.object()
        if self._kinds_of(obj) is None:
            return
        before = msgspec.json.encode(obj.get("status"))
        status = obj.setdefault("status", {})
        names = obj["spec"]["names"]
        conflict = self._name_conflict(obj)
        if conflict is not None:
            self._condition(obj, "NamesAccepted", "False", *conflict)
            if not self._established(obj):
                text = "not all names are accepted"
                self._condition(obj, "Established", "False", "NotAccepted", text)
        else:
            status["acceptedNames"] = dict(names)
            self._condition(obj, "NamesAccepted", "True", "NoConflicts", "no conflicts found")
            text = "the initial names have been accepted"
            self._condition(obj, "Established", "True", "InitialNamesAccepted", text)
        if msgspec.json.encode(status) == before:
            self._serve(obj)
        else:
            self._storage.put(collection, obj)

    def _serve(self, definition: Obj) -> None:
        kinds = self._kinds_of(definition) if self._established(definition) else None
        if kinds is not None:
            self._kinds.remove_crd(definition["metadata"]["name"])
            self._kinds.add(*kinds)

    def _name_conflict(self, definition: Obj) -> tuple[str, str] | None:
        """Reason and message if another kind of the group has one of the names, else None."""
        spec, own = definition["spec"], definition["metadata"]["name"]
        names = spec["names"]
        for kind in self._kinds:
            if kind.resource.group != spec["group"] or kind.crd_name == own:
                continue
            if kind.resource.kind in (names["kind"], names["listKind"]) or kind.list_kind == names["kind"]:
                return "KindConflict", f'"{names["kind"]}" is already in use'
            words = {kind.singular, *kind.short_names, kind.resource.plural}
            for word in (names["singular"], *(names.get("shortNames") or ())):
                if word in words:
                    return "ShortNamesConflict", f'"{word}" is already in use'
        return None

    @staticmethod
    def _established(definition: Mapping[str, Any]) -> bool:
        conditions = (definition.get("status") or {}).get("conditions") or ()
        return any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions)

    def _condition(self, obj: Obj, type_: str, status: str, reason: str, message: str) -> None:
        conditions = obj.setdefault("status", {}).get("conditions") or []
        present = next((each for each in conditions if each.get("type") == type_), None)
        if present is not None and present.get("status") == status and present.get("reason") == reason:
            return
        now = format_time(self._clock.now())
        new = {
            "type": type_,
            "status": status,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        }
        obj["status"]["conditions"] = [each for each in conditions if each.get("type") != type_] + [new]
