"""A proxy on 127.0.0.1 between the managers and the API server, which injects faults.

Contract:
    * Every watch ends 20 s after its start, alternately as a complete response and as a broken connection.
    * Other requests are, with the probabilities in :data:`FAULTS`, delayed, answered with 429 and ``Retry-After``, with
      404 or 5xx and a body that is not a Status, or passed on without returning the response.
    * During an outage every connection is closed at once, and open watches end.
    * Everything else is passed on unchanged, as a stream, with the administrator's token.
    * ``counts`` has the number of faults by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from typing import TYPE_CHECKING, Self

import aiohttp
from aiohttp import web
from yarl import URL

if TYPE_CHECKING:
    import random
    from pathlib import Path

__all__ = ["FAULTS", "WATCH_SECONDS", "FaultProxy"]

WATCH_SECONDS = 20.0
FAULTS = {
    "delay": 0.03,
    "429": 0.02,
    "stray 404": 0.02,
    "500": 0.005,
    "502": 0.005,
    "503": 0.005,
    "lost response": 0.01,
}
"""The probability of each fault."""

_HOP_HEADERS = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length"}
)
_LONGEST_DELAY = 2.0


class FaultProxy:
    """The proxy; it serves while its context is entered.

    Args:
        upstream: URL of the API server.
        token: of the administrator.
        ca_file: with which the certificate of the API server is verified.
        rng: chooses the faults.
    """

    def __init__(self, upstream: str, token: str, ca_file: Path, rng: random.Random) -> None:
        self._upstream = URL(upstream)
        self._token = token
        self._trust = ssl.create_default_context(cafile=str(ca_file))
        self._rng = rng
        self._stack = contextlib.AsyncExitStack()
        self._watches: set[asyncio.Event] = set()
        self._ended_watches = 0
        self._session: aiohttp.ClientSession | None = None
        self.counts: Counter[str] = Counter()
        self.out = False
        self.url = ""

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._trust)
        session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        self._session = await self._stack.enter_async_context(session)
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), handler_cancellation=True)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=1)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def outage(self, seconds: float) -> None:
        """Close every connection for some seconds."""
        self.counts["outage"] += 1
        self.out = True
        for end in self._watches:
            end.set()
        await asyncio.sleep(seconds)
        self.out = False

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.counts["requests"] += 1
        if self.out:
            return self._break(request)
        if request.query.get("watch") in ("1", "true"):
            self.counts["watches"] += 1
        fault = self._fault()
        if fault is not None:
            self.counts[fault] += 1
        match fault:
            case "429":
                return web.Response(status=429, headers={"Retry-After": "1"}, text="too many requests\n")
            case "stray 404":
                return web.Response(status=404, text="404 page not found\n")
            case "500" | "502" | "503":
                return web.Response(status=int(fault), text="upstream connect error\n")
            case "delay":
                await asyncio.sleep(self._rng.uniform(0.1, _LONGEST_DELAY))
            case _:
                pass
        try:
            return await self._pass_on(request, lose=fault == "lost response")
        except (aiohttp.ClientError, ConnectionError):
            self.counts["upstream errors"] += 1
            return self._break(request)

    def _fault(self) -> str | None:
        chosen = self._rng.random()
        for name, probability in FAULTS.items():
            if chosen < probability:
                return name
            chosen -= probability
        return None

    async def _pass_on(self, request: web.BaseRequest, *, lose: bool) -> web.StreamResponse:
        assert self._session is not None
        url = URL(f"{self._upstream}{request.raw_path}", encoded=True)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_HEADERS}
        headers["Authorization"] = f"Bearer {self._token}"
        watch = request.query.get("watch") in ("1", "true")
        async with self._session.request(
            request.method,
            url,
            headers=headers,
            data=await request.read() if request.can_read_body else None,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            if lose:
                await answer.read()
                return self._break(request)
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_HEADERS}
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=kept)
            if not watch:
                response.content_length = answer.content_length
            await response.prepare(request)
            if not watch:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            elif not await self._pass_watch(answer, response):
                return self._break(request)
            await response.write_eof()
            return response

    async def _pass_watch(self, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> bool:
        """Pass on the stream until it has to end. False: the connection has to break."""
        end = asyncio.Event()
        self._watches.add(end)
        copying = asyncio.create_task(self._copy(answer, response))
        ending = asyncio.create_task(end.wait())
        try:
            await asyncio.wait({copying, ending}, timeout=WATCH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if copying.done():
                copying.result()
                return True
        finally:
            self._watches.discard(end)
            for task in (copying, ending):
                task.cancel()
            await asyncio.wait({copying, ending})
        self.counts["ended watches"] += 1
        self._ended_watches += 1
        return bool(self._ended_watches % 2) and not self.out

    async def _copy(self, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)

    def _break(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=503)
