"""The kubelet's HTTPS server for container logs, which a real API server reads.

The API server requests ``GET https://<node address>:<port>/containerLogs/<namespace>/<pod>/<container>``. Start the
server before the nodes, and pass ``server.port`` to them.

Contract:
    * Responses are those of the kubelet: 404 for a container that is not on the node, 400 with a message for one that
      has not started.
    * Query parameters are ``tailLines``, ``limitBytes``, ``sinceSeconds``, ``sinceTime``, ``timestamps``, ``previous``
      and ``follow``.
    * The certificate is created at each start, by an authority that no client knows. An API server without
      ``--kubelet-certificate-authority`` accepts it.
    * Clients are not authenticated, so bind it to loopback.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self, TypeVar, final

from aiohttp import web

from aimctl.devcluster.apiserver.logs import LogKey, LogOptions, NoSuchLog, NotStarted
from aimctl.devcluster.certificates import CertificateAuthority
from aimctl.runtime.clock import parse_time

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from aimctl.devcluster.node.logs import ContainerLogs
    from aimctl.runtime.clock import Clock

__all__ = ["KubeletServer", "log_options"]

T = TypeVar("T")


def log_options(query: Mapping[str, str]) -> LogOptions:
    """Parse the query of a log request. Raises ValueError with the parameter and its value."""
    return LogOptions(
        tail_lines=_read(query, "tailLines", _count),
        limit_bytes=_read(query, "limitBytes", _count),
        since_seconds=_read(query, "sinceSeconds", _count),
        since_time=_read(query, "sinceTime", parse_time),
        timestamps=_flag(query, "timestamps"),
        previous=_flag(query, "previous"),
    )


def _read(query: Mapping[str, str], name: str, parse: Callable[[str], T]) -> T | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{name}: {text!r} cannot be used: {error}") from error


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError("must be zero or more")
    return number


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "") in {"true", "1"}


@final
class KubeletServer:
    """Serves container logs over HTTPS while its context is entered.

    Args:
        logs: the logs.
        clock: for the dates of the certificate.
        host: the address to bind, which is also that of the certificate.
        port: 0 takes a free one, which :attr:`port` then shows.
    """

    def __init__(self, logs: ContainerLogs, *, clock: Clock, host: str = "127.0.0.1", port: int = 0) -> None:
        self.port = port
        self._logs = logs
        self._clock = clock
        self._host = host
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start to listen. Raises OSError if the address cannot be bound."""
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        self._stack.push_async_callback(_stop, runner)
        try:
            # Key generation and file access would block the loop.
            context = await asyncio.to_thread(self._tls_context)
            site = web.TCPSite(runner, self._host, self.port, ssl_context=context)
            await site.start()
        except BaseException:
            await self._stack.aclose()
            raise
        self.port = int(runner.addresses[0][1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening. Followed logs are cut off."""
        await self._stack.aclose()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        names = request.match_info
        key = LogKey(names["namespace"], names["pod"], names["container"])
        try:
            options = log_options(request.query)
            if not _flag(request.query, "follow"):
                return web.Response(body=self._logs.read(key, options), content_type="text/plain")
            self._logs.read(key, LogOptions(limit_bytes=0, previous=options.previous))
        except NoSuchLog as error:
            return web.Response(status=404, text=str(error))
        except (NotStarted, ValueError) as error:
            return web.Response(status=400, text=str(error))
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        async for chunk in self._logs.follow(key, options):
            await response.write(chunk)
        await response.write_eof()
        return response

    def _tls_context(self) -> ssl.SSLContext:
        authority = CertificateAuthority("simulated-kubelets", now=self._clock.now())
        return authority.server_context("simulated-kubelet", [self._host])


async def _stop(runner: web.AppRunner) -> None:
    """Stop the server, and leave no connection open.

    A closed TLS connection waits for the client's part of the TLS shutdown, which may take longer than the event loop
    lives.
    """
    server = runner.server
    transports = [connection.transport for connection in server.connections] if server else []
    await runner.cleanup()
    for transport in transports:
        if transport is not None:
            transport.abort()
