"""The simulated parts of the embedded cluster for a real API server: nodes, volumes, downloads, registry, KServe.

    async with simulation(client, clock=clock, pace=0.3) as simulated:
        ...  # simulated.nodes, simulated.registry_url, ...

Contract: all access is through the API, and through ports on loopback for the registry and the kubelet, which the API
server must reach for pod logs. Leaving the context stops all parts, and raises their defects.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimctl.devcluster.controllers.volumes import DEFAULT_CLASS_ANNOTATION, STORAGE_CLASSES, VolumeProvisioner
from aimctl.devcluster.machinery.events import EventRecorder
from aimctl.devcluster.node.kubelet import KubeletServer
from aimctl.devcluster.node.logs import ContainerLogs
from aimctl.devcluster.node.nodes import SimulatedNodes
from aimctl.runtime.kube.errors import AlreadyExists
from aimctl.simulation import SimulatedRegistry
from aimctl.simulation.catalogue import Catalogue
from aimctl.simulation.downloads import Downloads
from aimctl.simulation.kserve import READY_SECONDS, SimulatedKServe
from aimctl.simulation.machines import gpu_machines
from aimctl.simulation.registry_front import RegistryFront

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["STORAGE_CLASS", "Simulation", "simulation"]

STORAGE_CLASS = "standard"
"""The name of the default class, which is created unless it exists."""


@dataclass(frozen=True)
class Simulation:
    """The running parts. ``registry_url`` is the address of a mirror of all registries."""

    nodes: SimulatedNodes
    volumes: VolumeProvisioner
    downloads: Downloads
    registry: SimulatedRegistry
    registry_url: str
    kserve: SimulatedKServe | None


@asynccontextmanager
async def simulation(
    client: Client,
    *,
    clock: Clock,
    pace: float = 1.0,
    catalogue: Catalogue | None = None,
    kserve: bool = False,
    storage: bool = True,
) -> AsyncIterator[Simulation]:
    """Run all parts within the context.

    Args:
        client: used for reads and writes.
        clock: source of all times.
        pace: multiplies the times of containers and of KServe.
        catalogue: what images and downloads do; None takes the default one.
        kserve: whether to simulate KServe, whose CRD must be installed.
        storage: whether to create a default storage class and bind claims, if there are no real volumes.
    """
    known = catalogue or Catalogue.default()
    logs = ContainerLogs(clock=clock)
    downloads, registry = Downloads(known), SimulatedRegistry(known, clock=clock)

    def recorder(component: str) -> EventRecorder:
        return EventRecorder(client, clock=clock, component=component)

    async with AsyncExitStack() as stack:
        kubelet = await stack.enter_async_context(KubeletServer(logs, clock=clock))
        front = await stack.enter_async_context(RegistryFront(registry))
        if storage:
            await _make_storage_class(client)
        nodes = SimulatedNodes(
            client,
            clock=clock,
            machines=gpu_machines(),
            programs=[downloads, known],
            events=recorder("kubelet"),
            pace=pace,
            kubelet_port=kubelet.port,
            logs=logs,
        )
        volumes = VolumeProvisioner(client, clock=clock, events=recorder("provisioner"))
        serving = None
        if kserve:
            serving = SimulatedKServe(
                client,
                clock=clock,
                catalogue=known,
                events=recorder("kserve"),
                ready_seconds=READY_SECONDS * pace,
            )
        parts = [part for part in (nodes, volumes if storage else None, serving) if part is not None]
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for part in parts:
            stack.callback(tasks.create_task(part.run()).cancel)
        yield Simulation(nodes, volumes, downloads, registry, front.endpoint.url, serving)
    defects = [error for part in parts for error in part.worker.errors]
    if defects:
        raise ExceptionGroup("parts of the simulation met defects", defects)


async def _make_storage_class(client: Client) -> None:
    metadata = {"name": STORAGE_CLASS, "annotations": {DEFAULT_CLASS_ANNOTATION: "true"}}
    body = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": metadata}
    with contextlib.suppress(AlreadyExists):
        await client.create(
            STORAGE_CLASSES, {**body, "provisioner": "simulated.aimctl", "allowVolumeExpansion": True}
        )
