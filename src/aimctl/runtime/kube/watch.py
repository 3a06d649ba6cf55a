"""Decoding of a watch stream: bytes to events.

Contract:
    * Events are yielded in the server's order. A clean end of the stream ends the iteration.
    * Bytes after the last newline belong to an event that did not arrive completely; they are dropped.
    * An ERROR event is raised as its :class:`ApiError` (code 410: :class:`Gone`). So is a Status body without an event
      around it: some servers report 410 in this way with HTTP 200.
    * No byte for ``idle_seconds`` raises :class:`WatchStalled`. Bookmarks count, so a healthy watch is never idle for
      long.
    * A line above the limit raises :class:`WatchLineTooLong`.

Reconnecting and tracking the resourceVersion is the task of the reflector.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, cast, final

import msgspec

from aimctl.kubetypes import Object, Pool
from aimctl.kubetypes.errors import JSON_ERRORS
from aimctl.runtime.kube.answers import check_scope, parse_status, shortened
from aimctl.runtime.kube.errors import ApiError, ConnectionFailed, DecodeError, KubeError, error_from_status
from aimctl.runtime.kube.splitter import LineSplitter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aimctl.kubetypes import Resource
    from aimctl.runtime.kube.transport import HttpResponse

__all__ = ["INITIAL_EVENTS_END", "InitialEventsIncomplete", "WatchEvent", "WatchStalled", "watch_events"]

T = TypeVar("T")
EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
_OBJECT_EVENTS: tuple[Literal["MODIFIED", "ADDED", "DELETED"], ...] = ("MODIFIED", "ADDED", "DELETED")
_PLAIN = tuple((type_, b'{"type":"%b","object":' % type_.encode()) for type_ in _OBJECT_EVENTS)


INITIAL_EVENTS_END = "k8s.io/initial-events-end"
"""Annotation of the bookmark that ends the initial events of a streaming list."""


class InitialEventsIncomplete(KubeError):  # noqa: N818 - named like the other outcomes of a watch
    """A streaming list was requested, but the stream has no bookmark at the end of the initial events."""

    remedy: ClassVar[str] = "list in pages: the server does not offer streaming lists"


class WatchStalled(ConnectionFailed):
    """The stream delivered no byte for ``idle_seconds``: the connection is treated as dead."""

    def __init__(self, idle_seconds: float) -> None:
        super().__init__(f"the watch delivered no byte for {idle_seconds:g} s")
        self.idle_seconds = idle_seconds


@final
@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """One event.

    Attributes:
        type: ``ADDED``, ``MODIFIED``, ``DELETED`` or ``BOOKMARK``.
        object: the object after the change, or before its deletion. That of a BOOKMARK has only a resourceVersion and
            possibly annotations.
    """

    type: EventType
    object: Object[T]

    @property
    def resource_version(self) -> str:
        """Where a watch resumes after this event."""
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
    initial_idle_seconds: float | None = None,
) -> AsyncGenerator[WatchEvent[T], None]:
    """The events of a response to a watch request, for one consumer.

    Args:
        resource: the kind watched.
        response: a 2xx response.
        idle_seconds: longest wait for the next byte.
        initial_idle_seconds: the same until the end of the initial events; None if none were requested.

    Raises:
        ApiError: an ERROR event or a bare Status.
        InitialEventsIncomplete: the initial events have no end.
        ConnectionFailed: the connection broke; its subclass WatchStalled: no byte for ``idle_seconds``.
        DecodeError: an event is not an object of the kind. Its effect is unknown, so the stream cannot continue.
        WatchLineTooLong: an event exceeds the limit.
    """
    splitter = LineSplitter()
    pool = Pool()
    initial = initial_idle_seconds is not None
    limit = idle_seconds if initial_idle_seconds is None else initial_idle_seconds
    async with _ended(response.chunks()) as chunks:
        while True:
            try:
                async with asyncio.timeout(limit):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                if initial:
                    raise InitialEventsIncomplete(
                        f"no byte for {limit:g} s, and no end of the list"
                    ) from None
                raise WatchStalled(limit) from None
            if chunk is None:
                break
            for line in splitter.feed(chunk):
                event = _parse_line(resource, line, pool)
                if event is None:
                    continue
                if initial and event.type == "BOOKMARK":
                    if INITIAL_EVENTS_END not in event.object.meta.annotations:
                        raise InitialEventsIncomplete("a bookmark came before the end of the list")
                    initial, limit = False, idle_seconds
                yield event
    # A Status body with HTTP 200 need not end with a newline; any other incomplete line is dropped.
    status = parse_status(splitter.rest)
    if status is not None:
        raise status.error()


@asynccontextmanager
async def _ended(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Close a generator on exit instead of at garbage collection; other iterators need no closing."""
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


def _parse_line(resource: Resource[T], line: bytes, pool: Pool) -> WatchEvent[T] | None:
    """One line as an event; None for a blank line and for unknown event types."""
    if not line or line.isspace():
        return None
    plain = _parse_plain(resource, line, pool)
    if plain is not None:
        return plain
    try:
        envelope = _envelope.decode(line)
    except JSON_ERRORS as error:
        raise DecodeError(f"not a watch event of {resource.group_resource}: {error}") from error
    if envelope.type in _OBJECT_EVENTS:
        parsed = Object.parse(resource, envelope.object, strict=True, pool=pool)
        if not parsed.meta.name:
            raise DecodeError(f"a watch event of {resource.group_resource} has no metadata.name")
        check_scope(resource, (parsed,))
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
    """Parse an event in the form that API servers write, without decoding the line twice.

    None for all other lines, and for invalid ones: the general path then reports the reason.
    """
    for type_, start in _PLAIN:
        if line.startswith(start) and line.endswith(b"}"):
            try:
                parsed = Object.parse(resource, line[len(start) : -1], strict=True, pool=pool)
            except DecodeError:
                return None
            usable = parsed.meta.name and bool(parsed.meta.namespace) is resource.namespaced
            return WatchEvent(type_, parsed) if usable else None
    return None


def _error(body: bytes | msgspec.Raw) -> ApiError:
    status = parse_status(body)
    if status is not None:
        return status.error()
    return error_from_status(
        500, "InternalError", f"watch ERROR event without a Status: {shortened(bytes(body))}"
    )
