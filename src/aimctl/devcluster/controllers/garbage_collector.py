"""The garbage collector. Its decisions are in :mod:`aimctl.devcluster.controllers.ownership`.

Invariants:
    * Nothing is deleted because of the graph alone: the dependent is read from the server, and so is every owner that
      is not in the graph. If a kind cannot be read, dependents of its objects are kept.
    * Every write has the uid it was decided for, and the resourceVersion if it changes references.
    * Kinds change with CustomResourceDefinitions. The objects of a removed kind count as absent once they are deleted.
    * A kind is watched from its first object on. A cluster has many kinds and uses few of them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, final

import structlog

from aimctl.devcluster.controllers.ownership import FOREGROUND, ORPHAN, Item, OwnerGraph, OwnerState, decide
from aimctl.devcluster.machinery.informer import Informer
from aimctl.devcluster.machinery.worker import Worker
from aimctl.kubetypes.builtin import CRDS
from aimctl.runtime.kube.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aimctl.devcluster.controllers.ownership import Decision
    from aimctl.kubetypes import Object, ObjectKey, OwnerReference, Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["GarbageCollector"]

_DELETED_KEPT = 10_000
"""Number of deleted owners that are remembered. A forgotten one costs a read."""

_log = structlog.get_logger("aimctl.devcluster")


@final
class GarbageCollector:
    """Deletes objects whose owners are gone.

    Args:
        client: used for reads and writes.
        clock: source of all times.
        kinds: returns one version of each kind that can be listed, watched and deleted. Called again when a CRD
            changes.
        has_objects: whether a kind has an object now. :meth:`look_for_kinds` reports that another kind may have one.
        on_first: called with the group and plural of a kind when the first object of that kind is known.
    """

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        kinds: Callable[[], Iterable[Resource[Any]]],
        has_objects: Callable[[Resource[Any]], bool],
        on_first: Callable[[tuple[str, str]], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._kinds = kinds
        self._has_objects = has_objects
        self._served: dict[tuple[str, str], Resource[Any]] = {}
        self._on_first = on_first
        self._found: set[tuple[str, str]] = set()
        self._graph = OwnerGraph()
        self._deleted: dict[str, bool] = {}
        self._informers: dict[tuple[str, str], tuple[Informer[Item], asyncio.Task[None]]] = {}
        self._kinds_changed = asyncio.Event()
        self.worker: Worker[str] = Worker("garbage-collector", self._reconcile, clock=clock)
        self._crds: Informer[None] = Informer(
            client, CRDS, clock=clock, project=lambda _: None, on_change=self._crd_changed
        )

    @property
    def informers(self) -> list[Informer[Item]]:
        """One informer for each kind that is watched now."""
        return [informer for informer, _ in self._informers.values()]

    async def run(self) -> None:
        """Collect until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._crds.run())
            self._follow(tasks)
            for informer in self.informers:
                await informer.synced.wait()
            tasks.create_task(self.worker.run())
            while True:
                await self._kinds_changed.wait()
                self._kinds_changed.clear()
                self._follow(tasks)

    def look_for_kinds(self) -> None:
        """Watch the kinds that have their first object now."""
        self._kinds_changed.set()

    def behind(self) -> bool:
        """Whether a change of the kinds has not been processed yet."""
        return self._kinds_changed.is_set() or not all(
            informer.synced.is_set() for informer in self.informers
        )

    def _follow(self, tasks: asyncio.TaskGroup) -> None:
        """Start an informer for each kind that has objects, and stop those of kinds that are no longer served."""
        self._served = {(item.group, item.plural): item for item in self._kinds()}
        for name in [name for name in self._informers if name not in self._served]:
            informer, task = self._informers.pop(name)
            task.cancel()
            for item in list(informer.values().values()):
                self._changed(item.key, item, None)
        for name, resource in self._served.items():
            if name not in self._informers and self._has_objects(resource):
                new: Informer[Item] = Informer(
                    self._client, resource, clock=self._clock, project=_item, on_change=self._changed
                )
                self._informers[name] = (new, tasks.create_task(new.run()))

    def _crd_changed(self, key: ObjectKey, old: None, new: None) -> None:
        del key, old, new
        self.look_for_kinds()

    def _changed(self, key: ObjectKey, old: Item | None, new: Item | None) -> None:
        del key
        if new is None:
            if old is not None:
                self._removed(old)
            return
        kind = (new.resource.group, new.resource.plural)
        if kind not in self._found:
            self._found.add(kind)
            self._on_first(kind)
        self._graph.put(new)
        if self._has_work(new):
            self.worker.add(new.uid)
        if new.in_foreground_deletion:
            for dependent in self._graph.dependents(new.uid):
                self.worker.add(dependent.uid)
        if old is not None:
            self._queue_owners(old)

    def _has_work(self, item: Item) -> bool:
        """Whether more than the graph is needed to know that nothing has to be done.

        Most changes are those of a status, while all owners exist.
        """
        if item.meta.deleting:
            return item.in_foreground_deletion or item.in_orphaning
        return any(self._graph.state(item, owner) != "solid" for owner in item.meta.owners)

    def _removed(self, item: Item) -> None:
        dependents = self._graph.dependents(item.uid)
        self._graph.remove(item.uid)
        if dependents:
            self._deleted[item.uid] = item.resource.namespaced
            if len(self._deleted) > _DELETED_KEPT:
                del self._deleted[next(iter(self._deleted))]
        for dependent in dependents:
            self.worker.add(dependent.uid)
        self._queue_owners(item)

    def _queue_owners(self, item: Item) -> None:
        """Queue owners in foreground deletion, which may be complete now that a dependent changed."""
        for owner in item.meta.owners:
            known = self._graph.get(owner.uid)
            if known is not None and known.in_foreground_deletion:
                self.worker.add(owner.uid)

    async def _reconcile(self, uid: str) -> float | None:
        known = self._graph.get(uid)
        if known is None:
            return None
        try:
            live = await self._client.get(known.resource, known.key.name, known.key.namespace)
        except NotFound:
            return None
        if live.meta.uid != uid:
            return None
        item = _item(live)
        if item.in_orphaning:
            await self._orphan(item)
        elif item.in_foreground_deletion:
            await self._finish_foreground(item)
        elif not item.meta.deleting:
            await self._decide(item)
        return None

    async def _decide(self, item: Item) -> None:
        owners = item.meta.owners
        states = {owner.uid: await self._state(item, owner) for owner in owners}
        decision: Decision = decide(
            owners,
            lambda owner: states[owner.uid],
            finalizers=item.meta.finalizers or (),
            has_dependents=bool(self._graph.dependents(item.uid)),
            cycle=self._graph.in_cycle(item),
        )
        if decision.unblock:
            for dependent in self._graph.dependents(item.uid):
                await self._rewrite_references(dependent, unblock=item.uid)
        if decision.keep is not None:
            gone = {owner.uid for owner in owners} - {owner.uid for owner in decision.keep}
            await self._rewrite_references(item, drop=gone)
        if decision.delete is not None:
            _log.debug("collected", kind=item.resource.kind, key=str(item.key), how=decision.delete)
            await self._client.delete(
                item.resource,
                item.key.name,
                item.key.namespace,
                uid=item.uid,
                resource_version=item.meta.resource_version,
                propagation=decision.delete,
            )

    async def _state(self, item: Item, owner: OwnerReference) -> OwnerState:
        return self._graph.state(item, owner) or await self._read_state(item, owner)

    async def _read_state(self, item: Item, owner: OwnerReference) -> OwnerState:
        """The state of an owner that is not in the graph."""
        was_namespaced = self._deleted.get(owner.uid)
        if was_namespaced is not None and (item.key.namespace or not was_namespaced):
            return "absent"  # its deletion was seen; its kind may be removed too by now
        resource = self._resource(owner)
        # The kind is not served, perhaps not yet, or a cluster-scoped object has a namespaced owner. The real collector
        # reports both and keeps the dependent.
        if resource is None or (resource.namespaced and not item.key.namespace):
            return "solid"
        namespace = item.key.namespace if resource.namespaced else ""
        try:
            live = await self._client.get(resource, owner.name, namespace)
        except NotFound:
            return "absent"
        if live.meta.uid != owner.uid:
            return "absent"
        return "waiting" if _item(live).in_foreground_deletion else "solid"

    def _resource(self, owner: OwnerReference) -> Resource[Any] | None:
        return next(
            (each for each in self._served.values() if (each.kind, each.group) == (owner.kind, owner.group)),
            None,
        )

    async def _finish_foreground(self, item: Item) -> None:
        """Remove the finalizer if no dependent blocks; else queue the blocking dependents."""
        blocking = self._graph.blocking(item.uid)
        if not blocking:
            await self._drop_finalizer(item, FOREGROUND)
            return
        for dependent in blocking:
            if not dependent.meta.deleting:
                self.worker.add(dependent.uid)

    async def _orphan(self, item: Item) -> None:
        for dependent in self._graph.dependents(item.uid):
            await self._rewrite_references(dependent, drop={item.uid})
        await self._drop_finalizer(item, ORPHAN)

    async def _drop_finalizer(self, item: Item, finalizer: str) -> None:
        left = [name for name in item.meta.finalizers or () if name != finalizer]
        metadata = {"resourceVersion": item.meta.resource_version, "finalizers": left}
        await self._client.patch(item.resource, item.key.name, {"metadata": metadata}, item.key.namespace)

    async def _rewrite_references(
        self, item: Item, *, drop: set[str] | frozenset[str] = frozenset(), unblock: str = ""
    ) -> None:
        """Remove owner references, or clear their ``blockOwnerDeletion``, starting from the object on the server."""
        try:
            live = await self._client.get(item.resource, item.key.name, item.key.namespace)
        except NotFound:
            return
        if live.meta.uid != item.uid:
            return
        references = [
            _reference(owner, blocks=False if owner.uid == unblock else owner.block_owner_deletion)
            for owner in live.meta.owners
            if owner.uid not in drop
        ]
        metadata = {
            "uid": item.uid,
            "resourceVersion": live.meta.resource_version,
            "ownerReferences": references or None,
        }
        await self._client.patch(item.resource, item.key.name, {"metadata": metadata}, item.key.namespace)


def _item(live: Object[Any]) -> Item:
    return Item(live.resource, live.key, live.meta)


def _reference(owner: OwnerReference, *, blocks: bool | None) -> dict[str, Any]:
    reference: dict[str, Any] = {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
    }
    if owner.controller is not None:
        reference["controller"] = owner.controller
    if blocks is not None:
        reference["blockOwnerDeletion"] = blocks
    return reference
