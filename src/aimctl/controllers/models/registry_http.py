"""Requests to image registries over real sockets, on aiohttp.

Contract of :class:`HttpExchange` (see :class:`~aimctl.controllers.models.registry_client.Exchange`):
    * Nothing is connected before the first request; :meth:`HttpExchange.run` closes all connections when it ends.
    * Whatever keeps an answer from coming is RegistryUnreachable, in the words of the one who has to fix it.
    * An answer of more than the limit is not read to its end. No redirect is followed, no cookie kept, and no header or
      body is ever logged. Proxies are those of the environment, unless told otherwise.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, final

import aiohttp

from aimctl.controllers.models.registry import MalformedMetadata, RegistryUnreachable
from aimctl.controllers.models.registry_client import MAX_ANSWER_BYTES, Answer
from aimctl.domain.excerpts import printable
from aimctl.runtime.kube.http import hang_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL

__all__ = ["HttpExchange"]

_CONNECT_SECONDS = 10.0
_CONNECTIONS = 32
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
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Digests are of the bytes as they are kept, and a packed answer could unpack to anything.
                headers={"User-Agent": "aimctl", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=self._trust_env,
                # The whole has a limit of its own, where it is asked for.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            )
        try:
            answer = await self._session.request(
                method, url, headers=headers, data=form, allow_redirects=False
            )
            try:
                return Answer(answer.status, answer.headers, await _body(answer, url))
            finally:
                hang_up(answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unreachable(url, error) from error


async def _body(answer: aiohttp.ClientResponse, url: URL) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise MalformedMetadata(f"{url.authority} answers with more than {MAX_ANSWER_BYTES >> 20} MiB")
    return bytes(body)


def _unreachable(url: URL, error: Exception) -> RegistryUnreachable:
    """What happened. Where not even a connection came about, nothing else there needs to be asked either."""
    whole = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        text = "its name cannot be looked up"
    elif isinstance(error, aiohttp.ClientConnectorCertificateError):
        text = f"its certificate is not trusted: {error.certificate_error}"
    elif isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
        text = "connection refused"
    elif isinstance(error, TimeoutError):
        text = f"no connection within {_CONNECT_SECONDS:g} s"
    else:
        text = printable((str(error) or type(error).__name__)[:_SHOWN])
    return RegistryUnreachable(f"{url.authority}: {text}", whole_registry=whole)
