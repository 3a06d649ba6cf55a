"""The name of the InferenceService: what KServe accepts, deterministic, and different for different services."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.domain.services.kserve.name import MAX_NAMESPACE, runtime_name

ACCEPTED = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
SUBDOMAINS = st.from_regex(
    r"[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?){0,3}", fullmatch=True
)
NAMESPACES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize("name", ["chat", "c", "a-1", "x" * 48])
def test_a_name_that_kserve_accepts_is_kept(name: str) -> None:
    assert runtime_name(name, "ns") == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama-3.1-8b", "llama-3-1-8b-"),
        ("3b-chat", "s-3b-chat-"),
        ("x" * 49, "x" * 37 + "-"),
        ("9", "s-9-"),
    ],
)
def test_other_names_are_shortened_with_a_hash(name: str, expected: str) -> None:
    got = runtime_name(name, "ns") or ""
    assert got.startswith(expected)
    assert re.search("-[0-9a-f]{10}$", got)


def test_a_name_is_shortened_for_a_long_namespace_only() -> None:
    name = "chat-llama-3-1-8b"
    assert runtime_name(name, "n" * 35) == name
    assert runtime_name(name, "n" * 36) != name


def test_there_is_a_name_in_namespaces_up_to_the_limit() -> None:
    assert MAX_NAMESPACE == 45
    assert runtime_name("chat-of-the-team", "n" * MAX_NAMESPACE) is not None
    assert runtime_name("chat-of-the-team", "n" * (MAX_NAMESPACE + 1)) is None
    assert runtime_name("chat", "n" * 48) == "chat"


@given(SUBDOMAINS, NAMESPACES)
def test_every_name_is_accepted_and_fits_the_host_and_the_label(service: str, namespace: str) -> None:
    got = runtime_name(service, namespace)
    if got is None:
        assert len(namespace) > MAX_NAMESPACE
        return
    assert ACCEPTED.fullmatch(got)
    assert len(f"{got}-predictor-{namespace}") <= 63
    assert len(f"isvc.{got}-predictor") <= 63
    assert runtime_name(service, namespace) == got


@given(SUBDOMAINS, SUBDOMAINS)
def test_different_services_have_different_names(one: str, other: str) -> None:
    assert (runtime_name(one, "team") == runtime_name(other, "team")) == (one == other)
