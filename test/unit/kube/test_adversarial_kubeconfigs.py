"""Whatever a kubeconfig contains, the result is a connection, or a ConfigurationError with a location and a remedy."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import ConfigurationError, ConnectionInfo, from_kubeconfig
from support.adversary import HIDDEN, odd_values, places, replaced
from support.proofs import variants

if TYPE_CHECKING:
    from pathlib import Path

REMEDY = re.compile(
    r"\b(use|set|correct|check|choose|encode|write|specify|remove|provide|install|run|rename|unset|add|put|log in)\b"
    r"|\bmust be\b"
)
CONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "main",
    "contexts": [{"name": "main", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
    "clusters": [
        {
            "name": "k",
            "cluster": {
                "server": "https://host:6443/base",
                "insecure-skip-tls-verify": True,
                "tls-server-name": "other",
                "proxy-url": "http://proxy:3128",
            },
        }
    ],
    "users": [
        {
            "name": "u",
            "user": {"token": HIDDEN, "as": "someone", "as-groups": ["g"], "as-user-extra": {"x": ["y"]}},
        },
        {"name": "basic", "user": {"username": "name", "password": HIDDEN}},
        {"name": "certificate", "user": {"client-certificate-data": "eA==", "client-key-data": "eA=="}},
    ],
    "preferences": {},
}


@st.composite
def kubeconfigs(draw: st.DrawFn) -> str:
    """A kubeconfig with wrong, missing or absurd values, for any of the users."""
    config: Any = replaced(
        CONFIG,
        ("contexts", 0, "context", "user"),
        draw(st.sampled_from(["u", "basic", "certificate"])),
        drop=False,
    )
    for _ in range(draw(st.integers(0, 2))):
        path = draw(st.sampled_from(places(config)))
        config = replaced(config, path, draw(odd_values), drop=draw(st.booleans()))
        if not isinstance(config, dict | list) or not config:
            break
    text = yaml.safe_dump(config)
    return draw(st.sampled_from([text, text[: len(text) // 2], text.replace(":", " : [", 1)]))


def check(text: str, file: str) -> None:
    assert REMEDY.search(text), text
    assert file in text or re.search(r"\b(context|cluster|user|proxy)", text), text
    assert HIDDEN not in text
    assert text.isprintable(), ascii(text)


@pytest.mark.proof
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=kubeconfigs())
def test_any_kubeconfig_is_a_connection_or_an_error_with_a_remedy(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text, encoding="utf-8", errors="replace")
    try:
        found = asyncio.run(from_kubeconfig(str(file), clock=LoopClock()))
    except ConfigurationError as error:
        check(str(error), str(file))
    else:
        assert isinstance(found, ConnectionInfo)


@pytest.mark.parametrize(
    "content",
    variants([b"", b"text", b"a: &a [*a]", b"null", b"[]", b"5", b"\xff\xfe", b"\x00", b"{" * 3000], quick=3),
)
def test_a_file_that_is_no_kubeconfig_is_an_error_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(from_kubeconfig(str(file), clock=LoopClock()))
    assert REMEDY.search(str(caught.value)), str(caught.value)


def test_the_names_in_a_message_are_limited_and_escaped(tmp_path: Path) -> None:
    names = ["plain", "a\u202eb", "", "x" * 1000, *(f"u{number:02}" for number in range(40))]
    users = [{"name": name, "user": {}} for name in names]
    file = tmp_path / "config"
    contexts = [{"name": "main", "context": {"cluster": "k", "user": "missing"}}]
    file.write_text(yaml.safe_dump({**CONFIG, "contexts": contexts, "users": users}))
    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(from_kubeconfig(str(file), clock=LoopClock()))
    shown = str(caught.value).partition("existing entries: ")[2]
    assert shown.startswith(r"'', 'a\u202eb', plain, u00, u01")
    assert shown.endswith("u16, and 24 more; correct the name, or add the entry")
