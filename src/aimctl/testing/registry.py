"""The embedded cluster's image registry without a socket: for operators that run in the same process.

    add_operator(manager, options, simulated_registry(cluster))

What reads it is what reads real registries, so tokens, indexes and digests are as in a cluster; only the wire is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final
from urllib.parse import urlencode

from multidict import CIMultiDict, CIMultiDictProxy

from aimctl.controllers.models.registry import RegistryUnreachable
from aimctl.controllers.models.registry_client import Answer, OciRegistry
from aimctl.devcluster.registry import RegistryDown
from aimctl.runtime.kube.transport import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL

    from aimctl.devcluster import DevCluster
    from aimctl.devcluster.registry import SimulatedRegistry

__all__ = ["simulated_registry"]

_MIRROR = "http://registry.invalid"
"""Plain HTTP, as the simulated token service names itself; no such name exists, should a request ever get out."""


def simulated_registry(cluster: DevCluster) -> OciRegistry:
    """Reads images as the cluster's catalogue has them."""
    return OciRegistry(_InMemory(cluster.registry), clock=cluster.clock, mirrors={"*": _MIRROR})


@final
class _InMemory:
    """An :class:`~aimctl.controllers.models.registry_client.Exchange` that calls the registry."""

    def __init__(self, registry: SimulatedRegistry) -> None:
        self._registry = registry

    async def __call__(
        self, method: str, url: URL, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Answer:
        body = urlencode(form).encode() if form is not None else None
        request = HttpRequest(method, url.path, tuple(url.query.items()), dict(headers), body)
        try:
            answer = await self._registry.handle(request)
        except RegistryDown as error:
            raise RegistryUnreachable(f"{url.authority}: connection refused", whole_registry=True) from error
        return Answer(answer.status, CIMultiDictProxy(CIMultiDict(answer.headers)), answer.body)
