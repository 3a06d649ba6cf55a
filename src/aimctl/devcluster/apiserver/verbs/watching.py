"""Watches: the changes of the selected objects from a resourceVersion on.

Contract:
    * The start in the history is fixed when :func:`open_watch` returns, not when the stream is first read. No later
      write is missed.
    * An object that starts to match the selectors is ADDED, one that no longer matches is DELETED, whatever the write.
    * Bookmarks are sent about every minute and before the end, only if requested.
    * The stream ends cleanly after its timeout, when the kind is removed, when the server closes, or when the reader
      is so slow that its events were dropped. The client then continues from its last resourceVersion.
    * A resourceVersion that is too old results in an ERROR event with 410, as from the real server's watch cache.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, final

from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.apiserver.wire.rendering import encode
from aimctl.devcluster.storage.records import Record, encode_object

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

    from aimctl.devcluster.apiserver.verbs.reads import ListOptions
    from aimctl.devcluster.apiserver.wire.rendering import Renderer
    from aimctl.devcluster.storage.history import Collection
    from aimctl.devcluster.storage.records import Change
    from aimctl.devcluster.storage.store import Storage

    Convert = Callable[[Iterable[Record]], Awaitable[list[Record]]]

__all__ = ["BOOKMARK_SECONDS", "FIRST_TIMEOUT_SECONDS", "error_line", "open_watch"]

BOOKMARK_SECONDS = 60.0
"""Period of bookmarks: ``defaultBookmarkFrequency`` of the real watch cache."""
FIRST_TIMEOUT_SECONDS = 1800
"""Shortest duration of a watch without a timeout; the longest is twice that (``min-request-timeout``)."""
_BATCH_BYTES = 256 * 1024
_BATCH_OBJECTS = 100


def error_line(error: statuses.StatusError) -> bytes:
    """An ERROR event."""
    return encode({"type": "ERROR", "object": error.body}) + b"\n"


def too_old(asked: int, oldest: int) -> statuses.StatusError:
    """The 410 of the real watch cache."""
    return statuses.expired(f"too old resource version: {asked} ({oldest})")


def open_watch(
    storage: Storage,
    collection: Collection,
    prefix: str,
    options: ListOptions,
    renderer: Renderer,
    *,
    timeout_seconds: float,
    bookmark_seconds: float = BOOKMARK_SECONDS,
    as_of: int | None = None,
    convert: Convert | None = None,
) -> AsyncGenerator[bytes]:
    """Open a watch.

    Args:
        storage: has the current resourceVersion. A restart of it ends the watch.
        collection: the kind to watch, with its history.
        prefix: of the keys to watch; "" for all.
        options: the resourceVersion to start from, the selectors, and whether to send initial events and bookmarks.
            The first state of each object is sent if the version is missing or 0, unless initial events are excluded.
        renderer: encodes the events.
        timeout_seconds: duration of the stream, on the clock of the event loop.
        bookmark_seconds: period of the bookmarks.
        as_of: the resourceVersion of the initial events, which an interceptor requested; None for the current one.
        convert: returns records in the version of the request, to which selectors apply; None if they are. Its
            StatusError becomes an ERROR event, the last one.

    Returns:
        The body of the stream: each item has one or more complete lines. A reader that stops early must call
        ``aclose``. If the version is too old, the only line is an ERROR event.
    """
    version = options.version or 0
    initial: list[Record] = []
    start = version
    if version == 0 or options.send_initial_events:
        if options.send_initial_events is not False:
            selects = options.selectors.matches if convert is None else _everything
            records = collection.scan(prefix) if as_of is None else collection.snapshot(as_of, prefix)
            initial = [each for each in records if selects(each)]
        start = storage.version if as_of is None else as_of
    elif version < collection.compacted:
        return _refused(too_old(version, collection.compacted))
    stream = _Watch(
        storage,
        collection,
        prefix,
        options,
        renderer,
        position=collection.position_after(start),
        ends=asyncio.get_running_loop().time() + timeout_seconds,
        bookmark_seconds=bookmark_seconds,
        convert=convert,
    )
    return stream.run(initial, start)


def _everything(_: Record) -> bool:
    return True


async def _refused(error: statuses.StatusError) -> AsyncGenerator[bytes]:
    yield error_line(error)


@final
class _Watch:
    """One stream. Invariant: every event before the position has been sent or does not match.

    Args:
        storage: see :func:`open_watch`, as for the other arguments that have the same name there.
        collection: the same.
        prefix: the same.
        options: the same.
        renderer: the same.
        position: of the first event to send.
        ends: when the stream ends, in seconds of the event loop's clock.
        bookmark_seconds: period of the bookmarks.
        convert: see :func:`open_watch`.
    """

    def __init__(
        self,
        storage: Storage,
        collection: Collection,
        prefix: str,
        options: ListOptions,
        renderer: Renderer,
        *,
        position: int,
        ends: float,
        bookmark_seconds: float,
        convert: Convert | None,
    ) -> None:
        self._storage = storage
        self._collection = collection
        self._prefix = prefix
        self._options = options
        self._renderer = renderer
        self._epoch = storage.epoch
        self._waker = asyncio.Event()
        self._position = position
        self._ends = ends
        self._bookmark_seconds = bookmark_seconds
        self._convert = convert

    async def run(self, initial: list[Record], version: int) -> AsyncGenerator[bytes]:
        loop = asyncio.get_running_loop()
        bookmarks = self._options.bookmarks
        next_bookmark = loop.time() + self._bookmark_seconds
        self._collection.wakers[self._waker] = None
        try:
            if self._convert is not None:
                initial = [
                    each for each in await self._convert(initial) if self._options.selectors.matches(each)
                ]
            for at in range(0, len(initial), _BATCH_OBJECTS):
                batch = initial[at : at + _BATCH_OBJECTS]
                yield b"".join(self._renderer.event("ADDED", record) for record in batch)
            initial = []
            if self._options.send_initial_events and bookmarks:
                yield self._renderer.bookmark(version, initial_events_end=True)
            while True:
                self._waker.clear()
                if self._position < self._collection.dropped:
                    return
                lines = self._pending() if self._convert is None else await self._converted(self._convert)
                if lines:
                    yield lines
                    continue
                now = loop.time()
                over = now >= self._ends or self._ended()
                if bookmarks and (over or now >= next_bookmark):
                    yield self._renderer.bookmark(self._storage.version)
                    next_bookmark = now + self._bookmark_seconds
                if over:
                    return
                await self._wait(min(self._ends, next_bookmark) if bookmarks else self._ends)
        except statuses.StatusError as error:  # of a conversion
            yield error_line(error)
        finally:
            self._collection.wakers.pop(self._waker, None)

    def _ended(self) -> bool:
        return self._collection.closed or self._storage.epoch != self._epoch

    async def _wait(self, until: float) -> None:
        """Wait for the next write, at most until this time."""
        timer = asyncio.get_running_loop().call_at(until, self._waker.set)
        try:
            await self._waker.wait()
        finally:
            timer.cancel()

    def _pending(self) -> bytes:
        """The next lines, at most one batch. Advances the position."""
        lines: list[bytes] = []
        size = 0
        for change in self._collection.since(self._position):
            self._position += 1
            line = self._line(change)
            if line:
                lines.append(line)
                size += len(line)
                if size >= _BATCH_BYTES:
                    break
        return b"".join(lines)

    async def _converted(self, convert: Convert) -> bytes:
        """The next lines, whose records are converted first."""
        changes = self._collection.since(self._position)[:_BATCH_OBJECTS]
        self._position += len(changes)
        changes = [change for change in changes if change.record.key.startswith(self._prefix)]
        records = await convert(change.record for change in changes)
        previous = iter(await convert(change.previous for change in changes if change.previous is not None))
        return b"".join(
            self._line(
                change._replace(record=record, previous=None if change.previous is None else next(previous))
            )
            for change, record in zip(changes, records, strict=True)
        )

    def _line(self, change: Change) -> bytes:
        record, previous = change.record, change.previous
        if not record.key.startswith(self._prefix):
            return b""
        selectors = self._options.selectors
        if selectors.everything:
            return self._renderer.event(change.type, record)
        was = previous is not None and selectors.matches(previous)
        matches = change.type != "DELETED" and selectors.matches(record)
        if matches:
            return self._renderer.event("MODIFIED" if was else "ADDED", record)
        if not was or previous is None:
            return b""
        if change.type == "DELETED":
            return self._renderer.event("DELETED", record)
        # The last state that matched, at the version at which it stopped matching.
        last = previous.object()
        last["metadata"]["resourceVersion"] = str(change.version)
        return self._renderer.event("DELETED", Record(last, encode_object(last), change.version))
