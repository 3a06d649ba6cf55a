"""Registries that are slow, send too much, invalid or malicious data: each results in an error that states the cause."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from dataclasses import replace

import pytest
from yarl import URL

from aimctl.controllers.models.byte_budget import ByteBudget
from aimctl.controllers.models.image_readings import READS_PER_REGISTRY
from aimctl.controllers.models.registry import (
    AccessDenied,
    ImageNotFound,
    MalformedMetadata,
    RateLimited,
    ReadTimedOut,
    RegistryError,
    RegistryNotAllowed,
    RegistryUnreachable,
)
from aimctl.controllers.models.registry_addresses import AddressGuard
from aimctl.controllers.models.registry_client import MAX_RESPONSE_BYTES, OciRegistry
from aimctl.controllers.models.registry_http import HttpExchange
from aimctl.domain.images.reference import parse_image
from aimctl.domain.images.registry_auth import Credentials
from aimctl.runtime.clock import LoopClock
from support.hostile_registry import MANIFEST, Hostile, Reply, image_replies, sha
from support.pki import CertificateAuthority
from support.ports import reserve_port

LOOPBACK = AddressGuard(networks=["127.0.0.0/8"])

IMAGE = parse_image("reg.example.org/x:1")
ME = Credentials("me", "hush")
REPLIES = image_replies()
MANIFEST_PATH, BY_DIGEST_PATH, CONFIG_PATH = REPLIES


async def read(server, *credentials, image=IMAGE, seconds=5.0, url=""):
    """Read the image with the server as the mirror of its registry."""
    exchange = HttpExchange(trust_env=False, addresses=LOOPBACK)
    mirrors = {"*": url or server.url}
    try:
        return await OciRegistry(exchange, clock=LoopClock(), mirrors=mirrors, read_seconds=seconds).read(
            image, credentials
        )
    finally:
        await exchange.aclose()


def saying(*special, **by_path):
    """A registry that has the image ``x:1``, with special replies for some paths."""
    replies = {**REPLIES, **by_path}
    for path, reply in special:
        replies[path] = reply
    return lambda asked: replies.get(asked.path, Reply(b"", 404))


async def test_a_valid_registry_is_read():
    async with Hostile(saying()) as server:
        found = await read(server)
    assert found.labels == {"a": "b"}
    assert [asked.path for asked in server.asked] == [MANIFEST_PATH, CONFIG_PATH]
    assert {asked.query for asked in server.asked} == {"ns=reg.example.org"}
    assert all(asked.headers["accept-encoding"] == "identity" for asked in server.asked)


async def test_a_mirror_may_have_a_path():
    replies = {f"/prefix{path}": reply for path, reply in REPLIES.items()}
    async with Hostile(lambda asked: replies[asked.path]) as server:
        assert (await read(server, url=f"{server.url}/prefix/")).labels == {"a": "b"}


# ---- invalid responses

MALFORMED, AWAY, HOST = MalformedMetadata, RegistryUnreachable, "reg.example.org"
NOT_HTTPS = "address that is not valid"


def of_manifest(*reply, **fields):
    return MANIFEST_PATH, Reply(*reply, **fields)


def of_config(*reply, **fields):
    return CONFIG_PATH, Reply(*reply, **fields)


def redirect(location: str):
    return of_manifest(b"", 302, {"Location": location})


def with_digest(digest: str):
    return MANIFEST_PATH, replace(REPLIES[MANIFEST_PATH], headers={"Docker-Content-Digest": digest})


INVALID = {
    "HTML as manifest": (of_manifest(b"<html>hello"), MALFORMED, "not JSON"),
    "an empty manifest": (of_manifest(b""), MALFORMED, "not JSON"),
    "a list as manifest": (of_manifest(b"[1]"), MALFORMED, "not a JSON object"),
    "deeply nested JSON": (of_manifest(b'{"a":' * 10_000), MALFORMED, "not JSON"),
    "a manifest without a configuration": (of_manifest(b"{}"), MALFORMED, "configuration"),
    "schema version 1": (of_manifest(b'{"schemaVersion": 1}'), MALFORMED, "schema version 1"),
    "another configuration": (of_config(b'{"config": {}}'), MALFORMED, "match its digest"),
    "a compressed configuration": (
        of_config(b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"}),
        MALFORMED,
        "match its digest",
    ),
    "no configuration": (of_config(b"", 404), ImageNotFound, "404"),
    "a digest of other bytes": (with_digest(sha(b"other")), MALFORMED, "match its digest"),
    "an invalid digest": (with_digest("sha256:xyz"), MALFORMED, "invalid digest"),
    "418": (of_manifest(b"", 418), MALFORMED, "418"),
    "204": (of_manifest(b"", 204), MALFORMED, "204"),
    "400": (of_manifest(b'{"errors":[{"code":"NAME_INVALID"}]}', 400), MALFORMED, "NAME_INVALID"),
    "401 without a challenge": (of_manifest(b"", 401), AccessDenied, "imagePullSecrets"),
    "401 with an invalid challenge": (
        of_manifest(b"", 401, {"WWW-Authenticate": "Negotiate abc, ="}),
        AccessDenied,
        "401",
    ),
    "403": (of_manifest(b"", 403), AccessDenied, "403"),
    "500": (of_manifest(b"oops", 500), AWAY, "500"),
    "503": (of_manifest(b"oops", 503), AWAY, "503"),
    "408": (of_manifest(b"", 408), AWAY, "408"),
    "a large manifest": (of_manifest(b"x" * 65536, times=1000, length=False), MALFORMED, "than 512 KiB"),
    "a large configuration": (of_config(b"x" * 65536, times=1000), MALFORMED, "than 2048 KiB"),
    "an incomplete body": ((MANIFEST_PATH, replace(REPLIES[MANIFEST_PATH], cut=True)), AWAY, HOST),
    "no HTTP": (of_manifest(b"220 mail.example.org ESMTP\r\n", 0), AWAY, HOST),
    "a header without end": (of_manifest(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, 0), AWAY, HOST),
    "a redirect without a location": (of_manifest(b"", 302), MALFORMED, NOT_HTTPS),
    "a redirect to an invalid URL": (redirect("http://[::1"), MALFORMED, NOT_HTTPS),
    "a redirect to a file": (redirect("file:///etc/passwd"), MALFORMED, NOT_HTTPS),
    "a redirect with a login": (redirect("http://me:hush@127.0.0.1/"), MALFORMED, NOT_HTTPS),
    "a redirect loop": (redirect(MANIFEST_PATH), MALFORMED, "redirects more than 5 times"),
}


@pytest.mark.parametrize("what", INVALID)
async def test_an_invalid_response_is_an_error_that_states_the_cause(what):
    special, kind, message = INVALID[what]
    async with Hostile(saying(special)) as server:
        with pytest.raises(RegistryError, match=message) as caught:
            await read(server)
    assert type(caught.value) is kind
    assert "reg.example.org" in str(caught.value) or server.host in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    assert server.sent < 32_000_000  # including the buffers of the kernel


SLOW = {
    "no response": Reply(silent=True),
    "one byte at a time": Reply(b"x", times=1000, pause=0.05),
    "a body without end": Reply(b"x", times=1000, pause=0.05, length=False),
}


@pytest.mark.parametrize("what", SLOW)
@pytest.mark.parametrize("path", [MANIFEST_PATH, CONFIG_PATH])
async def test_a_slow_registry_exceeds_the_time_limit(what, path):
    async with Hostile(saying((path, SLOW[what]))) as server:
        with pytest.raises(ReadTimedOut, match="no complete response within") as caught:
            await read(server, seconds=0.3)
    assert not caught.value.whole_registry


async def test_unresponsive_registries_do_not_use_up_the_connections():
    exchange = HttpExchange(trust_env=False, addresses=LOOPBACK)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(exchange.aclose)
        silent = [await stack.enter_async_context(Hostile(lambda _: Reply(silent=True))) for _ in range(12)]
        fine = await stack.enter_async_context(Hostile(saying()))
        mirrors = {f"silent{number}.example": server.url for number, server in enumerate(silent)}
        reader = OciRegistry(exchange, clock=LoopClock(), mirrors={**mirrors, "reg.example.org": fine.url})
        reads = [
            asyncio.ensure_future(reader.read(parse_image(f"{host}/x:{number}"), ()))
            for number in range(READS_PER_REGISTRY)
            for host in mirrors
        ]
        try:
            await asyncio.wait_for(asyncio.gather(*(server.was_asked.wait() for server in silent)), 5)
            assert (await asyncio.wait_for(reader.read(IMAGE, ()), 5)).labels == {"a": "b"}
        finally:
            for task in reads:
                task.cancel()
            await asyncio.wait(reads)


async def test_a_read_can_be_cancelled():
    async with Hostile(saying((MANIFEST_PATH, Reply(silent=True)))) as server:
        task = asyncio.ensure_future(read(server, seconds=60))
        await asyncio.wait_for(server.was_asked.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 1)


async def test_a_refused_connection_means_that_the_whole_registry_is_unreachable():
    port = reserve_port()
    with pytest.raises(RegistryUnreachable, match="connection refused") as caught:
        await read(None, url=f"http://127.0.0.1:{port.number}")
    assert caught.value.whole_registry
    port.release()


async def test_an_untrusted_certificate_is_reported(tmp_path):
    files = CertificateAuthority(tmp_path).issue("registry")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    async with Hostile(saying(), tls=context) as server:
        with pytest.raises(RegistryUnreachable, match="certificate is not trusted") as caught:
            await read(server)
    assert caught.value.whole_registry
    assert server.asked == []


# ---- rate limits


@pytest.mark.parametrize(("header", "seconds"), [("17", 17), ("", None), ("soon", None), ("-5", None)])
async def test_retry_after_of_a_rate_limit_is_read(header, seconds):
    reply = Reply(b"", 429, {"Retry-After": header} if header else {})
    async with Hostile(saying((MANIFEST_PATH, reply))) as server:
        with pytest.raises(RateLimited) as caught:
            await read(server)
    assert caught.value.retry_after == seconds
    assert not caught.value.whole_registry


async def test_retry_after_of_an_unavailable_registry_is_read():
    async with Hostile(saying((MANIFEST_PATH, Reply(b"", 503, {"Retry-After": "9"})))) as server:
        with pytest.raises(RegistryUnreachable) as caught:
            await read(server)
    assert caught.value.retry_after == 9
    assert not caught.value.whole_registry


# ---- redirects and credentials

WANTS_BASIC = Reply(b"", 401, {"WWW-Authenticate": 'Basic realm="x"'})


def behind_basic(replies):
    def answer(asked):
        return replies.get(asked.path, Reply(b"", 404)) if "authorization" in asked.headers else WANTS_BASIC

    return answer


async def test_credentials_are_not_sent_along_with_a_redirect_to_another_origin():
    async with Hostile(saying()) as store:
        elsewhere = {**REPLIES, CONFIG_PATH: Reply(b"", 307, {"Location": store.url + CONFIG_PATH})}
        async with Hostile(behind_basic(elsewhere)) as server:
            assert (await read(server, ME)).labels == {"a": "b"}
    (asked,) = store.asked
    assert "authorization" not in asked.headers
    assert "cookie" not in asked.headers


async def test_credentials_are_sent_along_with_a_redirect_within_the_registry():
    moved = {**REPLIES, MANIFEST_PATH: Reply(b"", 301, {"Location": BY_DIGEST_PATH})}
    async with Hostile(behind_basic(moved)) as server:
        assert (await read(server, ME)).labels == {"a": "b"}


@pytest.mark.parametrize("who", [ME, Credentials(identity_token="refresh-me")], ids=["password", "token"])
@pytest.mark.parametrize("path", [MANIFEST_PATH, CONFIG_PATH])
async def test_credentials_are_not_sent_in_response_to_a_challenge_of_another_origin(who, path):
    async with Hostile(lambda _: Reply(b'{"token": "t"}')) as other:
        bearer = {"WWW-Authenticate": f'Bearer realm="{other.url}/token",service="s"'}
        async with Hostile(lambda _: Reply(b"", 401, bearer)) as store:
            moved = (path, Reply(b"", 307, {"Location": store.url + path}))
            async with Hostile(saying(moved)) as server:
                with pytest.raises(AccessDenied, match="credentials are not sent to it") as caught:
                    await read(server, who)
    assert other.asked == []
    assert all("authorization" not in asked.headers for asked in store.asked + server.asked)
    assert str(caught.value).startswith(f"{store.host}, to which registry reg.example.org")
    assert "pull secret" not in str(caught.value)


async def test_another_origin_cannot_request_the_credentials_that_the_registry_received():
    async with Hostile(lambda _: WANTS_BASIC) as store:
        moved = {**REPLIES, CONFIG_PATH: Reply(b"", 307, {"Location": store.url + CONFIG_PATH})}
        async with Hostile(behind_basic(moved)) as server:
            with pytest.raises(AccessDenied, match=store.host):
                await read(server, ME)
    assert [asked.headers.get("authorization") for asked in store.asked] == [None]


TARGETS = {
    403: (AccessDenied, "credentials are not sent to it"),
    404: (ImageNotFound, "does not have image"),
    503: (RegistryUnreachable, "responded with 503"),
}


@pytest.mark.parametrize("status", TARGETS)
async def test_an_error_of_the_target_of_a_redirect_names_the_target(status):
    kind, message = TARGETS[status]
    async with Hostile(lambda _: Reply(b"", status)) as store:
        moved = (CONFIG_PATH, Reply(b"", 307, {"Location": store.url + CONFIG_PATH}))
        async with Hostile(saying(moved)) as server:
            with pytest.raises(kind, match=message) as caught:
                await read(server, ME)
    assert str(caught.value).startswith(f"{store.host}, to which registry reg.example.org")


async def test_an_unreachable_blob_store_does_not_make_the_registry_unreachable():
    port = reserve_port()
    away = f"http://127.0.0.1:{port.number}/blob"
    async with Hostile(saying((CONFIG_PATH, Reply(b"", 307, {"Location": away})))) as server:
        with pytest.raises(RegistryUnreachable, match="connection refused") as caught:
            await read(server)
    assert str(port.number) in str(caught.value)
    assert not caught.value.whole_registry
    port.release()


async def test_cookies_are_not_stored():
    baked = replace(REPLIES[MANIFEST_PATH], headers={"Set-Cookie": "a=b"})
    async with Hostile(saying((MANIFEST_PATH, baked))) as server:
        await read(server)
    assert all("cookie" not in asked.headers for asked in server.asked)


async def test_a_wrong_password_is_not_tried_twice():
    async with Hostile(lambda _: WANTS_BASIC) as server:
        with pytest.raises(AccessDenied):
            await read(server, ME)
    given = [asked.headers.get("authorization") for asked in server.asked]
    assert given == [None, "Basic " + base64.b64encode(b"me:hush").decode()]


# ---- token services


def wanting_tokens(realm: str, *, token: str = "t"):
    def answer(asked):
        if asked.headers.get("authorization") == f"Bearer {token}":
            return REPLIES.get(asked.path, Reply(b"", 404))
        return Reply(b"", 401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})

    return answer


TOKENS = {
    "a token": (Reply(b'{"token": "t"}'), None, ""),
    "an access token": (Reply(b'{"access_token": "t"}'), None, ""),
    "an old token": (Reply(b'{"token": "old"}'), AccessDenied, "401"),
    "no token": (Reply(b"{}"), MalformedMetadata, "returned no valid token"),
    "a number": (Reply(b'{"token": 1}'), MalformedMetadata, "returned no valid token"),
    "a line break in the token": (
        Reply(b'{"token": "t\\r\\nHost: evil"}'),
        MalformedMetadata,
        "returned no valid token",
    ),
    "a token that is not ASCII": (
        Reply('{"token": "é"}'.encode()),
        MalformedMetadata,
        "returned no valid token",
    ),
    "HTML": (Reply(b"<html>"), MalformedMetadata, "not JSON"),
    "a large response": (Reply(b"x" * 65536, times=1000), MalformedMetadata, "more than 64 KiB"),
    "403": (Reply(b"", 403), AccessDenied, "token service"),
    "an unknown user": (
        Reply(b'{"error": "invalid_grant"}', 400),
        AccessDenied,
        "token service .* denied access to image",
    ),
    "404": (Reply(b"", 404), AccessDenied, "token service .* denied access to image"),
    "an error": (Reply(b"", 500), RegistryUnreachable, "token service"),
    "a rate limit": (Reply(b"", 429, {"Retry-After": "5"}), RateLimited, "token service"),
    "a redirect": (Reply(b"", 302, {"Location": "/other"}), MalformedMetadata, "302"),
}


@pytest.mark.parametrize("what", TOKENS)
async def test_the_response_of_a_token_service_is_used_or_reported(what):
    reply, kind, message = TOKENS[what]
    async with (
        Hostile(lambda _: reply) as service,
        Hostile(wanting_tokens(f"{service.url}/token?a=b")) as server,
    ):
        if kind is None:
            assert (await read(server)).labels == {"a": "b"}
        else:
            with pytest.raises(RegistryError, match=message) as caught:
                await read(server)
            assert type(caught.value) is kind
    query = service.asked[0].query
    assert query.startswith("a=b&")
    assert "service=s" in query
    assert "scope=repository:x:pull" in query.replace("%3A", ":")


@pytest.mark.parametrize(
    "realm", ["", "nonsense", "file:///etc/passwd", "ftp://a/b", "http://me:x@127.0.0.1/", "//x"]
)
async def test_an_invalid_token_service_is_not_used(realm):
    async with Hostile(wanting_tokens(realm)) as server:
        with pytest.raises(MalformedMetadata, match="token service"):
            await read(server, ME)
    assert len(server.asked) == 1


async def test_an_unreachable_token_service_does_not_make_the_registry_unreachable():
    port = reserve_port()
    async with Hostile(wanting_tokens(f"http://127.0.0.1:{port.number}/token")) as server:
        with pytest.raises(RegistryUnreachable, match="connection refused") as caught:
            await read(server)
    assert not caught.value.whole_registry
    port.release()


# ---- indexes


def nested(depth: int):
    """A manifest that is reached through this number of indexes."""
    replies, reply = dict(REPLIES), REPLIES[MANIFEST_PATH]
    for _ in range(depth):
        entry = {"digest": sha(reply.body), "platform": {"os": "linux", "architecture": "amd64"}}
        kind = "application/vnd.oci.image.index.v1+json"
        body = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [entry]}).encode()
        replies[f"/v2/x/manifests/{sha(reply.body)}"] = reply
        reply = Reply(body, headers={"Content-Type": kind})
    replies[MANIFEST_PATH] = reply
    return lambda asked: replies.get(asked.path, Reply(b"", 404))


@pytest.mark.parametrize("depth", [1, 2])
async def test_an_index_may_refer_to_another_index(depth):
    async with Hostile(nested(depth)) as server:
        assert (await read(server)).labels == {"a": "b"}


async def test_deeper_nesting_of_indexes_is_rejected():
    async with Hostile(nested(3)) as server:
        with pytest.raises(MalformedMetadata):
            await read(server)
    assert len(server.asked) == 3


async def test_the_manifest_of_a_platform_must_match_the_digest_in_the_index():
    special = f"/v2/x/manifests/{sha(REPLIES[MANIFEST_PATH].body)}"
    answer = nested(1)

    def lying(asked):
        reply = answer(asked)
        return (
            Reply(reply.body + b" ", headers={"Content-Type": MANIFEST}) if asked.path == special else reply
        )

    async with Hostile(lying) as server:
        with pytest.raises(MalformedMetadata, match="its digest"):
            await read(server)


# ---- addresses and bodies

REFUSED = [
    "localhost",
    "127.0.0.1",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "169.254.169.254",
    "[fe80::1]",
    "kubernetes.default.svc",
]


@pytest.mark.parametrize("host", REFUSED)
async def test_no_request_is_sent_to_an_address_of_the_node_or_the_cluster(host):
    exchange = HttpExchange(trust_env=False)
    try:
        with pytest.raises(RegistryNotAllowed, match="loopback, link-local") as caught:
            await exchange("GET", URL(f"http://{host}:1/"), {})
    finally:
        await exchange.aclose()
    assert "refused it" not in str(caught.value)


@pytest.mark.parametrize("how", ["redirect", "token service"])
async def test_every_hop_is_checked(how):
    async with Hostile(lambda _: Reply(b'{"token": "t"}')) as inner:
        away = f"http://localhost:{inner.host.rpartition(':')[2]}/secret"
        reply = (
            Reply(b"", 302, {"Location": away})
            if how == "redirect"
            else Reply(b"", 401, {"WWW-Authenticate": f'Bearer realm="{away}"'})
        )
        async with Hostile(saying((MANIFEST_PATH, reply))) as server:
            guard = AddressGuard(trusted=[URL(server.url)])
            exchange = HttpExchange(trust_env=False, addresses=guard)
            reader = OciRegistry(exchange, clock=LoopClock(), mirrors={"*": server.url})
            try:
                with pytest.raises(RegistryNotAllowed, match=r"registry reg\.example\.org"):
                    await reader.read(IMAGE, ())
            finally:
                await exchange.aclose()
    assert inner.asked == []


SECRET = "hunter2-of-an-internal-service"
LEAKS = {
    "text": Reply(SECRET.encode()),
    "JSON": Reply(json.dumps({"config": SECRET, "manifests": [SECRET]}).encode()),
    "an index": Reply(json.dumps({"mediaType": "x", "manifests": [{"digest": SECRET}]}).encode()),
    "a text of JSON": Reply(json.dumps(SECRET).encode()),
    "an error": Reply(json.dumps({"errors": [{"code": SECRET, "message": SECRET}]}).encode(), 500),
    "a refusal": Reply(json.dumps({"errors": [{"code": SECRET, "message": SECRET}]}).encode(), 403),
    "a digest": Reply(b"{}", headers={"Docker-Content-Digest": "sha256:" + SECRET}),
    "a reason phrase": Reply(f"HTTP/1.1 403 {SECRET}\r\nContent-Length: 0\r\n\r\n".encode(), 0),
    "a reason phrase of a failure": Reply(f"HTTP/1.1 500 {SECRET}\r\nContent-Length: 0\r\n\r\n".encode(), 0),
    "a line that is no HTTP": Reply(f"{SECRET} 200 OK\r\n\r\n".encode(), 0),
    "a header that is none": Reply(f"HTTP/1.1 200 OK\r\n{SECRET}\r\n\r\n".encode(), 0),
    "an error code with a suffix": Reply(
        json.dumps({"errors": [{"code": f"DENIED {SECRET}"}, {"code": ["DENIED", SECRET]}]}).encode(), 403
    ),
    "a media type": Reply(b"{}", headers={"Content-Type": SECRET}),
    "the scheme of a challenge": Reply(b"", 401, {"WWW-Authenticate": SECRET}),
    "the scope of a challenge": Reply(
        b"", 401, {"WWW-Authenticate": f'Basic realm="{SECRET}", scope="{SECRET}"'}
    ),
    "the query of a redirect": Reply(b"", 302, {"Location": f"file:///x?{SECRET}"}),
    "the login of a redirect": Reply(b"", 302, {"Location": f"http://{SECRET}:{SECRET}@127.0.0.1/"}),
    "the time of a rate limit": Reply(b"", 429, {"Retry-After": SECRET}),
    "the size of a chunk": Reply(
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}\r\n".encode(), 0
    ),
    "a length": Reply(f"HTTP/1.1 200 OK\r\nContent-Length: {SECRET}\r\n\r\n".encode(), 0),
    "an encoding": Reply(b"{}", headers={"Content-Encoding": SECRET}),
}


@pytest.mark.parametrize("what", LEAKS)
async def test_nothing_of_a_response_is_part_of_the_message(what):
    async with Hostile(saying((MANIFEST_PATH, LEAKS[what]))) as server:
        with pytest.raises(RegistryError) as caught:
            await read(server)
    assert SECRET not in str(caught.value)


async def test_large_headers_are_rejected():
    headers = {f"X-{number}": "y" * 4000 for number in range(20)}
    async with Hostile(saying(of_manifest(b"{}", headers=headers))) as server:
        with pytest.raises(MalformedMetadata, match="headers of more than 32 KiB"):
            await read(server)


async def test_responses_share_a_budget_of_bytes():
    """Stalled large responses keep other large ones waiting, but not ordinary ones."""
    budget = ByteBudget(MAX_RESPONSE_BYTES)
    exchange = HttpExchange(trust_env=False, addresses=LOOPBACK, budget=budget)
    stalled = Reply(b"x" * 70_000, times=2, pause=30)
    async with Hostile(lambda asked: stalled if asked.path == "/large" else Reply(b"small")) as server:
        large = [asyncio.ensure_future(exchange("GET", URL(server.url) / "large", {})) for _ in range(5)]
        try:
            async with asyncio.timeout(10):
                while not budget.in_use or len(server.asked) < len(large):  # noqa: ASYNC110 - there is no event for it
                    await asyncio.sleep(0.01)
            assert (await exchange("GET", URL(server.url) / "small", {})).body == b"small"
            assert budget.in_use == MAX_RESPONSE_BYTES
        finally:
            for task in large:
                task.cancel()
            await asyncio.wait(large)
            await exchange.aclose()
    assert budget.in_use == 0


async def test_only_the_start_of_an_error_response_is_read():
    async with Hostile(saying(of_manifest(b"x" * 65536, 403, times=100))) as server:
        with pytest.raises(AccessDenied):
            await read(server)


async def test_with_an_allow_list_other_registries_are_not_read():
    async with Hostile(saying()) as server:
        exchange = HttpExchange(trust_env=False, addresses=LOOPBACK)
        reader = OciRegistry(
            exchange, clock=LoopClock(), mirrors={"*": server.url}, allowed=("*.example.org", "ghcr.io")
        )
        try:
            assert (await reader.read(IMAGE, ())).labels == {"a": "b"}
            with pytest.raises(RegistryNotAllowed, match=r"evil\.example\.com is not read.*ghcr\.io"):
                await reader.read(parse_image("evil.example.com/x:1"), ())
        finally:
            await exchange.aclose()
