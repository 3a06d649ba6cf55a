"""The local copy of one kind that the cluster's controllers read.

The runtime's cache must not be used here, because the embedded cluster is what the cache is tested against. This
informer is deliberately simpler.

Invariants:
    * It changes only between awaits on the loop's thread, and never goes back to an older resourceVersion.
    * ``on_change`` is called synchronously, once per change, and must not block. An exception it raises is a defect:
      it is logged and kept in ``errors``.
    * An object for which ``project`` raises is logged and counts as absent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

import msgspec
import structlog

from aimctl.kubetypes import is_newer
from aimctl.runtime.kube.errors import ApiError, Gone, KubeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aimctl.kubetypes import Object, ObjectKey, Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["Informer", "body_of"]

V = TypeVar("V")

_WATCH_SECONDS = 3600
"""In process no stream breaks unnoticed, so streams are long and without bookmarks: hours of virtual time are cheap."""
_IDLE_SECONDS = 2.0 * _WATCH_SECONDS
_RETRY_SECONDS = 0.2
_RETRY_CAP_SECONDS = 5.0
_ERRORS_KEPT = 20

_log = structlog.get_logger("aimctl.devcluster")


def body_of(item: Object[Any]) -> dict[str, Any]:
    """A private copy of the object, with ``apiVersion`` and ``kind``, which items of a list do not have."""
    body = msgspec.json.decode(item.raw, type=dict[str, Any])
    return {"apiVersion": item.resource.api_version, "kind": item.resource.kind, **body}


@final
class Informer(Generic[V]):
    """All objects of one kind, each reduced by ``project``, kept up to date by :meth:`run`.

    ``synced`` is set after the first list.

    Args:
        client: used to list and watch.
        resource: the kind.
        clock: for the pauses after a failure.
        project: returns what to keep of an object.
        on_change: called with the key, the old value and the new value; None means absent.
        field_selector: restricts list and watch.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource[Any],
        *,
        clock: Clock,
        project: Callable[[Object[Any]], V],
        on_change: Callable[[ObjectKey, V | None, V | None], None],
        field_selector: str = "",
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self._client = client
        self._clock = clock
        self._project = project
        self._on_change = on_change
        self._selector = field_selector
        self._values: dict[ObjectKey, V] = {}
        self._versions: dict[ObjectKey, tuple[str, str]] = {}
        self._resource_version = ""
        self.errors: deque[Exception] = deque(maxlen=_ERRORS_KEPT)

    def get(self, key: ObjectKey) -> V | None:
        """The kept value."""
        return self._values.get(key)

    def values(self) -> Mapping[ObjectKey, V]:
        """All kept values: a live view that must not be held across an await."""
        return self._values

    def observe(self, item: Object[Any]) -> None:
        """Store the response to a write, so that the next read returns it before the watch delivers it."""
        known = self._versions.get(item.key)
        if known is None or is_newer(item.meta.resource_version, known[1]):
            self._put(item)

    async def matches_server(self) -> bool:
        """Whether a list returns exactly the objects known here. False when the list fails."""
        try:
            listed = await self._client.list(self.resource, field_selector=self._selector)
        except KubeError:
            return False
        return self._versions == {
            item.key: (item.meta.uid, item.meta.resource_version) for item in listed.items
        }

    async def run(self) -> None:
        """List, then watch, until cancelled. Failures are retried with exponential back-off."""
        pause = _RETRY_SECONDS
        while True:
            try:
                if not self._resource_version:
                    await self._list()
                await self._watch()
                pause = _RETRY_SECONDS
            except KubeError as error:
                if isinstance(error, ApiError):
                    self._resource_version = ""
                if not isinstance(error, Gone):
                    _log.debug("informer retries", kind=self.resource.kind, seconds=pause, error=str(error))
                    await self._clock.sleep(pause)
                    pause = min(pause * 2, _RETRY_CAP_SECONDS)

    async def _list(self) -> None:
        listed = await self._client.list(self.resource, field_selector=self._selector)
        there = {item.key for item in listed.items}
        for key in [key for key in self._versions if key not in there]:
            self._drop(key)
        for item in listed.items:
            known = self._versions.get(item.key)
            if known != (item.meta.uid, item.meta.resource_version):
                self._put(item)
        self._resource_version = listed.resource_version
        self.synced.set()

    async def _watch(self) -> None:
        async with self._client.watch(
            self.resource,
            resource_version=self._resource_version,
            field_selector=self._selector,
            timeout_seconds=_WATCH_SECONDS,
            idle_seconds=_IDLE_SECONDS,
            bookmarks=False,
        ) as events:
            async for event in events:
                item = event.object
                if event.type == "DELETED":
                    known = self._versions.get(item.key)
                    if known is not None and known[0] == item.meta.uid:
                        self._drop(item.key)
                else:
                    self.observe(item)
                self._resource_version = item.meta.resource_version

    def _put(self, item: Object[Any]) -> None:
        old = self._values.get(item.key)
        known = self._versions.get(item.key)
        if old is not None and known is not None and known[0] != item.meta.uid:
            self._drop(item.key)
            old = None
        self._versions[item.key] = (item.meta.uid, item.meta.resource_version)
        try:
            value = self._project(item)
        except Exception as error:  # noqa: BLE001 - as in _notify
            self.errors.append(error)
            _log.exception("object cannot be read", kind=self.resource.kind, key=str(item.key))
            if old is not None:
                self._notify(item.key, self._values.pop(item.key), None)
            return
        self._values[item.key] = value
        self._notify(item.key, old, value)

    def _drop(self, key: ObjectKey) -> None:
        del self._versions[key]
        if key in self._values:
            self._notify(key, self._values.pop(key), None)

    def _notify(self, key: ObjectKey, old: V | None, new: V | None) -> None:
        try:
            self._on_change(key, old, new)
        except Exception as error:  # noqa: BLE001 - a defect with one object must not stop the others
            self.errors.append(error)
            _log.exception("change handler failed", kind=self.resource.kind, key=str(key))
