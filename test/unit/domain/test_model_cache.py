"""What is decided about a model cache: its volume, its attempts, its state, and when it goes."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.domain.caching.model_cache import UNUSED_GRACE, ModelCacheDecision, decide_model_cache
from aimctl.domain.caching.model_cache_observation import (
    ModelCacheObservation,
    ObservedVolume,
    StorageClasses,
)
from aimctl.domain.jobs.observed import ObservedJob, PodLog
from aimctl.domain.resolution import Missing
from aimctl.kubetypes import Object
from support.model_caches import (
    NOW,
    SOURCE,
    after,
    at,
    condition,
    config,
    failed_once,
    job,
    job_name,
    observe,
    pod,
    said,
    status,
    volume,
)

NO_CLASSES = StorageClasses(frozenset())
COMPLETED = {"completed": {"volumeUid": "volume", "finishedAt": at(NOW)}}
GIB = 1024**3


# ---- the volume


def test_a_new_cache_gets_a_claim_and_no_job_yet() -> None:
    decision = decide_model_cache(observe(of=None))
    assert said(decision) == ("Pending", "VolumeRequested")
    assert decision.create_volume is not None
    assert decision.create_volume["metadata"]["name"] == "llama"
    assert "storageClassName" not in decision.create_volume["spec"]
    assert decision.create_job is None


@pytest.mark.parametrize(
    ("own", "configured", "chosen"),
    [("fast", "standard", "fast"), (None, "fast", "fast"), (None, None, None)],
)
def test_the_caches_own_class_wins_over_the_runtime_configs(
    own: str | None, configured: str | None, chosen: str | None
) -> None:
    seen = observe(
        of=None,
        spec={"storageClassName": own},
        runtime_config=config(defaultStorageClassName=configured),
    )
    claim = decide_model_cache(seen).create_volume
    assert claim is not None
    assert claim["spec"].get("storageClassName") == chosen


def test_headroom_is_the_runtime_configs() -> None:
    claim = decide_model_cache(observe(of=None, runtime_config=config(pvcHeadroomPercent=50))).create_volume
    assert claim is not None
    assert claim["spec"]["resources"]["requests"]["storage"] == "24Gi"


@pytest.mark.parametrize(
    ("seen", "reason", "words"),
    [
        (
            observe(of=None, spec={"storageClassName": "nfs"}),
            "StorageClassNotFound",
            ["'nfs'", "spec.storageClassName", "defaultStorageClassName", "fast, standard"],
        ),
        (observe(of=None, classes=NO_CLASSES), "NoDefaultStorageClass", ["default", "spec.storageClassName"]),
        (
            observe(of=None, runtime_config=Missing("RuntimeConfigNotFound", "no such")),
            "RuntimeConfigNotFound",
            ["no such"],
        ),
        (
            observe(of=None, volume_refused=("VolumeRefused", "exceeded quota")),
            "VolumeRefused",
            ["exceeded quota"],
        ),
        (observe(of=volume("Bound", deleting=True)), "VolumeDeleting", ["'llama'"]),
        (observe(of=volume("Bound", owner="former")), "VolumeDeleting", ["'llama'"]),
    ],
)
def test_what_may_come_by_itself_is_pending_and_named(
    seen: ModelCacheObservation, reason: str, words: list[str]
) -> None:
    decision = decide_model_cache(seen)
    assert said(decision) == ("Pending", reason)
    assert condition(decision, "StorageReady")["status"] == "False"
    assert condition(decision, "StorageReady")["reason"] == reason
    assert condition(decision, "Failure")["status"] == "False"
    for word in words:
        assert word in condition(decision)["message"]
    assert decision.create_job is None


@pytest.mark.parametrize(
    ("seen", "reason", "words"),
    [
        (observe(of=volume("Lost")), "VolumeLost", ["kubectl -n team delete pvc llama"]),
        (observe(of=volume("Bound", owner="other")), "NameTaken", ["somebody else"]),
        (observe(of=None, volume_refused=("NameTaken", "it is there")), "NameTaken", ["it is there"]),
        (observe(of=None, spec={"size": "9e30"}), "InvalidSize", ["spec.size", "9e30"]),
    ],
)
def test_what_a_person_has_to_mend_is_a_failure(
    seen: ModelCacheObservation, reason: str, words: list[str]
) -> None:
    decision = decide_model_cache(seen)
    assert said(decision) == ("Failed", reason)
    assert condition(decision, "Failure")["status"] == "True"
    for word in words:
        assert word in condition(decision)["message"]
    assert decision.create_job is None
    assert [event.type for event in decision.events] == ["Warning"]


@pytest.mark.parametrize("phase", ["Pending", "", "Bound"])
def test_a_download_does_not_wait_for_the_claim_to_be_bound(phase: str) -> None:
    decision = decide_model_cache(observe(of=volume(phase)))
    assert decision.create_job is not None
    assert condition(decision, "StorageReady")["status"] == ("True" if phase == "Bound" else "False")


def test_a_claim_that_gets_no_volume_for_long_is_worth_a_hint_and_looked_at_in_time() -> None:
    early = decide_model_cache(observe(of=volume("Pending", age=100)))
    assert condition(early, "StorageReady")["reason"] == "VolumePending"
    assert early.look_again_after == 200
    late = decide_model_cache(observe(of=volume("Pending", age=300)))
    assert condition(late, "StorageReady")["reason"] == "VolumeNotProvisioned"
    assert "ReadWriteMany" in condition(late, "StorageReady")["message"]
    assert "'standard'" in condition(late, "StorageReady")["message"]


def test_a_claim_that_waits_for_a_class_that_is_gone_says_how_to_get_another() -> None:
    decision = decide_model_cache(
        observe(of=volume("Pending", storage_class="gone"), spec={"storageClassName": "fast"})
    )
    assert said(decision) == ("Pending", "StorageClassNotFound")
    assert "delete the claim" in condition(decision)["message"]
    assert "'fast'" in condition(decision)["message"]
    assert decision.create_job is None


def test_what_runs_is_ended_when_its_volume_goes() -> None:
    running = job(pods=[pod()])
    for gone in (None, volume(deleting=True), volume("Lost")):
        decision = decide_model_cache(observe(of=gone, jobs=[running]))
        assert [item.name for item in decision.delete_jobs] == [running.name]
        assert decision.create_job is None


def test_a_claim_that_is_being_deleted_is_not_held_up_by_a_download_that_is_over() -> None:
    done = job(ended="Complete")
    decision = decide_model_cache(observe(COMPLETED, of=volume(deleting=True), jobs=[done]))
    assert [item.name for item in decision.delete_jobs] == [done.name]
    assert decide_model_cache(observe(COMPLETED, jobs=[done])).delete_jobs == ()


# ---- attempts


def test_the_first_job_is_the_first_attempt() -> None:
    decision = decide_model_cache(observe())
    assert decision.create_job is not None
    assert decision.create_job["metadata"]["name"] == job_name(1)
    assert said(decision) == ("Progressing", "DownloadWaiting")


def test_making_the_job_changes_nothing_that_was_said() -> None:
    seen = observe()
    before = decide_model_cache(seen)
    there = decide_model_cache(after(seen, before, jobs=(job(),)))
    assert status(there) == status(before)
    assert there.create_job is None


def test_a_running_download_is_progress() -> None:
    decision = decide_model_cache(observe(jobs=[job(pods=[pod()])], measured=4 * GIB))
    assert said(decision) == ("Progressing", "Downloading")
    assert status(decision)["progress"]["percent"] == 25
    assert decision.delete_jobs == ()


def test_a_complete_download_is_available_and_stays_so() -> None:
    seen = observe(jobs=[job(ended="Complete", pods=[pod("Succeeded", exit_code=0)])], measured=15 * GIB)
    decision = decide_model_cache(seen)
    assert said(decision) == ("Available", "Downloaded")
    assert condition(decision)["status"] == "True"
    assert status(decision)["progress"]["percent"] == 100
    assert status(decision)["completed"] == {"volumeUid": "volume", "finishedAt": at(NOW)}
    for changes in (
        {"jobs": ()},
        {"runtime_config": Missing("RuntimeConfigNotFound", "gone")},
        {"classes": NO_CLASSES},
        {"in_use": False},
        {"measured": None},
        {"now": NOW + timedelta(days=30)},
    ):
        later = decide_model_cache(after(seen, decision, **changes))
        assert status(later) == status(decision)
        assert (later.create_job, later.create_volume, later.delete_cache) == (None, None, False)


def test_a_changed_spec_does_not_undo_what_is_complete() -> None:
    seen = observe(COMPLETED, spec={"env": [{"name": "HF_TOKEN", "value": "new"}], "size": "99Gi"})
    assert said(decide_model_cache(seen)) == ("Available", "Downloaded")


def test_an_end_that_nobody_read_counts_once_whatever_came_of_its_pod() -> None:
    assert said(decide_model_cache(observe(jobs=[job(ended="Complete")])))[0] == "Available"


def test_a_failed_attempt_is_counted_once_and_followed_by_a_pause() -> None:
    ended = job(
        ended="Failed",
        reason="BackoffLimitExceeded",
        pods=[pod("Failed", exit_code=1, message="x\nOSError: [Errno 28] No space left on device\n")],
    )
    seen = observe(jobs=[ended])
    decision = decide_model_cache(seen)
    assert said(decision) == ("Failed", "VolumeFull")
    assert status(decision)["failedDownloads"] == 1
    assert status(decision)["nextDownloadAt"] == at(NOW + timedelta(seconds=30))
    assert status(decision)["lastFailure"]["jobName"] == ended.name
    assert decision.look_again_after == 30
    assert [event.reason for event in decision.events] == ["VolumeFull"]
    again = decide_model_cache(after(seen, decision, now=NOW + timedelta(seconds=10)))
    assert status(again) == status(decision)
    assert again.events == ()
    assert again.look_again_after == 20
    next_ = decide_model_cache(after(seen, decision, now=NOW + timedelta(seconds=30)))
    assert said(next_) == ("Failed", "VolumeFull")
    assert next_.create_job is not None
    assert next_.create_job["metadata"]["name"] == job_name(2)
    assert condition(next_)["message"].endswith("Attempt 2 is under way")
    assert next_.events == ()


def test_the_end_is_explained_by_the_pods_of_the_server_and_by_its_log_when_there_are_no_last_words() -> None:
    unknown = decide_model_cache(observe(jobs=[job(ended="Failed")]))
    assert unknown.status is None
    assert unknown.read_pods is not None
    silent = job(ended="Failed", pods=[pod("Failed", exit_code=2)])
    asked = decide_model_cache(observe(jobs=[silent]))
    assert asked.read_log is not None
    assert (asked.read_log.pod, asked.read_log.container) == ("pod", "download")
    read = replace(silent, log=PodLog("pod", b'{"aimctl":"progress","bytes":5}\nTraceback\nBoom\n'))
    decision = decide_model_cache(observe(jobs=[read]))
    assert "exit code 2" in condition(decision)["message"]
    assert "Traceback | Boom" in condition(decision)["message"]
    assert "aimctl" not in condition(decision)["message"]
    gone = decide_model_cache(observe(jobs=[job(ended="Failed", pods_read=True, reason="Deleted")]))
    assert said(gone) == ("Failed", "DownloadFailed")


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        (pod("Failed", exit_code=137, ended="OOMKilled", message="x"), "OutOfMemory"),
        (pod("Failed", pod_reason="Evicted", message="The node was low on ephemeral-storage"), "Evicted"),
    ],
)
def test_the_kubelets_word_for_the_end_is_the_reason(ended: Any, reason: str) -> None:
    assert said(decide_model_cache(observe(jobs=[job(ended="Failed", pods=[ended], pods_read=True)]))) == (
        "Failed",
        reason,
    )


def test_an_image_that_is_not_there_fails_without_waiting_for_the_job_which_goes() -> None:
    waiting = job(pods=[pod("Pending", waiting="ErrImagePull", message="x: not found")])
    decision = decide_model_cache(observe(jobs=[waiting]))
    assert said(decision) == ("Failed", "ImagePullFailed")
    assert "spec.modelDownloadImage" in condition(decision)["message"]
    assert [item.name for item in decision.delete_jobs] == [waiting.name]
    assert decision.create_job is None


def test_a_pod_that_no_node_takes_waits_and_says_why_however_long() -> None:
    text = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims"
    for age in (1, 100_000):
        stuck = job(pods=[pod("Pending", unschedulable=text, age=age)])
        decision = decide_model_cache(observe(jobs=[stuck]))
        assert status(decision)["status"] == "Progressing"
        assert text in condition(decision)["message"]
        assert decision.delete_jobs == ()


def test_a_changed_input_is_tried_at_once_and_rediscovery_asks_for_the_same() -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"spec": {"env": [{"name": "HF_TOKEN", "value": "new"}]}},
        {"runtime_config": config(env=[{"name": "HF_ENDPOINT", "value": "x"}])},
        {"rediscover": "now"},
        {"of": volume(uid="another")},
    )
    for change in changes:
        decision = decide_model_cache(observe(failed_once(), **change))
        assert decision.create_job is not None, change
        name = decision.create_job["metadata"]["name"]
        assert name == job_name(2, **change)
        assert name != job_name(2)
    assert decide_model_cache(observe(failed_once())).create_job is None


def test_a_secret_that_may_be_the_cause_ends_the_pause_when_it_changes() -> None:
    env: dict[str, Any] = {
        "spec": {
            "env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}],
            "imagePullSecrets": [{"name": "pull"}],
        }
    }
    refused = pod("Failed", exit_code=1, message="401 Client Error")
    ended = job(job_name(1, **env), ended="Failed", pods=[refused])
    seen = observe(jobs=[ended], **env)
    asked = decide_model_cache(seen)
    assert asked.read_secrets == ("hf", "pull")
    seen = replace(seen, secret_versions="a")
    counted = decide_model_cache(seen)
    assert said(counted) == ("Failed", "AccessDenied")
    assert counted.look_again_after == 30
    paused = after(seen, counted, secret_versions=None)
    assert decide_model_cache(paused).read_secrets == ("hf", "pull")
    same = decide_model_cache(replace(paused, secret_versions="a"))
    assert status(same) == status(counted)
    for unknown in ("", "a"):
        decision = decide_model_cache(replace(seen, secret_versions=unknown))
        assert ("secretVersions" in status(decision)["lastFailure"]) == bool(unknown)
    changed = decide_model_cache(replace(paused, secret_versions="b"))
    assert changed.create_job is not None
    assert changed.create_job["metadata"]["name"] == job_name(2, **env)


def test_secrets_are_looked_at_once_a_minute_and_only_where_they_may_be_the_cause() -> None:
    env: dict[str, Any] = {
        "spec": {"env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}]}
    }
    long = {**failed_once(**env), "failedDownloads": 9, "nextDownloadAt": at(NOW + timedelta(hours=1))}
    long["lastFailure"] |= {"secretVersions": "a"}
    assert decide_model_cache(observe(long, secret_versions="a", **env)).look_again_after == 60
    full = pod("Failed", exit_code=1, message="No space left on device")
    ended = job(job_name(1, **env), ended="Failed", pods=[full])
    assert decide_model_cache(observe(jobs=[ended], **env)).read_secrets == ()


def test_a_download_of_which_nothing_arrives_is_worth_a_word() -> None:
    running = job(pods=[pod()])
    seen = observe(jobs=[running], measured=GIB)
    first = decide_model_cache(seen)
    early = after(seen, first, now=NOW + timedelta(minutes=5))
    assert said(decide_model_cache(early)) == ("Progressing", "Downloading")
    assert decide_model_cache(early).look_again_after == 600
    late = replace(early, now=NOW + timedelta(minutes=15))
    stalled = decide_model_cache(late)
    assert said(stalled) == ("Progressing", "DownloadStalled")
    assert at(NOW) in condition(stalled)["message"]
    assert [event.type for event in stalled.events] == ["Warning"]
    assert stalled.delete_jobs == ()
    for unknown in (None, 2 * GIB):
        assert said(decide_model_cache(replace(late, measured=unknown)))[1] == "Downloading"


def test_a_download_that_never_ends_is_ended_by_its_deadline() -> None:
    ended = job(ended="Failed", reason="DeadlineExceeded", pods_read=True)
    decision = decide_model_cache(observe(jobs=[ended]))
    assert said(decision) == ("Failed", "DownloadFailed")
    assert "hangs" in condition(decision)["message"]


def test_a_job_that_downloads_goes_on_when_its_input_changes_and_one_that_waits_is_replaced() -> None:
    change: dict[str, Any] = {"spec": {"env": [{"name": "HF_TOKEN", "value": "new"}]}}
    running = decide_model_cache(observe(jobs=[job(pods=[pod()])], **change))
    assert said(running) == ("Progressing", "Downloading")
    assert running.delete_jobs == ()
    waiting = decide_model_cache(observe(jobs=[job()], **change))
    assert len(waiting.delete_jobs) == 1
    assert waiting.create_job is None
    going = decide_model_cache(observe(jobs=[job(deleting=True)], **change))
    assert (going.delete_jobs, going.create_job) == ((), None)
    assert "gone" in condition(going)["message"]
    gone = decide_model_cache(observe(**change))
    assert gone.create_job is not None


def test_what_may_still_write_to_the_volume_is_waited_for_but_not_for_ever() -> None:
    change: dict[str, Any] = {"spec": {"env": [{"name": "A", "value": "b"}]}}
    formers: tuple[dict[str, Any], ...] = ({"strangers": [pod()]}, {"jobs": [job(deleting=True)]})
    for former in formers:
        seen = observe(**change, **former)
        decision = decide_model_cache(seen)
        assert decision.create_job is None
        assert decision.look_again_after == 300
        assert "gone" in condition(decision)["message"]
    stuck = observe(jobs=[job(deleting=True)], now=NOW + timedelta(minutes=5), **change)
    assert decide_model_cache(stuck).create_job is not None


def test_a_former_failure_is_not_counted_again_when_the_input_is_changed_back() -> None:
    old = job(job_name(1), ended="Failed", pods=[pod("Failed", exit_code=1, message="x")])
    decision = decide_model_cache(observe({**failed_once(at_seconds=31)}, jobs=[old]))
    assert decision.create_job is not None
    assert decision.create_job["metadata"]["name"] == job_name(2)
    assert status(decision)["failedDownloads"] == 1


def test_jobs_of_a_former_volume_do_not_count() -> None:
    done = job(job_name(1, of=volume(uid="former")), ended="Complete")
    decision = decide_model_cache(observe(jobs=[done]))
    assert decision.create_job is not None
    running = job(job_name(1, of=volume(uid="former")), pods=[pod()])
    decision = decide_model_cache(observe(jobs=[running]))
    assert [item.name for item in decision.delete_jobs] == [running.name]
    assert decision.create_job is None


def test_a_volume_that_went_is_said_and_made_and_filled_anew() -> None:
    seen = observe({**COMPLETED, "status": "Available", "progress": {"percent": 100}}, of=None)
    decision = decide_model_cache(seen)
    assert said(decision) == ("Pending", "VolumeMissing")
    assert decision.create_volume is not None
    assert [(event.type, event.reason) for event in decision.events] == [("Warning", "VolumeMissing")]
    assert "progress" not in status(decision)
    new = after(seen, decision, volume=volume(uid="another"))
    decision = decide_model_cache(new)
    assert decision.create_job is not None
    assert status(decision)["progress"]["percent"] == 0
    done = job(job_name(1, of=volume(uid="another")), ended="Complete")
    decision = decide_model_cache(after(new, decision, jobs=(done,)))
    assert status(decision)["completed"]["volumeUid"] == "another"


def test_a_refused_job_is_said_and_still_wished_for() -> None:
    decision = decide_model_cache(observe(job_refused="exceeded quota"))
    assert said(decision) == ("Pending", "DownloadRefused")
    assert decision.create_job is not None


# ---- progress


@pytest.mark.parametrize(
    ("size", "measured", "percent"),
    [("16Gi", 0, 0), ("16Gi", 16 * GIB - 1, 99), ("16Gi", 99 * GIB, 99), ("0", 5, 0), ("16Gi", None, 0)],
)
def test_percent_is_rounded_down_and_never_a_hundred_before_the_end(
    size: str, measured: int | None, percent: int
) -> None:
    decision = decide_model_cache(observe(spec={"size": size}, jobs=[job(pods=[pod()])], measured=measured))
    assert status(decision)["progress"]["percent"] == percent


def test_progress_that_has_not_changed_is_the_same_as_before() -> None:
    seen = observe(jobs=[job(pods=[pod()])], measured=4 * GIB)
    first = decide_model_cache(seen)
    for measured in (4 * GIB, None):
        later = decide_model_cache(after(seen, first, measured=measured, now=NOW + timedelta(seconds=60)))
        assert status(later) == status(first)


# ---- coming and going


def test_what_is_being_deleted_is_left_alone() -> None:
    decision = decide_model_cache(observe(deleting=True, of=None, jobs=[job()]))
    assert decision == ModelCacheDecision(None)


@pytest.mark.parametrize(
    ("managed", "in_use", "completed", "age", "goes"),
    [
        (True, False, False, 3600, True),
        (True, False, False, 9, False),
        (True, True, False, 3600, False),
        (True, False, True, 3600, False),
        (False, False, False, 3600, False),
    ],
)
def test_only_a_made_one_that_nobody_uses_and_that_is_not_complete_goes(
    managed: bool,
    in_use: bool,
    completed: bool,
    age: float,
    goes: bool,
) -> None:
    seen = observe(COMPLETED if completed else {}, managed=managed, in_use=in_use, age=age)
    decision = decide_model_cache(seen)
    assert decision.delete_cache is goes
    if managed and not in_use and not goes and not completed:
        assert decision.look_again_after == UNUSED_GRACE.total_seconds() - 9


@pytest.mark.parametrize(
    ("of", "goes"),
    [
        (None, False),
        (volume("Lost"), False),
        (volume(deleting=True), True),
        (volume(uid="another"), True),
        (volume(owner="other", uid="another"), True),
    ],
)
def test_what_was_complete_and_nobody_uses_goes_only_when_its_volume_is_surely_gone(
    of: ObservedVolume | None, goes: bool
) -> None:
    assert decide_model_cache(observe(COMPLETED, of=of, in_use=False)).delete_cache is goes


def test_a_download_whose_end_was_not_read_is_complete_and_not_thrown_away() -> None:
    assert not decide_model_cache(observe(in_use=False, jobs=[job(ended="Complete")])).delete_cache


# ---- every observation

VOLUMES = [None, volume(), volume("Pending"), volume("Lost"), volume(deleting=True), volume(owner="other")]
JOBS = [
    job(),
    job(deleting=True),
    job(pods=[pod()]),
    job(pods=[pod("Pending", waiting="ImagePullBackOff", message="not found")]),
    job(ended="Complete"),
    job(ended="Failed", pods=[pod("Failed", exit_code=1, message="404 Client Error")]),
    job(ended="Failed", pods_read=True),
    job(job_name(2), pods=[pod()]),
    job(job_name(2), ended="Failed", pods=[pod("Failed", exit_code=1, message="x")]),
    job(job_name(1, of=volume(uid="former")), pods=[pod()]),
    job("download-by-hand"),
]
STATUSES: list[dict[str, Any]] = [{}, COMPLETED, failed_once(), failed_once(at_seconds=60)]


def _carried_out(seen: ModelCacheObservation, decision: ModelCacheDecision) -> ModelCacheObservation:
    gone = {item.name for item in decision.delete_jobs}
    return after(
        seen, decision, jobs=tuple(_deleted(item) if item.name in gone else item for item in seen.jobs)
    )


def _deleted(item: ObservedJob) -> ObservedJob:
    meta = msgspec.structs.replace(item.meta, deletion_timestamp=at(NOW))
    return replace(item, job=Object(item.job.resource, meta, item.job.raw))


@given(
    status_=st.sampled_from(STATUSES),
    of=st.sampled_from(VOLUMES),
    jobs=st.lists(st.sampled_from(JOBS), max_size=3, unique_by=lambda item: item.name),
    missing=st.booleans(),
    classes=st.sampled_from([NO_CLASSES, StorageClasses(frozenset({"standard"}), "standard")]),
    measured=st.none() | st.integers(0, 2**63 - 1),
    in_use=st.booleans(),
    size=st.sampled_from(["0", "16Gi", "9e30"]),
)
def test_every_decision_is_whole_and_settles(
    status_: dict[str, Any],
    of: Any,
    jobs: list[Any],
    missing: bool,
    classes: StorageClasses,
    measured: int | None,
    in_use: bool,
    size: str,
) -> None:
    seen = observe(
        status_,
        of=of,
        jobs=jobs,
        runtime_config=Missing("RuntimeConfigNotFound", "gone") if missing else None,
        classes=classes,
        measured=measured,
        in_use=in_use,
        spec={"size": size},
    )
    decision = decide_model_cache(seen)
    if decision.status is None:
        assert decision.delete_cache or decision.read_pods or decision.read_log or decision.read_secrets
        return
    whole = status(decision)
    assert {item["type"] for item in whole["conditions"]} == {
        "StorageReady",
        "Ready",
        "Progressing",
        "Failure",
    }
    assert all(item["message"] for item in whole["conditions"])
    unfinished = {item.name for item in jobs if not item.finished}
    if decision.create_job is not None:
        assert unfinished == set(), "one Job at a time"
        assert of is not None
    if decision.create_volume is not None:
        assert of is None
    leaving = of is not None and of.deleting
    assert {item.name for item in decision.delete_jobs} <= (
        {item.name for item in jobs} if leaving else unfinished
    )
    assert (whole["status"] == "Available") == (condition(decision)["status"] == "True")
    if "progress" in whole:
        assert (whole["progress"]["percent"] == 100) == (whole["status"] == "Available")
    for _ in jobs:  # each may be an attempt that has yet to be counted
        seen = _carried_out(seen, decision)
        decision = decide_model_cache(seen)
        if decision.status is None:
            return
    again = decide_model_cache(_carried_out(seen, decision))
    if again.status is not None:
        assert not again.status.changes(status(decision)), "what was said is said again"
    assert again.events == ()


def test_sources_stay_in_the_message_of_what_is_there() -> None:
    assert SOURCE in condition(decide_model_cache(observe(COMPLETED)))["message"]


@pytest.mark.parametrize(
    ("words", "end"), [("Please log in.", " log in. Attempt 2"), ("exit 3", "exit 3. Attempt 2")]
)
def test_the_last_words_of_a_log_end_with_one_full_stop(words: str, end: str) -> None:
    failed = job(ended="Failed", pods=[pod("Failed", exit_code=1, message=words)])
    assert end in condition(decide_model_cache(observe(jobs=[failed])))["message"]


def test_pauses_double_with_every_failure() -> None:
    seen, waits = observe(), []
    for attempt in itertools.takewhile(lambda number: number < 9, itertools.count(1)):
        ended = job(job_name(attempt), ended="Failed", pods=[pod("Failed", exit_code=1, message="x")])
        decision = decide_model_cache(replace(seen, jobs=(ended,)))
        wait = decision.look_again_after
        assert wait is not None
        waits.append(wait)
        seen = after(seen, decision, now=seen.now + timedelta(seconds=wait))
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600]
