"""The simulated registry as the operator's :class:`~aimctl.controllers.registry.ImageRegistry`, without sockets.

For tests in virtual time: ``add_operator(manager, options, CatalogueRegistry(cluster.registry))``. What real sockets
add (redirects, limits, digests of hostile registries) is tested with real sockets.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, final

from aimctl.controllers.registry import (
    AccessDenied,
    ImageConfig,
    ImageNotFound,
    MalformedMetadata,
    RateLimited,
    RegistryUnreachable,
)
from aimctl.devcluster.registry import RegistryDown
from aimctl.runtime.kube.transport import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from aimctl.devcluster.registry import RegistryAnswer, SimulatedRegistry
    from aimctl.domain.image_reference import ImageReference
    from aimctl.domain.registry_auth import Credentials

__all__ = ["CatalogueRegistry"]


@final
class CatalogueRegistry:
    """See the module.

    Args:
        registry: who answers; its faults apply.
    """

    def __init__(self, registry: SimulatedRegistry) -> None:
        self._registry = registry

    async def read(self, image: ImageReference, credentials: Sequence[Credentials]) -> ImageConfig:
        """See :class:`~aimctl.controllers.registry.ImageRegistry`."""
        candidates: list[Credentials | None] = [*credentials] or [None]
        for who in candidates[:-1]:
            try:
                return await self._read(image, who)
            except AccessDenied:
                continue
        return await self._read(image, candidates[-1])

    async def _read(self, image: ImageReference, who: Credentials | None) -> ImageConfig:
        token = await self._token(image, who) if who is not None else ""
        answer = await self._get(image, "manifests", image.name, token)
        document = _object(answer)
        digest = answer.headers["Docker-Content-Digest"]
        while "manifests" in document:
            chosen = next(
                (one for one in document["manifests"] if one["platform"]["architecture"] == "amd64"),
                document["manifests"][0],
            )
            document = _object(await self._get(image, "manifests", chosen["digest"], token))
        config = _object(await self._get(image, "blobs", document["config"]["digest"], token))
        return ImageConfig(digest, config["config"]["Labels"])

    async def _token(self, image: ImageReference, who: Credentials) -> str:
        scope = (("scope", f"repository:{image.repository}:pull"),)
        answer = await self._ask(image, HttpRequest("GET", "/token", scope, {"Authorization": who.basic}))
        return f"Bearer {_object(answer)['token']}"

    async def _get(self, image: ImageReference, what: str, name: str, token: str) -> RegistryAnswer:
        headers = {"Authorization": token} if token else {}
        path = f"/v2/{image.repository}/{what}/{name}"
        return await self._ask(image, HttpRequest("GET", path, (("ns", image.host),), headers))

    async def _ask(self, image: ImageReference, request: HttpRequest) -> RegistryAnswer:
        try:
            answer = await self._registry.handle(request)
        except RegistryDown as error:
            text = f"registry {image.host}: connection refused"
            raise RegistryUnreachable(text, whole_registry=True) from error
        match answer.status:
            case 200:
                return answer
            case 401 | 403:
                raise AccessDenied(f"registry {image.host} refuses {image}")
            case 404:
                raise ImageNotFound(f"registry {image.host} has no {image}")
            case 429:
                seconds = answer.headers.get("Retry-After", "")
                raise RateLimited(
                    f"registry {image.host}: 429", retry_after=float(seconds) if seconds else None
                )
            case status:
                raise RegistryUnreachable(f"registry {image.host}: {status}")


def _object(answer: RegistryAnswer) -> dict[str, Any]:
    try:
        document = json.loads(answer.body)
    except ValueError as error:
        raise MalformedMetadata("the registry's answer is not JSON") from error
    if not isinstance(document, dict):
        raise MalformedMetadata("the registry's answer is no JSON object")
    return document
