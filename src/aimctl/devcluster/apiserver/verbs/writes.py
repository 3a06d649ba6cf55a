"""Create and update: the steps by which an object is written.

Contract:
    * Every write has the same steps: prune, default, admit, update managedFields, prepare, validate, store. They run
      between two awaits, so a write is atomic.
    * A write that changes nothing is not stored and keeps the resourceVersion.
    * A dry run has all steps except the last.

Invariants: uid, name, namespace, creationTimestamp and deletionTimestamp do not change after the creation. The
generation increases exactly if the desired state changes. A write to the subresource ``status`` changes only the
status, and only such a write changes it.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.apply.server_side import record_update, reset_fields
from aimctl.devcluster.apiserver.objects import metadata as rules
from aimctl.devcluster.apiserver.objects.embedded import embedded_errors
from aimctl.devcluster.apiserver.schema.errors import FieldError
from aimctl.devcluster.apiserver.schema.scalars.numbers import with_plain_numbers
from aimctl.devcluster.apiserver.schema.walk import fill_defaults
from aimctl.devcluster.apiserver.verbs import bodies
from aimctl.devcluster.apiserver.verbs.write_types import Target, WriteOptions, Written
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.storage.records import Record, encode_object, object_key
from aimctl.runtime.clock import format_time

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from aimctl.devcluster.apiserver.objects.kinds import ServedKind
    from aimctl.devcluster.apiserver.verbs.deletion import Deletion
    from aimctl.devcluster.apiserver.verbs.write_types import Admission, AdmissionWebhooks, VersionConversions
    from aimctl.devcluster.storage.history import Collection
    from aimctl.devcluster.storage.store import Storage
    from aimctl.runtime.clock import Clock

__all__ = ["Writer"]

_STRUCTURES = ("spec", "status")
"""Fields of built-in kinds that are structures, and are always present."""
_GENERATED = "bcdfghjklmnpqrstvwxz2456789"
"""The characters of generated suffixes (``apimachinery/pkg/util/rand``)."""
_GENERATED_LENGTH = 5
_NAME_ATTEMPTS = 8
_MAX_GENERATE_BASE = 58


@final
class Writer:
    """Writes objects.

    Args:
        storage: the storage.
        clock: for creationTimestamp and the times in managedFields.
        rng: for uids and generated names.
        check_creation: raises StatusError if an object of this kind, namespace and name must not be created.
        deletion: deletes an object whose last finalizer was removed.
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
        self.rng = rng
        self._check_creation = check_creation
        self._deletion = deletion
        self.admission: list[Admission] = []
        self.webhooks: AdmissionWebhooks | None = None
        self.conversions: VersionConversions | None = None

    def collection(self, kind: ServedKind) -> Collection:
        """The collection of a kind."""
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
        """Create an object. ``obj`` may be changed; ``applied`` tells that it has its managedFields already.

        Raises:
            StatusError: 400, 403, 404, 409, 422; 500 for a resourceVersion in the body, as the real server.
        """
        bodies.check_type(kind, obj)
        metadata = bodies.own_metadata(kind, obj, namespace)
        if metadata.pop("resourceVersion", None) and not options.dry_run:
            raise statuses.status(500, "", "resourceVersion should not be set on objects to be created")
        self._check_creation(kind, metadata.get("namespace") or "", metadata.get("name") or "")
        collection = self.collection(kind)
        self._name(kind, collection, metadata)
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            metadata.pop(name, None)
        metadata["uid"] = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        metadata["creationTimestamp"] = format_time(self._clock.now())
        if kind.rules.generation:
            metadata["generation"] = 1
        duplicates = bodies.drop_duplicate_owners(metadata)
        obj, warnings = bodies.shaped(
            kind, obj, options.validation, applied=applied, duplicates=options.duplicates
        )
        if kind.status_subresource and not kind.rules.keeps_status:
            obj.pop("status", None)
        if kind.rules.settle is not None:
            kind.rules.settle(obj, None)
        self._admit(kind, obj, None, "")
        new = self._finish(kind, obj, None, options, "", applied=applied)
        if kind.rules.warn is not None:
            warnings += kind.rules.warn(new)
        if kind.custom:
            warnings += rules.finalizer_warnings(new["metadata"], None)
        key = object_key(new["metadata"].get("namespace") or "", new["metadata"]["name"])
        if key in collection.records:
            present = collection.records[key].object()["metadata"]
            raise statuses.already_exists(
                kind.resource, new["metadata"]["name"], deleting="deletionTimestamp" in present
            )
        record = self._store(kind, collection, new, options)
        return Written(record, created=True, warnings=[*warnings, *duplicates])

    def _name(self, kind: ServedKind, collection: Collection, metadata: dict[str, Any]) -> None:
        if metadata.get("name") or not metadata.get("generateName"):
            metadata["name"] = metadata.get("name") or ""
            return
        base = metadata["generateName"][:_MAX_GENERATE_BASE]
        for _ in range(_NAME_ATTEMPTS):
            suffix = "".join(self.rng.choice(_GENERATED) for _ in range(_GENERATED_LENGTH))
            metadata["name"] = base + suffix
            if object_key(metadata.get("namespace") or "", metadata["name"]) not in collection.records:
                return
        raise statuses.already_exists(kind.resource, metadata["name"])

    # -- update

    def update(self, target: Target, obj: dict[str, Any], options: WriteOptions) -> Written:
        """Replace an object or its status. ``obj`` may be changed.

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
            bodies.check_absent(kind, metadata, target.key)
            return self.create(kind, namespace, obj, options)
        if metadata.get("resourceVersion", "") in ("", "0") and not kind.rules.unconditional_update:
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
        """Replace ``record`` by ``obj``, which may be changed.

        Args:
            kind: the kind at the version of ``obj``.
            record: the stored object.
            obj: the whole new object.
            options: see :class:`WriteOptions`.
            subresource: "", "scale", "status", "finalize" or "approval", which writes conditions as "status" does.
            applied: whether ``obj`` has its managedFields already.
            internal: whether the server itself writes, for which the kind's own rules (immutable fields) do not apply.
            from_patch: whether errors about unknown fields are those of a patch.
        """
        old = self.stored_form(kind, record)
        metadata = obj["metadata"]
        bodies.check_preconditions(kind, record, metadata, from_patch=from_patch)
        repeated = bodies.drop_duplicate_owners(metadata)
        obj, warnings = bodies.shaped(
            kind,
            obj,
            options.validation,
            from_patch=from_patch,
            applied=applied,
            duplicates=options.duplicates,
        )
        warnings += repeated
        metadata = obj["metadata"]
        old_metadata = old["metadata"]
        for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
            # Clients cannot change the times. A different uid of a patch is kept, so that the validation rejects it.
            if name in old_metadata and (name != "uid" or not metadata.get("uid")):
                metadata[name] = old_metadata[name]
        for name in ("generation", "resourceVersion", "selfLink"):
            metadata.pop(name, None)
            if name in old_metadata:
                metadata[name] = old_metadata[name]
        obj = bodies.of_subresource(kind, obj, old, subresource)
        if kind.rules.settle is not None:
            kind.rules.settle(obj, old)
        self._admit(kind, obj, old, subresource)
        desired = subresource != "status" or not kind.rules.desires_annotations
        if (
            kind.rules.generation
            and desired
            and not internal
            and self._desired(kind, obj) != self._desired(kind, old)
        ):
            obj["metadata"]["generation"] = int(old_metadata.get("generation") or 0) + 1
            warnings += [] if kind.rules.warn is None else kind.rules.warn(obj)
        new = self._finish(
            kind,
            obj,
            old,
            options,
            subresource,
            applied=applied,
            internal=internal or subresource not in ("", "scale"),
        )
        if kind.custom:
            warnings += rules.finalizer_warnings(new["metadata"], old_metadata)
        if new == old and _canonical(new) == _canonical(old) and self._is_current(kind, record, new):
            return Written(record, warnings=warnings)
        return Written(self._replace_stored(kind, record, new, options), warnings=warnings)

    def _replace_stored(
        self, kind: ServedKind, record: Record, new: dict[str, Any], options: WriteOptions
    ) -> Record:
        """Store the new state, or delete the object if this write removed the last finalizer."""
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
        # The response shows what was written. It is not stored, so a webhook does not convert it.
        stored = new if kind.conversion is not None else self._stored(kind, new)
        self._storage.delete(collection, record)
        return Record(stored, encode_object(stored), record.version)

    def force(self, kind: ServedKind, new: dict[str, Any], options: WriteOptions) -> Record:
        """Store an object that the server itself changed, without checks. ``new`` may be changed."""
        return self._store(kind, self.collection(kind), new, options)

    # -- steps

    def stored_form(self, kind: ServedKind, record: Record) -> dict[str, Any]:
        """A decoded copy of the object in the kind's version."""
        if self.conversions is not None and kind.conversion is not None:
            return self.conversions.object(kind, record)
        obj = record.object()
        if kind.rules.convert_out is not None:
            obj = kind.rules.convert_out(obj)
        obj["apiVersion"] = kind.resource.api_version
        return obj

    def _admit(
        self, kind: ServedKind, obj: dict[str, Any], old: Mapping[str, Any] | None, subresource: str
    ) -> None:
        for hook in self.admission:
            hook.admit(kind, obj, old, subresource)
        if self.webhooks is not None:
            self.webhooks.mutate(kind, obj, old, subresource)

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
        """Update managedFields, prepare and validate."""
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
        for name in _STRUCTURES:
            if not kind.custom and name in kind.schema.root.properties:
                obj.setdefault(name, fill_defaults({}, kind.schema.root.properties[name]))
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
        blocked = any(error.blocks_rules for error in errors)
        errors += kind.schema.validate(obj, old, blocked=blocked)
        if kind.custom and not errors:
            errors += embedded_errors(obj, kind.schema.root)
        if kind.custom and kind.scale is not None:
            errors += bodies.scale_errors(kind.scale, obj)
        if strategy.check is not None and not internal:
            errors += strategy.check(obj, old)
        if errors:
            resource = kind.resource
            # Events of both groups are validated as one kind.
            group = "" if kind.storage_key == "events" else resource.group
            raise statuses.invalid(group, resource.kind, metadata.get("name") or "", errors)
        if self.webhooks is not None:
            self.webhooks.validate(kind, obj, old, subresource)
        return with_plain_numbers(obj) if kind.custom else obj

    def _desired(self, kind: ServedKind, obj: Mapping[str, Any]) -> Any:
        """The part of an object whose change increases the generation."""
        if kind.rules.desires_annotations:
            return obj.get("spec"), obj["metadata"].get("annotations") or {}
        if not kind.custom:
            return obj.get("spec")
        skipped = {"metadata", "apiVersion", "kind", "status"} if kind.status_subresource else {"metadata"}
        return {name: value for name, value in obj.items() if name not in skipped}

    def _stored(self, kind: ServedKind, obj: dict[str, Any]) -> dict[str, Any]:
        """The object in the stored version."""
        if self.conversions is not None and kind.conversion is not None:
            stored = self.conversions.stored(kind, obj)
            self.conversions.expect(kind, stored)
            return stored
        if kind.rules.convert_in is not None:
            return kind.rules.convert_in(obj)
        obj["apiVersion"] = kind.storage_version
        return obj

    def _is_current(self, kind: ServedKind, record: Record, new: dict[str, Any]) -> bool:
        """Whether a write without changes would store what is stored already.

        It would not if the storage version has changed since the object was written, or if a webhook converts it to
        something else.
        """
        if not kind.custom:
            return True
        if kind.conversion is None:
            return record.raw.startswith(b'{"apiVersion":"%b"' % kind.storage_version.encode())
        return _canonical(self._stored(kind, new)) == _canonical(record.object())

    def _store(
        self, kind: ServedKind, collection: Collection, new: dict[str, Any], options: WriteOptions
    ) -> Record:
        new = self._stored(kind, new)
        if options.dry_run:
            version = int(new["metadata"].get("resourceVersion") or 0)
            return Record(new, encode_object(new), version, collection.field_paths)
        return self._storage.put(collection, new)


def _canonical(obj: Any) -> bytes:
    """A form in which 1, 1.0 and true differ, unlike with ``==``."""
    return msgspec.json.encode(obj, order="sorted")
