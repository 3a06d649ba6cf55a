"""Listening sockets, and the connections that are accepted on them.

Contract of :class:`Listener`:
    * Entering the context binds the address; leaving it closes the sockets, and ends connections that are being made.
    * A connection counts as soon as it is accepted, before its TLS handshake. If there is no room for it, it is closed
      at once. Handshakes are paced, and must be finished after :data:`HANDSHAKE_SECONDS`. If more connections arrive
      than the pace allows, they are closed at once.
    * At most :data:`ACCEPTS` connections are accepted in one turn of the event loop. If the process has no file
      descriptors left, accepting pauses for a second.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Self, final

import structlog

from aimctl.runtime.manager.serving.limits import HEADER_SECONDS, Pacer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.manager.serving.connection import LimitedProtocol
    from aimctl.runtime.manager.serving.limits import Connections

__all__ = ["Listener"]

HANDSHAKE_SECONDS = HEADER_SECONDS
ACCEPTS = 16
_BACKLOG = 64
HANDSHAKE_BURST = 20
_WAIT_SECONDS = 0.2
"""Longest time before a handshake. A connection that waited longer could be replaced before it sends a request."""

_PAUSE_SECONDS = 1.0
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@final
class Listener:
    """Accepts connections. Use it as an async context manager.

    Args:
        host: to listen on; None for all interfaces.
        port: 0 for a free one.
        make: creates the protocol of a connection.
        connections: of the server.
        context: returns the context of a new connection; None for connections without TLS.
        clock: time.
    """

    def __init__(
        self,
        host: str | None,
        port: int,
        make: Callable[[], LimitedProtocol],
        *,
        connections: Connections,
        context: Callable[[], ssl.SSLContext] | None,
        clock: Clock,
    ) -> None:
        self._host = host
        self._port = port
        self._make = make
        self._connections = connections
        self._context = context
        self._clock = clock
        self._pacer = Pacer(clock.monotonic, burst=HANDSHAKE_BURST)
        self._sockets: list[socket.socket] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}

    @property
    def port(self) -> int:
        """The bound port; 0 while it is not bound."""
        return int(self._sockets[0].getsockname()[1]) if self._sockets else 0

    async def __aenter__(self) -> Self:
        """Bind and listen.

        Raises:
            OSError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        try:
            for family, kind, protocol, _, address in dict.fromkeys(infos):
                self._bind(family, kind, protocol, address)
        except BaseException:
            self._close_sockets()
            raise
        for listening in self._sockets:
            loop.add_reader(listening, self._accept, listening)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the sockets, and cancel the connections that are being made."""
        self._close_sockets()
        tasks = list(self._opening)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _bind(self, family: int, kind: int, protocol: int, address: tuple[object, ...]) -> None:
        try:
            listening = socket.socket(family, kind, protocol)
        except OSError:
            return  # the system has no addresses of this family
        self._sockets.append(listening)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        host, port, *others = address
        # With port 0, all addresses get the port that is free for the first one.
        try:
            listening.bind((host, port or (self.port if len(self._sockets) > 1 else 0), *others))
        except OSError as error:
            if self._host is not None or len(self._sockets) == 1 or error.errno != errno.EADDRNOTAVAIL:
                raise
            self._sockets.pop().close()  # IPv6 is switched off
            return
        listening.listen(_BACKLOG)
        listening.setblocking(False)

    def _close_sockets(self) -> None:
        loop = asyncio.get_running_loop()
        for timer in self._pauses.values():
            timer.cancel()
        self._pauses.clear()
        for listening in self._sockets:
            loop.remove_reader(listening)
            listening.close()
        self._sockets.clear()

    def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(ACCEPTS):
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                structlog.get_logger(__name__).warning(
                    "connections cannot be accepted", error=error.strerror, seconds=_PAUSE_SECONDS
                )
                loop.remove_reader(listening)
                self._pauses[listening] = loop.call_later(
                    _PAUSE_SECONDS, loop.add_reader, listening, self._accept, listening
                )
                return
            accepted.setblocking(False)
            if self._pacer.waiting_seconds() > _WAIT_SECONDS:
                accepted.close()
                continue
            connection = self._make()
            if not self._connections.add(connection):
                accepted.close()
                continue
            delay = 0.0 if self._context is None else self._pacer.delay()
            task = loop.create_task(self._open(accepted, connection, delay))
            connection.opening = task
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, accepted: socket.socket, connection: LimitedProtocol, delay: float) -> None:
        made, owned = False, True
        try:
            context = None
            if self._context is not None:
                await self._clock.sleep(delay)
                context = self._context()
            # A failed handshake, or a client that has gone, concerns only this connection.
            owned = False  # the transport closes it
            with suppress(OSError, EOFError):
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: connection,
                    accepted,
                    ssl=context,
                    ssl_handshake_timeout=None if context is None else HANDSHAKE_SECONDS,
                    ssl_shutdown_timeout=None if context is None else HANDSHAKE_SECONDS,
                )
                made = True
        finally:
            if not made:
                self._connections.remove(connection)
            if owned:
                accepted.close()
