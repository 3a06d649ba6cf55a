"""Run an operator as a process.

Contract:
    * :func:`run` returns after a signal and a clean stop. If the operator cannot start, or must end, it logs the reason
      in one record and exits with status 1.
    * :func:`run_manager` is the part of it without flags, logging and exit codes, for programs with a command line of
      their own.
    * Setup functions run before anything is sent to the cluster, in the given order.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, cast

import structlog
from prometheus_client import CollectorRegistry

from aimctl.kubetypes.errors import with_remedy
from aimctl.kubetypes.permissions import observes
from aimctl.runtime.cache import CacheNotSynced
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import ConfigurationError, HttpTransport, KubeError, load_connection
from aimctl.runtime.manager import (
    GraceExceeded,
    LeaderElectionOptions,
    LeaderLost,
    Manager,
    ManagerOptions,
    RuntimeMetrics,
    SecureServing,
    configure_logging,
    stop_on_signals,
)
from aimctl.runtime.manager.leaderelection import election
from aimctl.runtime.manager.logs import log_uncaught
from aimctl.runtime.program.manifests import program_manifests
from aimctl.runtime.program.options import RunOptions, parse_options
from aimctl.runtime.program.preflight import NotInstalled, check_requirements, rights_of
from aimctl.runtime.program.traces import start_traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence

    from aimctl.runtime.kube import ConnectionInfo
    from aimctl.runtime.tracing import Tracer

__all__ = ["GC_THRESHOLD", "CannotRun", "Setup", "new_event_loop", "run", "run_manager"]

Setup: TypeAlias = "Callable[[Manager], object]"
"""Adds controllers and other components to a manager. It does no I/O, and what it returns is ignored."""

GC_THRESHOLD = 50_000
"""Allocations between two runs of the garbage collector's youngest generation. Decoded JSON makes many objects and no
cycles; with the default of 700 the collector runs thousands of times during a sync and finds nothing."""

_ENDS = (LeaderLost, GraceExceeded, CacheNotSynced, KubeError)
"""Exceptions with which a manager ends that are reported in one line."""


class CannotRun(Exception):  # noqa: N818 - it is a state of the program
    """The operator cannot start, or had to end; the message is one line with the reason and, if known, the remedy."""


def run(
    *setups: Setup,
    name: str = "",
    defaults: RunOptions | None = None,
    argv: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Run an operator until SIGTERM or SIGINT; a second signal ends the process immediately.

    It has leader election, probes, metrics and JSON logs; ``--help`` lists the flags and environment variables. With
    ``--print-manifests`` it prints its CRDs and roles and returns.

    Args:
        setups: functions that add controllers to the manager.
        name: of the operator, see :class:`RunOptions`.
        defaults: options that apply without a flag or variable; instead of ``name``.
        argv: arguments without the program's name; None for those of this process.
        environ: environment variables; None for those of this process.

    Raises:
        SystemExit: 1 if it cannot start or must end; 2 for a wrong flag.
        ValueError: neither ``name`` nor ``defaults`` is given, or both.
    """
    if bool(name) == (defaults is not None):
        raise ValueError("run: give the name of the operator, or defaults=RunOptions(name, ...)")
    variables = os.environ if environ is None else environ
    described = next((inspect.getdoc(inspect.getmodule(setup)) for setup in setups), "") or ""
    options = parse_options(
        defaults or RunOptions(name), argv, environ=variables, description=described.partition("\n\n")[0]
    )
    configure_logging(options.log_level, options.log_format)
    log_uncaught()
    if options.print_manifests:
        sys.stdout.write(program_manifests(options, *setups))
        return
    gc.set_threshold(GC_THRESHOLD)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(run_manager(options, *setups, environ=variables))
    except CannotRun as error:
        structlog.get_logger(name or options.name).error("the operator ended", error=str(error))
        raise SystemExit(1) from None


async def run_manager(
    options: RunOptions,
    *setups: Setup,
    environ: Mapping[str, str] | None = None,
    check: Callable[[Manager, ConnectionInfo], Awaitable[None]] | None = None,
) -> None:
    """Connect, create the manager, call the setup functions, and run until a signal.

    Args:
        options: of the process; logging is left to the caller.
        setups: add controllers to the manager.
        environ: for the search of the kubeconfig and for traces; None for the environment of this process.
        check: called with the manager before it starts; None for the checks of :func:`check_requirements`.

    Raises:
        CannotRun: the connection cannot be configured, or the manager ended with an error of the cluster.
        Exception: an error of a setup function, of ``check``, or a programming error of a runnable.
    """
    clock = LoopClock()
    variables = os.environ if environ is None else environ
    try:
        connection = await load_connection(
            options.kubeconfig,
            environ=variables,
            clock=clock,
            context=options.context,
        )
    except KubeError as error:
        raise CannotRun(str(error)) from error
    metrics = RuntimeMetrics(CollectorRegistry(), process=True)
    with stop_on_signals() as stop:
        async with (
            HttpTransport(connection, clock=clock, observer=metrics) as transport,
            _traces(options.name, variables) as tracer,
        ):
            metrics.certificates.add("client", lambda: transport.client_certificate)
            try:
                manager = Manager(
                    transport,
                    clock=clock,
                    metrics=metrics,
                    options=replace(_manager_options(options, connection), tracer=tracer),
                )
            except ConfigurationError as error:
                raise CannotRun(_with_flags(error)) from error
            for setup in setups:
                _call(setup, manager)
            await (_check if check is None else check)(manager, connection)
            structlog.get_logger(options.name).info(
                "manager starting", identity=manager.identity, server=connection.server
            )
            try:
                await manager.run(stop)
            except _ENDS as error:
                raise CannotRun(f"the manager ended: {_with_flags(error)}") from error
            except BaseExceptionGroup as group:
                known, unknown = group.split(_ENDS)
                if known is None or unknown is not None:
                    raise
                lines = "; ".join(_with_flags(error) for error in _leaves(known))
                raise CannotRun(f"the manager ended: {lines}") from group


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A uvloop if it is installed, otherwise a loop of asyncio."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return cast("asyncio.AbstractEventLoop", uvloop.new_event_loop())


@asynccontextmanager
async def _traces(name: str, environ: Mapping[str, str]) -> AsyncIterator[Tracer | None]:
    try:
        traces = start_traces(name, environ)
    except ConfigurationError as error:
        raise CannotRun(str(error)) from error
    if traces is None:
        yield None
        return
    try:
        yield traces.tracer
    finally:
        await traces.aclose()


def _call(setup: Setup, manager: Manager) -> None:
    answer = setup(manager)
    if inspect.iscoroutine(answer):
        answer.close()
        raise TypeError(f"the setup function {setup!r} is a coroutine function: define it with 'def'")


async def _check(manager: Manager, connection: ConnectionInfo) -> None:
    options = manager.options
    rights = [
        *rights_of(manager.requirements.permissions, options.namespaces),
        *(
            right
            for informer in manager.cache.informers
            for right in rights_of(
                observes(informer.resource, reason="cache"), informer.declaration.namespaces
            )
        ),
    ]
    if options.leader_election is not None:
        lease = options.leader_election
        rights += rights_of(election.lease_permissions(lease.name), (lease.namespace,))
    try:
        await check_requirements(manager.api_reader, manager.requirements, rights)
    except NotInstalled as error:
        raise CannotRun(str(error)) from error
    except KubeError as error:
        raise CannotRun(f"the API server at {connection.server}: {with_remedy(error)}") from error


def _manager_options(options: RunOptions, connection: ConnectionInfo) -> ManagerOptions:
    election = LeaderElectionOptions(
        name=options.lease_name or options.name,
        namespace=options.leader_election_namespace or connection.namespace,
        labels=options.lease_labels,
    )
    secure = (
        SecureServing(options.metrics_cert_dir, options.metrics_audiences) if options.metrics_secure else None
    )
    return ManagerOptions(
        name=options.name,
        leader_election=election if options.leader_elect else None,
        metrics_bind_address=options.metrics_bind_address,
        metrics_secure=secure,
        health_probe_bind_address=options.health_probe_bind_address,
        stall_seconds=options.stall_seconds,
        namespaces=options.watch_namespaces,
        freeze_after_sync=True,
    )


def _with_flags(error: BaseException) -> str:
    """The message and the remedy, with the names of flags in place of the names of options."""
    text = with_remedy(error)
    for option in ("metrics_bind_address", "health_probe_bind_address"):
        text = text.replace(option, "--" + option.replace("_", "-"))
    return text.replace("cert_dir=", "--metrics-cert-dir=")


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
