"""Parsing pull secrets and challenges, and keeping credentials out of messages."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.domain.images.reference import parse_image
from aimctl.domain.images.registry_auth import (
    MAX_CANDIDATES,
    Credentials,
    PullEntry,
    PullSecretError,
    credentials_for,
    parse_challenges,
    read_pull_secret,
)

ME = {"username": "me", "password": "hush"}


def auth(text: str = "me:hush") -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def config(**auths) -> dict[str, bytes]:
    return {".dockerconfigjson": json.dumps({"auths": auths}).encode()}


def entry(key: str, **fields) -> tuple[PullEntry, ...]:
    return read_pull_secret(config(**{key: fields or ME}))


# ---- pull secrets

HELD = {
    "name and password": (ME, Credentials("me", "hush")),
    "auth": (auth(), Credentials("me", "hush")),
    "a password with colons": (auth("me:a:b"), Credentials("me", "a:b")),
    "auth before name and password": ({**ME, **auth("other:x")}, Credentials("other", "x")),
    "auth without padding": ({"auth": auth("me:hus")["auth"].rstrip("=")}, Credentials("me", "hus")),
    "auth in two lines": ({"auth": "bWU6\r\naHVzaA==\n"}, Credentials("me", "hush")),
    "trailing zero bytes": (auth("me:hush\0\0"), Credentials("me", "hush")),
    "an identity token": (
        {**auth("00000000-0000:"), "identitytoken": "t"},
        Credentials("00000000-0000", "", "t"),
    ),
    "a registry token": ({"registrytoken": "t"}, Credentials(registry_token="t")),
    "nothing": ({}, Credentials()),
    "unknown fields": ({**ME, "email": "me@example.org"}, Credentials("me", "hush")),
}


@pytest.mark.parametrize("what", HELD)
def test_an_entry_is_read_in_all_forms_that_docker_writes(what):
    fields, expected = HELD[what]
    (found,) = read_pull_secret(config(**{"ghcr.io": fields}))
    assert (found.host, found.path, found.credentials) == ("ghcr.io", "", expected)


def test_the_older_form_is_read():
    (found,) = read_pull_secret({".dockercfg": json.dumps({"ghcr.io": ME}).encode()})
    assert found.credentials == Credentials("me", "hush")


def test_the_basic_header_is_that_of_rfc_7617():
    assert Credentials("me", "hush").basic == "Basic " + base64.b64encode(b"me:hush").decode()
    assert Credentials(identity_token="t").basic == ""


BROKEN = {
    "neither key": {"password": b"hush"},
    "not JSON": {".dockerconfigjson": b"hush{"},
    "not UTF-8": {".dockerconfigjson": b"\xffhush"},
    "a list": {".dockerconfigjson": b'["hush"]'},
    "no auths": {".dockerconfigjson": b'{"hush": 1}'},
    "auths is a list": {".dockerconfigjson": b'{"auths": ["hush"]}'},
    "deep": {".dockerconfigjson": b'{"auths":' + b"[" * 100_000},
    "a number as username": config(x={"username": 1, "password": "hush"}),
    "auth is not base64": config(x={"auth": "hush!"}),
    "auth without a colon": config(x=auth("hush")),
    "auth is not UTF-8": config(x={"auth": base64.b64encode(b"\xff:hush").decode()}),
    "the older form is not JSON": {".dockercfg": b"hush"},
}


@pytest.mark.parametrize("what", BROKEN)
def test_an_invalid_pull_secret_is_rejected_without_its_data_in_the_message(what):
    with pytest.raises(PullSecretError) as caught:
        read_pull_secret(BROKEN[what])
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(
    st.dictionaries(
        st.sampled_from([".dockerconfigjson", ".dockercfg", "x"]), st.binary() | st.text().map(str.encode)
    )
)
def test_any_bytes_are_read_or_rejected(data):
    with contextlib.suppress(PullSecretError):
        read_pull_secret(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("auth"), inner),
    max_leaves=12,
)


@pytest.mark.proof
@given(st.dictionaries(st.text(), JSON), st.booleans())
def test_any_json_is_read_or_rejected(auths, older):
    document = auths if older else {"auths": auths}
    key = ".dockercfg" if older else ".dockerconfigjson"
    try:
        found = read_pull_secret({key: json.dumps(document).encode()})
    except PullSecretError:
        return
    credentials_for(parse_image("ghcr.io/a/b"), found)


def test_repr_does_not_contain_credentials():
    secret = Credentials("me", "hush", "hush", "hush")
    found = PullEntry("ghcr.io", "", secret)
    assert "hush" not in f"{secret!r} {secret!s} {found!r} {found}"


# ---- matching entries

FITS = [
    ("ghcr.io", "ghcr.io/a/b", True),
    ("https://ghcr.io", "ghcr.io/a/b", True),
    ("http://ghcr.io/v1/", "ghcr.io/a/b", True),
    ("https://ghcr.io/v2/", "ghcr.io/a/b", True),
    ("GHCR.io", "ghcr.io/a/b", True),
    ("ghcr.io/a", "ghcr.io/a/b", True),
    ("ghcr.io/a/b", "ghcr.io/a/b", True),
    ("ghcr.io/a/b/c", "ghcr.io/a/b", False),
    ("ghcr.io/a", "ghcr.io/ab/c", False),
    ("quay.io", "ghcr.io/a/b", False),
    ("evil-ghcr.io", "ghcr.io/a/b", False),
    ("ghcr.io.evil.org", "ghcr.io/a/b", False),
    ("*.io", "ghcr.io/a/b", True),
    ("*.io", "sub.ghcr.io/a/b", False),
    ("*.ghcr.io", "ghcr.io/a/b", False),
    ("gh*.io", "ghcr.io/a", True),
    ("*", "ghcr.io/a", False),
    ("reg:5000", "reg:5000/a", True),
    ("reg", "reg:5000/a", False),
    ("reg.org:5000", "reg.org/a", False),
    ("*.org:5000", "reg.org:5000/a", True),
    ("*.org:5000", "reg.org:5001/a", False),
    ("https://index.docker.io/v1/", "vllm", True),
    ("docker.io", "org/vllm", True),
    ("registry-1.docker.io", "docker.io/org/vllm", True),
    ("docker.io/org", "org/vllm", True),
    ("docker.io/other", "org/vllm", False),
]


@pytest.mark.parametrize(("key", "image", "fits"), FITS)
def test_a_key_matches_by_host_port_and_path_prefix(key, image, fits):
    assert bool(credentials_for(parse_image(image), entry(key))) is fits


def test_the_most_specific_credentials_come_first_without_duplicates():
    keys = {
        "*.io": "wild",
        "ghcr.io": "host",
        "ghcr.io/a": "path",
        "ghcr.io/a/b": "whole",
        "https://ghcr.io/v1/": "host",
        "gh*.io": "wild",
    }
    entries = read_pull_secret(
        config(**{key: {"username": name, "password": "x"} for key, name in keys.items()})
    )
    found = credentials_for(parse_image("ghcr.io/a/b"), entries)
    assert [item.username for item in found] == ["whole", "path", "host", "wild"]
    assert len(found) <= MAX_CANDIDATES
    many = tuple(PullEntry("ghcr.io", "", Credentials(str(number), "x")) for number in range(50))
    assert len(credentials_for(parse_image("ghcr.io/a"), many)) == MAX_CANDIDATES


# ---- challenges

CHALLENGES = {
    'Bearer realm="https://a/t",service="s",scope="repository:x:pull"': [
        ("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull"})
    ],
    'bearer Realm="https://a/t" , SERVICE=s': [("bearer", {"realm": "https://a/t", "service": "s"})],
    'Basic realm="Registry Realm"': [("basic", {"realm": "Registry Realm"})],
    'Basic realm="x", Bearer realm="https://a",scope="p,q"': [
        ("basic", {"realm": "x"}),
        ("bearer", {"realm": "https://a", "scope": "p,q"}),
    ],
    'Bearer realm="a\\"b\\\\c"': [("bearer", {"realm": 'a"b\\c'})],
    "Negotiate": [("negotiate", {})],
    "": [],
    '="x"': [],
    'Bearer realm="unclosed': [("bearer", {})],
    'Bearer realm="first",realm="second"': [("bearer", {"realm": "first"})],
}


@pytest.mark.parametrize("header", CHALLENGES)
def test_challenges_are_parsed(header):
    found = [(item.scheme, dict(item.parameters)) for item in parse_challenges([header])]
    assert found[: len(CHALLENGES[header])] == CHALLENGES[header]


def test_challenges_of_several_headers_are_combined():
    assert [item.scheme for item in parse_challenges(["Basic x=y", "Bearer x=y"])] == ["basic", "bearer"]


@given(st.lists(st.text(), max_size=5))
def test_any_header_is_accepted(headers):
    for item in parse_challenges(headers):
        assert item.scheme == item.scheme.lower()


@pytest.mark.parametrize("text", ["Bearer " + "a=" * 4000, 'x="' + "\\" * 8000, "a " * 4000, ", " * 4000])
@pytest.mark.timeout(5)
def test_a_hostile_header_is_parsed_in_linear_time(text):
    parse_challenges([text * 10])
