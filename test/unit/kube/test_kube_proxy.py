"""The choice of a proxy, compared with recorded answers of Go's httpproxy, and the parsing of addresses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from yarl import URL

from aimctl.runtime.kube.credentials.proxy import environment_proxy
from aimctl.runtime.kube.errors import ConfigurationError

RECORDED = json.loads(Path(__file__).with_name("proxy_cases.json").read_text(encoding="utf-8"))


def answer(server: str, environ: dict[str, str]) -> str:
    """The result in the notation of the recording."""
    try:
        proxy = environment_proxy(URL(server), environ)
    except ConfigurationError:
        return "error"
    return "" if proxy is None else str(proxy.url)


def comparable(recorded: str) -> str:
    """The recorded proxy in the normal form of a URL, without its credentials."""
    return str(URL(recorded).with_user(None)) if "://" in recorded else recorded


@pytest.mark.parametrize("exceptions", RECORDED["direct"])
def test_no_proxy_exempts_the_same_servers_as_in_kubectl(exceptions: str) -> None:
    environ = {"HTTPS_PROXY": RECORDED["proxy"], "HTTP_PROXY": RECORDED["proxy"], "NO_PROXY": exceptions}
    direct = [server for server in RECORDED["servers"] if not answer(server, environ)]
    assert direct == RECORDED["direct"][exceptions]


@pytest.mark.parametrize(("server", "environ", "proxy"), RECORDED["others"])
def test_the_variables_are_read_as_in_kubectl(server: str, environ: dict[str, str], proxy: str) -> None:
    assert answer(server, environ) == comparable(proxy)


@pytest.mark.parametrize(
    "value",
    [
        "socks5://worker:geheim@proxy:1080",
        "http://worker:geheim@[::1",
        "worker:geheim@proxy:99999",
        "http://",
        "a b",
    ],
)
def test_an_unusable_proxy_is_reported_with_its_variable_and_without_its_password(value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^HTTPS_PROXY .*write it like http://") as caught:
        environment_proxy(URL("https://cluster:6443"), {"HTTPS_PROXY": value})
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("server", ["https://localhost:6443", "https://exempt:6443", "http://cluster"])
def test_an_unusable_proxy_is_no_error_for_a_server_that_does_not_need_it(server: str) -> None:
    assert environment_proxy(URL(server), {"HTTPS_PROXY": "socks5://proxy", "NO_PROXY": "exempt"}) is None
