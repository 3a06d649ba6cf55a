"""What discovery does about one template, rule by rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aimctl.domain.templates.discovery_decision import decide_discovery
from support.settling import Settled, settle
from support.templates import completed, job, model, observe, pod

if TYPE_CHECKING:
    from collections.abc import Mapping

STATIC = {
    "modelSources": [
        {"name": "m", "sourceURI": "hf://m/m", "size": "16Gi"},
        {"name": "t", "sourceURI": "s3://b/t", "size": "2Mi"},
    ]
}


def job_of(**differs: Any) -> str:
    """Name of the Job that discovery wants for a new template like this."""
    wish = decide_discovery(observe(**differs)).wish
    assert wish is not None
    return wish.job_name


def discovered(**differs: Any) -> Settled:
    """A template whose discovery succeeded."""
    return settle(jobs=[completed(job_of(**differs))], **differs)


def failed(status: Mapping[str, Any] | None = None, **differs: Any) -> Settled:
    """A template whose discovery of this input failed."""
    return settle(dict(status or {}), jobs=[completed(job_of(**differs), b"[]")], **differs)


def test_a_new_template_wishes_for_a_job_and_awaits_discovery() -> None:
    found = settle()
    assert found.discovery.wish is not None
    assert found.discovery.wish.manifest["metadata"]["name"] == found.discovery.wish.job_name
    assert found.condition("Discovered") == ("False", "AwaitingDiscovery")


def test_waiting_in_the_queue_writes_nothing_after_the_first_time() -> None:
    status = settle().status
    assert settle(status).writes == 0


def test_a_job_that_has_not_started_is_still_awaited() -> None:
    found = settle(jobs=[job(job_of(), pods=[pod()])])
    assert found.discovery.wish is None
    assert found.condition("Discovered") == ("False", "AwaitingDiscovery")
    assert job_of() in found.message("Discovered")


def test_a_running_job_has_its_own_reason() -> None:
    assert settle(jobs=[job(job_of(), pods=[pod("Running")])]).condition("Discovered") == (
        "False",
        "DiscoveryRunning",
    )


def test_trouble_that_may_pass_shows_in_the_message_and_is_looked_at_again() -> None:
    found = settle(
        jobs=[
            job(job_of(), pods=[pod(waiting="CreateContainerConfigError", message='secret "hf" not found')])
        ]
    )
    assert 'secret "hf" not found' in found.message("Discovered")
    assert found.discovery.look_again_after == pytest.approx(59)


def test_a_complete_job_asks_for_its_log_and_says_nothing_before() -> None:
    decision = decide_discovery(observe(jobs=[completed(job_of(), read=False)]))
    assert decision.status is None
    assert decision.read_log is not None
    assert (decision.read_log.pod, decision.read_log.container, decision.read_log.namespace) == (
        "pod",
        "discovery",
        "team",
    )
    assert decision.wish is None
    assert not decision.delete_jobs


def test_a_result_is_kept_whole_with_the_input_it_answers() -> None:
    found = discovered()
    assert found.status["modelSources"] == [{"name": "m", "source": "hf://m/m", "sizeBytes": 17179869184}]
    assert found.status["profile"] == {"model": "m/m", "engine_args": {"x": 1}}
    assert found.status["discovery"]["result"]["jobName"] == job_of()
    assert found.condition("Discovered") == ("True", "ProfilesDiscovered")
    assert [event.reason for event in found.events if event.reason == "ProfilesDiscovered"]


def test_an_answered_input_is_never_asked_again_even_when_the_job_is_gone() -> None:
    found = settle(discovered().status)
    assert found.discovery.wish is None
    assert found.writes == 0
    assert not found.events


def test_a_job_that_vanished_before_its_result_was_read_is_run_again() -> None:
    running = settle(jobs=[job(job_of(), pods=[pod("Running")])])
    again = settle(running.status)
    assert again.discovery.wish is not None
    assert again.discovery.wish.job_name == job_of()


def test_a_job_whose_log_is_gone_is_deleted_and_run_again() -> None:
    lost = completed(job_of(), None)
    found = settle(jobs=[lost])
    assert [deletion.name for deletion in found.discovery.delete_jobs] == [job_of()]
    assert found.discovery.wish is None
    assert settle(found.status).discovery.wish is not None


def test_a_job_on_its_way_out_is_waited_for_and_not_deleted_twice() -> None:
    found = settle(jobs=[job(job_of(), deleting=True, pods=[pod("Running")])])
    assert found.discovery.wish is None
    assert not found.discovery.delete_jobs
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
def test_a_changed_input_is_discovered_and_the_old_result_stays_until_then(differs: dict[str, Any]) -> None:
    old = discovered()
    found = settle(old.status, generation=2, **differs)
    assert found.discovery.wish is not None
    for name in ("modelSources", "profile", "discovery"):
        assert found.status[name] == old.status[name]
    assert found.condition("Discovered") == ("True", "ProfilesDiscovered")
    new = settle(found.status, jobs=[completed(found.discovery.wish.job_name)], generation=2, **differs)
    assert new.status["discovery"]["result"]["inputHash"] != old.status["discovery"]["result"]["inputHash"]
    assert settle(new.status, generation=2, **differs).discovery.wish is None


def test_a_stale_unfinished_job_is_deleted_and_a_finished_one_left_to_its_ttl() -> None:
    old, done = job("discover-old", pods=[pod("Running")]), completed("discover-done")
    found = settle(jobs=[old, done, job("discover-leaving", deleting=True)])
    assert [deletion.name for deletion in found.discovery.delete_jobs] == ["discover-old"]
    assert found.discovery.delete_jobs[0].uid == "discover-old-uid"
    assert found.discovery.wish is not None


def test_a_failure_is_remembered_for_its_input_and_not_tried_again() -> None:
    found = failed()
    assert found.condition("Discovered") == ("False", "DiscoveryFailed")
    assert "array is empty" in found.message("Discovered")
    again = settle(found.status)
    assert again.discovery.wish is None
    assert again.writes == 0
    assert "modelSources" not in found.status


@pytest.mark.parametrize(
    "differs", [{"model_spec": model("ghcr.io/silogen/aim-llama:2")}, {"rediscover": "now"}]
)
def test_a_failure_is_tried_again_when_the_input_changes_or_on_request(differs: dict[str, Any]) -> None:
    assert settle(failed().status, **differs).discovery.wish is not None


def test_a_success_forgets_the_failure_before_it() -> None:
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


def test_an_image_problem_frees_the_slot_once_the_failure_is_kept() -> None:
    stuck = job(job_of(), pods=[pod(waiting="ImagePullBackOff", message="not found")])
    first = decide_discovery(observe(jobs=[stuck]))
    assert first.status is not None
    assert first.status.conditions[0]["reason"] == "DiscoveryFailed"
    assert [deletion.name for deletion in first.delete_jobs] == [job_of()]
    later = settle(first.status.merged_into({}), jobs=[stuck])
    assert [deletion.name for deletion in later.discovery.delete_jobs] == [job_of()]
    assert not [event for event in later.events if event.reason == "DiscoveryFailed"]


def test_static_sources_are_copied_with_sizes_in_bytes_and_no_job_ever_runs() -> None:
    found = settle(spec=STATIC)
    assert found.status["modelSources"] == [
        {"name": "m", "source": "hf://m/m", "sizeBytes": 17179869184},
        {"name": "t", "source": "s3://b/t", "sizeBytes": 2097152},
    ]
    assert found.condition("Discovered") == ("True", "ProfilesDiscovered")
    assert found.discovery.wish is None
    assert "profile" not in found.status


def test_an_edit_of_static_sources_is_followed() -> None:
    changed = {"modelSources": [{"name": "m", "sourceURI": "hf://m/other", "size": "1Gi"}]}
    found = settle(settle(spec=STATIC).status, spec=changed, generation=2)
    assert [source["source"] for source in found.status["modelSources"]] == ["hf://m/other"]


def test_static_sources_replace_a_discovered_result_and_stop_its_job() -> None:
    running = job("discover-x", pods=[pod("Running")])
    found = settle(discovered().status, spec=STATIC, generation=2, jobs=[running])
    assert "profile" not in found.status
    assert "discovery" not in found.status
    assert [deletion.name for deletion in found.discovery.delete_jobs] == ["discover-x"]


def test_taking_static_sources_away_starts_discovery_and_keeps_them_until_then() -> None:
    found = settle(settle(spec=STATIC).status, generation=2)
    assert found.discovery.wish is not None
    assert len(found.status["modelSources"]) == 2


@pytest.mark.parametrize("size", ["8Ei", "sixteen"])
def test_a_static_size_that_is_no_size_fails_with_the_field_and_value(size: str) -> None:
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
def test_a_reference_that_leads_nowhere_is_named_and_no_job_runs(
    differs: dict[str, Any], reason: str, word: str
) -> None:
    found = settle(**differs)
    assert found.condition("Discovered") == ("False", reason)
    assert word in found.message("Discovered")
    assert found.discovery.wish is None
    differs.pop("no_model", None)
    differs.pop("config_name", None)
    assert settle(found.status, **differs).discovery.wish is not None


def test_a_running_job_survives_a_model_that_is_gone_for_a_moment() -> None:
    running = job(job_of(), pods=[pod("Running")])
    assert not settle(no_model=True, jobs=[running]).discovery.delete_jobs


def test_a_job_that_cannot_start_gives_its_slot_back_though_its_model_is_gone() -> None:
    stuck = job(job_of(), pods=[pod(waiting="ImagePullBackOff", message="not found")])
    (deletion,) = settle(no_model=True, jobs=[stuck]).discovery.delete_jobs
    assert deletion.name == job_of()
    young = job(job_of(), pods=[pod(unschedulable="0/2 nodes are available")])
    waits = settle(no_model=True, jobs=[young]).discovery
    assert not waits.delete_jobs
    assert waits.look_again_after is not None


def test_no_job_is_spent_on_a_gpu_that_no_node_offers() -> None:
    found = settle(gpus=["MI325X"], jobs=[job(job_of(), pods=[pod("Running")])])
    assert found.discovery.wish is None
    assert [deletion.name for deletion in found.discovery.delete_jobs] == [job_of()]
    assert found.condition("Discovered") == ("False", "AwaitingDiscovery")
    assert "MI300X" in found.message("Discovered")
    assert settle(found.status).discovery.wish is not None


def test_a_finished_job_is_read_even_when_the_gpu_is_gone() -> None:
    assert settle(gpus=[], jobs=[completed(job_of())]).condition("Discovered") == (
        "True",
        "ProfilesDiscovered",
    )


def test_a_result_stays_discovered_when_the_gpu_leaves() -> None:
    assert settle(discovered().status, gpus=[]).condition("Discovered") == ("True", "ProfilesDiscovered")


def test_the_way_a_gpu_is_written_does_not_matter() -> None:
    spec = {"gpuSelector": {"model": "Instinct MI300X"}}
    assert settle(spec=spec).discovery.wish is not None


def test_nothing_is_done_about_a_template_that_is_being_deleted() -> None:
    decision = decide_discovery(observe(deleting=True, jobs=[job("discover-x")]))
    assert decision.status is None
    assert decision.wish is None
    assert not decision.delete_jobs


def test_a_result_that_somebody_wiped_from_status_is_discovered_again() -> None:
    status = discovered().status
    del status["modelSources"]
    assert settle(status).discovery.wish is not None
