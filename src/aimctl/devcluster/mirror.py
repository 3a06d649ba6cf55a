"""What the embedded cluster's controllers stand on: a mirror of one kind, and a worker over dirty keys.

They are deliberately simpler than the runtime's cache and queue, which must not be used here: the embedded
cluster is what those are tested against.

Invariants:
    * A mirror changes only on the loop's thread, between awaits, and never goes back to an older
      resourceVersion.
    * ``on_change`` is called synchronously, once per change; it may only note keys. What it raises is a defect: it
      is logged and kept in ``errors``.
    * A worker handles one key at a time, in the order they became dirty, so a run in virtual time is
      repeatable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

import msgspec
import structlog

from aimctl.kubetypes import is_newer
from aimctl.runtime.kube.errors import ApiError, Conflict, Gone, KubeError, NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping

    from aimctl.kubetypes import Object, ObjectKey, Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["Mirror", "Worker", "body_of"]

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")

_WATCH_SECONDS = 290
_IDLE_SECONDS = 600.0
_RETRY_SECONDS = 0.2
_RETRY_CAP_SECONDS = 5.0
_ERRORS_KEPT = 20

_log = structlog.get_logger("aimctl.devcluster")


def body_of(item: Object[Any]) -> dict[str, Any]:
    """A private copy of the object, with the kind that items of a list come without."""
    body = msgspec.json.decode(item.raw, type=dict[str, Any])
    return {"apiVersion": item.resource.api_version, "kind": item.resource.kind, **body}


@final
class Mirror(Generic[V]):
    """All objects of one kind, each as ``project`` makes of it, kept up to date by :meth:`run`.

    Args:
        client: where from.
        resource: which kind.
        project: what to keep of an object.
        on_change: called with key, the old value and the new one; None stands for absent.
        field_selector: narrows list and watch.
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
        """All kept values; a live view, not to be held across an await."""
        return self._values

    def observe(self, item: Object[Any]) -> None:
        """Take in a write's answer, so that the next decision sees it before the watch brings it."""
        known = self._versions.get(item.key)
        if known is None or is_newer(item.meta.resource_version, known[1]):
            self._put(item)

    async def matches_server(self) -> bool:
        """Whether a list made now shows just what is mirrored. False when the server did not answer."""
        try:
            listed = await self._client.list(self.resource, field_selector=self._selector)
        except KubeError:
            return False
        return self._versions == {
            item.key: (item.meta.uid, item.meta.resource_version) for item in listed.items
        }

    async def run(self) -> None:
        """List, then watch, for ever; every failure is waited out with growing pauses. Ends by
        cancellation.
        """
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
                    _log.debug("mirror waits", kind=self.resource.kind, seconds=pause, error=str(error))
                    await self._clock.sleep(pause)
                    pause = min(pause * 2, _RETRY_CAP_SECONDS)

    async def _list(self) -> None:
        listed = await self._client.list(self.resource, field_selector=self._selector)
        there = {item.key for item in listed.items}
        for key in [key for key in self._values if key not in there]:
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
        ) as events:
            async for event in events:
                item = event.object
                if event.type == "DELETED":
                    known = self._versions.get(item.key)
                    if known is not None and known[0] == item.meta.uid:
                        self._drop(item.key)
                elif event.type != "BOOKMARK":
                    self.observe(item)
                self._resource_version = item.meta.resource_version

    def _put(self, item: Object[Any]) -> None:
        old = self._values.get(item.key)
        known = self._versions.get(item.key)
        if old is not None and known is not None and known[0] != item.meta.uid:
            self._drop(item.key)
            old = None
        value = self._project(item)
        self._values[item.key] = value
        self._versions[item.key] = (item.meta.uid, item.meta.resource_version)
        self._tell(item.key, old, value)

    def _drop(self, key: ObjectKey) -> None:
        del self._versions[key]
        self._tell(key, self._values.pop(key), None)

    def _tell(self, key: ObjectKey, old: V | None, new: V | None) -> None:
        try:
            self._on_change(key, old, new)
        except Exception as error:  # noqa: BLE001 - one odd object must not stop the mirror for all others
            self.errors.append(error)
            _log.exception("defect while noting a change", kind=self.resource.kind, key=str(key))


@final
class Worker(Generic[K]):
    """Handles dirty keys one after the other.

    ``handle`` returns seconds after which it wants the key again, or None. A KubeError is retried with
    growing pauses (a conflict at once). Any other exception is a defect: it is logged, kept in ``errors``
    and retried as well, since one odd object must not stop the cluster for all others.
    """

    def __init__(self, name: str, handle: Callable[[K], Awaitable[float | None]], *, clock: Clock) -> None:
        self.errors: deque[Exception] = deque(maxlen=_ERRORS_KEPT)
        self.handled = 0
        self._name = name
        self._handle = handle
        self._clock = clock
        self._dirty: dict[K, None] = {}
        self._timers: dict[K, tuple[float, asyncio.Handle]] = {}  # a uvloop handle does not tell its time
        self._failures: dict[K, int] = {}
        self._wanted = asyncio.Event()
        self._busy = False

    @property
    def idle(self) -> bool:
        """Whether nothing is dirty and nothing is being handled. Timers do not count."""
        return not self._dirty and not self._busy

    @property
    def next_due(self) -> float | None:
        """The loop time of the earliest timer."""
        return min((when for when, _ in self._timers.values()), default=None)

    def rests(self, horizon_seconds: float) -> bool:
        """Whether it is idle and no timer is due within the horizon."""
        due = self.next_due
        return self.idle and (due is None or due > self._clock.monotonic() + horizon_seconds)

    def describe(self) -> str:
        """What is at hand, for people."""
        dirty = ", ".join(str(key) for key in list(self._dirty)[:5])
        timers = ", ".join(str(key) for key in list(self._timers)[:5])
        return f"{self._name}: {len(self._dirty)} to do ({dirty}), {len(self._timers)} timers ({timers})"

    def add(self, key: K) -> None:
        """Handle the key soon; many adds before that are one."""
        self._dirty[key] = None
        self._wanted.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Handle the key after so many seconds, unless an earlier time is set already."""
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        known = self._timers.get(key)
        when = loop.time() + seconds
        if known is not None:
            if known[0] <= when:
                return
            known[1].cancel()
        self._timers[key] = (when, loop.call_at(when, self._fire, key))

    async def run(self) -> None:
        """Work until cancelled; timers end with it."""
        try:
            while True:
                while not self._dirty:
                    self._wanted.clear()
                    await self._wanted.wait()
                key = next(iter(self._dirty))
                del self._dirty[key]
                await self._handle_one(key)
        finally:
            for _, timer in self._timers.values():
                timer.cancel()
            self._timers.clear()

    async def _handle_one(self, key: K) -> None:
        self._busy = True
        try:
            again = await self._handle(key)
            self._failures.pop(key, None)
            if again is not None:
                self.add_after(key, again)
        except (Conflict, NotFound):
            # Somebody was quicker; the mirror will have it in a moment.
            self._retry(key, 0.01)
        except KubeError as error:
            _log.warning("will try again", worker=self._name, key=str(key), error=str(error))
            self._retry(key, _RETRY_SECONDS)
        except Exception as error:  # noqa: BLE001 - see the class: one odd object must not stop the rest
            self.errors.append(error)
            _log.exception("defect while handling a key", worker=self._name, key=str(key))
            self._retry(key, _RETRY_SECONDS)
        finally:
            self._busy = False
            self.handled += 1

    def _retry(self, key: K, base_seconds: float) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(base_seconds * 2.0 ** min(failures, 20), _RETRY_CAP_SECONDS))

    def _fire(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)
