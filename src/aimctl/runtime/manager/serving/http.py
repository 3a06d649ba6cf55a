"""The HTTP server for metrics, probes and debug pages.

Contract: entering the context binds the address, or raises an error that says what to change; leaving it closes all
connections. The server supports GET and HEAD on the given routes. Connections, requests and their headers are limited,
see :mod:`aimctl.runtime.manager.serving.limits`. With a :class:`Protection` it serves TLS, and answers only clients
that this allows.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Self, TypeAlias, final

from aiohttp import web

from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube.errors import ConfigurationError
from aimctl.runtime.manager.serving.connection import LimitedProtocol
from aimctl.runtime.manager.serving.limits import IDLE_SECONDS, Connections, Pacer
from aimctl.runtime.manager.serving.listener import Listener

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping
    from types import TracebackType

    from aimctl.runtime.manager.serving.secure.protection import Protection

__all__ = ["HttpServer", "Routes", "SignIn", "check_new_name", "parse_bind_address"]

Routes: TypeAlias = "Mapping[str, Callable[[web.Request], Awaitable[web.Response]]]"
"""Handlers by path, in aiohttp's pattern syntax."""

SignIn: TypeAlias = "Callable[[web.Request], web.Response | None]"
"""Returns the response with the status 401 for a client without a valid token, or None for the default one."""

_SHUTDOWN_SECONDS = 2.0
"""Time for open requests to end; all responses are produced from memory."""

_MAX_HEADERS = 64
_MAX_BODY_BYTES = 1024
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
        protection: of all routes; None for plain HTTP without authentication.
        sign_in: responds to clients without a valid token. Its response must not contain data.

    Attributes:
        protection: as given.
    """

    def __init__(
        self,
        field: str,
        address: str,
        routes: Routes,
        protection: Protection | None = None,
        *,
        sign_in: SignIn | None = None,
    ) -> None:
        parsed = parse_bind_address(field, address)
        if parsed is None:
            raise ValueError(f"{field}={address!r}: a server needs an address")
        self._field = field
        self._address = address
        self._host, self._port = parsed
        self._routes = routes if protection is None else protection.protect(routes, sign_in)
        self.protection: Protection | None = protection
        self._listener: Listener | None = None
        self._connections = Connections(LoopClock().monotonic)
        self._stack = AsyncExitStack()

    @property
    def port(self) -> int:
        """The bound port; 0 before it is bound."""
        return 0 if self._listener is None else self._listener.port

    @property
    def connections(self) -> int:
        """The number of open connections, with those that are being made."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        """Bind and serve.

        Raises:
            ConfigurationError: the address is in use, or is not one of this machine; or the certificate cannot be used.
        """
        async with AsyncExitStack() as stack:
            protection = self.protection
            if protection is not None:
                await stack.enter_async_context(protection)
            clock, connections = LoopClock(), self._connections
            by_transport: dict[asyncio.BaseTransport, LimitedProtocol] = {}
            web_server = await stack.enter_async_context(_running(self._application(clock, by_transport)))
            listener = Listener(
                self._host,
                self._port,
                lambda: LimitedProtocol(web_server, connections, by_transport),
                connections=connections,
                context=None if protection is None else protection.context,
                clock=clock,
            )
            try:
                await stack.enter_async_context(listener)
            except OSError as error:
                raise ConfigurationError(
                    f"{self._field}={self._address!r} cannot be bound: {error.strerror or error}. "
                    'Use another port, or "0" for off.'
                ) from error
            self._listener = listener
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything."""
        await self._stack.aclose()

    def _application(
        self, clock: LoopClock, by_transport: Mapping[asyncio.BaseTransport, LimitedProtocol]
    ) -> web.Application:
        pacer = Pacer(clock.monotonic)
        protected = self.protection is not None

        @web.middleware
        async def limited(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            connection = by_transport.get(request.transport) if request.transport else None
            if connection is not None:
                connection.started()
            trusted = False
            try:
                # Also without a delay, because several requests may have arrived in one piece.
                await clock.sleep(pacer.delay())
                response = await handler(request)
                trusted = protected and response.status == 200
                return response
            finally:
                if connection is not None:
                    connection.finished(trusted=trusted)

        app = web.Application(middlewares=[limited], client_max_size=_MAX_BODY_BYTES)
        for path, handler in self._routes.items():
            app.router.add_get(path, handler)
        return app


@asynccontextmanager
async def _running(app: web.Application) -> AsyncIterator[Callable[[], asyncio.Protocol]]:
    """Run an application without sockets; yields what creates the protocol of a connection."""
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        max_headers=_MAX_HEADERS,
        keepalive_timeout=IDLE_SECONDS,
        lingering_time=_LINGERING_SECONDS,
    )
    await runner.setup()
    try:
        assert runner.server is not None  # noqa: S101 - set by setup()
        yield runner.server
    finally:
        await runner.cleanup()
