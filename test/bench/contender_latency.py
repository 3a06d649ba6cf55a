"""How long a change takes from the storage of the server to a reconcile, and to a bare reader of the watch.

``aimctl``: a controller with a reconciler that looks at its object.
``bare``: aiohttp alone, which reads the lines of the watch and decodes the annotation.
Both subtract the time in the annotation ``aimctl-bench/sent`` from the system's monotonic clock, which is the same in
all processes.

Usage: ``contender_latency.py aimctl|bare OBJECTS CHANGES --server URL``. Prints ``{"phase": "ready"}``, and
``{"phase": "latency", "p50_ms", "p99_ms", ...}`` after CHANGES changes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import aiohttp
from measure import Stalls, percentile, read_commands, say
from templates import PLURAL, SENT

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


class Delays:
    """The delays of all changes, reported when they are complete."""

    def __init__(self, changes: int) -> None:
        self._left = changes
        self._delays: list[float] = []
        self._stalls = Stalls()

    def add(self, sent: str) -> None:
        """One change with the time at which it was made, in ns."""
        self._delays.append((time.monotonic_ns() - int(sent)) / 1e6)
        self._left -= 1
        if not self._left:
            say(
                phase="latency",
                stall_ms=self._stalls.stop(),
                p50_ms=percentile(self._delays, 0.5),
                p99_ms=percentile(self._delays, 0.99),
            )


async def reconciles(options: argparse.Namespace, end: asyncio.Event) -> None:
    clock = LoopClock()
    async with HttpTransport(ConnectionInfo(options.server), clock=clock) as transport:
        manager = Manager(transport, clock=clock)
        delays = Delays(options.changes)
        synced = options.objects
        last: dict[Request, str] = {}

        async def reconcile(request: Request) -> None:
            nonlocal synced
            obj = manager.cache.get(TEMPLATES, request.name, request.namespace)
            assert obj is not None
            sent = obj.meta.annotations.get(SENT, "")
            if synced:
                synced -= 1
                last[request] = sent
                if not synced:
                    say(phase="ready")
            elif sent != last[request]:
                last[request] = sent
                delays.add(sent)

        manager.controller("templates", reconcile, for_=TEMPLATES)
        await manager.run(end)


async def bare(options: argparse.Namespace, end: asyncio.Event) -> None:
    path = options.server + TEMPLATES.path()
    async with aiohttp.ClientSession(read_bufsize=2**22) as session, asyncio.TaskGroup() as tasks:
        async with session.get(path, params={"limit": "1"}) as response:
            version = (await response.json())["metadata"]["resourceVersion"]
        timeout = aiohttp.ClientTimeout(total=None)
        parameters = {"watch": "true", "resourceVersion": version}

        async def read() -> None:
            async with session.get(path, params=parameters, timeout=timeout) as response:
                say(phase="ready")
                delays = Delays(options.changes)
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "MODIFIED":
                        delays.add(event["object"]["metadata"]["annotations"][SENT])

        reading = tasks.create_task(read())
        await end.wait()
        reading.cancel()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=("aimctl", "bare"))
    parser.add_argument("objects", type=int)
    parser.add_argument("changes", type=int)
    parser.add_argument("--server", required=True)
    options = parser.parse_args()
    configure_logging("warning")
    end = asyncio.Event()

    def command(line: str) -> None:
        if not line:
            end.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read_commands(command))
        tasks.create_task((reconciles if options.way == "aimctl" else bare)(options, end))


asyncio.run(main())
