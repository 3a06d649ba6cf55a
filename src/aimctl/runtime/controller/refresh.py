"""Reading the object of a hot loop from the server.

A watch can lag behind, so that a cache has an object that no longer exists, while other caches are current. A
reconciler then creates a child, the garbage collector deletes the child because its owner is gone, the deletion
triggers the next reconcile, and so on, without an error. One read of the object ends such a loop: the caches get its
latest state, or learn that it was deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import structlog

from aimctl.runtime.kube.errors import KubeError, NotFound

if TYPE_CHECKING:
    from aimctl.runtime.cache import Cache, Informer
    from aimctl.runtime.controller.reconcile import Request
    from aimctl.runtime.kube import Reader

__all__ = ["Refresh"]


@final
class Refresh:
    """Brings the caches up to date with one object.

    Args:
        reader: reads from the server.
        cache: gets the result.
        informer: of the kind that is reconciled.
    """

    def __init__(self, reader: Reader, cache: Cache, informer: Informer[Any]) -> None:
        self._reader = reader
        self._cache = cache
        self._informer = informer
        self._log = structlog.get_logger(__name__)

    async def __call__(self, request: Request) -> None:
        """Read the object of a request that the cache has. An error is logged, and the cache stays as it is."""
        resource = self._informer.resource
        known = self._informer.store.get(request)
        if known is None:
            return
        try:
            live = await self._reader.get(
                resource,
                request.name,
                request.namespace,
                metadata_only=self._informer.declaration.projection == "metadata",
            )
        except NotFound:
            self._log.warning(
                "the cache has an object that was deleted", kind=resource.kind, uid=known.meta.uid
            )
            self._cache.observe_delete(resource, request, known.meta.uid)
        except (KubeError, ValueError) as error:
            self._log.debug("the object of a hot loop cannot be read", kind=resource.kind, error=str(error))
        else:
            self._cache.observe_write(live)
