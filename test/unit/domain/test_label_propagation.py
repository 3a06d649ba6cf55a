"""Label propagation copies the labels that match a pattern of the runtime config, except reserved ones."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import RuntimeConfigSpec
from aimctl.domain.labels import fits, propagated
from aimctl.domain.resolution import Missing
from aimctl.domain.templates.discovery_job import manifest
from support.templates import observe


def config(*match: str, enabled: bool = True) -> RuntimeConfigSpec:
    return RuntimeConfigSpec.model_validate({"labelPropagation": {"enabled": enabled, "match": list(match)}})


@pytest.mark.parametrize(
    ("key", "pattern", "expected"),
    [
        ("org.example/team", "org.example/*", True),
        ("org.example/team", "*", True),
        ("org.example/team", "org.example/team", True),
        ("org.example/team", "org.example/tea", False),
        ("org.example/team", "org.example", False),
        ("xorg.example/team", "org.example/*", False),
        ("org.example/team", "*/team", True),
        ("org.example/teams", "*/team", False),
        ("org.example/cost-centre", "org*cost*", True),
        ("cost-centre", "*-*", True),
        ("aba", "ab*ba", False),
        ("abba", "ab*ba", True),
        ("a", "a*a", False),
        ("team", "**", True),
        ("", "*", True),
        ("team", "", False),
        ("org.example/team", "org?example/team", False),
        ("orgXexample/team", "org.example/team", False),
        ("a[b]", "a[b]", True),
        ("Team", "team", False),
    ],
)
def test_a_star_matches_any_sequence_and_every_other_character_itself(
    key: str, pattern: str, *, expected: bool
) -> None:
    assert fits(key, pattern) is expected


@given(st.text("ab/.*", max_size=12), st.text("ab/.*", max_size=8))
def test_patterns_match_as_the_equivalent_regular_expression_does(key: str, pattern: str) -> None:
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    assert fits(key, pattern) is bool(re.fullmatch(expression, key, re.DOTALL))


def test_a_pattern_with_many_stars_is_matched_without_backtracking() -> None:
    """With backtracking this test would not end."""
    assert not fits("a" * 317, "*a" * 158 + "b")


def test_no_label_is_copied_unless_propagation_is_enabled_and_a_pattern_matches() -> None:
    labels = {"team": "a", "org.example/x": "1", "other": "2"}
    assert propagated(labels, RuntimeConfigSpec()) == {}
    assert propagated(labels, config("*", enabled=False)) == {}
    assert propagated(labels, config()) == {}
    assert propagated(labels, config("team", "org.example/*")) == {"team": "a", "org.example/x": "1"}


@pytest.mark.parametrize(
    "key",
    [
        "aim.silogen.ai/derived-template",
        "aim.silogen.ai/template",
        "sub.aim.silogen.ai/x",
        "job-name",
        "controller-uid",
        "batch.kubernetes.io/job-name",
        "kubernetes.io/metadata.name",
        "topology.kubernetes.io/zone",
        "pod-security.kubernetes.io/enforce",
        "k8s.io/x",
        "x.k8s.io/y",
    ],
)
def test_reserved_labels_are_not_copied(key: str) -> None:
    assert propagated({key: "1", "team": "a"}, config("*", key)) == {"team": "a"}


@pytest.mark.parametrize(
    "key", ["app.kubernetes.io/part-of", "notkubernetes.io/x", "kubernetes.io.example.org/x"]
)
def test_recommended_labels_and_labels_of_other_domains_are_copied(key: str) -> None:
    assert propagated({key: "1"}, config("*")) == {key: "1"}


# ---- discovery Jobs


def job(labels: dict[str, str], *match: str) -> tuple[str, dict[str, Any]]:
    seen = observe(labels=labels, config_spec=config(*match))
    input_ = seen.discovery_input()
    assert not isinstance(input_, Missing)
    return input_.hash, manifest(seen.template, input_)


def test_a_discovery_job_and_its_pods_have_the_matching_labels_of_the_template() -> None:
    _, made = job({"org.example/team": "a", "org.example/x": "1", "else": "2"}, "org.example/*")
    for meta in (made["metadata"], made["spec"]["template"]["metadata"]):
        assert meta["labels"]["org.example/team"] == "a"
        assert meta["labels"]["org.example/x"] == "1"
        assert "else" not in meta["labels"]


def test_labels_of_the_operator_take_precedence() -> None:
    foreign = {
        "app.kubernetes.io/managed-by": "helm",
        "app.kubernetes.io/component": "web",
        "aim.silogen.ai/template": "other",
    }
    _, made = job(foreign, "*")
    _, plain = job({})
    assert made["metadata"]["labels"] == plain["metadata"]["labels"]


def test_changed_labels_do_not_cause_another_discovery() -> None:
    before, made = job({"team": "a"}, "*")
    after, other = job({"team": "b"}, "*")
    none, _ = job({}, "*")
    assert before == after == none
    assert made["metadata"]["name"] == other["metadata"]["name"]
