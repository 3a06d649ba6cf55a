"""Sends requests to image registries with aiohttp.

Contract of :class:`HttpExchange`, in addition to that of :class:`~aimctl.controllers.models.registry_client.Exchange`:
    * The first request opens the first connection. All connections are closed when :meth:`HttpExchange.run` ends.
    * If there is no response, RegistryUnreachable is raised with a message that states the cause.
    * The number of connections is not limited; the caller limits the number of requests.
    * A response that exceeds the limit is not read to its end. Cookies are not stored, headers and bodies not logged.
    * The proxy of the environment is used as for the API server, unless disabled; netrc files are not used.
      Credentials in the URL of a proxy are not part of any message.
"""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING, final

import aiohttp

from aimctl.controllers.models.registry import MalformedMetadata, RegistryUnreachable
from aimctl.controllers.models.registry_client import MAX_RESPONSE_BYTES, Response
from aimctl.domain.excerpts import printable
from aimctl.runtime.kube import ConfigurationError
from aimctl.runtime.kube.credentials.proxy import environment_proxy, proxy_login
from aimctl.runtime.kube.http import AbruptResponse, hang_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL

    from aimctl.runtime.kube.credentials.addresses import Address

__all__ = ["HttpExchange"]

_CONNECT_SECONDS = 10.0
_SHOWN = 300


@final
class HttpExchange:
    """Sends requests over HTTPS, and over HTTP to mirrors that are configured so.

    Args:
        trust_env: use the proxies of the environment.
    """

    def __init__(self, *, trust_env: bool = True) -> None:
        self._trust_env = trust_env
        self._session: aiohttp.ClientSession | None = None

    async def run(self) -> None:
        """Wait until cancelled, then close all connections."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. A later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)  # the event loop closes the sockets in its next iteration

    async def __call__(
        self, method: str, url: URL, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Response:
        """See :class:`~aimctl.controllers.models.registry_client.Exchange`."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # With a limit, requests would wait for unresponsive registries.
                connector=aiohttp.TCPConnector(limit=0),
                response_class=AbruptResponse,
                cookie_jar=aiohttp.DummyCookieJar(),
                # Digests are those of the uncompressed bytes, and a compressed response may have any size.
                headers={"User-Agent": "aimctl", "Accept-Encoding": "identity"},
                auto_decompress=False,
                # The caller limits the total time.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            )
        proxy = _proxy_of(url) if self._trust_env else None
        login = proxy_login(proxy)
        try:
            response = await self._session.request(
                method,
                url,
                headers={**headers, **(login if url.scheme == "http" else {})},
                data=form,
                allow_redirects=False,
                proxy=None if proxy is None else proxy.url,
                proxy_headers=login,
            )
            try:
                return Response(response.status, response.headers, await _body(response, url))
            finally:
                hang_up(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unreachable(url, error, proxy) from error


async def _body(response: aiohttp.ClientResponse, url: URL) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise MalformedMetadata(
                f"{url.authority} sent a response of more than {MAX_RESPONSE_BYTES >> 20} MiB"
            )
    return bytes(body)


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
    elif isinstance(error, aiohttp.ClientResponseError):
        # Its text contains the URL, which for a proxy may contain the password.
        text = printable(f"{error.status} {error.message}"[:_SHOWN])
    elif isinstance(error, TimeoutError):
        text = f"no connection within {_CONNECT_SECONDS:g} s"
    else:
        text = printable((str(error) or type(error).__name__)[:_SHOWN])
    return RegistryUnreachable(f"{where}: {text}", whole_registry=whole)
