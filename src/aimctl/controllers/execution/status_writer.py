"""Writes the part of a status that one field manager owns.

Contract:
    * A status is never written to another object of the same name, nor over a state that it was not decided from. Every
      write carries the resourceVersion of that state. A UID alone would not do: an API server does not compare it when
      the status of a custom resource is applied.
    * Writers of one process do not conflict: writes to one object are serialized, and each sees the response to the
      one before in the cache.
    * A status that does not fit its type was written by another operator. It is removed before the first write: the API
      server could reject a write that leaves a part of it.
    * After a write the owned part is exactly what was wanted. Server-side apply alone does not guarantee that: a field
      that is left out stays while another manager owns it too, such as an older version of the operator or a person
      who edited the status. Such fields are removed with a patch.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, final
from weakref import WeakValueDictionary

import msgspec
import structlog

from aimctl.api.v1alpha1 import has_foreign_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.domain.status_slice import StatusSlice
    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.kube import Client

__all__ = ["KeyedLocks", "StatusWriter", "Written", "status_of"]


class _Status(msgspec.Struct):
    status: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Status)


def status_of(obj: Object[Any]) -> dict[str, Any]:
    """The status of an object as JSON; empty when it has none."""
    return _decoder.decode(obj.raw).status or {}


@final
class KeyedLocks:
    """One lock for each key. A lock exists as long as somewhere holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, key: str) -> asyncio.Lock:
        """The lock of this key. Keep a reference while using it."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock


class Written(Enum):
    """The result of :meth:`StatusWriter.write`."""

    CHANGED = auto()
    UNCHANGED = auto()
    """The status is already as wanted."""
    STALE = auto()
    """The object has changed since it was observed, or is gone. Observe again."""


@final
class StatusWriter:
    """Server-side apply of statuses.

    Args:
        client: fenced, and feeding the cache.
        cache: where the objects are.
        locks: shared by all writers of the process.
    """

    def __init__(self, client: Client, cache: Cache, locks: KeyedLocks) -> None:
        self._client = client
        self._cache = cache
        self._locks = locks
        self._log = structlog.get_logger(__name__)

    async def write(self, obj: Object[Any], part: StatusSlice, field_manager: str) -> Written:
        """Apply ``part`` to the status of ``obj``.

        Raises:
            KubeError: the write did not happen, or its result is unknown. Conflict and NotFound mean that the cache
                lags behind the server.
        """
        async with self._locks.of(obj.meta.uid):
            latest = self._cache.get(obj.resource, obj.meta.name, obj.meta.namespace)
            if latest is None or latest.meta.uid != obj.meta.uid:
                return Written.STALE
            if not part.changes(status_of(latest)):
                return Written.UNCHANGED
            if latest.meta.resource_version != obj.meta.resource_version:
                return Written.STALE
            if has_foreign_status(latest.view, status_of(latest)):
                latest = await self._clear(latest)
            await self._apply(latest, part, field_manager)
        return Written.CHANGED

    async def _clear(self, obj: Object[Any]) -> Object[Any]:
        """Remove the status of another operator."""
        meta = obj.meta
        patch = [_version(obj), {"op": "replace", "path": "/status", "value": {}}]
        cleared = await self._client.patch(
            obj.resource, meta.name, patch, meta.namespace, kind="json", subresource="status"
        )
        self._log.warning(
            "replaced a status that another operator has written",
            kind=obj.resource.kind,
            namespace=meta.namespace,
            name=meta.name,
        )
        return cleared

    async def _apply(self, obj: Object[Any], part: StatusSlice, field_manager: str) -> None:
        meta = obj.meta
        metadata = {"name": meta.name, "uid": meta.uid, "resourceVersion": meta.resource_version}
        if meta.namespace:
            metadata["namespace"] = meta.namespace
        body = {
            "apiVersion": obj.resource.api_version,
            "kind": obj.resource.kind,
            "metadata": metadata,
            "status": part.status(),
        }
        response = await self._client.apply(
            obj.resource, body, subresource="status", field_manager=field_manager
        )
        removals = _removals(status_of(response), part)
        if removals:
            await self._client.patch(
                obj.resource,
                meta.name,
                [_version(response), *removals],
                meta.namespace,
                kind="json",
                subresource="status",
            )


def _version(obj: Object[Any]) -> dict[str, Any]:
    """The operation of a JSON patch with which the server answers Conflict if another writer was faster."""
    return {"op": "replace", "path": "/metadata/resourceVersion", "value": obj.meta.resource_version}


def _removals(current: Mapping[str, Any], part: StatusSlice) -> list[dict[str, Any]]:
    """The JSON patch that removes from the owned part what applying it has left there."""
    if not part.changes(current):
        return []
    wanted = part.merged_into(current)
    return [
        {"op": "replace", "path": f"/status/{name}", "value": wanted[name]}
        if name in wanted
        else {"op": "remove", "path": f"/status/{name}"}
        for name in current
        if current[name] != wanted.get(name)
    ]
