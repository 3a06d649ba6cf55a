"""``aimctl manager``: connect, look whether all that is needed is there, run until told to stop.

Exit codes: 0 after a clean stop, 1 with one line when it cannot start or may not go on.
"""

from __future__ import annotations

import asyncio
import gc
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

import structlog
from prometheus_client import CollectorRegistry

from aimctl.cli import CommandError
from aimctl.controllers.operator import OperatorOptions, add_operator
from aimctl.controllers.preflight import NotInstalled, check
from aimctl.runtime.cache import CacheNotSynced
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import (
    Client,
    ConnectionFailed,
    HttpTransport,
    KubeError,
    Unauthorized,
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
    from collections.abc import Iterator, Mapping

    from aimctl.runtime.kube import ConnectionInfo

__all__ = ["LEASE_NAME", "ManagerSettings", "new_event_loop", "run_manager"]

LEASE_NAME = "aimctl-manager"

_GC_THRESHOLD = 50_000
"""Allocations between two looks of the collector at young objects. Decoded JSON makes many objects and no cycles;
the default of 700 makes the collector look thousands of times during a sync, and find nothing."""


@dataclass(frozen=True, slots=True)
class ManagerSettings:
    """The flags of ``aimctl manager``, see ``aimctl.cli.app``."""

    kubeconfig: str | None = None
    leader_elect: bool = False
    leader_election_namespace: str = "kaiwo-system"
    metrics_bind_address: str = ":8080"
    health_probe_bind_address: str = ":8081"
    discovery_limit: int = 10
    operator_namespace: str = "kaiwo-system"
    watch_namespaces: tuple[str, ...] = ()
    max_concurrent_reconciles: int = 4
    registry_mirrors: Mapping[str, str] = field(default_factory=dict)
    log_level: str = "info"
    log_format: str = "json"

    def operator(self) -> OperatorOptions:
        """What of it concerns the operator."""
        return OperatorOptions(
            operator_namespace=self.operator_namespace,
            discovery_limit=self.discovery_limit,
            watch_namespaces=self.watch_namespaces,
            max_concurrent_reconciles=self.max_concurrent_reconciles,
            registry_mirrors=self.registry_mirrors,
        )


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Uvloop where it is installed, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return cast("asyncio.AbstractEventLoop", uvloop.new_event_loop())


def run_manager(settings: ManagerSettings) -> None:
    """Run to the end. Raises CommandError with the line to print."""
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
            await _check_first(Client(transport, clock=clock), connection, settings)
            manager = _manager(transport, clock, metrics, settings)
            add_operator(manager, settings.operator())
            structlog.get_logger("aimctl").info(
                "manager starting", identity=manager.identity, server=connection.server
            )
            try:
                await manager.run(stop)
            except (LeaderLost, GraceExceeded, CacheNotSynced, KubeError) as error:
                raise CommandError(f"the manager ended: {_as_flags(error)}") from error
            except BaseExceptionGroup as group:
                known, unknown = group.split((LeaderLost, GraceExceeded, CacheNotSynced, KubeError))
                if known is None or unknown is not None:
                    raise
                lines = "; ".join(_as_flags(error) for error in _leaves(known))
                raise CommandError(f"the manager ended: {lines}") from group


def _manager(
    transport: HttpTransport, clock: LoopClock, metrics: RuntimeMetrics, settings: ManagerSettings
) -> Manager:
    election = (
        LeaderElectionOptions(name=LEASE_NAME, namespace=settings.leader_election_namespace)
        if settings.leader_elect
        else None
    )
    return Manager(
        transport,
        clock=clock,
        metrics=metrics,
        options=ManagerOptions(
            leader_election=election,
            metrics_bind_address=settings.metrics_bind_address,
            health_probe_bind_address=settings.health_probe_bind_address,
            freeze_after_sync=True,
        ),
    )


async def _check_first(client: Client, connection: ConnectionInfo, settings: ManagerSettings) -> None:
    try:
        await check(
            client,
            settings.operator(),
            leader_election_namespace=settings.leader_election_namespace if settings.leader_elect else "",
        )
    except ConnectionFailed as error:
        raise CommandError(f"cannot reach the API server at {connection.server}: {error}") from error
    except NotInstalled as error:
        raise CommandError(str(error)) from error
    except Unauthorized as error:
        raise CommandError(
            f"the API server at {connection.server} does not accept these credentials (401 {error}):"
            " renew the token or certificate in the kubeconfig, or log in again"
        ) from error
    except KubeError as error:
        raise CommandError(f"the API server at {connection.server} answers: {error}") from error


def _as_flags(error: BaseException) -> str:
    """The error's text with the flags' names, which a person knows, in place of the options'."""
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
