"""The operator in a process of its own, for the scale run: says what it has used when asked.

Usage: ``scale_operator.py --server URL``. Commands on the standard input, answers on the standard output, one JSON
document a line:
    ``{"following": true}`` once its caches are filled
    ``read`` -> ``{"read": true, "cpu_seconds", "requests", "reconciles", "rss_kib"}`` since it was made
    end of input -> it stops

Watches are no requests here. CPU is user and system time of the whole process, imports included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from measure import Stopwatch, read_commands

from aimctl.controllers.operator import OperatorOptions, add_controllers
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import ConnectionInfo, HttpTransport
from aimctl.runtime.manager import Manager, configure_logging


class Counting:
    """A transport that counts what is no watch."""

    def __init__(self, inner: HttpTransport) -> None:
        self._inner = inner
        self.requests = 0

    @asynccontextmanager
    async def send(
        self, request: Any, *, stream: bool = False, timeout_seconds: float | None = None
    ) -> AsyncIterator[Any]:
        self.requests += not stream
        async with self._inner.send(request, stream=stream, timeout_seconds=timeout_seconds) as answer:
            yield answer

    async def aclose(self) -> None:
        await self._inner.aclose()


def say(**document: object) -> None:
    print(json.dumps(document), flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    options = parser.parse_args()
    configure_logging("warning")
    watch, clock, stop = Stopwatch(), LoopClock(), asyncio.Event()
    async with HttpTransport(ConnectionInfo(options.server), clock=clock) as inner:
        transport = Counting(inner)
        manager = Manager(transport, clock=clock)
        add_controllers(manager, OperatorOptions())

        def reconciles() -> int:
            return int(
                sum(
                    sample.value
                    for family in manager.metrics.registry.collect()
                    for sample in family.samples
                    if sample.name == "controller_runtime_reconcile_total"
                )
            )

        def command(line: str) -> None:
            if not line:
                stop.set()
                return
            used = watch.read()
            say(
                read=True,
                cpu_seconds=used["cpu_seconds"],
                rss_kib=used["before_kib"] + used["grown_kib"],
                requests=transport.requests,
                reconciles=reconciles(),
            )

        async def tell() -> None:
            await manager.cache.wait_synced()
            say(following=True)

        async with asyncio.TaskGroup() as group:
            group.create_task(read_commands(command))
            group.create_task(tell())
            group.create_task(manager.run(stop))


asyncio.run(main())
