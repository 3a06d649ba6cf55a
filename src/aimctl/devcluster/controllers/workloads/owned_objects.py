"""The objects that the owners of one kind control: pods of ReplicaSets, ReplicaSets of Deployments, Jobs of CronJobs.

Contract:
    * :meth:`OwnedObjects.claim` returns the objects of an owner. As in Kubernetes, it first adopts objects without a
      controller that the owner's selector matches, and releases controlled ones that it does not match.
    * The response to a write is stored at once, and an object deleted through :meth:`OwnedObjects.delete` has a
      deletionTimestamp from then on, so a slow watch causes no second creation or deletion.
    * ``on_owner`` is called with the key of the owner of each changed object. If an object without a controller
      changed, it is called for all owners in its namespace whose selector matches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.objects.selectors import from_object
from aimctl.devcluster.controllers.workloads.pod_facts import controller_of, owner_reference
from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.kubetypes import ObjectKey
from aimctl.runtime.clock import format_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.kubetypes import Object, Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["OwnedObjects"]

JsonObject = dict[str, Any]


@final
class OwnedObjects:
    """The objects of one kind by the uid of their controller.

    Args:
        client: used for reads and writes.
        resource: the kind of the objects.
        owners: the informer of the kind that controls them.
        clock: source of all times.
        on_owner: called with the keys of owners whose objects changed.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource[Any],
        owners: Informer[JsonObject],
        *,
        clock: Clock,
        on_owner: Callable[[ObjectKey], None],
    ) -> None:
        self._client = client
        self._resource = resource
        self._owners = owners
        self._clock = clock
        self._on_owner = on_owner
        self._by_owner: dict[str, dict[ObjectKey, None]] = {}
        self._deleted: set[str] = set()
        """The uids of the objects that were deleted here and still exist in the informer."""
        self.informer: Informer[JsonObject] = Informer(
            client, resource, clock=clock, project=body_of, on_change=self._changed
        )

    async def claim(self, owner: JsonObject) -> list[JsonObject]:
        """The objects of an owner, after adoption and release, in the order of their names."""
        selector = from_object(owner["spec"].get("selector") or {})
        if not owner["metadata"].get("deletionTimestamp"):
            for key in sorted(self._by_owner.get("", ())):
                obj = self.informer.get(key)
                if (
                    obj is not None
                    and key.namespace == owner["metadata"]["namespace"]
                    and not obj["metadata"].get("deletionTimestamp")
                    and selector.matches(obj["metadata"].get("labels") or {})
                ):
                    await self._set_owners(key, obj, [*_references(obj), owner_reference(owner)])
            for obj in self.of(owner):
                metadata = obj["metadata"]
                if not metadata.get("deletionTimestamp") and not selector.matches(
                    metadata.get("labels") or {}
                ):
                    uid = owner["metadata"]["uid"]
                    kept = [each for each in _references(obj) if each["uid"] != uid]
                    await self._set_owners(ObjectKey(metadata["namespace"], metadata["name"]), obj, kept)
        return self.of(owner)

    def of(self, owner: JsonObject) -> list[JsonObject]:
        """The objects that an owner controls now, in the order of their names."""
        found = []
        for key in sorted(self._by_owner.get(owner["metadata"]["uid"], ())):
            obj = self.informer.get(key)
            if obj is not None:
                found.append(self._marked(obj))
        return found

    def observe(self, written: Object[Any]) -> JsonObject:
        """Store the response to a write. Returns its body."""
        self.informer.observe(written)
        return body_of(written)

    async def delete(self, obj: JsonObject) -> None:
        """Delete an object; one that is gone already is ignored."""
        metadata = obj["metadata"]
        self._deleted.add(metadata["uid"])
        try:
            await self._client.delete(
                self._resource,
                metadata["name"],
                metadata["namespace"],
                uid=metadata["uid"],
                propagation="Background",
            )
        except BaseException:
            self._deleted.discard(metadata["uid"])
            raise

    def _marked(self, obj: JsonObject) -> JsonObject:
        """The object, with a deletionTimestamp if it was deleted here and the watch has not delivered that."""
        metadata = obj["metadata"]
        if metadata["uid"] not in self._deleted or metadata.get("deletionTimestamp"):
            return obj
        return {**obj, "metadata": {**metadata, "deletionTimestamp": format_time(self._clock.now())}}

    async def _set_owners(self, key: ObjectKey, obj: JsonObject, references: list[JsonObject]) -> None:
        metadata = obj["metadata"]
        patch = {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "ownerReferences": references or None,
        }
        written = await self._client.patch(self._resource, key.name, {"metadata": patch}, key.namespace)
        self.informer.observe(written)

    def _changed(self, key: ObjectKey, old: JsonObject | None, new: JsonObject | None) -> None:
        if old is not None:
            self._unlink(key, old)
        if new is not None:
            reference = controller_of(new)
            self._by_owner.setdefault("" if reference is None else reference["uid"], {})[key] = None
        elif old is not None:
            self._deleted.discard(old["metadata"]["uid"])
        for obj in (old, new):
            if obj is not None:
                self._notify(key, obj)

    def _unlink(self, key: ObjectKey, obj: JsonObject) -> None:
        reference = controller_of(obj)
        uid = "" if reference is None else reference["uid"]
        keys = self._by_owner.get(uid, {})
        keys.pop(key, None)
        if not keys:
            self._by_owner.pop(uid, None)

    def _notify(self, key: ObjectKey, obj: JsonObject) -> None:
        reference = controller_of(obj)
        if reference is not None:
            if reference["kind"] == self._owners.resource.kind:
                self._on_owner(ObjectKey(key.namespace, reference["name"]))
            return
        labels = obj["metadata"].get("labels") or {}
        for owner_key, owner in self._owners.values().items():
            selector = owner["spec"].get("selector")
            if owner_key.namespace == key.namespace and selector and from_object(selector).matches(labels):
                self._on_owner(owner_key)


def _references(obj: JsonObject) -> list[JsonObject]:
    return list(obj["metadata"].get("ownerReferences") or ())
