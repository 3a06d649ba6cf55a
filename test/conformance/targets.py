"""The two servers to which the cases are sent: the embedded one in this process, and a real kube-apiserver.

Contract: :meth:`Target.send` returns the response of one request. With ``events``, it reads that many lines of a stream
and closes it; the lines are the body. Neither server runs controllers, so nothing changes except by requests.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import aiohttp
from yarl import URL

from aimctl.devcluster import ApiServer, MemoryTransport
from aimctl.runtime.kube.transport import HttpRequest
from aimctl.testing.virtualtime import virtual_clock
from conformance.cases import encoded, url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from support.controlplane import ControlPlane

_OFFSET_SECONDS = 12345.678
"""Virtual time before the first request, so that no time of the server is one that the cases contain."""
_AGENT = {"User-Agent": "conformance/1.0"}

NO_RESPONSE = 0
"""Instead of a status: the handler of the request ended with a panic, and the server closed the connection."""


@dataclass(frozen=True)
class Response:
    """A response. ``ended`` says that a stream ended before as many events as requested had arrived.

    The status is :data:`NO_RESPONSE` if the server closed the connection without a response.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    ended: bool = False


class Target(Protocol):
    """A server under test."""

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, events: int | None
    ) -> Response:
        """Send one request."""
        ...


class _Embedded:
    def __init__(self, server: ApiServer) -> None:
        self._transport = MemoryTransport(server)

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, events: int | None
    ) -> Response:
        base, query = encoded(path)
        request = HttpRequest(method, base, query, {**_AGENT, **headers}, body)
        async with self._transport.send(request, stream=events is not None) as response:
            if events is None or response.status != 200:
                return Response(response.status, response.headers, await response.read())
            return await _lines(response.status, response.headers, response.chunks(), events)


class RealServer:
    """A real kube-apiserver."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session, self._base = session, base

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, events: int | None
    ) -> Response:
        target = URL(self._base + url(path), encoded=True)
        try:
            return await self._response(method, target, {**_AGENT, **headers}, body, events)
        except aiohttp.ClientConnectorError:
            raise  # no server listens
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            return Response(NO_RESPONSE, {}, b"")

    async def _response(
        self, method: str, target: URL, headers: Mapping[str, str], body: bytes | None, events: int | None
    ) -> Response:
        async with self._session.request(
            method, target, headers=headers, data=body, skip_auto_headers=["Content-Type"]
        ) as response:
            if events is None or response.status != 200:
                return Response(response.status, response.headers, await response.read())
            return await _lines(response.status, response.headers, response.content.iter_any(), events)


async def _lines(
    status: int, headers: Mapping[str, str], chunks: AsyncIterator[bytes], events: int
) -> Response:
    body = b""
    while body.count(b"\n") < events:
        chunk = await anext(chunks, None)
        if chunk is None:
            return Response(status, headers, body, ended=True)
        body += chunk
    return Response(status, headers, b"".join(body.splitlines(keepends=True)[:events]))


@asynccontextmanager
async def embedded() -> AsyncIterator[Target]:
    """A new embedded API server. Needs an event loop with virtual time."""
    server = ApiServer(clock=virtual_clock(), rng=random.Random(1))
    server.start()
    await asyncio.sleep(_OFFSET_SECONDS)
    try:
        yield _Embedded(server)
    finally:
        server.close()


@asynccontextmanager
async def real(plane: ControlPlane) -> AsyncIterator[Target]:
    """The API server of a control plane that runs without controllers."""
    trust = ssl.create_default_context(cafile=str(plane.ca_file))
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {plane.token}"}, connector=aiohttp.TCPConnector(ssl=trust)
    ) as session:
        yield RealServer(session, plane.url)


def as_json(body: bytes) -> object:
    """The body as JSON, or as text if it is not JSON."""
    text = body.decode("utf-8", "backslashreplace")
    try:
        return json.loads(text)
    except ValueError:
        return text
