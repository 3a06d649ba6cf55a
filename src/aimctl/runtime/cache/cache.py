"""The cache: the informers of all declared kinds.

Contract:
    * :meth:`Cache.declare` declares a kind; a read never starts a list or watch. Reading a kind that is not declared
      raises :class:`UndeclaredKind`, whose message says how to declare it.
    * Declaring a kind again in the same way returns the same informer, so controllers share watches. Indexes are added.
    * A scope (:meth:`Cache.scope`) has declarations of its own: components that want different parts of a kind do not
      affect each other. Equal declarations of several scopes share an informer. Other informers of a kind have requests
      of their own, but share objects that they have in the same version. All informers observe writes.
    * Reads return the shared immutable objects, without copying and without waiting. Before the kind is synced, a read
      by a reconciler raises :class:`CacheNotSynced`, because "not found" could be wrong; other reads, such as those of
      event handlers, return what has arrived so far.
    * Read-your-writes: if :meth:`Cache.observe_write` and :meth:`Cache.observe_delete` are hooks of the client, reads
      reflect a write as soon as its call returns. Each read can choose the state without own writes instead.

Invariant: :meth:`Cache.run` owns the tasks of all informers. If one fails, the cache fails, so no informer stops
silently.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import gc
import re
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, final

import structlog

from aimctl.kubetypes import ObjectKey, Resource
from aimctl.runtime.arguments import check_texts
from aimctl.runtime.cache.declaration import Declaration
from aimctl.runtime.cache.errors import (
    CacheNotSynced,
    ClashingDeclaration,
    UndeclaredKind,
    UnwatchedNamespace,
)
from aimctl.runtime.cache.informer import Informer
from aimctl.runtime.cache.pool import Pool, wait_for_all
from aimctl.runtime.kube.options import check_segment

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from aimctl.kubetypes import Object
    from aimctl.runtime.cache.metrics import ReflectorMetrics
    from aimctl.runtime.cache.reflector.types import ReflectorOptions
    from aimctl.runtime.cache.storage.indexes import IndexFunction
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.reader import Reader

__all__ = ["Cache", "reads_need_sync"]

T = TypeVar("T")

reads_need_sync: contextvars.ContextVar[bool] = contextvars.ContextVar("reads_need_sync", default=False)
"""Whether reads in this context raise before the kind is synced. Controllers set it for their reconciles."""

_FREEZE_POLL_SECONDS = 5.0

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
"""A DNS label (RFC 1123), as the API server requires."""


@final
class Cache:
    """Declares, reads and runs the informers of a process.

    Kinds are normally declared before :meth:`run`; a kind declared later starts at once.

    Args:
        reader: the client.
        clock: time.
        rng: for jitter.
        options: timeouts and back-off of the reflectors.
        metrics: returns the hooks for an informer of this name; default: no metrics.
        namespaces: default of :meth:`declare`; empty for all.
        resync_seconds: period of replaying every store to its handlers; None for never.
        freeze_after_sync: once all declared kinds are synced, or cannot be listed, collect garbage and exclude the
            remaining objects from later collections (``gc.freeze``), so that these do not traverse the cache. It
            affects the whole process, so the program decides: default off.
    """

    def __init__(
        self,
        reader: Reader,
        *,
        clock: Clock,
        rng: random.Random,
        options: ReflectorOptions | None = None,
        metrics: Callable[[str], ReflectorMetrics] | None = None,
        namespaces: Sequence[str] = (),
        resync_seconds: float | None = None,
        freeze_after_sync: bool = False,
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._rng = rng
        self._options = options
        self._metrics = metrics
        self._namespaces = tuple(namespaces)
        self._resync_seconds = resync_seconds
        self._freeze = freeze_after_sync
        self._informers: dict[Resource[Any], Informer[Any]] = {}
        """The declarations of this scope."""
        self._pool = Pool(reader)
        self._scope = "main"
        self._pool.scopes.add(self)

    # ---- declaring

    def declare(
        self,
        resource: Resource[T],
        *,
        namespaces: Sequence[str] | None = None,
        label_selector: str = "",
        field_selector: str = "",
        projection: Literal["full", "metadata"] = "full",
        indexes: Mapping[str, IndexFunction[T]] | None = None,
        optional: bool = False,
    ) -> Informer[T]:
        """Declare a kind and return its informer.

        Args:
            resource: the kind.
            namespaces: cache only these; empty for all; None for the default of this cache. Each has its own list
                and watch.
            label_selector: cache only the selected objects.
            field_selector: cache only the selected objects. Own updates appear with the watch instead of at once,
                unless the selector has no other fields than ``metadata.name`` and ``metadata.namespace``.
            projection: ``metadata`` omits everything else, also in the responses of the server.
            indexes: functions from an object to its index values, by index name; added to those declared before.
            optional: the CRD of the kind may be missing; the cache is then empty until it is installed.

        Raises:
            ClashingDeclaration: the kind is declared in another way; the message shows both declarations.
            TypeError: the kind is not a Resource, ``namespaces`` is a single string, or a selector is not a string.
            ValueError: a selector, a namespace or the projection is invalid.
        """
        if not isinstance(resource, Resource):
            raise TypeError(f"{resource!r} is not a kind: use a Resource, such as CONFIG_MAPS")
        if namespaces is None:
            namespaces = self._namespaces if resource.namespaced else ()
        check_texts("namespaces", namespaces)
        for field, selector in (("label_selector", label_selector), ("field_selector", field_selector)):
            if not isinstance(selector, str):
                raise TypeError(f"{field}={selector!r}: must be a text, as in kubectl, such as 'app=web'")
        wanted = Declaration(
            resource, tuple(namespaces), label_selector, field_selector, projection, optional=optional
        )
        functions = dict(indexes or {})
        known: Informer[T] | None = self._informers.get(resource)
        if known is not None:
            self._check_same(known.declaration, wanted)
            for name, function in functions.items():
                if known.store.indexes.get(name, function) != function:
                    raise ClashingDeclaration(
                        f"index {name!r} of {resource.group_resource} is declared with two functions,"
                        f" {known.store.indexes[name]!r} and {function!r}; use one function, or two names"
                    )
        informer: Informer[T] = known or self._pool.equal(wanted, functions) or self._create(wanted)
        for name, function in functions.items():
            if name not in informer.store.indexes:
                informer.add_index(name, function)
        self._informers[resource] = informer
        return informer

    def scope(self, name: str) -> Cache:
        """Return this cache without its declarations, for a component that reads only what it declares itself.

        Args:
            name: added to the name of an informer if another scope has a different informer of the kind.
        """
        scoped = copy.copy(self)
        scoped._informers = {}  # noqa: SLF001 - of this class
        scoped._scope = name  # noqa: SLF001 - of this class
        self._pool.scopes.add(scoped)
        return scoped

    async def remove(self, informer: Informer[Any]) -> None:
        """Stop an informer and undo its declaration in all scopes. The kind can be declared again, also in another way.

        Returns when its tasks have ended. Reads of the kind then raise :class:`UndeclaredKind`.

        Raises:
            ValueError: the informer is not of this cache, or it has handlers: remove their controllers first.
        """
        pool, resource = self._pool, informer.resource
        if informer not in pool.of(resource):
            raise ValueError(f"the informer of {informer.name} is not of this cache, or was removed before")
        if informer.handlers:
            raise ValueError(
                f"the informer of {informer.name} has {informer.handlers} handlers: remove their controllers first"
            )
        pool.informers[resource].remove(informer)
        if not pool.informers[resource]:
            del pool.informers[resource]
        for scope in pool.scopes:
            if scope._informers.get(resource) is informer:  # noqa: SLF001 - of this class
                del scope._informers[resource]  # noqa: SLF001 - of this class
        task = pool.running.pop(informer, None)
        informer.discard()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _create(self, wanted: Declaration[T]) -> Informer[T]:
        name = wanted.resource.group_resource
        if name in {known.name for known in self._pool.of(wanted.resource)}:
            name = f"{name} ({self._scope})"
        peers = self._pool.informers.setdefault(wanted.resource, [])
        informer = Informer(
            self._reader,
            wanted,
            name=name,
            clock=self._clock,
            rng=self._rng,
            options=self._options,
            metrics=self._metrics(name) if self._metrics is not None else None,
            peers=peers,
            resync_seconds=self._resync_seconds,
            streaming=self._pool.streaming,
        )
        peers.append(informer)
        self._pool.start(informer)
        return informer

    # ---- reading

    def informer(self, resource: Resource[T]) -> Informer[T]:
        """The informer of a declared kind.

        Raises:
            UndeclaredKind: it is not declared.
        """
        informer = self._informers.get(resource)
        if informer is None:
            declared = ", ".join(sorted(known.name for known in self._informers.values())) or "none"
            raise UndeclaredKind(
                f"{resource.group_resource} ({resource.api_version}) is not cached; declared kinds: {declared}."
                f" Declare it before the manager starts: cache.declare(<Resource of {resource.kind}>,"
                " namespaces=..., label_selector=...); or read it from the server with the API reader"
            )
        return cast("Informer[T]", informer)

    def declared(self, resource: Resource[T]) -> Informer[T] | None:
        """The informer of a kind, or None if the kind is not declared."""
        return self._informers.get(resource)

    def get(
        self, resource: Resource[T], name: str, namespace: str = "", *, own_writes: bool = True
    ) -> Object[T] | None:
        """The object of this name, or None.

        Args:
            resource: the kind.
            name: of the object.
            namespace: of the object; "" for a cluster-scoped kind.
            own_writes: whether the read reflects the writes of this process at once. With False it returns what the
                watch has brought so far, which is what other replicas see.

        Raises:
            ValueError: the kind is namespaced and ``namespace`` is empty or no valid namespace, or it is cluster-scoped
                and ``namespace`` is given. A request has the namespace first, ``get`` the name. Or no object can have
                this name, such as one that contains a slash.
            UndeclaredKind: the kind is not declared.
            UnwatchedNamespace: the kind is declared for other namespaces only.
            CacheNotSynced: called by a reconciler before the kind is synced.
        """
        if resource.namespaced != bool(namespace):
            raise ValueError(_misplaced(resource, name, namespace))
        found = self._covering(resource, namespace).store.get(
            ObjectKey(namespace, name), own_writes=own_writes
        )
        if found is None:
            if namespace and not _NAMESPACE.fullmatch(namespace):
                raise ValueError(
                    f"namespace={namespace!r} is not a valid namespace: use get(resource, name, namespace)"
                )
            check_segment("name", name)
        return found

    def list(
        self, resource: Resource[T], namespace: str | None = None, *, own_writes: bool = True
    ) -> list[Object[T]]:
        """All cached objects of a kind, or those of one namespace (None and "" mean all), in no particular order.

        ``own_writes`` is as for :meth:`get`.

        Raises:
            UndeclaredKind: the kind is not declared.
            UnwatchedNamespace: the kind is declared for other namespaces only.
            CacheNotSynced: called by a reconciler before the kind is synced.
        """
        if namespace:
            return self._covering(resource, namespace).store.list(namespace, own_writes=own_writes)
        return self._complete(self.informer(resource)).store.list(own_writes=own_writes)

    def by_index(
        self, resource: Resource[T], index: str, value: str, *, own_writes: bool = True
    ) -> Sequence[Object[T]]:
        """The objects for which the index function returned ``value``; ``own_writes`` is as for :meth:`get`.

        Raises:
            UndeclaredKind: the kind is not declared.
            UnknownIndex: the index is not declared.
            CacheNotSynced: called by a reconciler before the kind is synced.
        """
        return self._complete(self.informer(resource)).store.by_index(index, value, own_writes=own_writes)

    # ---- life cycle

    async def run(self) -> None:
        """Run the informers until cancelled, or until one of them fails.

        Raises:
            RuntimeError: it was run before.
            ExceptionGroup: an informer failed, which is a bug: errors of the server do not end an informer.
        """
        pool = self._pool
        if pool.was_run:
            raise RuntimeError("this cache was run before; create a new one")
        pool.was_run = True
        pool.context = contextvars.copy_context()
        try:
            async with asyncio.TaskGroup() as tasks:
                pool.tasks = tasks
                for informer in self.informers:
                    pool.start(informer)
                if self._freeze:
                    tasks.create_task(self._freeze_when_synced(), name="cache freeze")
                await asyncio.Event().wait()
        finally:
            pool.tasks = None
            pool.running.clear()

    async def wait_synced(self, timeout_seconds: float | None = None) -> None:
        """Wait until all declared kinds of all scopes are synced.

        Args:
            timeout_seconds: time limit; None for none.

        Raises:
            CacheNotSynced: the time limit has passed; the message has the reason for each kind.
            InformerStopped: the cache ended before it was synced.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                await wait_for_all(lambda: self.informers)
        except TimeoutError:
            raise CacheNotSynced(self.unsynced()) from None

    async def wait_declarations(self) -> None:
        """Wait until all kinds that are declared in this scope are synced.

        Raises:
            InformerStopped: the cache ended before.
        """
        await wait_for_all(lambda: self.declarations)

    @property
    def synced(self) -> bool:
        """Whether all declared kinds have been listed and delivered to their handlers."""
        return all(informer.synced for informer in self.informers)

    def unsynced(self) -> tuple[str, ...]:
        """One sentence for each informer that is not ready: it has not been listed yet, or cannot be watched."""
        states = [informer.health for informer in self.informers]
        return tuple(state.problem for state in states if not state.ready)

    @property
    def declarations(self) -> tuple[Informer[Any], ...]:
        """The informers that are declared in this scope, in the order of their declaration."""
        return tuple(self._informers.values())

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """The informers of all scopes, those of a kind together."""
        return tuple(one for several in self._pool.informers.values() for one in several)

    # ---- read-your-writes: hooks for the client

    def observe_write(self, obj: Object[Any]) -> None:
        """Store the response to a write. Kinds that are not declared are ignored."""
        for informer in self._pool.of(obj.resource):
            informer.observe_write(obj)

    def observe_delete(self, resource: Resource[Any], key: ObjectKey, uid: str) -> None:
        """Remove an object that was deleted with certainty. Kinds that are not declared are ignored."""
        for informer in self._pool.of(resource):
            informer.observe_delete(key, uid)

    # ---- helpers

    def _covering(self, resource: Resource[T], namespace: str) -> Informer[T]:
        informer = self.informer(resource)
        if not informer.declaration.covers(namespace):
            raise UnwatchedNamespace(
                f"{informer.name} is cached for {', '.join(informer.declaration.namespaces)}, not for"
                f" namespace {namespace!r}; add it to namespaces=... in the declaration of the kind"
            )
        return self._complete(informer)

    @staticmethod
    def _complete(informer: Informer[T]) -> Informer[T]:
        if not informer.synced and reads_need_sync.get():
            raise CacheNotSynced([informer.health.problem])
        return informer

    @staticmethod
    def _check_same(known: Declaration[Any], wanted: Declaration[Any]) -> None:
        same_view = known.resource.decode == wanted.resource.decode or wanted.projection == "metadata"
        if known != wanted:
            raise ClashingDeclaration(
                f"{wanted.resource.group_resource} is declared twice in different ways:\n  {known}\n"
                f"  {wanted}\nuse the wider declaration in both places, and filter with predicates;"
                " or give one of the components a scope of its own: manager.scope(name)"
            )
        if not same_view:
            raise ClashingDeclaration(
                f"{wanted.resource.group_resource} is declared with two types of view,"
                f" {known.resource.decode!r} and {wanted.resource.decode!r}; use one Resource in both places,"
                " or give one of the components a scope of its own: manager.scope(name)"
            )

    async def _freeze_when_synced(self) -> None:
        # A kind that cannot be listed may stay so for days, while the others are large.
        while any(not (one.synced or one.failing) for one in self.informers):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FREEZE_POLL_SECONDS):
                    await wait_for_all(lambda: [one for one in self.informers if not one.failing])
        gc.collect()
        gc.freeze()
        structlog.get_logger(__name__).debug(
            "heap frozen after the first sync", objects=gc.get_freeze_count()
        )


def _misplaced(resource: Resource[Any], name: str, namespace: str) -> str:
    if resource.namespaced:
        return (
            f"{resource.kind} {name!r} needs a namespace: {resource.plural} are namespaced;"
            " use get(resource, name, namespace)"
        )
    return f"namespace={namespace!r}: {resource.plural} are cluster-scoped; use get(resource, name)"
