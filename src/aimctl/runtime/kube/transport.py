"""The transport interface: a request in, a response out, as a whole or in chunks.

All other code uses a :class:`Transport`, so the same client runs over TLS sockets in a cluster and without sockets
against the embedded API server in virtual time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

__all__ = ["HttpRequest", "HttpResponse", "Transport"]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request to an API server.

    Attributes:
        method: in upper case.
        path: absolute, not percent-encoded.
        query: ordered pairs, not percent-encoded.
        headers: names in canonical case (``Content-Type``).
        body: None for a request without a body.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


class HttpResponse(Protocol):
    """A response whose status line and headers have arrived."""

    @property
    def status(self) -> int:
        """The HTTP status code, known before the body is read."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; lookup by name is case-insensitive."""
        ...

    async def read(self) -> bytes:
        """The whole body. Raises ConnectionFailed if the connection breaks."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body in chunks of any size, as they arrive. Raises ConnectionFailed if the connection breaks."""
        ...


class Transport(Protocol):
    """Sends requests. Safe for any number of concurrent calls on one event loop."""

    def send(
        self, request: HttpRequest, *, stream: bool = False, timeout_seconds: float | None = None
    ) -> AbstractAsyncContextManager[HttpResponse]:
        """Send a request. Leaving the context releases the connection, also on cancellation at any await.

        Args:
            request: the request.
            stream: True for watches and followed logs. They use separate connections, and ``timeout_seconds`` limits
                only the wait for the response headers.
            timeout_seconds: total time for the call. None for the transport's default, which for a read limits only the
                time without a byte.

        Raises:
            ConnectionFailed: there was no response (includes a timeout).
        """
        ...

    async def aclose(self) -> None:
        """Close all connections. Afterwards ``send`` raises ConnectionFailed."""
        ...
