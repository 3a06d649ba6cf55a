"""The embedded API server over real sockets."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from aimctl.devcluster import (
    ApiServer,
    ApiServerOptions,
    CutStream,
    Faults,
    HttpFront,
    Match,
    Refuse,
    Silence,
    User,
)
from aimctl.runtime.clock import LoopClock
from support.apiserver import CONFIG_MAPS, config_map, until


@asynccontextmanager
async def serving(**options):
    server = ApiServer(clock=LoopClock(), **options)
    server.start()
    front = HttpFront(server)
    endpoint = await front.serve()
    try:
        async with aiohttp.ClientSession(
            endpoint.url, connector=aiohttp.TCPConnector(limit=0), read_bufsize=2**22
        ) as session:
            yield server, session
    finally:
        await front.aclose()
        server.close()


async def line(response) -> dict:
    return json.loads(await response.content.readline())


async def test_requests_and_watches_work_over_sockets():
    async with serving() as (server, session):
        version = str(server.storage.version)
        query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "60"}
        async with session.get(CONFIG_MAPS, params=query) as watch:
            assert (watch.status, watch.headers["Transfer-Encoding"]) == (200, "chunked")
            async with session.post(CONFIG_MAPS, json=config_map("a")) as made:
                assert made.status == 201
            event = await line(watch)
            assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")
        async with session.get(f"{CONFIG_MAPS}/none") as missing:
            assert (missing.status, (await missing.json())["reason"]) == (404, "NotFound")
        async with session.get(CONFIG_MAPS, params={"labelSelector": "a in (b, c)"}) as listed:
            assert (await listed.json())["items"] == []


async def test_a_watch_ends_with_a_proper_end_of_body_when_the_front_closes():
    server = ApiServer(clock=LoopClock())
    server.start()
    front = HttpFront(server)
    endpoint = await front.serve()
    async with (
        aiohttp.ClientSession(endpoint.url) as session,
        session.get(CONFIG_MAPS, params={"watch": "1"}) as watch,
    ):
        closing = asyncio.create_task(front.aclose())
        assert await watch.content.read() == b""
        await closing
    with pytest.raises(aiohttp.ClientConnectorError):
        async with aiohttp.ClientSession(endpoint.url) as session, session.get("/version"):
            pass
    await front.aclose()
    server.close()


async def test_a_client_that_disconnects_ends_its_watch():
    async with serving() as (server, session):
        wakers = server.storage.collection("configmaps").wakers
        watches = [await session.get(CONFIG_MAPS, params={"watch": "1"}) for _ in range(150)]
        await until(lambda: len(wakers) == 150)
        async with session.post(CONFIG_MAPS, json=config_map("a")):
            pass
        names = {(await line(watch))["object"]["metadata"]["name"] for watch in watches}
        assert names == {"a"}
        for watch in watches:
            watch.close()
        await until(lambda: not wakers)


async def test_an_event_of_several_megabytes_is_complete():
    text = "x" * (5 * 1024 * 1024)
    body = io.BytesIO(json.dumps(config_map("big", text=text)).encode())
    json_type = {"Content-Type": "application/json"}
    async with (
        serving(options=ApiServerOptions(max_body_bytes=16 * 1024 * 1024)) as (_, session),
        session.get(CONFIG_MAPS, params={"watch": "1"}) as watch,
        session.post(CONFIG_MAPS, data=body, headers=json_type) as made,
    ):
        assert made.status == 201
        buffer = b""
        while not buffer.endswith(b"\n"):
            buffer += await watch.content.readany()
        assert json.loads(buffer)["object"]["data"]["text"] == text


async def test_a_body_above_the_limit_of_the_front_is_413():
    async with (
        serving() as (_, session),
        session.post(CONFIG_MAPS, data=io.BytesIO(bytes(17 * 1024 * 1024))) as answer,
    ):
        assert answer.status == 413


async def test_faults_have_their_effect_on_a_network_client():
    faults = Faults()
    async with serving(interceptor=faults) as (_, session):
        async with session.post(CONFIG_MAPS, json=config_map("a")):
            pass
        with faults.active(CutStream(), Match(verb="watch")):
            async with session.get(CONFIG_MAPS, params={"watch": "1"}) as watch:
                with pytest.raises(aiohttp.ClientError):
                    await watch.content.read()
        with faults.active(Refuse()), pytest.raises(aiohttp.ClientError):
            async with session.get("/version"):
                pass
        with faults.active(Silence(after_lines=1)):
            async with session.get(CONFIG_MAPS, params={"watch": "1", "timeoutSeconds": "1"}) as watch:
                assert (await line(watch))["type"] == "ADDED"
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1.5):
                        await watch.content.read()
        async with session.get("/readyz") as ready:
            assert await ready.text() == "ok"


async def test_tokens_are_required_over_sockets_too():
    async with serving() as (server, session):
        server.authenticator.tokens["t"] = User("alice")
        async with session.get("/api") as refused:
            assert (refused.status, (await refused.json())["message"]) == (401, "Unauthorized")
        async with session.get("/api", headers={"authorization": "Bearer t"}) as let_in:
            assert let_in.status == 200


async def test_a_port_in_use_is_an_error_that_leaves_nothing_open():
    async with serving() as (server, session):
        port = int(str(session._base_url).rpartition(":")[2].rstrip("/"))
        second = HttpFront(server)
        with pytest.raises(OSError, match="address already in use"):
            await second.serve(port=port)
        await second.aclose()
