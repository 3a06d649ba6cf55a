"""Sends requests to image registries with aiohttp.

Contract of :class:`HttpExchange`, in addition to that of :class:`~aimctl.controllers.models.registry_client.Exchange`:
    * The first request opens the first connection. All connections are closed when :meth:`HttpExchange.run` ends.
    * If there is no response, RegistryUnreachable is raised with a message that states the cause.
    * The number of connections is not limited; the caller limits the number of requests.
    * A response that exceeds its limit is not read to its end; of an error response only the start is read. Cookies are
      not stored, headers and bodies not logged.
    * The bodies of all responses share one budget. The first :data:`UNCOUNTED_BYTES` of each are not counted, so that
      stalled large responses do not block ordinary ones. A response waits for its share, within the time limit of its
      read, before it is read further.
    * No request is sent to an address that the guard refuses, see
      :class:`~aimctl.controllers.models.registry_addresses.AddressGuard`. Errors of hosts in private networks do not
      tell how the host responded; the log of the operator does.
    * The proxy of the environment is used as for the API server, unless disabled; netrc files are not used.
      Credentials in the URL of a proxy are not part of any message.
"""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING, final

import aiohttp
import structlog

from aimctl.controllers.models.byte_budget import ByteBudget
from aimctl.controllers.models.registry import MalformedMetadata, RegistryNotAllowed, RegistryUnreachable
from aimctl.controllers.models.registry_addresses import AddressGuard, AddressRefusedError, GuardedResolver
from aimctl.controllers.models.registry_client import MAX_RESPONSE_BYTES, Response
from aimctl.domain.excerpts import printable
from aimctl.runtime.kube import AbruptResponse, ConfigurationError, environment_proxy, hang_up, proxy_login

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL

    from aimctl.runtime.kube import Address

__all__ = ["HttpExchange"]

UNCOUNTED_BYTES = 64 * 1024
BUDGET_BYTES = 32 * 1024 * 1024
"""For all responses that are being read, in addition to :data:`UNCOUNTED_BYTES` of each."""

MAX_ERROR_BYTES = 16 * 1024
"""Of an error response; the rest is not read."""

MAX_HEADERS = 64
MAX_HEADER_BYTES = 32 * 1024
"""Names and values of all headers of a response."""

_CONNECT_SECONDS = 10.0
_READ_BUFFER_BYTES = 16 * 1024
"""aiohttp pauses reading from the socket at twice this size. Every read has such a buffer."""

_SHOWN = 300


@final
class HttpExchange:
    """Sends requests over HTTPS, and over HTTP to mirrors that are configured so.

    Args:
        trust_env: use the proxies of the environment.
        addresses: decides which addresses may be connected to.
        budget: for the bodies of all responses.
    """

    def __init__(
        self,
        *,
        trust_env: bool = True,
        addresses: AddressGuard | None = None,
        budget: ByteBudget | None = None,
    ) -> None:
        self._trust_env = trust_env
        self._addresses = addresses or AddressGuard()
        self._budget = budget or ByteBudget(BUDGET_BYTES)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        """By whether a proxy is used, whose address and whose resolution of names are not checked."""

    async def run(self) -> None:
        """Wait until cancelled, then close all connections."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. A later request opens new ones."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()
        if sessions:
            await asyncio.sleep(0)  # the event loop closes the sockets in its next iteration

    async def __call__(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
        *,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> Response:
        """See :class:`~aimctl.controllers.models.registry_client.Exchange`."""
        if self._addresses.refuses(url):
            raise _refused(url)
        proxy = _proxy_of(url) if self._trust_env else None
        login = proxy_login(proxy)
        try:
            response = await self._session(proxied=proxy is not None).request(
                method,
                url,
                headers={**headers, **(login if url.scheme == "http" else {})},
                data=form,
                allow_redirects=False,
                proxy=None if proxy is None else proxy.url,
                proxy_headers=login,
            )
            try:
                _check_headers(response, url)
                return Response(response.status, response.headers, await self._body(response, url, max_bytes))
            finally:
                hang_up(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(getattr(error, "os_error", None), AddressRefusedError):
                raise _refused(url) from error
            failure = _unreachable(url, error, proxy)
            if proxy is None and self._addresses.hides_details(url):
                structlog.get_logger(__name__).info("an image registry cannot be read", error=str(failure))
                raise RegistryUnreachable(
                    f"{url.authority}: no valid response over {url.scheme.upper()}; the log of the operator has the"
                    " cause",
                    whole_registry=failure.whole_registry,
                ) from error
            raise failure from error

    def _session(self, *, proxied: bool) -> aiohttp.ClientSession:
        session = self._sessions.get(proxied)
        if session is None:
            session = self._sessions[proxied] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    # With a limit, requests would wait for unresponsive registries.
                    limit=0,
                    resolver=None if proxied else GuardedResolver(self._addresses),
                    use_dns_cache=False,
                ),
                response_class=AbruptResponse,
                cookie_jar=aiohttp.DummyCookieJar(),
                # Digests are those of the uncompressed bytes, and a compressed response may have any size.
                headers={"User-Agent": "aimctl", "Accept-Encoding": "identity"},
                auto_decompress=False,
                read_bufsize=_READ_BUFFER_BYTES,
                max_headers=MAX_HEADERS,
                # The caller limits the total time.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            )
        return session

    async def _body(self, response: aiohttp.ClientResponse, url: URL, max_bytes: int) -> bytes:
        """The body; the start of an error response.

        Raises:
            MalformedMetadata: it has more than ``max_bytes``.
        """
        failed = response.status != 200
        limit = min(max_bytes, MAX_ERROR_BYTES) if failed else max_bytes
        body = bytearray()
        async with self._budget.share() as share:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > limit:
                    if failed:
                        return bytes(body[:limit])
                    raise MalformedMetadata(f"{url.authority} sent a response of more than {limit >> 10} KiB")
                if len(body) > UNCOUNTED_BYTES:
                    # All of it at once: responses that each wait for more of the budget would block each other.
                    await share.reserve(limit)
            return bytes(body)


def _check_headers(response: aiohttp.ClientResponse, url: URL) -> None:
    if sum(len(name) + len(value) for name, value in response.raw_headers) > MAX_HEADER_BYTES:
        raise MalformedMetadata(f"{url.authority} sent headers of more than {MAX_HEADER_BYTES >> 10} KiB")


def _refused(url: URL) -> RegistryNotAllowed:
    return RegistryNotAllowed(
        f"{url.authority} is not read: it has a loopback, link-local or reserved address, or is the API server; use a"
        " registry with another address, or ask the administrator to configure a mirror"
    )


def _proxy_of(url: URL) -> Address | None:
    try:
        return environment_proxy(url, os.environ)
    except ConfigurationError as error:
        text = f"{url.authority}: {error}; or add {url.host} to NO_PROXY"
        raise RegistryUnreachable(text, whole_registry=True) from error


def _unreachable(url: URL, error: Exception, proxy: Address | None) -> RegistryUnreachable:
    """The error for a failed request. Without a connection, the whole registry is unreachable."""
    whole = isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError
    )
    where = (
        url.authority
        if proxy is None
        else f"{url.authority} through the proxy {proxy.url.host}:{proxy.url.port}"
    )
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        text = "its name cannot be resolved"
    elif isinstance(error, aiohttp.ClientConnectorCertificateError):
        text = f"its certificate is not trusted: {error.certificate_error}"
    elif isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
        text = "connection refused"
    elif isinstance(error, aiohttp.ClientHttpProxyError):
        text = f"the proxy responded {error.status}"
    elif isinstance(error, TimeoutError):
        text = f"no connection within {_CONNECT_SECONDS:g} s"
    elif isinstance(cause, OSError):
        text = printable((str(cause) or type(cause).__name__)[:_SHOWN])
    elif isinstance(error, aiohttp.ServerDisconnectedError):
        text = "the connection was closed without a response"
    else:
        # The texts of other errors quote the response, or the URL, which for a proxy may contain the password.
        text = "the response is incomplete, or is not valid HTTP"
    return RegistryUnreachable(f"{where}: {text}", whole_registry=whole)
