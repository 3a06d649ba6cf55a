"""Apply: write what one field manager owns of an object's status, if that changes anything.

Contract:
    * What was decided about one state of an object is never written to another object of the same name, nor over
      a state that somebody else has changed since: every write carries the resourceVersion that the cache has. A
      UID alone would not do, an API server does not compare it when the status of a custom resource is applied.
    * The writers of one process do not get into each other's way: writes to an object take turns, and each sees the
      answer of the one before in the cache.
    * After a write the owned part is what was wanted, whoever wrote to it before. Server-side apply alone does not
      promise that: a field that is left out stays while another manager owns it too, as one of an older version of
      the operator does, or somebody who edited the status by hand. Such leftovers are taken out with a patch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.controllers.execution.status_writer import KeyedLocks as Turns
from aimctl.controllers.execution.status_writer import status_of
from aimctl.runtime.controller import RetryAfter
from aimctl.runtime.kube import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.domain.status_slice import StatusFamily, StatusSlice
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.kube import Client, Object

__all__ = ["GONE_SECONDS", "StatusWriter", "Turns", "status_of"]

GONE_SECONDS = 5.0
"""Until the next look at a template that the server does not have and the cache still has: a watch that lags tells of
the deletion meanwhile, and a proxy that answered for a server has been found out.
"""


@final
class StatusWriter:
    """Server-side apply under one field manager.

    Args:
        client: fenced, and feeding the cache.
        cache: where the objects are.
        turns: shared with the other writers of the kind.
        field_manager: whose slice it is; see ``docs/design.md`` for who owns what.
        family: the writers that share the field manager; None when there is one.
    """

    def __init__(
        self,
        client: Client,
        cache: Cache,
        turns: Turns,
        field_manager: str,
        family: StatusFamily | None = None,
    ) -> None:
        self._client = client
        self._cache = cache
        self._turns = turns
        self._field_manager = field_manager
        self._family = family

    async def write(self, obj: Object[Any], wanted: StatusSlice, *more: StatusSlice) -> bool:
        """Apply and return True, or return False when all is so already.

        With a family, ``wanted`` and ``more`` are slices of some of its members, written in one request. Members
        decide from each other's slices, so nothing is written over a state that is not the one decided about.
        Without one, ``wanted`` is all there is to say.

        Raises:
            RetryAfter: the object is gone. Nothing else should be done for it now.
            Conflict: the object is not what ``wanted`` was worked out from; its latest state is in the cache, for the
                next look to decide anew.
            KubeError: the write did not happen, or nobody knows whether it did.
        """
        async with self._turns.of(obj.meta.uid):
            latest = self._cache.get(obj.resource, obj.meta.name, obj.meta.namespace)
            if latest is None or latest.meta.uid != obj.meta.uid:
                raise RetryAfter(GONE_SECONDS, f"{obj!r} is gone")
            current = status_of(latest)
            whole = wanted if self._family is None else self._family.part(current, wanted, *more)
            if not whole.changes(current):
                return False
            if self._family is not None and latest.meta.resource_version != obj.meta.resource_version:
                raise Conflict(409, "Conflict", f"{obj!r} was changed while it was decided about")
            try:
                await self._apply(latest, whole)
            except Conflict:
                await self._refresh(latest)
                raise
            except NotFound as error:
                raise RetryAfter(GONE_SECONDS, f"the server does not have {obj!r}") from error
        return True

    async def _apply(self, obj: Object[Any], wanted: StatusSlice) -> None:
        meta = obj.meta
        metadata = {"name": meta.name, "uid": meta.uid, "resourceVersion": meta.resource_version}
        if meta.namespace:
            metadata["namespace"] = meta.namespace
        body = {
            "apiVersion": obj.resource.api_version,
            "kind": obj.resource.kind,
            "metadata": metadata,
            "status": wanted.status(),
        }
        answer = await self._client.apply(
            obj.resource, body, subresource="status", field_manager=self._field_manager
        )
        leftovers = _leftovers(status_of(answer), wanted)
        if leftovers:
            # The version makes it a Conflict when somebody else was faster.
            version = {
                "op": "replace",
                "path": "/metadata/resourceVersion",
                "value": answer.meta.resource_version,
            }
            await self._client.patch(
                obj.resource,
                meta.name,
                [version, *leftovers],
                meta.namespace,
                kind="json",
                subresource="status",
            )

    async def _refresh(self, obj: Object[Any]) -> None:
        """Bring the object's latest state into a cache that lags."""
        try:
            self._cache.observe_write(await self._client.get(obj.resource, obj.meta.name, obj.meta.namespace))
        except NotFound:
            self._cache.observe_delete(obj.resource, obj.key, obj.meta.uid)


def _leftovers(current: Mapping[str, Any], wanted: StatusSlice) -> list[dict[str, Any]]:
    """The JSON patch that takes out of the owned part what applying it has left there."""
    if not wanted.changes(current):
        return []
    there = wanted.merged_into(current)
    return [
        {"op": "replace", "path": f"/status/{name}", "value": there[name]}
        if name in there
        else {"op": "remove", "path": f"/status/{name}"}
        for name in current
        if current[name] != there.get(name)
    ]
