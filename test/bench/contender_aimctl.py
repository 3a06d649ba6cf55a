"""aimctl doing the bench's work, in two ways.

``informer``: a client, an informer over every namespace and one handler that counts.
``controller``: the same through a Manager and a Controller whose reconciler does nothing but count; an object
counts when it was reconciled, so the work queue, its metrics and the worker are in the figures.

Usage: ``contender_aimctl.py informer|controller OBJECTS UPDATES --server URL|--kubeconfig PATH``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random

from measure import Phases, read_commands
from templates import PLURAL

from aimctl.runtime.cache import Cache
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.controller import Request
from aimctl.runtime.kube import Client, ConnectionInfo, HttpTransport, Object, Resource, load_connection
from aimctl.runtime.manager import Manager, configure_logging

TEMPLATES = Resource.untyped("aim.silogen.ai", "v1alpha1", "AIMServiceTemplate", PLURAL)


class Counting:
    """Counts what an informer tells it."""

    def __init__(self, phases: Phases) -> None:
        self._seen = phases.seen

    def on_add(self, obj: Object[object], *, initial: bool) -> None:
        """One more object."""
        self._seen()

    def on_update(self, old: Object[object], new: Object[object]) -> None:
        """One more update."""
        self._seen()

    def on_delete(self, obj: Object[object], *, confirmed: bool) -> None:
        """Never expected."""
        raise AssertionError(f"{obj} was deleted")


async def informer(transport: HttpTransport, clock: LoopClock, phases: Phases) -> None:
    cache = Cache(Client(transport, clock=clock), clock=clock, rng=random.Random(1))
    cache.declare(TEMPLATES).add_handler(Counting(phases))
    async with asyncio.TaskGroup() as group:
        phases.begin()
        running = group.create_task(cache.run())
        await phases.ended.wait()
        running.cancel()


async def controller(transport: HttpTransport, clock: LoopClock, phases: Phases) -> None:
    manager = Manager(transport, clock=clock)

    async def reconcile(request: Request) -> None:
        phases.seen()

    manager.controller("templates", reconcile, for_=TEMPLATES)
    phases.begin()
    await manager.run(phases.ended)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=("informer", "controller"))
    parser.add_argument("objects", type=int)
    parser.add_argument("updates", type=int)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--server")
    where.add_argument("--kubeconfig")
    options = parser.parse_args()
    configure_logging("warning")
    clock = LoopClock()
    info = (
        ConnectionInfo(options.server)
        if options.server
        else await load_connection(options.kubeconfig, environ=os.environ, clock=clock)
    )
    phases = Phases(options.objects, options.updates)
    run = informer if options.way == "informer" else controller
    async with HttpTransport(info, clock=clock) as transport, asyncio.TaskGroup() as group:
        group.create_task(read_commands(phases.command))
        group.create_task(run(transport, clock, phases))


asyncio.run(main())
