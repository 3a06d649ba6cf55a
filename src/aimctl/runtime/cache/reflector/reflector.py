"""Mirrors a collection of the server into a sink, by listing it once and then watching it.

Contract:
    * The sink receives a complete list, then every event after it, in the server's order, each once.
    * Errors of the server or the network never end a reflector; only cancellation does. The step after each outcome is
      decided in :mod:`aimctl.runtime.cache.reflector.policy`.
    * A dead connection is detected after ``idle_seconds`` (bookmarks arrive about once a minute), a server that exceeds
      ``timeoutSeconds`` after another five seconds.
    * A history that goes backwards (etcd was restored from a backup) is detected. A real server then silently drops all
      events up to the version of the watch, so the newest version of the server is compared with the known one after a
      silence or an older event. If it is older, the newest state replaces what was stored.
    * An event that cannot be decoded leads to a list, because what it reported is unknown. Items of a list that cannot
      be decoded are counted and logged once; the others are delivered, and a stored object with the key of such an item
      is kept.
    * An event above the line limit of a watch (16 MiB, ten times the default limit of etcd) ends the stream. It is
      counted, and the collection is listed again, because lists have no such limit. If such events continue, the lists
      follow with increasing back-off.

Invariants:
    * At any time it does one of: list, watch, check, pause. Of the reflectors that share a ``list_slot`` at most one
      lists. A streaming list becomes the next watch.
    * Only the sink stores the version to resume from, so it always matches what was applied.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar, final

import structlog

from aimctl.kubetypes import is_newer
from aimctl.runtime.cache.reflector.lists import Lister
from aimctl.runtime.cache.reflector.policy import (
    NEWEST_VERSION,
    Backoff,
    Next,
    Pause,
    Step,
    WatchReport,
    after_check,
    after_list,
    after_watch,
    list_version,
    went_back,
)
from aimctl.runtime.cache.reflector.types import ReflectorStatus
from aimctl.runtime.kube.discovery import is_served
from aimctl.runtime.kube.errors import (
    ConnectionFailed,
    DecodeError,
    KubeError,
    NotServed,
    ServerError,
    without_frames,
)

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from aimctl.kubetypes import Resource
    from aimctl.runtime.cache.metrics import ReflectorMetrics
    from aimctl.runtime.cache.reflector.lists import OpenStream, StreamingSupport
    from aimctl.runtime.cache.reflector.types import ReflectorOptions, Scope, Sink
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.answers import UnreadableItem
    from aimctl.runtime.kube.reader import Reader
    from aimctl.runtime.kube.watch import WatchEvent

__all__ = ["Reflector"]

T = TypeVar("T")


_MAX_REPORTED = 100
"""Items that cannot be read are logged once each, up to this number."""


@final
class Reflector(Generic[T]):
    """Lists and watches one scope of a kind. Call :meth:`run` once, in a task of a task group.

    Args:
        reader: the client.
        resource: the kind.
        scope: the part of the kind.
        sink: receives the objects.
        clock: time.
        rng: for jitter and watch timeouts.
        options: timeouts and back-off.
        metrics: hooks.
        list_slot: held while listing; shared by reflectors whose lists must not run concurrently.
        optional: the kind may be absent; it is then logged as information instead of as a warning.
        streaming: shows whether the server offers streaming lists; None for lists in pages.
    """

    def __init__(
        self,
        reader: Reader,
        resource: Resource[T],
        scope: Scope,
        sink: Sink[T],
        *,
        clock: Clock,
        rng: random.Random,
        options: ReflectorOptions,
        metrics: ReflectorMetrics,
        list_slot: asyncio.Semaphore,
        optional: bool = False,
        streaming: StreamingSupport | None = None,
    ) -> None:
        self.status: ReflectorStatus = ReflectorStatus()
        self.scope = scope
        self._reader = reader
        self._resource = resource
        self._sink = sink
        self._clock = clock
        self._rng = rng
        self._options = options
        self._metrics = metrics
        self._list_slot = list_slot
        self._optional = optional
        self._backoff = Backoff(
            rng,
            initial_seconds=options.backoff_seconds,
            cap_seconds=options.backoff_cap_seconds,
            reset_seconds=options.backoff_reset_seconds,
        )
        self._slow = Backoff(
            rng, initial_seconds=options.missing_seconds, cap_seconds=options.missing_cap_seconds
        )
        self._newest = False
        self._lister = Lister(reader, resource, scope, options, streaming=streaming)
        self._stream: OpenStream[T] | None = None
        """The open watch after a streaming list."""
        self._listed = False
        self._paused = False
        self._reported: set[str] = set()
        self._unserved = 0
        """How many times in a row discovery did not have the kind."""
        self._failing_since: float | None = None
        self._bookmarks = False
        """Whether the server has sent a bookmark."""
        self._silences = 0
        """Silent watches in a row."""
        self._checked_at = float("-inf")
        self._steps = {Step.LIST: self._list, Step.WATCH: self._watch, Step.CHECK: self._check}
        self._log = structlog.get_logger(__name__).bind(
            resource=resource.group_resource, **({"namespace": scope.namespace} if scope.namespace else {})
        )

    async def run(self) -> NoReturn:
        """List and watch until cancelled."""
        step = Step.LIST
        try:
            while True:
                decision = await self._steps[step]()
                await self._pause(decision)
                self._paused = decision.pause is Pause.BACKOFF
                step = decision.step
        finally:
            await self._close_stream()

    # ---- list

    async def _list(self) -> Next:
        known = self._sink.version_of(self.scope.namespace)
        requested = list_version(known, newest=self._newest)
        started = self._clock.monotonic()
        try:
            async with self._list_slot:
                listing = await self._lister.fetch(requested, watch_seconds=self._watch_seconds)
        except KubeError as error:
            self._metrics.list_failed()
            # A kind that is known to be missing is not asked for again in discovery: its list shows when it is served.
            unserved = isinstance(error, NotServed) and (self.status.missing or await self._is_unserved())
            decision = after_list(error, requested=requested, unserved=unserved)
            self._newest = decision.newest or self._newest
            await self._failed("list", error, decision)
            return decision
        self._stream = listing.stream
        objects, unreadable, version = listing.objects, listing.unreadable, listing.version
        seconds = self._clock.monotonic() - started
        self._metrics.listed(seconds, len(objects), relist=self._listed)
        self._log.debug("listed", objects=len(objects), resource_version=version, seconds=round(seconds, 3))
        if requested != NEWEST_VERSION and went_back(requested, version):
            # A list is not older than requested. Only the newest state shows whether the history was replaced.
            self._newest = True
            await self._close_stream()
            return Next(Step.LIST)
        self._newest = False
        self._silences = 0
        self._listed = True
        self._unserved = 0
        self._failing_since = None
        self.status.missing = False
        self.status.unreadable = ""
        self._alive()
        self.status.contact_at = self._clock.monotonic()
        # The newest state can only be older than the version known before the request if the history was replaced.
        reset = requested == NEWEST_VERSION and known != "" and is_newer(known, version)
        if reset and went_back(known, version):
            self._metrics.history_reset()
            self._log.warning(
                "the history of the server was replaced, the newest state replaces the cache",
                known_version=known,
                newest_version=version,
            )
        if unreadable:
            self._report(unreadable)
            # An object that cannot be read is not deleted: keep its last known state.
            kept = (self._sink.stored(item.key) for item in unreadable if item.key is not None)
            objects += [obj for obj in kept if obj is not None]
        await self._sink.replaced(objects, version, scope=self.scope.namespace, reset=reset)
        return Next(Step.WATCH)

    async def _is_unserved(self) -> bool:
        """Ask discovery whether the kind is not served, after a 404.

        A kind that was listed before counts as gone only when two lists in a row confirm it, because a load balancer
        or a restarting server may answer anything for a moment. Without an answer it is not known.
        """
        try:
            served = await is_served(self._reader, self._resource)
        except KubeError as error:
            self._log.debug("discovery failed, it is not known whether the kind is served", error=str(error))
            return False
        self._unserved = 0 if served else self._unserved + 1
        return self._unserved > self._listed

    # ---- watch

    async def _watch(self) -> Next:
        stream, self._stream = self._stream, None
        timeout = self._watch_seconds() if stream is None else stream.timeout_seconds
        started = self._clock.monotonic()
        events = 0
        opened = overdue = backwards = False
        error: KubeError | None = None
        self._metrics.watch_started()
        # Opening the watch is limited by the idle time; afterwards the limit is the end that the server was asked for.
        hard = asyncio.timeout(self._options.idle_seconds)
        try:
            async with hard, self._open(timeout) if stream is None else stream as received:
                opened = True
                hard.reschedule(started + timeout + self._options.watch_grace_seconds)
                self._alive()
                async for event in received:
                    events += 1
                    self._failing_since = None
                    now = self._clock.monotonic()
                    if self._sink.applied(event, scope=self.scope.namespace):
                        backwards = await self._is_history_replaced(now)
                        if backwards:
                            break
                        continue
                    self.status.contact_at = now
                    self._bookmarks = self._bookmarks or event.type == "BOOKMARK"
                    self._silences = 0
        except TimeoutError:
            if not hard.expired():
                raise
            if opened:
                overdue = True
            else:
                error = ConnectionFailed(f"no response within {self._options.idle_seconds:g} s")
        except KubeError as failure:
            error = without_frames(failure)
        now = self._clock.monotonic()
        report = WatchReport(
            now - started,
            events,
            opened,
            error,
            overdue,
            self._failing(error, now),
            self._paused,
            self.status.contact_at is not None and now - self.status.contact_at >= self._options.idle_seconds,
            backwards,
        )
        decision = after_watch(report, internal_error_window=self._options.internal_error_window_seconds)
        if decision.end is not None:
            self._metrics.watch_ended(report.seconds, events, decision.end)
        if error is not None:
            self._newest = decision.newest or self._newest
            if isinstance(error, DecodeError):
                self._metrics.decode_error()
            await self._failed("watch", error, decision)
        return decision

    def _watch_seconds(self) -> int:
        return int(self._options.watch_timeout_seconds * (1.0 + self._rng.random()))

    def _open(self, timeout_seconds: int) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent[T]]]:
        return self._reader.watch(
            self._resource,
            self.scope.namespace,
            resource_version=self._sink.version_of(self.scope.namespace),
            timeout_seconds=timeout_seconds,
            idle_seconds=self._options.idle_seconds,
            label_selector=self.scope.label_selector,
            field_selector=self.scope.field_selector,
            metadata_only=self.scope.metadata_only,
        )

    def _failing(self, error: KubeError | None, now: float) -> float:
        """Seconds since the first of the consecutive 5xx responses to watches."""
        if not isinstance(error, ServerError):
            self._failing_since = None
            return 0.0
        if self._failing_since is None:
            self._failing_since = now
        return now - self._failing_since

    def _report(self, unreadable: Sequence[UnreadableItem]) -> None:
        """Count the items of a list that cannot be decoded, and log each problem once."""
        text = ""
        for item in unreadable:
            self._metrics.decode_error()
            text = f"{item.key or 'an item without a name'}: {item.error}"
            if text not in self._reported and len(self._reported) < _MAX_REPORTED:
                self._reported.add(text)
                self._log.warning("an item of the list cannot be read, the others are cached", error=text)
        self.status.unreadable = f"{len(unreadable)} items of the list cannot be read, such as {text}"

    # ---- check

    async def _check(self) -> Next:
        """Compare the version of the server's newest state with the known one, after a silence."""
        self._silences += 1
        newest = await self._newest_version()
        known = self._sink.version_of(self.scope.namespace)
        decision = after_check(known, newest, silences=self._silences, bookmarks=self._bookmarks)
        self._newest = decision.newest or self._newest
        if newest and decision.step is Step.WATCH and not self._bookmarks:
            self.status.contact_at = self._checked_at  # this server is silent while nothing changes
        return decision

    async def _is_history_replaced(self, now: float) -> bool:
        """Check once in the idle time, because a proxy may replay old events."""
        if now - self._checked_at < self._options.idle_seconds:
            return False
        return went_back(self._sink.version_of(self.scope.namespace), await self._newest_version())

    async def _newest_version(self) -> str:
        """The version of the server's newest state; "" if it cannot be read. The watch then has the same trouble."""
        self._checked_at = self._clock.monotonic()
        try:
            return (await self._lister.page(None, 1)).resource_version
        except KubeError as error:
            self._log.debug("the newest version cannot be read", error=str(error))
            return ""

    # ---- helpers

    async def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            async with stream:
                pass

    def _alive(self) -> None:
        self.status.last_error = ""
        self.status.problem = ""

    async def _failed(self, verb: str, error: KubeError, decision: Next) -> None:
        resource = self._resource.group_resource
        where = f" in namespace {self.scope.namespace}" if self.scope.namespace else ""
        self.status.last_error = f"{verb} {resource}{where}: {error}"
        if decision.refused:
            self.status.problem = (
                f"not allowed to {verb} {resource}{where}: {error}; grant the verb {verb} on {resource}"
            )
        elif decision.vanished:
            self.status.problem = f"{resource} is not served; install its CustomResourceDefinition"
        if decision.pause is Pause.NONE:
            self._log.debug("request failed, retrying at once", verb=verb, error=str(error))
        elif decision.vanished:
            first = self._log.info if self._optional else self._log.warning
            level = self._log.debug if self.status.missing else first
            level("kind is not served, retrying periodically", verb=verb, error=str(error))
        else:
            self._log.warning(
                "request failed, retrying with back-off",
                verb=verb,
                error=str(error),
                remedy=error.remedy,
                next=decision.step.value,
            )
        if decision.vanished:
            self.status.missing = True
            await self._sink.vanished(scope=self.scope.namespace)

    async def _pause(self, decision: Next) -> None:
        seconds = decision.at_least
        if decision.pause is not Pause.NONE:
            backoff = self._slow if decision.pause is Pause.SLOW else self._backoff
            seconds = max(seconds, backoff.next(self._clock.monotonic()))
        if seconds > 0:
            await self._clock.sleep(seconds)
