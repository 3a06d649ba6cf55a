"""A watch stream, read: bytes to events.

Contract:
    * Events come in the server's order. A clean end of the stream ends the iteration.
    * Bytes after the last newline at the end are an event that did not arrive; they are dropped.
    * An ERROR event is raised as its :class:`ApiError` (code 410: :class:`Gone`). So is a bare Status body,
      which is how some servers tell 410 with HTTP 200.
    * No byte for ``idle_seconds``: :class:`WatchStalled`. Bookmarks count, so a healthy watch is never idle
      for long.
    * A line above the cap: :class:`WatchLineTooLong`.

It does not reconnect and keeps no resourceVersion: that is the reflector's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, final

import msgspec

from aimctl.kubetypes import Object, Pool
from aimctl.runtime.kube.answers import parse_status, shortened
from aimctl.runtime.kube.errors import ApiError, ConnectionFailed, DecodeError, error_from_status
from aimctl.runtime.kube.splitter import LineSplitter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aimctl.kubetypes import Resource
    from aimctl.runtime.kube.transport import HttpResponse

__all__ = ["WatchEvent", "WatchStalled", "watch_events"]

T = TypeVar("T")
EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
_OBJECT_EVENTS: tuple[Literal["MODIFIED", "ADDED", "DELETED"], ...] = ("MODIFIED", "ADDED", "DELETED")
_PLAIN = tuple((type_, b'{"type":"%b","object":' % type_.encode()) for type_ in _OBJECT_EVENTS)


class WatchStalled(ConnectionFailed):
    """The stream gave no byte for its idle time: the connection is dead, or might as well be."""

    def __init__(self, idle_seconds: float) -> None:
        super().__init__(f"the watch gave no byte for {idle_seconds:g} s")
        self.idle_seconds = idle_seconds


@final
@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """One event. A BOOKMARK's object has nothing but a resourceVersion (and perhaps annotations)."""

    type: EventType
    object: Object[T]

    @property
    def resource_version(self) -> str:
        """Where to resume after this event."""
        return self.object.meta.resource_version


class _Envelope(msgspec.Struct, gc=False):
    type: str = ""
    object: msgspec.Raw = msgspec.Raw()
    kind: str = ""


_envelope = msgspec.json.Decoder(_Envelope)


async def watch_events(
    resource: Resource[T],
    response: HttpResponse,
    *,
    idle_seconds: float,
    on_decode_error: Callable[[DecodeError], None] | None = None,
) -> AsyncGenerator[WatchEvent[T], None]:
    """The events of an answer to a watch request, for one consumer.

    Args:
        resource: the kind watched.
        response: a 2xx answer.
        idle_seconds: how long to wait for the next byte.
        on_decode_error: told about an event that is no object of the kind; the stream then goes on. Without
            it, such an event ends the stream by raising.

    Raises:
        ApiError: an ERROR event or a bare Status.
        ConnectionFailed: the connection broke; WatchStalled: it fell silent.
        DecodeError: see ``on_decode_error``.
        WatchLineTooLong: an event above the cap.
    """
    splitter = LineSplitter()
    pool = Pool()
    async with _ended(response.chunks()) as chunks:
        while True:
            try:
                async with asyncio.timeout(idle_seconds):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                raise WatchStalled(idle_seconds) from None
            if chunk is None:
                break
            for line in splitter.feed(chunk):
                try:
                    event = _parse_line(resource, line, pool)
                except DecodeError as error:
                    if on_decode_error is None:
                        raise
                    on_decode_error(error)
                    continue
                if event is not None:
                    yield event
    # A Status body of HTTP 200 needs no newline at its end; anything else unfinished is dropped.
    status = parse_status(splitter.rest)
    if status is not None:
        raise status.error()


@asynccontextmanager
async def _ended(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """End a generator here and not when it is collected; other iterators need no end."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def _parse_line(resource: Resource[T], line: bytes, pool: Pool) -> WatchEvent[T] | None:
    """One line as an event; None for a blank one and for types made up after this was written."""
    if not line or line.isspace():
        return None
    plain = _parse_plain(resource, line, pool)
    if plain is not None:
        return plain
    try:
        envelope = _envelope.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"not a watch event of {resource.group_resource}: {error}") from error
    if envelope.type in _OBJECT_EVENTS:
        parsed = Object.parse(resource, envelope.object, strict=True, pool=pool)
        if not parsed.meta.name:
            raise DecodeError(f"a watch event of {resource.group_resource} has no metadata.name")
    elif envelope.type == "BOOKMARK":
        parsed = Object.parse(resource, envelope.object)
    elif envelope.type == "ERROR":
        raise _error(envelope.object)
    elif envelope.kind == "Status":
        raise _error(line)
    elif envelope.type:
        return None
    else:
        raise DecodeError(f"a watch line of {resource.group_resource} has no type")
    return WatchEvent(cast("Any", envelope.type), parsed)


def _parse_plain(resource: Resource[T], line: bytes, pool: Pool) -> WatchEvent[T] | None:
    """An object's event as API servers write it, without reading the line twice; None for all else, even for
    what turns out to be wrong: the long way says why.
    """
    for type_, start in _PLAIN:
        if line.startswith(start) and line.endswith(b"}"):
            try:
                parsed = Object.parse(resource, line[len(start) : -1], strict=True, pool=pool)
            except DecodeError:
                return None
            return WatchEvent(type_, parsed) if parsed.meta.name else None
    return None


def _error(body: bytes | msgspec.Raw) -> ApiError:
    status = parse_status(body)
    if status is not None:
        return status.error()
    return error_from_status(
        500, "InternalError", f"watch ERROR event without a Status: {shortened(bytes(body))}"
    )
