from __future__ import annotations

import asyncio
import base64
import os
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aimctl.runtime.kube import (
    ConfigurationError,
    ConnectionInfo,
    StaticCredentials,
    TokenFile,
    in_cluster,
    load_connection,
)
from aimctl.runtime.kube.credentials.addresses import parse_address, split_zone
from aimctl.testing.virtualtime import virtual_clock, virtual_time

if TYPE_CHECKING:
    from pathlib import Path

ENV = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def account(tmp_path: Path) -> Path:
    for name, text in {"token": "first\n", "ca.crt": "pem", "namespace": "mine\n"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_in_a_pod_the_service_account_is_used(account: Path) -> None:
    info = in_cluster(clock=virtual_clock(), environ=ENV, root=account)
    assert (info.server, info.namespace, info.ca_file) == (
        "https://10.0.0.1:443",
        "mine",
        str(account / "ca.crt"),
    )
    assert not info.trust_env


def test_an_ipv6_server_is_put_in_brackets(account: Path) -> None:
    info = in_cluster(
        clock=virtual_clock(), environ=ENV | {"KUBERNETES_SERVICE_HOST": "fd00::1"}, root=account
    )
    assert info.server == "https://[fd00::1]:443"


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_a_missing_mount_is_named_with_its_remedy(account: Path, missing: str) -> None:
    (account / missing).unlink()
    with pytest.raises(ConfigurationError, match=rf"{missing} is missing.*automountServiceAccountToken"):
        in_cluster(clock=virtual_clock(), environ=ENV, root=account)


def test_outside_a_pod_the_error_says_so(account: Path) -> None:
    with pytest.raises(ConfigurationError, match="not in a pod"):
        in_cluster(clock=virtual_clock(), environ={}, root=account)


def test_without_a_namespace_file_the_default_is_used(account: Path) -> None:
    (account / "namespace").unlink()
    assert in_cluster(clock=virtual_clock(), environ=ENV, root=account).namespace == "default"


async def token(credentials: TokenFile) -> str:
    return (await credentials.headers())["Authorization"]


def same_stamp(path: Path, text: str) -> None:
    """Write different text of the same length without changing the file's stamp."""
    before = path.stat()
    assert len(text) == before.st_size
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_changed_token_file_is_read_at_once(account: Path) -> None:
    @virtual_time
    async def run() -> None:
        credentials = TokenFile(account / "token", clock=virtual_clock())
        assert await token(credentials) == "Bearer first"
        (account / "token").write_text("second token")
        assert await token(credentials) == "Bearer second token"

    run()


def test_a_token_file_is_read_again_every_minute_and_after_a_401(account: Path) -> None:
    @virtual_time
    async def run() -> None:
        credentials = TokenFile(account / "token", clock=virtual_clock())
        assert await token(credentials) == "Bearer first"
        same_stamp(account / "token", "2nd..\n")
        await asyncio.sleep(59)
        assert await token(credentials) == "Bearer first"
        await asyncio.sleep(1)
        assert await token(credentials) == "Bearer 2nd.."
        same_stamp(account / "token", "third\n")
        assert await token(credentials) == "Bearer 2nd.."
        credentials.invalidate()
        assert await token(credentials) == "Bearer third"

    run()


def test_the_last_token_is_used_after_its_file_was_removed(account: Path) -> None:
    @virtual_time
    async def run() -> None:
        credentials = TokenFile(account / "token", clock=virtual_clock())
        await token(credentials)
        (account / "token").unlink()
        assert await token(credentials) == "Bearer first"
        (account / "token").write_text("back")
        assert await token(credentials) == "Bearer back"

    run()


@pytest.mark.parametrize("content", [None, "", " \n", b"\xff\xfe", "two\nlines", "nul\0"])
def test_a_token_file_that_was_never_usable_is_named(account: Path, content: str | bytes | None) -> None:
    path = account / "token"
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content)

    @virtual_time
    async def run() -> None:
        with pytest.raises(ConfigurationError, match=str(path)):
            await TokenFile(path, clock=virtual_clock()).headers()

    run()


def test_no_secret_shows_in_a_repr(account: Path) -> None:
    info = ConnectionInfo("https://x", credentials=StaticCredentials.bearer("geheim"), ca_data=b"pem-bytes")
    assert "geheim" not in repr(info)
    assert "geheim" not in repr(info.credentials)
    assert "pem-bytes" not in repr(info)


@pytest.mark.parametrize(
    ("server", "proxy"),
    [("10.0.0.1:443", None), ("", None), ("ftp://x", None), ("https://x", "socks5://p:1080")],
)
def test_an_address_of_another_scheme_is_refused(server: str, proxy: str | None) -> None:
    with pytest.raises(ConfigurationError, match=r"https?://"):
        ConnectionInfo(server, proxy_url=proxy)


UNUSABLE = [
    *("https://{}host:99999", "https://{}[::1", "https://{}host:port", "https://{}" + "a" * 64 + ".example"),
    *("https://{}a..b", "https://{}", "https://{}a b", "ftp://{}host", "https://{}" + "a." * 127 + "example"),
    *("{}host", "https://{}h\udc80st:1x"),
]


@pytest.mark.parametrize("address", UNUSABLE)
@pytest.mark.parametrize("login", ["", "admin:geheim@", "admin:ge/heim@", "admin:geheim@x@"])
def test_an_unusable_address_is_reported_without_its_password(address: str, login: str) -> None:
    text = address.format(login)
    for name, arguments in (
        ("server", {"server": text}),
        ("proxy-url", {"server": "https://x", "proxy_url": text}),
    ):
        with pytest.raises(ConfigurationError, match=f"^{name} .*; write it like https?://") as caught:
            ConnectionInfo(**arguments)
        shown = "".join(traceback.format_exception(caught.value.with_traceback(None), chain=False))
        assert "heim" not in shown


def test_the_login_of_a_server_address_does_not_show() -> None:
    info = ConnectionInfo("https://admin:geheim@host:6443/path", proxy_url="http://admin:geheim@proxy")
    assert info.server == "https://host:6443/path"
    assert info.server_login == "Basic " + base64.b64encode(b"admin:geheim").decode()
    assert "geheim" not in repr(info)
    assert replace(info, namespace="n").server_login == info.server_login


@pytest.mark.parametrize(
    ("address", "authority", "host"),
    [
        ("https://[fe80::1%25eth0]:6443", "[fe80::1%eth0]:6443", "fe80::1"),
        ("https://[fe80::1%25eth0]", "[fe80::1%eth0]", "fe80::1"),
        ("https://[fd00::1]:6443", "[fd00::1]:6443", ""),
        ("https://host:6443", "host:6443", ""),
        ("https://10.0.0.1", "10.0.0.1", ""),
    ],
)
def test_the_zone_of_an_address_is_no_part_of_the_host(address: str, authority: str, host: str) -> None:
    url = parse_address(address, name="server", example="https://host").url
    assert split_zone(url) == (authority, host)


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{{name: c, context: {{cluster: k}}}}]
clusters: [{{name: k, cluster: {{server: "http://{host}"}}}}]
"""


async def test_the_search_order_is_that_of_controller_runtime(account: Path, tmp_path: Path) -> None:
    def config(name: str, host: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(KUBECONFIG.format(host=host))
        return str(path)

    flag, variable = config("flag", "flag"), config("variable", "variable")
    config(".kube/config", "home")
    home = {"HOME": str(tmp_path)}
    clock = virtual_clock()

    async def found(kubeconfig: str | None, environ: dict[str, str]) -> str:
        return (await load_connection(kubeconfig, environ=environ, clock=clock, root=account)).server

    assert await found(flag, home | ENV | {"KUBECONFIG": variable}) == "http://flag"
    assert await found(None, home | ENV | {"KUBECONFIG": variable}) == "http://variable"
    assert await found(None, home | ENV) == "https://10.0.0.1:443"
    assert await found(None, home) == "http://home"


async def test_without_any_source_the_error_names_all_of_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await load_connection(None, environ={"HOME": str(tmp_path)}, clock=virtual_clock())
    for place in ("--kubeconfig", "$KUBECONFIG", "pod", str(tmp_path / ".kube" / "config")):
        assert place in str(caught.value)


async def test_a_named_file_that_is_missing_is_an_error_even_in_a_pod(account: Path) -> None:
    with pytest.raises(ConfigurationError, match="/nowhere does not exist"):
        await load_connection("/nowhere", environ=ENV, clock=virtual_clock(), root=account)
