"""The complete state of a scope: as a streaming list where the server offers them, otherwise page by page.

A streaming list (KEP-3157) is a watch that begins with an ADDED event for every object, and a bookmark with the
annotation ``k8s.io/initial-events-end`` after them. Neither side holds the whole list as one document, and the watch
continues on the same connection. client-go uses it by default.

Contract:
    * Both ways return the objects and the resourceVersion from which a watch continues.
    * Streaming lists are requested from API servers since 1.34, which have them by default. One that rejects or ignores
      the request nevertheless is asked for pages from then on. Events that cannot be read lead to pages once, which
      show the item that is the reason and keep the others.
    * A Resource whose kind or scope is not that of the server is rejected: by the first list, or by the first event if
      the list is empty. A list of metadata does not show the kind, so discovery is asked once.
    * All other errors (410, 429, 5xx, a broken connection) are raised, so that the back-off applies to both ways.
    * The stream of a :class:`Listing` is open. Its receiver closes it.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar, final

import structlog

from aimctl.runtime.cache.reflector.policy import after_stream, list_limit
from aimctl.runtime.kube.discovery import difference, server_version
from aimctl.runtime.kube.errors import DecodeError, Gone, KubeError
from aimctl.runtime.kube.watch import INITIAL_EVENTS_END

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aimctl.kubetypes import Object, ObjectKey, Resource
    from aimctl.runtime.cache.reflector.types import ReflectorOptions, Scope
    from aimctl.runtime.kube.answers import ObjectList, UnreadableItem
    from aimctl.runtime.kube.reader import Reader
    from aimctl.runtime.kube.watch import WatchEvent

__all__ = ["Lister", "Listing", "OpenStream", "StreamingSupport"]

T = TypeVar("T")

_DEFAULT_PAGE = 500
_STREAMS_SINCE = (1, 34)
"""Earlier servers have the feature disabled, or not at all. Those before 1.27 ignore the parameter."""

_VERSION_SECONDS = 5.0
"""How long a slow response about the version, or about the kind, may delay the first list."""


@final
class StreamingSupport:
    """Whether a server offers streaming lists, by its version. It is asked once, and shared by all informers.

    Args:
        reader: the client.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = asyncio.Lock()
        self._known: bool | None = None

    async def offered(self) -> bool:
        """False as well if the version cannot be read within 5 s; it is then read again for the next list."""
        async with self._lock:
            if self._known is None:
                try:
                    async with asyncio.timeout(_VERSION_SECONDS):
                        version = await server_version(self._reader)
                except (KubeError, TimeoutError):
                    return False
                self._known = version.numbers >= _STREAMS_SINCE
            return self._known


@final
class OpenStream(Generic[T]):
    """A watch that was opened before. Entering returns its events, leaving closes it.

    Attributes:
        timeout_seconds: for how long it was requested.
    """

    def __init__(
        self, events: AsyncIterator[WatchEvent[T]], stack: AsyncExitStack, timeout_seconds: int
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self._events = events
        self._stack = stack

    async def __aenter__(self) -> AsyncIterator[WatchEvent[T]]:
        return self._events

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


@final
@dataclass(slots=True)
class Listing(Generic[T]):
    """A complete state.

    Attributes:
        objects: all objects that can be read.
        version: from which a watch continues.
        unreadable: the items that cannot be read.
        stream: the open watch that continues, after a streaming list.
    """

    objects: list[Object[T]]
    version: str
    unreadable: tuple[UnreadableItem, ...] = field(default=())
    stream: OpenStream[T] | None = None


@final
class Lister(Generic[T]):
    """Lists one scope.

    Args:
        reader: the client.
        resource: the kind.
        scope: the part of the kind.
        options: page size, and whether streaming lists are used.
        streaming: shows whether the server offers streaming lists; None for pages.
    """

    def __init__(
        self,
        reader: Reader,
        resource: Resource[T],
        scope: Scope,
        options: ReflectorOptions,
        *,
        streaming: StreamingSupport | None,
    ) -> None:
        self._reader = reader
        self._resource = resource
        self._scope = scope
        self._options = options
        wanted = options.stream_lists and options.page_size is None
        self._streaming = streaming if wanted else None
        self._checked = False
        """Whether discovery was asked about kind and scope of the Resource."""
        self._log = structlog.get_logger(__name__).bind(resource=resource.group_resource)

    async def fetch(self, requested: str, *, watch_seconds: Callable[[], int]) -> Listing[T]:
        """The state at resourceVersion ``requested`` or later.

        Args:
            requested: "" for the newest state.
            watch_seconds: returns the timeout of the watch that a streaming list becomes.

        Raises:
            KubeError: it cannot be listed.
        """
        listing = await self._fetch(requested, watch_seconds)
        if self._scope.metadata_only and not self._checked:
            try:
                await self._check_resource()
            except BaseException:
                if listing.stream is not None:
                    await listing.stream.__aexit__()
                raise
            self._checked = True
        return listing

    async def _check_resource(self) -> None:
        """Ask discovery about kind and scope: the kind of a list of metadata is not that of its objects.

        Raises:
            DecodeError: the Resource differs from the server.
        """
        try:
            async with asyncio.timeout(_VERSION_SECONDS):
                problem = await difference(self._reader, self._resource)
        except (KubeError, TimeoutError) as error:
            self._log.debug("no discovery, kind and scope are not checked", error=str(error) or "timed out")
            return
        if problem:
            raise DecodeError(f"list {self._resource.group_resource}: {problem}")

    async def _fetch(self, requested: str, watch_seconds: Callable[[], int]) -> Listing[T]:
        if self._streaming is not None and await self._streaming.offered():
            try:
                return await self._streamed(requested, watch_seconds())
            except KubeError as error:
                decision = after_stream(error)
                if decision is None:
                    raise
                if not decision.again:
                    self._streaming = None
                self._log.debug("no streaming list, listing in pages", error=str(error), again=decision.again)
        return await self._in_pages(requested)

    async def page(self, version: str | None, limit: int | None, token: str = "") -> ObjectList[T]:
        """One page."""
        return await self._reader.list(
            self._resource,
            self._scope.namespace,
            label_selector=self._scope.label_selector,
            field_selector=self._scope.field_selector,
            limit=limit,
            continue_token=token,
            resource_version=version,
            metadata_only=self._scope.metadata_only,
            skip_unreadable=True,
        )

    async def _in_pages(self, requested: str) -> Listing[T]:
        limit = list_limit(requested, page_size=self._options.page_size, default=_DEFAULT_PAGE)
        page = await self.page(requested, limit)
        objects, unreadable = list(page.items), page.unreadable
        while page.continue_token:
            try:
                page = await self.page(None, limit, page.continue_token)
            except Gone:
                if limit is None:
                    raise
                # The pages took longer than the server keeps its history: list again, without paging.
                limit = None
                page = await self.page(requested, None)
                objects.clear()
                unreadable = ()
            objects += page.items
            unreadable += page.unreadable
        if not page.resource_version:
            raise DecodeError(f"a list of {self._resource.group_resource} has no metadata.resourceVersion")
        return Listing(objects, page.resource_version, unreadable)

    async def _streamed(self, requested: str, watch_seconds: int) -> Listing[T]:
        async with AsyncExitStack() as stack:
            events = await stack.enter_async_context(
                self._reader.watch(
                    self._resource,
                    self._scope.namespace,
                    resource_version=requested,
                    timeout_seconds=watch_seconds,
                    idle_seconds=self._options.idle_seconds,
                    initial_idle_seconds=self._options.stream_idle_seconds,
                    label_selector=self._scope.label_selector,
                    field_selector=self._scope.field_selector,
                    metadata_only=self._scope.metadata_only,
                )
            )
            objects, version = await self._until_end(events)
            return Listing(objects, version, stream=OpenStream(events, stack.pop_all(), watch_seconds))
        raise AssertionError

    async def _until_end(self, events: AsyncIterator[WatchEvent[T]]) -> tuple[list[Object[T]], str]:
        """The objects before the bookmark that marks the end, and its version."""
        objects: list[Object[T]] = []
        # Objects may change while they are sent; only then are they kept by key.
        changed: dict[ObjectKey, Object[T] | None] = {}
        async for event in events:
            if event.type == "ADDED" and not changed:
                objects.append(event.object)
            elif event.type != "BOOKMARK":
                changed[event.object.key] = None if event.type == "DELETED" else event.object
            elif INITIAL_EVENTS_END in event.object.meta.annotations:
                if changed:
                    objects = [obj for obj in objects if obj.key not in changed]
                    objects += [obj for obj in changed.values() if obj is not None]
                return objects, event.resource_version
        raise DecodeError(f"the streaming list of {self._resource.group_resource} ended early")
