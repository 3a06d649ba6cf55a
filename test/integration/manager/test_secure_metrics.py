"""Protected metrics and debug pages over real sockets, with tokens and permissions of the embedded cluster."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import Answer, Delay, Match
from aimctl.kubetypes.builtin import SERVICE_ACCOUNTS
from aimctl.runtime import ConfigurationError, Manager, ManagerOptions, SecureServing, run_managers
from aimctl.runtime.clock import LoopClock
from support.managers import samples_of
from support.pki import CertificateAuthority
from support.ports import reserve_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aimctl.devcluster.apiserver.access import User
    from aimctl.devcluster.apiserver.wire.requests import RequestInfo

LOCAL = "127.0.0.1:0"
REVIEWS = ("tokenreviews", "subjectaccessreviews")


def unverified() -> ssl.SSLContext:
    """A context of a client that accepts every certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Readers:
    """An authorizer: the accounts by the non-resource URLs that they may get; everything else is allowed."""

    def __init__(self) -> None:
        self.paths: dict[str, set[str]] = {}

    def refuse(self, user: User, info: RequestInfo) -> str | None:
        if info.resource or info.verb != "get" or not info.path.startswith(("/metrics", "/debug")):
            return None
        account = user.name.rpartition(":")[2]
        return None if info.path in self.paths.get(account, ()) else "no rule"


class World:
    """A cluster, and a manager with protected metrics.

    Attributes:
        readers: who may read what.
    """

    def __init__(self, cluster: DevCluster, manager: Manager, readers: Readers) -> None:
        self.cluster, self.manager, self.readers = cluster, manager, readers
        self._reviews = [cluster.faults.add(Delay(0.0), Match(resource=name)) for name in REVIEWS]

    @property
    def reviews(self) -> tuple[int, ...]:
        """How many token reviews and access reviews the API server has received."""
        return tuple(fault.hits for fault in self._reviews)

    async def token(self, account: str, *paths: str, audiences: tuple[str, ...] = ()) -> str:
        """A token of a new account that may get these paths."""
        self.readers.paths[account] = set(paths)
        client = self.cluster.client()
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": account}}, "default")
        spec = {"audiences": list(audiences)} if audiences else {}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        raw = await client.raw(
            "POST",
            f"/api/v1/namespaces/default/serviceaccounts/{account}/token",
            body=json.dumps(body).encode(),
        )
        return str(json.loads(raw)["status"]["token"])

    async def get(self, path: str, token: str | None = None, **headers: str) -> tuple[int, str]:
        """The status and the text of a page, over a new connection."""
        async with aiohttp.ClientSession() as session:
            return await self.request(session, path, token, **headers)

    async def request(
        self, session: aiohttp.ClientSession, path: str, token: str | None = None, **headers: str
    ) -> tuple[int, str]:
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with session.get(self.url + path, headers=headers, ssl=False) as answer:
            return answer.status, await answer.text()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.manager.metrics_port}"

    async def certificate(self) -> bytes:
        """The certificate that a new connection gets."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.manager.metrics_port, ssl=unverified())
        try:
            found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            assert isinstance(found, bytes)
            return found
        finally:
            writer.close()


@asynccontextmanager
async def world(secure: SecureServing | None = None, **options: Any) -> AsyncIterator[World]:
    readers = Readers()
    async with DevCluster(clock=LoopClock(), controllers=False) as cluster:
        cluster.server.authorizer = readers
        manager = Manager(
            cluster.transport(),
            clock=cluster.clock,
            options=ManagerOptions(
                metrics_bind_address=LOCAL, metrics_secure=secure or SecureServing(), **options
            ),
        )
        stop = asyncio.Event()
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(manager.run(stop))
            await manager.elected.wait()
            try:
                yield World(cluster, manager, readers)
            finally:
                stop.set()
                await running


async def test_only_clients_with_a_token_and_the_permission_read_the_metrics():
    async with world() as it:
        reader = await it.token("reader", "/metrics")
        other = await it.token("other")
        status, text = await it.get("/metrics", reader)
        assert status == 200
        assert "aimctl_certificate_expiry_timestamp_seconds" in text
        assert await it.get("/metrics") == (401, "Unauthorized: a valid bearer token is needed\n")
        assert (await it.get("/metrics", "not-a-token-of-this-cluster"))[0] == 401
        status, text = await it.get("/metrics", other)
        assert (status, text) == (403, "Forbidden: the user of the token may not get this path\n")


async def test_each_page_needs_its_own_permission_and_the_probes_need_none():
    async with world(health_probe_bind_address=LOCAL) as it:
        token = await it.token("debugger", "/debug", "/debug/election")
        assert (await it.get("/debug", token))[0] == 200
        status, text = await it.get("/debug/election?format=json", token)
        assert (status, json.loads(text)["leads"]) == (200, True)
        assert (await it.get("/debug/tasks", token))[0] == 403
        assert (await it.get("/metrics", token))[0] == 403
        assert (await it.get("/debug/election"))[0] == 401
        async with aiohttp.ClientSession() as session:
            for path, expected in (("/healthz", 200), ("/readyz", 200), ("/debug", 404), ("/metrics", 404)):
                url = f"http://127.0.0.1:{it.manager.probe_port}{path}"
                assert (await session.get(url)).status == expected


async def test_a_browser_without_a_token_gets_the_document_of_the_status_page_but_no_data():
    async with world() as it:
        it.manager.add_status_section("Mine", lambda: {"value": "not for everyone"})
        token, other = await it.token("viewer", "/debug", "/debug/status"), await it.token("other")
        status, text = await it.get("/debug", Accept="text/html")
        assert status == 401
        assert 'type="password"' in text
        assert "not for everyone" not in text
        assert (await it.get("/debug", token, Accept="text/html")) == (200, text)
        for path in ("/debug/status?format=json", "/debug/election", "/metrics"):
            assert (await it.get(path, Accept="text/html"))[0] == 401
            assert "password" not in (await it.get(path, Accept="text/html"))[1]
        assert (await it.get("/debug"))[1] == "Unauthorized: a valid bearer token is needed\n"
        assert (await it.get("/debug", other, Accept="text/html"))[0] == 403
        assert (await it.get("/debug/status", other))[0] == 403
        status, text = await it.get("/debug/status?format=json", token)
        assert status == 200
        assert "not for everyone" in text


async def test_without_a_metrics_port_protected_pages_are_nowhere():
    async with world(health_probe_bind_address=LOCAL) as it:
        options = ManagerOptions(health_probe_bind_address=LOCAL, metrics_secure=SecureServing())
        manager = Manager(it.cluster.transport(), clock=LoopClock(), options=options)
        (server,) = manager.endpoints.servers
        async with server, aiohttp.ClientSession() as session:
            assert (await session.get(f"http://127.0.0.1:{server.port}/debug")).status == 404
        assert manager.requirements.permissions == []


async def test_scrapes_with_one_token_cost_one_review_of_each_kind():
    async with world() as it, aiohttp.ClientSession() as session:
        token = await it.token("reader", "/metrics")
        answers = await asyncio.gather(*(it.request(session, "/metrics", token) for _ in range(20)))
        answers += [await it.request(session, "/metrics", token) for _ in range(5)]
        assert {status for status, _ in answers} == {200}
        assert it.reviews == (1, 1)


async def test_a_request_without_one_bearer_token_is_rejected_without_a_review():
    wrong = (
        [],
        ["Basic dXNlcjpwYXNz"],
        ["Bearer"],
        ["Bearer "],
        ["Bearer a b"],
        ["Bearer t\xf6ken"],
        ["Bearer a"] * 2,
    )
    async with world() as it:
        for values in wrong:
            lines = "".join(f"Authorization: {value}\r\n" for value in values)
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", it.manager.metrics_port, ssl=unverified()
            )
            head = f"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n"
            writer.write(head.encode())
            answer = (await reader.read()).decode()
            writer.close()
            assert answer.startswith("HTTP/1.1 401 "), values
            assert "WWW-Authenticate: Bearer" in answer
        assert it.reviews == (0, 0)


@pytest.mark.parametrize("resource", REVIEWS)
@pytest.mark.parametrize("code", [403, 500], ids=["forbidden", "error"])
async def test_a_review_that_fails_is_a_503_and_is_not_cached(resource, code, capsys):
    async with world() as it:
        token = await it.token("reader", "/metrics")
        fault = it.cluster.faults.add(Answer(code, message=f"not {token}"), Match(resource=resource))
        async with aiohttp.ClientSession() as session:
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(f"{it.url}/metrics", headers=headers, ssl=False) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
                assert token not in await answer.text()
        it.cluster.faults.remove(fault)
        assert (await it.get("/metrics", token))[0] == 200
    logged = "".join(capsys.readouterr())
    assert "clients of the metrics cannot be checked" in logged
    assert ("grant the manager the verb create" in logged) is (code == 403)
    assert token not in logged


async def test_a_token_needs_one_of_the_audiences():
    async with world(SecureServing(audiences=("metrics.example", "other"))) as it:
        fitting = await it.token("reader", "/metrics", audiences=("metrics.example",))
        general = await it.token("general", "/metrics")
        assert (await it.get("/metrics", fitting))[0] == 200
        assert (await it.get("/metrics", general))[0] == 401
    async with world() as it:
        fitting = await it.token("reader", "/metrics", audiences=("metrics.example",))
        assert (await it.get("/metrics", fitting))[0] == 401


class MountedSecret:
    """A folder as the kubelet mounts a Secret: the files are links into a folder that is replaced atomically."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "mount"
        self.folder.mkdir()
        self._authority = CertificateAuthority(folder)
        self._number = 0

    def replace(self, *, matching: bool = True) -> None:
        """Put a new certificate there; without ``matching``, the key is that of another one."""
        self._number += 1
        issued, other = (self._authority.issue(f"server-{self._number}-{each}") for each in ("a", "b"))
        data = self.folder / f"..data-{self._number}"
        data.mkdir()
        (data / "tls.crt").write_bytes(issued.certificate.read_bytes())
        (data / "tls.key").write_bytes((issued if matching else other).key.read_bytes())
        (self.folder / "new").symlink_to(data.name)
        (self.folder / "new").replace(self.folder / "..data")
        for name in ("tls.crt", "tls.key"):
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")


async def test_a_certificate_that_changes_is_used_for_new_connections_and_open_ones_continue(tmp_path):
    secret = MountedSecret(tmp_path)
    secret.replace()
    async with world(SecureServing(str(secret.folder))) as it:
        token = await it.token("reader", "/metrics")
        server = it.manager.endpoints.servers[0]
        reader, writer = await asyncio.open_connection("127.0.0.1", it.manager.metrics_port, ssl=unverified())

        async def scrape() -> tuple[bytes, str]:
            request = f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
            writer.write(request.encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split()[0])
            return head.split(b"\r\n")[0], (await reader.readexactly(length)).decode()

        assert (await scrape())[0] == b"HTTP/1.1 200 OK"
        first = await it.certificate()
        secret.replace()
        await server.protection.check()
        second = await it.certificate()
        assert first != second
        secret.replace(matching=False)
        await server.protection.check()
        assert await it.certificate() == second
        status, text = await scrape()
        writer.close()
        assert status == b"HTTP/1.1 200 OK"
        samples = samples_of(text)
        assert samples["certwatcher_read_certificate_total"] == 2
        assert samples["certwatcher_read_certificate_errors_total"] == 1
        expiry = samples['aimctl_certificate_expiry_timestamp_seconds{certificate="metrics"}']
        assert 0 < expiry - it.cluster.clock.now().timestamp() <= 24 * 3600


@pytest.mark.parametrize(
    "files", [(), ("tls.crt",), ("tls.crt", "tls.key")], ids=["none", "no key", "no PEM"]
)
async def test_a_certificate_that_cannot_be_used_is_an_error_at_the_start(tmp_path, files):
    for name in files:
        (tmp_path / name).write_text("x")
    async with DevCluster(clock=LoopClock(), controllers=False) as cluster:
        secure = SecureServing(str(tmp_path))
        options = ManagerOptions(metrics_bind_address=LOCAL, metrics_secure=secure)
        manager = Manager(cluster.transport(), clock=cluster.clock, options=options)
        with pytest.raises(ConfigurationError, match=rf"{tmp_path}/tls\.(crt|key)"):
            await manager.run()
    assert manager.metrics_port == 0


async def test_plain_requests_and_old_versions_of_tls_get_no_answer():
    async with world() as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", it.manager.metrics_port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not (await reader.read()).startswith(b"HTTP")
        writer.close()
        context = unverified()
        with pytest.warns(DeprecationWarning, match="TLSVersion"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        # The alert of the server, or the end of the connection, which has no message, if that is noticed first.
        with pytest.raises((ssl.SSLError, ConnectionResetError, ConnectionAbortedError)):
            await asyncio.open_connection("127.0.0.1", it.manager.metrics_port, ssl=context)


async def test_managers_of_several_clusters_can_be_protected_together():
    async with world() as it:
        token = await it.token("reader", "/metrics")
        manager = Manager(
            it.cluster.transport(), clock=it.cluster.clock, options=ManagerOptions(cluster="west")
        )
        port, stop = reserve_port(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(
                run_managers(
                    [manager],
                    stop,
                    metrics_bind_address=f"127.0.0.1:{port.number}",
                    metrics_secure=SecureServing(),
                )
            )
            await manager.elected.wait()
            async with aiohttp.ClientSession() as session:
                for sent, expected in ((token, 200), ("x", 401)):
                    headers = {"Authorization": f"Bearer {sent}"}
                    url = f"https://127.0.0.1:{port.number}/metrics"
                    assert (await session.get(url, headers=headers, ssl=False)).status == expected
            stop.set()
        port.release()


def test_it_works_on_uvloop():
    uvloop = pytest.importorskip("uvloop", reason="uvloop is an optional dependency")

    async def scrape() -> None:
        async with world() as it:
            token = await it.token("reader", "/metrics")
            assert (await it.get("/metrics", token))[0] == 200
            assert (await it.get("/metrics"))[0] == 401

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scrape())
