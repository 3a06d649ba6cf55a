from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from aimctl.kubetypes.builtin import PODS
from aimctl.runtime.kube import (
    ApiError,
    Client,
    ConnectionFailed,
    DecodeError,
    Gone,
    ServerError,
    TooManyRequests,
    WatchEvent,
    WatchLineTooLong,
    WatchStalled,
)
from aimctl.runtime.kube.watch import watch_events
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.scripted import Answer, ScriptedTransport, event, failure, pod, status_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BOOKMARK = event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "99"}})


class Response:
    """A 200 response whose chunks arrive at given virtual times."""

    status = 200
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed

    def __init__(self, *chunks: bytes | float | Exception) -> None:
        self._chunks = chunks
        self.ended = False

    async def read(self) -> bytes:
        raise AssertionError("a stream is not read whole")

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            for chunk in self._chunks:
                if isinstance(chunk, Exception):
                    raise chunk
                if isinstance(chunk, float):
                    await asyncio.sleep(chunk)
                else:
                    yield chunk
        finally:
            self.ended = True


async def read(response: Any, **options: Any) -> list[WatchEvent[Any]]:
    return [got async for got in watch_events(PODS, response, idle_seconds=60, **options)]


async def test_events_come_in_order_with_their_versions() -> None:
    got = await read(
        Response(
            event("ADDED", pod("a", rv=1)) + event("MODIFIED", pod("a", rv=2)),
            BOOKMARK,
            event("DELETED", pod("a", rv=100)),
        )
    )
    assert [(one.type, one.resource_version) for one in got] == [
        ("ADDED", "1"),
        ("MODIFIED", "2"),
        ("BOOKMARK", "99"),
        ("DELETED", "100"),
    ]


async def test_the_end_in_the_middle_of_a_line_drops_the_fragment() -> None:
    line = event("MODIFIED", pod("a", rv=2))
    for cut in (1, len(line) // 2, len(line) - 1):
        got = await read(Response(event("ADDED", pod("a", rv=1)), line[:cut]))
        assert [one.resource_version for one in got] == ["1"]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (event("ERROR", status_body(410, "Expired", "too old")), Gone),
        (event("ERROR", status_body(500, "InternalError")), ServerError),
        (event("ERROR", status_body(429, "TooManyRequests", retryAfterSeconds=4)), TooManyRequests),
        (event("ERROR", {"what": "is this"}), ServerError),
        (msgspec.json.encode(status_body(410, "Gone")) + b"\n", Gone),
    ],
)
async def test_an_error_ends_the_stream_as_an_api_error(line: bytes, kind: type[ApiError]) -> None:
    """Checklist 43: a watch ERROR event closes the stream and is turned into an API error."""
    response = Response(event("ADDED", pod("a")), line, event("ADDED", pod("never")))
    got = []
    with pytest.raises(kind) as caught:
        got += [one async for one in watch_events(PODS, response, idle_seconds=9)]
    assert response.ended
    if kind is TooManyRequests:
        assert caught.value.retry_after == 4


async def test_a_bare_status_needs_no_newline() -> None:
    with pytest.raises(Gone):
        await read(Response(b'{"kind":"Status",', b'"code":410,"reason":"Gone"}'))


async def test_events_before_an_error_are_yielded() -> None:
    events = watch_events(
        PODS, Response(event("ADDED", pod("a")) + event("ERROR", status_body(410))), idle_seconds=9
    )
    assert (await anext(events)).object.key.name == "a"
    with pytest.raises(Gone):
        await anext(events)


BAD_LINES = [
    b"not json\n",
    b"{}\n",
    event("ADDED", {"kind": "Pod"}),
    event("ADDED", {"kind": "Pod", "metadata": {}}),
    event("MODIFIED", {"kind": "Node", "metadata": {"name": "n"}}),
    event("ADDED", {"kind": "Table", "metadata": {"resourceVersion": "3"}, "rows": []}),
    b'{"type":"ADDED"}\n',
    b'{"type":"ADDED","object":null}\n',
    b'{"type":1}\n',
    b"\xff\n",
]


@pytest.mark.parametrize("line", BAD_LINES)
async def test_an_invalid_event_ends_the_stream(line: bytes) -> None:
    """Checklist 42: a wrong-type, wrong-kind or metadata-less watch event. What it reported is unknown. 54: a Table."""
    events = watch_events(PODS, Response(event("ADDED", pod("a")) + line), idle_seconds=9)
    assert (await anext(events)).object.key.name == "a"
    with pytest.raises(DecodeError):
        await anext(events)


async def test_blank_lines_and_unknown_types_are_skipped() -> None:
    got = await read(Response(b"\n\r\n" + event("SOMEDAY", pod("a")) + BOOKMARK))
    assert [one.type for one in got] == ["BOOKMARK"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"ADDED","object":%b}',
        b'{"type":"ADDED","object":%b,"extra":{"metadata":{"name":"other"}}}',
        b'{"object":%b,"type":"ADDED"}',
        b' {"type": "ADDED", "object": %b } ',
    ],
)
async def test_an_event_is_decoded_with_any_form_of_its_envelope(line: bytes) -> None:
    [got] = await read(Response(line % msgspec.json.encode(pod("a")) + b"\n"))
    assert (got.type, got.object.meta.name, msgspec.json.decode(got.object.raw)) == ("ADDED", "a", pod("a"))


async def test_events_of_one_stream_share_their_labels_and_namespace() -> None:
    lines = [
        event("ADDED", pod(name) | {"metadata": {"name": name, "namespace": "n", "labels": {"a": "b"}}})
        for name in "xy"
    ]
    first, second = [got.object.meta for got in await read(Response(*lines))]
    assert first.own_labels is second.own_labels
    assert first.namespace is second.namespace


async def test_a_bookmark_carries_its_annotations() -> None:
    body = {
        "kind": "Pod",
        "metadata": {"resourceVersion": "5", "annotations": {"k8s.io/initial-events-end": "true"}},
    }
    got = await read(Response(event("BOOKMARK", body)))
    assert dict(got[0].object.annotations) == {"k8s.io/initial-events-end": "true"}


@virtual_time
async def test_no_byte_for_the_idle_time_is_a_stall_and_each_byte_resets_it() -> None:
    response = Response(59.0, BOOKMARK, 59.0, b" ", 59.0, b"\n", 61.0, BOOKMARK)
    events = watch_events(PODS, response, idle_seconds=60)
    assert (await anext(events)).type == "BOOKMARK"
    with pytest.raises(WatchStalled) as caught:
        await anext(events)
    assert asyncio.get_running_loop().time() == 59 * 3 + 60
    assert isinstance(caught.value, ConnectionFailed)
    assert caught.value.idle_seconds == 60
    assert response.ended


@virtual_time
async def test_time_spent_by_the_consumer_is_not_idle_time() -> None:
    got = 0
    async for _ in watch_events(PODS, Response(BOOKMARK, BOOKMARK), idle_seconds=1):
        await asyncio.sleep(100)
        got += 1
    assert got == 2


async def test_a_broken_connection_is_raised() -> None:
    with pytest.raises(ConnectionFailed, match="reset"):
        await read(Response(BOOKMARK, ConnectionFailed("reset")))


async def test_a_line_above_the_limit_has_its_own_error() -> None:
    with pytest.raises(WatchLineTooLong):
        await read(Response(*[b"x" * 1024 * 1024] * 17))


@virtual_time
async def test_cancelling_the_reader_ends_the_stream() -> None:
    response = Response(BOOKMARK, 1000.0)
    task = asyncio.create_task(read(response))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert response.ended


async def test_a_watch_requests_bookmarks_and_a_timeout() -> None:
    wire = ScriptedTransport().on("GET", "/api/v1/namespaces/n/pods", Answer(chunks=(BOOKMARK,)))
    client = Client(wire, clock=virtual_clock())
    async with client.watch(
        PODS,
        "n",
        resource_version="7",
        timeout_seconds=300,
        idle_seconds=60,
        label_selector="a",
        field_selector="b=c",
    ) as events:
        assert [one.type async for one in events] == ["BOOKMARK"]
    assert wire.seen[0].query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "7",
        "timeoutSeconds": "300",
        "labelSelector": "a",
        "fieldSelector": "b=c",
    }


@pytest.mark.parametrize(("code", "kind"), [(410, Gone), (429, TooManyRequests)])
async def test_a_refused_watch_raises_at_its_start_and_is_not_repeated(
    code: int, kind: type[ApiError]
) -> None:
    wire = ScriptedTransport().on("GET", "/api/v1/pods", failure(code, headers={"Retry-After": "1"}))
    with pytest.raises(kind) as caught:
        async with Client(wire, clock=virtual_clock()).watch(
            PODS, resource_version="1", timeout_seconds=9, idle_seconds=9
        ):
            pytest.fail("not entered")
    assert caught.value.retry_after == 1
    assert len(wire.seen) == 1


async def test_leaving_the_watch_early_ends_its_stream() -> None:
    response = Response(BOOKMARK, BOOKMARK)

    class Wire(ScriptedTransport):
        def send(self, *_: Any, **__: Any) -> Any:
            from contextlib import nullcontext

            return nullcontext(response)

    async with Client(Wire(), clock=virtual_clock()).watch(
        PODS, resource_version="1", timeout_seconds=9, idle_seconds=9
    ) as events:
        await anext(events)
        assert not response.ended
    assert response.ended
