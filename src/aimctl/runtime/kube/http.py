"""The transport over sockets, based on aiohttp.

Contract:
    * Watches and followed logs use a session of their own without a connection limit; calls share 64 connections.
      HTTP/1.1 needs one connection per watch, so in a shared pool enough watches would block all calls.
    * A read may take any time while its bytes arrive: it ends when no byte arrives for 30 s. A write, and any call with
      a time limit of its own, ends after that time in total. Waiting for a free connection takes equally long at most.
    * A stream waits equally long for the response headers; the reader decides how long its body may be silent.
    * After a 401 the credentials are renewed and the request is sent once more; a second 401 is the response.
    * Every reason for a missing response is :class:`ConnectionFailed`, with ``refused`` if the server refused the
      connection. No ValueError of aiohttp, yarl or a codec leaves the transport.
    * The proxy is chosen once, when the transport is created. ``~/.netrc`` is never read.
    * User and password of a server or proxy URL are sent as headers and appear in no message, nor do bytes of a
      response that is not valid HTTP.
    * Leaving the context of :meth:`HttpTransport.send` before the end of the body closes the socket.
    * Redirects are not followed, because the credentials are meant for one server. Bodies and headers are never logged.

Note: aiohttp itself repeats a GET, PUT or DELETE once if a pooled connection turns out to be closed before the first
byte of the response. If the first PUT or DELETE was carried out nevertheless, the repetition gets 409 (because of its
resourceVersion) or 404.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, Self, final
from urllib.parse import quote, urlencode

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from aimctl.runtime.kube.credentials.addresses import parse_address, split_zone
from aimctl.runtime.kube.credentials.proxy import environment_proxy, proxy_login
from aimctl.runtime.kube.credentials.tls import TlsContext
from aimctl.runtime.kube.errors import ConnectionFailed, without_frames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType

    from aiohttp.connector import Connection

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.credentials.connection import ConnectionInfo
    from aimctl.runtime.kube.transport import HttpRequest, HttpResponse

__all__ = ["DEFAULT_TIMEOUT_SECONDS", "AbruptResponse", "HttpTransport", "RequestObserver", "hang_up"]

DEFAULT_TIMEOUT_SECONDS = 30.0
"""Longest silence during a read, and total time of a write. client-go has no default, so a dead connection can block
its callers for 15 minutes."""

_CALL_CONNECTIONS = 64
_CONNECT_SECONDS = 10.0
_READ_BUFFER_BYTES = 256 * 1024
"""aiohttp pauses reading from the socket at twice this size; larger chunks make large events cheaper."""

_READS = frozenset({"GET", "HEAD"})
_QUOTED = re.compile(r"\bb\\*['\"].*", re.DOTALL)
_SAFE_IN_PATH = "/:@!$&'()*+,;=-._~"


class RequestObserver(Protocol):
    """Receives one call per request: when the response headers have arrived, or when the request has failed."""

    def request_finished(self, *, verb: str, method: str, host: str, code: str, seconds: float) -> None:
        """``code`` is the HTTP status, or ``<error>`` without a response; verb and method are those of client-go."""
        ...


@final
class HttpTransport:
    """A :class:`Transport` to one API server. Use as an async context manager, on one loop.

    Args:
        info: server and credentials.
        clock: measures the duration of requests.
        user_agent: sent with each request; shown in audit logs.
        observer: for the ``rest_client_*`` metrics.
        timeout_seconds: default limit, for the silence during a read and the total time of a write.

    Raises:
        ConfigurationError: ``info.trust_env`` is set, and the proxy of the environment cannot be used.
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
        self._read_limits = _Limits(silence=timeout_seconds)
        self._write_limits = _Limits(total=timeout_seconds)
        self._tls = TlsContext(info, clock=clock)
        server = parse_address(info.server, name="server", example="https://host:6443").url
        self._server = server.with_query(None).with_fragment(None)  # client-go ignores them
        self._base = str(self._server).rstrip("/")
        self._base_path = self._server.raw_path.rstrip("/")
        self._host = server.authority
        self._authority, without_zone = split_zone(self._server)
        self._tls_name = info.tls_server_name or without_zone or None
        proxy = info.proxy()
        if proxy is None and info.trust_env:
            proxy = environment_proxy(server, os.environ)
        self._proxy = proxy.url if proxy is not None else None
        self._proxy_headers = proxy_login(proxy)
        # Compression costs CPU on both sides, and the pod network is rarely the bottleneck.
        self._headers = CIMultiDict({"User-Agent": user_agent, "Accept-Encoding": "identity"})
        self._login = {} if info.server_login is None else {"Authorization": info.server_login}
        if server.scheme == "http":
            self._headers.update(self._proxy_headers)
        self._headers.extend(info.impersonation)
        if without_zone:
            port = "" if server.explicit_port is None else f":{server.explicit_port}"
            self._headers["Host"] = f"[{without_zone}]{port}"
        self._calls: aiohttp.ClientSession | None = None
        self._streams: aiohttp.ClientSession | None = None

    @property
    def client_certificate(self) -> bytes | None:
        """The client certificate chain (PEM) that is in use; None without one, or before the first request."""
        return self._tls.certificate

    async def __aenter__(self) -> Self:
        """Create the sessions; does not connect yet."""
        self._calls = self._session(_CALL_CONNECTIONS)
        self._streams = self._session(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections, including those in use: their readers get ConnectionFailed."""
        sessions = [session for session in (self._calls, self._streams) if session is not None]
        self._calls = self._streams = None
        for session in sessions:
            await session.close()
        # Aborted connections close their sockets in the next iteration of the event loop.
        await asyncio.sleep(0)

    @asynccontextmanager
    async def send(
        self, request: HttpRequest, *, stream: bool = False, timeout_seconds: float | None = None
    ) -> AsyncIterator[HttpResponse]:
        """Implements :meth:`Transport.send`.

        Raises:
            ConnectionFailed: there was no response.
            ConfigurationError: credentials or TLS files cannot be used.
        """
        limits = self._limits(request, stream=stream, seconds=timeout_seconds)
        credentials = await self._info.credentials.headers()
        answer = await self._exchange(request, credentials, limits, stream=stream)
        if answer.status == 401:
            hang_up(answer)
            # If another request has renewed them in the meantime, use those.
            renewed = await self._info.credentials.headers()
            if renewed == credentials:
                self._info.credentials.invalidate()
                renewed = await self._info.credentials.headers()
            answer = await self._exchange(request, renewed, limits, stream=stream)
        try:
            yield _Answer(answer, self._describe(request), limits)
        finally:
            hang_up(answer)

    def _session(self, limit: int) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=limit),
            response_class=AbruptResponse,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            read_bufsize=_READ_BUFFER_BYTES,
        )

    def _limits(self, request: HttpRequest, *, stream: bool, seconds: float | None) -> _Limits:
        if stream:
            return _Limits(headers=self._timeout if seconds is None else seconds)
        if seconds is not None:
            return _Limits(total=seconds)
        return self._read_limits if request.method in _READS else self._write_limits

    async def _exchange(
        self, request: HttpRequest, credentials: Mapping[str, str], limits: _Limits, *, stream: bool
    ) -> aiohttp.ClientResponse:
        session = self._streams if stream else self._calls
        if session is None:
            raise ConnectionFailed(f"{self._describe(request)}: the transport is not open")
        tls = self._tls.current()
        started = self._clock.monotonic()
        code = "<error>"
        try:
            call = session.request(
                request.method,
                self._url(request),
                headers={**request.headers, **credentials, **self._login},
                data=request.body,
                allow_redirects=False,
                timeout=limits.timeout,
                proxy=self._proxy,
                proxy_headers=self._proxy_headers,
                ssl=tls if tls is not None else True,
                server_hostname=self._tls_name if tls is not None else None,
            )
            if limits.headers is None:
                answer = await call
            else:
                async with asyncio.timeout(limits.headers):
                    answer = await call
            code = str(answer.status)
            return answer
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(self._describe(request), error, limits) from without_frames(error)
        except ValueError as error:
            # The text may quote a header. The cause is left out for the same reason.
            raise ConnectionFailed(
                f"{self._describe(request)}: the request cannot be sent ({error.__class__.__name__}): "
                "its path, query or credentials contain characters that HTTP does not allow"
            ) from None
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
        """Put together, because parsing a URL takes five times as long."""
        return URL.build(
            scheme=self._server.scheme,
            authority=self._authority,
            path=self._base_path + quote(request.path, safe=_SAFE_IN_PATH),
            query_string=_encoded(request.query),
            encoded=True,
        )

    def _describe(self, request: HttpRequest) -> str:
        return f"{request.method} {self._base}{request.path}"


@lru_cache(maxsize=128)
def _encoded(query: tuple[tuple[str, str], ...]) -> str:
    """A query as it is sent. Most requests have one of a few queries."""
    return urlencode(query, quote_via=quote)


def hang_up(answer: aiohttp.ClientResponse) -> None:
    """Release a response. If its body was read to the end, the connection is in the pool already and stays there.

    Otherwise the connection is aborted: a TLS shutdown would wait for the peer, possibly longer than the loop runs.
    """
    connection = answer.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    answer.close()


class AbruptResponse(aiohttp.ClientResponse):
    """A response that aborts its connection if the request is given up before the headers arrive; see :func:`hang_up`.

    Pass it as ``response_class`` of a session: until the headers arrive only aiohttp has access to the connection.
    """

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Wait for the headers."""
        try:
            return await super().start(connection)
        except BaseException:
            if connection.transport is not None:
                connection.transport.abort()
            raise


@final
@dataclass(frozen=True, slots=True)
class _Limits:
    """The limits of one request in seconds; exactly one is set.

    Attributes:
        total: for the whole call.
        silence: without a byte.
        headers: until the headers of the response have arrived.
        timeout: the same for aiohttp, whose ``connect`` includes the wait for a free connection.
    """

    total: float | None = None
    silence: float | None = None
    headers: float | None = None
    timeout: aiohttp.ClientTimeout = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shortest = self.total or self.silence or self.headers or _CONNECT_SECONDS
        timeout = aiohttp.ClientTimeout(
            total=self.total,
            connect=self.silence,
            sock_read=self.silence,
            sock_connect=min(shortest, _CONNECT_SECONDS),
        )
        object.__setattr__(self, "timeout", timeout)

    @property
    def text(self) -> str:
        """What has happened when the limit is exceeded."""
        if self.silence is not None:
            return f"no byte of the response for {self.silence:g} s"
        if self.total is not None:
            return f"no complete response within {self.total:g} s"
        return f"no response within {self.headers:g} s"


@final
class _Answer:
    """An :class:`HttpResponse` that wraps aiohttp's."""

    __slots__ = ("_inner", "_limits", "_what")

    def __init__(self, inner: aiohttp.ClientResponse, what: str, limits: _Limits) -> None:
        self._inner = inner
        self._what = what
        self._limits = limits

    @property
    def status(self) -> int:
        return self._inner.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._inner.headers

    async def read(self) -> bytes:
        try:
            return await self._inner.read()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failure(self._what, error, self._limits) from without_frames(error)

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as error:
            # aiohttp's reader raises RuntimeError if this side has closed the connection.
            raise _failure(self._what, error, self._limits) from without_frames(error)


def _failure(what: str, error: Exception, limits: _Limits) -> ConnectionFailed:
    """Convert an error of aiohttp or of the operating system. TimeoutError is an OSError."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        busy = f"the server does not answer, or all {_CALL_CONNECTIONS} connections are in use"
        return ConnectionFailed(f"{what}: no connection in time: {busy}")
    if isinstance(error, TimeoutError):
        return ConnectionFailed(f"{what}: {limits.text}")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ConnectionFailed(
            f"{what}: the server's certificate is not trusted ({error.certificate_error}): "
            "check the certificate authority and the server's name"
        )
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    refused = isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED
    # The parser quotes the bytes that it cannot parse, which may be part of a body.
    text = " ".join(_QUOTED.sub("...", str(error)).split())
    text = "connection refused" if refused else text or error.__class__.__name__
    return ConnectionFailed(f"{what}: {text}", refused=refused)
