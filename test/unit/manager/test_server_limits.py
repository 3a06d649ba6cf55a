"""Floods of the ports of a manager take a bounded share of its event loop."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from aimctl.runtime.manager.metrics import metrics_routes
from aimctl.runtime.manager.serving.http import HttpServer
from aimctl.runtime.manager.serving.limits import (
    MAX_CONNECTIONS,
    MAX_REQUEST_BYTES,
    MAX_STALLED,
    Budget,
    Connections,
    Pacer,
)


async def ok(_: web.Request) -> web.Response:
    return web.Response(text="ok")


def server(**routes) -> HttpServer:
    return HttpServer("test", "127.0.0.1:0", {"/": ok, **routes})


async def until(condition) -> None:
    """Wait for a condition. Sockets need real time, and there is no event to wait for."""
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_idle_connections_do_not_keep_probes_out():
    async with server() as endpoint, contextlib.AsyncExitStack() as stack:
        idle = []
        for _ in range(2 * MAX_CONNECTIONS):
            idle.append(await asyncio.open_connection("127.0.0.1", endpoint.port))
            stack.callback(idle[-1][1].close)
        async with aiohttp.ClientSession() as session:
            reply = await session.get(f"http://127.0.0.1:{endpoint.port}/")
            assert (reply.status, await reply.text()) == (200, "ok")
        oldest, _ = idle[0]
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(oldest.read(), 5) == b""


async def test_a_request_whose_headers_do_not_end_is_cut_off(monkeypatch):
    monkeypatch.setattr("aimctl.runtime.manager.serving.limits.HEADER_SECONDS", 0.01)
    async with server() as endpoint:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_connection_without_a_request_is_closed(monkeypatch):
    monkeypatch.setattr("aimctl.runtime.manager.serving.limits.HEADER_SECONDS", 0.01)
    async with server() as endpoint:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_request_that_is_too_large_is_cut_off():
    async with server() as endpoint:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        line = b"X-Part: " + b"x" * 4000 + b"\r\n"
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + line * (MAX_REQUEST_BYTES // len(line) + 1))
        with contextlib.suppress(ConnectionResetError):
            assert b"200" not in await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_a_response_that_is_not_read_is_cut_off(monkeypatch):
    monkeypatch.setattr("aimctl.runtime.manager.serving.limits.WRITE_SECONDS", 0.05)

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 20_000_000)

    async with server(**{"/large": large}) as endpoint:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port, limit=1000)
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: endpoint.connections == 1)
        await until(lambda: endpoint.connections == 0)
        with contextlib.suppress(ConnectionResetError):
            assert len(await asyncio.wait_for(reader.read(), 5)) < 20_000_000
        writer.close()


async def test_a_connection_serves_many_requests():
    async with server() as endpoint, aiohttp.ClientSession() as session:
        for _ in range(5):
            reply = await session.get(f"http://127.0.0.1:{endpoint.port}/")
            assert await reply.text() == "ok"


async def test_a_response_in_progress_is_not_evicted():
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        entered.set()
        await leave.wait()
        return web.Response(text="done")

    async with (
        server(**{"/slow": slow}) as endpoint,
        aiohttp.ClientSession() as session,
        contextlib.AsyncExitStack() as stack,
    ):
        url = f"http://127.0.0.1:{endpoint.port}/slow"
        task = asyncio.create_task(session.get(url))
        await asyncio.wait_for(entered.wait(), 5)
        for _ in range(2 * MAX_CONNECTIONS):
            _, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
            stack.callback(writer.close)
        leave.set()
        assert await (await asyncio.wait_for(task, 5)).text() == "done"


async def test_a_server_can_be_left_while_connections_are_open():
    async with server() as endpoint:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in await reader.readline()
    with contextlib.suppress(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert endpoint.port == 0


class Peer:
    """A connection of :class:`Connections`."""

    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def test_the_longest_idle_connection_makes_room():
    connections = Connections(Time(), 2)
    first, second, third, fourth = (Peer() for _ in range(4))
    assert connections.add(first)
    assert connections.add(second)
    connections.busy(first)
    connections.idle(first)
    assert connections.add(third)
    assert second.aborted
    assert not first.aborted
    connections.busy(first)
    connections.busy(third)
    assert not connections.add(fourth)
    connections.remove(first)
    assert connections.add(fourth)
    assert len(connections) == 2


def test_clients_that_are_authenticated_stay_while_others_can_make_room():
    connections = Connections(Time(), 2)
    known, other, third, fourth = (Peer() for _ in range(4))
    for peer in (known, other):
        assert connections.add(peer)
        connections.busy(peer)
        connections.idle(peer, trusted=peer is known)
    assert connections.add(third)
    assert connections.add(fourth)
    assert [peer.aborted for peer in (known, other, third, fourth)] == [False, True, True, False]
    connections.busy(fourth)
    assert connections.add(Peer())
    assert known.aborted


def test_the_slowest_reader_makes_room_for_another_response():
    time = Time()
    connections = Connections(time, 100)
    peers = [Peer() for _ in range(MAX_STALLED + 2)]
    for peer in peers:
        assert connections.add(peer)
    for peer in peers[:MAX_STALLED]:
        connections.stalled(peer)
    connections.flowing(peers[0])
    connections.stalled(peers[0])
    connections.stalled(peers[-2])
    assert not any(peer.aborted for peer in peers)
    time.now = 2
    connections.stalled(peers[-1])
    assert [number for number, peer in enumerate(peers) if peer.aborted] == [1]
    assert len(connections) == MAX_STALLED + 1


def test_requests_after_a_burst_wait_for_their_turn():
    time = Time()
    pacer = Pacer(time, rate=10, burst=3)
    assert [pacer.delay() for _ in range(5)] == pytest.approx([0, 0, 0, 0.1, 0.2])
    time.now = 100
    assert [pacer.delay() for _ in range(4)] == pytest.approx([0, 0, 0, 0.1])


def test_rendering_has_a_share_of_the_processor():
    time = Time()
    budget = Budget(time, rate=0.1, maximum=1)
    assert budget.available()
    budget.spend(3)
    assert not budget.available()
    time.now = 19
    assert not budget.available()
    time.now = 21
    assert budget.available()


class Expensive(Collector):
    """A collector that counts how often it is rendered, each time for more than a burst."""

    def __init__(self, processor: Time) -> None:
        self.rendered = 0
        self._processor = processor

    def collect(self):
        self.rendered += 1
        self._processor.now += 1000
        return []


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version={};x={}"], ids=["text", "open"])
async def test_a_flood_of_scrapes_gets_the_latest_page(accept):
    processor = Time()
    collector = Expensive(processor)
    routes = metrics_routes(collector, cpu_time=processor)
    async with HttpServer("test", "127.0.0.1:0", routes) as endpoint, aiohttp.ClientSession() as session:
        for number in range(10):
            headers = {"Accept": accept.format(number, number)} if accept else {}
            reply = await session.get(f"http://127.0.0.1:{endpoint.port}/metrics", headers=headers)
            assert reply.status == 200
    assert collector.rendered == 1


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text"], ids=["text", "open"])
async def test_a_page_that_is_made_in_slices_is_that_of_the_client_library(accept):
    registry = CollectorRegistry()
    gauge = Gauge("things", "Things,\nin two lines.", ["name"], registry=registry)
    seconds = Histogram("work_seconds", "Work.", ["name"], registry=registry)
    for number in range(250):
        gauge.labels(f"# {number}").set(number)
        seconds.labels(str(number)).observe(number)
    Counter("events", "Events.", registry=registry).inc()
    encode, _ = choose_encoder(accept)
    expected = [line for line in encode(registry).decode().splitlines() if "_created" not in line]
    endpoint = HttpServer("test", "127.0.0.1:0", metrics_routes(registry))
    async with endpoint, aiohttp.ClientSession() as session:
        answer = await session.get(
            f"http://127.0.0.1:{endpoint.port}/metrics", headers={"Accept": accept} if accept else {}
        )
        assert (await answer.text()).splitlines() == expected


async def test_requests_that_arrive_while_a_page_is_made_share_the_next_one():
    time, rendered = Time(), []

    class Slow(Collector):
        def collect(self):
            rendered.append(time.now)
            return [GaugeMetricFamily(f"metric_{number}", "Help.", value=1) for number in range(3)]

    def cpu_time() -> float:
        time.now += 0.002
        return time.now

    handler = metrics_routes(Slow(), cpu_time=cpu_time)["/metrics"]
    answers = await asyncio.gather(*(handler(make_mocked_request("GET", "/metrics")) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len(rendered) == 2


async def test_metrics_are_compressed_on_request():
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    async with HttpServer("test", "127.0.0.1:0", metrics_routes(registry)) as endpoint:
        for encoding in ("gzip", "identity"):
            async with aiohttp.ClientSession() as session:
                headers = {"Accept-Encoding": encoding}
                reply = await session.get(f"http://127.0.0.1:{endpoint.port}/metrics", headers=headers)
                assert (reply.headers.get("Content-Encoding") == "gzip") is (encoding == "gzip")
                assert "things_total 3.0" in await reply.text()
