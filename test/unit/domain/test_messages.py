"""Messages: short, with the cause at the beginning and the remedy at the end, and stated once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimctl.domain.caching.download_failure import explain
from aimctl.domain.caching.model_cache import decide_model_cache
from aimctl.domain.conditions import MAX_MESSAGE, RollUp, abridge, clip, condition, conditions_of, list_few
from aimctl.domain.events import NEEDS_ACTION, event_type
from aimctl.domain.excerpts import last_lines
from aimctl.domain.jobs.inputs import do_not_exist, pod_inputs
from aimctl.domain.jobs.observed import PodLog
from aimctl.domain.jobs.outcome import Cause, Failed
from aimctl.domain.naming import similar
from aimctl.domain.plan import ActionKey, Known, Rejection, WriteStatus
from aimctl.domain.resolution import resolve_model, resolve_runtime_config
from aimctl.domain.services.decision import decide_service
from aimctl.domain.services.resolution import DERIVED_NAME_TAKEN
from aimctl.kubetypes.builtin import JOBS, PVCS
from support import model_caches, templates
from support.plans import events_of, status_of
from support.services import deployment, template
from support.settling import settle

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = st.one_of(
    st.from_regex(
        r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?){0,3}", fullmatch=True
    ),
    st.sampled_from(["a" * 253, "x.y-" * 60 + "z"]),
)
TEXTS = st.one_of(st.text(max_size=3000), st.just("x" * 100_000))

FOUND = {
    "status": "Ready",
    "modelSources": [{"name": "m", "source": "hf://m/m", "sizeBytes": 1}],
    "discovery": {"result": {"inputHash": "another"}},
}

# ---- length


@given(TEXTS)
def test_a_message_of_a_condition_is_short_and_on_one_line(text: str) -> None:
    built = condition((), "Ready", "False", "Because", text, generation=1, now="")
    assert 0 < len(built["message"]) <= MAX_MESSAGE
    assert built["message"].isprintable()


@given(TEXTS, st.integers(40, 400))
def test_an_abridged_text_has_its_beginning_and_its_end(text: str, limit: int) -> None:
    short = abridge(text, limit)
    assert len(short) <= limit
    if len(text) <= limit:
        assert short == text
    else:
        head, _, tail = short.partition(" ... ")
        assert text.startswith(head)
        assert text.endswith(tail.rpartition(" ... ")[2])


WORDS = st.lists(st.text("abc", min_size=1, max_size=10), min_size=40, max_size=90).map(" ".join)


@given(WORDS, st.integers(120, 250))
def test_no_word_is_cut_where_a_text_is_abridged(text: str, limit: int) -> None:
    every = text.split()
    for short in (abridge(text, limit), abridge(abridge(text, limit), limit - 20)):
        assert set(short.split()) <= {*every, "..."}
        assert "... ..." not in short
    assert clip(text, limit).removesuffix("...").split() == every[: len(clip(text, limit).split())]
    assert last_lines(text.encode(), limit=limit).removeprefix("...").split()[-1] == every[-1]
    assert set(last_lines(text.encode(), limit=limit).removeprefix("...").split()) <= set(every)


def test_a_long_word_is_cut_because_most_of_the_text_would_be_lost_otherwise() -> None:
    assert abridge("cannot pull https://" + "x" * 300 + " now", 100) == (
        f"cannot pull https://{'x' * 40} ... {'x' * 31} now"
    )


@given(st.lists(st.text(max_size=5), max_size=30), st.integers(1, 5))
def test_a_long_list_names_the_first_words_and_the_number_of_the_others(words: list[str], limit: int) -> None:
    text = list_few(words, "|", limit)
    assert text.startswith("|".join(words[:limit]))
    assert text.endswith(f" and {len(words) - limit} more") == (len(words) > limit) or not words


@given(NAMES, NAMES)
def test_the_remedy_for_a_missing_reference_survives_the_longest_names(name: str, namespace: str) -> None:
    model = resolve_model(
        name,
        namespace[:63],
        namespaced=None,
        cluster=None,
        similar=similar(name, [name + "x"]),
        remedy="do that",
    )
    config = resolve_runtime_config(f"{name}x", namespace[:63], namespaced=None, cluster=None)
    for missing, end in (
        (model, "create one, or do that"),
        (config, "name another in spec.runtimeConfigName"),
    ):
        assert missing is not None
        assert abridge(missing.message).endswith(end)


@given(st.lists(NAMES, min_size=1, max_size=6, unique=True))
def test_missing_inputs_of_a_pod_are_named_with_the_remedy(names: list[str]) -> None:
    text = abridge(do_not_exist(pod_inputs("team", pull_secrets=names)))
    assert text.endswith("create it" if len(names) == 1 else "create them")


@given(TEXTS, st.sampled_from(list(Cause)), NAMES)
def test_a_failed_download_leaves_room_for_the_next_attempt(text: str, cause: Cause, name: str) -> None:
    env = [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]
    failed = Failed(text, cause)
    found = explain(
        failed, text.encode(errors="replace"), source="hf://a/b", claim=name, requested="1Gi", env=env
    )
    assert len(found.message) <= MAX_MESSAGE - 50


@settings(max_examples=10)
@given(TEXTS)
def test_no_text_from_outside_makes_the_messages_of_a_template_long(text: str) -> None:
    """``settle`` checks the messages of every status that the decisions write."""
    name, output = templates.wanted_job(templates.observe()).key.name, text.encode()
    job, pod = templates.job, templates.pod
    cases: tuple[dict[str, Any], ...] = (
        {"known": Known({ActionKey("Job", "team", name): Rejection(text)})},
        {"jobs": [job(name, pods=[pod(waiting="ErrImagePull", message=text)])]},
        {"jobs": [job(name, pods=[pod(waiting="CreateContainerConfigError", message=text, age=90)])]},
        {"jobs": [job(name, pods=[pod(unschedulable=text, age=900)])]},
        {"jobs": [job(name, age=30)], "pod_events": [text]},
        {"jobs": [templates.completed(name, output)]},
        {
            "jobs": [
                job(name, ended="Failed", pods=[pod("Failed", exit_code=1)], log=PodLog("pod", output)),
            ]
        },
    )
    for case in cases:
        for status in ({}, FOUND):
            settle(status, **case)


@settings(max_examples=25)
@given(TEXTS)
def test_no_text_from_outside_makes_the_messages_of_a_model_cache_long(text: str) -> None:
    """``status_of`` checks the messages."""
    job, pod = model_caches.job, model_caches.pod
    cases: tuple[dict[str, Any], ...] = (
        {"known": model_caches.rejected(JOBS, model_caches.job_name(), text)},
        {"known": model_caches.rejected(PVCS, "llama", text), "of": None},
        {"jobs": [job(pods=[pod("Pending", waiting="ErrImagePull", message=text)])]},
        {"jobs": [job(pods=[pod("Pending", unschedulable=text, age=900)])]},
        {"jobs": [job(ended="Failed", pods=[pod("Failed", exit_code=1, message=text)], pods_read=True)]},
        {"jobs": [job(ended="Failed", reason="Strange", pods_read=True)]},
    )
    for case in cases:
        for status in ({}, model_caches.failed_once(at_seconds=31)):
            plan = decide_model_cache(model_caches.observe(status, **case))
            if plan.of_type(WriteStatus):
                assert status_of(plan)["status"]
                events_of(plan)


@pytest.mark.parametrize("number", [1, 2, 600])
def test_a_selection_without_result_is_explained_briefly(number: int) -> None:
    long = "n" * 200
    candidates = [template(f"{long}-{one}", "Failed", message="m" * 1000) for one in range(number)]
    (written,) = decide_service(deployment(templates=candidates)).of_type(WriteStatus)
    matching = written.part.fields["templateMatching"]
    assert all(len(item["message"]) <= MAX_MESSAGE for item in (*written.part.conditions, *matching))
    assert all(len(event.message) <= MAX_MESSAGE for event in written.events)


# ---- once


@pytest.mark.parametrize("failed", [True, False])
@pytest.mark.parametrize("progressing", [True, False])
def test_the_cause_is_in_ready_and_in_a_failure(progressing: bool, failed: bool) -> None:
    text = "image 'x' was not found"
    findings = RollUp("Failed", "Because", text).findings(ready=False, progressing=progressing, failed=failed)
    built = conditions_of(findings, (), generation=1, now=NOW)
    with_cause = {item["type"] for item in built if item["message"] == text}
    assert with_cause == ({"Ready", "Failure"} if failed else {"Ready"})
    assert findings["Progressing"].message == "see the condition Ready"


# ---- suggestions


@pytest.mark.parametrize(
    ("name", "names", "text"),
    [
        ("lama", ["llama", "mixtral"], " (similar: 'llama')"),
        (
            "meta-llama-3-8b",
            ["meta-llama-3-8b-instruct", "meta-llama-3-70b"],
            " (similar: 'meta-llama-3-70b')",
        ),
        ("qwen", ["llama", "mixtral"], ""),
        ("a", [], ""),
    ],
)
def test_similar_names_are_suggested(name: str, names: list[str], text: str) -> None:
    assert similar(name, names) == text


@given(NAMES, st.lists(NAMES, max_size=5))
def test_a_suggestion_is_an_existing_name(name: str, names: list[str]) -> None:
    text = similar(name, names)
    assert not text or any(repr(item) in text for item in names)
    assert repr(name) not in text or any(name in item for item in names if item != name)


# ---- Events


def test_what_a_user_has_to_do_is_a_warning() -> None:
    assert {event_type(reason, failed=False) for reason in NEEDS_ACTION} == {"Warning"}
    assert event_type("Warming", failed=False) == "Normal"
    assert event_type("Warming", failed=True) == "Warning"
    assert DERIVED_NAME_TAKEN in NEEDS_ACTION
