"""What is said of a model cache from attempt to attempt, and of attempts that do not get going."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from aimctl.domain.caching.model_cache import decide_model_cache
from aimctl.domain.caching.model_cache_observation import NOISE_BYTES
from support.model_caches import (
    NOW,
    after,
    at,
    condition,
    failed_once,
    job,
    job_name,
    observe,
    pod,
    said,
    status,
)

GIB = 1024**3
CHANGE: dict[str, Any] = {"spec": {"env": [{"name": "HF_TOKEN", "value": "new"}]}}


def again(measured: int | None = None, *, told: int = GIB, **changes: Any) -> Any:
    """The second attempt runs, after one that left so many bytes."""
    progress = {"downloadedBytes": told, "totalBytes": 16 * GIB, "percent": 6, "updatedAt": at(NOW)}
    before = {**failed_once(at_seconds=31, **changes), "status": "Failed", "progress": progress}
    return observe(before, jobs=[job(job_name(2, **changes), pods=[pod()])], measured=measured, **changes)


# ---- after a failure


@pytest.mark.parametrize("measured", [None, GIB, GIB + NOISE_BYTES])
def test_a_cache_stays_failed_until_something_has_arrived(measured: int | None) -> None:
    decision = decide_model_cache(again(measured))
    assert said(decision) == ("Failed", "DownloadFailed")
    assert condition(decision)["message"] == "it broke. Attempt 2 is under way"
    assert condition(decision, "Progressing")["status"] == "False"
    assert status(decision)["progress"]["downloadedBytes"] == GIB


def test_it_progresses_once_something_has_and_tells_of_the_failure_until_it_is_available() -> None:
    decision = decide_model_cache(again(GIB + NOISE_BYTES + 1))
    assert said(decision) == ("Progressing", "Downloading")
    assert "attempt 2, the last failed: DownloadFailed" in condition(decision)["message"]
    assert status(decision)["progress"]["downloadedBytes"] == GIB + NOISE_BYTES + 1


def test_it_progresses_at_once_when_the_input_was_changed() -> None:
    seen = again()
    other = again(**CHANGE)
    changed = replace(seen, jobs=other.jobs, view=seen.view.model_copy(update={"spec": other.view.spec}))
    assert said(decide_model_cache(changed)) == ("Progressing", "Downloading")


def test_each_attempt_that_fails_is_worth_an_event_and_what_lies_between_is_not() -> None:
    ended = job(job_name(2), ended="Failed", pods=[pod("Failed", exit_code=1, message="it broke")])
    running = again(GIB)
    running = after(running, decide_model_cache(running))
    assert decide_model_cache(running).events == ()
    failed = decide_model_cache(replace(running, jobs=(ended,)))
    assert [(event.type, event.reason) for event in failed.events] == [("Warning", "DownloadFailed")]
    assert decide_model_cache(after(running, failed, jobs=(ended,))).events == ()


# ---- stalled


def test_what_was_told_before_a_pause_makes_no_download_stalled() -> None:
    hour_later = replace(again(GIB), now=NOW + timedelta(minutes=14))
    assert "nothing has arrived" not in condition(decide_model_cache(hour_later))["message"]
    progress = {"downloadedBytes": GIB, "totalBytes": 16 * GIB, "percent": 6}
    old = {"status": "Progressing", "progress": {**progress, "updatedAt": at(NOW - timedelta(hours=2))}}
    begun = decide_model_cache(observe(old, jobs=[job(pods=[pod()])], measured=GIB))
    assert said(begun) == ("Progressing", "Downloading")
    assert begun.look_again_after == 900


def test_an_attempt_after_a_failure_of_which_nothing_arrives_is_said_to_be_stalled() -> None:
    late = replace(again(GIB), now=NOW + timedelta(minutes=15))
    decision = decide_model_cache(late)
    assert said(decision) == ("Failed", "DownloadFailed")
    assert f"nothing has arrived since {at(NOW)}" in condition(decision)["message"]


# ---- without a pod that runs


def test_a_job_without_a_pod_for_five_minutes_names_what_may_refuse_it() -> None:
    early = decide_model_cache(observe(jobs=[job(age=100)]))
    assert said(early) == ("Progressing", "DownloadWaiting")
    assert early.look_again_after == 200
    late = decide_model_cache(observe(jobs=[job(age=300)]))
    assert said(late) == ("Progressing", "NoPod")
    assert [event.type for event in late.events] == ["Warning"]
    for word in ("quota", "policy", f"kubectl -n team describe job {job_name()}"):
        assert word in condition(late)["message"]
    assert late.delete_jobs == ()


def test_a_pod_that_no_node_takes_is_replaced_when_its_input_changes() -> None:
    stuck = job(pods=[pod("Pending", unschedulable="0/3 nodes are available", age=1000)])
    decision = decide_model_cache(observe(jobs=[stuck], **CHANGE))
    assert [item.name for item in decision.delete_jobs] == [stuck.name]


def test_pods_of_a_job_that_is_over_are_waited_for() -> None:
    over = job(ended="Failed", reason="DeadlineExceeded", pods_read=True)
    counted = decide_model_cache(observe(jobs=[over]))
    paused = after(observe(jobs=[over]), counted, now=NOW + timedelta(seconds=31))
    assert decide_model_cache(paused).create_job is not None
    waits = decide_model_cache(replace(paused, strangers=(pod(),)))
    assert waits.create_job is None
    assert "the next download waits until pod pod is gone" in condition(waits)["message"]
