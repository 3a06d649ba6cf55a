"""The lifecycle of namespaces.

It is part of the API server, and not a controller, because it acts within the write that creates or deletes an object.

Contract:
    * A creation in a missing namespace is 404, in a terminating one 403 with the cause ``NamespaceTerminating``.
    * The deletion of a namespace sets its phase to Terminating and deletes its objects by the usual rules. When it is
      empty, the finalizer ``kubernetes`` is removed from ``spec.finalizers``, as by the namespace controller, and the
      namespace is removed unless it has other finalizers.

Invariant: a namespace is removed only if it is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.verbs.deletion import DeleteOptions
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.kubetypes.builtin import NAMESPACES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.apiserver.objects.kinds import KindRegistry, ServedKind
    from aimctl.devcluster.apiserver.verbs.deletion import Deletion
    from aimctl.devcluster.storage.history import Collection
    from aimctl.devcluster.storage.records import Change, Record
    from aimctl.devcluster.storage.store import Storage

__all__ = ["PERMANENT_NAMESPACES", "NamespaceLifecycle"]

PERMANENT_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
"""Created by the server at its first start. Only kube-node-lease can be deleted."""


@final
class NamespaceLifecycle:
    """Registers itself as an observer of the storage and as a finisher of deletions."""

    def __init__(self, storage: Storage, kinds: KindRegistry, deletion: Deletion) -> None:
        self._storage = storage
        self._kinds = kinds
        self._deletion = deletion
        deletion.finishers["namespaces"] = self
        storage.observers.append(self._observe)

    def check_creation(self, kind: ServedKind, namespace: str, name: str) -> None:
        """Raise StatusError unless objects can be created in the namespace."""
        record = self._storage.collection("namespaces").records.get(namespace)
        if record is None:
            raise statuses.not_found(NAMESPACES, namespace)
        if _deleting(record):
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise statuses.forbidden(kind.resource, name, why, [cause])

    def begin(self, kind: ServedKind, record: Record) -> dict[str, Any] | None:
        """Set the phase Terminating and delete the objects in the namespace."""
        if record.name in PERMANENT_NAMESPACES and record.name != "kube-node-lease":
            raise statuses.forbidden(kind.resource, record.name, "this namespace may not be deleted")
        namespaces = self._storage.collection("namespaces")
        obj = self._deletion.mark(namespaces, record).object()
        if (obj.get("status") or {}).get("phase") != "Terminating":
            obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
            obj = self._storage.put(namespaces, obj).object()
        self._delete_objects(record.name)
        self._finalize_if_empty(record.name)
        return obj

    def may_finish(self, kind: ServedKind, obj: Mapping[str, Any]) -> bool:  # noqa: ARG002 - the protocol's
        """Whether ``spec.finalizers`` is empty."""
        return not (obj.get("spec") or {}).get("finalizers")

    def _delete_objects(self, namespace: str) -> None:
        options = DeleteOptions(propagation="Background")
        for kind in self._kinds.stored():
            if not kind.resource.namespaced:
                continue
            collection = self._storage.collection(kind.storage_key, kind.rules.field_paths)
            for record in list(collection.scan(f"{namespace}/")):
                # An earlier deletion in this loop may have removed it.
                present = collection.records.get(record.key)
                if present is not None:
                    self._deletion.delete(kind, collection, present, options)

    def _observe(self, collection: Collection, change: Change) -> None:
        if change.type == "DELETED" and change.record.namespace:
            self._finalize_if_empty(change.record.namespace)
        elif change.type == "MODIFIED" and collection.name == "namespaces":
            self._finalize_if_empty(change.record.name)

    def _finalize_if_empty(self, namespace: str) -> None:
        namespaces = self._storage.collection("namespaces")
        record = namespaces.records.get(namespace)
        if record is None or not _deleting(record) or not self._is_empty(namespace):
            return
        obj = record.object()
        finalizers = obj["spec"].get("finalizers") or []
        left = [each for each in finalizers if each != "kubernetes"]
        if not left and not obj["metadata"].get("finalizers"):
            self._storage.delete(namespaces, record)
        elif left != finalizers:
            obj["spec"]["finalizers"] = left
            self._storage.put(namespaces, obj)

    def _is_empty(self, namespace: str) -> bool:
        return all(collection.count(f"{namespace}/") == 0 for collection in self._storage)


def _deleting(record: Record) -> bool:
    return b'"deletionTimestamp"' in record.raw and bool(record.object()["metadata"].get("deletionTimestamp"))
