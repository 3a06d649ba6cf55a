"""The fault contract of a watch over real sockets."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest

from aimctl.kubetypes.builtin import PODS
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import (
    ApiError,
    Client,
    ConnectionFailed,
    ConnectionInfo,
    Gone,
    HttpTransport,
    ServerError,
    TooManyRequests,
    Unauthorized,
    WatchEvent,
    WatchLineTooLong,
    WatchStalled,
)
from support.scripted import ScriptedServer, event, failure, pod, status_body, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SOON = 10.0
PATH = "/api/v1/pods"
FIRST = event("ADDED", pod("a", rv=5))


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as running:
        yield running


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    async with HttpTransport(ConnectionInfo(url), clock=LoopClock()) as wire:
        yield Client(wire, clock=LoopClock())


async def watch(client: Client, seen: list[WatchEvent[Any]], idle_seconds: float = SOON) -> None:
    """Watch until it ends; ``seen`` has the events even if it fails."""
    async with (
        asyncio.timeout(SOON),
        client.watch(PODS, resource_version="1", timeout_seconds=300, idle_seconds=idle_seconds) as events,
    ):
        async for one in events:
            seen.append(one)


async def outcome(server: ScriptedServer, answer: Any, **options: Any) -> tuple[list[str], Exception | None]:
    """The versions received, and how the watch ended."""
    server.on("GET", PATH, answer)
    seen: list[WatchEvent[Any]] = []
    ended: Exception | None = None
    async with client(server.url) as reader:
        try:
            await watch(reader, seen, **options)
        except Exception as error:  # noqa: BLE001 - it is what the test looks at
            ended = error
    return [one.resource_version for one in seen], ended


async def test_a_clean_end_is_no_error(server: ScriptedServer) -> None:
    assert await outcome(server, stream(FIRST[:10], FIRST[10:])) == (["5"], None)


async def test_an_end_in_the_middle_of_a_line_drops_the_fragment(server: ScriptedServer) -> None:
    assert await outcome(server, stream(FIRST, FIRST[:-5])) == (["5"], None)


async def test_a_connection_that_breaks_in_the_middle_of_a_line_yields_the_complete_events(
    server: ScriptedServer,
) -> None:
    versions, ended = await outcome(server, stream(FIRST, FIRST[:-5], drop=True))
    assert versions == ["5"]
    assert isinstance(ended, ConnectionFailed)
    assert not isinstance(ended, WatchStalled)


async def test_a_response_that_ends_with_its_connection_is_read_completely() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + FIRST + FIRST[:20])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    raw = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with raw:
        seen: list[WatchEvent[Any]] = []
        async with client(f"http://127.0.0.1:{raw.sockets[0].getsockname()[1]}") as reader:
            await watch(reader, seen)
    assert len(seen) == 1


@pytest.mark.parametrize("megabytes", [3, 5])
async def test_a_large_event_is_read_like_any_other(server: ScriptedServer, megabytes: int) -> None:
    large = event("MODIFIED", pod("big", rv=6, data="x" * (megabytes * 1024 * 1024)))
    assert await outcome(server, stream(FIRST, large, FIRST)) == (["5", "6", "5"], None)


async def test_an_event_above_the_limit_ends_only_its_stream(
    server: ScriptedServer,
) -> None:
    server.on("GET", PATH, stream(FIRST, *[b"x" * 1024 * 1024] * 18, hold=True), stream(FIRST))
    async with client(server.url) as reader:
        seen: list[WatchEvent[Any]] = []
        with pytest.raises(WatchLineTooLong):
            await watch(reader, seen)
        assert len(seen) == 1
        await asyncio.wait_for(server.disconnects.wait(), SOON)
        await watch(reader, seen)
        assert len(seen) == 2


async def test_a_half_open_connection_is_reported_as_stalled_and_closed(server: ScriptedServer) -> None:
    versions, ended = await outcome(server, stream(FIRST, hold=True), idle_seconds=0.2)
    assert versions == ["5"]
    assert isinstance(ended, WatchStalled)
    await asyncio.wait_for(server.disconnects.wait(), SOON)


@pytest.mark.parametrize(
    "answer",
    [
        failure(410, "Expired", "too old resource version"),
        stream(event("ERROR", status_body(410, "Expired", "too old resource version"))),
        status_body(410, "Gone", "too old resource version"),
    ],
    ids=["http status", "error event", "200 with a status body"],
)
async def test_a_410_is_gone_in_each_of_its_three_forms(server: ScriptedServer, answer: Any) -> None:
    versions, ended = await outcome(server, answer)
    assert versions == []
    assert isinstance(ended, Gone)
    assert "too old" in str(ended)


@pytest.mark.parametrize(("code", "kind"), [(429, TooManyRequests), (503, ServerError)])
async def test_a_rejected_watch_has_its_retry_after(
    server: ScriptedServer, code: int, kind: type[ApiError]
) -> None:
    _, ended = await outcome(server, failure(code, headers={"Retry-After": "17"}))
    assert isinstance(ended, kind)
    assert ended.retry_after == 17
    assert len(server.seen) == 1


async def test_two_401s_end_the_watch(server: ScriptedServer) -> None:
    _, ended = await outcome(server, failure(401, "Unauthorized"))
    assert isinstance(ended, Unauthorized)
    assert len(server.seen) == 2


async def test_cancelling_a_watch_closes_its_socket(server: ScriptedServer) -> None:
    server.on("GET", PATH, stream(FIRST, hold=True))
    async with client(server.url) as reader:
        before = asyncio.all_tasks()
        seen: list[WatchEvent[Any]] = []
        task = asyncio.create_task(watch(reader, seen))
        await server.until(lambda: bool(seen))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.disconnects.wait(), SOON)
        gc.collect()
        await server.until(lambda: asyncio.all_tasks() <= before)


async def test_broken_watches_are_freed_without_the_garbage_collector(server: ScriptedServer) -> None:
    def left() -> list[str]:
        kinds = (ConnectionFailed, aiohttp.ClientError, aiohttp.StreamReader)
        return [type(one).__name__ for one in gc.get_objects() if isinstance(one, kinds)]

    server.on("GET", PATH, *[stream(FIRST, FIRST[:-5], drop=True)] * 4)
    async with client(server.url) as reader:
        gc.collect()
        before = left()
        gc.disable()
        try:
            for _ in range(4):
                with suppress(ConnectionFailed):
                    await watch(reader, [])
            await server.until(lambda: left() == before)
        finally:
            gc.enable()


async def test_a_slow_reader_loses_nothing(server: ScriptedServer) -> None:
    lines = [event("MODIFIED", pod("a", rv=rv, data="x" * 2000)) for rv in range(2000)]
    server.on("GET", PATH, stream(*[b"".join(lines[start : start + 50]) for start in range(0, 2000, 50)]))
    got = []
    async with (
        client(server.url) as reader,
        reader.watch(PODS, resource_version="1", timeout_seconds=300, idle_seconds=SOON) as events,
    ):
        async for one in events:
            got.append(int(one.resource_version))
            if len(got) % 500 == 0:
                await asyncio.sleep(0.05)
    assert got == list(range(2000))


async def test_a_status_body_in_chunks_is_gone(server: ScriptedServer) -> None:
    body = msgspec.json.encode(status_body(410, "Gone"))
    _, ended = await outcome(server, stream(body[:30], body[30:]))
    assert isinstance(ended, Gone)
