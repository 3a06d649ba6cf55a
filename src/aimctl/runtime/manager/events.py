"""Kubernetes Events: what a person sees in ``kubectl describe``.

Contract of :meth:`EventRecorder.event`:
    * It never blocks and never fails for reasons of the cluster. Delivery is best effort: what cannot be
      queued, or is refused by the server, is dropped and counted.
    * The first of its kind is created. An identical one within six minutes makes it a series: one patch at
      the second, then one each half hour, and one when the series ends. Repeating an event does not repeat
      writes.
    * Writes go through the fenced client: a standby, or a leader that was, writes nothing.

Invariants:
    * At most ``_MAX_SERIES`` series are remembered. No new one begins while ``capacity`` writes wait; beyond them
      there wait at most as many patches as there are series.
    * Only ``run()`` writes. Counts are in memory and the patch carries the total, so a lost patch loses no
      count.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, final

import structlog

from aimctl.kubetypes.builtin import EVENTS
from aimctl.kubetypes.permissions import Permission
from aimctl.runtime.clock import format_micro_time
from aimctl.runtime.kube.errors import (
    AlreadyExists,
    ConnectionFailed,
    KubeError,
    NotFound,
    ServerError,
    TooManyRequests,
)

if TYPE_CHECKING:
    import random

    from structlog.typing import FilteringBoundLogger

    from aimctl.kubetypes import Object
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["EventMetrics", "EventRecorder"]

PERMISSIONS = (
    Permission(EVENTS, ("create",), "record what happened to an object"),
    Permission(EVENTS, ("patch",), "count repeated Events"),
)

_MAX_SERIES = 4096
_SERIES_END_SECONDS = 360.0
"""Six minutes of silence end a series (client-go)."""
_SERIES_REFRESH_SECONDS = 1800.0
"""A running series is written each half hour (client-go)."""
_TRIES = 12
_RETRY_SECONDS = 10.0
"""Between tries, plus or minus a quarter (client-go)."""
_MAX_NOTE_BYTES = 1024
_MAX_WORD = 128


class EventMetrics(Protocol):
    """Hooks, called synchronously; they must neither block nor raise."""

    def event(self, result: Literal["created", "series", "dropped", "failed"]) -> None:
        """Something became of an Event."""
        ...


class _Kind(NamedTuple):
    """What makes two events the same."""

    uid: str
    api_version: str
    kind: str
    namespace: str
    name: str
    type: str
    reason: str
    action: str
    note: str


@dataclass(slots=True, eq=False)
class _Series:
    name: str
    namespace: str
    body: dict[str, Any]
    last: float
    """Monotonic seconds of the last event."""
    last_text: str
    count: int = 1
    written: int = 0
    """The count the server knows; 0 before the creation."""
    written_at: float = 0.0
    queued: bool = False


@final
class EventRecorder:
    """See the module.

    Args:
        client: fenced.
        clock: time.
        component: who reports; ``reportingController``.
        instance: which process of it, cut to 128 characters.
        rng: for the pauses between tries.
        metrics: hooks.
        capacity: writes that may wait.
    """

    needs_leader_election = False

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        component: str,
        instance: str,
        rng: random.Random,
        metrics: EventMetrics,
        capacity: int = 1000,
        logger: FilteringBoundLogger | None = None,
    ) -> None:
        # Nobody reads Events from a cache, and one that comes late does no harm.
        self._client = client.with_(on_write=None, on_delete=None, on_unclear=None)
        self._clock = clock
        self._component = component
        self._instance = instance[:_MAX_WORD]
        self._rng = rng
        self._metrics = metrics
        self._capacity = capacity
        self._log: FilteringBoundLogger = logger or structlog.get_logger(__name__)
        self._series: OrderedDict[_Kind, _Series] = OrderedDict()
        self._pending: deque[_Series] = deque()
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._made = 0

    def event(
        self,
        regarding: Object[Any],
        type_: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        *,
        action: str = "Reconcile",
    ) -> None:
        """Record that something happened to ``regarding``.

        Args:
            regarding: the object; for a cluster-scoped one the event is in namespace ``default``.
            type_: Normal or Warning.
            reason: why, as one CamelCase word that does not change, at most 128 characters.
            message: for people; cut to 1024 bytes.
            action: what was being done, one CamelCase word.

        Raises:
            ValueError: type, reason or action that the API server would refuse.
        """
        if type_ not in {"Normal", "Warning"}:
            raise ValueError(f"event type {type_!r}: use Normal or Warning")
        for field, word in (("reason", reason), ("action", action)):
            if not 0 < len(word) <= _MAX_WORD:
                raise ValueError(f"event {field} {word!r}: use one word of at most {_MAX_WORD} characters")
        if self._stop.is_set():
            self._metrics.event("dropped")
            return
        note = message.encode(errors="replace")[:_MAX_NOTE_BYTES].decode(errors="ignore")
        meta, resource = regarding.meta, regarding.resource
        kind = _Kind(
            meta.uid,
            resource.api_version,
            resource.kind,
            meta.namespace,
            meta.name,
            type_,
            reason,
            action,
            note,
        )
        now, text = self._clock.monotonic(), format_micro_time(self._clock.now())
        known = self._series.get(kind)
        if known is not None and now - known.last < _SERIES_END_SECONDS:
            self._repeat(kind, known, now, text)
            return
        if len(self._pending) >= self._capacity:
            self._metrics.event("dropped")
            return
        series = self._begin(kind, meta.resource_version, now, text)
        if known is not None:
            self._forget(kind)  # it has ended, and was not looked at yet
        self._series[kind] = series
        if len(self._series) > _MAX_SERIES:
            self._forget(next(iter(self._series)))
        self._enqueue(series)

    # ---- life cycle

    async def run(self) -> None:
        """Write until :meth:`stop`; then once more whatever waits, without pauses, and return."""
        while not self._stop.is_set():
            while self._pending and not self._stop.is_set():
                await self._deliver(self._pending.popleft())
            pause = self._end_silent()
            if not self._pending and not self._stop.is_set():
                self._wake.clear()
                await _wait(self._wake, pause)
        for kind in list(self._series):
            self._forget(kind)
        while self._pending and await self._deliver(self._pending.popleft()):
            pass
        for _ in self._pending:
            self._metrics.event("dropped")

    def stop(self) -> None:
        """Take no more events; :meth:`run` returns when the waiting ones are tried."""
        self._stop.set()
        self._wake.set()

    # ---- series

    def _begin(self, kind: _Kind, resource_version: str, now: float, text: str) -> _Series:
        # Like client-go: the object's name and the time in hexadecimal, and a number against equal times.
        self._made += 1
        stamp = int(self._clock.now().timestamp() * 1e9) + self._made % 1000
        name = f"{kind.name[:230].rstrip('-.')}.{stamp:x}"
        namespace = kind.namespace or "default"
        regarding = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "name": kind.name,
            "namespace": kind.namespace,
            "uid": kind.uid,
            "resourceVersion": resource_version,
        }
        body = {
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": text,
            "reportingController": self._component,
            "reportingInstance": self._instance,
            "action": kind.action,
            "reason": kind.reason,
            "regarding": {field: value for field, value in regarding.items() if value},
            "note": kind.note,
            "type": kind.type,
        }
        return _Series(name, namespace, body, last=now, last_text=text)

    def _repeat(self, kind: _Kind, series: _Series, now: float, text: str) -> None:
        series.count += 1
        series.last, series.last_text = now, text
        self._series.move_to_end(kind)
        if series.count == 2 or now - series.written_at >= _SERIES_REFRESH_SECONDS:
            self._enqueue(series)

    def _enqueue(self, series: _Series) -> None:
        if series.queued:
            return
        series.queued = True
        self._pending.append(series)
        self._wake.set()

    def _end_silent(self) -> float | None:
        """End the series that are silent; returns seconds until the next is, None when there is none.

        The series stand in the order of their last events, so only the first few are looked at.
        """
        now = self._clock.monotonic()
        while self._series:
            kind, series = next(iter(self._series.items()))
            left = series.last + _SERIES_END_SECONDS - now
            if left > 0:
                return left
            self._forget(kind)
        return None

    def _forget(self, kind: _Kind) -> None:
        series = self._series.pop(kind)
        if series.count > series.written:
            self._enqueue(series)

    # ---- writing

    async def _deliver(self, series: _Series) -> bool:
        """Write until it is written or given up; False when the server does not answer."""
        series.queued = False
        for attempt in range(_TRIES):
            try:
                await self._write(series)
            except (ConnectionFailed, ServerError, TooManyRequests) as error:
                if self._stop.is_set() or attempt == _TRIES - 1:
                    self._give_up(series, error)
                    return False
                await _wait(self._stop, _RETRY_SECONDS * self._rng.uniform(0.75, 1.25))
            except KubeError as error:
                self._give_up(series, error)
                return True
            else:
                return True
        return False

    async def _write(self, series: _Series) -> None:
        count = series.count
        if series.written and count > 1:
            patch = {"series": {"count": count, "lastObservedTime": series.last_text}}
            try:
                await self._client.patch(EVENTS, series.name, patch, series.namespace)
            except NotFound:
                series.written = 0  # it has expired on the server: begin anew below
            else:
                self._note_written(series, count, "series")
                return
        if series.written:
            return
        body = series.body
        if count > 1:
            body = {**body, "series": {"count": count, "lastObservedTime": series.last_text}}
        try:
            await self._client.create(EVENTS, body, series.namespace)
        except AlreadyExists:
            self._log.debug("an event was written already", event_name=series.name)
        self._note_written(series, count, "created")

    def _note_written(self, series: _Series, count: int, result: Literal["created", "series"]) -> None:
        series.written = count
        series.written_at = self._clock.monotonic()
        self._metrics.event(result)

    def _give_up(self, series: _Series, error: KubeError) -> None:
        series.written = series.count
        self._metrics.event("failed")
        self._log.info("an event was not recorded", reason=series.body["reason"], error=str(error))


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    """Until the event is set, or the time has passed."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
