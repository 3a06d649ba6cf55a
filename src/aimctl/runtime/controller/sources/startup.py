"""The sources of one controller: started once, waited for, and stopped together.

Contract:
    * :meth:`Startup.wait_caches` waits for the informers of the sources and starts nothing: a replica that does not
      lead keeps its caches filled and its queue empty.
    * :meth:`Startup.warm_up` starts the sources and waits until all have synced. Concurrent and repeated calls start
      each source once. If the call that starts them is cancelled, the next one continues.
    * A warm-up that takes long logs every source that is not synced, with the reason: after ten seconds, and then with
      pauses that double up to five minutes.
    * :meth:`Startup.stop` stops the sources; afterwards none is kept.

Invariant: each source that was started is in ``_started`` until ``stop()``.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from structlog.typing import FilteringBoundLogger

    from aimctl.runtime.cache import Informer
    from aimctl.runtime.controller.reconcile import Request
    from aimctl.runtime.controller.sources import Source
    from aimctl.runtime.queue import WorkQueue

__all__ = ["CacheSyncTimeout", "Startup"]

_FIRST_REPORT_SECONDS = 10.0
_LONGEST_REPORT_SECONDS = 300.0


class CacheSyncTimeout(Exception):  # noqa: N818 - the name in controller-runtime
    """A source did not start or sync in time. The message names each of them and its last error."""


@final
class Startup:
    """Starts the sources of a controller.

    Args:
        name: of the controller.
        sources: the sources.
        queue: receives the requests.
        timeout: time limit in seconds for all sources to start and sync; None for none.
        logger: for slow warm-ups.
    """

    def __init__(
        self,
        name: str,
        sources: Iterable[Source],
        queue: WorkQueue[Request],
        *,
        timeout: float | None,
        logger: FilteringBoundLogger,
    ) -> None:
        self._name = name
        self._queue = queue
        self._timeout = timeout
        self._log = logger
        self._unsynced: list[_Progress] = [_Progress(source) for source in sources]
        self._started: list[Source] = []
        self._warming: asyncio.Event | None = None
        self._warm = False
        self._held = False
        """Whether the sources are not to be started yet."""

    @property
    def warm(self) -> bool:
        """Whether all sources have synced; while they are not to be started, whether their informers have."""
        return self._warm or (self._held and not self.waiting_for)

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """The informers that the sources use, each once."""
        sources = [*(progress.source for progress in self._unsynced), *self._started]
        return tuple(dict.fromkeys(one for source in sources for one in _informers(source)))

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """The sources that have not synced, with the reason where it is known; empty if warm.

        While the sources are not to be started, these are the ones whose informers have not synced.
        """
        if self._warm:
            return ()
        sources = [progress.source for progress in self._unsynced]
        if self._held:
            sources = [one for one in sources if not all(informer.synced for informer in _informers(one))]
        return tuple(sorted(source.describe() for source in sources))

    async def add(self, source: Source) -> None:
        """Add a source. After the warm-up has begun the source is started at once, without waiting for its sync.

        Raises:
            Exception: any error of the source's ``start``.
        """
        if self._warm or self._warming is not None:
            self._started.append(source)
            await source.start(self._queue)
        else:
            self._unsynced.append(_Progress(source))

    async def wait_caches(self) -> None:
        """Wait until the informers of the sources have synced, without starting the sources.

        Raises:
            CacheSyncTimeout: not all of them have synced in time.
            InformerStopped: one of them has ended before.
        """
        self._held = True
        async with self._reporting():
            try:
                async with asyncio.timeout(self._timeout):
                    for informer in self.informers:
                        await informer.wait_synced()
            except TimeoutError:
                raise self._late() from None

    async def warm_up(self) -> None:
        """Start the sources and wait until they have synced.

        Raises:
            CacheSyncTimeout: not all sources have synced in time.
            Exception: any error of a source's ``start``.
        """
        self._held = False
        while not self._warm:
            if self._warming is not None:
                await self._warming.wait()
                continue
            self._warming = asyncio.Event()
            try:
                async with self._reporting():
                    await self._start_all()
                self._warm = True
            finally:
                self._warming.set()
                self._warming = None

    def stop(self) -> None:
        """Stop the sources that were started, and forget all of them."""
        for source in self._started:
            source.stop()
        self._started.clear()
        self._unsynced.clear()

    async def _start_all(self) -> None:
        startups = list(self._unsynced)
        try:
            async with asyncio.timeout(self._timeout), asyncio.TaskGroup() as starts:
                for startup in startups:
                    starts.create_task(self._start_one(startup), name=f"{self._name} source")
        except TimeoutError:
            raise self._late() from None
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _start_one(self, startup: _Progress) -> None:
        if not startup.started:
            self._started.append(startup.source)
            await startup.source.start(self._queue)
            startup.started = True
        await startup.source.wait_synced()
        if startup in self._unsynced:  # unless stopped in the meantime
            self._unsynced.remove(startup)

    def _late(self) -> CacheSyncTimeout:
        return CacheSyncTimeout(
            f"controller {self._name!r}: not synced after {self._timeout:g} s: {', '.join(self.waiting_for)}. "
            "Check that the kinds exist and that the service account can list and watch them."
        )

    @asynccontextmanager
    async def _reporting(self) -> AsyncIterator[None]:
        """Log what is not synced while the body waits."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def report(seconds: float) -> None:
            nonlocal timer
            self._log.warning("the controller waits for its sources", sources=list(self.waiting_for))
            pause = min(_LONGEST_REPORT_SECONDS, seconds * 2)
            timer = loop.call_later(pause, report, pause)

        timer = loop.call_later(_FIRST_REPORT_SECONDS, report, _FIRST_REPORT_SECONDS)
        try:
            yield
        finally:
            timer.cancel()


def _informers(source: Source) -> tuple[Informer[Any], ...]:
    """The informers of a source; a source of another component may have none."""
    return tuple(getattr(source, "informers", ()))


class _Progress:
    """The progress of starting a source; kept when a warm-up is cancelled, so that the next one continues."""

    __slots__ = ("source", "started")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.started = False
