"""What a write costs: a reconcile that writes the status of its object, and a bare PATCH of the same bytes.

``aimctl``: a controller with ten workers, synced and idle. The command ``go`` adds every object to its queue. Each is
reconciled, its status is written, the watch delivers the change, and the reconcile that follows finds nothing to do.
``bare``: ten tasks that send the same PATCH with aiohttp alone, and read the response without decoding it.

Usage: ``contender_writes.py aimctl|bare OBJECTS WRITES GENERATION --server URL [--ca FILE]``. Prints
``{"phase": "sync", ...}`` when all objects are reconciled, and after ``go`` ``{"phase": "writes", ...}``, each with the
CPU time of the phase.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl

import aiohttp
from measure import Stalls, Stopwatch, read_commands, say
from templates import PLURAL, namespace_of, template

from aimctl.runtime import (
    ConnectionInfo,
    HttpTransport,
    LoopClock,
    Manager,
    ObjectKey,
    Request,
    Resource,
    configure_logging,
)

TEMPLATES = Resource.untyped("aim.silogen.ai", "v1alpha1", "AIMServiceTemplate", PLURAL)
WORKERS = 10


def change(generation: int) -> dict[str, object]:
    """The merge patch of a status."""
    return {"status": {"observedGeneration": generation}}


def keys(count: int) -> list[ObjectKey]:
    """The objects that are written."""
    return [ObjectKey(namespace_of(number), template(number)["metadata"]["name"]) for number in range(count)]


async def reconciles(options: argparse.Namespace, go: asyncio.Event, end: asyncio.Event) -> None:
    clock = LoopClock()
    info = ConnectionInfo(options.server, ca_file=options.ca)
    async with HttpTransport(info, clock=clock) as transport, asyncio.TaskGroup() as tasks:
        manager = Manager(transport, clock=clock)
        written = 0
        left = options.writes
        synced = options.objects
        watch, stalls, generation = Stopwatch(), Stalls(), 0

        async def reconcile(request: Request) -> None:
            nonlocal synced, left, written
            if synced:
                synced -= 1
                if not synced:
                    say(phase="sync", stall_ms=stalls.stop(), **watch.read())
                return
            if not generation:
                return  # late events of the sync
            obj = manager.cache.get(TEMPLATES, request.name, request.namespace)
            assert obj is not None
            if obj.view["status"]["observedGeneration"] != generation:
                await manager.client.patch(
                    TEMPLATES, request.name, change(generation), request.namespace, subresource="status"
                )
                written += 1
            else:
                left -= 1
                if not left:
                    say(phase="writes", written=written, **watch.read())

        controller = manager.controller(
            "templates", reconcile, for_=TEMPLATES, max_concurrent_reconciles=WORKERS
        )
        watch = Stopwatch()
        tasks.create_task(manager.run(end))
        await go.wait()
        generation = options.generation
        watch = Stopwatch()
        for key in keys(options.writes):
            controller.queue.add(Request(key.namespace, key.name))


async def bare(options: argparse.Namespace, go: asyncio.Event, end: asyncio.Event) -> None:
    trust = ssl.create_default_context(cafile=options.ca) if options.ca else None
    body = json.dumps(change(options.generation), separators=(",", ":")).encode()
    headers = {"Content-Type": "application/merge-patch+json", "Accept": "application/json"}
    connector = aiohttp.TCPConnector(ssl=trust) if trust is not None else aiohttp.TCPConnector()
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def worker(paths: list[str]) -> None:
            while paths:
                async with session.patch(options.server + paths.pop(), data=body) as response:
                    assert response.status == 200, await response.text()
                    await response.read()

        say(phase="sync")
        await go.wait()
        paths = [TEMPLATES.path(key.namespace, key.name, "status") for key in keys(options.writes)]
        watch = Stopwatch()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(worker(paths))
        say(phase="writes", written=options.writes, **watch.read())
        await end.wait()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=("aimctl", "bare"))
    parser.add_argument("objects", type=int)
    parser.add_argument("writes", type=int)
    parser.add_argument("generation", type=int)
    parser.add_argument("--server", required=True)
    parser.add_argument("--ca")
    options = parser.parse_args()
    configure_logging("warning")
    go, end = asyncio.Event(), asyncio.Event()

    def command(line: str) -> None:
        (go if line == "go" else end).set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read_commands(command))
        tasks.create_task((reconciles if options.way == "aimctl" else bare)(options, go, end))


asyncio.run(main())
