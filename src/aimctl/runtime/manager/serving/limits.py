"""Limits of the HTTP endpoints, which share the event loop with the reconcilers and the renewal of the Lease.

Contract:
    * A server has at most :data:`MAX_CONNECTIONS` connections. A new one replaces the connection that has been idle for
      the longest time; if none is idle, the new one is closed. So idle connections cannot keep probes out.
    * A request must be complete :data:`HEADER_SECONDS` after its first byte, or its connection is closed.
    * Requests are processed at :data:`REQUESTS_PER_SECOND`, after a burst of :data:`BURST`. Others wait for their turn,
      so a flood takes a bounded share of the event loop.
    * :class:`RenderBudget` does the same for pages that are expensive to render.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast, final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Connections", "LimitedProtocol", "Pacer", "RenderBudget"]

MAX_CONNECTIONS = 64
HEADER_SECONDS = 5.0
REQUESTS_PER_SECOND = 50.0
BURST = 100

RENDER_SHARE = 0.05
"""Share of one CPU that rendering may take continuously."""

RENDER_CREDIT_SECONDS = 0.5
"""CPU seconds that may be saved up for a burst."""


@final
class Connections:
    """The open connections of a server, the one that has been idle for the longest time first."""

    def __init__(self, limit: int = MAX_CONNECTIONS) -> None:
        self._limit = limit
        self._idle: dict[LimitedProtocol, None] = {}
        self._busy: set[LimitedProtocol] = set()

    def __len__(self) -> int:
        return len(self._idle) + len(self._busy)

    def add(self, connection: LimitedProtocol) -> bool:
        """Add an idle connection; False if there is no room for it."""
        if len(self) >= self._limit:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                return False
            self.remove(oldest)
            oldest.abort()
        self._idle[connection] = None
        return True

    def remove(self, connection: LimitedProtocol) -> None:
        """Forget a connection that is closed."""
        self._idle.pop(connection, None)
        self._busy.discard(connection)

    def busy(self, connection: LimitedProtocol) -> None:
        """A request of the connection is being processed."""
        if connection in self._idle:
            del self._idle[connection]
            self._busy.add(connection)

    def idle(self, connection: LimitedProtocol) -> None:
        """The response has been sent."""
        if connection in self._busy:
            self._busy.discard(connection)
            self._idle[connection] = None


@final
class LimitedProtocol(asyncio.Protocol):
    """One connection, which passes everything to the protocol of the HTTP server.

    Args:
        inner: the protocol of the HTTP server.
        connections: of the server.
        by_transport: finds the connection of a request.
    """

    def __init__(
        self,
        inner: asyncio.Protocol,
        connections: Connections,
        by_transport: dict[asyncio.BaseTransport, LimitedProtocol],
    ) -> None:
        self._inner = inner
        self._connections = connections
        self._by_transport = by_transport
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._processing = False
        self._refused = False

    def abort(self) -> None:
        """Close the connection without sending what is buffered."""
        if self._transport is not None:
            self._transport.abort()

    def started(self) -> None:
        """A complete request has arrived."""
        self._processing = True
        self._cancel_deadline()
        self._connections.busy(self)

    def finished(self) -> None:
        """Its response has been written."""
        self._processing = False
        self._connections.idle(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection, or close it."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._connections.add(self):
            self._refused = True
            self.abort()
            return
        self._by_transport[transport] = self
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass on data; the first byte of a request starts its time limit."""
        if self._refused:
            return
        if not self._processing and self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(HEADER_SECONDS, self.abort)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return None if self._refused else self._inner.eof_received()

    def pause_writing(self) -> None:
        """Pass it on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._cancel_deadline()
        self._connections.remove(self)
        if self._refused:
            return
        if self._transport is not None:
            self._by_transport.pop(self._transport, None)
        self._inner.connection_lost(exc)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


@final
class Pacer:
    """Spreads requests over time, in the order in which they arrive.

    Args:
        now: monotonic time.
        rate: requests per second after a burst.
        burst: requests at once.
    """

    def __init__(
        self, now: Callable[[], float], rate: float = REQUESTS_PER_SECOND, burst: int = BURST
    ) -> None:
        self._now = now
        self._interval = 1 / rate
        self._burst = burst * self._interval
        self._next = float("-inf")

    def delay(self) -> float:
        """The seconds that the next request must wait; takes its place."""
        now = self._now()
        self._next = max(self._next, now - self._burst) + self._interval
        return max(0.0, self._next - now)


@final
class RenderBudget:
    """The CPU time that rendering may take.

    Args:
        now: monotonic time.
        share: of one CPU.
        credit: maximum of saved CPU seconds.
    """

    def __init__(
        self,
        now: Callable[[], float],
        share: float = RENDER_SHARE,
        credit: float = RENDER_CREDIT_SECONDS,
    ) -> None:
        self._now = now
        self._share = share
        self._maximum = self._credit = credit
        self._updated: float | None = None

    def available(self) -> bool:
        """Whether another page may be rendered now."""
        now = self._now()
        if self._updated is not None:
            self._credit = min(self._maximum, self._credit + (now - self._updated) * self._share)
        self._updated = now
        return self._credit > 0

    def spend(self, seconds: float) -> None:
        """Account for the CPU time of a page."""
        self._credit -= seconds
