"""The kubelet's server, over a real TLS socket."""

import asyncio
import contextlib
import ssl

import aiohttp
import pytest

from aimctl.devcluster import ContainerLogs, KubeletServer
from aimctl.devcluster.apiserver.logs import LogKey
from aimctl.runtime.clock import LoopClock

KEY = LogKey("ns", "pod", "main")


@pytest.fixture
def logs():
    return ContainerLogs(clock=LoopClock())


def trusting_context():
    """The TLS context of an API server without --kubelet-certificate-authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def trusting():
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting_context()))


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("ns/pod/main", 200, "one\ntwo\nthree\n"),
        ("ns/pod/main?tailLines=1", 200, "three\n"),
        ("ns/pod/main?limitBytes=3", 200, "one"),
        ("ns/pod/waiting", 400, 'container "waiting" in pod "pod" is waiting to start: ImagePullBackOff'),
        ("ns/pod/unknown", 404, 'container "unknown" in pod "pod" is not on this node'),
        ("ns/pod/main?previous=true", 400, 'previous terminated container "main" in pod "pod" not found'),
    ],
)
async def test_the_kubelet_serves_logs(logs, path, status, text):
    logs.start(KEY, "uid", b"one\ntwo\nthree\n")
    logs.waiting(LogKey("ns", "pod", "waiting"), "uid", "ImagePullBackOff")
    async with (
        KubeletServer(logs, clock=LoopClock()) as kubelet,
        trusting() as session,
        session.get(f"https://127.0.0.1:{kubelet.port}/containerLogs/{path}") as answer,
    ):
        assert (answer.status, await answer.text()) == (status, text)


async def test_a_followed_log_ends_with_its_container(logs):
    logs.start(KEY, "uid", b"one\n")
    async with KubeletServer(logs, clock=LoopClock()) as kubelet, trusting() as session:
        url = f"https://127.0.0.1:{kubelet.port}/containerLogs/ns/pod/main?follow=true"
        async with asyncio.timeout(10), session.get(url) as answer:
            assert await answer.content.readline() == b"one\n"
            logs.write(KEY, b"two\n")
            assert await answer.content.readline() == b"two\n"
            logs.end(KEY)
            assert await answer.content.read() == b""


async def test_leaving_the_context_closes_connections_without_the_clients_tls_shutdown(logs):
    logs.start(KEY, "uid", b"one\n")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting_context().wrap_bio(incoming, outgoing)

    async def exchange(operation, *args):
        while True:
            try:
                return operation(*args)
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65536))

    async with asyncio.timeout(10):
        async with KubeletServer(logs, clock=LoopClock()) as kubelet:
            reader, writer = await asyncio.open_connection("127.0.0.1", kubelet.port)
            await exchange(tls.do_handshake)
            tls.write(b"GET /containerLogs/ns/pod/main HTTP/1.1\r\nHost: kubelet\r\n\r\n")
            assert (await exchange(tls.read, 4096)).startswith(b"HTTP/1.1 200")
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()
