"""Deletion: immediate, after a grace period, or after the last finalizer is removed.

Contract, as in Kubernetes' generic registry (``registry/generic/registry/store.go``, ``registry/rest/delete.go``):
    * An object with finalizers or a grace period is marked (deletionTimestamp, deletionGracePeriodSeconds, generation
      increased) and stays. Another delete can only shorten the period.
    * The propagation policy adds the finalizer ``orphan`` or ``foregroundDeletion`` for the garbage collector, or none.
    * Preconditions are checked against the stored object.

Kinds with additional steps (namespaces, CRDs) register a :class:`Finisher`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, final

from aimctl.devcluster.apiserver.objects.metadata import FOREGROUND, ORPHAN
from aimctl.devcluster.apiserver.schema.errors import FieldError
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.runtime.clock import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.apiserver.objects.kinds import ServedKind
    from aimctl.devcluster.apiserver.wire.requests import Query
    from aimctl.devcluster.storage.history import Collection
    from aimctl.devcluster.storage.records import Record
    from aimctl.devcluster.storage.store import Storage
    from aimctl.runtime.clock import Clock

__all__ = ["DeleteOptions", "Deleted", "Deletion", "Finisher", "parse_delete_options"]

_POLICIES = ("Foreground", "Background", "Orphan")


@final
@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """``metav1.DeleteOptions``."""

    grace_period_seconds: int | None = None
    propagation: str = ""
    uid: str | None = None
    version: str | None = None
    dry_run: bool = False


@final
@dataclass(frozen=True, slots=True)
class Deleted:
    """The outcome: the last or marked state of the object, and whether it is removed."""

    object: dict[str, Any]
    gone: bool


class Finisher(Protocol):
    """Additional steps of a kind: called when a deletion starts, and before an object is removed."""

    def begin(self, kind: ServedKind, record: Record) -> dict[str, Any] | None:
        """Start the deletion and return the object, or return None to remove it at once."""
        ...

    def may_finish(self, kind: ServedKind, obj: Mapping[str, Any]) -> bool:
        """Whether an object without finalizers may be removed."""
        ...


def parse_delete_options(query: Query, body: Mapping[str, Any]) -> DeleteOptions:
    """Parse the options in the body or, if it is empty, in the query. Raises StatusError 400, 422."""
    preconditions = body.get("preconditions") or {}
    if body:
        grace = body.get("gracePeriodSeconds")
        policy = body.get("propagationPolicy")
        orphan = body.get("orphanDependents")
        dry_run = list(body.get("dryRun") or ())
    else:
        grace = query.number("gracePeriodSeconds")
        policy = query.text("propagationPolicy") or None
        orphan = query.flag("orphanDependents") if "orphanDependents" in query else None
        dry_run = query.all("dryRun")
    errors = []
    if policy and orphan is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        errors.append(FieldError("FieldValueInvalid", "propagationPolicy", policy, text))
    elif policy is not None and policy not in _POLICIES:
        shown = ", ".join(f'"{each}"' for each in (*_POLICIES, "nil"))
        errors.append(
            FieldError("FieldValueNotSupported", "propagationPolicy", policy, f"supported values: {shown}")
        )
    if any(each != "All" for each in dry_run):
        errors.append(FieldError("FieldValueNotSupported", "dryRun", dry_run, 'supported values: "All"'))
    if errors:
        raise statuses.invalid("meta.k8s.io", "DeleteOptions", "", errors)
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    if isinstance(grace, int) and grace < 0:
        grace = 1
    return DeleteOptions(
        grace, policy or "", preconditions.get("uid"), preconditions.get("resourceVersion"), bool(dry_run)
    )


@final
class Deletion:
    """Deletes objects.

    Args:
        storage: the storage.
        clock: for deletion timestamps.
    """

    def __init__(self, storage: Storage, *, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self.finishers: dict[str, Finisher] = {}
        """Finishers by storage key."""

    def may_finish(self, kind: ServedKind, obj: Mapping[str, Any]) -> bool:
        """Whether the kind's finisher, if it has one, allows the removal."""
        finisher = self.finishers.get(kind.storage_key)
        return finisher is None or finisher.may_finish(kind, obj)

    def delete(
        self, kind: ServedKind, collection: Collection, record: Record, options: DeleteOptions
    ) -> Deleted:
        """Delete an object, or start its deletion. Raises StatusError 403, 409."""
        self._check_preconditions(kind, record, options)
        obj = record.object()
        metadata = obj["metadata"]
        graceful, pending = self._grace(kind, obj, options)
        if pending:
            return Deleted(obj, gone=False)
        present = metadata.get("finalizers") or []
        policy = options.propagation
        if not policy and kind.rules.orphans and FOREGROUND not in present:
            policy = "Orphan"
        finalizers = _with_policy(present, policy)
        changed = set(finalizers) != set(metadata.get("finalizers") or [])
        finisher = self.finishers.get(kind.storage_key)
        if finalizers:
            metadata["finalizers"] = finalizers
        else:
            metadata.pop("finalizers", None)
        if graceful or finalizers or changed:
            if not graceful and finalizers:
                self._mark(metadata)
            if (graceful or finalizers) and obj != record.object() and not options.dry_run:
                record = self._storage.put(collection, obj)
            if finalizers or metadata.get("deletionGracePeriodSeconds"):
                if finisher is not None and not options.dry_run:
                    return Deleted(finisher.begin(kind, record) or obj, gone=False)
                return Deleted(obj, gone=False)
        if options.dry_run:
            return Deleted(obj, gone=True)
        if finisher is not None:
            taken = finisher.begin(kind, record)
            if taken is not None:
                return Deleted(taken, gone=False)
        return Deleted(self._storage.delete(collection, record).object(), gone=True)

    def mark(self, collection: Collection, record: Record) -> Record:
        """Set and store deletionTimestamp, unless it is set. For finishers."""
        obj = record.object()
        if obj["metadata"].get("deletionTimestamp"):
            return record
        obj["metadata"]["deletionTimestamp"] = format_time(self._clock.now())
        return self._storage.put(collection, obj)

    def _check_preconditions(self, kind: ServedKind, record: Record, options: DeleteOptions) -> None:
        if options.uid is not None and options.uid != record.uid:
            why = (
                f"the UID in the precondition ({options.uid}) does not match the UID in record"
                f" ({record.uid}). The object might have been deleted and then recreated"
            )
            raise statuses.precondition_failed(kind.resource, record.name, why)
        if options.version is not None and options.version != str(record.version):
            why = (
                f"the ResourceVersion in the precondition ({options.version}) does not match the"
                f" ResourceVersion in record ({record.version}). The object might have been modified"
            )
            raise statuses.precondition_failed(kind.resource, record.name, why)

    def _grace(self, kind: ServedKind, obj: dict[str, Any], options: DeleteOptions) -> tuple[bool, bool]:
        """Mark a graceful deletion. Returns whether it is graceful, and whether it is pending and nothing changes."""
        grace_of = kind.rules.grace_seconds
        if grace_of is None:
            return False, False
        metadata = obj["metadata"]
        asked = options.grace_period_seconds
        now = self._clock.now()
        if metadata.get("deletionTimestamp"):
            present = metadata.get("deletionGracePeriodSeconds") or 0
            if present == 0:
                return False, False
            if asked is None or asked >= present:
                return False, True
            started = parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=present)
            metadata["deletionTimestamp"] = format_time(started + timedelta(seconds=asked))
            metadata["deletionGracePeriodSeconds"] = asked
            return True, False
        period = grace_of(obj, asked)
        metadata["deletionTimestamp"] = format_time(now + timedelta(seconds=period))
        metadata["deletionGracePeriodSeconds"] = period
        if metadata.get("generation"):
            metadata["generation"] += 1
        return True, False

    def _mark(self, metadata: dict[str, Any]) -> None:
        if not metadata.get("deletionTimestamp"):
            metadata["deletionTimestamp"] = format_time(self._clock.now())
            if metadata.get("generation"):
                metadata["generation"] += 1
        metadata["deletionGracePeriodSeconds"] = 0


def _with_policy(present: list[str], policy: str) -> list[str]:
    """The finalizers for a propagation policy; unchanged if there is none."""
    if not policy:
        return present
    kept = [each for each in present if each not in (ORPHAN, FOREGROUND)]
    if policy == "Orphan":
        kept.append(ORPHAN)
    elif policy == "Foreground":
        kept.append(FOREGROUND)
    return kept
