"""The state of a template depends on model, runtime config, GPUs, discovery and cache."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import RuntimeConfigSpec, TemplateState
from aimctl.domain.plan import RequestSlot
from aimctl.domain.templates.decision import decide_discovery
from support.settling import settle
from support.templates import NOW, ObservedJob, completed, job, model, observe, pod, wanted_job

IMAGE_2 = {"model_spec": model("ghcr.io/silogen/aim-llama:2")}
CACHING = {"spec": {"caching": {"enabled": True}}}
STATIC = {"modelSources": [{"name": "m", "sourceURI": "hf://m/m", "size": "16Gi"}]}


def job_of(**differs: Any) -> str:
    return wanted_job(observe(**differs)).key.name


def ready(**differs: Any) -> dict[str, Any]:
    return settle(jobs=[completed(job_of(**differs))], **differs).status


def warm(status: dict[str, Any], reason: str) -> dict[str, Any]:
    """The status with a condition of caching."""
    cache_warm = {
        "type": "CacheWarm",
        "status": "True" if reason == "Warm" else "False",
        "reason": reason,
        "message": f"cache: {reason}",
    }
    others = [item for item in status["conditions"] if item["type"] != "CacheWarm"]
    return status | {"conditions": [*others, cache_warm]}


@pytest.mark.parametrize(
    ("differs", "state", "reason"),
    [
        ({}, "Pending", "AwaitingDiscovery"),
        ({"jobs": [job(job_of(), pods=[pod()])]}, "Pending", "AwaitingDiscovery"),
        ({"jobs": [job(job_of(), pods=[pod("Running")])]}, "Progressing", "DiscoveryRunning"),
        ({"jobs": [completed(job_of())]}, "Ready", "ProfilesDiscovered"),
        ({"jobs": [completed(job_of(), b"")]}, "Failed", "DiscoveryFailed"),
        ({"spec": STATIC}, "Ready", "SourcesGiven"),
        ({"spec": STATIC | CACHING["spec"]}, "Progressing", "WarmRequested"),
        ({"spec": STATIC, "cluster": True}, "Ready", "SourcesGiven"),
        ({"no_model": True}, "Pending", "ModelNotFound"),
        ({"config_name": "gold"}, "Pending", "RuntimeConfigNotFound"),
        ({"gpus": []}, "NotAvailable", "GPUNotAvailable"),
        ({"gpus": [], "spec": STATIC}, "NotAvailable", "GPUNotAvailable"),
        ({"gpus": [], "no_model": True}, "Pending", "ModelNotFound"),
        ({"gpus": [], "spec": {"gpuSelector": None}, "jobs": []}, "Pending", "AwaitingDiscovery"),
    ],
)
def test_the_state_of_a_new_template_follows_from_its_references_gpus_and_jobs(
    differs: dict[str, Any], state: str, reason: str
) -> None:
    found = settle(**differs)
    assert found.state == state
    assert found.condition("Ready") == (str(state == "Ready"), reason)
    assert found.condition("Progressing")[0] == str(state == "Progressing")
    assert found.condition("Failure")[0] == str(state == "Failed")


@pytest.mark.parametrize(
    ("differs", "state", "reason"),
    [
        ({}, "Ready", "ProfilesDiscovered"),
        ({"no_model": True}, "Degraded", "ModelNotFound"),
        ({"config_name": "gold"}, "Degraded", "RuntimeConfigNotFound"),
        ({"gpus": ["MI325X"]}, "NotAvailable", "GPUNotAvailable"),
        (IMAGE_2, "Ready", "ProfilesDiscovered"),
        (IMAGE_2 | {"jobs": [job(job_of(**IMAGE_2), pods=[pod("Running")])]}, "Ready", "ProfilesDiscovered"),
        (IMAGE_2 | {"jobs": [completed(job_of(**IMAGE_2), b"")]}, "Degraded", "DiscoveryFailed"),
        (IMAGE_2 | {"jobs": [completed(job_of(**IMAGE_2))]}, "Ready", "ProfilesDiscovered"),
    ],
)
def test_a_template_with_a_result_becomes_degraded_but_keeps_its_sources(
    differs: dict[str, Any], state: str, reason: str
) -> None:
    found = settle(ready(), **differs)
    assert (found.state, found.condition("Ready")[1]) == (state, reason)
    assert found.status["modelSources"]


def test_a_template_is_ready_and_progressing_while_a_changed_input_is_discovered() -> None:
    found = settle(ready(), **IMAGE_2)
    assert found.state == "Ready"
    assert found.condition("Progressing") == ("True", "Rediscovering")
    done = settle(found.status, jobs=[completed(job_of(**IMAGE_2))], **IMAGE_2)
    assert done.condition("Progressing")[0] == "False"


def test_a_degraded_template_stays_degraded_while_discovery_is_retried() -> None:
    degraded = settle(ready(), jobs=[completed(job_of(**IMAGE_2), b"")], **IMAGE_2).status
    again = settle(degraded, rediscover="now", **IMAGE_2)
    assert again.state == "Degraded"
    assert again.condition("Discovered") == ("False", "AwaitingDiscovery")
    assert again.condition("Progressing") == ("True", "Rediscovering")
    assert again.condition("Failure")[0] == "False"
    fixed = settle(
        again.status, jobs=[completed(job_of(rediscover="now", **IMAGE_2))], rediscover="now", **IMAGE_2
    )
    assert fixed.state == "Ready"


def test_a_template_with_its_former_input_is_ready_without_a_job() -> None:
    degraded = settle(ready(), jobs=[completed(job_of(**IMAGE_2), b"")], **IMAGE_2).status
    back = settle(degraded)
    assert back.state == "Ready"
    assert back.wanted is None


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("WarmRequested", "Progressing"),
        ("Warming", "Progressing"),
        ("Warm", "Ready"),
        ("WarmFailed", "Degraded"),
    ],
)
def test_a_template_with_caching_is_ready_only_if_its_cache_is_warm(reason: str, state: str) -> None:
    found = settle(warm(ready(**CACHING), reason), **CACHING)
    assert (found.state, found.condition("Ready")) == (state, (str(state == "Ready"), reason))
    assert found.condition("CacheWarm")[1] == reason


def test_a_warm_cache_of_former_sources_does_not_make_a_template_ready() -> None:
    found = settle(warm(ready(**CACHING), "Warm"), cached=["hf://org/former"], **CACHING)
    assert (found.state, found.condition("Ready")) == ("Progressing", ("False", "WarmRequested"))


def test_progress_of_the_cache_causes_no_writes_and_its_problems_are_reported() -> None:
    warming = settle(warm(ready(**CACHING), "Warming"), **CACHING)
    assert "CacheWarm" in warming.message("Ready")
    further = warm(warming.status, "Warming")
    next(item for item in further["conditions"] if item["type"] == "CacheWarm")["message"] = "90 %"
    assert settle(further, **CACHING).writes == 0
    for reason in ("WarmRequested", "WarmFailed"):
        assert settle(warm(ready(**CACHING), reason), **CACHING).message("Ready") == f"cache: {reason}"


def test_without_caching_the_condition_of_the_cache_does_not_matter() -> None:
    assert settle(warm(ready(), "WarmFailed")).state == "Ready"


def test_resolved_references_are_in_the_status_until_they_cannot_be_resolved() -> None:
    found = settle(config_spec=RuntimeConfigSpec())
    assert found.status["resolvedImage"] == {
        "kind": "AIMClusterModel",
        "name": "llama",
        "scope": "Cluster",
        "uid": "model-uid",
    }
    assert found.status["resolvedRuntimeConfig"]["name"] == "default"
    assert found.status["observedGeneration"] == 1
    gone = settle(found.status, no_model=True, generation=2)
    assert "resolvedImage" not in gone.status
    assert "resolvedRuntimeConfig" not in gone.status
    assert gone.status["observedGeneration"] == 2


def test_each_change_of_the_state_is_recorded_once() -> None:
    first = settle(config_spec=RuntimeConfigSpec())
    assert [(event.type, event.reason) for event in first.events] == [("Normal", "Pending")]
    gone = settle(first.status, gpus=[], config_spec=RuntimeConfigSpec())
    assert [(event.type, event.reason) for event in gone.events] == [("Warning", "NotAvailable")]
    assert not settle(gone.status, gpus=[], config_spec=RuntimeConfigSpec()).events


def test_a_missing_default_runtime_config_is_recorded_once_and_does_not_prevent_discovery() -> None:
    found = settle()
    assert [event.reason for event in found.events].count("DefaultRuntimeConfigNotFound") == 1
    assert found.wanted is not None
    later = settle(found.status, gpus=[])
    assert "DefaultRuntimeConfigNotFound" not in [event.reason for event in later.events]


def test_transition_times_change_only_with_the_status_of_a_condition() -> None:
    status = settle().status
    before = {item["type"]: item["lastTransitionTime"] for item in status["conditions"]}
    later = NOW.replace(hour=18)
    running = settle(status, jobs=[job(job_of(), pods=[pod("Running")])], now=later)
    after = {item["type"]: item["lastTransitionTime"] for item in running.status["conditions"]}
    assert after["Ready"] == before["Ready"]
    assert after["Discovered"] == before["Discovered"]
    assert after["Progressing"] == "2026-05-04T18:00:00Z"


def jobs_for(which: str, **differs: Any) -> list[ObservedJob]:
    slots = decide_discovery(observe(**differs)).of_type(RequestSlot)
    name = slots[0].create.key.name if slots else "discover-other"
    return {
        "none": [],
        "waiting": [job(name, pods=[pod()])],
        "running": [job(name, pods=[pod("Running")])],
        "pull": [job(name, pods=[pod(waiting="ImagePullBackOff", message="not found")])],
        "done": [completed(name)],
        "bad": [completed(name, b"[]")],
        "lost": [completed(name, None)],
        "stale": [job("discover-stale", pods=[pod("Running")])],
    }[which]


STEPS = st.fixed_dictionaries(
    {
        "which": st.sampled_from(["none", "waiting", "running", "pull", "done", "bad", "lost", "stale"]),
        "gpus": st.sampled_from([["MI300X"], []]),
        "no_model": st.booleans(),
        "config_name": st.sampled_from(["default", "gold"]),
        "model_spec": st.sampled_from([model("a:1"), model("a:2")]),
        "rediscover": st.sampled_from(["", "now"]),
        "spec": st.sampled_from([{}, STATIC, CACHING["spec"]]),
        "cluster": st.just(value=False),
        "cache": st.sampled_from(["", "Warming", "Warm", "WarmFailed"]),
    }
)


@settings(max_examples=80)
@given(st.lists(STEPS, min_size=1, max_size=6))
def test_decisions_settle_and_are_consistent_for_any_sequence_of_events(steps: list[dict[str, Any]]) -> None:
    """After every step, deciding again changes nothing and records nothing, and state and conditions agree."""
    status: dict[str, Any] = {}
    for step in steps:
        differs = dict(step)
        which, cache = differs.pop("which"), differs.pop("cache")
        if cache and status:
            status = warm(status, cache)
        had = bool(status.get("modelSources"))
        jobs = jobs_for(which, **differs)
        found = settle(status, jobs=jobs, **differs)
        status = found.status
        again = settle(status, jobs=jobs, **differs)
        assert again.writes == 0
        assert not again.events
        assert had <= bool(status.get("modelSources")), "a result is never lost"
        assert found.state in set(TemplateState)
        assert found.condition("Ready")[0] == str(found.state == "Ready")
        if found.state == "Ready":
            assert status["modelSources"]
        if found.condition("Failure")[0] == "True":
            assert found.state in {"Failed", "Degraded"}
        if found.wanted is not None:
            assert step["spec"] is not STATIC
            assert step["gpus"]
            assert not step["no_model"]
            assert found.wanted.key.name not in {item.name for item in jobs}
