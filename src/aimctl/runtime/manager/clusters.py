"""Managers of several clusters in one process.

Contract of :func:`run_managers`:
    * Each manager has a connection, caches, controllers and a Lease of its own; names only have to be unique within one
      manager. Log records have the key ``cluster``.
    * One server shows all metrics with the label ``cluster``, and all checks and debug pages as ``<cluster>.<name>``.
    * If ``stop`` is set, all managers shut down. If one ends with an error, the others shut down gracefully, and the
      error is raised: the process should exit, because a cluster without a manager would go unnoticed.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from aimctl.runtime.manager.metrics.clusters import ClusterMetrics
from aimctl.runtime.manager.options import ManagerOptions
from aimctl.runtime.manager.serving.endpoints import Endpoints, protection_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client import CollectorRegistry

    from aimctl.runtime.manager.manager import Manager
    from aimctl.runtime.manager.serving.secure.options import SecureServing

__all__ = ["run_managers"]


async def run_managers(
    managers: Sequence[Manager],
    stop: asyncio.Event | None = None,
    *,
    metrics_bind_address: str = "0",
    metrics_secure: SecureServing | None = None,
    health_probe_bind_address: str = "0",
    registry: CollectorRegistry | None = None,
) -> None:
    """Run managers of several clusters together.

    Args:
        managers: each with a different ``ManagerOptions.cluster``, and without addresses.
        stop: ends all of them.
        metrics_bind_address: address of ``/metrics`` and ``/debug`` for all; "0" for off.
        metrics_secure: protect them, see :class:`ManagerOptions`. The reviews are sent to the cluster of the first
            manager, unless the options name another client.
        health_probe_bind_address: address of ``/healthz`` and ``/readyz`` for all; "0" for off.
        registry: further metrics, which get no label, such as those of the process.

    Raises:
        ValueError: a cluster has no name, or two have the same.
        ConfigurationError: an address is invalid or cannot be bound.
        Exception: the error of the manager that failed, see ``Manager.run``.
        BaseExceptionGroup: the errors of several managers.
    """
    by_cluster = {manager.options.cluster: manager for manager in managers}
    if "" in by_cluster or len(by_cluster) < len(managers):
        names = ", ".join(repr(manager.options.cluster) for manager in managers)
        raise ValueError(f"each manager needs another ManagerOptions.cluster; there are {names}")
    options = ManagerOptions(
        metrics_bind_address=metrics_bind_address,
        metrics_secure=metrics_secure if managers else None,
        health_probe_bind_address=health_probe_bind_address,
    )
    protection = None
    if options.metrics_secure is not None:
        first = managers[0]
        protection = protection_of(
            options,
            first.api_reader,
            clock=first.clock,
            metrics=first.metrics,
            requirements=first.requirements,
        )
    endpoints = Endpoints(
        options,
        ClusterMetrics(
            {name: manager.metrics.registry for name, manager in by_cluster.items()}
            | ({} if registry is None else {"": registry})
        ),
        protection,
    )
    for name, manager in by_cluster.items():
        endpoints.include(name, manager.endpoints)
    end, errors = asyncio.Event(), []

    async def run(name: str, manager: Manager) -> None:
        try:
            await manager.run(end)
        except Exception as error:  # noqa: BLE001 - raised when the others have ended
            error.add_note(f"in the manager of cluster {name}")
            structlog.get_logger(__name__).error("a manager failed", cluster=name, error=str(error))
            errors.append(error)
        finally:
            end.set()

    async with contextlib.AsyncExitStack() as stack:
        for server in endpoints.servers:
            await stack.enter_async_context(server)
        async with asyncio.TaskGroup() as tasks:
            ending = tasks.create_task(_set_with(stop, end), name="end of all managers")
            for name, manager in by_cluster.items():
                tasks.create_task(run(name, manager), name=f"manager {name}")
            await end.wait()
            ending.cancel()
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise BaseExceptionGroup("several managers failed", errors)


async def _set_with(stop: asyncio.Event | None, end: asyncio.Event) -> None:
    if stop is not None:
        await stop.wait()
        end.set()
