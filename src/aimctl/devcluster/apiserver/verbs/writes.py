"""Create, update and patch: the one way an object gets into storage.

Contract:
    * Every write runs the same steps: decode, prune, default, admit, note field owners, prepare, validate,
      store. It happens between two awaits: nothing is half written, nobody sees the middle.
    * A write that changes nothing stores nothing and keeps the resourceVersion.
    * A dry run does everything but store.

Invariants kept here: uid, name, namespace, creationTimestamp and deletionTimestamp never change after
creation; generation grows exactly when the desired state changes; ``status`` changes only through its
subresource, and nothing else does through it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, final

import msgspec

from aimctl.devcluster.apiserver.apply.server_side import record_update, reset_fields
from aimctl.devcluster.apiserver.objects import metadata as rules
from aimctl.devcluster.apiserver.schema.errors import FieldError
from aimctl.devcluster.apiserver.verbs import bodies
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.storage.records import Record, encode_object, object_key
from aimctl.runtime.clock import format_time

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from aimctl.devcluster.apiserver.objects.kinds import ServedKind
    from aimctl.devcluster.apiserver.verbs.bodies import FieldValidation
    from aimctl.devcluster.apiserver.verbs.deletion import Deletion
    from aimctl.devcluster.storage.history import Collection
    from aimctl.devcluster.storage.store import Storage
    from aimctl.runtime.clock import Clock

__all__ = ["Admission", "Target", "WriteOptions", "Writer", "Written"]

_GENERATED = "bcdfghjklmnpqrstvwxz2456789"
"""What generated names end with (``apimachinery/pkg/util/rand``)."""
_GENERATED_LENGTH = 5
_NAME_ATTEMPTS = 8
_MAX_GENERATE_BASE = 58


@final
@dataclass(frozen=True, slots=True)
class WriteOptions:
    """``metav1.CreateOptions`` and its like.

    Attributes:
        manager: who is noted as the fields' owner.
        validation: what becomes of unknown fields.
        force: take over fields in a conflict (apply only).
    """

    manager: str = "unknown"
    validation: FieldValidation = "Warn"
    dry_run: bool = False
    force: bool = False


@final
@dataclass(frozen=True, slots=True)
class Target:
    """Which object a request is about."""

    kind: ServedKind
    namespace: str
    name: str
    subresource: str = ""

    @property
    def key(self) -> str:
        """Its key in the kind's collection."""
        return object_key(self.namespace, self.name)


@final
@dataclass(frozen=True, slots=True)
class Written:
    """A write's outcome.

    Attributes:
        record: the object as it is now; of a dry run, as it would be.
        created: whether it was not there before.
        warnings: texts for Warning headers.
    """

    record: Record
    created: bool = False
    warnings: list[str] = field(default_factory=list)


class Admission(Protocol):
    """Sees every create and update before it is validated. It may change ``new``, or raise StatusError."""

    def admit(
        self, kind: ServedKind, new: dict[str, Any], old: Mapping[str, Any] | None, subresource: str
    ) -> None:
        """Look at one write; ``old`` is None on create."""
        ...


@final
class Writer:
    """Writes objects.

    Args:
        storage: where to.
        clock: for creationTimestamp and field owners' times.
        rng: for uids and generated names.
        check_creation: raises StatusError when none of this kind may be created in this namespace (or none).
        deletion: removes an object whose last finalizer went.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Clock,
        rng: random.Random,
        check_creation: Callable[[ServedKind, str, str], None],
        deletion: Deletion,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._rng = rng
        self._check_creation = check_creation
        self._deletion = deletion
        self.admission: list[Admission] = []

    def collection(self, kind: ServedKind) -> Collection:
        """Where objects of this kind are."""
        return self._storage.collection(kind.storage_key, kind.rules.field_paths)

    # -- create

    def create(
        self,
        kind: ServedKind,
        namespace: str,
        obj: dict[str, Any],
        options: WriteOptions,
        *,
        applied: bool = False,
    ) -> Written:
        """Create an object. Takes ``obj`` over; ``applied`` says that field owners are noted already.

        Raises:
            StatusError: 400, 403, 404, 409, 422, or 500 as the real server for a resourceVersion in the body.
        """
        bodies.check_type(kind, obj)
        metadata = bodies.own_metadata(kind, obj, namespace, created=True)
        if metadata.pop("resourceVersion", None):
            raise statuses.status(500, "", "resourceVersion should not be set on objects to be created")
        self._check_creation(kind, metadata.get("namespace") or "", metadata.get("name") or "")
        collection = self.collection(kind)
        self._name(kind, collection, metadata)
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
            metadata.pop(name, None)
        metadata["uid"] = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        metadata["creationTimestamp"] = format_time(self._clock.now())
        if kind.rules.generation:
            metadata["generation"] = 1
        obj, warnings = bodies.shaped(kind, obj, options.validation)
        if kind.status_subresource:
            obj.pop("status", None)
        new = self._finish(kind, obj, None, options, "", applied=applied)
        key = object_key(new["metadata"].get("namespace") or "", new["metadata"]["name"])
        if key in collection.records:
            raise statuses.already_exists(kind.resource, new["metadata"]["name"])
        return Written(self._store(kind, collection, new, options), created=True, warnings=warnings)

    def _name(self, kind: ServedKind, collection: Collection, metadata: dict[str, Any]) -> None:
        if metadata.get("name") or not metadata.get("generateName"):
            metadata["name"] = metadata.get("name") or ""
            return
        base = metadata["generateName"][:_MAX_GENERATE_BASE]
        for _ in range(_NAME_ATTEMPTS):
            suffix = "".join(self._rng.choice(_GENERATED) for _ in range(_GENERATED_LENGTH))
            metadata["name"] = base + suffix
            if object_key(metadata.get("namespace") or "", metadata["name"]) not in collection.records:
                return
        raise statuses.already_exists(kind.resource, metadata["name"])

    # -- update

    def update(self, target: Target, obj: dict[str, Any], options: WriteOptions) -> Written:
        """Replace an object, or its status. Takes ``obj`` over.

        Raises:
            StatusError: 400, 403, 404, 409, 422.
        """
        kind, namespace, name = target.kind, target.namespace, target.name
        bodies.check_type(kind, obj)
        metadata = bodies.own_metadata(kind, obj, namespace)
        if not metadata.get("name"):
            why = f"the name of the object ({name} based on URL) was undeterminable"
            raise statuses.bad_request(f"{why}: name must be provided")
        bodies.check_name(metadata, name)
        record = self.collection(kind).records.get(target.key)
        if record is None:
            if not kind.rules.create_on_update or target.subresource:
                raise statuses.not_found(kind.resource, name)
            metadata.pop("resourceVersion", None)
            return self.create(kind, namespace, obj, options)
        if not metadata.get("resourceVersion") and not kind.rules.unconditional_update:
            error = FieldError(
                "FieldValueInvalid", "metadata.resourceVersion", 0, "must be specified for an update"
            )
            raise statuses.invalid(kind.resource.group, kind.resource.plural, name, [error])
        return self.replace(kind, record, obj, options, subresource=target.subresource)

    def replace(
        self,
        kind: ServedKind,
        record: Record,
        obj: dict[str, Any],
        options: WriteOptions,
        *,
        subresource: str = "",
        applied: bool = False,
        internal: bool = False,
        from_patch: bool = False,
    ) -> Written:
        """Put ``obj`` in the place of ``record``, as update and patch do. Takes ``obj`` over.

        Args:
            kind: at the version ``obj`` is written in.
            record: what is there now.
            obj: the whole new object.
            options: see :class:`WriteOptions`.
            subresource: "" or "status".
            applied: field owners are noted already.
            internal: the server itself writes: kind rules (immutable fields) do not bind it.
            from_patch: unknown fields are refused as the patch's, not the body's.
        """
        old = self.stored_form(kind, record)
        metadata = obj["metadata"]
        bodies.check_preconditions(kind, record, metadata, from_patch=from_patch)
        obj, warnings = bodies.shaped(kind, obj, options.validation, from_patch=from_patch)
        metadata = obj["metadata"]
        old_metadata = old["metadata"]
        for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
            # a client cannot move the times; a uid was compared already, save a patch's, which stays to be refused
            if name in old_metadata and (name != "uid" or not metadata.get("uid")):
                metadata[name] = old_metadata[name]
        for name in ("generation", "resourceVersion", "generateName", "selfLink"):
            metadata.pop(name, None)
            if name in old_metadata:
                metadata[name] = old_metadata[name]
        if subresource == "finalize":
            spec = {**(old.get("spec") or {}), "finalizers": (obj.get("spec") or {}).get("finalizers") or []}
            obj = {**old, "spec": spec, "metadata": metadata}
        elif subresource == "status":
            owners = metadata.get("managedFields")
            obj = {**old, "status": obj["status"]} if "status" in obj else _without(old, "status")
            obj["metadata"] = dict(old_metadata)
            if owners is not None:
                obj["metadata"]["managedFields"] = owners
        elif kind.status_subresource:
            obj = _without(obj, "status")
            if "status" in old:
                obj["status"] = old["status"]
        if kind.rules.generation and not internal and self._desired(kind, obj) != self._desired(kind, old):
            obj["metadata"]["generation"] = int(old_metadata.get("generation") or 0) + 1
        new = self._finish(
            kind,
            obj,
            old,
            options,
            subresource,
            applied=applied,
            internal=internal or bool(subresource),
        )
        if new == old and _canonical(new) == _canonical(old):
            return Written(record, warnings=warnings)
        return Written(self._replace_stored(kind, record, new, options), warnings=warnings)

    def _replace_stored(
        self, kind: ServedKind, record: Record, new: dict[str, Any], options: WriteOptions
    ) -> Record:
        """Store the new state, or let the object go when this write took away what held it."""
        collection = self.collection(kind)
        metadata = new["metadata"]
        held = (
            not metadata.get("deletionTimestamp")
            or metadata.get("finalizers")
            or metadata.get("deletionGracePeriodSeconds")
            or not self._deletion.may_finish(kind, new)
        )
        if held or options.dry_run:
            return self._store(kind, collection, new, options)
        self._storage.delete(collection, record)
        stored = self._stored(kind, new)
        return Record(stored, encode_object(stored), record.version)

    def force(self, kind: ServedKind, new: dict[str, Any], options: WriteOptions) -> Record:
        """Store what the server itself made of an object: nothing is checked. Takes ``new`` over."""
        return self._store(kind, self.collection(kind), new, options)

    # -- steps

    def stored_form(self, kind: ServedKind, record: Record) -> dict[str, Any]:
        """A private copy of the object in the kind's version."""
        obj = record.object()
        if kind.rules.convert_out is not None:
            obj = kind.rules.convert_out(obj)
        obj["apiVersion"] = kind.resource.api_version
        return obj

    def _finish(
        self,
        kind: ServedKind,
        obj: dict[str, Any],
        old: dict[str, Any] | None,
        options: WriteOptions,
        subresource: str,
        *,
        applied: bool = False,
        internal: bool = False,
    ) -> dict[str, Any]:
        """Admit, note owners, prepare, validate."""
        for hook in self.admission:
            hook.admit(kind, obj, old, subresource)
        if not applied:
            obj = record_update(
                old,
                obj,
                manager=options.manager,
                operation="Update",
                schema=kind.schema,
                api_version=kind.resource.api_version,
                subresource=subresource,
                now=format_time(self._clock.now()),
                reset=reset_fields(status_subresource=kind.status_subresource, subresource=subresource),
            )
        strategy = kind.rules
        if strategy.prepare is not None and not internal:
            strategy.prepare(obj, old)
        metadata = obj["metadata"]
        if old is None:
            errors = rules.created_errors(
                metadata,
                rule=strategy.name_rule,
                namespaced=kind.resource.namespaced,
                custom=kind.custom,
            )
        else:
            errors = rules.updated_errors(metadata, old["metadata"])
        errors += kind.schema.validate(obj, old)
        if strategy.check is not None and not internal:
            errors += strategy.check(obj, old)
        if errors:
            resource = kind.resource
            raise statuses.invalid(resource.group, resource.kind, metadata.get("name") or "", errors)
        return obj

    def _desired(self, kind: ServedKind, obj: Mapping[str, Any]) -> Any:
        """The part whose change is a new generation."""
        if not kind.custom:
            return obj.get("spec")
        skipped = {"metadata", "apiVersion", "kind", "status"} if kind.status_subresource else {"metadata"}
        return {name: value for name, value in obj.items() if name not in skipped}

    def _stored(self, kind: ServedKind, obj: dict[str, Any]) -> dict[str, Any]:
        """The object in the stored version."""
        if kind.rules.convert_in is not None:
            return kind.rules.convert_in(obj)
        obj["apiVersion"] = kind.storage_version
        return obj

    def _store(
        self, kind: ServedKind, collection: Collection, new: dict[str, Any], options: WriteOptions
    ) -> Record:
        new = self._stored(kind, new)
        if options.dry_run:
            version = int(new["metadata"].get("resourceVersion") or 0)
            return Record(new, encode_object(new), version, collection.field_paths)
        return self._storage.put(collection, new)


def _without(obj: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key != name}


def _canonical(obj: Any) -> bytes:
    """Tells 1 from 1.0 and true, which ``==`` does not."""
    return msgspec.json.encode(obj, order="sorted")
