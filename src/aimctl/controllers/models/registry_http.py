"""Requests to image registries over real sockets, on aiohttp.

Contract of :class:`HttpExchange` (see :class:`~aimctl.controllers.models.registry_client.Exchange`):
    * Nothing is connected before the first request; :meth:`HttpExchange.run` closes all connections when it ends.
    * Whatever keeps an answer from coming is RegistryUnreachable, in the words of the one who has to fix it.
    * No request waits for another's connection: how many there may be is for those to bound who send them.
    * An answer of more than the limit is not read to its end. No redirect is followed, no cookie kept, and no header or
      body is ever logged.
    * Of the environment it takes HTTP_PROXY, HTTPS_PROXY and NO_PROXY, unless told otherwise, and nothing else: no
      credentials of a netrc. What the name of a proxy holds of credentials is in no message.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, final
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from aimctl.controllers.models.registry import MalformedMetadata, RegistryUnreachable
from aimctl.controllers.models.registry_client import MAX_ANSWER_BYTES, Answer
from aimctl.domain.excerpts import printable
from aimctl.runtime.kube.http import AbruptResponse, hang_up

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HttpExchange"]

_CONNECT_SECONDS = 10.0
_SHOWN = 300


@final
class HttpExchange:
    """See the module.

    Args:
        trust_env: use the proxies that environment variables name.
    """

    def __init__(self, *, trust_env: bool = True) -> None:
        self._trust_env = trust_env
        self._session: aiohttp.ClientSession | None = None

    async def run(self) -> None:
        """Until cancelled; then close all connections."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. A later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)  # the sockets go with the next turn of the loop

    async def __call__(
        self, method: str, url: URL, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Answer:
        """See :class:`~aimctl.controllers.models.registry_client.Exchange`."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # A limit would let registries that hang take the connections, and the time, of others.
                connector=aiohttp.TCPConnector(limit=0),
                response_class=AbruptResponse,
                cookie_jar=aiohttp.DummyCookieJar(),
                # Digests are of the bytes as they are kept, and a packed answer could unpack to anything.
                headers={"User-Agent": "aimctl", "Accept-Encoding": "identity"},
                auto_decompress=False,
                # The whole has a limit of its own, where it is asked for.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            )
        proxy = _environment_proxy(url) if self._trust_env else None
        try:
            answer = await self._session.request(
                method, url, headers=headers, data=form, allow_redirects=False, proxy=proxy
            )
            try:
                return Answer(answer.status, answer.headers, await _body(answer, url))
            finally:
                hang_up(answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unreachable(url, error, proxy) from error


async def _body(answer: aiohttp.ClientResponse, url: URL) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise MalformedMetadata(f"{url.authority} answers with more than {MAX_ANSWER_BYTES >> 20} MiB")
    return bytes(body)


def _environment_proxy(url: URL) -> URL | None:
    """The proxy that the environment names for a URL. aiohttp's own way to it takes a netrc along."""
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
            f"{url.authority}: the environment variable {variable} names no HTTP proxy: set it to http://host:port, or"
            f" add {url.host} to NO_PROXY",
            whole_registry=True,
        )
    return proxy


def _unreachable(url: URL, error: Exception, proxy: URL | None) -> RegistryUnreachable:
    """What happened. Where not even a connection came about, nothing else there needs to be asked either."""
    whole = isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError
    )
    where = url.authority if proxy is None else f"{url.authority} through the proxy {proxy.host}:{proxy.port}"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        text = "its name cannot be looked up"
    elif isinstance(error, aiohttp.ClientConnectorCertificateError):
        text = f"its certificate is not trusted: {error.certificate_error}"
    elif isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
        text = "connection refused"
    elif isinstance(error, aiohttp.ClientResponseError):
        # Its own text has the URL; for a proxy, with the password.
        text = printable(f"{error.status} {error.message}"[:_SHOWN])
    elif isinstance(error, TimeoutError):
        text = f"no connection within {_CONNECT_SECONDS:g} s"
    else:
        text = printable((str(error) or type(error).__name__)[:_SHOWN])
    return RegistryUnreachable(f"{where}: {text}", whole_registry=whole)
