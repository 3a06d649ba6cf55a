"""Sends requests to image registries with aiohttp.

Contract of :class:`HttpExchange`, in addition to that of :class:`~aimctl.controllers.models.registry_client.Exchange`:
    * The first request opens the first connection. All connections are closed when :meth:`HttpExchange.run` ends.
    * If there is no response, RegistryUnreachable is raised with a message that states the cause.
    * The number of connections is not limited; the caller limits the number of requests.
    * A response that exceeds the limit is not read to its end. Cookies are not stored, headers and bodies not logged.
    * The environment variables HTTP_PROXY, HTTPS_PROXY and NO_PROXY are used, unless disabled; netrc files are not.
      Credentials in the URL of a proxy are not part of any message.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, final
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from aimctl.controllers.models.registry import MalformedMetadata, RegistryUnreachable
from aimctl.controllers.models.registry_client import MAX_RESPONSE_BYTES, Response
from aimctl.domain.excerpts import printable
from aimctl.runtime.kube.http import AbruptResponse, hang_up

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        proxy = _environment_proxy(url) if self._trust_env else None
        try:
            response = await self._session.request(
                method, url, headers=headers, data=form, allow_redirects=False, proxy=proxy
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


def _environment_proxy(url: URL) -> URL | None:
    """The proxy of the environment for a URL. aiohttp would use netrc files as well."""
    named = getproxies().get(url.scheme)
    if named is None or proxy_bypass(f"{url.host}:{url.port}"):
        return None
    try:
        proxy = URL(named if "://" in named else f"http://{named}")
    except ValueError:
        proxy = URL()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        variable = f"{url.scheme.upper()}_PROXY"
        raise RegistryUnreachable(
            f"{url.authority}: the environment variable {variable} is not the URL of an HTTP proxy: set it to"
            f" http://host:port, or add {url.host} to NO_PROXY",
            whole_registry=True,
        )
    return proxy


def _unreachable(url: URL, error: Exception, proxy: URL | None) -> RegistryUnreachable:
    """The error for a failed request. Without a connection, the whole registry is unreachable."""
    whole = isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError
    )
    where = url.authority if proxy is None else f"{url.authority} through the proxy {proxy.host}:{proxy.port}"
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
