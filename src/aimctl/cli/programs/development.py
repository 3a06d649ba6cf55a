"""The embedded cluster on this machine, with the operator in it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import tempfile
import webbrowser
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aimctl.cli.connect import run
from aimctl.cli.errors import CommandError
from aimctl.cli.programs.extensions import extensions
from aimctl.controllers.operator import OperatorOptions, add_controllers
from aimctl.controllers.options import ALL_REGISTRIES, LEASE_NAME
from aimctl.devcluster import DevCluster
from aimctl.devcluster.storage.journal import JournalUnusable
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import ConnectionInfo, HttpTransport
from aimctl.runtime.manager import (
    LeaderElectionOptions,
    Manager,
    ManagerOptions,
    configure_logging,
    stop_on_signals,
)
from aimctl.runtime.program import CannotExtend, add_extensions
from aimctl.simulation import Catalogue, CatalogueError, RegistryFront, Simulation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Sequence

    from aimctl.runtime.program import Extension

__all__ = ["DevSettings", "RunningDev", "dev_cluster", "run_dev"]

_PROGRESS_SECONDS = 2.0
"""Interval between two progress lines of a download; a real one logs every ten seconds."""


_IDENTITY = "aimctl-dev"
"""Of the operator in the Lease. The same after a restart with kept data, so that it leads again at once."""


@dataclass(frozen=True, slots=True)
class DevSettings:
    """Options of the embedded cluster; the flags of ``aimctl dev`` describe them."""

    port: int = 0
    tls: bool = False
    kubeconfig_out: Path | None = None
    with_manager: bool = True
    catalogue: Path | None = None
    data: Path | None = None
    discovery_limit: int = 10
    kserve: bool = True
    with_: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    open_: bool = False


@dataclass(frozen=True, slots=True)
class RunningDev:
    """A running cluster, its addresses, the path of its kubeconfig, and the names of the extensions that run in it.

    ``status_url`` is the address of the operator's status page; "" if there is none.
    """

    cluster: DevCluster
    url: str
    registry_url: str
    kubeconfig: Path
    extensions: tuple[str, ...]
    status_url: str = ""


@asynccontextmanager
async def dev_cluster(settings: DevSettings) -> AsyncIterator[RunningDev]:
    """Run the embedded cluster over HTTP and, if wanted, the operator as a client of it.

    Raises:
        CommandError: the port is taken, or a file or an extension cannot be used; the message names it.
    """
    added = extensions(settings.with_, settings.skip) if settings.with_manager else ()
    clock = LoopClock()
    simulation = Simulation(
        clock=clock,
        catalogue=_catalogue(settings.catalogue),
        kserve=settings.kserve,
        progress_seconds=_PROGRESS_SECONDS,
    )
    try:
        async with (
            DevCluster(clock=clock, data_file=settings.data, add_ons=simulation.add_ons) as cluster,
            RegistryFront(simulation.registry) as registry,
        ):
            try:
                endpoint = await cluster.serve(port=settings.port, tls=settings.tls)
            except OSError as error:
                raise CommandError(
                    f"--port {settings.port}: {error.strerror or error}; choose another"
                ) from error
            with contextlib.ExitStack() as files:
                target = settings.kubeconfig_out
                if target is None:
                    folder = files.enter_context(tempfile.TemporaryDirectory(prefix="aimctl-dev-"))
                    target = Path(folder) / "kubeconfig"
                kubeconfig = _write_kubeconfig(cluster, target.absolute())
                registry_url = registry.endpoint.url
                names = tuple(one.name for one in added)
                authority = cluster.certificate_authority or None
                connection = ConnectionInfo(endpoint.url, ca_data=authority)
                async with _operator(settings, cluster, connection, registry_url, added) as status:
                    yield RunningDev(cluster, endpoint.url, registry_url, kubeconfig, names, status)
    except JournalUnusable as error:
        raise CommandError(f"--data: {error}") from error


def run_dev(settings: DevSettings, log_level: str) -> None:
    """Run until Ctrl-C or SIGTERM. Raises as :func:`dev_cluster`."""
    configure_logging(log_level, "console")
    run(lambda: _run(settings))


async def _run(settings: DevSettings) -> None:
    with stop_on_signals() as stop:
        async with dev_cluster(settings) as running:
            print(f"API server   {running.url}")
            print(f"kubeconfig   {running.kubeconfig}")
            print(f"registry     {running.registry_url} (all images of the catalogue)")
            print(f"KServe       {'simulated' if settings.kserve else 'not installed (--no-kserve)'}")
            print(f"operator     {'running' if settings.with_manager else 'not started (--no-manager)'}")
            if running.status_url:
                print(f"status page  {running.status_url}")
                await _open(running.status_url)
            if running.extensions:
                print(f"extensions   {', '.join(running.extensions)}")
            print()
            print(f"  export KUBECONFIG={running.kubeconfig}")
            print("  kubectl apply --server-side -f config/samples && kubectl get aim -A")
            print()
            print(
                "Ctrl-C stops it." + ("" if settings.data else " Its data is in memory and is lost then."),
                flush=True,
            )
            await stop.wait()


@asynccontextmanager
async def _operator(
    settings: DevSettings,
    cluster: DevCluster,
    connection: ConnectionInfo,
    registry_url: str,
    added: Sequence[Extension],
) -> AsyncIterator[str]:
    """Run the operator with the extensions, and install their CRDs; yields the address of the status page, or ""."""
    if not settings.with_manager:
        yield ""
        return
    async with HttpTransport(connection, clock=cluster.clock) as transport:
        # The embedded registry has the images of the samples; no network is needed.
        options = OperatorOptions(
            discovery_limit=settings.discovery_limit, registry_mirrors={ALL_REGISTRIES: registry_url}
        )
        manager = Manager(
            transport,
            clock=cluster.clock,
            options=ManagerOptions(
                # There is one replica. Clients find the leader and its limit in the Lease.
                leader_election=LeaderElectionOptions(
                    LEASE_NAME, options.operator_namespace, identity=_IDENTITY, labels=options.lease_labels
                ),
                metrics_bind_address="127.0.0.1:0" if settings.open_ else "0",
            ),
            rng=random.Random(),  # noqa: S311 - jitter, not a secret
        )
        add_controllers(manager, options)
        try:
            add_extensions(manager, added)
        except CannotExtend as error:
            raise CommandError(str(error)) from error
        await cluster.install_crds(manager.requirements.crds.values())
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(manager.run(stop))
            try:
                if settings.open_:
                    await _first_of(running, manager.elected.wait())
                yield f"http://127.0.0.1:{manager.metrics_port}/debug" if settings.open_ else ""
            finally:
                stop.set()


async def _first_of(running: asyncio.Task[None], event: Coroutine[Any, Any, object]) -> None:
    """Wait for an event, or for the end of a task, whose error its group raises."""
    waiting = asyncio.ensure_future(event)
    await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _open(url: str) -> None:
    """Open a page in the browser of a desktop, if there is one. A browser in the terminal would take it over."""
    if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        await asyncio.to_thread(webbrowser.open, url)


def _catalogue(path: Path | None) -> Catalogue:
    if path is None:
        return Catalogue.default()
    try:
        return Catalogue.load(path)
    except CatalogueError as error:
        raise CommandError(f"--catalogue: {error}") from error


def _write_kubeconfig(cluster: DevCluster, path: Path) -> Path:
    try:
        return cluster.write_kubeconfig(path)
    except OSError as error:
        raise CommandError(
            f"--kubeconfig-out {path}: {error.strerror or error}; name a file that you may write"
        ) from error
