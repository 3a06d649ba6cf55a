"""The transport over real sockets, on aiohttp.

Contract:
    * Watches and followed logs have a session of their own without a connection limit; calls share 64
      connections. HTTP/1.1 needs a socket per watch, so in one pool enough watches would stop every call for
      ever.
    * Every call ends: 30 s in total by default, waiting for a free connection included. A stream waits as
      long for the answer's head; how long its body may be silent is the reader's decision.
    * 401 renews the credentials and sends the request once more; the second 401 is the answer.
    * Whatever keeps an answer from coming is :class:`ConnectionFailed`, with ``refused`` when nothing
      listened.
    * Leaving the context of :meth:`HttpTransport.send` before the body's end closes the socket, at any await.
    * Redirects are not followed: our credentials are for one server. No body and no header is ever logged.

Note: aiohttp itself repeats a GET, PUT or DELETE once when a kept connection turns out closed before any byte
of the answer. A repeated PUT or DELETE that did arrive the first time meets its resourceVersion (409) or
nothing (404).
"""

from __future__ import annotations

import asyncio
import errno
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, Self, final
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from aimctl.runtime.kube.errors import ConnectionFailed
from aimctl.runtime.kube.tls import TlsContext

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType

    from aiohttp.connector import Connection

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.connection import ConnectionInfo
    from aimctl.runtime.kube.transport import HttpRequest, HttpResponse

__all__ = ["DEFAULT_TIMEOUT_SECONDS", "AbruptResponse", "HttpTransport", "RequestObserver", "hang_up"]

DEFAULT_TIMEOUT_SECONDS = 30.0
"""A call's total time; client-go has none and leaves it to the caller, who forgets."""

_CALL_CONNECTIONS = 64
_CONNECT_SECONDS = 10.0
_READ_BUFFER_BYTES = 256 * 1024
"""aiohttp stops reading the socket at twice this; larger chunks make large events cheaper."""

_SAFE_IN_PATH = "/:@!$&'()*+,;=-._~"


class RequestObserver(Protocol):
    """Told about each request when its answer's head is there, or when it is certain that none will come."""

    def request_finished(self, *, verb: str, method: str, host: str, code: str, seconds: float) -> None:
        """``code`` is the HTTP status, or ``<error>`` for no answer; verb and method are as client-go's."""
        ...


@final
class HttpTransport:
    """A :class:`Transport` to one API server. Use as an async context manager, on one loop.

    Args:
        info: the server and who we are.
        clock: measures requests.
        user_agent: sent with each request; audit logs show it.
        observer: told about each request, for ``rest_client_*`` metrics.
        timeout_seconds: the default for calls.
    """

    def __init__(
        self,
        info: ConnectionInfo,
        *,
        clock: Clock,
        user_agent: str = "aimctl",
        observer: RequestObserver | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        self._info = info
        self._clock = clock
        self._observer = observer
        self._timeout = timeout_seconds
        self._tls = TlsContext(info, clock=clock)
        self._base = info.server.rstrip("/")
        self._host = URL(self._base).authority
        # Compressed answers save a network that is mostly the pod network, and cost CPU on both sides.
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._calls: aiohttp.ClientSession | None = None
        self._streams: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Make the sessions; connects nothing yet."""
        self._calls = self._session(_CALL_CONNECTIONS)
        self._streams = self._session(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections, those in use too: their readers get ConnectionFailed."""
        sessions = [session for session in (self._calls, self._streams) if session is not None]
        self._calls = self._streams = None
        for session in sessions:
            await session.close()
        await asyncio.sleep(
            0
        )  # the sockets of connections cut off just now go with the next turn of the loop

    @asynccontextmanager
    async def send(
        self, request: HttpRequest, *, stream: bool = False, timeout_seconds: float | None = None
    ) -> AsyncIterator[HttpResponse]:
        """See :class:`Transport`. Raises ConfigurationError when credentials or TLS files are unusable."""
        seconds = self._timeout if timeout_seconds is None else timeout_seconds
        credentials = await self._info.credentials.headers()
        answer = await self._exchange(request, credentials, stream=stream, seconds=seconds)
        if answer.status == 401:
            hang_up(answer)
            # Another request may have renewed them since; then theirs are tried first.
            renewed = await self._info.credentials.headers()
            if renewed == credentials:
                self._info.credentials.invalidate()
                renewed = await self._info.credentials.headers()
            answer = await self._exchange(request, renewed, stream=stream, seconds=seconds)
        try:
            yield _Answer(answer, self._describe(request))
        finally:
            hang_up(answer)

    def _session(self, limit: int) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limit),
            response_class=AbruptResponse,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            trust_env=self._info.trust_env and self._info.proxy_url is None,
            read_bufsize=_READ_BUFFER_BYTES,
        )

    async def _exchange(
        self, request: HttpRequest, credentials: Mapping[str, str], *, stream: bool, seconds: float
    ) -> aiohttp.ClientResponse:
        session = self._streams if stream else self._calls
        if session is None:
            raise ConnectionFailed(f"{self._describe(request)}: the transport is not open")
        tls = self._tls.current()
        limits = aiohttp.ClientTimeout(
            total=None if stream else seconds, sock_connect=min(seconds, _CONNECT_SECONDS)
        )
        started = self._clock.monotonic()
        code = "<error>"
        try:
            async with asyncio.timeout(seconds if stream else None):
                answer = await session.request(
                    request.method,
                    self._url(request),
                    headers={**request.headers, **credentials},
                    data=request.body,
                    allow_redirects=False,
                    timeout=limits,
                    proxy=self._info.proxy_url,
                    ssl=tls if tls is not None else True,
                    server_hostname=self._info.tls_server_name if tls is not None else None,
                )
            code = str(answer.status)
            return answer
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(self._describe(request), error, seconds) from error
        except asyncio.CancelledError:
            code = ""
            raise
        finally:
            if self._observer is not None and code:
                self._observer.request_finished(
                    verb=request.method,
                    method=request.method,
                    host=self._host,
                    code=code,
                    seconds=self._clock.monotonic() - started,
                )

    def _url(self, request: HttpRequest) -> URL:
        text = self._base + quote(request.path, safe=_SAFE_IN_PATH)
        if request.query:
            text += "?" + urlencode(request.query, quote_via=quote)
        return URL(text, encoded=True)

    def _describe(self, request: HttpRequest) -> str:
        return f"{request.method} {self._base}{request.path}"


def hang_up(answer: aiohttp.ClientResponse) -> None:
    """Be done with an answer. After its body's end the connection is back in its pool already, and stays there.

    Otherwise it is cut off: TLS's polite end waits for the peer, who may be gone, and would outlive the loop.
    """
    connection = answer.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    answer.close()


class AbruptResponse(aiohttp.ClientResponse):
    """An answer whose connection is cut off when it is given up before its head has come; see :func:`hang_up`.

    For ``response_class`` of a session: until then nobody but aiohttp has the connection.
    """

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Wait for the head."""
        try:
            return await super().start(connection)
        except BaseException:
            if connection.transport is not None:
                connection.transport.abort()
            raise


@final
class _Answer:
    """An :class:`HttpResponse` over aiohttp's."""

    __slots__ = ("_inner", "_what")

    def __init__(self, inner: aiohttp.ClientResponse, what: str) -> None:
        self._inner = inner
        self._what = what

    @property
    def status(self) -> int:
        return self._inner.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._inner.headers

    async def read(self) -> bytes:
        try:
            return await self._inner.read()
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(self._what, error) from error

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            # RuntimeError is what aiohttp's reader raises when the connection was closed from this side.
            raise _failure(self._what, error) from error


def _failure(what: str, error: Exception, timeout: float | None = None) -> ConnectionFailed:
    """Say what happened in the words of the one who has to fix it. TimeoutError is an OSError."""
    if isinstance(error, TimeoutError):
        within = "" if timeout is None else f" within {timeout:g} s"
        return ConnectionFailed(f"{what}: no complete answer{within}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ConnectionFailed(
            f"{what}: the server's certificate is not trusted ({error.certificate_error}): "
            "check the certificate authority and the server's name"
        )
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    refused = isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED
    text = "connection refused" if refused else str(error) or error.__class__.__name__
    return ConnectionFailed(f"{what}: {text}", refused=refused)
