"""The plan of the discovery of a template, rule by rule."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.domain.jobs.observed import ObservedJob, PodLog
from aimctl.domain.plan import (
    ActionKey,
    Delete,
    Get,
    Got,
    Known,
    List,
    Plan,
    ReadLog,
    Rejection,
    RequestSlot,
    WriteStatus,
)
from aimctl.domain.templates.decision import decide_discovery, decide_template
from aimctl.kubetypes.builtin import PODS, SERVICE_ACCOUNTS
from support.settling import Settled, settle
from support.templates import ANSWER, NOW, at, completed, job, model, observe, pod, wanted_job
from support.things import make, with_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

STATIC = {
    "modelSources": [
        {"name": "m", "sourceURI": "hf://m/m", "size": "16Gi"},
        {"name": "t", "sourceURI": "s3://b/t", "size": "2Mi"},
    ]
}


def job_of(**differs: Any) -> str:
    """Name of the Job that discovery requests for a new template like this."""
    return wanted_job(observe(**differs)).key.name


def discovered(**differs: Any) -> Settled:
    """A template whose discovery succeeded."""
    return settle(jobs=[completed(job_of(**differs))], **differs)


def failed(status: Mapping[str, Any] | None = None, **differs: Any) -> Settled:
    """A template whose discovery of this input failed."""
    return settle(dict(status or {}), jobs=[completed(job_of(**differs), b"[]")], **differs)


def test_a_new_template_requests_a_slot_and_awaits_discovery() -> None:
    found = settle()
    assert found.wanted is not None
    assert found.wanted.manifest["metadata"]["name"] == found.wanted.key.name
    assert found.condition("Discovered") == ("False", "AwaitingDiscovery")


def test_waiting_for_a_slot_causes_no_further_writes() -> None:
    status = settle().status
    assert settle(status).writes == 0


def test_a_job_that_has_not_started_is_awaited() -> None:
    found = settle(jobs=[job(job_of(), pods=[pod()])])
    assert found.wanted is None
    assert found.condition("Discovered") == ("False", "AwaitingDiscovery")
    assert job_of() in found.message("Discovered")


def test_a_running_job_has_its_own_reason() -> None:
    assert settle(jobs=[job(job_of(), pods=[pod("Running")])]).condition("Discovered") == (
        "False",
        "DiscoveryRunning",
    )


def test_a_problem_that_may_be_temporary_is_in_the_message_and_checked_again_later() -> None:
    found = settle(
        jobs=[
            job(job_of(), pods=[pod(waiting="CreateContainerConfigError", message='secret "hf" not found')])
        ]
    )
    assert 'secret "hf" not found' in found.message("Discovered")
    assert found.plan.requeue_after == pytest.approx(59)


def test_the_log_of_a_complete_job_is_read_before_anything_else_is_planned() -> None:
    seen = observe(jobs=[completed(job_of(), read=False), job("discover-old", pods=[pod("Running")])])
    assert decide_discovery(seen).actions == (ReadLog("team", "pod", "pod-uid", "discovery"),)
    assert decide_template(seen) == Plan()


def test_the_pods_of_a_complete_job_are_read_if_the_cache_lacks_them() -> None:
    seen = observe(jobs=[job(job_of(), ended="Complete")])
    assert decide_discovery(seen).actions == (List(PODS, "team", f"job-name={job_of()}"),)
    assert decide_template(seen) == Plan()


def test_the_status_is_written_before_jobs_are_deleted_and_a_slot_is_requested_last() -> None:
    seen = observe(jobs=[job("discover-old", pods=[pod("Running")])])
    assert [type(action) for action in decide_discovery(seen).actions] == [WriteStatus, Delete, RequestSlot]
    assert [type(action) for action in decide_template(seen).actions] == [WriteStatus]


def test_a_rejected_job_is_still_requested_and_its_rejection_is_reported() -> None:
    rejections = {ActionKey("Job", "team", job_of()): Rejection("exceeded quota: jobs")}
    found = settle(known=Known(rejections))
    assert found.wanted is not None
    assert found.condition("Discovered") == ("False", "AwaitingDiscovery")
    assert "exceeded quota: jobs" in found.message("Discovered")
    assert "exceeded quota: jobs" in found.message("Ready")
    other = {ActionKey("Job", "team", "discover-other"): Rejection("exceeded quota: jobs")}
    assert "quota" not in settle(known=Known(other)).message("Discovered")


def test_a_result_is_stored_as_a_whole_with_its_input() -> None:
    found = discovered()
    assert found.status["modelSources"] == [{"name": "m", "source": "hf://m/m", "sizeBytes": 17179869184}]
    assert found.status["profile"] == {"model": "m/m", "engine_args": {"x": 1}}
    assert found.status["discovery"]["result"]["jobName"] == job_of()
    assert found.condition("Discovered") == ("True", "ProfilesDiscovered")
    assert [event.reason for event in found.events if event.reason == "ProfilesDiscovered"]


def test_an_input_with_a_result_is_not_discovered_again_even_if_the_job_is_gone() -> None:
    found = settle(discovered().status)
    assert found.wanted is None
    assert found.writes == 0
    assert not found.events


def test_a_job_that_was_deleted_before_its_result_was_read_is_run_again() -> None:
    running = settle(jobs=[job(job_of(), pods=[pod("Running")])])
    again = settle(running.status)
    assert again.wanted is not None
    assert again.wanted.key.name == job_of()


def test_a_job_whose_log_is_gone_is_deleted_and_run_again() -> None:
    lost = completed(job_of(), None)
    found = settle(jobs=[lost])
    assert found.deleted == [job_of()]
    assert found.wanted is None
    assert settle(found.status).wanted is not None


def test_a_job_that_is_being_deleted_is_awaited_and_not_deleted_twice() -> None:
    found = settle(jobs=[job(job_of(), deleting=True, pods=[pod("Running")])])
    assert found.wanted is None
    assert not found.deleted
    assert "being deleted" in found.message("Discovered")


@pytest.mark.parametrize(
    "differs",
    [
        {"model_spec": model("ghcr.io/silogen/aim-llama:2")},
        {"spec": {"env": [{"name": "A", "value": "1"}]}},
        {"spec": {"imagePullSecrets": [{"name": "a"}]}},
        {"spec": {"serviceAccountName": "own"}},
        {"rediscover": "2026-05-04T12:00:00Z"},
    ],
    ids=["image", "env", "secrets", "account", "rediscover"],
)
def test_a_changed_input_is_discovered_and_the_old_result_is_kept_until_then(differs: dict[str, Any]) -> None:
    old = discovered()
    found = settle(old.status, generation=2, **differs)
    assert found.wanted is not None
    for name in ("modelSources", "profile", "discovery"):
        assert found.status[name] == old.status[name]
    assert found.condition("Discovered") == ("True", "ProfilesDiscovered")
    new = settle(found.status, jobs=[completed(found.wanted.key.name)], generation=2, **differs)
    assert new.status["discovery"]["result"]["inputHash"] != old.status["discovery"]["result"]["inputHash"]
    assert settle(new.status, generation=2, **differs).wanted is None


def test_an_unfinished_job_of_another_input_is_deleted_and_a_finished_one_is_left_to_its_ttl() -> None:
    old, done = job("discover-old", pods=[pod("Running")]), completed("discover-done")
    found = settle(jobs=[old, done, job("discover-leaving", deleting=True)])
    (deletion,) = found.plan.of_type(Delete)
    assert (deletion.target.name, deletion.target.uid) == ("discover-old", "discover-old-uid")
    assert found.wanted is not None


def test_a_failure_is_recorded_for_its_input_which_is_not_discovered_again() -> None:
    found = failed()
    assert found.condition("Discovered") == ("False", "DiscoveryFailed")
    assert "array is empty" in found.message("Discovered")
    again = settle(found.status)
    assert again.wanted is None
    assert again.writes == 0
    assert "modelSources" not in found.status


@pytest.mark.parametrize(
    "differs", [{"model_spec": model("ghcr.io/silogen/aim-llama:2")}, {"rediscover": "now"}]
)
def test_a_failed_discovery_is_retried_if_the_input_changes_or_on_request(differs: dict[str, Any]) -> None:
    assert settle(failed().status, **differs).wanted is not None


def test_a_success_removes_the_recorded_failure() -> None:
    found = failed()
    assert "failure" in found.status["discovery"]
    fixed = {"rediscover": "now"}
    done = settle(found.status, jobs=[completed(job_of(**fixed))], **fixed)
    assert "failure" not in done.status["discovery"]
    assert done.condition("Discovered") == ("True", "ProfilesDiscovered")


def test_a_failed_rediscovery_keeps_the_old_result() -> None:
    old = discovered()
    differs = {"model_spec": model("ghcr.io/silogen/aim-llama:2")}
    found = failed(old.status, **differs)
    assert found.status["modelSources"] == old.status["modelSources"]
    assert found.status["discovery"]["result"] == old.status["discovery"]["result"]
    assert found.condition("Discovered") == ("False", "DiscoveryFailed")


def test_an_image_problem_frees_the_slot_once_the_failure_is_stored() -> None:
    stuck = job(job_of(), pods=[pod(waiting="ImagePullBackOff", message="not found")])
    status, deletion = decide_discovery(observe(jobs=[stuck])).actions
    assert isinstance(status, WriteStatus)
    assert isinstance(deletion, Delete)
    assert status.part.conditions[0]["reason"] == "DiscoveryFailed"
    assert deletion.target.name == job_of()
    later = settle(status.part.merged_into({}), jobs=[stuck])
    assert later.deleted == [job_of()]
    assert not [event for event in later.events if event.reason == "DiscoveryFailed"]


@pytest.mark.parametrize("minutes", [0, 20])
def test_a_job_that_completes_after_it_was_given_up_is_read_and_no_other_one_runs(minutes: int) -> None:
    stuck = job(job_of(), pods=[pod(waiting="ImagePullBackOff", message="pull access denied")])
    denied = settle(jobs=[stuck])
    assert denied.condition("Discovered") == ("False", "DiscoveryFailed")
    assert denied.status["discovery"]["failure"]["retryAt"]
    found = settle(denied.status, jobs=[completed(job_of())], now=NOW + timedelta(minutes=minutes))
    assert found.wanted is None
    assert found.deleted == []
    assert found.condition("Discovered") == ("True", "ProfilesDiscovered")
    assert "failure" not in found.status["discovery"]


def test_static_sources_are_copied_with_sizes_in_bytes_and_no_job_ever_runs() -> None:
    found = settle(spec=STATIC)
    assert found.status["modelSources"] == [
        {"name": "m", "source": "hf://m/m", "sizeBytes": 17179869184},
        {"name": "t", "source": "s3://b/t", "sizeBytes": 2097152},
    ]
    assert found.condition("Discovered") == ("True", "ProfilesDiscovered")
    assert found.wanted is None
    assert "profile" not in found.status


def test_a_change_of_static_sources_is_copied() -> None:
    changed = {"modelSources": [{"name": "m", "sourceURI": "hf://m/other", "size": "1Gi"}]}
    found = settle(settle(spec=STATIC).status, spec=changed, generation=2)
    assert [source["source"] for source in found.status["modelSources"]] == ["hf://m/other"]


def test_static_sources_replace_a_discovered_result_and_its_job_is_deleted() -> None:
    running = job("discover-x", pods=[pod("Running")])
    found = settle(discovered().status, spec=STATIC, generation=2, jobs=[running])
    assert "profile" not in found.status
    assert "discovery" not in found.status
    assert found.deleted == ["discover-x"]


def test_removing_static_sources_starts_discovery_and_keeps_them_until_it_has_a_result() -> None:
    found = settle(settle(spec=STATIC).status, generation=2)
    assert found.wanted is not None
    assert len(found.status["modelSources"]) == 2


@pytest.mark.parametrize("size", ["8Ei", "sixteen"])
def test_an_invalid_static_size_is_a_failure_with_field_and_value(size: str) -> None:
    found = settle(spec={"modelSources": [{"name": "m", "sourceURI": "hf://m", "size": size}]})
    assert found.condition("Discovered") == ("False", "DiscoveryFailed")
    assert "spec.modelSources[m].size" in found.message("Discovered")
    assert size in found.message("Discovered")


@pytest.mark.parametrize(
    ("differs", "reason", "word"),
    [
        ({"no_model": True}, "ModelNotFound", "'llama'"),
        ({"config_name": "gold"}, "RuntimeConfigNotFound", "'gold'"),
        ({"no_model": True, "cluster": True}, "ModelNotFound", "AIMClusterModel"),
    ],
)
def test_a_missing_reference_is_named_and_no_job_runs(
    differs: dict[str, Any], reason: str, word: str
) -> None:
    found = settle(**differs)
    assert found.condition("Discovered") == ("False", reason)
    assert word in found.message("Discovered")
    assert found.wanted is None
    differs.pop("no_model", None)
    differs.pop("config_name", None)
    assert settle(found.status, **differs).wanted is not None


def test_a_running_job_is_kept_while_its_model_is_missing() -> None:
    running = job(job_of(), pods=[pod("Running")])
    assert not settle(no_model=True, jobs=[running]).deleted


def test_a_job_that_cannot_start_is_deleted_while_its_model_is_missing() -> None:
    stuck = job(job_of(), pods=[pod(waiting="ImagePullBackOff", message="not found")])
    assert settle(no_model=True, jobs=[stuck]).deleted == [job_of()]
    young = job(job_of(), pods=[pod(unschedulable="0/2 nodes are available")])
    waits = settle(no_model=True, jobs=[young])
    assert not waits.deleted
    assert waits.plan.requeue_after is not None


def test_no_job_runs_for_a_gpu_that_no_node_offers() -> None:
    found = settle(gpus=["MI325X"], jobs=[job(job_of(), pods=[pod("Running")])])
    assert found.wanted is None
    assert found.deleted == [job_of()]
    assert found.condition("Discovered") == ("False", "AwaitingDiscovery")
    assert "MI300X" in found.message("Discovered")
    assert settle(found.status).wanted is not None


def test_a_finished_job_is_read_even_if_the_gpu_is_no_longer_offered() -> None:
    assert settle(gpus=[], jobs=[completed(job_of())]).condition("Discovered") == (
        "True",
        "ProfilesDiscovered",
    )


def test_a_result_is_kept_if_the_gpu_is_no_longer_offered() -> None:
    assert settle(discovered().status, gpus=[]).condition("Discovered") == ("True", "ProfilesDiscovered")


def test_the_spelling_of_a_gpu_does_not_matter() -> None:
    spec = {"gpuSelector": {"model": "Instinct MI300X"}}
    assert settle(spec=spec).wanted is not None


def test_nothing_is_planned_for_a_template_that_is_being_deleted() -> None:
    seen = observe(deleting=True, jobs=[job("discover-x")])
    assert decide_discovery(seen) == decide_template(seen) == Plan()


def test_a_result_that_was_removed_from_the_status_is_discovered_again() -> None:
    status = discovered().status
    del status["modelSources"]
    assert settle(status).wanted is not None


# ---- injected sidecars


def beside_sidecar(
    exit_code: int, output: bytes = b"", *, read: bool = True, running: bool = True
) -> ObservedJob:
    """A Job whose discovery container has ended; a container that was injected still runs, or has ended as well."""
    other = {"running": {}} if running else {"terminated": {"exitCode": 0}}
    one = pod("Running", exit_code=exit_code)
    statuses = [*json.loads(one.raw)["status"]["containerStatuses"], {"name": "istio-proxy", "state": other}]
    changed = with_fields(one, status={"phase": "Running", "containerStatuses": statuses})
    return job(job_of(), pods=[changed], log=PodLog("pod", output) if read else None)


def test_the_result_is_read_and_the_job_deleted_although_a_sidecar_runs() -> None:
    (read,) = decide_discovery(observe(jobs=[beside_sidecar(0, read=False)])).of_type(ReadLog)
    assert read.container == "discovery"
    found = settle(jobs=[beside_sidecar(0, ANSWER)])
    assert found.state == "Ready"
    assert found.deleted == [job_of()], "it may never end, and occupies a slot"


def test_a_failure_is_reported_although_a_sidecar_runs() -> None:
    found = settle(jobs=[beside_sidecar(3, b"no such profile\n")])
    assert found.condition("Discovered") == ("False", "DiscoveryFailed")
    assert "exit code 3" in found.message("Discovered")
    assert "no such profile" in found.message("Discovered")
    assert found.deleted == [job_of()]


def test_without_a_running_sidecar_the_end_of_the_job_is_awaited() -> None:
    found = settle(jobs=[beside_sidecar(0, ANSWER, running=False)])
    assert found.condition("Discovered") == ("False", "DiscoveryRunning")
    assert found.deleted == []


# ---- Jobs that cannot run


REJECTED = 'Error creating: pods "discover-x-1" is forbidden: exceeded quota: gpus'


def stuck(age: float = 30, **differs: Any) -> ObservedJob:
    return job(job_of(), age=age, **differs)


def settle_rejected(status: dict[str, Any] | None = None, **differs: Any) -> Settled:
    """With an Event that says why the Job has no pod."""
    return settle(status, pod_events=[REJECTED], **differs)


@pytest.mark.parametrize(
    ("differs", "cause"),
    [
        ({}, "no pod was created"),
        ({"suspended": True}, "suspended;"),
        (
            {"suspended": True, "labels": {"kueue.x-k8s.io/queue-name": "gpu-queue"}},
            "suspended by Kueue, in queue 'gpu-queue'",
        ),
    ],
    ids=["no-pod", "suspended", "kueue"],
)
def test_a_job_that_cannot_run_is_deleted_after_a_short_time_and_the_cause_is_named(
    differs: dict[str, Any], cause: str
) -> None:
    early = settle_rejected(jobs=[stuck(4, **differs)])
    assert early.deleted == []
    assert early.plan.requeue_after == pytest.approx(6)
    found = settle_rejected(jobs=[stuck(**differs)])
    assert found.deleted == [job_of()]
    assert found.wanted is None
    assert (found.state, found.condition("Discovered")) == ("Pending", ("False", "AwaitingDiscovery"))
    assert cause in found.message("Discovered")
    assert len(found.message("Discovered")) <= 300
    assert [event.reason for event in found.events if event.type == "Warning"] == ["DiscoveryPaused"]


def test_the_latest_event_about_a_rejected_pod_is_the_cause() -> None:
    rejections = [
        'Error creating: pods "discover-x-1" is forbidden: exceeded quota: old',
        'Error creating: pods "discover-x-2" is forbidden: exceeded quota: \x1b[31mnew' + "w" * 400,
    ]
    found = settle(jobs=[stuck()], pod_events=rejections)
    message = found.message("Discovered")
    assert message.startswith(
        "no pod was created for the discovery Job: exceeded quota: \N{REPLACEMENT CHARACTER}[31mnew"
    )
    assert len(message) <= 300
    assert found.deleted == [job_of()]


def test_a_job_with_a_pod_or_whose_pod_is_counted_is_not_deleted() -> None:
    assert settle(jobs=[stuck(pods=[pod()])]).deleted == []
    assert settle(jobs=[stuck(failed=1)]).deleted == []


def test_a_job_without_a_pod_is_given_up_only_after_its_pods_were_read_from_the_server() -> None:
    """The pod may run, and the watch of the pods may lag. A second Job would discover the same input again."""
    found = decide_discovery(observe(jobs=[stuck()]))
    assert found.actions == (List(PODS, "team", f"job-name={job_of()}"),)
    running = replace(stuck(pods=[pod("Running")]), pods_read=True)
    assert settle_rejected(jobs=[running]).deleted == []


@pytest.mark.parametrize("no_model", [False, True], ids=["resolved", "model-missing"])
def test_a_job_without_a_pod_that_no_event_explains_waits_for_the_job_controller(no_model: bool) -> None:
    """As after an outage of the API server, when the Job controller creates pods up to 130 s late."""
    for age in (30, 149):
        found = settle(jobs=[stuck(age)], no_model=no_model)
        assert found.deleted == []
        assert found.plan.requeue_after == pytest.approx(min(10, 150 - age))
    assert settle(jobs=[stuck(150)], no_model=no_model).deleted == [job_of()]
    assert settle_rejected(jobs=[stuck()], no_model=no_model).deleted == [job_of()]


def test_a_job_that_the_job_controller_has_not_seen_is_not_deleted() -> None:
    """As after an outage of the control plane: the Job is old, and will get its pod."""
    assert settle(jobs=[stuck(60, seen=False)]).deleted == []


def test_after_a_pause_the_template_waits_at_the_end_of_the_queue() -> None:
    paused = settle_rejected(jobs=[stuck()])
    waiting = settle(paused.status)
    assert waiting.wanted is None
    assert waiting.writes == 0
    assert waiting.plan.requeue_after == pytest.approx(15)
    later = settle(paused.status, now=NOW + timedelta(seconds=15))
    assert later.wanted is not None
    (slot,) = later.plan.of_type(RequestSlot)
    assert slot.since == at(NOW + timedelta(seconds=15)), "later than every template that waits already"
    assert "no pod was created" in later.message("Discovered")


def test_pauses_become_longer_up_to_forty_seconds_and_end_with_a_result() -> None:
    status, now, delays = {}, NOW, []
    for _ in range(5):
        found = settle_rejected(status, jobs=[stuck(30 - (now - NOW).total_seconds())], now=now)
        assert found.deleted == [job_of()]
        until = datetime.fromisoformat(found.status["discovery"]["pause"]["until"])
        delays.append((until - now).total_seconds())
        status, now = found.status, until
    assert delays == [15, 30, 40, 40, 40]
    assert "pause" not in settle(status, jobs=[completed(job_of())], now=now).status["discovery"]
    assert "pause" not in settle(status, jobs=[completed(job_of(), b"[]")], now=now).status["discovery"]


def test_a_pause_that_a_wrong_clock_has_written_does_not_last_for_hours() -> None:
    paused = settle_rejected(jobs=[stuck()], now=NOW + timedelta(hours=2))
    assert settle(paused.status, now=NOW).wanted is not None


ACCOUNT = Get(SERVICE_ACCOUNTS, "team", "runner", metadata_only=True)


def test_an_object_that_is_missing_after_a_pause_is_recorded_until_it_exists() -> None:
    spec: dict[str, Any] = {"spec": {"serviceAccountName": "runner"}}
    later = NOW + timedelta(seconds=15)
    found = Got((make("runner", "team", resource=SERVICE_ACCOUNTS),))
    reads = Known(reads={ACCOUNT: found})
    paused = settle_rejected(jobs=[job(job_of(**spec), age=30)], known=reads, **spec)
    assert "blocked" not in paused.status["discovery"]
    missing = settle(paused.status, now=later, known=Known(reads={ACCOUNT: Got(())}), **spec)
    assert missing.wanted is None
    assert missing.status["discovery"]["blocked"] == (
        "ServiceAccount 'runner' does not exist in namespace 'team': create it"
    )
    again = settle(missing.status, now=later, known=Known(reads={ACCOUNT: found}), **spec)
    assert again.wanted is not None
    assert "blocked" not in again.status["discovery"]


def test_a_rejected_job_is_recorded_until_it_is_accepted() -> None:
    rejections = {ActionKey("Job", "team", job_of()): Rejection("exceeded quota: jobs")}
    rejected = settle(known=Known(rejections))
    assert rejected.status["discovery"] == {
        "blocked": "the API server rejected the discovery Job: exceeded quota: jobs"
    }
    assert "discovery" not in settle(rejected.status).status


def test_another_input_is_discovered_without_a_pause() -> None:
    paused = settle(jobs=[stuck()])
    assert settle(paused.status, rediscover="now").wanted is not None
