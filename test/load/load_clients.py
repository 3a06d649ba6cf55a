"""The clients of the metrics port: scrapes, idle connections, and slow ones, all with TLS.

It speaks JSON lines:
    run:     ``begin``         all clients start
    run:     ``end``           all clients stop
    clients: ``{"scrapes": n, "statuses": {..}, "bytes": b, ...}``  what happened since ``begin``
    run:     closes the input  end

The clients have a low priority, because their CPU time would not be that of the manager's node: they are to load the
manager, not the machine. Idle clients connect, half of them with a TLS handshake, and send nothing. Half of the slow clients send a request byte by
byte, the others send requests with a valid token, and do not read the responses. Clients start within the first seconds,
scrapers first, and one whose connection is closed connects again. Scrapers keep their connections, as Prometheus does, and
send the next request at once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from measure import percentile, read_commands, say

SCRAPERS, IDLE, SLOW = 10, 500, 200
SCRAPE_AGAIN_SECONDS, AGAIN_SECONDS = 0.5, 2.0
"""Time after which a client whose connection was closed connects again."""

_SMALL_BUFFER = 4096
_NICE = 10


def unverified() -> ssl.SSLContext:
    """A context that accepts the self-signed certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Clients:
    """All clients of one port.

    Args:
        port: of the metrics.
        token: of an account that may read them.
    """

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._request = (
            "GET /metrics HTTP/1.1\r\nHost: manager\r\nAccept-Encoding: gzip\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()
        self._tls = unverified()
        self._tasks: list[asyncio.Task[None]] = []
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.seconds: list[float] = []

    def begin(self) -> None:
        """Start all clients."""
        kinds: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (IDLE // 2, lambda: self._idle(None)),
            (IDLE // 2, lambda: self._idle(self._tls)),
            (SLOW // 2, self._send_slowly),
            (SLOW // 2, self._read_nothing),
        ]
        others = [client for count, client in kinds for _ in range(count)]
        loop = asyncio.get_running_loop()
        self.counts.clear()
        self.statuses.clear()
        self.seconds.clear()
        pause = AGAIN_SECONDS / len(others)
        self._tasks = [
            *(
                loop.create_task(self._forever(self._scrape, 0.0, SCRAPE_AGAIN_SECONDS))
                for _ in range(SCRAPERS)
            ),
            *(
                loop.create_task(self._forever(client, 0.5 + number * pause, AGAIN_SECONDS))
                for number, client in enumerate(others)
            ),
        ]

    async def end(self) -> None:
        """Stop all clients, and say what happened."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        say(
            scrapes=self.statuses["200"],
            statuses=self.statuses,
            scrape_p50_ms=percentile(self.seconds, 0.5) * 1000 if self.seconds else 0.0,
            scrape_max_ms=max(self.seconds, default=0.0) * 1000,
            **self.counts,
        )

    async def _forever(self, client: Callable[[], Awaitable[None]], first: float, again: float) -> None:
        await asyncio.sleep(first)
        while True:
            with suppress(OSError, EOFError):
                await client()
            await asyncio.sleep(again)

    async def _scrape(self) -> None:
        reader, writer = await self._open(self._tls)
        try:
            while True:
                started = time.monotonic()
                writer.write(self._request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split()[0])
                self.counts["bytes"] += len(await reader.readexactly(length))
                self.statuses[head.split()[1].decode()] += 1
                self.seconds.append(time.monotonic() - started)
        finally:
            writer.transport.abort()

    async def _idle(self, tls: ssl.SSLContext | None) -> None:
        reader, writer = await self._open(tls)
        self.counts["idle"] += 1
        try:
            await reader.read()
        finally:
            writer.transport.abort()

    async def _send_slowly(self) -> None:
        reader, writer = await self._open(self._tls)
        self.counts["slow_senders"] += 1
        try:
            for byte in self._request:
                if reader.at_eof() or reader.exception() or writer.is_closing():
                    return
                writer.write(bytes([byte]))
                await asyncio.sleep(0.5)
        finally:
            writer.transport.abort()

    async def _read_nothing(self) -> None:
        plain = socket.socket()
        plain.setblocking(False)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        try:
            await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", self._port))
            reader, writer = await asyncio.open_connection(
                sock=plain, ssl=self._tls, server_hostname="", limit=1
            )
        except BaseException:
            plain.close()
            raise
        self.counts["slow_readers"] += 1
        writer.transport.pause_reading()
        try:
            # Writes fail when the server has closed the connection.
            for _ in range(60):
                writer.write(self._request)
                await writer.drain()
                await asyncio.sleep(1.0)
                if reader.exception() or writer.is_closing():
                    return
        finally:
            writer.transport.abort()

    async def _open(self, tls: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.counts["connects"] += 1
        return await asyncio.open_connection("127.0.0.1", self._port, ssl=tls)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("token")
    options = parser.parse_args()
    os.nice(_NICE)
    clients = Clients(options.port, options.token)
    lines: asyncio.Queue[str] = asyncio.Queue()
    reading = asyncio.create_task(read_commands(lines.put_nowait))
    while line := await lines.get():
        if line == "begin":
            clients.begin()
        elif line == "end":
            await clients.end()
    await reading


asyncio.run(main())
