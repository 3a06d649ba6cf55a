"""The controller: takes keys from a queue, reconciles them, and decides when to look again.

Contract:
    * One key is never reconciled twice at once; different keys run up to ``max_concurrent_reconciles`` at a
      time.
    * No run begins before every source has delivered its initial objects.
    * Whatever a reconciler raises, the other keys go on (with ``recover=False`` a mistake in the code ends
      the controller).
    * ``warm_up()`` starts the sources, each exactly once, however many callers there are. ``run()`` warms up,
      then works.
    * ``stop()`` ends it kindly: nothing new begins, runs in flight end, then ``run()`` returns. Cancelling
      ``run()``
      ends it now: runs in flight are cancelled, awaited, and the CancelledError passes.

Invariants:
    * All tasks live inside ``run()``; before it there is none, after it there is none.
    * Each hand-out of the queue is given back by exactly one ``done``.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import uuid
from typing import TYPE_CHECKING, Any, final

import structlog

from aimctl.runtime.controller.hotloop import HotLoopDetector
from aimctl.runtime.controller.metrics import NoControllerMetrics
from aimctl.runtime.controller.outcome import Outcome, judge
from aimctl.runtime.controller.reconcile import Reconciler, Result, _reconcile_id
from aimctl.runtime.kube.errors import KubeError
from aimctl.runtime.queue import ExponentialRateLimiter, QueueShutDown, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import FilteringBoundLogger

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller.metrics import ControllerMetrics
    from aimctl.runtime.controller.reconcile import ReconcileFunc, Request
    from aimctl.runtime.controller.sources import Source
    from aimctl.runtime.queue import Handout, QueueMetrics, RateLimiter

__all__ = ["CacheSyncTimeout", "Controller"]


class CacheSyncTimeout(Exception):  # noqa: N818 - the field's name for it
    """A source did not start or sync in time; the text names each, and its last error."""


@final
class Controller:
    """See the module.

    Args:
        name: unique in the process; the ``controller`` label of metrics and logs.
        reconciler: the object, or plain async function, that does the work.
        sources: what adds requests. More may be added later with :meth:`watch`.
        clock: time.
        kind: the kind it reconciles, for the log only.
        max_concurrent_reconciles: runs at a time.
        rate_limiter: pauses after failures; default exponential, 5 ms to 1000 s, for each key.
        reconcile_timeout: seconds for one run, then it is cancelled and counts as an error; None for no
            limit.
        cache_sync_timeout: seconds for all sources to start and sync.
        recover: whether a mistake in the reconciler's code (TypeError, KeyError and the like) is retried, as
            any error is, or ends the controller.
        needs_leader_election: whether it works only while this process leads. Its sources start before that
            anyway.
        hot_loop: warns of a key that is reconciled again and again with success.
        metrics, queue_metrics: hooks; default none.
        rng: for reconcile ids.
        logger: where its log goes; default structlog's.
    """

    def __init__(
        self,
        name: str,
        reconciler: Reconciler | ReconcileFunc,
        *,
        sources: Iterable[Source],
        clock: Clock,
        kind: str = "",
        max_concurrent_reconciles: int = 1,
        rate_limiter: RateLimiter[Request] | None = None,
        reconcile_timeout: float | None = None,
        cache_sync_timeout: float = 120.0,
        recover: bool = True,
        needs_leader_election: bool = True,
        hot_loop: HotLoopDetector[Request] | None = None,
        metrics: ControllerMetrics | None = None,
        queue_metrics: QueueMetrics | None = None,
        rng: random.Random | None = None,
        logger: FilteringBoundLogger | None = None,
    ) -> None:
        if not name:
            raise ValueError("name: a controller needs a name, it labels its metrics and logs")
        if max_concurrent_reconciles < 1:
            raise ValueError(f"max_concurrent_reconciles={max_concurrent_reconciles}: use 1 or more")
        if reconcile_timeout is not None and reconcile_timeout <= 0:
            raise ValueError(f"reconcile_timeout={reconcile_timeout}: use seconds above zero, or None")
        self.name = name
        self.kind = kind
        self.needs_leader_election = needs_leader_election
        self._reconcile: ReconcileFunc = (
            reconciler.reconcile if isinstance(reconciler, Reconciler) else reconciler
        )
        self._clock = clock
        self._workers = max_concurrent_reconciles
        self._timeout = reconcile_timeout
        self._sync_timeout = cache_sync_timeout
        self._recover = recover
        self._hot_loop: HotLoopDetector[Request] = HotLoopDetector() if hot_loop is None else hot_loop
        self._metrics: ControllerMetrics = NoControllerMetrics() if metrics is None else metrics
        self._metrics.workers(max_concurrent_reconciles)
        # Only names runs: needs no seed to be kept.
        self._rng = random.Random() if rng is None else rng  # noqa: S311
        self._log: FilteringBoundLogger = (logger or structlog.get_logger(__name__)).bind(controller=name)
        self._limiter: RateLimiter[Request] = (
            ExponentialRateLimiter() if rate_limiter is None else rate_limiter
        )
        self._queue: WorkQueue[Request] = WorkQueue(
            clock=clock, name=name, rate_limiter=self._limiter, metrics=queue_metrics
        )
        self._unsynced: list[_Startup] = [_Startup(source) for source in sources]
        self._started: list[Source] = []
        self._stopping = False
        self._warm_up_scope: asyncio.Timeout | None = None
        self._warming: asyncio.Event | None = None
        self._warm = False
        self._ran = False
        self._conflicts: dict[Request, int] = {}

    # ---- life cycle

    @property
    def queue(self) -> WorkQueue[Request]:
        """The queue, for looking and for adding requests by hand."""
        return self._queue

    @property
    def warm(self) -> bool:
        """Whether all sources have synced."""
        return self._warm

    async def watch(self, source: Source) -> None:
        """Add a source. After the warm-up it starts at once, and is not waited for."""
        if self._queue.shutting_down:
            raise RuntimeError(f"controller {self.name!r} has stopped: it takes no more sources")
        if self._warm or self._warming is not None:
            self._started.append(source)
            await source.start(self._queue)
        else:
            self._unsynced.append(_Startup(source))

    async def warm_up(self) -> None:
        """Start the sources and wait until they have synced. Later and concurrent calls share the first one's
        work.

        A caller that is cancelled leaves the rest of the work to the others.

        Raises:
            CacheSyncTimeout: not all in ``cache_sync_timeout``.
            Exception: what a source's start raised.
        """
        while not self._warm:
            if self._warming is not None:
                await self._warming.wait()
                continue
            self._warming = asyncio.Event()
            try:
                await self._start_sources()
                self._warm = True
            finally:
                self._warming.set()
                self._warming = None

    async def run(self) -> None:
        """Work until :meth:`stop`, a cancellation, or a failure that cannot be recovered.

        Raises:
            RuntimeError: called twice.
            CacheSyncTimeout: see :meth:`warm_up`.
        """
        if self._ran:
            raise RuntimeError(f"controller {self.name!r} was started before: make a new one")
        self._ran = True
        try:
            if not await self._warm_up_unless_stopped():
                return
            self._log.info("controller started", workers=self._workers)
            async with asyncio.TaskGroup() as workers:
                for number in range(self._workers):
                    workers.create_task(self._work(), name=f"{self.name} worker {number}")
        except BaseExceptionGroup as group:
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from None
            raise
        finally:
            self._queue.shut_down(drop_queued=True)
            for source in self._started:
                source.stop()
            self._started.clear()
            self._unsynced.clear()
        self._log.info("controller stopped")

    def stop(self) -> None:
        """Begin nothing new; :meth:`run` returns when the runs in flight have ended. May be called again."""
        self._stopping = True
        self._queue.shut_down(drop_queued=True)
        if self._warm_up_scope is not None:
            self._warm_up_scope.reschedule(0.0)

    # ---- sources

    async def _warm_up_unless_stopped(self) -> bool:
        """False when :meth:`stop` came first. The scope is a time limit that only ``stop`` lets expire."""
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._warm_up_scope = scope
                if not self._stopping:
                    await self.warm_up()
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            self._warm_up_scope = None
        return not self._stopping

    async def _start_sources(self) -> None:
        startups = list(self._unsynced)
        try:
            async with asyncio.timeout(self._sync_timeout), asyncio.TaskGroup() as starts:
                for startup in startups:
                    starts.create_task(self._start_one(startup), name=f"{self.name} source")
        except TimeoutError:
            names = ", ".join(sorted(startup.source.describe() for startup in self._unsynced))
            raise CacheSyncTimeout(
                f"controller {self.name!r}: not synced after {self._sync_timeout:g} s: {names}. "
                "Check that the kinds exist and that the service account may list and watch them."
            ) from None
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _start_one(self, startup: _Startup) -> None:
        if not startup.started:
            self._started.append(startup.source)
            await startup.source.start(self._queue)
            startup.started = True
        await startup.source.wait_synced()
        self._unsynced.remove(startup)

    # ---- the loop

    async def _work(self) -> None:
        # In this task's own context, once: binding costs as much as the queue does.
        fixed = {"controller": self.name, "kind": self.kind} if self.kind else {"controller": self.name}
        structlog.contextvars.bind_contextvars(**fixed)
        while True:
            try:
                handout = await self._queue.get()
            except QueueShutDown:
                return
            try:
                await self._reconcile_once(handout)
            finally:
                self._queue.done(handout.item)
            # Neither a ready queue nor a run that reads only the cache gives the loop a turn. Without this one, a
            # thousand quick runs would hold up renewals and watches.
            await asyncio.sleep(0)

    async def _reconcile_once(self, handout: Handout[Request]) -> None:
        request = handout.item
        run_id = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        token = _reconcile_id.set(run_id)
        with structlog.contextvars.bound_contextvars(
            namespace=request.namespace, name=request.name, reconcile_id=run_id
        ):
            started = self._clock.monotonic()
            outcome: Outcome | None = None
            priority: int | None = None
            self._metrics.started()
            try:
                result, error = await self._call(request)
                outcome = judge(result, error, conflicts_in_a_row=self._conflicts.get(request, 0))
                if result is not None:
                    priority = result.priority
            finally:
                _reconcile_id.reset(token)
                self._metrics.finished(
                    None if outcome is None else outcome.label, self._clock.monotonic() - started
                )
            self._act(request, outcome, handout.priority if priority is None else priority)
            self._tell(request, outcome, result)
            if outcome.panic and not self._recover and outcome.error is not None:
                raise outcome.error

    async def _call(self, request: Request) -> tuple[Result | None, Exception | None]:
        limit, task = asyncio.timeout(self._timeout), asyncio.current_task()
        try:
            async with limit:
                # A task of its own: before Python 3.13 a TaskGroup that failed leaves its task marked as cancelled
                # (https://github.com/python/cpython/issues/116720), and this worker runs others after this run.
                return await asyncio.create_task(self._run(request), name=f"{self.name} run"), None
        except asyncio.CancelledError as error:
            if task is not None and task.cancelling():
                raise
            # Nobody cancelled this worker: the reconciler awaited something that was. Passing it on would end
            # the worker without a word, so it is that run's error.
            return None, _Cancelled(f"the reconciler awaited something that was cancelled: {error!r}")
        except TimeoutError as error:
            if limit.expired():
                self._metrics.failed("timeout")
                error.add_note(f"the run was cancelled after reconcile_timeout={self._timeout} s")
            return None, error
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises is that run's outcome
            return None, error

    async def _run(self, request: Request) -> Result | None:
        answer: object = self._reconcile(request)
        if not inspect.isawaitable(answer):
            raise TypeError(f"the reconciler of {self.name!r} returned {answer!r}: make it 'async def'")
        result: object = await answer
        if result is not None and not isinstance(result, Result):
            raise TypeError(f"the reconciler of {self.name!r} returned {result!r}: return a Result or None")
        return result

    def _act(self, request: Request, outcome: Outcome, priority: int) -> None:
        """The queue's part of the outcome."""
        if outcome.label == "conflict":
            self._conflicts[request] = self._conflicts.get(request, 0) + 1
        else:
            self._conflicts.pop(request, None)
        if outcome.forget:
            self._queue.forget(request)
        if outcome.after is None:
            return
        pause = outcome.after
        if outcome.rate_limited:
            pause = max(pause, self._limiter.when(request))
        self._queue.add_after(request, pause, priority=priority)

    def _tell(self, request: Request, outcome: Outcome, result: Result | None) -> None:
        """The metrics' and the log's part of the outcome."""
        error = outcome.error
        facts: dict[str, Any] = {"result": outcome.label, "failures": self._queue.num_requeues(request)}
        match outcome.label:
            case "error":
                self._metrics.failed("error")
                if outcome.terminal:
                    self._metrics.failed("terminal")
                if outcome.panic:
                    self._metrics.failed("panic")
                # What the API server said needs no traceback; what our own code did does.
                trace = None if isinstance(error, KubeError) else error
                self._log.error(
                    "reconcile failed", **facts, terminal=outcome.terminal, error=str(error), exc_info=trace
                )
            case "conflict":
                self._log.debug("somebody wrote in between, looking again", **facts, error=str(error))
            case "refused":
                self._log.info("may not write now", **facts, error=str(error))
            case "requeue_after":
                self._log.debug("looking again later", **facts, seconds=outcome.after, why=str(error or ""))
            case _:
                self._log.debug("reconciled", **facts, asked=repr(result))
        if error is None and self._hot_loop.succeeded(request, self._clock.monotonic()):
            self._metrics.hot_loop()
            self._log.warning(
                "hot loop: this key is reconciled again and again with success",
                limit=self._hot_loop.limit,
                remedy="skip writes that change nothing, and use generation_changed on the primary kind",
            )


class _Startup:
    """How far a source has come; kept when a warm-up is cancelled, so that the next goes on from there."""

    __slots__ = ("source", "started")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.started = False


class _Cancelled(Exception):  # noqa: N818 - only ever seen in a log
    pass
