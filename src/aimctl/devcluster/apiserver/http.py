"""The API server over HTTP, for kubectl and other programs.

Contract:
    * :meth:`HttpFront.serve` starts to listen. :meth:`HttpFront.aclose` stops, ends the streams cleanly and waits for
      them. Binding to other addresses than loopback is up to the caller.
    * Streams are sent in chunks and end with a proper end of the body. If a client disconnects, its stream is
      cancelled.

Invariant: each request has one task, which aiohttp's runner owns. None exists after :meth:`HttpFront.aclose`.
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
    from ssl import SSLContext

    from aimctl.devcluster.apiserver.server import ApiServer

__all__ = ["Endpoint", "HttpFront"]

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Limit of a request body in aiohttp. The limit of the API server is lower."""
_CLOSE_SECONDS = 2.0


class Endpoint(NamedTuple):
    """The address at which a server listens.

    Attributes:
        host: name or IP address.
        port: the port.
        scheme: ``http`` or ``https``.
    """

    host: str
    port: int
    scheme: str = "http"

    @property
    def url(self) -> str:
        """The URL, such as ``http://127.0.0.1:6443``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@final
class HttpFront:
    """Serves one :class:`ApiServer` over HTTP/1.1."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._runner: web.ServerRunner | None = None

    async def serve(
        self, host: str = "127.0.0.1", port: int = 0, *, tls: SSLContext | None = None
    ) -> Endpoint:
        """Start to listen; port 0 takes a free one. With ``tls``, which has the certificate, it serves HTTPS.

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
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        bound = runner.addresses[0][1]
        endpoint = Endpoint(host, int(bound), "http" if tls is None else "https")
        self._server.address = f"{host}:{bound}"
        return endpoint

    async def aclose(self) -> None:
        """Stop listening and end all requests. May be called more than once."""
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
            # Watches, followed logs and damaged streams are async generators.
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
            # The client disconnected during the response.
            return response
        return response


def _make_request(
    message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]
) -> web.BaseRequest:
    """Create a request as aiohttp does, with a larger limit for the body."""
    import asyncio

    return web.BaseRequest(
        message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=MAX_BODY_BYTES
    )
