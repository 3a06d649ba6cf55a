"""The operator on a cluster: connect, check that everything it needs is there, and run until it is stopped.

Exit codes: 0 after a clean stop, 1 with one line if it cannot start or must end.
"""

from __future__ import annotations

import asyncio
import gc
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

import structlog
from prometheus_client import CollectorRegistry

from aimctl.cli.connect import describe_error
from aimctl.cli.errors import CommandError
from aimctl.controllers.operator import OperatorOptions, add_operator
from aimctl.controllers.preflight import NotInstalled, check
from aimctl.runtime.cache import CacheNotSynced
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import (
    Client,
    ConnectionFailed,
    HttpTransport,
    KubeError,
    load_connection,
)
from aimctl.runtime.manager import (
    GraceExceeded,
    LeaderElectionOptions,
    LeaderLost,
    Manager,
    ManagerOptions,
    RuntimeMetrics,
    configure_logging,
    stop_on_signals,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.runtime.kube import ConnectionInfo

__all__ = ["LEASE_NAME", "ManagerSettings", "new_event_loop", "run_manager"]

LEASE_NAME = "aimctl-manager"

_GC_THRESHOLD = 50_000
"""Allocations between two runs of the garbage collector's youngest generation. Decoded JSON makes many objects and no
cycles; with the default of 700 the collector runs thousands of times during a sync and finds nothing."""

_ENDS = (LeaderLost, GraceExceeded, CacheNotSynced, KubeError)
"""Exceptions with which a manager ends that are reported in one line."""


@dataclass(frozen=True, slots=True)
class ManagerSettings:
    """Settings of the process; the flags of ``aimctl manager`` describe them.

    Without a ``leader_election_namespace`` there is no leader election.
    """

    kubeconfig: str | None = None
    leader_election_namespace: str = ""
    metrics_bind_address: str = ":8080"
    health_probe_bind_address: str = ":8081"
    log_level: str = "info"
    log_format: str = "json"
    operator: OperatorOptions = field(default_factory=OperatorOptions)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A uvloop if it is installed, otherwise a loop of asyncio."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return cast("asyncio.AbstractEventLoop", uvloop.new_event_loop())


def run_manager(settings: ManagerSettings) -> None:
    """Run until a signal stops it.

    Raises:
        CommandError: it cannot start, or must end.
    """
    configure_logging(settings.log_level, cast("Literal['json', 'console']", settings.log_format))
    gc.set_threshold(_GC_THRESHOLD)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_run(settings))


async def _run(settings: ManagerSettings) -> None:
    clock = LoopClock()
    try:
        connection = await load_connection(settings.kubeconfig, environ=os.environ, clock=clock)
    except KubeError as error:
        raise CommandError(str(error)) from error
    metrics = RuntimeMetrics(CollectorRegistry(), process=True)
    with stop_on_signals() as stop:
        async with HttpTransport(connection, clock=clock, observer=metrics) as transport:
            await _check(Client(transport, clock=clock), connection, settings)
            manager = _manager(transport, clock, metrics, settings)
            add_operator(manager, settings.operator)
            structlog.get_logger("aimctl").info(
                "manager starting", identity=manager.identity, server=connection.server
            )
            try:
                await manager.run(stop)
            except _ENDS as error:
                raise CommandError(f"the manager ended: {_with_flags(error)}") from error
            except BaseExceptionGroup as group:
                known, unknown = group.split(_ENDS)
                if known is None or unknown is not None:
                    raise
                lines = "; ".join(_with_flags(error) for error in _leaves(known))
                raise CommandError(f"the manager ended: {lines}") from group


def _manager(
    transport: HttpTransport, clock: LoopClock, metrics: RuntimeMetrics, settings: ManagerSettings
) -> Manager:
    namespace = settings.leader_election_namespace
    return Manager(
        transport,
        clock=clock,
        metrics=metrics,
        options=ManagerOptions(
            leader_election=LeaderElectionOptions(name=LEASE_NAME, namespace=namespace)
            if namespace
            else None,
            metrics_bind_address=settings.metrics_bind_address,
            health_probe_bind_address=settings.health_probe_bind_address,
            freeze_after_sync=True,
        ),
    )


async def _check(client: Client, connection: ConnectionInfo, settings: ManagerSettings) -> None:
    try:
        await check(client, settings.operator, leader_election_namespace=settings.leader_election_namespace)
    except NotInstalled as error:
        raise CommandError(str(error)) from error
    except ConnectionFailed as error:
        raise CommandError(f"cannot reach the API server at {connection.server}: {error}") from error
    except KubeError as error:
        raise CommandError(describe_error(error, connection.server)) from error


def _with_flags(error: BaseException) -> str:
    """The message with the names of flags in place of the names of options."""
    text = str(error)
    for option in ("metrics_bind_address", "health_probe_bind_address"):
        text = text.replace(option, "--" + option.replace("_", "-"))
    return text


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
