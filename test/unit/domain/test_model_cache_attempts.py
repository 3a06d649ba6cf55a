"""What a model cache reports from attempt to attempt, and about attempts that do not start."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from aimctl.domain.caching.model_cache import decide_model_cache
from aimctl.domain.caching.model_cache_observation import NOISE_BYTES
from aimctl.domain.plan import Got, Known, List
from aimctl.kubetypes.builtin import JOBS
from support.model_caches import (
    NOW,
    after,
    at,
    created,
    deleted,
    failed_once,
    job,
    job_name,
    observe,
    outcome,
    pod,
)
from support.plans import condition_of, events_of, status_of

GIB = 1024**3
CHANGE: dict[str, Any] = {"spec": {"env": [{"name": "HF_TOKEN", "value": "new"}]}}


def again(measured: int | None = None, **changes: Any) -> Any:
    """The second attempt runs, after one that left this number of bytes."""
    progress = {"downloadedBytes": GIB, "totalBytes": 16 * GIB, "percent": 6, "updatedAt": at(NOW)}
    before = {**failed_once(at_seconds=31, **changes), "status": "Failed", "progress": progress}
    return observe(before, jobs=[job(job_name(2, **changes), pods=[pod()])], downloaded=measured, **changes)


# ---- after a failure


@pytest.mark.parametrize("measured", [None, GIB, GIB + NOISE_BYTES])
def test_a_cache_stays_failed_until_data_has_arrived(measured: int | None) -> None:
    plan = decide_model_cache(again(measured))
    assert outcome(plan) == ("Failed", "DownloadFailed")
    assert condition_of(plan)["message"] == "it broke. Attempt 2 is under way"
    assert condition_of(plan, "Progressing")["status"] == "False"
    assert status_of(plan)["progress"]["downloadedBytes"] == GIB


def test_it_progresses_when_data_has_arrived_and_reports_the_failure_until_it_is_available() -> None:
    plan = decide_model_cache(again(GIB + NOISE_BYTES + 1))
    assert outcome(plan) == ("Progressing", "Downloading")
    assert "attempt 2, the last one failed: DownloadFailed" in condition_of(plan)["message"]
    assert status_of(plan)["progress"]["downloadedBytes"] == GIB + NOISE_BYTES + 1


def test_it_progresses_at_once_when_the_input_was_changed() -> None:
    seen = again()
    other = again(**CHANGE)
    changed = after(other, decide_model_cache(seen))
    assert outcome(decide_model_cache(changed)) == ("Progressing", "Downloading")


def test_an_event_is_recorded_for_each_failed_attempt_and_none_in_between() -> None:
    ended = job(job_name(2), ended="Failed", pods=[pod("Failed", exit_code=1, message="it broke")])
    running = again(GIB)
    running = after(running, decide_model_cache(running))
    assert events_of(decide_model_cache(running)) == []
    failed = decide_model_cache(replace(running, jobs=(ended,)))
    assert [(event.type, event.reason) for event in events_of(failed)] == [("Warning", "DownloadFailed")]
    assert events_of(decide_model_cache(after(running, failed, jobs=(ended,)))) == []


# ---- stalled


def test_progress_from_before_a_pause_does_not_make_a_download_stalled() -> None:
    hour_later = replace(again(GIB), now=NOW + timedelta(minutes=14))
    assert "nothing has arrived" not in condition_of(decide_model_cache(hour_later))["message"]
    progress = {"downloadedBytes": GIB, "totalBytes": 16 * GIB, "percent": 6}
    old = {"status": "Progressing", "progress": {**progress, "updatedAt": at(NOW - timedelta(hours=2))}}
    begun = decide_model_cache(observe(old, jobs=[job(pods=[pod()])], downloaded=GIB))
    assert outcome(begun) == ("Progressing", "Downloading")
    assert begun.requeue_after == 900


def test_an_attempt_after_a_failure_to_which_no_data_arrives_is_reported_as_stalled() -> None:
    late = replace(again(GIB), now=NOW + timedelta(minutes=15))
    plan = decide_model_cache(late)
    assert outcome(plan) == ("Failed", "DownloadFailed")
    assert f"nothing has arrived since {at(NOW)}" in condition_of(plan)["message"]


# ---- without a pod that runs


def test_a_job_without_a_pod_for_a_minute_is_reported_with_possible_causes() -> None:
    early = decide_model_cache(observe(jobs=[job(age=40)]))
    assert outcome(early) == ("Progressing", "DownloadWaiting")
    assert early.requeue_after == 20
    without = observe(jobs=[job(age=60)])
    (events,) = decide_model_cache(without).actions
    assert isinstance(events, List)
    late = decide_model_cache(replace(without, known=Known(reads={events: Got()})))
    assert outcome(late) == ("Progressing", "NoPod")
    assert late.requeue_after == 60
    assert [event.type for event in events_of(late)] == ["Warning"]
    for word in ("quota", "policy", f"kubectl -n team describe job {job_name()}"):
        assert word in condition_of(late)["message"]
    assert deleted(late) == []


def test_a_pod_that_cannot_be_scheduled_is_replaced_when_its_input_changes() -> None:
    stuck = job(pods=[pod("Pending", unschedulable="0/3 nodes are available", age=1000)])
    plan = decide_model_cache(observe(jobs=[stuck], **CHANGE))
    assert deleted(plan) == [stuck.name]


def test_pods_of_a_finished_job_are_waited_for() -> None:
    over = job(ended="Failed", reason="DeadlineExceeded", pods_read=True)
    counted = decide_model_cache(observe(jobs=[over]))
    paused = after(observe(jobs=[over]), counted, now=NOW + timedelta(seconds=31))
    assert created(decide_model_cache(paused), JOBS) is not None
    waits = decide_model_cache(replace(paused, other_pods=(pod(),)))
    assert created(waits, JOBS) is None
    assert "the next download waits until pod pod is gone" in condition_of(waits)["message"]
