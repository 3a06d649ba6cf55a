"""Streaming lists: a watch with initial events in the place of a list, and lists in pages where it is not offered."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.devcluster import DevCluster
from aimctl.kubetypes import MetadataOnly
from aimctl.kubetypes.builtin import CONFIG_MAPS, SECRETS
from aimctl.runtime.cache import Cache, ReflectorOptions
from aimctl.runtime.cache.reflector.policy import Fallback, after_stream
from aimctl.runtime.kube import Client
from aimctl.runtime.kube.errors import (
    ConnectionFailed,
    DecodeError,
    WatchLineTooLong,
    error_from_status,
)
from aimctl.runtime.kube.watch import INITIAL_EVENTS_END, InitialEventsIncomplete
from aimctl.testing import virtual_clock, virtual_time
from support.cache_recorders import RecordingHandler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from aimctl.runtime.kube.transport import HttpRequest, HttpResponse, Transport

VERSION_136 = b'{"major": "1", "minor": "36+"}'


class Answer:
    """A response in parts: bytes, seconds of silence, and an exception at which the connection breaks."""

    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, status: int, *parts: bytes | float | Exception, then_silence: bool = False) -> None:
        self.status, self._parts, self._silent = status, parts, then_silence

    async def read(self) -> bytes:
        return b"".join([part async for part in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if isinstance(part, Exception):
                raise part
            if isinstance(part, float):
                await asyncio.sleep(part)
            elif part:
                yield part
        if self._silent:
            await asyncio.Event().wait()


class Front:
    """A transport in front of the embedded cluster. It claims version 1.36. It answers streaming lists and other watches
    itself if ``streaming`` or ``watching`` returns a response."""

    def __init__(self, inner: Transport, version: bytes = VERSION_136) -> None:
        self._inner = inner
        self.version = version
        self.version_seconds = 0.0
        self.requests: list[str] = []
        self.streaming: Callable[[], HttpResponse | None] | None = None
        self.watching: Callable[[], HttpResponse | None] | None = None

    @asynccontextmanager
    async def send(self, request: HttpRequest, **options: Any) -> AsyncIterator[HttpResponse]:
        query = dict(request.query)
        initial = "sendInitialEvents" in query
        kind = "stream" if initial else "watch" if "watch" in query else "get"
        self.requests.append(
            f"{kind} {request.path.rpartition('/')[2]} {query.get('resourceVersion', '')}".strip()
        )
        if request.path == "/version":
            await asyncio.sleep(self.version_seconds)
            yield Answer(200, self.version)
        elif (prepared := self._prepared(kind)) is not None:
            yield prepared
        else:
            async with self._inner.send(request, **options) as response:
                yield response

    def _prepared(self, kind: str) -> HttpResponse | None:
        answer = {"stream": self.streaming, "watch": self.watching}.get(kind)
        return None if answer is None else answer()

    async def aclose(self) -> None: ...


@asynccontextmanager
async def cached(
    front_of: Callable[[Transport], Front] = Front,
    objects: int = 3,
    declared: Mapping[str, Any] = MappingProxyType({}),
    **options: Any,
) -> AsyncIterator[tuple[Front, Cache, Client, RecordingHandler]]:
    """A running cache of the ConfigMaps in the namespace default, behind a front."""
    async with DevCluster(clock=virtual_clock(), crds=[], controllers=False) as cluster:
        direct = cluster.client()
        for number in range(objects):
            await direct.create(CONFIG_MAPS, {"metadata": {"name": f"c{number}"}}, "default")
        front = front_of(cluster.transport())
        cache = Cache(
            Client(front, clock=cluster.clock),
            clock=cluster.clock,
            rng=random.Random(1),
            options=ReflectorOptions(**options),
        )
        handler = RecordingHandler()
        cache.declare(CONFIG_MAPS, namespaces=["default"], **declared).add_handler(handler)
        task = asyncio.create_task(cache.run())
        try:
            yield front, cache, direct, handler
        finally:
            task.cancel()
            await asyncio.wait([task])


def names(cache: Cache) -> list[str]:
    return sorted(obj.meta.name for obj in cache.list(CONFIG_MAPS))


@virtual_time
async def test_a_server_that_offers_them_is_listed_and_watched_in_one_request() -> None:
    """Checklist 57: the stream of the list continues as the watch."""
    async with cached() as (front, cache, direct, handler):
        await cache.wait_synced(5)
        assert names(cache) == ["c0", "c1", "c2"]
        assert all(event.endswith("!") for event in handler.events)
        assert len(handler.events) == 3
        await direct.create(CONFIG_MAPS, {"metadata": {"name": "d"}}, "default")
        await direct.delete(CONFIG_MAPS, "c0", "default")
        await asyncio.sleep(1)
        assert names(cache) == ["c1", "c2", "d"]
        assert front.requests == ["get version", "stream configmaps"]


@virtual_time
async def test_the_next_watch_is_an_ordinary_one_from_the_last_version() -> None:
    """Checklist 59: the end of the stream after the list is that of a watch."""
    async with cached(watch_timeout_seconds=100.0) as (front, cache, direct, _):
        await cache.wait_synced(5)
        await asyncio.sleep(300)
        await direct.create(CONFIG_MAPS, {"metadata": {"name": "d"}}, "default")
        await asyncio.sleep(1)
        assert names(cache) == ["c0", "c1", "c2", "d"]
        later = {request.rpartition(" ")[0] for request in front.requests[2:]}
        assert later == {"watch configmaps"}


@virtual_time
async def test_the_version_is_asked_once_for_all_kinds() -> None:
    async with cached() as (front, cache, _, _):
        await cache.wait_synced(5)
        cache.declare(SECRETS)
        await cache.wait_synced(5)
        assert front.requests.count("get version") == 1
        assert "stream secrets" in front.requests


@pytest.mark.parametrize(
    "version",
    [
        b'{"major": "1", "minor": "33"}',
        b"{}",
        b"not JSON",
        b'{"major": 1}',
        b'{"major":"x","minor":"y"}',
        b"\xff",
    ],
)
def test_an_older_or_unknown_server_is_listed_in_pages(version: bytes) -> None:
    @virtual_time
    async def scenario() -> None:
        async with cached(lambda inner: Front(inner, version)) as (front, cache, _, _):
            await cache.wait_synced(5)
            assert names(cache) == ["c0", "c1", "c2"]
            assert front.requests[1] == "get configmaps"

    scenario()


@pytest.mark.parametrize("options", [{"stream_lists": False}, {"page_size": 2}])
def test_they_can_be_switched_off(options: dict[str, Any]) -> None:
    @virtual_time
    async def scenario() -> None:
        async with cached(**options) as (front, cache, _, _):
            await cache.wait_synced(5)
            assert not any(request.startswith(("stream", "get version")) for request in front.requests)

    scenario()


@virtual_time
async def test_a_slow_version_delays_the_first_list_by_five_seconds_at_most() -> None:
    async with cached() as (front, cache, _, _):
        front.version_seconds = 36.0
        await cache.wait_synced(5.5)
        assert names(cache) == ["c0", "c1", "c2"]
        assert front.requests[:2] == ["get version", "get configmaps"]


def failure(code: int, reason: str) -> bytes:
    return json.dumps({"kind": "Status", "status": "Failure", "code": code, "reason": reason}).encode()


def event(type_: str, name: str = "", version: str = "1", **meta: Any) -> bytes:
    metadata = {"resourceVersion": version, **meta}
    if name:
        metadata |= {"name": name, "namespace": "default", "uid": name}
    obj = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata}
    return json.dumps({"type": type_, "object": obj}).encode() + b"\n"


GONE = json.dumps({"type": "ERROR", "object": json.loads(failure(410, "Expired"))}).encode() + b"\n"
END = event("BOOKMARK", version="8", annotations={INITIAL_EVENTS_END: "true"})


@pytest.mark.parametrize(
    "answer",
    [
        lambda: Answer(422, failure(422, "Invalid")),
        lambda: Answer(400, b"sendInitialEvents?"),
        lambda: Answer(403, failure(403, "Forbidden")),
        lambda: Answer(200, b"", then_silence=True),
        lambda: Answer(200, event("ADDED", "x"), then_silence=True),
        lambda: Answer(200, event("ADDED", "x") + event("BOOKMARK"), then_silence=True),
        lambda: Answer(200, event("ADDED", "x")),
        lambda: Answer(200, b"nonsense\n", then_silence=True),
        lambda: Answer(200, b'{"type":"ADDED","object":null}\n', then_silence=True),
    ],
    ids=["422", "400", "403", "silent", "no end", "plain bookmark", "closed", "no JSON", "unreadable"],
)
def test_a_streaming_list_that_fails_is_replaced_by_pages(answer: Callable[[], HttpResponse]) -> None:
    """Checklist 58: the same attempt lists in pages. 59: what was received before is not used. 56: another bookmark."""

    @virtual_time
    async def scenario() -> None:
        async with cached() as (front, cache, direct, handler):
            front.streaming = answer
            await cache.wait_synced(15)
            assert names(cache) == ["c0", "c1", "c2"]
            assert len(handler.events) == 3
            assert front.requests[1:3] == ["stream configmaps", "get configmaps"]
            await direct.create(CONFIG_MAPS, {"metadata": {"name": "d"}}, "default")
            await asyncio.sleep(1)
            assert "d" in names(cache)

    scenario()


@virtual_time
async def test_an_overloaded_server_is_not_asked_for_pages_at_once() -> None:
    """Checklist 58: after a 429 the streaming list is tried again."""
    async with cached() as (front, cache, _, _):
        front.streaming = lambda: Answer(429, failure(429, "TooManyRequests"))
        await asyncio.sleep(0.5)
        assert front.requests == ["get version", "stream configmaps"]
        front.streaming = None
        await cache.wait_synced(10)
        assert names(cache) == ["c0", "c1", "c2"]
        assert front.requests == ["get version", "stream configmaps", "stream configmaps"]


@virtual_time
async def test_a_list_in_pages_does_not_end_streaming_for_later_lists() -> None:
    """Checklist 58: an event that cannot be read leads to pages once; the next list is a stream again."""
    unreadable = event("ADDED", "x") + b'{"type":"ADDED","object":null}\n'
    async with cached() as (front, cache, _, _):
        front.streaming = lambda: Answer(200, unreadable)
        front.watching = lambda: Answer(200, 1.0, GONE)
        await cache.wait_synced(0.9)
        front.streaming = front.watching = None
        await asyncio.sleep(10)
        lists = [request.partition(" ")[0] for request in front.requests[1:] if request[:5] != "watch"]
        assert lists == ["stream", "get", "stream"]
        assert names(cache) == ["c0", "c1", "c2"]


@virtual_time
async def test_a_stream_is_a_list_only_at_the_bookmark_that_marks_its_end() -> None:
    """Checklist 56: the objects are neither stored nor delivered before it."""
    parts = (event("ADDED", "a", "1"), 8.0, event("ADDED", "b", "2"), 8.0, END)
    async with cached() as (front, cache, _, handler):
        front.streaming = lambda: Answer(200, *parts, then_silence=True)
        await asyncio.sleep(15.9)
        assert not cache.synced
        assert (names(cache), handler.events) == ([], [])
        await asyncio.sleep(0.2)
        assert cache.synced
        assert (names(cache), handler.events) == (["a", "b"], ["+a@1!", "+b@2!"])
        assert front.requests == ["get version", "stream configmaps"]


@virtual_time
async def test_a_stream_that_breaks_before_its_end_leaves_nothing_behind() -> None:
    """Checklist 59: the next attempt begins with nothing, and the version of the first list."""
    async with cached() as (front, cache, _, handler):
        front.streaming = lambda: Answer(200, event("ADDED", "x", "9"), ConnectionFailed("reset"))
        await asyncio.sleep(0.5)
        front.streaming = None
        assert (cache.synced, names(cache)) == (False, [])
        await cache.wait_synced(10)
        assert names(cache) == ["c0", "c1", "c2"]
        assert len(handler.events) == 3
        assert front.requests[1:] == ["stream configmaps", "stream configmaps"]


@virtual_time
async def test_a_version_that_is_too_old_for_a_streaming_list_is_replaced_by_the_newest() -> None:
    """Checklist 60: at once, and the known version is used again afterwards."""
    async with cached() as (front, cache, _, _):
        answers = [
            Answer(200, event("ADDED", "a", "1"), END, 5.0, GONE),
            Answer(410, failure(410, "Expired")),
        ]
        front.streaming = lambda: answers.pop(0) if answers else None
        await asyncio.sleep(10)
        streams = [request for request in front.requests if request.startswith("stream")]
        assert streams == ["stream configmaps", "stream configmaps 8", "stream configmaps"]
        assert names(cache) == ["c0", "c1", "c2"]


@virtual_time
async def test_a_streaming_list_of_a_metadata_cache_has_no_bodies() -> None:
    """Checklist 53: a projection takes the place of a transform function; it applies to streams as well."""
    async with cached(declared={"projection": "metadata"}) as (front, cache, _, _):
        await cache.wait_synced(5)
        assert front.requests == ["get version", "stream configmaps", "get v1"]
        for held in cache.list(CONFIG_MAPS):
            assert sorted(json.loads(held.raw)) == ["apiVersion", "kind", "metadata"]
            with pytest.raises(MetadataOnly):
                _ = held.view


@virtual_time
async def test_changes_during_the_initial_events_are_part_of_the_list() -> None:
    """Checklist 57: the store is replaced once, by the state at the end, and the stream continues."""
    lines = [
        event("ADDED", "a", "1"),
        event("ADDED", "b", "2"),
        event("MODIFIED", "a", "5"),
        event("DELETED", "b", "6"),
        event("ADDED", "c", "7"),
        END,
        30.0,
        event("MODIFIED", "a", "9"),
    ]
    async with cached() as (front, cache, _, handler):
        front.streaming = lambda: Answer(200, *lines, then_silence=True)
        await cache.wait_synced(5)
        assert names(cache) == ["a", "c"]
        assert sorted(handler.events) == ["+a@5!", "+c@7!"]
        assert cache.informer(CONFIG_MAPS).store.resource_version == "8"
        await asyncio.sleep(31)
        assert handler.events[2:] == ["a@5>9"]
        assert front.requests == ["get version", "stream configmaps"]


@virtual_time
async def test_a_relist_is_a_stream_from_the_known_version_and_reports_deletions() -> None:
    first = [
        *(event("ADDED", name, "1") for name in ("c0", "zombie")),
        event("BOOKMARK", version="1", annotations={INITIAL_EVENTS_END: "true"}),
        GONE,
    ]
    async with cached() as (front, cache, _, _):
        front.streaming = lambda: Answer(200, *first)
        await cache.wait_synced(5)
        front.streaming = None
        await asyncio.sleep(10)
        assert names(cache) == ["c0", "c1", "c2"]
        assert [request for request in front.requests if request.startswith("stream")] == [
            "stream configmaps",
            "stream configmaps 1",
        ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (error_from_status(422, "Invalid"), Fallback(again=False)),
        (error_from_status(406), Fallback(again=False)),
        (InitialEventsIncomplete("no end"), Fallback(again=False)),
        (error_from_status(403, "Forbidden"), Fallback(again=True)),
        (DecodeError("no"), Fallback(again=True)),
        (WatchLineTooLong(1), Fallback(again=True)),
        (
            error_from_status(504, "Timeout", "Too large resource version: 5, current: 4"),
            Fallback(again=True),
        ),
        (error_from_status(410, "Expired"), None),
        (error_from_status(429), None),
        (error_from_status(503), None),
        (error_from_status(404), None),
        (ConnectionFailed("reset"), None),
    ],
)
def test_after_a_streaming_list_failed(error: Any, expected: Fallback | None) -> None:
    """Checklist 58: pages at once, with or without another streaming list later; None: back-off."""
    assert after_stream(error) == expected
