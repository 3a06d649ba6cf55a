"""The simulated image registry without a socket, for operators that run in the same process.

    add_controllers(manager, options, simulated_registry(simulation.registry, clock=clock))

The operator reads it with its own registry client, so tokens, indexes and digests are handled as in a cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final
from urllib.parse import urlencode

from multidict import CIMultiDict, CIMultiDictProxy

from aimctl.controllers.models.registry import RegistryUnreachable
from aimctl.controllers.models.registry_client import OciRegistry, Response
from aimctl.runtime.kube.transport import HttpRequest
from aimctl.simulation.registry import RegistryDown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL

    from aimctl.runtime.clock import Clock
    from aimctl.simulation.registry import SimulatedRegistry

__all__ = ["simulated_registry"]

_MIRROR = "http://registry.invalid"
"""Plain HTTP, as the simulated token service names itself; no such name exists, should a request ever get out."""


def simulated_registry(registry: SimulatedRegistry, *, clock: Clock) -> OciRegistry:
    """Reads images from the simulated registry."""
    return OciRegistry(_InMemory(registry), clock=clock, mirrors={"*": _MIRROR})


@final
class _InMemory:
    """An :class:`~aimctl.controllers.models.registry_client.Exchange` that calls the registry."""

    def __init__(self, registry: SimulatedRegistry) -> None:
        self._registry = registry

    async def __call__(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
        *,
        max_bytes: int = 0,
    ) -> Response:
        body = urlencode(form).encode() if form is not None else None
        request = HttpRequest(method, url.path, tuple(url.query.items()), dict(headers), body)
        try:
            response = await self._registry.handle(request)
        except RegistryDown as error:
            raise RegistryUnreachable(f"{url.authority}: connection refused", whole_registry=True) from error
        return Response(response.status, CIMultiDictProxy(CIMultiDict(response.headers)), response.body)
