"""The HTTP transport against real sockets."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from aimctl.kubetypes.builtin import PODS, SECRETS
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import (
    Client,
    ConnectionFailed,
    ConnectionInfo,
    HttpRequest,
    HttpTransport,
    StaticCredentials,
    Unauthorized,
)
from support.scripted import Answer, ScriptedServer, failure, pod, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

SOON = 5.0
"""Far more than anything here takes; only there so that a failure is no hang."""

ONE = "/api/v1/namespaces/default/pods/a"


class Rotating:
    """Credentials that change after each invalidation."""

    def __init__(self) -> None:
        self.generation = 1

    async def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.generation}"}

    def invalidate(self) -> None:
        self.generation += 1


class Observed:
    def __init__(self) -> None:
        self.codes: list[str] = []
        self.last: dict[str, Any] = {}

    def request_finished(self, **labels: Any) -> None:
        self.codes.append(labels["code"])
        self.last = labels


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as running:
        yield running


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    return monkeypatch


@asynccontextmanager
async def transport(server: ScriptedServer, **options: Any) -> AsyncIterator[HttpTransport]:
    info = {"server": server.url} | options.pop("info", {})
    async with HttpTransport(ConnectionInfo(**info), clock=LoopClock(), **options) as opened:
        yield opened


async def hang(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def half_a_body(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"half")
    return await hang(request)


async def fetch(wire: HttpTransport, path: str = "/x", **options: Any) -> bytes:
    async with wire.send(HttpRequest("GET", path), **options) as answer:
        return await answer.read()


async def test_the_zone_of_an_ipv6_address_is_used_to_connect_and_not_sent() -> None:
    hosts: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        hosts.append(request.headers["Host"])
        return web.Response(text="here")

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "::1", 0).start()
        except OSError as error:
            pytest.skip(f"this machine has no IPv6: {error}")
        port = runner.addresses[0][1]
        loopback = f"http://[::1%251]:{port}"  # 1 is the index of the loopback interface
        async with HttpTransport(ConnectionInfo(loopback), clock=LoopClock()) as wire:
            assert await fetch(wire) == b"here"
        assert hosts == [f"[::1]:{port}"]
    finally:
        await runner.cleanup()


async def test_path_query_and_body_arrive_unchanged(server: ScriptedServer) -> None:
    text = "a=b,c in (d,e),!f+g %2F&h#i?ä"
    server.on("PATCH", "/api/v1/system:node/ä b%2F", b"done")
    async with transport(server) as wire:
        request = HttpRequest(
            "PATCH",
            "/api/v1/system:node/ä b%2F",
            (("labelSelector", text), ("limit", "5")),
            {"Content-Type": "x/y"},
            b"\x00body",
        )
        async with wire.send(request) as answer:
            assert (answer.status, await answer.read()) == (200, b"done")
    seen = server.seen[0]
    assert seen.query == {"labelSelector": text, "limit": "5"}
    assert (seen.headers["Content-Type"], seen.body) == ("x/y", b"\x00body")


async def test_the_path_of_the_server_address_is_a_prefix(server: ScriptedServer) -> None:
    server.on("GET", "/k8s/clusters/c-1/api/v1/pods", b"ok")
    async with transport(
        server, info={"server": server.url + "/k8s/clusters/c-1/"}, user_agent="me/1"
    ) as wire:
        assert await fetch(wire, "/api/v1/pods") == b"ok"
    assert server.seen[0].headers["User-Agent"] == "me/1"


async def test_calls_reuse_their_connection(server: ScriptedServer) -> None:
    peers = set()

    async def remember(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(body=b"x" * 100_000)

    server.on("GET", "/x", remember)
    async with transport(server) as wire:
        for _ in range(3):
            await fetch(wire)
    assert len(peers) == 1


# Credentials


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_401_renews_the_credentials_and_repeats_the_request_once(
    server: ScriptedServer, streamed: bool
) -> None:
    """Fault 8: the credentials are renewed once and the request repeated."""
    server.on("POST", "/x", failure(401), b"welcome")
    async with (
        transport(server, info={"credentials": Rotating()}) as wire,
        wire.send(HttpRequest("POST", "/x", body=b"payload"), stream=streamed) as answer,
    ):
        assert await answer.read() == b"welcome"
    assert [seen.headers["Authorization"] for seen in server.seen] == ["Bearer 1", "Bearer 2"]
    assert [seen.body for seen in server.seen] == [b"payload", b"payload"]


async def test_a_second_401_is_the_response(server: ScriptedServer) -> None:
    """Fault 8: the second 401 is returned; the reader backs off."""
    server.on("GET", ONE, failure(401, "Unauthorized", "who are you"))
    async with transport(server, info={"credentials": Rotating()}) as wire:
        with pytest.raises(Unauthorized, match="who are you"):
            await Client(wire, clock=LoopClock()).get(PODS, "a", "default")
    assert len(server.seen) == 2


async def test_a_401_for_credentials_renewed_in_the_meantime_invalidates_nothing(
    server: ScriptedServer,
) -> None:
    credentials = Rotating()

    async def refuse_the_first(request: web.Request) -> web.StreamResponse:
        credentials.generation = 7
        return web.Response(status=401 if request.headers["Authorization"] == "Bearer 1" else 200)

    server.on("GET", "/x", refuse_the_first)
    async with transport(server, info={"credentials": credentials}) as wire:
        await fetch(wire)
    assert credentials.generation == 7
    assert server.seen[1].headers["Authorization"] == "Bearer 7"


async def test_redirects_are_not_followed(server: ScriptedServer) -> None:
    async with ScriptedServer() as elsewhere:
        server.on("GET", "/x", Answer(302, headers={"Location": elsewhere.url + "/x"}))
        async with (
            transport(server, info={"credentials": StaticCredentials.bearer("t")}) as wire,
            wire.send(HttpRequest("GET", "/x")) as answer,
        ):
            assert answer.status == 302
        assert elsewhere.seen == []


async def test_no_credential_and_no_body_is_ever_logged(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = {
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "n", "uid": "u"},
        "data": {"p": "Z2VoZWlt"},
    }
    server.on("GET", "/api/v1/namespaces/n/secrets/s", secret).on(
        "POST", "/api/v1/namespaces/n/secrets", failure(422)
    )
    async with transport(server, info={"credentials": StaticCredentials.bearer("verborgen")}) as wire:
        client = Client(wire, clock=LoopClock())
        assert (await client.get(SECRETS, "s", "n")).view.data == {"p": b"geheim"}
        with pytest.raises(Exception, match="422") as caught:
            await client.create(SECRETS, secret)
    # The server of the test is aiohttp's and logs request lines; everything else comes from the transport.
    assert not any(word in caplog.text + repr(caught.value) for word in ("Z2VoZWlt", "geheim", "verborgen"))


# No response


async def test_a_closed_port_is_a_refused_connection(server: ScriptedServer) -> None:
    async with transport(server) as wire:
        await server.__aexit__()
        with pytest.raises(ConnectionFailed, match="connection refused") as caught:
            await fetch(wire)
    assert caught.value.refused


async def test_a_closed_connection_is_not_a_refused_one(server: ScriptedServer) -> None:
    server.on("POST", "/x", hang_up)
    async with transport(server) as wire:
        with pytest.raises(ConnectionFailed) as caught:
            async with wire.send(HttpRequest("POST", "/x")):
                pytest.fail("no answer came")
    assert not caught.value.refused
    assert len(server.seen) == 1


async def test_an_unknown_host_is_a_failed_connection() -> None:
    info = ConnectionInfo("https://nowhere.invalid:6443")
    async with HttpTransport(info, clock=LoopClock()) as wire:
        with pytest.raises(ConnectionFailed, match=r"nowhere\.invalid") as caught:
            await fetch(wire)
    assert not caught.value.refused


@pytest.mark.parametrize("handler", [hang, half_a_body])
async def test_a_call_ends_at_its_time_limit(server: ScriptedServer, handler: Any) -> None:
    server.on("GET", "/x", handler)
    async with transport(server) as wire, asyncio.timeout(SOON):
        with pytest.raises(ConnectionFailed, match="no complete response"):
            await fetch(wire, timeout_seconds=0.2)
        await server.disconnects.wait()


@pytest.mark.parametrize("handler", [hang, half_a_body])
async def test_a_read_without_a_byte_ends_with_an_error_that_says_so(
    server: ScriptedServer, handler: Any
) -> None:
    server.on("GET", "/x", handler)
    async with transport(server, timeout_seconds=0.2) as wire, asyncio.timeout(SOON):
        with pytest.raises(ConnectionFailed, match=r"GET .*/x: no byte of the response for 0\.2 s"):
            await fetch(wire)
        await server.disconnects.wait()


async def trickle(request: web.Request) -> web.StreamResponse:
    """Four bytes in 0.8 s."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(4):
        await asyncio.sleep(0.2)
        await response.write(b"x")
    return response


async def test_a_read_may_take_longer_than_its_limit_while_bytes_arrive(server: ScriptedServer) -> None:
    server.on("GET", "/x", trickle)
    async with transport(server, timeout_seconds=0.5) as wire:
        assert await fetch(wire) == b"xxxx"


async def test_a_write_ends_at_its_limit_even_if_bytes_arrive(server: ScriptedServer) -> None:
    server.on("PUT", "/x", trickle)
    async with transport(server, timeout_seconds=0.5) as wire, asyncio.timeout(SOON):
        with pytest.raises(ConnectionFailed, match=r"no complete response within 0\.5 s"):
            async with wire.send(HttpRequest("PUT", "/x")) as answer:
                await answer.read()


async def test_the_headers_of_a_stream_have_the_time_limit_of_a_call(server: ScriptedServer) -> None:
    server.on("GET", "/x", hang)
    async with transport(server, timeout_seconds=0.2) as wire, asyncio.timeout(SOON):
        with pytest.raises(ConnectionFailed, match=r"no response within 0\.2 s"):
            await fetch(wire, stream=True)
        await server.disconnects.wait()


async def test_a_streams_body_may_take_longer_than_a_call(server: ScriptedServer) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(4):
            await asyncio.sleep(0.1)
            await response.write(b"x")
        return response

    server.on("GET", "/x", slow)
    async with (
        transport(server, timeout_seconds=0.2) as wire,
        wire.send(HttpRequest("GET", "/x"), stream=True) as answer,
    ):
        assert b"".join([chunk async for chunk in answer.chunks()]) == b"xxxx"


async def test_an_incomplete_body_is_a_failed_connection(server: ScriptedServer) -> None:
    server.on("GET", "/x", stream(b"some", drop=True))
    async with transport(server) as wire:
        with pytest.raises(ConnectionFailed):
            await fetch(wire)


@pytest.mark.parametrize(
    "response",
    [
        b'{"data": "geheim"}\r\n\r\n',
        b"HTTP/1.1 200 OK\r\ngeheim\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ngeheim\r\n",
        b"HTTP/1.1 200 OK\r\nX: geheim" + b"x" * 100_000 + b"\r\n\r\n",
    ],
    ids=["no status line", "no header", "no chunk", "a long header"],
)
async def test_the_error_for_a_response_that_is_no_http_does_not_quote_it(response: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response)
        await writer.drain()
        writer.close()

    raw = await asyncio.start_server(answer, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{raw.sockets[0].getsockname()[1]}"
    async with raw, HttpTransport(ConnectionInfo(address), clock=LoopClock()) as wire:
        with pytest.raises(ConnectionFailed) as caught:
            await fetch(wire)
    assert "geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_waiting_for_a_free_connection_counts_towards_the_time_limit(server: ScriptedServer) -> None:
    server.on("GET", "/hang", hang).on("GET", "/x", b"ok")
    options = {"timeout_seconds": 0.2}
    async with transport(server, **options) as wire, asyncio.timeout(SOON), AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        hanging = [tasks.create_task(fetch(wire, "/hang", timeout_seconds=10 * SOON)) for _ in range(64)]
        await server.until(lambda: server.open_requests == 64)
        with pytest.raises(ConnectionFailed, match="no complete response"):
            await fetch(wire, timeout_seconds=0.2)
        with pytest.raises(
            ConnectionFailed, match=r"no connection in time: .* all 64 connections are in use"
        ):
            await fetch(wire)
        hanging[0].cancel()
        assert await fetch(wire, timeout_seconds=SOON) == b"ok"
        for task in hanging:
            task.cancel()


async def test_150_watches_do_not_starve_calls(server: ScriptedServer) -> None:
    """Fault 15: calls have connections of their own."""
    server.on("GET", "/watch", stream(b"x", hold=True)).on("GET", "/x", b"ok")
    async with transport(server) as wire, asyncio.timeout(4 * SOON), AsyncExitStack() as stack:
        for _ in range(150):
            answer = await stack.enter_async_context(wire.send(HttpRequest("GET", "/watch"), stream=True))
            assert await anext(answer.chunks()) == b"x"
        assert server.open_requests == 150
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(fetch(wire, timeout_seconds=SOON)) for _ in range(100)]
        assert {call.result() for call in calls} == {b"ok"}


# Cancellation and closing


@pytest.mark.parametrize(
    ("streamed", "handler"),
    [(False, hang), (False, half_a_body), (True, hang), (True, stream(b"x", hold=True))],
)
async def test_cancellation_at_any_await_closes_the_socket(
    server: ScriptedServer, streamed: bool, handler: Any
) -> None:
    """Fault 16: on a real socket."""
    server.on("GET", "/x", handler)
    async with transport(server) as wire, asyncio.timeout(SOON):
        task = asyncio.create_task(fetch(wire, stream=streamed))
        await server.until(lambda: server.open_requests == 1)
        await asyncio.sleep(0.05)  # the headers have arrived, if there are any
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.disconnects.wait()


@pytest.mark.parametrize("streamed", [False, True])
async def test_leaving_before_the_end_of_the_body_closes_the_socket(
    server: ScriptedServer, streamed: bool
) -> None:
    server.on("GET", "/x", stream(b"x", hold=True))
    async with transport(server) as wire, asyncio.timeout(SOON):
        async with wire.send(HttpRequest("GET", "/x"), stream=streamed) as answer:
            assert answer.status == 200
        await server.disconnects.wait()


async def test_closing_ends_streams_in_use_and_refuses_new_requests(server: ScriptedServer) -> None:
    server.on("GET", "/x", stream(b"x", hold=True))
    async with transport(server) as wire, asyncio.timeout(SOON):
        async with wire.send(HttpRequest("GET", "/x"), stream=True) as answer:
            chunks = answer.chunks()
            assert await anext(chunks) == b"x"
            await wire.aclose()
            with pytest.raises(ConnectionFailed):
                await anext(chunks)
        with pytest.raises(ConnectionFailed, match="not open"):
            await fetch(wire)
        await wire.aclose()


async def test_a_transport_that_was_not_entered_is_an_error() -> None:
    with pytest.raises(ConnectionFailed, match="not open"):
        await fetch(HttpTransport(ConnectionInfo("http://127.0.0.1:1"), clock=LoopClock()))


# Request metadata


async def test_every_request_is_observed_once(server: ScriptedServer) -> None:
    observed = Observed()
    server.on("GET", "/x", failure(401), b"ok").on("GET", "/down", failure(503)).on("GET", "/slow", hang)
    async with transport(server, observer=observed) as wire:
        await fetch(wire)
        await fetch(wire, "/down")
        with pytest.raises(ConnectionFailed):
            await fetch(wire, "/slow", timeout_seconds=0.1)
    assert observed.codes == ["401", "200", "503", "<error>"]
    assert observed.last.pop("seconds") >= 0.1
    assert observed.last == {
        "verb": "GET",
        "method": "GET",
        "host": f"127.0.0.1:{server.port}",
        "code": "<error>",
    }


async def test_requests_use_the_proxy_url(server: ScriptedServer) -> None:
    server.on("GET", "/x", b"through")
    info = {"server": "http://cluster.invalid", "proxy_url": server.url}
    async with transport(server, info=info) as wire:
        assert await fetch(wire) == b"through"
    assert server.seen[0].headers["Host"] == "cluster.invalid"


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_environments_proxy_is_used_only_when_allowed(
    server: ScriptedServer, trusted: bool, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HTTP_PROXY", server.url)
    info = {"server": "http://cluster.invalid", "trust_env": trusted}
    async with transport(server, info=info) as wire:
        if trusted:
            await fetch(wire)
        else:
            with pytest.raises(ConnectionFailed):
                await fetch(wire)
    assert [seen.headers["Host"] for seen in server.seen] == (["cluster.invalid"] if trusted else [])


async def test_a_server_on_this_machine_is_reached_without_the_proxy(
    server: ScriptedServer, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    server.on("GET", "/x", b"direct")
    async with transport(server, info={"trust_env": True}) as wire:
        assert await fetch(wire) == b"direct"


async def test_the_proxy_of_the_environment_is_chosen_once(
    server: ScriptedServer, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HTTP_PROXY", server.url)
    async with transport(server, info={"server": "http://cluster.invalid", "trust_env": True}) as wire:
        environment.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
        await fetch(wire)
    assert len(server.seen) == 1


@pytest.mark.parametrize("token", ["tok", None])
async def test_netrc_is_not_read(
    server: ScriptedServer, token: str | None, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login other password secret\n")
    netrc.chmod(0o600)
    environment.setenv("NETRC", str(netrc))
    credentials = StaticCredentials.bearer(token) if token else StaticCredentials()
    async with transport(server, info={"credentials": credentials, "trust_env": True}) as wire:
        await fetch(wire)
    assert server.seen[0].headers.get("Authorization") == (f"Bearer {token}" if token else None)


@pytest.mark.parametrize("source", ["proxy-url", "HTTP_PROXY"])
async def test_a_proxy_receives_its_credentials_and_no_message_contains_them(
    server: ScriptedServer, source: str, environment: pytest.MonkeyPatch
) -> None:
    address = server.url.replace("://", "://worker:s%C3%A9cret@")
    info: dict[str, Any] = {"server": "http://cluster.invalid", "trust_env": True}
    if source == "proxy-url":
        info["proxy_url"] = address
    else:
        environment.setenv(source, address)
    async with transport(server, info=info) as wire:
        await fetch(wire)
    expected = "Basic " + base64.b64encode("worker:sécret".encode()).decode()
    assert server.seen[0].headers["Proxy-Authorization"] == expected
    assert "cret" not in repr(ConnectionInfo(**info))


async def test_a_failing_tunnel_is_reported_without_the_password(server: ScriptedServer) -> None:
    address = server.url.replace("://", "://worker:secret@")
    async with transport(server, info={"server": "https://cluster.invalid", "proxy_url": address}) as wire:
        with pytest.raises(ConnectionFailed) as caught:
            await fetch(wire)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(caught.value.__cause__)


@pytest.mark.parametrize("token", ["tok", None])
async def test_the_login_of_the_server_address_takes_precedence_as_in_kubectl(
    server: ScriptedServer, token: str | None
) -> None:
    address = server.url.replace("://", "://admin:secret@")
    credentials = StaticCredentials.bearer(token) if token else StaticCredentials()
    async with transport(server, info={"server": address, "credentials": credentials}) as wire:
        await fetch(wire)
    login = "Basic " + base64.b64encode(b"admin:secret").decode()
    assert server.seen[0].headers["Authorization"] == login


@pytest.mark.parametrize(("path", "token"), [("/x", "two\r\nlines"), ("/x", "nul\0"), ("/\ud800", "tok")])
async def test_a_request_that_cannot_be_sent_is_a_failed_connection_without_the_token(
    server: ScriptedServer, path: str, token: str
) -> None:
    async with transport(server, info={"credentials": StaticCredentials.bearer(token)}) as wire:
        with pytest.raises(ConnectionFailed, match="cannot be sent") as caught:
            await fetch(wire, path)
    assert token not in str(caught.value)
    assert server.seen == []


async def test_a_client_works_with_the_transport(server: ScriptedServer) -> None:
    server.on("POST", "/api/v1/namespaces/default/pods", Answer(201, pod())).on("GET", ONE, pod(rv=2))
    async with transport(server) as wire:
        client = Client(wire, clock=LoopClock())
        assert (await client.create(PODS, pod())).meta.uid == "uid-a"
        assert (await client.get(PODS, "a", "default")).meta.resource_version == "2"
