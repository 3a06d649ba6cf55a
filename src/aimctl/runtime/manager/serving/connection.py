"""One connection of an HTTP server, with its limits in time and size.

Contract: everything is passed to the protocol of the HTTP server, until the connection exceeds a limit of
:mod:`aimctl.runtime.manager.serving.limits`; it is then aborted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast, final

from aimctl.runtime.manager.serving import limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.runtime.manager.serving.limits import Connections

__all__ = ["LimitedProtocol"]

_CLOSING_SECONDS = 5.0
"""The HTTP server closes idle connections itself; if a client does not take what is left, they are aborted later."""


@final
class LimitedProtocol(asyncio.Protocol):
    """One connection. It is one of ``connections`` until it is lost.

    Args:
        make: creates the protocol of the HTTP server, when the connection has been made.
        connections: of the server; its creator has added this one.
        by_transport: finds the connection of a request.

    Attributes:
        opening: the task that makes the connection.
    """

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        connections: Connections,
        by_transport: dict[asyncio.BaseTransport, LimitedProtocol],
    ) -> None:
        self.opening: asyncio.Task[None] | None = None
        self._make = make
        self._inner = asyncio.Protocol()
        self._connections = connections
        self._by_transport = by_transport
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._processing = False
        self._waiting = True
        """Whether the first byte of the next request has not arrived."""
        self._received = 0
        """Bytes since the latest response."""

    def abort(self) -> None:
        """Close the connection without sending what is buffered, also during its TLS handshake."""
        if self._transport is not None:
            self._transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    def started(self) -> None:
        """A complete request has arrived."""
        self._processing = True
        self._limit(None)
        self._connections.busy(self)

    def finished(self, *, trusted: bool = False) -> None:
        """Its response has been produced.

        Args:
            trusted: whether the client was authenticated.
        """
        self._processing = False
        self._waiting = True
        self._received = 0
        self._limit(limits.IDLE_SECONDS + _CLOSING_SECONDS)
        self._connections.idle(self, trusted=trusted)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time limit of the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._by_transport[transport] = self
        self._connections.made(self)
        self._limit(limits.HEADER_SECONDS)
        self._waiting = False
        self._inner = self._make()
        self._inner.connection_made(transport)
        # So that every response that is not sent at once is noticed.
        self._transport.set_write_buffer_limits(high=1)

    def data_received(self, data: bytes) -> None:
        """Pass on data; the first byte of a request starts its time limit."""
        self._received += len(data)
        if self._received > limits.MAX_REQUEST_BYTES:
            self.abort()
            return
        if self._waiting and not self._processing:
            self._waiting = False
            self._limit(limits.HEADER_SECONDS)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """Start the time limit of the response."""
        if self._stalled is None:
            self._stalled = asyncio.get_running_loop().call_later(limits.WRITE_SECONDS, self.abort)
            self._connections.stalled(self)
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The reader has taken everything."""
        self._flowing()
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._limit(None)
        self._flowing()
        self._connections.remove(self)
        if self._transport is not None:
            self._by_transport.pop(self._transport, None)
        self._inner.connection_lost(exc)

    def _flowing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        self._connections.flowing(self)

    def _limit(self, seconds: float | None) -> None:
        """Abort the connection after some seconds, instead of after an earlier limit; None for no limit."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = (
            None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.abort)
        )
