"""What an idle manager costs: all templates and nodes are cached, only the nodes' heartbeats arrive.

Usage: ``contender_idle.py OBJECTS NODES SECONDS --server URL``. Prints ``{"phase": "ready"}`` when it is synced and all
objects are reconciled, and after ``go`` and SECONDS seconds ``{"phase": "idle", ...}``.
"""

from __future__ import annotations

import argparse
import asyncio

from measure import Stopwatch, read_commands, say
from templates import PLURAL

from aimctl.runtime import (
    ConnectionInfo,
    HttpTransport,
    LoopClock,
    Manager,
    Request,
    Resource,
    configure_logging,
)

TEMPLATES = Resource.untyped("aim.silogen.ai", "v1alpha1", "AIMServiceTemplate", PLURAL)
NODES = Resource.untyped("", "v1", "Node", "nodes", namespaced=False)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("objects", type=int)
    parser.add_argument("nodes", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--server", required=True)
    options = parser.parse_args()
    configure_logging("warning")
    go, end, clock = asyncio.Event(), asyncio.Event(), LoopClock()
    synced = options.objects

    async def reconcile(request: Request) -> None:
        nonlocal synced
        synced -= 1
        if not synced:
            say(phase="ready")

    async def measured() -> None:
        await go.wait()
        watch = Stopwatch()
        await asyncio.sleep(options.seconds)
        say(phase="idle", nodes=len(manager.cache.list(NODES)), **watch.read())

    async with (
        HttpTransport(ConnectionInfo(options.server), clock=clock) as transport,
        asyncio.TaskGroup() as tasks,
    ):
        manager = Manager(transport, clock=clock)
        manager.cache.declare(NODES)
        manager.controller("templates", reconcile, for_=TEMPLATES, reads=[NODES])
        tasks.create_task(manager.run(end))
        tasks.create_task(measured())
        tasks.create_task(read_commands(lambda line: (go if line == "go" else end).set()))


asyncio.run(main())
