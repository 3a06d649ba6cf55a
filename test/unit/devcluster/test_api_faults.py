"""Injected faults, as a client without sockets sees them."""

from __future__ import annotations

import asyncio
import random

import pytest

from aimctl.devcluster import (
    Answer,
    ApiServerOptions,
    CutStream,
    Delay,
    Faults,
    Gone410,
    Match,
    MemoryTransport,
    Refuse,
    Silence,
    StaleRead,
)
from aimctl.runtime.kube.errors import ConnectionFailed
from aimctl.runtime.kube.transport import HttpRequest
from aimctl.testing.virtualtime import virtual_time
from support.apiserver import CONFIG_MAPS, Api, config_map


@virtual_time
async def test_a_fault_affects_matching_requests_the_given_number_of_times() -> None:
    api = Api()
    fault = api.faults.add(
        Answer(429, retry_after=7), Match(verb="list", resource="config*"), times=2, skip=1
    )
    statuses = [(await api("GET", CONFIG_MAPS)).status for _ in range(4)]
    assert statuses == [200, 429, 429, 200]
    assert (await api("GET", "/api/v1/namespaces")).status == 200
    assert (fault.hits, len(api.faults)) == (2, 0)


@virtual_time
async def test_retry_after_is_in_header_and_details() -> None:
    api = Api()
    with api.faults.active(Answer(503, retry_after=3)):
        answer = await api("GET", CONFIG_MAPS)
    assert answer.headers["Retry-After"] == "3"
    assert answer.body["details"] == {"retryAfterSeconds": 3}
    assert (await api("GET", CONFIG_MAPS)).status == 200


@virtual_time
async def test_an_error_may_be_returned_after_the_effect() -> None:
    api = Api()
    api.faults.add(Answer(504, after_effect=True), Match(verb="create"), times=1)
    assert (await api("POST", CONFIG_MAPS, config_map("c"))).status == 504
    assert (await api("POST", CONFIG_MAPS, config_map("c"))).status == 409


@virtual_time
async def test_a_request_can_be_delayed_or_refused() -> None:
    api = Api()
    with api.faults.active(Delay(5)):
        await api.ok("GET", CONFIG_MAPS)
    assert asyncio.get_running_loop().time() == 5
    with api.faults.active(Refuse()), pytest.raises(ConnectionFailed) as caught:
        await api("GET", CONFIG_MAPS)
    assert caught.value.refused


@virtual_time
async def test_a_missing_response_ends_with_the_timeout_of_the_transport() -> None:
    api = Api()
    with api.faults.active(Silence()), pytest.raises(ConnectionFailed, match="no response in time"):
        await api("GET", CONFIG_MAPS)
    assert asyncio.get_running_loop().time() == 30


@virtual_time
async def test_a_stream_is_cut_between_lines_or_within_one_or_ends_early() -> None:
    api = Api()
    for name in "abc":
        await api.ok("POST", CONFIG_MAPS, config_map(name))
    watches = Match(verb="watch")
    with api.faults.active(CutStream(after_lines=2), watches):
        async with api.watch(CONFIG_MAPS) as lines:
            assert await lines.seen(2) == [("ADDED", "a"), ("ADDED", "b")]
            with pytest.raises(ConnectionFailed):
                await lines.next()
            assert lines._buffer.startswith(b'{"type":"ADDED"')
    with api.faults.active(CutStream(after_lines=1, mid_line=False), watches):
        async with api.watch(CONFIG_MAPS) as lines:
            assert await lines.seen(1) == [("ADDED", "a")]
            with pytest.raises(ConnectionFailed):
                await lines.next()
            assert lines._buffer == b""
    with api.faults.active(CutStream(after_lines=2, clean=True), watches):
        async with api.watch(CONFIG_MAPS) as lines:
            await lines.seen(2)
            assert await lines.next() is None
            assert lines.rest.startswith(b'{"type":"ADDED"')


@virtual_time
async def test_silence_delivers_some_lines_and_then_nothing() -> None:
    api = Api()
    with api.faults.active(Silence(after_lines=1)):
        async with api.watch(CONFIG_MAPS, {"timeoutSeconds": "10"}) as lines:
            api.faults.clear()
            await api.ok("POST", CONFIG_MAPS, config_map("a"))
            await api.ok("POST", CONFIG_MAPS, config_map("b"))
            assert await lines.seen(1) == [("ADDED", "a")]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5000):
                    await lines.next()


@virtual_time
async def test_gone_is_an_event_a_status_or_a_body() -> None:
    api = Api()
    api.faults.add(Gone410("event"), times=1)
    async with api.watch(CONFIG_MAPS, {"resourceVersion": "1"}) as lines:
        assert (await lines.next())["object"]["code"] == 410
        assert await lines.next() is None
    api.faults.add(Gone410("status"), times=1)
    assert (await api("GET", CONFIG_MAPS)).status == 410
    api.faults.add(Gone410("body"), times=1)
    bare = await api("GET", CONFIG_MAPS, None, {"watch": "1"})
    assert (bare.status, bare.body["kind"], bare.body["code"]) == (200, "Status", 410)


@virtual_time
async def test_a_stale_read_returns_an_earlier_state() -> None:
    api = Api()
    then = api.server.storage.version
    await api.ok("POST", CONFIG_MAPS, config_map("a"))
    with api.faults.active(StaleRead(then)):
        listed = await api.ok("GET", CONFIG_MAPS)
        assert (listed["items"], listed["metadata"]["resourceVersion"]) == ([], str(then))
        assert (await api("GET", f"{CONFIG_MAPS}/a")).status == 404


INITIAL = {
    "sendInitialEvents": "true",
    "resourceVersionMatch": "NotOlderThan",
    "allowWatchBookmarks": "true",
}


@virtual_time
async def test_a_watch_that_begins_with_all_objects_is_a_list_as_well() -> None:
    api = Api()
    for verb in ("list", "watch"):
        with api.faults.active(Answer(503), Match(verb=verb)):
            assert (await api("GET", CONFIG_MAPS, query={"watch": "1", **INITIAL})).status == 503
    with api.faults.active(Answer(503), Match(verb="list")):
        async with api.watch(CONFIG_MAPS):
            pass


@virtual_time
async def test_a_watch_can_begin_with_an_older_state() -> None:
    api = Api()
    then = api.server.storage.version
    await api.ok("POST", CONFIG_MAPS, config_map("a"))
    with api.faults.active(StaleRead(then), Match(verb="list")):
        async with api.watch(CONFIG_MAPS, INITIAL) as lines:
            first, second = await lines.next(), await lines.next()
    assert (first["type"], first["object"]["metadata"]["resourceVersion"]) == ("BOOKMARK", str(then))
    assert (second["type"], second["object"]["metadata"]["name"]) == ("ADDED", "a")


async def test_the_reported_version_can_be_chosen() -> None:
    api = Api(options=ApiServerOptions(kubernetes="1.33.4"))
    version = await api.ok("GET", "/version")
    assert (version["major"], version["minor"], version["gitVersion"]) == ("1", "33", "v1.33.4")
    with pytest.raises(ValueError, match=r"kubernetes='1\.33': use a version of Kubernetes such as 1\.36"):
        Api(options=ApiServerOptions(kubernetes="1.33"))


@virtual_time
async def test_faults_precede_authentication_and_a_chance_needs_an_rng() -> None:
    with pytest.raises(ValueError, match=r"chance is 0\.5"):
        Faults().add(Refuse(), chance=0.5)
    api = Api()
    faults = api.faults
    faults.add(Answer(500), chance=0.5)
    first = [(await api("GET", "/version")).status for _ in range(20)]
    assert {200, 500} == set(first)
    api.faults._rng = random.Random(9)
    again = [(await api("GET", "/version")).status for _ in range(20)]
    api.faults._rng = random.Random(9)
    assert again == [(await api("GET", "/version")).status for _ in range(20)]


@virtual_time
async def test_the_transport_splits_streams_into_chunks_and_stays_closed() -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, config_map("a"))
    transport = MemoryTransport(api.server, chunk_bytes=7)
    request = HttpRequest("GET", CONFIG_MAPS, (("watch", "1"), ("timeoutSeconds", "1")))
    async with transport.send(request, stream=True) as response:
        chunks = [chunk async for chunk in response.chunks()]
    assert max(map(len, chunks)) == 7
    assert b"".join(chunks).endswith(b"}\n")
    assert response.headers["content-TYPE"] == "application/json"
    await transport.aclose()
    with pytest.raises(ConnectionFailed, match="closed"):
        async with transport.send(request):
            pass


@virtual_time
async def test_a_closed_server_refuses_connections() -> None:
    api = Api()
    api.server.close()
    with pytest.raises(ConnectionFailed) as caught:
        await api("GET", "/version")
    assert caught.value.refused
