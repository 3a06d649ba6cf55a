"""What every controller of the cluster consists of: informers that queue keys, and a worker that handles them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.devcluster.machinery.informer import Informer
    from aimctl.devcluster.machinery.worker import Worker

__all__ = ["Controller", "run_controller"]


class Controller(Protocol):
    """A part of the cluster that runs beside the API server, and that ``DevCluster.settled`` waits for."""

    @property
    def worker(self) -> Worker[Any]:
        """Handles the keys that changed."""
        ...

    @property
    def informers(self) -> Sequence[Informer[Any]]:
        """The kinds that are watched at this moment."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...


async def run_controller(worker: Worker[Any], informers: Sequence[Informer[Any]]) -> None:
    """Run the informers and, once all have synced, the worker, until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for informer in informers:
            tasks.create_task(informer.run())
        for informer in informers:
            await informer.synced.wait()
        tasks.create_task(worker.run())
