"""TLS of the HTTP transport: trust, names, client certificates, and their rotation while running."""

from __future__ import annotations

import asyncio
import gc
import shutil
import socket
import ssl
import tempfile
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from aimctl.runtime.kube import (
    ConfigurationError,
    ConnectionFailed,
    ConnectionInfo,
    HttpRequest,
    HttpTransport,
)
from aimctl.runtime.kube.credentials.tls import TlsContext
from support.pki import CertificateAuthority, CertificateFiles
from support.scripted import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class Clock:
    """A clock that the test sets: a rotation is detected at most one second later."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> Any:
        raise AssertionError("TLS has no use for the wall clock")

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def authority(folder: Path) -> CertificateAuthority:
    folder.mkdir()
    return CertificateAuthority(folder)


@pytest.fixture
def ca(tmp_path: Path) -> CertificateAuthority:
    return authority(tmp_path / "ca")


def serving(
    authority: CertificateAuthority, *, clients: CertificateAuthority | None = None
) -> ssl.SSLContext:
    files = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients.certificate)
    return context


async def who(request: web.Request) -> web.StreamResponse:
    """Responds with the common name of the client's certificate."""
    assert request.transport is not None
    subject = dict(pair for part in request.transport.get_extra_info("peercert")["subject"] for pair in part)
    return web.Response(text=subject["commonName"])


async def fetch(wire: HttpTransport) -> str:
    async with wire.send(HttpRequest("GET", "/x")) as answer:
        return (await answer.read()).decode()


def open_to(server: ScriptedServer, clock: Clock, **info: Any) -> HttpTransport:
    return HttpTransport(ConnectionInfo(server.url, **info), clock=clock)


async def test_a_server_of_the_named_authority_is_trusted(ca: CertificateAuthority, clock: Clock) -> None:
    async with ScriptedServer(ssl_context=serving(ca)) as server:
        server.on("GET", "/x", b"ok")
        async with open_to(server, clock, ca_file=str(ca.certificate)) as wire:
            assert await fetch(wire) == "ok"
        async with open_to(server, clock, ca_data=ca.certificate.read_bytes()) as wire:
            assert await fetch(wire) == "ok"


async def test_the_scheme_of_the_server_may_be_in_upper_case(ca: CertificateAuthority, clock: Clock) -> None:
    async with ScriptedServer(ssl_context=serving(ca)) as server:
        server.on("GET", "/x", b"ok")
        info = ConnectionInfo(server.url.replace("https", "HTTPS"), ca_file=str(ca.certificate))
        async with HttpTransport(info, clock=clock) as wire:
            assert await fetch(wire) == "ok"


async def test_a_server_of_another_authority_is_not_trusted_and_the_error_says_what_to_check(
    ca: CertificateAuthority, clock: Clock, tmp_path: Path
) -> None:
    other = authority(tmp_path / "other")
    async with ScriptedServer(ssl_context=serving(ca)) as server:
        async with open_to(server, clock, ca_file=str(other.certificate)) as wire:
            with pytest.raises(ConnectionFailed, match=r"not trusted.*check the certificate authority"):
                await fetch(wire)
        assert server.seen == []


async def test_a_name_that_is_not_in_the_certificate_is_an_error_unless_insecure(
    ca: CertificateAuthority, clock: Clock
) -> None:
    async with ScriptedServer(ssl_context=serving(ca)) as server:
        server.on("GET", "/x", b"ok")
        async with open_to(server, clock, ca_file=str(ca.certificate), tls_server_name="other.name") as wire:
            with pytest.raises(ConnectionFailed, match=r"other\.name"):
                await fetch(wire)
        async with open_to(server, clock, ca_file=str(ca.certificate), tls_server_name="localhost") as wire:
            assert await fetch(wire) == "ok"
        async with open_to(server, clock, insecure=True) as wire:
            assert await fetch(wire) == "ok"


async def test_a_rotated_authority_is_used_for_new_connections(
    ca: CertificateAuthority, clock: Clock, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted.crt"
    shutil.copy(ca.certificate, trusted)
    async with ScriptedServer(ssl_context=serving(ca)) as old:
        old.on("GET", "/x", b"old")
        async with open_to(old, clock, ca_file=str(trusted)) as wire:
            assert await fetch(wire) == "old"
            await old.__aexit__()
            new_ca = authority(tmp_path / "new")
            async with ScriptedServer(ssl_context=serving(new_ca), port=old.port) as new:
                new.on("GET", "/x", b"new")
                with pytest.raises(ConnectionFailed, match="not trusted"):
                    await fetch(wire)
                shutil.copy(new_ca.certificate, trusted)
                clock.seconds += 1
                assert await fetch(wire) == "new"


async def test_a_rotated_client_certificate_is_used_for_new_requests(
    ca: CertificateAuthority, clock: Clock, tmp_path: Path
) -> None:
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def install(files: CertificateFiles) -> None:
        shutil.copy(files.certificate, cert)
        shutil.copy(files.key, key)

    install(ca.issue("first"))
    async with ScriptedServer(ssl_context=serving(ca, clients=ca)) as server:
        server.on("GET", "/x", who)
        info = {"ca_file": str(ca.certificate), "client_cert_file": str(cert), "client_key_file": str(key)}
        async with open_to(server, clock, **info) as wire:
            assert await fetch(wire) == "first"
            install(ca.issue("second"))
            assert await fetch(wire) == "first"
            assert wire.client_certificate == (tmp_path / "ca" / "first.crt").read_bytes()
            clock.seconds += 1
            assert await fetch(wire) == "second"
            assert wire.client_certificate == cert.read_bytes()


def pem(files: CertificateFiles) -> tuple[bytes, bytes]:
    return files.certificate.read_bytes(), files.key.read_bytes()


async def test_a_client_certificate_and_its_key_can_be_given_as_bytes(
    ca: CertificateAuthority, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is created for them, in particular none that is left behind."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    certificate, key = pem(ca.issue("client"))
    async with ScriptedServer(ssl_context=serving(ca, clients=ca)) as server:
        server.on("GET", "/x", who)
        info = {"ca_data": ca.certificate.read_bytes(), "client_cert_data": certificate}
        async with open_to(server, clock, **info, client_key_data=key) as wire:
            assert wire.client_certificate is None
            assert await fetch(wire) == "client"
            assert wire.client_certificate == certificate
    assert list(folder.iterdir()) == []


def test_an_encrypted_key_is_an_error_and_no_question_on_the_terminal(
    ca: CertificateAuthority, clock: Clock
) -> None:
    certificate, key = pem(ca.issue("client"))
    secret = serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"geheim"),
    )
    info = ConnectionInfo("https://x", client_cert_data=certificate, client_key_data=secret)
    with pytest.raises(ConfigurationError, match=r"client-key-data: the private key is encrypted"):
        TlsContext(info, clock=clock).current()


async def test_a_changed_certificate_of_a_source_is_used_for_the_next_request(
    ca: CertificateAuthority, clock: Clock
) -> None:
    class Source:
        def __init__(self) -> None:
            self.pair = pem(ca.issue("first"))

        def client_certificate(self) -> tuple[bytes, bytes]:
            return self.pair

    source = Source()
    async with ScriptedServer(ssl_context=serving(ca, clients=ca)) as server:
        server.on("GET", "/x", who)
        async with open_to(server, clock, ca_file=str(ca.certificate), certificate_source=source) as wire:
            assert await fetch(wire) == "first"
            source.pair = pem(ca.issue("second"))
            assert await fetch(wire) == "second"


def test_an_incomplete_rotation_keeps_the_working_context(
    ca: CertificateAuthority, clock: Clock, tmp_path: Path
) -> None:
    first, second = ca.issue("first"), ca.issue("second")
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    shutil.copy(first.certificate, cert)
    shutil.copy(first.key, key)
    info = ConnectionInfo("https://x", client_cert_file=str(cert), client_key_file=str(key))
    tls = TlsContext(info, clock=clock)
    before = tls.current()
    shutil.copy(second.certificate, cert)
    clock.seconds += 1
    assert tls.current() is before
    shutil.copy(second.key, key)
    clock.seconds += 1
    after = tls.current()
    assert after is not before
    key.unlink()
    clock.seconds += 1
    assert tls.current() is after


def test_an_unchanged_connection_keeps_one_context(ca: CertificateAuthority, clock: Clock) -> None:
    tls = TlsContext(ConnectionInfo("https://x", ca_file=str(ca.certificate)), clock=clock)
    first = tls.current()
    clock.seconds += 3600
    assert tls.current() is first
    assert TlsContext(ConnectionInfo("http://x"), clock=clock).current() is None


@pytest.mark.parametrize("field", ["ca_file", "client_cert_file"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_cannot_be_used_is_named(
    clock: Clock, tmp_path: Path, field: str, content: str | None
) -> None:
    path = tmp_path / "broken.pem"
    if content is not None:
        path.write_text(content)
    info = ConnectionInfo("https://x", **{field: str(path)})  # type: ignore[arg-type] # both fields are paths
    with pytest.raises(ConfigurationError, match=r"broken\.pem"):
        TlsContext(info, clock=clock).current()


def test_broken_authority_data_is_named_by_its_field(clock: Clock) -> None:
    info = ConnectionInfo("https://x", ca_data=b"\xff no pem")
    with pytest.raises(ConfigurationError, match="certificate-authority-data"):
        TlsContext(info, clock=clock).current()


class DeafPeer:
    """Accepts one request, optionally starts its response, then neither reads nor writes, not even the TLS shutdown."""

    def __init__(self, begin: bytes) -> None:
        self.asked = threading.Event()
        self.done = threading.Event()
        self._begin = begin

    def serve(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        raw, _ = listener.accept()
        with context.wrap_socket(raw, server_side=True) as peer:
            peer.recv(65536)
            peer.sendall(self._begin)
            self.asked.set()
            self.done.wait(30)


async def leave_stream(wire: HttpTransport, _: DeafPeer) -> None:
    async with wire.send(HttpRequest("GET", "/x"), stream=True) as answer:
        async for chunk in answer.chunks():
            assert chunk == b"{}\n"
            break


async def leave_before_the_answer(wire: HttpTransport, peer: DeafPeer) -> None:
    async def ask() -> None:
        async with wire.send(HttpRequest("GET", "/x"), stream=True):
            pytest.fail("nothing answers")

    task = asyncio.create_task(ask())
    assert await asyncio.to_thread(peer.asked.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("begin", "leave"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n", leave_stream),
        (b"", leave_before_the_answer),
    ],
    ids=["in the middle", "before the answer"],
)
def test_leaving_a_stream_aborts_its_connection(
    ca: CertificateAuthority,
    clock: Clock,
    begin: bytes,
    leave: Callable[[HttpTransport, DeafPeer], Awaitable[None]],
) -> None:
    deaf = DeafPeer(begin)

    async def main(url: str) -> None:
        async with HttpTransport(ConnectionInfo(url, ca_file=str(ca.certificate)), clock=clock) as wire:
            await leave(wire, deaf)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        peer = threading.Thread(target=deaf.serve, args=(listener, serving(ca)))
        peer.start()
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                asyncio.run(main(url))
                gc.collect()
        finally:
            deaf.done.set()
            peer.join(30)
    assert [str(one.message) for one in caught if issubclass(one.category, ResourceWarning)] == []
