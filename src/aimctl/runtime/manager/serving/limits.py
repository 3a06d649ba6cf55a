"""Limits of the HTTP endpoints, which share the event loop with the reconcilers and the renewal of the Lease.

Contract:
    * A server has at most :data:`MAX_CONNECTIONS` connections, with those whose TLS handshake is not finished. A new
      one replaces the connection that has been idle for the longest time, first among those whose client was not
      authenticated; if none is idle, the new one is closed. So idle connections cannot keep probes and scrapes out.
    * A request must be complete :data:`HEADER_SECONDS` after its first byte, the first one of a connection after the
      connection was made, and within :data:`MAX_REQUEST_BYTES`. A connection may be idle for :data:`IDLE_SECONDS`.
      Otherwise it is closed.
    * A response must be taken within :data:`WRITE_SECONDS`. At most :data:`MAX_STALLED` of them wait for slow readers;
      a further one replaces the one that has waited for the longest time.
    * Requests are processed at :data:`REQUESTS_PER_SECOND`, after a burst of :data:`BURST`. Others wait for their turn,
      so a flood takes a bounded share of the event loop. Handshakes have the same rate, but those that would wait are
      not started: their connections are closed.
    * :class:`Budget` limits what must not wait, such as the rendering of pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Budget", "Closable", "Connections", "Pacer"]

MAX_CONNECTIONS = 64
HEADER_SECONDS = 5.0
IDLE_SECONDS = 120.0
"""Longer than the usual interval of scrapes."""

WRITE_SECONDS = 10.0
"""The default time limit of a scrape."""

STALLED_SECONDS = 1.0
"""A response that has waited for a shorter time is not replaced: every large page waits for a moment."""

MAX_STALLED = 16
MAX_REQUEST_BYTES = 64 * 1024
REQUESTS_PER_SECOND = 50.0
BURST = 100


class Closable(Protocol):
    """A connection, as far as its limits are concerned."""

    def abort(self) -> None:
        """Close it without sending what is buffered."""
        ...


@final
class Connections:
    """The open connections of a server, in the order in which they became idle.

    Args:
        now: monotonic time.
        limit: largest number.
    """

    def __init__(self, now: Callable[[], float], limit: int = MAX_CONNECTIONS) -> None:
        self._now = now
        self._limit = limit
        self._idle: dict[Closable, None] = {}
        self._trusted: dict[Closable, None] = {}
        """Idle connections whose client was authenticated."""
        self._busy: set[Closable] = set()
        self._stalled: dict[Closable, float] = {}
        """Since when responses wait for their readers; these connections also count as idle or busy."""

    def __len__(self) -> int:
        return len(self._idle) + len(self._trusted) + len(self._busy)

    def add(self, connection: Closable) -> bool:
        """Add an idle connection; False if there is no room for it."""
        if len(self) >= self._limit:
            oldest = next(iter(self._idle or self._trusted), None)
            if oldest is None:
                return False
            self.remove(oldest)
            oldest.abort()
        self._idle[connection] = None
        return True

    def made(self, connection: Closable) -> None:
        """The handshake is finished: the connection has become idle only now."""
        if connection in self._idle:
            del self._idle[connection]
            self._idle[connection] = None

    def remove(self, connection: Closable) -> None:
        """Forget a connection that is closed."""
        self._idle.pop(connection, None)
        self._trusted.pop(connection, None)
        self._busy.discard(connection)
        self._stalled.pop(connection, None)

    def busy(self, connection: Closable) -> None:
        """A request of the connection is being processed."""
        if connection in self._idle or connection in self._trusted:
            self._idle.pop(connection, None)
            self._trusted.pop(connection, None)
            self._busy.add(connection)

    def idle(self, connection: Closable, *, trusted: bool = False) -> None:
        """The response has been produced.

        Args:
            connection: which one.
            trusted: whether its client was authenticated.
        """
        if connection in self._busy:
            self._busy.discard(connection)
            (self._trusted if trusted else self._idle)[connection] = None

    def stalled(self, connection: Closable) -> None:
        """The response of the connection waits for its reader."""
        if len(self._stalled) >= MAX_STALLED:
            oldest, since = next(iter(self._stalled.items()))
            if self._now() - since >= STALLED_SECONDS:
                self.remove(oldest)
                oldest.abort()
        self._stalled[connection] = self._now()

    def flowing(self, connection: Closable) -> None:
        """The reader has taken the response."""
        self._stalled.pop(connection, None)


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

    def waiting_seconds(self) -> float:
        """The seconds that the next request would have to wait."""
        return max(0.0, self._next + self._interval - self._now())


@final
class Budget:
    """An amount that grows with time and is spent, such as CPU seconds.

    Args:
        now: monotonic time.
        rate: growth per second.
        maximum: largest amount, and that at the start.
    """

    def __init__(self, now: Callable[[], float], *, rate: float, maximum: float) -> None:
        self._now = now
        self._rate = rate
        self._maximum = self._amount = maximum
        self._updated: float | None = None

    def available(self) -> bool:
        """Whether there is something left."""
        now = self._now()
        if self._updated is not None:
            self._amount = min(self._maximum, self._amount + (now - self._updated) * self._rate)
        self._updated = now
        return self._amount > 0

    def spend(self, amount: float) -> None:
        """Take an amount, which may be more than is left."""
        self._amount -= amount
