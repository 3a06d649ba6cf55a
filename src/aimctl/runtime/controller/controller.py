"""The controller: takes requests from a work queue, reconciles them, and requeues them according to the outcome.

Contract:
    * A request is never reconciled twice at the same time. Up to ``max_concurrent_reconciles`` different requests are
      reconciled concurrently.
    * No reconcile starts before every source has delivered its initial objects.
    * An error of the reconciler does not affect other requests. With ``recover=False`` a programming error ends the
      controller.
    * ``warm_up()`` starts the sources (see ``startup``). ``run()`` warms up first. A controller waits only for its own
      sources, as long as that takes, unless it has a time limit. ``wait_caches()`` waits for their informers only, on
      a replica that does not lead: its queue is empty.
    * ``stop()`` shuts down gracefully: no new reconcile starts, and ``run()`` returns when the running ones have
      ended. Cancelling ``run()`` cancels the running ones, waits for them and raises CancelledError.

Invariants:
    * All tasks exist only while ``run()`` or ``warm_up()`` is running, except reconciles that ignored their
      cancellation (see ``invocation``).
    * For each item returned by the queue ``done`` is called exactly once, when its reconcile has ended.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING, Any, final

import structlog

from aimctl.runtime.arguments import check_count, check_list, check_number
from aimctl.runtime.cache.cache import reads_need_sync
from aimctl.runtime.callbacks import raise_if_ending
from aimctl.runtime.controller.hotloop import (
    STANDSTILL_RUNS,
    HotLoopDetector,
    on_standstill,
    standstill_detector,
)
from aimctl.runtime.controller.invocation import Invoker
from aimctl.runtime.controller.metrics import ControllerMetrics
from aimctl.runtime.controller.outcome import Outcome, classify, limited, text_of
from aimctl.runtime.controller.reconcile import Reconciler, Request, _reconcile_id, is_request
from aimctl.runtime.controller.sources.startup import Startup
from aimctl.runtime.controller.write_log import current_write_log
from aimctl.runtime.kube.errors import KubeError
from aimctl.runtime.queue import ExponentialRateLimiter, QueueItem, QueueShutDown, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from structlog.typing import FilteringBoundLogger

    from aimctl.runtime.cache import Informer
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller.reconcile import ReconcileFunc, Result
    from aimctl.runtime.controller.sources import Source
    from aimctl.runtime.queue import QueueMetrics, RateLimiter

__all__ = ["Controller"]

_HOT_LOOP_REMEDY = "skip writes that change nothing, and use generation_changed for the primary kind"

_NO_REQUEST_REMEDY = "add Request(namespace, name) to the queue, both as texts"

_NO_LIMITER_SECONDS = 60.0
"""Delay after a failure if the rate limiter itself fails."""


@final
class Controller:
    """Runs a reconciler for the requests of its sources. Usually created with ``Manager.controller``.

    Args:
        name: unique in the process; the ``controller`` label of metrics and logs.
        reconciler: an object with ``reconcile(request)``, or an async function.
        sources: enqueue requests. More can be added later with :meth:`watch`.
        clock: time.
        kind: the kind that is reconciled, for the log.
        max_concurrent_reconciles: number of workers.
        rate_limiter: delays after failures; default: exponential per request, 5 ms to 1000 s.
        reconcile_timeout: time limit of a reconcile in seconds; one that exceeds it is cancelled and counts as an
            error. None for no limit.
        cache_sync_timeout: time limit in seconds for all sources to start and sync; None for no limit. It ends the
            controller, and with it the manager.
        recover: whether programming errors of the reconciler (TypeError, KeyError and the like) are retried like other
            errors, or end the controller.
        needs_leader_election: whether it reconciles only while this process is the leader. Its caches are filled
            before.
        hot_loop: detector of repeated successful reconciles; default: 50 in 10 s.
        refresh: brings the cached object of a hot loop up to date before it is reconciled again.
        metrics, queue_metrics: hooks; default: no metrics.
        rng: for reconcile ids.
        logger: default: the logger of structlog.
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
        cache_sync_timeout: float | None = None,
        recover: bool = True,
        needs_leader_election: bool = True,
        hot_loop: HotLoopDetector[Request] | None = None,
        refresh: Callable[[Request], Awaitable[None]] | None = None,
        metrics: ControllerMetrics | None = None,
        queue_metrics: QueueMetrics | None = None,
        rng: random.Random | None = None,
        logger: FilteringBoundLogger | None = None,
    ) -> None:
        if not name:
            raise ValueError("name: a controller needs a name, it labels its metrics and logs")
        check_count("max_concurrent_reconciles", max_concurrent_reconciles)
        for field, limit in (
            ("reconcile_timeout", reconcile_timeout),
            ("cache_sync_timeout", cache_sync_timeout),
        ):
            if limit is not None:
                check_number(field, limit)
        if not isinstance(reconciler, Reconciler) and not callable(reconciler):
            raise TypeError(
                f"reconciler={reconciler!r}: use an object with 'async def reconcile(self, request)', or"
                " an async function"
            )
        check_list("sources", sources)
        self.name = name
        self.kind = kind
        self.needs_leader_election = needs_leader_election
        self._clock = clock
        self._workers = max_concurrent_reconciles
        self._recover = recover
        self._hot_loop: HotLoopDetector[Request] = HotLoopDetector() if hot_loop is None else hot_loop
        self._refresh = refresh
        self._standstill: HotLoopDetector[Request] = HotLoopDetector(0)
        self._metrics = ControllerMetrics() if metrics is None else metrics
        self._metrics.workers(max_concurrent_reconciles)
        # Only for reconcile ids, so a random seed is fine.
        self._rng = random.Random() if rng is None else rng  # noqa: S311
        self._log: FilteringBoundLogger = (logger or structlog.get_logger(__name__)).bind(controller=name)
        self._invoker = Invoker(
            name,
            reconciler.reconcile if isinstance(reconciler, Reconciler) else reconciler,
            timeout=reconcile_timeout,
            timed_out=partial(self._metrics.failed, "timeout"),
            logger=self._log,
        )
        self._limiter: RateLimiter[Request] = (
            ExponentialRateLimiter() if rate_limiter is None else rate_limiter
        )
        self._queue: WorkQueue[Request] = WorkQueue(
            clock=clock, name=name, rate_limiter=self._limiter, metrics=queue_metrics
        )
        self._startup = Startup(name, sources, self._queue, timeout=cache_sync_timeout, logger=self._log)
        self._stopping = False
        self._warm_up_scope: asyncio.Timeout | None = None
        self._ran = False
        self._conflicts: dict[Request, int] = {}

    # ---- life cycle

    @property
    def queue(self) -> WorkQueue[Request]:
        """The work queue. Requests can also be added to it directly; anything else is logged and dropped."""
        return self._queue

    @property
    def warm(self) -> bool:
        """Whether all sources have synced, so that it may reconcile; on a standby, whether their caches have."""
        return self._startup.warm

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """The sources that have not synced, with the reason where it is known; empty if warm.

        On a replica that does not lead, these are the sources whose informers have not synced.
        """
        return self._startup.waiting_for

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """The informers that its sources use."""
        return self._startup.informers

    async def watch(self, source: Source) -> None:
        """Add a source. After the warm-up has begun the source is started at once, without waiting for its sync.

        Raises:
            RuntimeError: the controller has stopped.
            Exception: any error of the source's ``start``.
        """
        if self._queue.shutting_down:
            raise RuntimeError(f"controller {self.name!r} has stopped: it accepts no more sources")
        await self._startup.add(source)

    async def wait_caches(self) -> None:
        """Wait until the informers of the sources have synced. Starts no source, so the queue stays empty.

        Raises:
            CacheSyncTimeout: not all of them have synced within ``cache_sync_timeout``.
            InformerStopped: one of them has ended before.
        """
        await self._startup.wait_caches()

    async def warm_up(self) -> None:
        """Start the sources and wait until they have synced. Concurrent calls wait for the first one.

        If the call that starts the sources is cancelled, one of the others continues.

        Raises:
            CacheSyncTimeout: not all sources have synced within ``cache_sync_timeout``.
            Exception: any error of a source's ``start``.
        """
        await self._startup.warm_up()

    async def run(self) -> None:
        """Reconcile until :meth:`stop`, a cancellation, or an unrecoverable error.

        Raises:
            RuntimeError: called twice; or other code has cancelled its workers.
            CacheSyncTimeout: from :meth:`warm_up`.
            Exception: a programming error of the reconciler, with ``recover=False``.
        """
        if self._ran:
            raise RuntimeError(f"controller {self.name!r} was started before: create a new one")
        self._ran = True
        try:
            if not await self._warm_up_unless_stopped():
                return
            self._log.info("controller started", workers=self._workers)
            if self._hot_loop.enabled:
                self._standstill = standstill_detector()
            async with asyncio.TaskGroup() as tasks:
                workers = [
                    tasks.create_task(self._work(), name=f"{self.name} worker {number}")
                    for number in range(self._workers)
                ]
            if any(worker.cancelled() for worker in workers):
                raise RuntimeError(
                    f"a worker of controller {self.name!r} was cancelled, but not by the controller"
                )
        except BaseExceptionGroup as group:
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from None
            raise
        finally:
            self._queue.shut_down(drop_queued=True)
            self._startup.stop()
        self._log.info("controller stopped")

    @property
    def reconciling(self) -> bool:
        """Whether the current task is a reconcile of this controller."""
        return self._invoker.running_here

    def stop(self) -> None:
        """Start no more reconciles; :meth:`run` returns when the running ones have ended. Idempotent.

        A controller that was not run stops its sources.
        """
        self._stopping = True
        self._queue.shut_down(drop_queued=True)
        if not self._ran:
            self._startup.stop()
        if self._warm_up_scope is not None:
            self._warm_up_scope.reschedule(0.0)

    # ---- sources

    async def _warm_up_unless_stopped(self) -> bool:
        """Warm up. False if :meth:`stop` was called: it makes the time limit around the warm-up expire."""
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

    # ---- the loop

    async def _work(self) -> None:
        # Bound once, in the context of this task: binding costs as much as the queue operations.
        fixed = {"controller": self.name, "kind": self.kind} if self.kind else {"controller": self.name}
        structlog.contextvars.bind_contextvars(**fixed)
        reads_need_sync.set(True)
        # A non-empty queue does not yield to the event loop, but each reconcile does, because it is a task of its own.
        # Many short reconciles therefore do not delay watches and the renewal of the lease.
        while True:
            try:
                entry = await self._queue.get()
            except QueueShutDown:
                return
            try:
                if is_request(entry.item):
                    await self._reconcile_once(entry)
                elif _is_key(
                    entry.item
                ):  # it is equal to a Request, which the queue therefore merges with it
                    await self._reconcile_once(QueueItem(Request(*entry.item), entry.priority))
                else:
                    self._log.error(
                        "dropped an item that is not a Request",
                        item=repr(entry.item),
                        remedy=_NO_REQUEST_REMEDY,
                    )
            finally:
                self._invoker.when_ended(entry.item, partial(self._queue.done, entry.item))

    async def _reconcile_once(self, entry: QueueItem[Request]) -> None:
        request = entry.item
        run_id = _uuid4(self._rng.getrandbits(128))
        token = _reconcile_id.set(run_id)
        current_write_log.set(self._standstill.write_log(request) or self._hot_loop.write_log(request))
        # Not unbound afterwards: the next request of this worker replaces the values.
        structlog.contextvars.bind_contextvars(
            namespace=request.namespace, name=request.name, reconcile_id=run_id
        )
        started = self._clock.monotonic()
        outcome: Outcome | None = None
        priority: int | None = None
        self._metrics.started()
        try:
            result, error = await self._invoker.call(request)
            outcome = classify(result, error, conflicts_in_a_row=self._conflicts.get(request, 0))
            if result is not None:
                priority = result.priority
        finally:
            _reconcile_id.reset(token)
            self._metrics.finished(
                None if outcome is None else outcome.label, self._clock.monotonic() - started
            )
        self._requeue(request, outcome, entry.priority if priority is None else priority)
        self._report(request, outcome, result)
        quiet = outcome.error is None or outcome.label == "requeue_after"
        if quiet and self._detect_hot_loop(request) and self._refresh is not None:
            await self._refresh(request)
        if outcome.panic and not self._recover and outcome.error is not None:
            raise outcome.error

    def _delay(self, request: Request) -> float:
        """The delay of the rate limiter; one that fails or returns no number delays by ``_NO_LIMITER_SECONDS``."""
        try:
            return limited(self._limiter.when(request))
        except BaseException as error:  # noqa: BLE001 - user code: its error must not stop the worker
            raise_if_ending(error)
            self._log.exception("the rate limiter failed", seconds=_NO_LIMITER_SECONDS)
            return _NO_LIMITER_SECONDS

    def _requeue(self, request: Request, outcome: Outcome, priority: int) -> None:
        """Requeue the request according to the outcome."""
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
            pause = max(pause, self._delay(request))
        self._queue.add_after(request, pause, priority=priority)

    def _report(self, request: Request, outcome: Outcome, result: Result | None) -> None:
        """Count and log the outcome."""
        error = outcome.error
        facts: dict[str, Any] = {"result": outcome.label, "failures": self._queue.num_requeues(request)}
        match outcome.label:
            case "error":
                self._metrics.failed("error")
                if outcome.terminal:
                    self._metrics.failed("terminal")
                if outcome.panic:
                    self._metrics.failed("panic")
                # An error of the API server needs no traceback; an error of the code does.
                trace = None if isinstance(error, KubeError) else error
                self._log.error(
                    "reconcile failed",
                    **facts,
                    terminal=outcome.terminal,
                    error=text_of(error),
                    **({"remedy": error.remedy} if isinstance(error, KubeError) and error.remedy else {}),
                    exc_info=trace,
                )
            case "conflict":
                self._log.debug("conflict, requeued", **facts, error=text_of(error))
            case "refused":
                self._log.info("write refused, requeued", **facts, error=text_of(error))
            case "requeue_after":
                self._log.debug(
                    "requeued", **facts, seconds=outcome.after, reason="" if error is None else text_of(error)
                )
            case _:
                self._log.debug("reconciled", **facts, returned=repr(result))

    def _detect_hot_loop(self, request: Request) -> bool:
        """Count a reconcile without an error; True if it makes a hot loop, once in each window."""
        now = self._clock.monotonic()
        hot = self._hot_loop.succeeded(request, now)
        if hot:
            self._metrics.hot_loop()
            self._log.warning(
                "hot loop: the object is reconciled repeatedly without errors",
                limit=self._hot_loop.limit,
                writes=self._hot_loop.writes(request),
                remedy=_HOT_LOOP_REMEDY,
            )
        report = on_standstill.get()
        if report is not None and self._standstill.succeeded(request, now):
            writes = "; ".join(self._standstill.writes(request)) or "none by the client of the manager"
            report(
                f"controller {self.name!r} has reconciled {request} {STANDSTILL_RUNS} times within a millisecond. "
                f"Writes of its last reconciles: {writes}. To fix it, {_HOT_LOOP_REMEDY}."
            )
        return hot


def _is_key(item: Any) -> bool:
    """Whether a plain tuple has what a Request has."""
    return isinstance(item, tuple) and len(item) == 2 and is_request(Request(*item))


def _uuid4(bits: int) -> str:
    """A random UUID (RFC 9562, version 4) of 128 random bits, in a fifth of the time of ``uuid.UUID``."""
    text = f"{bits & ~(0xF << 76) & ~(0x3 << 62) | (0x4 << 76) | (0x2 << 62):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
