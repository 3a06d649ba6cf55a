"""The plan for a model cache: the attempts to fill it, its state, and when it is deleted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api import kinds
from aimctl.domain.caching.model_cache import UNUSED_GRACE, decide_model_cache
from aimctl.domain.caching.model_cache_observation import ModelCacheObservation, StorageClasses
from aimctl.domain.jobs.observed import ObservedJob, PodLog
from aimctl.domain.plan import Confirm, Create, Delete, Get, Got, Known, List, Plan, ReadLog, WriteStatus
from aimctl.domain.resolution import Missing
from aimctl.kubetypes import Object, PersistentVolumeClaim
from aimctl.kubetypes.builtin import JOBS, PODS, PVCS, SECRETS
from support.model_caches import (
    NOW,
    SOURCE,
    after,
    at,
    config,
    created,
    deleted,
    failed_once,
    job,
    job_name,
    observe,
    outcome,
    pod,
    rejected,
    secrets_read,
    volume,
)
from support.plans import condition_of, events_of, outline, part_of, status_of

NO_CLASSES = StorageClasses(frozenset())
COMPLETED = {"completed": {"volumeUid": "volume", "finishedAt": at(NOW)}}
GIB = 1024**3


# ---- attempts


def test_the_first_job_is_the_first_attempt() -> None:
    plan = decide_model_cache(observe())
    assert created(plan, JOBS) is not None
    assert created(plan, JOBS)["metadata"]["name"] == job_name(1)
    assert outcome(plan) == ("Progressing", "DownloadWaiting")


def test_before_the_job_is_created_the_pods_that_may_write_to_the_volume_are_read() -> None:
    (job_created,) = (
        action for action in decide_model_cache(observe()).of_type(Create) if action.resource is JOBS
    )
    (pods,) = job_created.inputs
    assert (pods.resource, pods.namespace) == (PODS, "team")
    labels = job_created.manifest["spec"]["template"]["metadata"]["labels"]
    assert all(
        labels[name] == value for name, value in (item.split("=") for item in pods.label_selector.split(","))
    )


def test_the_creation_of_the_job_does_not_change_the_status() -> None:
    seen = observe()
    before = decide_model_cache(seen)
    there = decide_model_cache(after(seen, before, jobs=(job(),)))
    assert status_of(there) == status_of(before)
    assert created(there, JOBS) is None


def test_a_running_download_is_progress() -> None:
    plan = decide_model_cache(observe(jobs=[job(pods=[pod()])], downloaded=4 * GIB))
    assert outcome(plan) == ("Progressing", "Downloading")
    assert status_of(plan)["progress"]["percent"] == 25
    assert deleted(plan) == []


def test_a_complete_download_is_available_and_stays_so() -> None:
    seen = observe(jobs=[job(ended="Complete", pods=[pod("Succeeded", exit_code=0)])], downloaded=15 * GIB)
    plan = decide_model_cache(seen)
    assert outcome(plan) == ("Available", "Downloaded")
    assert condition_of(plan)["status"] == "True"
    assert status_of(plan)["progress"]["percent"] == 100
    assert status_of(plan)["completed"] == {"volumeUid": "volume", "finishedAt": at(NOW)}
    for changes in (
        {"jobs": ()},
        {"runtime_config": Missing("RuntimeConfigNotFound", "gone")},
        {"classes": NO_CLASSES},
        {"in_use": False},
        {"downloaded_bytes": None},
        {"now": NOW + timedelta(days=30)},
    ):
        later = decide_model_cache(after(seen, plan, **changes))
        assert status_of(later) == status_of(plan)
        assert outline(later) == ["WriteStatus"]


def test_the_bytes_of_a_complete_download_are_those_that_its_pod_has_verified() -> None:
    report = '{"aimctl":"verified","files":2,"bytes":1234}'
    ended = job(ended="Complete", pods=[pod("Succeeded", exit_code=0, message=report)])
    plan = decide_model_cache(observe(jobs=[ended], downloaded=GIB))
    assert status_of(plan)["progress"]["downloadedBytes"] == 1234
    assert status_of(plan)["progress"]["percent"] == 100
    later = decide_model_cache(after(observe(jobs=[ended]), plan, jobs=()))
    assert status_of(later) == status_of(plan)


@pytest.mark.parametrize("measured", [None, 0, GIB])
def test_measured_bytes_are_not_raised_to_the_expected_size(measured: int | None) -> None:
    plan = decide_model_cache(observe(jobs=[job(ended="Complete")], downloaded=measured))
    assert status_of(plan)["progress"]["downloadedBytes"] == (measured or 0)


def test_the_last_finished_jobs_are_kept_when_the_next_one_is_created() -> None:
    ended = [job(job_name(attempt), ended="Failed", age=1000 - attempt) for attempt in (1, 2, 3, 4)]
    status = {**failed_once(at_seconds=60), "failedDownloads": 4}
    plan = decide_model_cache(observe(status, jobs=ended))
    assert deleted(plan) == [job_name(1), job_name(2)]
    assert created(plan, JOBS) is not None


def test_a_changed_spec_does_not_undo_what_is_complete() -> None:
    seen = observe(COMPLETED, spec={"env": [{"name": "HF_TOKEN", "value": "new"}], "size": "99Gi"})
    assert outcome(decide_model_cache(seen)) == ("Available", "Downloaded")


def test_a_complete_job_counts_even_if_its_pod_is_gone() -> None:
    assert outcome(decide_model_cache(observe(jobs=[job(ended="Complete")])))[0] == "Available"


def test_a_download_beside_a_sidecar_is_complete_when_its_container_has_succeeded() -> None:
    report = '{"aimctl":"verified","files":2,"bytes":12}'
    ended = job(pods=[pod(exit_code=0, message=report, sidecar=True)])
    plan = decide_model_cache(observe(jobs=[ended]))
    assert outcome(plan) == ("Available", "Downloaded")
    assert deleted(plan) == [job_name()], "the sidecar would run for ever"


def test_a_download_beside_a_sidecar_has_failed_when_its_container_has_failed() -> None:
    ended = job(pods=[pod(exit_code=1, message="Traceback", sidecar=True)], log=PodLog("pod", b"Traceback"))
    plan = decide_model_cache(observe(jobs=[ended]))
    assert status_of(plan)["failedDownloads"] == 1
    assert "exit code 1" in status_of(plan)["lastFailure"]["message"]
    assert deleted(plan) == [job_name()]


def test_a_pause_that_a_wrong_clock_has_written_does_not_last_for_hours() -> None:
    ended = job(
        ended="Failed",
        reason="BackoffLimitExceeded",
        pods=[pod("Failed", exit_code=1, message="x\nOSError: [Errno 28] No space left on device\n")],
    )
    seen = observe(jobs=[ended])
    plan = decide_model_cache(seen)
    behind = decide_model_cache(after(seen, plan, now=NOW - timedelta(hours=2)))
    assert created(behind, JOBS)["metadata"]["name"] == job_name(2)


def test_a_failed_attempt_is_counted_once_and_followed_by_a_pause() -> None:
    ended = job(
        ended="Failed",
        reason="BackoffLimitExceeded",
        pods=[pod("Failed", exit_code=1, message="x\nOSError: [Errno 28] No space left on device\n")],
    )
    seen = observe(jobs=[ended])
    plan = decide_model_cache(seen)
    assert outcome(plan) == ("Failed", "VolumeFull")
    assert status_of(plan)["failedDownloads"] == 1
    assert status_of(plan)["nextDownloadAt"] == at(NOW + timedelta(seconds=30))
    assert status_of(plan)["lastFailure"]["jobName"] == ended.name
    assert plan.requeue_after == 30
    assert [event.reason for event in events_of(plan)] == ["VolumeFull"]
    again = decide_model_cache(after(seen, plan, now=NOW + timedelta(seconds=10)))
    assert status_of(again) == status_of(plan)
    assert events_of(again) == []
    assert again.requeue_after == 20
    next_ = decide_model_cache(after(seen, plan, now=NOW + timedelta(seconds=30)))
    assert outcome(next_) == ("Failed", "VolumeFull")
    assert created(next_, JOBS) is not None
    assert created(next_, JOBS)["metadata"]["name"] == job_name(2)
    assert condition_of(next_)["message"].endswith("Attempt 2 is under way")
    assert events_of(next_) == []


def test_the_end_is_explained_by_pods_of_the_server_and_by_the_log_if_there_is_no_termination_message() -> (
    None
):
    failed = job(ended="Failed")
    pods = decide_model_cache(observe(jobs=[failed]))
    assert pods.actions == (List(PODS, "team", f"job-name={failed.name}"),)
    silent = job(ended="Failed", pods=[pod("Failed", exit_code=2)])
    log = decide_model_cache(observe(jobs=[silent]))
    assert log.actions == (ReadLog("team", "pod", "pod-uid", "download"),)
    read = replace(silent, log=PodLog("pod", b'{"aimctl":"progress","bytes":5}\nTraceback\nBoom\n'))
    plan = decide_model_cache(observe(jobs=[read]))
    assert "exit code 2" in condition_of(plan)["message"]
    assert "Traceback | Boom" in condition_of(plan)["message"]
    assert "aimctl" not in condition_of(plan)["message"]
    gone = decide_model_cache(observe(jobs=[job(ended="Failed", pods_read=True, reason="Deleted")]))
    assert outcome(gone) == ("Failed", "DownloadFailed")


def test_a_missing_image_is_a_failure_before_the_job_ends_and_the_job_is_deleted() -> None:
    waiting = job(pods=[pod("Pending", waiting="ErrImagePull", message="x: not found")])
    plan = decide_model_cache(observe(jobs=[waiting]))
    assert outcome(plan) == ("Failed", "ImagePullFailed")
    assert "spec.modelDownloadImage" in condition_of(plan)["message"]
    assert deleted(plan) == [waiting.name]
    assert created(plan, JOBS) is None


def test_a_pod_that_cannot_be_scheduled_waits_without_a_limit_and_reports_the_cause() -> None:
    text = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims"
    for age in (1, 100_000):
        stuck = job(pods=[pod("Pending", unschedulable=text, age=age)])
        plan = decide_model_cache(observe(jobs=[stuck]))
        assert status_of(plan)["status"] == "Progressing"
        assert text in condition_of(plan)["message"]
        assert deleted(plan) == []


def test_a_changed_input_and_a_requested_rediscovery_cause_an_attempt_at_once() -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"spec": {"env": [{"name": "HF_TOKEN", "value": "new"}]}},
        {"runtime_config": config(env=[{"name": "HF_ENDPOINT", "value": "x"}])},
        {"rediscover": "now"},
        {"of": volume(uid="another")},
    )
    for change in changes:
        plan = decide_model_cache(observe(failed_once(), **change))
        assert created(plan, JOBS) is not None, change
        name = created(plan, JOBS)["metadata"]["name"]
        assert name == job_name(2, **change)
        assert name != job_name(2)
    assert created(decide_model_cache(observe(failed_once())), JOBS) is None


ENV: dict[str, Any] = {
    "spec": {
        "env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}],
        "imagePullSecrets": [{"name": "pull"}],
    }
}
READ_TOKEN, READ_PULL = (Get(SECRETS, "team", name, metadata_only=True) for name in ("hf", "pull"))
NOT_FOUND = 'secret "hf" not found'


def not_started(**change: Any) -> ModelCacheObservation:
    """A first Job whose container cannot be created."""
    waiting = pod("Pending", waiting="CreateContainerConfigError", message=NOT_FOUND, age=100)
    return observe(jobs=[job(job_name(1, **ENV), pods=[waiting])], **ENV, **change)


def test_a_missing_secret_is_named_and_the_next_attempt_waits_for_it() -> None:
    seen = not_started()
    assert decide_model_cache(seen).actions == (READ_PULL, READ_TOKEN)
    counted = decide_model_cache(replace(seen, known=secrets_read({"hf": "", "pull": "1"})))
    assert outcome(counted) == ("Failed", "ContainerSetupFailed")
    text = "Secret 'hf' does not exist in namespace 'team': create it"
    assert condition_of(counted)["message"].startswith(text)
    due = after(seen, counted, known=Known(), jobs=(), now=NOW + timedelta(seconds=30))
    assert decide_model_cache(due).actions == (READ_TOKEN,)
    waiting = decide_model_cache(replace(due, known=secrets_read({"hf": ""})))
    assert created(waiting, JOBS) is None
    assert waiting.requeue_after == 25
    assert condition_of(waiting)["message"] == f"{text}. Attempt 2 follows after that"
    there = decide_model_cache(replace(due, known=secrets_read({"hf": "2"})))
    assert created(there, JOBS)["metadata"]["name"] == job_name(2, **ENV)


def test_secrets_that_may_not_be_read_delay_nothing() -> None:
    seen = not_started(known=secrets_read({"hf": None, "pull": None}))
    counted = decide_model_cache(seen)
    assert NOT_FOUND in condition_of(counted)["message"]
    due = after(seen, counted, jobs=(), now=NOW + timedelta(seconds=30))
    assert created(decide_model_cache(due), JOBS)["metadata"]["name"] == job_name(2, **ENV)


def test_a_missing_pull_secret_is_named_if_the_image_cannot_be_pulled() -> None:
    refused = pod("Pending", waiting="ErrImagePull", message="pull access denied")
    jobs = [job(job_name(1, **ENV), pods=[refused])]
    seen = observe(jobs=jobs, known=secrets_read({"hf": "1", "pull": ""}), **ENV)
    plan = decide_model_cache(seen)
    assert outcome(plan) == ("Failed", "ImagePullFailed")
    message = condition_of(plan)["message"]
    assert message.startswith(
        "Secret 'pull' does not exist in namespace 'team': create it. The registry refused access "
    )


def test_no_objects_are_read_for_a_failure_that_they_cannot_cause() -> None:
    full = pod("Failed", exit_code=1, message="No space left on device")
    ended = job(job_name(1, **ENV), ended="Failed", pods=[full])
    assert decide_model_cache(observe(jobs=[ended], **ENV)).of_type(Get) == []


def test_a_download_to_which_no_data_arrives_is_reported() -> None:
    running = job(pods=[pod()])
    seen = observe(jobs=[running], downloaded=GIB)
    first = decide_model_cache(seen)
    early = after(seen, first, now=NOW + timedelta(minutes=5))
    assert outcome(decide_model_cache(early)) == ("Progressing", "Downloading")
    assert decide_model_cache(early).requeue_after == 600
    late = replace(early, now=NOW + timedelta(minutes=15))
    stalled = decide_model_cache(late)
    assert outcome(stalled) == ("Progressing", "DownloadStalled")
    assert at(NOW) in condition_of(stalled)["message"]
    assert [event.type for event in events_of(stalled)] == ["Warning"]
    assert deleted(stalled) == []
    for unknown in (None, 2 * GIB):
        assert outcome(decide_model_cache(replace(late, downloaded_bytes=unknown)))[1] == "Downloading"


def test_a_download_that_never_ends_is_ended_by_its_deadline() -> None:
    ended = job(ended="Failed", reason="DeadlineExceeded", pods_read=True)
    plan = decide_model_cache(observe(jobs=[ended]))
    assert outcome(plan) == ("Failed", "DownloadFailed")
    assert "hangs" in condition_of(plan)["message"]


def test_a_running_job_continues_when_its_input_changes_and_a_waiting_one_is_replaced() -> None:
    change: dict[str, Any] = {"spec": {"env": [{"name": "HF_TOKEN", "value": "new"}]}}
    running = decide_model_cache(observe(jobs=[job(pods=[pod()])], **change))
    assert outcome(running) == ("Progressing", "Downloading")
    assert deleted(running) == []
    waiting = decide_model_cache(observe(jobs=[job()], **change))
    assert len(deleted(waiting)) == 1
    assert created(waiting, JOBS) is None
    going = decide_model_cache(observe(jobs=[job(deleting=True)], **change))
    assert outline(going) == ["WriteStatus"]
    assert "gone" in condition_of(going)["message"]
    gone = decide_model_cache(observe(**change))
    assert created(gone, JOBS) is not None


def test_an_earlier_writer_to_the_volume_is_waited_for_with_a_limit() -> None:
    change: dict[str, Any] = {"spec": {"env": [{"name": "A", "value": "b"}]}}
    formers: tuple[dict[str, Any], ...] = ({"other_pods": [pod()]}, {"jobs": [job(deleting=True)]})
    for former in formers:
        seen = observe(**change, **former)
        plan = decide_model_cache(seen)
        assert created(plan, JOBS) is None
        assert plan.requeue_after == 300
        assert "gone" in condition_of(plan)["message"]
    stuck = observe(jobs=[job(deleting=True)], now=NOW + timedelta(minutes=5), **change)
    assert created(decide_model_cache(stuck), JOBS) is not None


def test_a_failure_is_not_counted_again_when_the_input_is_changed_back() -> None:
    old = job(job_name(1), ended="Failed", pods=[pod("Failed", exit_code=1, message="x")])
    plan = decide_model_cache(observe({**failed_once(at_seconds=31)}, jobs=[old]))
    assert created(plan, JOBS) is not None
    assert created(plan, JOBS)["metadata"]["name"] == job_name(2)
    assert status_of(plan)["failedDownloads"] == 1


def test_jobs_of_a_former_volume_do_not_count() -> None:
    done = job(job_name(1, of=volume(uid="former")), ended="Complete")
    plan = decide_model_cache(observe(jobs=[done]))
    assert created(plan, JOBS) is not None
    running = job(job_name(1, of=volume(uid="former")), pods=[pod()])
    plan = decide_model_cache(observe(jobs=[running]))
    assert deleted(plan) == [running.name]
    assert created(plan, JOBS) is None


def test_a_rejected_job_is_reported_and_stays_planned() -> None:
    plan = decide_model_cache(observe(known=rejected(JOBS, job_name(1), "exceeded quota")))
    assert outcome(plan) == ("Pending", "DownloadRefused")
    assert "exceeded quota" in condition_of(plan)["message"]
    assert outline(plan) == ["WriteStatus", f"Create {job_name(1)}"]


# ---- progress


@pytest.mark.parametrize(
    ("size", "measured", "percent"),
    [("16Gi", 0, 0), ("16Gi", 16 * GIB - 1, 99), ("16Gi", 99 * GIB, 99), ("0", 5, 0), ("16Gi", None, 0)],
)
def test_percent_is_rounded_down_and_never_a_hundred_before_the_end(
    size: str, measured: int | None, percent: int
) -> None:
    plan = decide_model_cache(observe(spec={"size": size}, jobs=[job(pods=[pod()])], downloaded=measured))
    assert status_of(plan)["progress"]["percent"] == percent


def test_progress_that_has_not_changed_is_the_same_as_before() -> None:
    seen = observe(jobs=[job(pods=[pod()])], downloaded=4 * GIB)
    first = decide_model_cache(seen)
    for measured in (4 * GIB, None):
        later = decide_model_cache(
            after(seen, first, downloaded_bytes=measured, now=NOW + timedelta(seconds=60))
        )
        assert status_of(later) == status_of(first)


# ---- deletion


def test_nothing_is_done_about_a_cache_that_is_being_deleted() -> None:
    plan = decide_model_cache(observe(deleting=True, of=None, jobs=[job()]))
    assert plan == Plan()


USERS_READ = Known(reads={List(kinds.TEMPLATE_CACHES, "team"): Got(())})


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
def test_only_a_managed_cache_that_is_unused_and_not_complete_is_deleted(
    managed: bool,
    in_use: bool,
    completed: bool,
    age: float,
    goes: bool,
) -> None:
    status = COMPLETED if completed else {}
    plan = decide_model_cache(observe(status, managed=managed, in_use=in_use, age=age, known=USERS_READ))
    assert (outline(plan) == ["Confirm llama", "Delete llama"]) is goes
    if managed and not in_use and not goes and not completed:
        assert plan.requeue_after == UNUSED_GRACE.total_seconds() - 9


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
def test_an_unused_cache_that_was_complete_is_deleted_only_if_its_volume_is_certainly_gone(
    of: Object[PersistentVolumeClaim] | None, goes: bool
) -> None:
    plan = decide_model_cache(observe(COMPLETED, of=of, in_use=False, known=USERS_READ))
    assert (outline(plan) == ["Confirm llama", "Delete llama"]) is goes


def test_an_unused_cache_is_deleted_only_after_its_users_and_its_claim_were_read_from_the_server() -> None:
    """The watches of template caches and claims may lag behind that of model caches."""
    plan = decide_model_cache(observe(in_use=False))
    assert plan.actions == (List(kinds.TEMPLATE_CACHES, "team"),)
    assert decide_model_cache(observe(in_use=True, known=USERS_READ)).of_type(Delete) == []
    plan = decide_model_cache(observe(in_use=False, known=USERS_READ))
    (confirm,) = plan.of_type(Confirm)
    assert (confirm.resource, confirm.resource_version) == (PVCS, volume().meta.resource_version)
    assert outline(decide_model_cache(observe(in_use=False, of=None, known=USERS_READ))) == ["Delete llama"]


def test_an_unused_cache_with_a_complete_job_is_kept() -> None:
    plan = decide_model_cache(observe(in_use=False, jobs=[job(ended="Complete")]))
    assert outline(plan) == ["WriteStatus"]


# ---- every observation

VOLUMES = [None, volume(), volume("Pending"), volume("Lost"), volume(deleting=True), volume(owner="other")]
JOB_CASES = [
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


def _carried_out(seen: ModelCacheObservation, plan: Plan) -> ModelCacheObservation:
    gone = deleted(plan)
    return after(seen, plan, jobs=tuple(_deleted(item) if item.name in gone else item for item in seen.jobs))


def _deleted(item: ObservedJob) -> ObservedJob:
    meta = msgspec.structs.replace(item.meta, deletion_timestamp=at(NOW))
    return replace(item, job=Object(item.job.resource, meta, item.job.raw))


@given(
    status_=st.sampled_from(STATUSES),
    of=st.sampled_from(VOLUMES),
    jobs=st.lists(st.sampled_from(JOB_CASES), max_size=3, unique_by=lambda item: item.name),
    missing=st.booleans(),
    classes=st.sampled_from([NO_CLASSES, StorageClasses(frozenset({"standard"}), "standard")]),
    measured=st.none() | st.integers(0, 2**63 - 1),
    in_use=st.booleans(),
    size=st.sampled_from(["0", "16Gi", "9e30"]),
)
def test_every_plan_is_complete_and_settles(
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
        downloaded=measured,
        in_use=in_use,
        spec={"size": size},
    )
    plan = decide_model_cache(seen)
    if not plan.of_type(WriteStatus):
        assert plan.of_type(Delete, List, ReadLog, Get)
        return
    whole = status_of(plan)
    assert {item["type"] for item in whole["conditions"]} == {
        "StorageReady",
        "Ready",
        "Progressing",
        "Failure",
    }
    assert all(item["message"] for item in whole["conditions"])
    unfinished = {item.name for item in jobs if not item.finished}
    if created(plan, JOBS) is not None:
        assert unfinished == set(), "one Job at a time"
        assert of is not None
    if created(plan, PVCS) is not None:
        assert of is None
    deleting = of is not None and of.meta.deleting
    assert set(deleted(plan)) <= ({item.name for item in jobs} if deleting else unfinished)
    assert (whole["status"] == "Available") == (condition_of(plan)["status"] == "True")
    if "progress" in whole:
        assert (whole["progress"]["percent"] == 100) == (whole["status"] == "Available")
    for _ in jobs:  # each may be an attempt that has yet to be counted
        seen = _carried_out(seen, plan)
        plan = decide_model_cache(seen)
        if not plan.of_type(WriteStatus):
            return
    again = decide_model_cache(_carried_out(seen, plan))
    if again.of_type(WriteStatus):
        assert not part_of(again).changes(status_of(plan))
    assert events_of(again) == []


def test_the_message_of_an_available_cache_names_the_source() -> None:
    assert SOURCE in condition_of(decide_model_cache(observe(COMPLETED)))["message"]


@pytest.mark.parametrize(
    ("words", "end"), [("Please log in.", " log in. Attempt 2"), ("exit 3", "exit 3. Attempt 2")]
)
def test_a_message_that_ends_with_a_log_has_one_full_stop(words: str, end: str) -> None:
    failed = job(ended="Failed", pods=[pod("Failed", exit_code=1, message=words)])
    assert end in condition_of(decide_model_cache(observe(jobs=[failed])))["message"]
