"""Apply: write one writer's slice of a template's status, if that changes anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.runtime.controller import RetryAfter
from aimctl.runtime.kube import NotFound

if TYPE_CHECKING:
    from aimctl.domain.status_slice import StatusSlice
    from aimctl.runtime.kube import Client, Object

__all__ = ["GONE_SECONDS", "StatusWriter"]

GONE_SECONDS = 5.0
"""Until the next look at a template that the server does not have and the cache still has: a watch that lags tells of
the deletion meanwhile, and a proxy that answered for a server has been found out.
"""


class _Status(msgspec.Struct):
    status: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Status)


@final
class StatusWriter:
    """Server-side apply under one field manager.

    Args:
        client: fenced, and feeding the cache.
        field_manager: whose slice it is; see ``docs/design.md`` for who owns what.
    """

    def __init__(self, client: Client, field_manager: str) -> None:
        self._client = client
        self._field_manager = field_manager

    async def write(self, obj: Object[Any], wanted: StatusSlice) -> bool:
        """Apply ``wanted`` and return True, or return False when it is so already.

        The UID in the request makes the server refuse when another object took the name meanwhile.

        Raises:
            RetryAfter: the server does not have the object. Nothing else should be done for it now.
            Conflict: somebody forced our fields in between; the next look decides anew.
            KubeError: the write did not happen, or nobody knows whether it did.
        """
        current = _decoder.decode(obj.raw).status or {}
        if not wanted.changes(current):
            return False
        metadata = {"name": obj.meta.name, "uid": obj.meta.uid}
        if obj.meta.namespace:
            metadata["namespace"] = obj.meta.namespace
        body = {
            "apiVersion": obj.resource.api_version,
            "kind": obj.resource.kind,
            "metadata": metadata,
            "status": wanted.status(),
        }
        try:
            await self._client.apply(
                obj.resource, body, subresource="status", field_manager=self._field_manager
            )
        except NotFound as error:
            raise RetryAfter(GONE_SECONDS, f"the server does not have {obj!r}") from error
        return True
