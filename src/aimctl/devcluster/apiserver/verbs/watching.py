"""Watch: from a resourceVersion on, everything that happens to a selection.

Contract:
    * The stream's place in history is taken when :func:`open_watch` returns, not when it is first read: a
      write after that is never missed.
    * An object that begins to match is ADDED, one that ceases to match DELETED, whatever was done to it.
    * Bookmarks come about every minute and shortly before the end, only to those who asked.
    * The stream ends cleanly after its time-out, when the kind goes, when the server closes, or when its
      reader is so slow that history has gone on without it: the client goes on from its last resourceVersion.
    * A resourceVersion that is too old is an ERROR event with 410 in the stream, as the real server's watch
      cache answers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, final

from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.apiserver.wire.rendering import encode
from aimctl.devcluster.storage.store import Record, encode_object

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aimctl.devcluster.apiserver.verbs.reads import ListOptions
    from aimctl.devcluster.apiserver.wire.rendering import Renderer
    from aimctl.devcluster.storage.store import Change, Collection, Storage

__all__ = ["BOOKMARK_SECONDS", "FIRST_TIMEOUT_SECONDS", "error_line", "open_watch"]

BOOKMARK_SECONDS = 60.0
"""Between bookmarks, as the real watch cache's ``defaultBookmarkFrequency``."""
FIRST_TIMEOUT_SECONDS = 1800
"""A watch without a time-out lasts this long, or up to twice as long (``min-request-timeout``)."""
_BATCH_BYTES = 256 * 1024
_BATCH_OBJECTS = 100


def error_line(error: statuses.StatusError) -> bytes:
    """An ERROR event."""
    return encode({"type": "ERROR", "object": error.body}) + b"\n"


def too_old(asked: int, oldest: int) -> statuses.StatusError:
    """410 as the watch cache words it."""
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
) -> AsyncGenerator[bytes]:
    """The stream's body. Must be closed (``aclose``) when it is left early."""
    version = options.version or 0
    initial: list[Record] = []
    start = version
    if version == 0 or options.send_initial_events:
        if options.send_initial_events is not False:
            initial = [each for each in collection.scan(prefix) if options.selectors.matches(each)]
        start = storage.version
    elif version < collection.compacted:
        return _refused(too_old(version, collection.compacted))
    stream = _Watch(storage, collection, prefix, options, renderer)
    stream.position = collection.position_after(start)
    stream.ends = asyncio.get_running_loop().time() + timeout_seconds
    stream.bookmark_seconds = bookmark_seconds
    return stream.run(initial, start)


async def _refused(error: statuses.StatusError) -> AsyncGenerator[bytes]:
    yield error_line(error)


@final
class _Watch:
    """One stream. Invariant: every event before ``position`` has been given out or does not match."""

    def __init__(
        self, storage: Storage, collection: Collection, prefix: str, options: ListOptions, renderer: Renderer
    ) -> None:
        self._storage = storage
        self._collection = collection
        self._prefix = prefix
        self._options = options
        self._renderer = renderer
        self._epoch = storage.epoch
        self.waker = asyncio.Event()
        self.position = 0
        self.ends = 0.0
        self.bookmark_seconds = BOOKMARK_SECONDS

    async def run(self, initial: list[Record], version: int) -> AsyncGenerator[bytes]:
        loop = asyncio.get_running_loop()
        bookmarks = self._options.bookmarks
        next_bookmark = loop.time() + self.bookmark_seconds
        self._collection.wakers[self.waker] = None
        try:
            for at in range(0, len(initial), _BATCH_OBJECTS):
                batch = initial[at : at + _BATCH_OBJECTS]
                yield b"".join(self._renderer.event("ADDED", record) for record in batch)
            initial = []
            if self._options.send_initial_events and bookmarks:
                yield self._renderer.bookmark(version, initial_events_end=True)
            while True:
                self.waker.clear()
                if self.position < self._collection.dropped:
                    return
                lines = self._pending()
                if lines:
                    yield lines
                    continue
                now = loop.time()
                over = now >= self.ends or self._ended()
                if bookmarks and (over or now >= next_bookmark):
                    yield self._renderer.bookmark(self._storage.version)
                    next_bookmark = now + self.bookmark_seconds
                if over:
                    return
                await self._wait(min(self.ends, next_bookmark) if bookmarks else self.ends)
        finally:
            self._collection.wakers.pop(self.waker, None)

    def _ended(self) -> bool:
        return self._collection.closed or self._storage.epoch != self._epoch

    async def _wait(self, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await self.waker.wait()
        except TimeoutError:
            return

    def _pending(self) -> bytes:
        """The lines that are due, up to a batch; moves the position behind them."""
        lines: list[bytes] = []
        size = 0
        for change in self._collection.since(self.position):
            self.position += 1
            line = self._line(change)
            if line:
                lines.append(line)
                size += len(line)
                if size >= _BATCH_BYTES:
                    break
        return b"".join(lines)

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
        # the last state that matched, at the version at which it ceased to
        last = previous.object()
        last["metadata"]["resourceVersion"] = str(change.version)
        return self._renderer.event("DELETED", Record(last, encode_object(last), change.version))
