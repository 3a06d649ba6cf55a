"""An informer: keeps the objects of one kind in a store and delivers their changes to handlers.

Contract:
    * A change is in the store before handlers receive it, in order (see ``store`` and ``dispatch``).
    * Work on many objects (a list, a new handler, a new index, a resync) is done in slices, between which the event
      loop continues.
    * ``synced`` is true once the first list of every namespace has been delivered to all handlers. An optional kind
      that the server does not have counts as synced and empty, until its CRD is installed.
    * :meth:`Informer.observe_write` and :meth:`Informer.observe_delete` store the process's own writes, as far as the
      declaration covers them. With a field selector that only the server can evaluate, updates wait for the watch.
    * :meth:`Informer.run` ends only by cancellation. An informer cannot be restarted.

Invariants:
    * There is one reflector for each declared namespace, or one for all. At most one LIST of an informer is in flight.
    * Everything runs on the event loop's thread; the constructor starts nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, final

from aimctl.kubetypes import Object
from aimctl.runtime.cache.dispatch import Dispatcher
from aimctl.runtime.cache.errors import InformerStopped
from aimctl.runtime.cache.metrics import ReflectorMetrics
from aimctl.runtime.cache.reflector.policy import went_back
from aimctl.runtime.cache.reflector.reflector import Reflector
from aimctl.runtime.cache.reflector.types import ReflectorOptions
from aimctl.runtime.cache.storage.merge import Change, group
from aimctl.runtime.cache.storage.store import Store, same_in

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from aimctl.kubetypes import ObjectKey, Resource
    from aimctl.runtime.cache.declaration import Declaration
    from aimctl.runtime.cache.dispatch import EventHandler, Registration
    from aimctl.runtime.cache.reflector.lists import StreamingSupport
    from aimctl.runtime.cache.storage.indexes import IndexFunction
    from aimctl.runtime.cache.storage.merge import ByNamespace
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.reader import Reader
    from aimctl.runtime.kube.watch import WatchEvent

__all__ = ["Informer", "InformerHealth"]

T = TypeVar("T")

_SLICE = 5000
"""Listed objects grouped between two yields to the event loop: about 2 ms of work."""
_INDEXED = 250
"""Objects added to indexes between two yields: up to 20 ms of work, because most index functions decode the object."""


@final
@dataclass(frozen=True, slots=True)
class InformerHealth:
    """The state of an informer at one moment.

    Attributes:
        synced: the first list has been delivered to all handlers.
        ready: synced, and able to list and watch.
        problem: why it is not ready, in one sentence; "" if it is.
        last_error: the latest failure since the last success, and what could not be decoded; "" for none.
        age_seconds: time since the last list, event or bookmark; None before the first.
        objects: number of cached objects.
        resource_version: of the cached state.
        missing: the server does not have the kind.
    """

    synced: bool
    ready: bool
    problem: str
    last_error: str
    age_seconds: float | None
    objects: int
    resource_version: str
    missing: bool


@final
class Informer(Generic[T]):
    """Caches one kind. Created by ``Cache.declare``, and run by the cache.

    Args:
        reader: the client.
        declaration: what to cache.
        clock: time.
        rng: for jitter.
        name: for messages and metrics; default: ``plural.group``.
        options: timeouts and back-off of the reflectors.
        metrics: hooks; default: no metrics.
        indexes: index functions by name.
        peers: all informers of the kind, whose equal objects are shared.
        resync_seconds: period of replaying the store to the handlers, with up to 10 % jitter; None for never. A resync
            sends no requests.
        streaming: shows whether the server offers streaming lists; None for lists in pages.
    """

    def __init__(
        self,
        reader: Reader,
        declaration: Declaration[T],
        *,
        clock: Clock,
        rng: random.Random,
        name: str = "",
        options: ReflectorOptions | None = None,
        metrics: ReflectorMetrics | None = None,
        indexes: dict[str, IndexFunction[T]] | None = None,
        peers: Sequence[Informer[T]] = (),
        resync_seconds: float | None = None,
        streaming: StreamingSupport | None = None,
    ) -> None:
        self.declaration = declaration
        self.name: str = name or declaration.resource.group_resource
        self.store: Store[T] = Store(indexes)
        self._clock = clock
        self._rng = rng
        self._metrics = ReflectorMetrics() if metrics is None else metrics
        self._resync_seconds = resync_seconds
        self._peers = peers
        self._dispatcher: Dispatcher[T] = Dispatcher(self._metrics.handler_error)
        self._waiting_for = {scope.namespace for scope in declaration.scopes()}
        """Scopes whose first list has not been delivered yet."""
        self._first = set(self._waiting_for)
        """Scopes whose next list counts as the first."""
        self._settled = asyncio.Event()
        """Set when the informer is synced or stopped."""
        self._state: Literal["new", "running", "stopped"] = "new"
        options = ReflectorOptions() if options is None else options
        self._stale_seconds = options.stale_seconds
        list_slot = asyncio.Semaphore(1)
        self._reflectors = [
            Reflector(
                reader,
                declaration.resource,
                scope,
                self,
                clock=clock,
                rng=rng,
                options=options,
                metrics=self._metrics,
                list_slot=list_slot,
                optional=declaration.optional,
                streaming=streaming,
            )
            for scope in declaration.scopes()
        ]
        self._metrics.attach(self)

    # ---- life cycle

    async def run(self) -> None:
        """List and watch until cancelled.

        Raises:
            RuntimeError: it was run before.
        """
        if self._state != "new":
            raise RuntimeError(f"the informer of {self.name} was run before; declare the kind in a new cache")
        self._state = "running"
        try:
            async with asyncio.TaskGroup() as tasks:
                for reflector in self._reflectors:
                    name = f"reflector {self.name} {reflector.scope.namespace}".rstrip()
                    tasks.create_task(reflector.run(), name=name)
                if self._resync_seconds is not None:
                    tasks.create_task(self._resync_loop(self._resync_seconds), name=f"resync {self.name}")
        finally:
            self._state = "stopped"
            self._settled.set()

    async def wait_synced(self) -> None:
        """Wait until the first list is in the store and has been delivered to the handlers.

        Raises:
            InformerStopped: the informer ended before that.
        """
        await self._settled.wait()
        if not self.synced:
            raise InformerStopped(f"the informer of {self.name} ended before it was synced")

    def add_handler(self, handler: EventHandler[T]) -> Registration:
        """Add a handler. It receives an add for every existing object, and then every later change.

        Up to 500 objects are delivered before this method returns. More follow in slices, between which the event loop
        continues; :attr:`Registration.synced` is set after the last one.

        Raises:
            InformerStopped: the informer has ended.
        """
        if self._state == "stopped":
            raise InformerStopped(f"the informer of {self.name} has ended and accepts no handlers")
        return self._dispatcher.add(handler, self.store)

    def add_index(self, name: str, function: IndexFunction[T]) -> None:
        """Add an index over existing and future objects. The name must be new.

        Many existing objects are added in slices, between which the event loop continues. A read before that is
        complete adds the others at once.
        """
        self.store.add_index(name, function)
        self._index_some()

    def _index_some(self) -> None:
        """A slice of the work on indexes; the next one follows in a later step of the event loop."""
        if self.store.index_some(_INDEXED):
            asyncio.get_running_loop().call_soon(self._index_some)

    def discard(self) -> None:
        """End an informer whose tasks have ended, or that was not run: it is no longer reported in metrics."""
        self._state = "stopped"
        self._settled.set()
        self._metrics.detach(self)

    # ---- state

    @property
    def handlers(self) -> int:
        """Number of handlers."""
        return self._dispatcher.handlers

    @property
    def resource(self) -> Resource[T]:
        """The kind."""
        return self.declaration.resource

    @property
    def synced(self) -> bool:
        """Whether the first list of every namespace has been delivered to the handlers."""
        return not self._waiting_for

    @property
    def failing(self) -> bool:
        """Whether the latest list or watch of a namespace failed, so that it is not known when the sync completes."""
        return any(reflector.status.last_error for reflector in self._reflectors)

    @property
    def served(self) -> bool:
        """Whether the server has the kind, as far as is known. Cheaper than :attr:`health`."""
        return not any(reflector.status.missing for reflector in self._reflectors)

    @property
    def health(self) -> InformerHealth:
        """The current state, for readiness checks and debug pages."""
        states = [reflector.status for reflector in self._reflectors]
        blocking = [s.problem for s in states if s.problem and not (s.missing and self.declaration.optional)]
        errors = [text for s in states for text in (s.last_error, s.unreadable) if text]
        problem = "; ".join(blocking)
        if not problem and self.served and self.age_seconds > self._stale_seconds:
            problem = f"{self.name}: no list, event or bookmark for {self.age_seconds:.0f} s" + (
                f": {'; '.join(errors)}" if errors else ""
            )
        if not problem and not self.synced:
            problem = f"{self.name} has not been listed yet" + (f": {'; '.join(errors)}" if errors else "")
        known = all(s.contact_at is not None for s in states)
        return InformerHealth(
            synced=self.synced,
            ready=not problem,
            problem=problem,
            last_error="; ".join(errors),
            age_seconds=self.age_seconds if known else None,
            objects=len(self.store),
            resource_version=self.store.resource_version,
            missing=not self.served,
        )

    @property
    def objects(self) -> int:
        """Number of cached objects."""
        return len(self.store)

    @property
    def bytes(self) -> int:
        """Size of their bodies; takes time linear in their number."""
        return self.store.bytes

    @property
    def last_resource_version(self) -> float:
        """The resourceVersion of the cached state as a number; 0 before the first list, or if it is not a number."""
        version = self.store.resource_version
        return float(version) if version.isdecimal() else 0.0

    @property
    def age_seconds(self) -> float:
        """Seconds since the last list, event or bookmark, the largest of all namespaces; 0 before the first list."""
        contacts = [r.status.contact_at for r in self._reflectors if r.status.contact_at is not None]
        return self._clock.monotonic() - min(contacts) if contacts else 0.0

    # ---- read-your-writes

    def observe_write(self, obj: Object[T]) -> None:
        """Store the response to a write, unless it is older than the cached object.

        A response that matches the label selector is left to the watch if only the server can evaluate the field
        selector. Storing it would be wrong if the object has left the selection: no event would ever remove it.
        """
        if not self.declaration.covers(obj.meta.namespace):
            return
        selected = self.declaration.selects(obj)
        if selected is None:
            return
        if self.declaration.projection == "metadata":
            obj = obj.without_body()
        elif obj.resource.decode != self.resource.decode:
            obj = Object(self.resource, obj.meta, obj.raw)
        scope = obj.meta.namespace if self.declaration.namespaces else ""
        self._dispatcher.publish(self.store.observe_write(obj, selected=selected, scope=scope))

    def observe_delete(self, key: ObjectKey, uid: str) -> None:
        """Remove an object that was deleted with certainty. Events or lists from before do not restore it."""
        if self.declaration.covers(key.namespace):
            self._dispatcher.publish(self.store.observe_delete(key, uid))

    # ---- what the reflectors call

    def version_of(self, scope: str) -> str:
        """The resourceVersion at which the watch of the scope resumes."""
        return self.store.version_of(scope)

    async def replaced(
        self, objects: Sequence[Object[T]], resource_version: str, *, scope: str, reset: bool
    ) -> None:
        """Replace the content of the scope, then deliver the changes, deletes first."""
        listed: ByNamespace[T] = {}
        for start in range(0, len(objects), _SLICE):
            if start:
                await asyncio.sleep(0)
            group(self._shared(objects[start : start + _SLICE]), into=listed)
        for step, _ in enumerate(self.store.index_ahead(listed, scope=scope), 1):
            if not step % _INDEXED:
                await asyncio.sleep(0)
        changes = self._replace(listed, resource_version, scope, reset=reset)
        self._index_some()
        await self._dispatcher.publish_sliced(changes)
        self._first.discard(scope)
        self._first_list_delivered(scope)

    def stored(self, key: ObjectKey) -> Object[T] | None:
        """The cached object of this key."""
        return self.store.get(key)

    def applied(self, event: WatchEvent[T], *, scope: str) -> bool:
        """Store and deliver one event. True if it is older than the confirmed version."""
        backwards = went_back(self.store.version_of(scope), event.resource_version)
        before = self.store.stale_dropped
        if event.type in {"ADDED", "MODIFIED"}:
            (obj,) = self._shared((event.object,))
            event = replace(event, object=obj) if obj is not event.object else event
        changes = self.store.apply(event, scope=scope)
        self._count_stale(before)
        if changes:
            self._dispatcher.publish(changes)
        return backwards

    async def vanished(self, *, scope: str) -> None:
        """The server no longer has the kind: remove its objects."""
        changes = self.store.clear(scope=scope)
        self._index_some()
        await self._dispatcher.publish_sliced(changes)
        self._first.add(scope)
        if self.declaration.optional:
            self._first_list_delivered(scope)

    # ---- resync

    async def resync(self) -> None:
        """Deliver an unchanged update for every object, except those with undelivered changes."""
        pending = self._dispatcher.pending()
        await self._dispatcher.publish_sliced(
            [Change(obj, obj) for obj in self.store if (obj.meta.namespace, obj.meta.name) not in pending]
        )

    async def _resync_loop(self, seconds: float) -> None:
        while True:
            await self._clock.sleep(seconds * self._rng.uniform(0.9, 1.1))
            await self.resync()

    # ---- helpers

    def _shared(self, objects: Sequence[Object[T]]) -> Sequence[Object[T]]:
        """The objects; those that another informer of the kind has in the same version are its instances.

        The body is then in memory once, and is decoded once.
        """
        stores = [
            peer.store
            for peer in self._peers
            if peer is not self
            and peer.declaration.projection == self.declaration.projection
            and peer.resource.decode == self.resource.decode
        ]
        return [same_in(stores, obj) for obj in objects] if stores else objects

    def _replace(
        self, listed: ByNamespace[T], resource_version: str, scope: str, *, reset: bool
    ) -> Sequence[Change[T]]:
        before = self.store.stale_dropped
        changes = self.store.replace(
            listed, resource_version, scope=scope, reset=reset, initial=scope in self._first
        )
        self._count_stale(before)
        return changes

    def _first_list_delivered(self, scope: str) -> None:
        self._waiting_for.discard(scope)
        if not self._waiting_for:
            self._settled.set()
            self._dispatcher.mark_synced()

    def _count_stale(self, before: int) -> None:
        dropped = self.store.stale_dropped - before
        if dropped:
            self._metrics.stale_dropped(dropped)
