"""Requests to registries use the proxies of the environment, and nothing else of it."""

from __future__ import annotations

import base64
import os

import pytest
from yarl import URL

from aimctl.controllers.models.registry import RegistryUnreachable
from aimctl.controllers.models.registry_addresses import AddressGuard
from aimctl.controllers.models.registry_client import OciRegistry
from aimctl.controllers.models.registry_http import HttpExchange
from aimctl.domain.images.reference import parse_image
from aimctl.domain.images.registry_auth import Credentials
from aimctl.runtime.clock import LoopClock
from support.hostile_registry import Hostile, Reply, image_replies
from support.ports import reserve_port

LOOPBACK = AddressGuard(networks=["127.0.0.0/8"])

REPLIES = image_replies()
ME = Credentials("me", "hush")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Remove the proxies of the environment in which the tests run."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return monkeypatch


async def read(*credentials, mirror=""):
    exchange = HttpExchange(addresses=LOOPBACK)
    reader = OciRegistry(exchange, clock=LoopClock(), mirrors={"*": mirror} if mirror else {}, read_seconds=5)
    try:
        return await reader.read(parse_image("reg.example.org/x:1"), credentials)
    finally:
        await exchange.aclose()


def respond(asked):
    """Respond as a registry, or as a proxy, which receives complete URLs."""
    return REPLIES.get(URL(asked.path).path, Reply(b"", 404))


def behind_basic(asked):
    wanted = Reply(b"", 401, {"WWW-Authenticate": 'Basic realm="x"'})
    return respond(asked) if asked.headers.get("authorization") == ME.basic else wanted


# ---- proxies


async def test_a_registry_is_read_through_the_proxy_of_the_environment(environment):
    async with Hostile(behind_basic) as proxy:
        environment.setenv("HTTP_PROXY", proxy.url)
        assert (await read(ME, mirror="http://registry.invalid")).labels == {"a": "b"}
    assert {URL(asked.path).host for asked in proxy.asked} == {"registry.invalid"}
    assert {asked.headers["host"] for asked in proxy.asked} == {"registry.invalid"}


async def test_with_https_the_proxy_opens_a_tunnel_and_receives_only_its_own_credentials(environment):
    async with Hostile(lambda _: Reply(b"", 407)) as proxy:
        environment.setenv("HTTPS_PROXY", f"http://worker:secret@{proxy.host}")
        with pytest.raises(RegistryUnreachable, match="407") as caught:
            await read(ME)
    (asked,) = proxy.asked
    assert (asked.method, asked.path) == ("CONNECT", "reg.example.org:443")
    assert asked.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"worker:secret").decode()
    assert "authorization" not in asked.headers
    assert f"reg.example.org:443 through the proxy {proxy.host}: the proxy responded 407" in str(caught.value)
    assert caught.value.whole_registry


@pytest.mark.parametrize("hosts", ["registry.invalid", "other.org, .invalid", "*"])
async def test_hosts_in_no_proxy_are_read_directly(environment, hosts):
    async with Hostile(respond) as proxy:
        environment.setenv("HTTP_PROXY", proxy.url)
        environment.setenv("NO_PROXY", hosts)
        with pytest.raises(RegistryUnreachable, match=r"registry\.invalid:80: its name cannot be resolved"):
            await read(mirror="http://registry.invalid")
    assert proxy.asked == []


@pytest.mark.parametrize("hosts", ["", "registry.invalid:1", "invalid.registry.invalid"])
async def test_other_hosts_are_read_through_the_proxy(environment, hosts):
    async with Hostile(respond) as proxy:
        environment.setenv("HTTP_PROXY", proxy.url)
        environment.setenv("NO_PROXY", hosts)
        assert (await read(mirror="http://registry.invalid")).labels == {"a": "b"}
    assert len(proxy.asked) == len(REPLIES) - 1


async def test_a_registry_on_a_loopback_address_is_read_directly(environment):
    """As by kubectl and containerd, which use the same rules of Go."""
    async with Hostile(respond) as proxy, Hostile(respond) as registry:
        environment.setenv("HTTP_PROXY", proxy.url)
        assert (await read(mirror=registry.url)).labels == {"a": "b"}
    assert len(registry.asked) == len(REPLIES) - 1
    assert proxy.asked == []


async def test_a_proxy_may_be_specified_without_a_scheme(environment):
    async with Hostile(respond) as proxy:
        environment.setenv("http_proxy", proxy.host)
        assert (await read(mirror="http://registry.invalid")).labels == {"a": "b"}


async def test_an_unreachable_proxy_is_reported_without_its_password(environment):
    port = reserve_port()
    environment.setenv("HTTPS_PROXY", f"http://worker:secret@127.0.0.1:{port.number}")
    with pytest.raises(RegistryUnreachable, match="connection refused") as caught:
        await read()
    assert f"through the proxy 127.0.0.1:{port.number}" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.whole_registry
    port.release()


@pytest.mark.parametrize(
    "reply", [Reply(b"", 407), Reply(b"SSH-2.0-OpenSSH\r\n\r\n", 0)], ids=["407", "no HTTP"]
)
async def test_the_response_of_a_proxy_is_reported_without_its_password(environment, reply):
    async with Hostile(lambda _: reply) as proxy:
        environment.setenv("HTTPS_PROXY", f"http://worker:secret@{proxy.host}")
        with pytest.raises(RegistryUnreachable, match=proxy.host) as caught:
            await read()
    assert "secret" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "value", ["socks5://worker:secret@proxy:1080", "http://worker:secret@[::1", "http://"]
)
async def test_an_invalid_proxy_is_reported_with_its_variable_and_the_remedy(environment, value):
    environment.setenv("HTTPS_PROXY", value)
    with pytest.raises(RegistryUnreachable, match=r"HTTPS_PROXY .* write it like http://") as caught:
        await read()
    assert "add reg.example.org to NO_PROXY" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.whole_registry


# ---- netrc


@pytest.fixture
def netrc(environment, tmp_path):
    """A netrc file, as workstations have."""
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login workstation password private\n")
    environment.setenv("NETRC", str(path))


@pytest.mark.usefixtures("netrc")
async def test_a_login_in_netrc_is_not_sent_to_a_registry():
    async with Hostile(respond) as registry:
        assert (await read(mirror=registry.url)).labels == {"a": "b"}
    assert all("authorization" not in asked.headers for asked in registry.asked)


@pytest.mark.usefixtures("netrc")
async def test_a_login_in_netrc_does_not_replace_a_pull_secret():
    async with Hostile(behind_basic) as registry:
        assert (await read(ME, mirror=registry.url)).labels == {"a": "b"}
    assert {asked.headers.get("authorization") for asked in registry.asked} == {None, ME.basic}


@pytest.mark.usefixtures("netrc")
async def test_a_login_in_netrc_is_not_sent_to_a_proxy(environment):
    async with Hostile(respond) as proxy:
        environment.setenv("HTTP_PROXY", proxy.url)
        assert (await read(mirror="http://registry.invalid")).labels == {"a": "b"}
    assert all("proxy-authorization" not in asked.headers for asked in proxy.asked)
