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
from typing import TYPE_CHECKING, Any, Literal, Protocol, final

import msgspec

from aimctl.devcluster import metadata as rules
from aimctl.devcluster import statuses
from aimctl.devcluster.apply import record_update, reset_fields
from aimctl.devcluster.schema.errors import FieldError
from aimctl.devcluster.storage import Record, encode_object, object_key
from aimctl.runtime.clock import format_time

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from aimctl.devcluster.deletion import Deletion
    from aimctl.devcluster.kinds import ServedKind
    from aimctl.devcluster.storage import Collection, Storage
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
    validation: Literal["Ignore", "Warn", "Strict"] = "Warn"
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
        self._check_type(kind, obj)
        metadata = self._own_metadata(kind, obj, namespace, created=True)
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
        obj, warnings = self._shape(kind, obj, options)
        if kind.status_subresource:
            obj.pop("status", None)
        new = self._finish(kind, obj, None, options, "", applied=applied)
        key = object_key(new["metadata"].get("namespace") or "", new["metadata"]["name"])
        if key in collection.records:
            raise statuses.already_exists(kind.resource, new["metadata"]["name"])
        return Written(self._store(kind, collection, new, options), created=True, warnings=warnings)

    def _name(self, kind: ServedKind, collection: Collection, metadata: dict[str, Any]) -> None:
        if metadata.get("name") or not metadata.get("generateName"):
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
        self._check_type(kind, obj)
        metadata = self._own_metadata(kind, obj, namespace)
        if not metadata.get("name"):
            why = f"the name of the object ({name} based on URL) was undeterminable"
            raise statuses.bad_request(f"{why}: name must be provided")
        self._check_name(metadata, name)
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
        self._check_preconditions(kind, record, metadata, from_patch=from_patch)
        obj, warnings = self._shape(kind, obj, options, from_patch=from_patch)
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

    def check_patched(self, kind: ServedKind, obj: dict[str, Any], namespace: str, name: str) -> None:
        """Raise StatusError when a patch took the object for another: type, name, namespace."""
        self._check_type(kind, obj)
        self._check_name(self._own_metadata(kind, obj, namespace), name)

    def _check_type(self, kind: ServedKind, obj: dict[str, Any]) -> None:
        resource = kind.resource
        if kind.custom and not obj.get("kind"):
            raise statuses.bad_request(f"Object 'Kind' is missing in '{_shown(obj)}'")
        api_version = obj.setdefault("apiVersion", resource.api_version)
        name = obj.setdefault("kind", resource.kind)
        if api_version != resource.api_version and kind.custom:
            raise statuses.bad_request(
                f"the API version in the data ({api_version}) does not match the expected API version"
                f" ({resource.api_version})"
            )
        if name != resource.kind and kind.custom:
            own = (obj.get("metadata") or {}).get("name") or ""
            error = FieldError("FieldValueInvalid", "kind", name, f"must be {resource.kind}")
            raise statuses.invalid(resource.group, name, own, [error])
        if api_version != resource.api_version or name != resource.kind:
            version = str(api_version).rpartition("/")[2]
            why = (
                f"converting ({version}.{name}) to ({resource.group or 'core'}.{resource.kind}): unknown conversion"
                if api_version == resource.api_version
                else f'no kind "{name}" is registered for version "{api_version}"'
            )
            raise statuses.bad_request(
                f'{name} in version "{version}" cannot be handled as a {resource.kind}: {why}'
            )

    def _own_metadata(
        self, kind: ServedKind, obj: dict[str, Any], namespace: str, *, created: bool = False
    ) -> dict[str, Any]:
        """The body's metadata, checked for shape, with the request's namespace in it."""
        metadata = obj.get("metadata")
        if metadata is None:
            metadata = obj["metadata"] = {}
        problem = rules.shape_errors(metadata)
        if problem:
            raise statuses.bad_request(
                f'{kind.resource.kind} in version "{kind.resource.version}" cannot be handled as a'
                f" {kind.resource.kind}: {problem}"
            )
        for name in ("labels", "annotations", "finalizers", "ownerReferences", "managedFields", "namespace"):
            if name in metadata and not metadata[name]:
                del metadata[name]
        if kind.resource.namespaced and metadata.setdefault("namespace", namespace) != namespace:
            raise statuses.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
                if created
                else f"the namespace of the object ({metadata['namespace']}) does not match the namespace on the"
                f" request ({namespace})"
            )
        return metadata

    def _check_name(self, metadata: Mapping[str, Any], name: str) -> None:
        if metadata.get("name") != name:
            own = metadata.get("name") or ""
            raise statuses.bad_request(
                f"the name of the object ({own}) does not match the name on the URL ({name})"
            )

    def _check_preconditions(
        self, kind: ServedKind, record: Record, metadata: Mapping[str, Any], *, from_patch: bool
    ) -> None:
        uid = metadata.get("uid")
        if uid and uid != record.uid and not from_patch:
            key = f"/registry/{kind.resource.group}/{kind.resource.plural}/{record.key}".replace("//", "/")
            why = (
                f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg:"
                f" Precondition failed: UID in precondition: {uid}, UID in object meta: {record.uid}"
            )
            raise statuses.conflict(kind.resource, record.name, why)
        version = metadata.get("resourceVersion")
        if version and version not in (str(record.version), "0"):
            if not (version.isascii() and version.isdigit()):
                raise statuses.unreadable_version(version)
            raise statuses.conflict(kind.resource, record.name)

    def _shape(
        self, kind: ServedKind, obj: dict[str, Any], options: WriteOptions, *, from_patch: bool = False
    ) -> tuple[dict[str, Any], list[str]]:
        """Prune and default. Raises 400 for unknown fields when they are to be refused."""
        pruned, unknown = kind.schema.prune(obj)
        texts = [f'unknown field "{path}"' for path in unknown]
        if texts and options.validation == "Strict":
            resource = kind.resource
            if from_patch:
                why = f"strict decoding error: {', '.join(texts)}"
                error = FieldError("FieldValueInvalid", "patch", _shown(obj), why)
                raise statuses.invalid("", "", "", [error])
            raise statuses.bad_request(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}:'
                f" strict decoding error: {', '.join(texts)}"
            )
        shaped = kind.schema.default(pruned)
        shaped["metadata"] = dict(shaped["metadata"])
        warnings = texts if options.validation == "Warn" else []
        if kind.deprecated_warning:
            warnings = [kind.deprecated_warning, *warnings]
        return shaped, warnings

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


def _shown(obj: Any) -> str:
    return msgspec.json.encode(obj).decode()[:512]
