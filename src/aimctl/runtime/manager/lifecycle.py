"""The order in which the components of a manager start and stop.

Start:  HTTP servers -> caches, event recorder, runnables of every replica, warm-up of the leader's runnables -> leader
        election -> sources of the leader's controllers -> runnables of the leader.
Stop:   all runnables are stopped, within ``graceful_shutdown_timeout`` -> the event recorder is flushed -> the lease is
        released -> caches -> HTTP servers.

A cache that does not sync delays only what uses it:
    * A controller waits for its own sources. On a replica that does not lead, only the caches of a controller of the
      leader are filled; its sources start when the replica has become the leader, so a standby has no backlog.
    * Another runnable starts when all kinds that are declared in its scope are synced.
    * The election starts when all caches are synced and all warm-ups are done, so that a standby can take over at once.
      It does not wait for caches whose requests fail, and for no cache longer than ``_WARM_UP_SECONDS``.

Contract of :meth:`Lifecycle.run`:
    * It returns when ``stop`` is set and everything has ended without errors. Otherwise it raises the error of the
      runnable that failed; if several failed, an exception group. A failing runnable stops the others.
    * If the lease is lost, everything is cancelled at once, and LeaderLost is raised: the process must exit with a
      non-zero status.
    * Runnables that do not end within the grace period are cancelled and named in :class:`GraceExceeded`. The lease
      then expires instead of being released, because the work may not have ended. A write is given up a second before,
      so only other work takes longer.
    * The lease also expires if a write may still take effect (see ``Elector.release``).
    * Cancelling it stops everything without a grace period and releases the lease; CancelledError is raised when that
      is done, within a few seconds.

Invariants:
    * Runnables of the leader start after the lease has been acquired and end before it is released.
    * No task is left when ``run()`` ends, except those named in GraceExceeded that ignore their cancellation.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, final

from aimctl.runtime.controller import Synced
from aimctl.runtime.kube.errors import WriteRefused
from aimctl.runtime.manager.leaderelection.election import LeaderLost
from aimctl.runtime.manager.runnables import Runnable, RunnableGroup, WaitsForCaches, Warmable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from structlog.typing import FilteringBoundLogger

    from aimctl.runtime.cache import Cache
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.manager.events import EventRecorder
    from aimctl.runtime.manager.leaderelection.election import Elector
    from aimctl.runtime.manager.runnables import RunFunc

__all__ = ["GraceExceeded", "Lifecycle"]

_WARM_UP_SECONDS = 30.0
"""Longest time for which slow caches delay the election."""
_START_SECONDS = 5.0
"""Longest time for which slow sources delay the runnables of a new leader. Sources with filled caches start at once."""
_LAST_WRITE_SECONDS = 1.0
"""Writes are given up so long before the end of the grace period, so that their reconciles end within it; a tenth of a
short grace period."""
_SLOW_WRITE_SECONDS = 20.0
"""A shorter grace period does not limit the writes before the stop."""
_POLL_SECONDS = 0.25
"""Interval of the checks whether the caches that are not synced are failing."""


class GraceExceeded(Exception):  # noqa: N818 - named like the other outcomes of run()
    """Runnables did not end within the grace period; the message names them."""


@final
class Lifecycle:
    """Starts and stops the components of a manager.

    Args:
        clock: time.
        cache: the caches of all scopes.
        events: the event recorder, flushed before the lease is released.
        elector: None: this process always leads.
        release_on_exit: whether the lease is released on a clean exit.
        graceful_shutdown_timeout: seconds; 0 cancels at once, below zero waits without limit.
        cache_sync_timeout: time limit in seconds for all caches to sync; None for none.
        logger: for messages.

    Attributes:
        servers: entered first, exited last. Set before ``run()``.
        elected: set when this process has become the leader.
        state: new, running, stopping or stopped.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        cache: Cache,
        events: EventRecorder,
        elector: Elector | None,
        release_on_exit: bool,
        graceful_shutdown_timeout: float,
        cache_sync_timeout: float | None,
        logger: FilteringBoundLogger,
    ) -> None:
        self.servers: Sequence[AbstractAsyncContextManager[Any]] = ()
        self.elected: asyncio.Event = asyncio.Event()
        self.state: str = "new"
        self._clock = clock
        self._cache = cache
        self._elector = elector
        self._release = release_on_exit
        self._grace = graceful_shutdown_timeout
        self._sync_timeout = cache_sync_timeout
        self._log = logger
        self._ending = asyncio.Event()
        self._errors: list[BaseException] = []
        self._warm_up_of: dict[int, Runnable] = {}
        """The warm-up of each runnable that has one, by the id of the runnable."""
        self._held: dict[int, tuple[str, WaitsForCaches]] = {}
        """The runnables that are warmed up when this process leads, with their names, by the id of the runnable."""
        self._holding = elector is not None
        self._removing: set[int] = set()
        self._lost = False
        self._writes_end: float | None = None

        def group(name: str) -> RunnableGroup:
            return RunnableGroup(name, self._on_failure)

        self._steering = group("manager")
        self._caches, self._recorders, self._election = group("caches"), group("events"), group("election")
        self._others, self._leaders = group("every replica"), group("leader")
        self._warm_ups, self._waiting = group("warm-up"), group("waiting for caches")
        self._groups = (
            self._steering,
            self._caches,
            self._recorders,
            self._election,
            self._others,
            self._leaders,
            self._warm_ups,
            self._waiting,
        )
        self._caches.add("cache", _Lasting("the cache", cache.run))
        self._recorders.add("events", events)
        if elector:
            self._election.add("election", elector)

    def add(
        self, name: str, runnable: Runnable | RunFunc, *, leader_only: bool, reads: Cache | None = None
    ) -> None:
        """Add a runnable. It starts in its turn, or at once if its turn is over.

        Args:
            name: for messages.
            runnable: with ``warm_up()`` it waits for its own sources.
            leader_only: whether it runs on the leader only.
            reads: a runnable without ``warm_up()`` waits for the kinds that are declared in this scope; None for none.

        Raises:
            TypeError: it is neither a runnable nor a function.
            RuntimeError: the manager is stopping.
        """
        if not isinstance(runnable, Runnable) and not callable(runnable):
            raise TypeError(
                f"{runnable!r} cannot be run: use an object with 'async def run(self)', or an async function"
            )
        if self.state in {"stopping", "stopped"}:
            raise RuntimeError(f"{name!r} cannot be added: the manager is {self.state}")
        item = runnable if isinstance(runnable, Runnable) else _Function(runnable)
        if isinstance(item, Warmable):
            if leader_only and self._holding and isinstance(item, WaitsForCaches):
                self._held[id(item)] = name, item
                self._warm_up(name, item, item.wait_caches)
            else:
                self._warm_up(name, item, item.warm_up)
            reads = None
        group = self._leaders if leader_only else self._others
        if reads is None or (self.state == "running" and Synced(reads).synced):
            group.add(name, item)
        else:
            self._waiting.add(name, _Function(partial(self._add_after_sync, group, name, item, reads)))

    def removing(self, runnable: Runnable) -> bool:
        """Whether :meth:`remove` is ending this runnable."""
        return id(runnable) in self._removing

    async def remove(self, runnable: Runnable, seconds: float) -> bool:
        """End a runnable with a warm-up, and forget it. False if it did not end within ``seconds`` and was cancelled.

        Args:
            runnable: was added with :meth:`add`.
            seconds: as ``graceful_shutdown_timeout``.
        """
        self._removing.add(id(runnable))
        self._held.pop(id(runnable), None)
        try:
            warm_up = self._warm_up_of.pop(id(runnable), None)
            if warm_up is not None:
                await self._warm_ups.remove(warm_up, 0.0)
            graceful = [await group.remove(runnable, seconds) for group in (self._others, self._leaders)]
        finally:
            self._removing.discard(id(runnable))
        return all(graceful)

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Start everything in order, wait for ``stop``, and stop everything in order.

        Raises:
            RuntimeError: called twice.
            ConfigurationError: an HTTP server cannot be started.
            CacheNotSynced: the caches have not synced within ``cache_sync_timeout``.
            LeaderLost: the lease was lost.
            GraceExceeded: runnables did not end in time.
            BaseExceptionGroup: several errors.
        """
        if self.state != "new":
            raise RuntimeError("this manager was started before: create a new one")
        self.state = "running"
        try:
            async with contextlib.AsyncExitStack() as stack:
                for server in self.servers:
                    await stack.enter_async_context(server)
                for group in self._groups:
                    await stack.enter_async_context(group)
                await self._run_inside(stop)
        finally:
            self.state = "stopped"
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise BaseExceptionGroup("the manager failed", self._errors)

    def check_write(self) -> float | None:
        """The write guard for the shutdown: the seconds that a write starting now may take; None for no limit.

        Raises:
            WriteRefused: the grace period is over.
        """
        if self._writes_end is None:
            # A write that begins just before the stop must end within the grace period too.
            longest = self._grace - _LAST_WRITE_SECONDS
            return longest if longest >= _SLOW_WRITE_SECONDS else None
        left = self._writes_end - self._clock.monotonic()
        if left <= 0:
            raise WriteRefused(
                f"not sent: the manager is stopping, and its grace period of {self._grace:g} s is over"
            )
        return left

    # ---- start

    async def _run_inside(self, stop: asyncio.Event | None) -> None:
        self._steering.add("start", _Function(self._start_in_order))
        if stop is not None:
            self._steering.add("stop", _Function(partial(self._end_with, stop)))
        self._steering.start()
        cancelled: asyncio.CancelledError | None = None
        try:
            await self._ending.wait()
        except asyncio.CancelledError as error:
            cancelled = error
        grace = 0.0 if self._lost or cancelled is not None else self._grace
        # A task of its own, so that a cancellation of this one does not interrupt the shutdown.
        async with asyncio.TaskGroup() as tasks:
            ending = tasks.create_task(self._end_in_order(grace), name="manager end")
            while not ending.done():
                try:
                    await asyncio.wait([ending])
                except asyncio.CancelledError as error:
                    # Raised when the shutdown is done. The first one restarts the shutdown without grace period.
                    if cancelled is None:
                        ending.cancel()
                        ending = tasks.create_task(self._end_in_order(0.0), name="manager end")
                    cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _end_with(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._log.info("shutting down")
        self._ending.set()

    async def _start_in_order(self) -> None:
        self._caches.start()
        if self._sync_timeout is not None:
            self._steering.add(
                "cache sync limit", _Function(partial(self._cache.wait_synced, self._sync_timeout))
            )
        self._recorders.start()
        self._others.start()
        self._warm_ups.start()
        self._waiting.start()
        await self._wait_until_warm(_WARM_UP_SECONDS)
        missing = self._cache.unsynced()
        if missing:
            self._log.warning("starting without caches that are not synced", caches=list(missing))
        else:
            self._log.info("caches synced")
        if self._ending.is_set():
            return
        if self._elector:
            self._election.start()
            await self._elector.leading.wait()
            await self._start_held()
            await self._wait_until_warm(_START_SECONDS)
            if self._ending.is_set():
                return
        self._leaders.start()
        self.elected.set()

    async def _start_held(self) -> None:
        """Warm up the controllers that waited for the leadership of this process."""
        self._holding = False
        while self._held:
            key, (name, item) = self._held.popitem()
            waiting = self._warm_up_of[key]
            self._warm_up(name, item, item.warm_up)
            await self._warm_ups.remove(waiting, 0.0)

    def _warm_up(self, name: str, item: Runnable, function: RunFunc) -> None:
        warm_up = self._warm_up_of[id(item)] = _Function(function)
        self._warm_ups.add(name, warm_up)

    @staticmethod
    async def _add_after_sync(group: RunnableGroup, name: str, item: Runnable, reads: Cache) -> None:
        await reads.wait_declarations()
        group.add(name, item)

    async def _wait_until_warm(self, seconds: float) -> None:
        """Wait until everything is warm, or only failing caches are missing, or for so many seconds."""
        deadline = self._clock.monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            warm = tasks.create_task(self._warm(), name="manager warm-up")
            while not (warm.done() or self._ending.is_set()):
                missing = [informer for informer in self._cache.informers if not informer.synced]
                blocked = missing and all(informer.failing for informer in missing)
                if blocked or self._clock.monotonic() >= deadline:
                    break
                await asyncio.wait([warm], timeout=_POLL_SECONDS)
            warm.cancel()

    async def _warm(self) -> None:
        await self._cache.wait_synced()
        await self._warm_ups.finished()

    # ---- end

    def _on_failure(self, name: str, error: BaseException) -> None:
        if isinstance(error, LeaderLost):
            self._lost = True
            self._waiting.cancel_soon()
            self._leaders.cancel_soon()
        else:
            self._log.error("runnable failed", runnable=name, exc_info=error)
        self._errors.append(error)
        self._ending.set()

    async def _end_in_order(self, grace: float) -> None:
        self.state = "stopping"
        late = {*await self._steering.cancel(), *await self._waiting.cancel()}
        deadline = self._clock.monotonic() + grace
        if grace > 0:
            self._writes_end = deadline - min(_LAST_WRITE_SECONDS, grace / 10)

        def left() -> float:
            return grace if grace <= 0 else max(0.001, deadline - self._clock.monotonic())

        async with asyncio.TaskGroup() as tasks:
            stops = [
                tasks.create_task(stop)
                for stop in (self._warm_ups.cancel(), self._others.stop(left()), self._leaders.stop(left()))
            ]
        late.update(name for stop in stops for name in stop.result())
        worked = not late and not self._lost
        late.update(await self._recorders.stop(left() if worked else 0.0))
        late.update(await self._election.cancel())
        if self._elector and self._release and worked:
            await self._elector.release()
        late.update(await self._caches.cancel())
        if late:
            self._errors.append(GraceExceeded(f"did not end within {grace:g} s: {', '.join(sorted(late))}"))
        self._log.info("stopped")


@final
class _Function:
    """An async function as a runnable."""

    def __init__(self, function: RunFunc) -> None:
        self._function = function

    async def run(self) -> None:
        await self._function()


@final
class _Lasting:
    """An async function that must not return: returning is a failure."""

    def __init__(self, name: str, function: RunFunc) -> None:
        self._name = name
        self._function = function

    async def run(self) -> None:
        await self._function()
        raise RuntimeError(f"{self._name} ended unexpectedly")
