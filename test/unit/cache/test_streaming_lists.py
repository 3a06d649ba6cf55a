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
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, status: int, body: bytes, *, then_silence: bool = False) -> None:
        self.status, self._body, self._silent = status, body, then_silence

    async def read(self) -> bytes:
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._body:
            yield self._body
        if self._silent:
            await asyncio.Event().wait()


class Front:
    """A transport in front of the embedded cluster. It claims version 1.36, and answers streaming lists if told to."""

    def __init__(self, inner: Transport, version: bytes = VERSION_136) -> None:
        self._inner = inner
        self.version = version
        self.version_seconds = 0.0
        self.requests: list[str] = []
        self.streaming: Callable[[], HttpResponse] | None = None

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
        elif initial and self.streaming is not None:
            yield self.streaming()
        else:
            async with self._inner.send(request, **options) as response:
                yield response

    async def aclose(self) -> None: ...


@asynccontextmanager
async def cached(
    front_of: Callable[[Transport], Front] = Front, objects: int = 3, **options: Any
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
        cache.declare(CONFIG_MAPS, namespaces=["default"]).add_handler(handler)
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
    async with cached() as (front, cache, direct, handler):
        await cache.wait_synced(5)
        assert names(cache) == ["c0", "c1", "c2"]
        assert all(event.endswith("!") for event in handler.events)
        assert len(handler.events) == 3
        await direct.create(CONFIG_MAPS, {"metadata": {"name": "d"}}, "default")
        await direct.delete(CONFIG_MAPS, "c0", "default")
        await asyncio.sleep(1)
        assert names(cache) == ["c1", "c2", "d"]
        assert front.requests == ["get version", "stream configmaps 0"]


@virtual_time
async def test_the_next_watch_is_an_ordinary_one_from_the_last_version() -> None:
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
        assert "stream secrets 0" in front.requests


@pytest.mark.parametrize(
    "version",
    [b'{"major": "1", "minor": "33"}', b"{}", b"not JSON", b'{"major": 1}', b'{"major":"x","minor":"y"}'],
)
def test_an_older_or_unknown_server_is_listed_in_pages(version: bytes) -> None:
    @virtual_time
    async def scenario() -> None:
        async with cached(lambda inner: Front(inner, version)) as (front, cache, _, _):
            await cache.wait_synced(5)
            assert names(cache) == ["c0", "c1", "c2"]
            assert front.requests[1] == "get configmaps 0"

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
        assert front.requests[:2] == ["get version", "get configmaps 0"]


def failure(code: int, reason: str) -> bytes:
    return json.dumps({"kind": "Status", "status": "Failure", "code": code, "reason": reason}).encode()


def event(type_: str, name: str = "", version: str = "1", **meta: Any) -> bytes:
    metadata = {"resourceVersion": version, **meta}
    if name:
        metadata |= {"name": name, "namespace": "default", "uid": name}
    obj = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata}
    return json.dumps({"type": type_, "object": obj}).encode() + b"\n"


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
    @virtual_time
    async def scenario() -> None:
        async with cached() as (front, cache, direct, handler):
            front.streaming = answer
            await cache.wait_synced(15)
            assert names(cache) == ["c0", "c1", "c2"]
            assert len(handler.events) == 3
            assert front.requests[1:3] == ["stream configmaps 0", "get configmaps 0"]
            await direct.create(CONFIG_MAPS, {"metadata": {"name": "d"}}, "default")
            await asyncio.sleep(1)
            assert "d" in names(cache)

    scenario()


@virtual_time
async def test_an_overloaded_server_is_not_asked_for_pages_at_once() -> None:
    async with cached() as (front, cache, _, _):
        front.streaming = lambda: Answer(429, failure(429, "TooManyRequests"))
        await asyncio.sleep(0.5)
        assert front.requests == ["get version", "stream configmaps 0"]
        front.streaming = None
        await cache.wait_synced(10)
        assert names(cache) == ["c0", "c1", "c2"]


@virtual_time
async def test_changes_during_the_initial_events_are_part_of_the_list() -> None:
    lines = [
        event("ADDED", "a", "1"),
        event("ADDED", "b", "2"),
        event("MODIFIED", "a", "5"),
        event("DELETED", "b", "6"),
        event("ADDED", "c", "7"),
        event("BOOKMARK", version="8", annotations={INITIAL_EVENTS_END: "true"}),
    ]
    async with cached() as (front, cache, _, handler):
        front.streaming = lambda: Answer(200, b"".join(lines), then_silence=True)
        await cache.wait_synced(5)
        assert names(cache) == ["a", "c"]
        assert sorted(handler.events) == ["+a@5!", "+c@7!"]
        assert cache.informer(CONFIG_MAPS).store.resource_version == "8"


@virtual_time
async def test_a_relist_is_a_stream_from_the_known_version_and_reports_deletions() -> None:
    gone = json.dumps({"type": "ERROR", "object": json.loads(failure(410, "Expired"))}).encode() + b"\n"
    first = [
        *(event("ADDED", name, "1") for name in ("c0", "zombie")),
        event("BOOKMARK", version="1", annotations={INITIAL_EVENTS_END: "true"}),
        gone,
    ]
    async with cached() as (front, cache, _, _):
        front.streaming = lambda: Answer(200, b"".join(first))
        await cache.wait_synced(5)
        front.streaming = None
        await asyncio.sleep(10)
        assert names(cache) == ["c0", "c1", "c2"]
        assert [request for request in front.requests if request.startswith("stream")] == [
            "stream configmaps 0",
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
    assert after_stream(error) == expected
