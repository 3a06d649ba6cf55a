"""The wire, as small as it can be: a request goes in, an answer comes out, whole or in chunks.

Everything above speaks to a :class:`Transport`, so the same client runs over TLS sockets in a cluster, and
without sockets against the embedded server in virtual time.
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
        method: upper case.
        path: absolute path, not percent-encoded.
        query: pairs in order, not percent-encoded.
        headers: names in canonical case (``Content-Type``).
        body: bytes, or None for none.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


class HttpResponse(Protocol):
    """An answer whose head has arrived."""

    @property
    def status(self) -> int:
        """The HTTP status code."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; lookup by name is case-insensitive."""
        ...

    async def read(self) -> bytes:
        """The whole body. Raises ConnectionFailed when the peer breaks off."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, in pieces of any size, ending at a clean end of body.

        Raises ConnectionFailed when the connection breaks.
        """
        ...


class Transport(Protocol):
    """Sends requests. Safe for any number of concurrent calls on one loop."""

    def send(
        self, request: HttpRequest, *, stream: bool = False, timeout_seconds: float | None = None
    ) -> AbstractAsyncContextManager[HttpResponse]:
        """Send and enter the answer; leaving the context releases the connection, at any await.

        Args:
            request: what to send.
            stream: True for watches and followed logs: uses the connections kept apart for them, and
                ``timeout_seconds`` then bounds only the wait for the answer's head.
            timeout_seconds: total time for the call; None takes the transport's default for calls.

        Raises:
            ConnectionFailed: no answer (also on time-out).
        """
        ...

    async def aclose(self) -> None:
        """Close all connections. Afterwards ``send`` raises ConnectionFailed."""
        ...
