"""The cache: every kind that somebody declared, and no other.

Contract:
    * :meth:`Cache.declare` says what is needed; nothing is listed or watched because of a read. A read of a
      kind that nobody declared raises :class:`UndeclaredKind` and says how to declare it.
    * Declaring the same again gives the same informer, so controllers share watches. Indexes add up.
    * Reads give the shared immutable objects, without copies and without waiting. Before ``synced`` they
      show what has arrived so far.
    * Reads see our own writes at once, when :meth:`Cache.observe_write` and :meth:`Cache.observe_delete`
      are the client's hooks.

Invariant: :meth:`Cache.run` owns every informer's task; one that fails ends the cache, so none is silently
gone.
"""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, final

import structlog

from aimctl.kubetypes import ObjectKey
from aimctl.runtime.cache.errors import (
    CacheNotSynced,
    ClashingDeclaration,
    UndeclaredKind,
    UnwatchedNamespace,
)
from aimctl.runtime.cache.informer import Declaration, Informer

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from aimctl.kubetypes import Object, Resource
    from aimctl.runtime.cache.indexes import IndexFunction
    from aimctl.runtime.cache.listwatch import ListWatch
    from aimctl.runtime.cache.metrics import ReflectorMetrics
    from aimctl.runtime.cache.reflector import ReflectorOptions
    from aimctl.runtime.clock import Clock

__all__ = ["Cache"]

T = TypeVar("T")


@final
class Cache:
    """See the module. Declare, then :meth:`run` in a task that somebody owns; declaring later works as well.

    Args:
        list_watch: the server; a ``Client`` fits.
        clock: time.
        rng: for jitter.
        options: the reflectors' times.
        metrics: gives each informer its hooks; default none.
        resync_seconds: replay every store to its handlers this often; None, the default, for never.
        freeze_after_sync: once everything declared is synced, collect garbage and move what is left out of
            the collector's sight (``gc.freeze``), which spares it looking at every cached object for ever.
            It concerns the whole process, so a program decides, not a library: default off.
    """

    def __init__(
        self,
        list_watch: ListWatch,
        *,
        clock: Clock,
        rng: random.Random,
        options: ReflectorOptions | None = None,
        metrics: Callable[[Resource[Any]], ReflectorMetrics] | None = None,
        resync_seconds: float | None = None,
        freeze_after_sync: bool = False,
    ) -> None:
        self._list_watch = list_watch
        self._clock = clock
        self._rng = rng
        self._options = options
        self._metrics = metrics
        self._resync_seconds = resync_seconds
        self._freeze = freeze_after_sync
        self._informers: dict[Resource[Any], Informer[Any]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._was_run = False

    # ---- declaring

    def declare(
        self,
        resource: Resource[T],
        *,
        namespaces: Sequence[str] = (),
        label_selector: str = "",
        field_selector: str = "",
        projection: Literal["full", "metadata"] = "full",
        indexes: Mapping[str, IndexFunction[T]] | None = None,
        optional: bool = False,
    ) -> Informer[T]:
        """Say that a kind is needed; get the informer that keeps it.

        Args:
            resource: the kind.
            namespaces: only these; empty for all. Each has a list and a watch of its own.
            label_selector: only objects it selects.
            field_selector: only objects it selects.
            projection: ``metadata`` leaves the bodies out, on the wire as well.
            indexes: from an object to the values it should be found by; added to those declared before.
            optional: the kind's CRD may be missing; the cache is then empty and fills when it appears.

        Raises:
            ClashingDeclaration: declared before in another way; shows both.
            ValueError: a selector or namespace makes no sense.
        """
        wanted = Declaration(
            resource, tuple(namespaces), label_selector, field_selector, projection, optional=optional
        )
        known: Informer[T] | None = self._informers.get(resource)
        if known is not None:
            self._check_same(known.declaration, wanted)
            for name, function in (indexes or {}).items():
                if known.store.indexes.get(name, function) != function:
                    raise ClashingDeclaration(
                        f"index {name!r} of {resource.group_resource} is declared twice with two functions:"
                        f" {known.store.indexes[name]!r} and {function!r}; share one, or use two names"
                    )
                if name not in known.store.indexes:
                    known.store.add_index(name, function)
            return known
        informer = Informer(
            self._list_watch,
            wanted,
            clock=self._clock,
            rng=self._rng,
            options=self._options,
            metrics=self._metrics(resource) if self._metrics is not None else None,
            indexes=dict(indexes or {}),
            resync_seconds=self._resync_seconds,
        )
        self._informers[resource] = informer
        if self._tasks is not None:
            self._start(self._tasks, informer)
        return informer

    # ---- reading

    def informer(self, resource: Resource[T]) -> Informer[T]:
        """The informer of a declared kind.

        Raises:
            UndeclaredKind: nobody declared it.
        """
        informer = self._informers.get(resource)
        if informer is None:
            declared = ", ".join(sorted(known.name for known in self._informers.values())) or "nothing"
            raise UndeclaredKind(
                f"{resource.group_resource} ({resource.api_version}) is not cached; declared is: {declared}."
                f" Declare it before the manager starts: cache.declare(<Resource of {resource.kind}>,"
                " namespaces=..., label_selector=...); or read it live, with the API reader"
            )
        return cast("Informer[T]", informer)

    def declared(self, resource: Resource[T]) -> Informer[T] | None:
        """The informer of a kind if it is declared, else None."""
        return self._informers.get(resource)

    def get(self, resource: Resource[T], name: str, namespace: str = "") -> Object[T] | None:
        """One object, or None.

        Raises:
            UndeclaredKind: nobody declared the kind, or (UnwatchedNamespace) not for this namespace.
        """
        return self._covering(resource, namespace).store.get(ObjectKey(namespace, name))

    def list(self, resource: Resource[T], namespace: str | None = None) -> list[Object[T]]:
        """All cached objects of a kind, or of one namespace; None and "" mean all. In no promised order.

        Raises:
            UndeclaredKind: as :meth:`get`.
        """
        if namespace:
            return self._covering(resource, namespace).store.list(namespace)
        return self.informer(resource).store.list()

    def by_index(self, resource: Resource[T], index: str, value: str) -> Sequence[Object[T]]:
        """The objects whose index function gave this value.

        Raises:
            UndeclaredKind: nobody declared the kind.
            UnknownIndex: nobody declared the index.
        """
        return self.informer(resource).store.by_index(index, value)

    # ---- life cycle

    async def run(self) -> None:
        """Follow the server until cancelled, or until an informer fails.

        Raises:
            RuntimeError: it was run before.
            ExceptionGroup: an informer failed, which is a bug; failures of the server never end it.
        """
        if self._was_run:
            raise RuntimeError("this cache was run before; make a new one")
        self._was_run = True
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for informer in self._informers.values():
                    self._start(tasks, informer)
                if self._freeze:
                    tasks.create_task(self._freeze_when_synced(), name="cache freeze")
                await asyncio.Event().wait()
        finally:
            self._tasks = None

    async def wait_synced(self, timeout_seconds: float | None = None) -> None:
        """Wait until everything declared is synced.

        Args:
            timeout_seconds: at most this long; None for ever.

        Raises:
            CacheNotSynced: it took longer; says for each kind what is wrong.
            InformerStopped: the cache ended before.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                for informer in list(self._informers.values()):
                    await informer.wait_synced()
        except TimeoutError:
            raise CacheNotSynced(self.unsynced()) from None

    @property
    def synced(self) -> bool:
        """Whether everything declared has been listed and told to its handlers."""
        return all(informer.synced for informer in self._informers.values())

    def unsynced(self) -> tuple[str, ...]:
        """One sentence for each informer that is not ready: not listed yet, or kept from following."""
        states = [informer.health for informer in self._informers.values()]
        return tuple(state.problem for state in states if not state.ready)

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """All, in the order of their declaration, for metrics and debug pages."""
        return tuple(self._informers.values())

    # ---- read-your-writes: hooks for the client

    def observe_write(self, obj: Object[Any]) -> None:
        """An answer to one of our writes; kinds that are not cached are ignored."""
        informer = self._informers.get(obj.resource)
        if informer is not None:
            informer.observe_write(obj)

    def observe_delete(self, resource: Resource[Any], key: ObjectKey, uid: str) -> None:
        """An object we deleted is gone for sure."""
        informer = self._informers.get(resource)
        if informer is not None:
            informer.observe_delete(key, uid)

    # ---- helpers

    def _covering(self, resource: Resource[T], namespace: str) -> Informer[T]:
        informer = self.informer(resource)
        if not informer.declaration.covers(namespace):
            raise UnwatchedNamespace(
                f"{informer.name} is cached for {', '.join(informer.declaration.namespaces)}, not for"
                f" namespace {namespace!r}; add it to namespaces=... where the kind is declared"
            )
        return informer

    @staticmethod
    def _check_same(known: Declaration[Any], wanted: Declaration[Any]) -> None:
        same_view = known.resource.decode == wanted.resource.decode or wanted.projection == "metadata"
        if known != wanted:
            raise ClashingDeclaration(
                f"{wanted.resource.group_resource} is declared twice in different ways:\n  {known}\n"
                f"  {wanted}\nmake them the same, the wider of the two, and filter with predicates"
            )
        if not same_view:
            raise ClashingDeclaration(
                f"{wanted.resource.group_resource} is declared with two types of view,"
                f" {known.resource.decode!r} and {wanted.resource.decode!r}; use one Resource in both places"
            )

    @staticmethod
    def _start(tasks: asyncio.TaskGroup, informer: Informer[Any]) -> None:
        tasks.create_task(informer.run(), name=f"informer {informer.name}")

    async def _freeze_when_synced(self) -> None:
        await self.wait_synced()
        gc.collect()
        gc.freeze()
        structlog.get_logger(__name__).debug(
            "froze the heap after the first sync", objects=gc.get_freeze_count()
        )
