"""The simulated registry over HTTP, on loopback by default.

async with RegistryFront(registry) as front:
...  # front.endpoint.url
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, final

from aiohttp import web

from aimctl.devcluster.apiserver.http import Endpoint
from aimctl.runtime.kube.transport import HttpRequest
from aimctl.simulation.registry import RegistryDown

if TYPE_CHECKING:
    from types import TracebackType

    from aimctl.simulation.registry import SimulatedRegistry

__all__ = ["RegistryFront"]

_CLOSE_SECONDS = 0.2


@final
class RegistryFront:
    """Serves a registry while its context is entered.

    Args:
        registry: the registry.
        host: the address to bind.
        port: 0 takes a free one, which :attr:`endpoint` then shows.
    """

    def __init__(self, registry: SimulatedRegistry, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.endpoint = Endpoint(host, port)
        self._registry = registry
        self._runner = web.ServerRunner(
            web.Server(self._handle, handler_cancellation=True, access_log=None),
            shutdown_timeout=_CLOSE_SECONDS,
        )

    async def __aenter__(self) -> Self:
        """Start to listen. Raises OSError if the address cannot be bound."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.endpoint.host, self.endpoint.port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self.endpoint = self.endpoint._replace(port=int(self._runner.addresses[0][1]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening. Current responses are cut off."""
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.title(): value for name, value in request.headers.items()}
        asked = HttpRequest(request.method, request.path, tuple(request.query.items()), headers)
        try:
            answer = await self._registry.handle(asked)
        except RegistryDown:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
