"""The HTTP server for metrics, probes and debug pages.

Contract: entering the context binds the address, or raises an error that says what to change; leaving it closes all
connections. The server supports GET and HEAD on the given routes. Connections, requests and their headers are limited,
see :mod:`aimctl.runtime.manager.serving.limits`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self, TypeAlias, final

from aiohttp import web

from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube.errors import ConfigurationError
from aimctl.runtime.manager.serving.limits import Connections, LimitedProtocol, Pacer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Mapping
    from types import TracebackType

__all__ = ["HttpServer", "Routes", "check_new_name", "parse_bind_address"]

Routes: TypeAlias = "Mapping[str, Callable[[web.Request], Awaitable[web.Response]]]"
"""Handlers by path, in aiohttp's pattern syntax."""

_SHUTDOWN_SECONDS = 2.0
"""Time for open requests to end; all responses are produced from memory."""

_BACKLOG = 64
_MAX_HEADERS = 64
_MAX_BODY_BYTES = 1024
_KEEPALIVE_SECONDS = 120.0
"""Longer than the usual interval of scrapes."""

_LINGERING_SECONDS = 1.0
"""Time for the body of a request, which is ignored."""


def parse_bind_address(field: str, address: str) -> tuple[str | None, int] | None:
    """Parse ``host:port``, ``:port`` for all interfaces, or ``[v6]:port``. "0" and "" mean off: None. Port 0 selects a
    free port.

    Raises:
        ConfigurationError: the address has another form; the message names the field.
    """
    if address in {"", "0"}:
        return None
    host, colon, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if (
        not colon
        or not port.isascii()
        or not port.isdecimal()
        or int(port) > 65535
        or (":" in bare and bare == host)
    ):
        raise ConfigurationError(
            f"{field}={address!r} is not a bind address: "
            'use ":8080", "127.0.0.1:8080" or "[::1]:8080", or "0" for off'
        )
    return bare or None, int(port)


def check_new_name(what: str, name: str, existing: Container[str]) -> None:
    """Check the name of a health check or debug page, which is part of its URL.

    Raises:
        ValueError: the name is empty, contains a slash, or exists already.
    """
    if not name or "/" in name:
        raise ValueError(
            f"{what} {name!r}: the name is part of the URL, so it must not be empty or contain a slash"
        )
    if name in existing:
        raise ValueError(f"{what} {name!r} exists already: choose another name")


@final
class HttpServer:
    """An async context manager that serves routes.

    Args:
        field: name of the option with the address, for messages.
        address: see :func:`parse_bind_address`; must not be off.
        routes: handlers by path.
    """

    def __init__(self, field: str, address: str, routes: Routes) -> None:
        parsed = parse_bind_address(field, address)
        if parsed is None:
            raise ValueError(f"{field}={address!r}: a server needs an address")
        self._field = field
        self._address = address
        self._host, self._port = parsed
        self._routes = dict(routes)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.BaseTransport, LimitedProtocol] = {}

    @property
    def port(self) -> int:
        """The bound port; 0 before it is bound."""
        sockets = () if self._server is None else self._server.sockets
        return int(sockets[0].getsockname()[1]) if sockets else 0

    async def __aenter__(self) -> Self:
        """Bind and serve.

        Raises:
            ConfigurationError: the address is in use, or is not an address of this machine.
        """
        loop = asyncio.get_running_loop()
        clock, limit = LoopClock(), Connections()
        pacer = Pacer(clock.monotonic)

        @web.middleware
        async def limited(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            connection = self._connections.get(request.transport) if request.transport else None
            if connection is not None:
                connection.started()
            try:
                # Also without a delay, because several requests may have arrived in one piece.
                await clock.sleep(pacer.delay())
                return await handler(request)
            finally:
                if connection is not None:
                    connection.finished()

        app = web.Application(middlewares=[limited], client_max_size=_MAX_BODY_BYTES)
        for path, handler in self._routes.items():
            app.router.add_get(path, handler)
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            max_headers=_MAX_HEADERS,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            lingering_time=_LINGERING_SECONDS,
        )
        await runner.setup()
        web_server = runner.server
        assert web_server is not None  # noqa: S101 - set by setup()
        try:
            self._server = await loop.create_server(
                lambda: LimitedProtocol(web_server(), limit, self._connections),
                self._host,
                self._port,
                backlog=_BACKLOG,
            )
        except OSError as error:
            await runner.cleanup()
            raise ConfigurationError(
                f"{self._field}={self._address!r} cannot be bound: {error.strerror or error}. "
                'Use another port, or "0" for off.'
            ) from error
        self._runner = runner
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
