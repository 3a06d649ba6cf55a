"""Names are within their limits, deterministic and unique."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.domain.naming import (
    MAX_NAME,
    being_deleted,
    derived_template_name,
    discovery_job_name,
    label_value,
    shorten,
)
from support.things import make, with_meta

NAMES = st.from_regex(
    r"[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?){0,3}", fullmatch=True
).filter(lambda name: len(name) <= 253 and name.isascii())
LABEL = re.compile(r"[a-z0-9A-Z]([-a-z0-9A-Z_.]*[a-z0-9A-Z])?")
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


@given(NAMES)
def test_every_object_name_gives_a_valid_label_value(name: str) -> None:
    value = label_value(name)
    assert len(value) <= MAX_NAME
    assert LABEL.fullmatch(value)
    assert len(name) > MAX_NAME or value == name


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=2, unique=True), st.integers(60, 200))
def test_names_that_differ_only_in_the_part_that_is_cut_stay_different(ends: list[int], length: int) -> None:
    one, other = ("a" * length + str(end) for end in ends)
    assert label_value(one) != label_value(other)
    assert derived_template_name(one, "0" * 64) != derived_template_name(other, "0" * 64)


@given(NAMES, st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()))
def test_a_discovery_job_name_is_a_dns_label_of_at_most_63_characters(template: str, identity: str) -> None:
    name = discovery_job_name(template, identity)
    assert len(name) <= MAX_NAME
    assert DNS_LABEL.fullmatch(name)
    assert name.startswith("discover-")


def test_a_discovery_job_name_contains_the_template_and_a_hash_of_the_identity() -> None:
    name = discovery_job_name("llama.v1", "a")
    assert re.fullmatch(r"discover-llama-v1-[0-9a-f]{10}", name)
    assert name == discovery_job_name("llama.v1", "a")
    assert name != discovery_job_name("llama.v1", "b")


@given(NAMES, st.from_regex("[0-9a-f]{64}", fullmatch=True))
def test_a_derived_name_is_within_the_limit_and_ends_with_the_hash_of_the_overrides(
    base: str, digest: str
) -> None:
    name = derived_template_name(base, digest)
    assert len(name) <= MAX_NAME
    assert name.endswith(f"-ovr-{digest[:8]}")


def test_a_short_base_is_not_shortened_in_the_derived_name() -> None:
    assert derived_template_name("base-template", "8fa3c921" + "0" * 56) == "base-template-ovr-8fa3c921"


def test_a_limit_without_space_for_a_hash_is_an_error() -> None:
    with pytest.raises(ValueError, match="limit=11"):
        shorten("a" * 20, 11)


@pytest.mark.parametrize(
    ("finalizers", "text"),
    [
        (None, "is being deleted"),
        (["foregroundDeletion", "kubernetes.io/pvc-protection"], "is being deleted"),
        (["inferenceservice.finalizers"], "is being deleted"),
        (["a.example/x"], "is being deleted, and waits for the finalizer 'a.example/x'"),
        (
            ["foregroundDeletion", "a.example/x", "b.example/y"],
            "is being deleted, and waits for the finalizer 'a.example/x', 'b.example/y'",
        ),
    ],
)
def test_the_finalizers_of_others_that_hold_up_a_deletion_are_named(
    finalizers: list[str] | None, text: str
) -> None:
    item = with_meta(make("a", deleting=True), finalizers=finalizers)
    assert being_deleted(item.meta) == text
