"""Namespaces: nothing is created without one, and everything in one goes with it.

Contract:
    * Creating in a missing namespace is 404, in one that is being deleted 403 with cause
      ``NamespaceTerminating``.
    * Deleting a namespace sets it Terminating and deletes its content, each object by the usual rules. Once
      nothing is left the server drops the finalizer ``kubernetes`` from ``spec.finalizers``, as the namespace
      controller would, and the namespace goes unless another finalizer holds it.

Invariant: a namespace is removed only when no object is left in it.
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
"""Made by the server at its first start; all but kube-node-lease may not be deleted."""


@final
class NamespaceLifecycle:
    """Watches over namespaces; registers itself with storage and deletion."""

    def __init__(self, storage: Storage, kinds: KindRegistry, deletion: Deletion) -> None:
        self._storage = storage
        self._kinds = kinds
        self._deletion = deletion
        deletion.finishers["namespaces"] = self
        storage.observers.append(self._observe)

    def check_creation(self, kind: ServedKind, namespace: str, name: str) -> None:
        """Raise StatusError unless something may be created here."""
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
        """Set the namespace Terminating and delete what is inside."""
        if record.name in PERMANENT_NAMESPACES and record.name != "kube-node-lease":
            raise statuses.forbidden(kind.resource, record.name, "this namespace may not be deleted")
        namespaces = self._storage.collection("namespaces")
        obj = self._deletion.mark(namespaces, record).object()
        if (obj.get("status") or {}).get("phase") != "Terminating":
            obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
            obj = self._storage.put(namespaces, obj).object()
        self._empty(record.name)
        self._finalize_if_empty(record.name)
        return obj

    def may_finish(self, kind: ServedKind, obj: Mapping[str, Any]) -> bool:  # noqa: ARG002 - the protocol's
        """Whether it was finalized."""
        return not (obj.get("spec") or {}).get("finalizers")

    def _empty(self, namespace: str) -> None:
        options = DeleteOptions(propagation="Background")
        for kind in self._kinds.stored():
            if not kind.resource.namespaced:
                continue
            collection = self._storage.collection(kind.storage_key, kind.rules.field_paths)
            for record in list(collection.scan(f"{namespace}/")):
                # an earlier deletion may have taken this one along
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
