"""The REST verbs that only read.

Contract:
    * Every method is one request (``list_all``: one per page). It raises :class:`ApiError` for an error response,
      :class:`ConnectionFailed` without a response, and :class:`DecodeError` for an invalid one.
    * After a 429 or 503 with a Retry-After of at most 5 s a read is repeated after that time, at most twice. Watches
      and followed logs are not repeated. (The transport repeats any request once after a 401.)
    * An empty namespace means all namespaces for a list or watch, and is an error for one object of a namespaced kind.
    * A name or namespace that would change the target of the request ("..", a slash) raises ValueError before
      anything is sent.

Invariant: a reader is immutable and has no state but its transport, so it can be shared.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from aimctl.kubetypes import Object, ObjectKey
from aimctl.runtime.kube.answers import ObjectList, error_from_answer, parse_list, parse_object
from aimctl.runtime.kube.errors import (
    ApiError,
    ConnectionFailed,
    DecodeError,
    Gone,
    ServerError,
    TooManyRequests,
)
from aimctl.runtime.kube.options import (
    Query,
    accept,
    check_path,
    collection_path,
    list_query,
    log_path,
    object_path,
    watch_query,
)
from aimctl.runtime.kube.transport import HttpRequest
from aimctl.runtime.kube.watch import WatchEvent, watch_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aimctl.kubetypes import Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.transport import HttpResponse, Transport

__all__ = ["OWN_KIND", "SAFE_METHODS", "Reader"]

T = TypeVar("T")

SAFE_METHODS = frozenset({"GET", "HEAD"})
OWN_KIND = frozenset({"", "status"})
"""Subresources whose response is the object itself; the response of others (scale, binding) is of another kind."""

_READ_REPEATS = 2
_LONGEST_REPEAT_SECONDS = 5.0
_ERROR_BODY_SECONDS = 30.0
"""Limit for the body of an error response."""


class Reader:
    """A read-only client of one API server.

    Every method raises a subclass of :class:`ApiError` for an error response, :class:`ConnectionFailed` without a
    response, and :class:`DecodeError` for an invalid one. After a 429 or 503 with a Retry-After of at most 5 s a read
    is repeated after that time, at most twice; watches and followed logs are not.

    Args:
        transport: shared between readers; its creator closes it.
        clock: for Retry-After.
        on_warning: receives each warning that the server sends with a response.
    """

    def __init__(
        self, transport: Transport, *, clock: Clock, on_warning: Callable[[str], None] | None = None
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._on_warning = on_warning

    @property
    def clock(self) -> Clock:
        """The clock that measures pauses before repeated requests."""
        return self._clock

    async def get(
        self,
        resource: Resource[T],
        name: str,
        namespace: str = "",
        *,
        subresource: str = "",
        metadata_only: bool = False,
    ) -> Object[T]:
        """The current state of one object.

        Args:
            resource: the kind.
            name: of the object.
            namespace: of the object; "" for a cluster-scoped kind.
            subresource: ``status``, ``scale`` and the like; "" for the object itself.
            metadata_only: return an object without a body; its ``view`` raises MetadataOnly.

        Raises:
            NotFound: the object does not exist.
            NotServed: any other 404; the object may exist.
            DecodeError: the response is not this object.
        """
        path = object_path(resource, name, namespace, subresource)
        body = await self._call(HttpRequest("GET", path, (), accept(metadata_only=metadata_only)))
        if metadata_only:
            resource = resource.metadata_only()
        if subresource in OWN_KIND:
            return parse_object(resource, body, name, namespace)
        return Object.parse(resource, body)

    async def list(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int | None = None,
        continue_token: str = "",
        resource_version: str | None = None,
        resource_version_match: str = "",
        metadata_only: bool = False,
        skip_unreadable: bool = False,
    ) -> ObjectList[T]:
        """One page, or all objects if ``limit`` is None.

        Args:
            resource: the kind.
            namespace: "" for all namespaces.
            label_selector: as in ``kubectl -l``; "" for all objects.
            field_selector: as in ``kubectl --field-selector``; "" for all objects.
            limit: largest number of objects of the page.
            continue_token: that of the previous page; "" for the first.
            resource_version: None for the latest state; "0" for any state that the server has cached.
            resource_version_match: ``Exact`` or ``NotOlderThan``; "" for the default of the server.
            metadata_only: return objects without bodies.
            skip_unreadable: return an item that cannot be decoded in :attr:`ObjectList.unreadable`, instead of raising
                DecodeError. A list of another kind or scope always raises.

        Raises:
            Gone: the token or version is too old.
        """
        query = list_query(
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            continue_token=continue_token,
            resource_version=resource_version,
            resource_version_match=resource_version_match,
        )
        headers = accept(metadata_only=metadata_only, many=True)
        request = HttpRequest("GET", collection_path(resource, namespace), query, headers)
        if metadata_only:
            resource = resource.metadata_only()
        page = await parse_list(resource, await self._call(request), skip_unreadable=skip_unreadable)
        if continue_token and page.continue_token == continue_token:
            raise DecodeError(
                f"list {resource.group_resource}: the response has the continue token of its request, so the list would"
                " never end"
            )
        return page

    async def list_all(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        page_size: int = 500,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[Object[T]]:
        """All objects, fetched page by page. The selectors are those of :meth:`list`.

        ``page_size`` is the number of objects of each request, 0 for all in one. If the token of a later page has
        expired, the rest is fetched in one list without paging. Objects that were yielded before are then yielded again
        only if they have changed.
        """
        given: dict[ObjectKey, str] = {}
        token, limit = "", page_size or None
        while True:
            try:
                page = await self.list(
                    resource,
                    namespace,
                    label_selector=label_selector,
                    field_selector=field_selector,
                    limit=limit,
                    continue_token=token,
                )
            except Gone:
                if not token:
                    raise
                token, limit = "", None
                continue
            for item in page.items:
                if given.get(item.key) != item.meta.resource_version:
                    yield item
                    given[item.key] = item.meta.resource_version
            token = page.continue_token
            if not token:
                return

    @asynccontextmanager
    async def watch(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        resource_version: str,
        timeout_seconds: int,
        idle_seconds: float,
        initial_idle_seconds: float | None = None,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        bookmarks: bool = True,
    ) -> AsyncIterator[AsyncIterator[WatchEvent[T]]]:
        """Events after ``resource_version``.

        With ``initial_idle_seconds`` it is a streaming list: all objects at ``resource_version`` or later as ADDED
        events, a bookmark with the annotation ``k8s.io/initial-events-end``, and then the events after that.

        Args:
            resource: the kind.
            namespace: "" for all.
            resource_version: start of the watch.
            timeout_seconds: after this time the server ends the stream cleanly.
            idle_seconds: after this time without a byte the stream counts as stalled.
            initial_idle_seconds: the same until the end of the initial events; None for no initial events.
            label_selector: as in a list.
            field_selector: as in a list.
            metadata_only: return only the metadata of objects.
            bookmarks: request a bookmark about once a minute. Without them a quiet stream has no bytes at all, so
                ``idle_seconds`` must exceed ``timeout_seconds``.

        Raises:
            ApiError: the server rejected the request, or sent an ERROR event (code 410: Gone).
            ConnectionFailed: the connection broke, or stalled (WatchStalled).
            InitialEventsIncomplete: the server does not offer streaming lists.
            DecodeError: an event cannot be decoded. What it reported is unknown, so list again.
            WatchLineTooLong: an event exceeds 16 MiB.
        """
        query = watch_query(
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout_seconds=timeout_seconds,
            initial_events=initial_idle_seconds is not None,
            bookmarks=bookmarks,
        )
        path = collection_path(resource, namespace)
        request = HttpRequest("GET", path, query, accept(metadata_only=metadata_only))
        if metadata_only:
            resource = resource.metadata_only()
        async with self._transport.send(request, stream=True) as response:
            await self._check(request, response)
            events = watch_events(
                resource,
                response,
                idle_seconds=idle_seconds,
                initial_idle_seconds=initial_idle_seconds,
            )
            try:
                async with aclosing(events):
                    yield events
            except ApiError as error:
                error.add_note(f"event of {request.method} {request.path}")
                raise

    async def logs(
        self,
        pod: str,
        namespace: str,
        *,
        container: str = "",
        tail_lines: int | None = None,
        limit_bytes: int | None = None,
        previous: bool = False,
    ) -> bytes:
        """The log of a container so far.

        Args:
            pod: its name.
            namespace: of the pod.
            container: "" for the only container of the pod.
            tail_lines: only so many lines from the end; None for all.
            limit_bytes: largest size of the response. Set it if the container is not trusted.
            previous: the log of the run before the last restart.

        Raises:
            NotFound: the pod does not exist.
            BadRequest: the container has not started, or the pod has several containers and none is named.
        """
        query = _log_query(container, tail_lines, limit_bytes, previous=previous, follow=False)
        return await self._call(HttpRequest("GET", log_path(pod, namespace), query, {"Accept": "*/*"}))

    @asynccontextmanager
    async def follow_logs(
        self, pod: str, namespace: str, *, container: str = "", tail_lines: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The log of a container as it is written, in chunks of any size, until the container ends.

        The arguments and errors are those of :meth:`logs`. Leaving the context closes the connection.
        """
        query = _log_query(container, tail_lines, None, previous=False, follow=True)
        request = HttpRequest("GET", log_path(pod, namespace), query, {"Accept": "*/*"})
        async with self._transport.send(request, stream=True) as response:
            await self._check(request, response)
            yield response.chunks()

    async def read(self, path: str, *, query: Query = (), accept: str = "application/json") -> bytes:
        """The response body of any path; for paths without a kind, such as ``/version`` and ``/openapi``.

        Args:
            path: begins with a slash; without a query.
            query: pairs of names and values.
            accept: content type of the response.
        """
        check_path(path)
        return await self._call(HttpRequest("GET", path, query, {"Accept": accept}))

    async def _call(self, request: HttpRequest) -> bytes:
        repeats = _READ_REPEATS if request.method in SAFE_METHODS else 0
        while True:
            try:
                async with self._transport.send(request) as response:
                    await self._check(request, response)
                    return await response.read()
            except (TooManyRequests, ServerError) as error:
                wait = error.retry_after
                if error.status not in (429, 503) or wait is None or wait > _LONGEST_REPEAT_SECONDS:
                    raise
                if not repeats:
                    raise
                repeats -= 1
            await self._clock.sleep(wait)

    async def _check(self, request: HttpRequest, response: HttpResponse) -> None:
        """Report warnings and raise for an error response."""
        if self._on_warning is not None:
            warning = response.headers.get("Warning")
            if warning:
                self._on_warning(warning)
        if not 200 <= response.status < 300:
            # A variable with the error would be a reference cycle: errors would wait for the garbage collector.
            raise await self._error(request, response)

    async def _error(self, request: HttpRequest, response: HttpResponse) -> ApiError:
        try:
            # The transport limits the bodies of calls, but not those of streams.
            async with asyncio.timeout(_ERROR_BODY_SECONDS):
                body = await response.read()
        except TimeoutError as late:
            where = f"{request.method} {request.path}: HTTP {response.status}"
            raise ConnectionFailed(
                f"{where}, whose body did not arrive within {_ERROR_BODY_SECONDS:g} s"
            ) from late
        error = error_from_answer(
            response.status, response.headers, body, clock=self._clock, path=request.path
        )
        error.add_note(f"response to {request.method} {request.path}")
        return error


def _log_query(
    container: str, tail_lines: int | None, limit_bytes: int | None, *, previous: bool, follow: bool
) -> Query:
    pairs = (
        ("container", container or None),
        ("tailLines", tail_lines),
        ("limitBytes", limit_bytes),
        ("previous", "true" if previous else None),
        ("follow", "true" if follow else None),
    )
    return tuple((name, str(value)) for name, value in pairs if value is not None)
