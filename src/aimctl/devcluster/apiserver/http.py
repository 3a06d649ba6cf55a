"""The server behind a socket: plain HTTP for kubectl and other programs.

Contract:
    * :meth:`HttpFront.serve` listens, :meth:`HttpFront.aclose` ends: it stops listening, ends the streams
      cleanly and waits for them. Binding to anything but loopback is the caller's decision; there is no TLS
      here.
    * Streams go out in chunks as they come, and end with a proper end of body. A client that leaves cancels
      its stream at once.

Invariant: one handler task per request, owned by aiohttp's runner; none outlives :meth:`HttpFront.aclose`.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple, cast, final

from aiohttp import web
from multidict import CIMultiDict

from aimctl.devcluster.apiserver.interception import ConnectionCut, ConnectionRefused
from aimctl.runtime.kube.transport import HttpRequest

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator

    from aimctl.devcluster.apiserver.server import ApiServer

__all__ = ["Endpoint", "HttpFront"]

MAX_BODY_BYTES = 16 * 1024 * 1024
"""What is read of a request at all; the server's own limit is lower."""
_CLOSE_SECONDS = 2.0


class Endpoint(NamedTuple):
    """Where the server listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """For a kubeconfig's ``server``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@final
class HttpFront:
    """Serves one :class:`ApiServer` over HTTP/1.1."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._runner: web.ServerRunner | None = None

    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> Endpoint:
        """Listen; port 0 takes a free one.

        Raises:
            OSError: the address cannot be bound.
            RuntimeError: it listens already.
        """
        if self._runner is not None:
            raise RuntimeError("serve was called already: one front listens once")
        runner = web.ServerRunner(
            web.Server(
                self._handle, request_factory=_make_request, handler_cancellation=True, access_log=None
            ),
            shutdown_timeout=_CLOSE_SECONDS,
        )
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        bound = runner.addresses[0][1]
        endpoint = Endpoint(host, int(bound))
        self._server.address = f"{host}:{bound}"
        return endpoint

    async def aclose(self) -> None:
        """Stop listening and end what is under way; idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self._server.storage.end_streams()
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        response: web.StreamResponse = web.Response()
        try:
            body = await request.read() if request.can_read_body else None
            answer = await self._server.handle(
                HttpRequest(
                    request.method,
                    request.path,
                    tuple(request.query.items()),
                    {name.title(): value for name, value in request.headers.items()},
                    body,
                )
            )
            if isinstance(answer.body, bytes):
                return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
            # an async generator in all cases: watches, followed logs, damaged streams
            stream = cast("AsyncGenerator[bytes]", answer.body)
            response = web.StreamResponse(status=answer.status, headers=CIMultiDict(answer.headers))
            response.enable_chunked_encoding()
            async with aclosing(stream):
                await response.prepare(request)
                async for chunk in stream:
                    await response.write(chunk)
            await response.write_eof()
        except (ConnectionCut, ConnectionRefused):
            if request.transport is not None:
                request.transport.abort()
        except ConnectionResetError:
            # the client left while we wrote to it: nothing is owed to anybody
            return response
        return response


def _make_request(
    message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]
) -> web.BaseRequest:
    """As aiohttp makes them, with our own limit on bodies."""
    import asyncio

    return web.BaseRequest(
        message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=MAX_BODY_BYTES
    )
