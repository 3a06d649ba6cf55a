"""A transport without sockets, which calls the server directly, in real or virtual time.

Contract: that of :class:`~aimctl.runtime.kube.transport.Transport`. Faults have the same effect as on a network:
refused connections, broken or silent streams, missing responses. Each request yields to the event loop at least once,
so other tasks run before its response, as on a network.

Invariant: leaving the context of a response closes its stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, final

from aimctl.devcluster.apiserver.interception import ConnectionCut, ConnectionRefused
from aimctl.runtime.kube.errors import ConnectionFailed
from aimctl.runtime.kube.transport import HttpRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aimctl.devcluster.apiserver.server import ApiServer

__all__ = ["MemoryTransport"]

CALL_TIMEOUT_SECONDS = 30.0

_READS = frozenset({"GET", "HEAD"})


@final
class MemoryTransport:
    """Sends requests to a server in this process.

    Args:
        server: the server.
        token: bearer token of requests without an Authorization header; None sends none.
        user_agent: User-Agent of requests without this header.
        call_timeout: limit in seconds of calls without one: of the silence during a read, or of a write.
        chunk_bytes: size of the chunks of a stream, so that lines do not end at the end of chunks; None keeps them.
        internal: whether requests are internal: without faults, authentication and authorization.
    """

    def __init__(
        self,
        server: ApiServer,
        *,
        token: str | None = None,
        user_agent: str = "aimctl",
        call_timeout: float = CALL_TIMEOUT_SECONDS,
        chunk_bytes: int | None = None,
        internal: bool = False,
    ) -> None:
        self._internal = internal
        self._server = server
        self._headers = {"User-Agent": user_agent}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._call_timeout = call_timeout
        self._chunk_bytes = chunk_bytes
        self._closed = False

    @asynccontextmanager
    async def send(
        self, request: HttpRequest, *, stream: bool = False, timeout_seconds: float | None = None
    ) -> AsyncGenerator[_Response]:
        """Send a request, see :class:`~aimctl.runtime.kube.transport.Transport`."""
        seconds = self._call_timeout if timeout_seconds is None else timeout_seconds
        deadline = asyncio.get_running_loop().time() + seconds  # of a stream: for its headers
        response = await self._answered(request, deadline)
        if not stream:
            reads = timeout_seconds is None and request.method in _READS
            response.deadline, response.silence = (None, seconds) if reads else (deadline, None)
        try:
            yield response
        finally:
            await response.close()

    async def _answered(self, request: HttpRequest, deadline: float) -> _Response:
        if self._closed:
            raise ConnectionFailed("the transport is closed", refused=True)
        sent = HttpRequest(
            request.method,
            request.path,
            request.query,
            {**self._headers, **request.headers},
            None if request.body is None else bytes(request.body),
        )
        try:
            async with asyncio.timeout_at(None if self._is_answered_at_once(deadline) else deadline):
                await asyncio.sleep(0)
                answer = await self._server.handle(sent, internal=self._internal)
        except TimeoutError as error:
            raise ConnectionFailed(f"{request.method} {request.path}: no response in time") from error
        except ConnectionRefused as error:
            raise ConnectionFailed(f"{request.method} {request.path}: {error}", refused=True) from error
        except ConnectionCut as error:
            raise ConnectionFailed(f"{request.method} {request.path}: {error}") from error
        return _Response(answer.status, answer.headers, answer.body, self._chunk_bytes)

    def _is_answered_at_once(self, deadline: float | None) -> bool:
        """Whether the server certainly does not wait, so that no timer is needed: only faults and webhooks wait."""
        webhooks = self._server.webhooks
        if deadline is None or not self._internal or (webhooks is not None and webhooks.configured):
            return False
        return deadline > asyncio.get_running_loop().time()

    async def aclose(self) -> None:
        """Refuse all later requests."""
        self._closed = True


@final
class _Headers(Mapping[str, str]):
    """Headers with case-insensitive names."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = {name.lower(): (name, value) for name, value in headers.items()}

    def __getitem__(self, name: str) -> str:
        return self._headers[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._headers.values())

    def __len__(self) -> int:
        return len(self._headers)


@final
class _Response:
    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes],
        chunk_bytes: int | None,
    ) -> None:
        self._status = status
        self._headers = _Headers(headers)
        self._body = body
        self._chunk_bytes = chunk_bytes
        self.deadline: float | None = None
        self.silence: float | None = None

    @property
    def status(self) -> int:
        return self._status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            if isinstance(self._body, bytes):
                if self._body:
                    yield self._body
                return
            iterator = aiter(self._body)
            while True:
                if self.deadline is None and self.silence is None:
                    chunk = await anext(iterator, None)
                else:
                    async with asyncio.timeout_at(self.deadline), asyncio.timeout(self.silence):
                        chunk = await anext(iterator, None)
                if chunk is None:
                    return
                size = self._chunk_bytes or len(chunk)
                for at in range(0, len(chunk), max(1, size)):
                    yield chunk[at : at + size]
                # A reader that is always behind must not starve other tasks.
                await asyncio.sleep(0)
        except TimeoutError as error:
            silent = f": no byte for {self.silence:g} s" if self.silence is not None else " in time"
            raise ConnectionFailed(f"the body of the response did not arrive{silent}") from error
        except ConnectionCut as error:
            raise ConnectionFailed(str(error)) from error

    async def close(self) -> None:
        close = getattr(self._body, "aclose", None)
        if close is not None:
            await close()
