"""The event recorder: Kubernetes Events, as shown by ``kubectl describe``.

Contract of :meth:`EventRecorder.event`:
    * It does not block, and does not raise for errors of the cluster. Delivery is best effort: an Event that cannot be
      queued, or is rejected by the server, is dropped and counted.
    * The first Event is created. Identical ones within six minutes form a series: one patch for the second Event, then
      one every half hour, and one at the end of the series. Repeated Events therefore cause few writes.
    * Floods are limited as by client-go: see :mod:`aimctl.runtime.manager.events.limits`.
    * Writes use the fenced client: a process that is not the leader writes no Events.

Invariants:
    * At most ``_MAX_SERIES`` series are remembered. No new one starts while ``capacity`` writes are queued; in addition
      at most one patch per series is queued.
    * Only ``run()`` writes. A patch contains the total count, which is kept in memory, so a lost patch loses no count.
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
from aimctl.runtime.manager.events.limits import COMBINED, EventLimits, event_name

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
"""What the event recorder of a manager needs. Events about cluster-scoped objects are in the namespace ``default``."""

_MAX_SERIES = 4096
_SERIES_END_SECONDS = 360.0
"""A series ends after six minutes without an Event (client-go)."""
_SERIES_REFRESH_SECONDS = 1800.0
"""A continuing series is written every half hour (client-go)."""
_TRIES = 12
_RETRY_SECONDS = 10.0
"""Pause between tries, with 25 % jitter (client-go)."""
_FLUSH_SECONDS = 5.0
"""Longest time for the queued Events after the end of the work. The lease is released only after that."""
_MAX_NOTE_BYTES = 1024
_MAX_WORD = 128


class EventMetrics(Protocol):
    """Hooks, called synchronously. A hook must neither block nor raise."""

    def event(self, result: Literal["created", "series", "dropped", "failed"]) -> None:
        """An Event was created, added to its series, dropped without a request, or rejected by the server."""
        ...


class _Kind(NamedTuple):
    """The key of a series: Events that are equal in these fields are identical."""

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
    """A series of identical Events. Thousands are remembered, so its requests are built when they are sent."""

    kind: _Kind
    note: str
    resource_version: str
    """Of the object, at the first Event."""
    stamp: int
    """Makes the name of the Event unique."""
    first_text: str
    last: float
    """Monotonic time of the last Event."""
    last_text: str
    count: int = 1
    written: int = 0
    """The count that was written last; 0 before the creation."""
    written_at: float = 0.0
    queued: bool = False

    @property
    def name(self) -> str:
        """The name of the Event."""
        return event_name(self.kind.name, self.stamp)

    @property
    def namespace(self) -> str:
        """The namespace of the Event."""
        return self.kind.namespace or "default"

    def body(self, *, component: str, instance: str) -> dict[str, Any]:
        """The Event to create."""
        kind = self.kind
        regarding = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "name": kind.name,
            "namespace": kind.namespace,
            "uid": kind.uid,
            "resourceVersion": self.resource_version,
        }
        body = {
            "metadata": {"name": self.name, "namespace": self.namespace},
            "eventTime": self.first_text,
            "reportingController": component,
            "reportingInstance": instance,
            "action": kind.action,
            "reason": kind.reason,
            "regarding": {field: value for field, value in regarding.items() if value},
            "note": self.note,
            "type": kind.type,
        }
        return body if self.count == 1 else {**body, **self.patch()}

    def patch(self) -> dict[str, Any]:
        """How often the Event occurred, and when last."""
        return {"series": {"count": self.count, "lastObservedTime": self.last_text}}


@final
class EventRecorder:
    """Records Events and writes them in the background.

    Args:
        client: the fenced client.
        clock: time.
        component: ``reportingController``.
        instance: ``reportingInstance``, truncated to 128 characters.
        rng: for jitter.
        metrics: hooks.
        capacity: number of writes that can be queued.
        logger: default: the logger of structlog.
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
        # Events are not cached, and a late one is harmless, so no hooks are needed.
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
        self._limit: asyncio.Timeout | None = None
        self._limits = EventLimits()
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
        """Record an Event about an object.

        Args:
            regarding: the object. The Event of a cluster-scoped object is created in namespace ``default``.
            type_: Normal or Warning.
            reason: a constant word in CamelCase, at most 128 characters.
            message: a sentence; truncated to 1024 bytes. Control characters are replaced.
            action: what the controller did, a word in CamelCase of at most 128 characters.

        Raises:
            TypeError: the reason, action or message is not a string.
            ValueError: the API server would reject the type, reason or action.
        """
        _check_event(type_, reason, message, action)
        if self._stop.is_set():
            self._metrics.event("dropped")
            return
        note = _shortened(message)
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
        if self._repeats(kind, now, text):
            return
        if self._limits.combines(kind._replace(note=""), note, now):
            kind = kind._replace(note=COMBINED)
            note = _shortened(COMBINED + message)
            if self._repeats(kind, now, text):
                return
        if len(self._pending) >= self._capacity or not self._limits.admits(kind[:5], now):
            self._metrics.event("dropped")
            return
        series = self._begin(kind, meta.resource_version, now, text, note)
        if kind in self._series:
            self._forget(kind)  # it has ended, but has not been removed yet
        self._series[kind] = series
        if len(self._series) > _MAX_SERIES:
            self._forget(next(iter(self._series)))
        self._enqueue(series)

    # ---- life cycle

    async def run(self) -> None:
        """Write Events until :meth:`stop`; then try the queued ones once, without pauses, and return.

        It returns at most 5 s after :meth:`stop`, however slow the server is.
        """
        try:
            async with asyncio.timeout(None) as self._limit:
                if self._stop.is_set():
                    self._limit_flush()
                await self._write_all()
        except TimeoutError:
            self._metrics.event("failed")  # the Event whose request was interrupted
        finally:
            self._limit = None
        for _ in self._pending:
            self._metrics.event("dropped")

    def stop(self) -> None:
        """Drop further Events; :meth:`run` returns when the queued ones have been tried, or after 5 s."""
        if not self._stop.is_set():
            self._limit_flush()
        self._stop.set()
        self._wake.set()

    async def _write_all(self) -> None:
        while not self._stop.is_set():
            pause = self._end_silent()
            if self._pending:
                await self._deliver(self._pending.popleft())
            else:
                self._wake.clear()
                await _wait(self._wake, pause)
        for kind in list(self._series):
            self._forget(kind)
        while self._pending and await self._deliver(self._pending.popleft()):
            pass

    def _limit_flush(self) -> None:
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + _FLUSH_SECONDS)

    # ---- series

    def _repeats(self, kind: _Kind, now: float, text: str) -> bool:
        """Count the Event if it continues a series."""
        known = self._series.get(kind)
        if known is None or now - known.last >= _SERIES_END_SECONDS:
            return False
        self._repeat(kind, known, now, text)
        return True

    def _begin(self, kind: _Kind, resource_version: str, now: float, text: str, note: str) -> _Series:
        # A counter distinguishes equal times.
        self._made += 1
        stamp = int(self._clock.now().timestamp() * 1e9) + self._made % 1000
        return _Series(kind, note, resource_version, stamp, first_text=text, last=now, last_text=text)

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
        """End the series without recent Events. Returns the seconds until the next series ends, None without one.

        The series are ordered by their last Event, so only the first ones have to be checked.
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
        """Try to write until success or a final failure; False if the server is not available."""
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
            try:
                await self._client.patch(EVENTS, series.name, series.patch(), series.namespace)
            except NotFound:
                series.written = 0  # the Event has expired on the server: create it again below
            else:
                self._note_written(series, count, "series")
                return
        if series.written:
            return
        body = series.body(component=self._component, instance=self._instance)
        try:
            await self._client.create(EVENTS, body, series.namespace)
        except AlreadyExists:
            self._log.debug("the Event exists already", event_name=series.name)
        self._note_written(series, count, "created")

    def _note_written(self, series: _Series, count: int, result: Literal["created", "series"]) -> None:
        series.written = count
        series.written_at = self._clock.monotonic()
        self._metrics.event(result)

    def _give_up(self, series: _Series, error: KubeError) -> None:
        series.written = series.count
        self._metrics.event("failed")
        self._log.info("the Event could not be written", reason=series.kind.reason, error=str(error))


def _check_event(type_: str, reason: str, message: str, action: str) -> None:
    """Raise the TypeError or ValueError of :meth:`EventRecorder.event`."""
    for field, text in (("reason", reason), ("action", action), ("message", message)):
        if not isinstance(text, str):
            raise TypeError(f"event {field} {text!r}: use a text")
    if type_ not in {"Normal", "Warning"}:
        raise ValueError(f"event type {type_!r}: use Normal or Warning")
    for field, word in (("reason", reason), ("action", action)):
        if not 0 < len(word) <= _MAX_WORD:
            raise ValueError(f"event {field} {word!r}: use one word of at most {_MAX_WORD} characters")


def _shortened(message: str) -> str:
    if not message.isprintable():
        # The message may quote text from outside, which must not control the terminal of a reader.
        message = "".join(
            char if char.isprintable() else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}"
            for char in message[:_MAX_NOTE_BYTES]
        )
    return message.encode(errors="replace")[:_MAX_NOTE_BYTES].decode(errors="ignore")


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    """Wait until the event is set, or for ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
