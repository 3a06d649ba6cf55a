"""A process that floods the ports of a manager, and is a hostile image registry.

    python -m support.flood

It prints the URL of the registry. After a line ``<metrics port> <probes port> <seconds>`` on its standard input it floods
both ports for so long, and prints what it has counted as a JSON object. It is a process of its own, so that it does not
take CPU time from the API server of the test.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections import Counter
from contextlib import suppress

from support.hostile_registry import Asked, Hostile, Reply

__all__ = ["IDLE", "LOOPING", "SLOW"]

IDLE, LOOPING, SLOW = 200, 60, 20
"""Connections that send nothing, that request metrics in a loop, and that send a header byte by byte."""


class Flood:
    """Connections to the ports of a manager, and what came back."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    async def run(self, metrics: int, probes: int, seconds: float) -> None:
        """Flood for some seconds."""
        tasks = [
            *(self._idle(port) for port in (metrics, probes) for _ in range(IDLE // 2)),
            *(self._loop(metrics, "/metrics") for _ in range(LOOPING)),
            *(self._slow(port) for port in (metrics, probes) for _ in range(SLOW // 2)),
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for task in tasks:
                    group.create_task(task)

    async def _idle(self, port: int) -> None:
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                self.counts["idle"] += 1
                try:
                    await reader.read()
                finally:
                    writer.close()
            await asyncio.sleep(0.2)

    async def _loop(self, port: int, path: str) -> None:
        request = f"GET {path} HTTP/1.1\r\nHost: manager\r\nConnection: close\r\n\r\n".encode()
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(request)
                    await writer.drain()
                    self.counts["requests"] += 1
                    self.counts["bytes"] += len(await reader.read())
                finally:
                    writer.close()
            await asyncio.sleep(0.01)

    async def _slow(self, port: int) -> None:
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                self.counts["slow"] += 1
                try:
                    writer.write(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
                    while not reader.at_eof():
                        writer.write(b"x")
                        await writer.drain()
                        await asyncio.sleep(0.1)
                finally:
                    writer.close()
            await asyncio.sleep(0.2)


def hostile_replies() -> list[Reply]:
    """What the registry sends in turn."""
    blanks = "".join(f"WWW-Authenticate: Bearer {chr(0xA0) * 300}\r\n" for _ in range(100))
    endless = b"x" * 65536
    return [
        Reply(b"{}", headers={"X-Huge": "h" * 2_000_000}),
        Reply(endless, length=False, times=1_000_000),
        Reply(b"{", length=False, times=1_000_000, pause=0.2),
        Reply(b"HTTP/1.1 401 X\r\n" + blanks.encode("latin-1") + b"Content-Length: 0\r\n\r\n", status=0),
        Reply(b"X-Part: " + b"y" * 50 + b"\r\n", status=0, times=1_000_000, pause=0.2),
        Reply(silent=True),
    ]


async def _main() -> None:
    replies, flood = itertools.cycle(hostile_replies()), Flood()

    def answer(_: Asked) -> Reply:
        flood.counts["registry"] += 1
        return next(replies)

    async with Hostile(answer) as registry:
        print(registry.url, flush=True)
        line = await asyncio.to_thread(sys.stdin.readline)
        metrics, probes, seconds = line.split()
        await flood.run(int(metrics), int(probes), float(seconds))
        print(json.dumps(flood.counts), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
