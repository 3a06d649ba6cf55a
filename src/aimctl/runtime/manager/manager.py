"""The manager: creates, connects and runs the components of a process.

:mod:`aimctl.runtime.manager.lifecycle` describes the order of start and stop.

Invariants:
    * ``client`` refuses writes unless this process holds the lease (see
      :mod:`aimctl.runtime.manager.leaderelection.election`). A write is in the cache when its call returns.
    * Only declared kinds are listed and watched.
"""

from __future__ import annotations

import copy
import random
import socket
import uuid
from typing import TYPE_CHECKING, Any, final

import structlog
from prometheus_client import CollectorRegistry

from aimctl.runtime.arguments import check_list
from aimctl.runtime.cache import Cache, Informer
from aimctl.runtime.controller import Controller
from aimctl.runtime.controller.refresh import Refresh
from aimctl.runtime.controller.sources.of_kinds import sources_of_kinds
from aimctl.runtime.controller.write_log import recorded
from aimctl.runtime.kube.client import Client
from aimctl.runtime.manager.events import EventRecorder
from aimctl.runtime.manager.inspect import add_builtin_pages
from aimctl.runtime.manager.leaderelection.election import Elector
from aimctl.runtime.manager.lifecycle import Lifecycle
from aimctl.runtime.manager.metrics import RuntimeMetrics
from aimctl.runtime.manager.options import ManagerOptions
from aimctl.runtime.manager.readiness import not_synced
from aimctl.runtime.manager.removal import remove_controller
from aimctl.runtime.manager.requirements import Requirements
from aimctl.runtime.manager.serving.endpoints import Endpoints, protection_of
from aimctl.runtime.manager.watchdog import LoopWatchdog
from aimctl.runtime.tracing import TracedTransport, traced

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from structlog.typing import FilteringBoundLogger

    from aimctl.kubetypes import Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import (
        HotLoopDetector,
        Predicate,
        ReconcileFunc,
        Reconciler,
        Request,
        Source,
    )
    from aimctl.runtime.kube.transport import Transport
    from aimctl.runtime.manager.runnables import RunFunc, Runnable
    from aimctl.runtime.manager.serving.debug import Page
    from aimctl.runtime.manager.serving.health import Check
    from aimctl.runtime.manager.serving.sections import StatusSection
    from aimctl.runtime.queue import RateLimiter

__all__ = ["Manager"]


@final
class Manager:
    """Runs controllers and other components against one cluster.

    Args:
        connection: the transport, or a client; its creator closes it.
        clock: time.
        options: the defaults are suitable for tests.
        registry: for metrics; default: a new one.
        metrics: instead of ``registry``, if the transport uses it already.
        rng: for jitter.
        identity: of this replica; default: ``<hostname>_<uuid>``.
        logger: default: the logger of structlog.

    Attributes:
        client: for reconcilers. Its writes are fenced, and in the cache when the call returns.
        api_reader: reads from the server instead of the cache. Writes with it are not fenced.
        cache: the declared kinds.
        events: the event recorder.
        metrics: the metrics; ``metrics.registry`` accepts more of your own.
        elected: set when this process has become the leader.
        elector: leader election, or None.
        controllers: by name.
        requirements: what the components need in the cluster; a program checks it before the start.
        endpoints: the checks, the debug pages and their servers.
    """

    def __init__(
        self,
        connection: Transport | Client,
        *,
        clock: Clock,
        options: ManagerOptions | None = None,
        registry: CollectorRegistry | None = None,
        metrics: RuntimeMetrics | None = None,
        rng: random.Random | None = None,
        identity: str = "",
        logger: FilteringBoundLogger | None = None,
    ) -> None:
        self.options: ManagerOptions = ManagerOptions() if options is None else options
        election = self.options.leader_election
        self.clock = clock
        self.rng: random.Random = random.Random() if rng is None else rng  # noqa: S311 - jitter and names, no secrets
        self.identity: str = (
            identity
            or (election.identity if election else "")
            or f"{socket.gethostname()}_{uuid.UUID(int=self.rng.getrandbits(128), version=4)}"
        )
        self._log: FilteringBoundLogger = logger or structlog.get_logger(__name__)
        self.metrics: RuntimeMetrics = metrics or RuntimeMetrics(
            CollectorRegistry() if registry is None else registry
        )

        tracer = self.options.tracer
        if tracer is not None and not isinstance(connection, Client):
            connection = TracedTransport(connection, tracer)
        bare = connection if isinstance(connection, Client) else Client(connection, clock=clock)
        self.api_reader: Client = bare.with_(field_manager=self.options.name, write_guard=None)
        self.elector: Elector | None = (
            Elector(
                self.api_reader.with_(on_write=None, on_delete=None),
                election,
                identity=self.identity,
                clock=clock,
                rng=self.rng,
                metrics=self.metrics,
                logger=self._log,
            )
            if election
            else None
        )
        self.cache: Cache = Cache(
            self.api_reader,
            clock=clock,
            rng=self.rng,
            options=self.options.reflector,
            metrics=self.metrics.informers.informer,
            namespaces=self.options.namespaces,
            resync_seconds=self.options.resync_seconds,
            freeze_after_sync=self.options.freeze_after_sync,
        )
        self.client: Client = self.api_reader.with_(
            write_guard=self._check_write,
            on_write=recorded(self.cache.observe_write),
            on_delete=self.cache.observe_delete,
            on_unclear=self.elector.note_unclear if self.elector else None,
        )
        self.events: EventRecorder = EventRecorder(
            self.client,
            clock=clock,
            component=self.options.name,
            instance=self.identity,
            rng=self.rng,
            metrics=self.metrics,
            logger=self._log,
        )

        self._life = Lifecycle(
            clock=clock,
            cache=self.cache,
            events=self.events,
            elector=self.elector,
            release_on_exit=election is not None and election.release_on_exit,
            graceful_shutdown_timeout=self.options.graceful_shutdown_timeout,
            cache_sync_timeout=self.options.cache_sync_timeout,
            logger=self._log,
        )
        self.elected: asyncio.Event = self._life.elected
        self.controllers: dict[str, Controller] = {}
        self.requirements: Requirements = Requirements()
        protection = protection_of(
            self.options,
            self.api_reader,
            clock=clock,
            metrics=self.metrics,
            requirements=self.requirements,
            logger=self._log,
        )
        self.endpoints: Endpoints = Endpoints(self.options, self.metrics.registry, protection)
        self._watchdog = LoopWatchdog(
            clock,
            self.metrics,
            interval=self.options.loop_lag_interval,
            limit_seconds=self.options.loop_lag_limit,
            stall_seconds=self.options.stall_seconds,
        )
        self._life.servers = (self._watchdog, *self.endpoints.servers)
        self._add_builtin_checks()
        add_builtin_pages(self)

    def _check_write(self) -> float | None:
        """The seconds that a write may take: the limits of the lease and of the shutdown."""
        limits = (self.elector.check_write() if self.elector else None, self._life.check_write())
        return min((limit for limit in limits if limit is not None), default=None)

    # ---- what runs

    def scope(self, name: str) -> Manager:
        """This manager with cache declarations of its own; everything else is shared.

        A component that is added to a manager with other components declares and reads its kinds in a scope, so that
        the selectors and projections of the others do not matter. The name appears in metrics, see :class:`Cache`.
        """
        scoped = copy.copy(self)
        scoped.cache = self.cache.scope(name)
        return scoped

    def add(
        self, runnable: Runnable | RunFunc, *, name: str = "", needs_leader_election: bool | None = None
    ) -> None:
        """Add a controller, an object with ``run()``, or an async function.

        A controller waits for its own sources. Another runnable starts when all kinds that are declared in this scope
        are synced.

        Args:
            runnable: see :mod:`aimctl.runtime.manager.runnables` for how it is warmed up and stopped.
            name: for messages; default: the name of the controller, function or type.
            needs_leader_election: True: run it on the leader only. False: run it on every replica. None: as the
                attribute ``needs_leader_election`` of the runnable says; without it True.

        Raises:
            TypeError: it has no ``run()`` and is not a function.
            ValueError: a controller of this name exists already: their metrics would be mixed up.
            RuntimeError: the manager is stopping.
        """
        label = (
            name or getattr(runnable, "name", "") or getattr(runnable, "__name__", type(runnable).__name__)
        )
        if needs_leader_election is None:
            needs_leader_election = bool(getattr(runnable, "needs_leader_election", True))
        if isinstance(runnable, Controller) and self.controllers.get(runnable.name, runnable) is not runnable:
            raise ValueError(f"a controller named {runnable.name!r} exists already: choose another name")
        self._life.add(label, runnable, leader_only=needs_leader_election, reads=self.cache)
        if isinstance(runnable, Controller):
            self.controllers[runnable.name] = runnable

    def controller(
        self,
        name: str,
        reconciler: Reconciler | ReconcileFunc,
        *,
        for_: Resource[Any] | Informer[Any] | None = None,
        owns: Sequence[Resource[Any] | Informer[Any]] = (),
        predicates: Sequence[Predicate] = (),
        sources: Sequence[Source] = (),
        reads: Sequence[Resource[Any] | Informer[Any] | Cache] = (),
        kind: str = "",
        max_concurrent_reconciles: int = 1,
        rate_limiter: RateLimiter[Request] | None = None,
        reconcile_timeout: float | None = None,
        cache_sync_timeout: float | None = None,
        recover: bool = True,
        needs_leader_election: bool = True,
        hot_loop: HotLoopDetector[Request] | None = None,
    ) -> Controller:
        """Create a controller and add it to this manager.

        A kind given as a :class:`Resource` uses the declaration that the cache has for it. Without one it is
        declared cluster-wide and in full; to restrict it by namespace, selector or projection, call
        ``manager.cache.declare`` first.

        Args:
            name: unique in the manager; the ``controller`` label of logs and metrics.
            reconciler: an object with ``reconcile(request)``, or a plain async function.
            for_: the kind whose objects are reconciled: each of its events enqueues the object itself. None for a
                controller whose requests come from ``sources`` only; they need not be the keys of objects.
            owns: kinds of children; an event enqueues the child's controller owner, if that is of ``for_``.
            predicates: for ``for_`` only; all must agree.
            sources: further sources, such as ``Watch(informer, EnqueueMapped(function))`` or a :class:`Channel`.
            reads: kinds that the reconciler reads without watching them, or a cache for all kinds of its scope. The
                controller waits until they are synced. A reconcile that reads another kind before that is repeated
                every second.
            kind: in the log; the kind of ``for_`` if empty.
            max_concurrent_reconciles: as in :class:`Controller`, like all that follow.
            rate_limiter: must not be shared with another controller.
            reconcile_timeout: seconds.
            cache_sync_timeout: seconds; None for no limit.
            recover: whether a programming error is retried.
            needs_leader_election: whether it runs on the leader only.
            hot_loop: detector of repeated successful reconciles.

        Raises:
            TypeError: a value has the wrong type, such as a single kind in the place of a list.
            ValueError: the name is taken, an option is out of range, or ``owns`` or ``predicates`` is given without
                ``for_``.
            RuntimeError: the manager is stopping.
        """
        if name in self.controllers:
            raise ValueError(f"a controller named {name!r} exists already: choose another name")
        lists = {"owns": owns, "predicates": predicates, "sources": sources, "reads": reads}
        for field, values in lists.items():
            check_list(field, values)
        try:
            own, primary = sources_of_kinds(self.cache, for_, owns=owns, predicates=predicates, reads=reads)
        except ValueError as error:
            raise ValueError(f"controller {name!r}: {error}") from error
        kind = kind or (primary.resource.kind if primary else "")
        if self.options.tracer is not None:
            reconciler = traced(reconciler, self.options.tracer, controller=name, kind=kind)
        controller = Controller(
            name,
            reconciler,
            kind=kind,
            sources=[*own, *sources],
            clock=self.clock,
            rng=self.rng,
            metrics=self.metrics.controller(name),
            queue_metrics=self.metrics.queue(name),
            max_concurrent_reconciles=max_concurrent_reconciles,
            rate_limiter=rate_limiter,
            reconcile_timeout=reconcile_timeout,
            cache_sync_timeout=cache_sync_timeout,
            recover=recover,
            needs_leader_election=needs_leader_election,
            hot_loop=hot_loop,
            refresh=Refresh(self.api_reader, self.cache, primary) if primary else None,
        )
        self.add(controller)
        return controller

    async def remove(self, controller: Controller, *, grace_seconds: float | None = None) -> None:
        """Remove a controller; see :mod:`aimctl.runtime.manager.removal` for what is removed with it.

        A new controller can then have its name. A manager that is not running can also remove controllers.

        Args:
            controller: as returned by :meth:`controller`, or ``manager.controllers[name]``.
            grace_seconds: for running reconciles, which are then cancelled; None for ``graceful_shutdown_timeout``.

        Raises:
            ValueError: it is not of this manager, or is being removed.
            RuntimeError: called by one of its own reconciles.
        """
        seconds = self.options.graceful_shutdown_timeout if grace_seconds is None else grace_seconds
        await remove_controller(self, self._life, controller, seconds)

    # ---- health, debug pages, state

    def add_health_check(self, name: str, check: Check) -> None:
        """Add a check to ``/healthz``. If it fails repeatedly, the kubelet restarts the container.

        Raises:
            RuntimeError: the manager has been started.
            ValueError: the name is taken or invalid.
        """
        self._only_before_run("health checks")
        self.endpoints.health.add(name, check)

    def add_ready_check(self, name: str, check: Check) -> None:
        """Add a check to ``/readyz``. While it fails, the pod is not ready.

        Raises:
            RuntimeError: the manager has been started.
            ValueError: the name is taken or invalid.
        """
        self._only_before_run("ready checks")
        self.endpoints.ready.add(name, check)

    def add_debug_page(self, path: str, page: Page) -> None:
        """Add a page at ``/debug/<path>``; see :mod:`aimctl.runtime.manager.serving.debug`.

        Raises:
            ValueError: the path is taken or invalid.
        """
        self.endpoints.pages.add(path, page)

    def add_status_section(self, title: str, section: StatusSection) -> None:
        """Add a table to the status page at ``/debug``; see :mod:`aimctl.runtime.manager.serving.sections`.

        Raises:
            ValueError: the title is taken or empty.
        """
        self.endpoints.status.add(title, section)

    def remove_debug_page(self, path: str) -> None:
        """Remove the page at ``/debug/<path>``.

        Raises:
            ValueError: there is no such page.
        """
        self.endpoints.pages.remove(path)

    @property
    def not_ready(self) -> dict[str, str]:
        """The failing ready checks and their reasons; empty if ready."""
        return self.endpoints.ready.failing()

    @property
    def not_healthy(self) -> dict[str, str]:
        """The failing health checks and their reasons; empty if healthy."""
        return self.endpoints.health.failing()

    @property
    def metrics_port(self) -> int:
        """The bound port of the metrics server; 0 if it is not running."""
        return self.endpoints.port("metrics_bind_address")

    @property
    def probe_port(self) -> int:
        """The bound port of the probe server; 0 if it is not running."""
        return self.endpoints.port("health_probe_bind_address")

    @property
    def state(self) -> str:
        """``new``, ``running``, ``stopping`` or ``stopped``, in this order."""
        return self._life.state

    # ---- life cycle

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Run everything until ``stop`` is set, a runnable fails, or the lease is lost.

        Raises:
            RuntimeError: called twice.
            ConfigurationError: an address cannot be bound.
            CacheNotSynced: the caches have not synced within ``cache_sync_timeout``; the message has the reasons.
            LeaderLost: the lease was lost: the process must exit with a non-zero status.
            GraceExceeded: a runnable did not end in time.
            Exception: the error of a runnable.
            BaseExceptionGroup: several of these.
        """
        cluster = {"cluster": self.options.cluster} if self.options.cluster else {}
        with structlog.contextvars.bound_contextvars(**cluster):
            await self._life.run(stop)

    # ---- helpers

    def _only_before_run(self, what: str) -> None:
        if self.state != "new":
            raise RuntimeError(f"add {what} before run()")

    def _add_builtin_checks(self) -> None:
        self.add_health_check("event-loop", self._watchdog.check)
        if self.elector:
            self.add_health_check("leader-election", self.elector.check_renewal)
        self.add_ready_check("caches", self._check_caches)

    def _check_caches(self) -> str | None:
        if self.state != "running":
            return f"the manager is {self.state}"
        return "; ".join(not_synced(self.cache, self.controllers.values())) or None
