"""The volume of a model cache: when its claim is created, and what is reported about it."""

from __future__ import annotations

import pytest

from aimctl.domain.caching.model_cache import decide_model_cache
from aimctl.domain.caching.model_cache_observation import ModelCacheObservation, StorageClasses
from aimctl.domain.resolution import Missing
from aimctl.kubetypes.builtin import JOBS, PVCS
from support.model_caches import (
    NOW,
    after,
    at,
    config,
    created,
    deleted,
    job,
    job_name,
    observe,
    outcome,
    pod,
    rejected,
    volume,
)
from support.plans import condition_of, events_of, outline, status_of

NO_CLASSES = StorageClasses(frozenset())
COMPLETED = {"completed": {"volumeUid": "volume", "finishedAt": at(NOW)}}
LABELS = {
    "app.kubernetes.io/managed-by": "aim",
    "app.kubernetes.io/component": "model-cache",
    "aim.silogen.ai/model-cache": "llama",
}


def test_a_new_cache_gets_a_claim_before_the_status_and_no_job_yet() -> None:
    plan = decide_model_cache(observe(of=None))
    assert outcome(plan) == ("Pending", "VolumeRequested")
    assert outline(plan) == ["Create llama", "WriteStatus"]
    claim = created(plan, PVCS)
    assert claim is not None
    assert "storageClassName" not in claim["spec"]


@pytest.mark.parametrize(
    ("own", "configured", "chosen"),
    [("fast", "standard", "fast"), (None, "fast", "fast"), (None, None, None)],
)
def test_the_class_of_the_cache_takes_precedence_over_the_one_of_the_runtime_config(
    own: str | None, configured: str | None, chosen: str | None
) -> None:
    runtime_config = config(defaultStorageClassName=configured)
    seen = observe(of=None, spec={"storageClassName": own}, runtime_config=runtime_config)
    claim = created(decide_model_cache(seen), PVCS)
    assert claim is not None
    assert claim["spec"].get("storageClassName") == chosen


def test_claim_and_job_have_the_labels_that_the_runtime_config_propagates() -> None:
    runtime_config = config(labelPropagation={"enabled": True, "match": ["org/*"]})
    for of, resource in ((None, PVCS), (volume(), JOBS)):
        seen = observe(of=of, runtime_config=runtime_config, labels={"org/team": "a", "other": "b"})
        manifest = created(decide_model_cache(seen), resource)
        assert manifest is not None
        assert manifest["metadata"]["labels"]["org/team"] == "a"
        assert "other" not in manifest["metadata"]["labels"]


def test_the_headroom_is_that_of_the_runtime_config() -> None:
    seen = observe(of=None, runtime_config=config(pvcHeadroomPercent=50))
    claim = created(decide_model_cache(seen), PVCS)
    assert claim is not None
    assert claim["spec"]["resources"]["requests"]["storage"] == "24Gi"


@pytest.mark.parametrize(
    ("seen", "reason", "words"),
    [
        (
            observe(of=None, spec={"storageClassName": "nfs"}),
            "StorageClassNotFound",
            ["'nfs'", "storageClassName of its template cache, or of this model cache", "fast, standard"],
        ),
        (
            observe(of=None, runtime_config=config(defaultStorageClassName="nfs")),
            "StorageClassNotFound",
            ["'nfs'", "name another one in the runtime config's defaultStorageClassName"],
        ),
        (
            observe(of=None, classes=NO_CLASSES),
            "NoDefaultStorageClass",
            ["defaultStorageClassName", "storageClassName of the template cache"],
        ),
        (
            observe(of=None, runtime_config=Missing("RuntimeConfigNotFound", "no such")),
            "RuntimeConfigNotFound",
            ["no such"],
        ),
        (
            observe(of=None, known=rejected(PVCS, "llama", "exceeded quota")),
            "VolumeRefused",
            ["exceeded quota"],
        ),
        (observe(of=volume("Bound", deleting=True)), "VolumeDeleting", ["'llama'"]),
        (observe(of=volume("Bound", owner="former")), "VolumeDeleting", ["'llama'"]),
        (
            observe(of=None, known=rejected(PVCS, "llama", existing=volume(owner="former"))),
            "VolumeDeleting",
            ["'llama'", "former"],
        ),
    ],
)
def test_a_problem_that_may_end_without_a_user_is_pending_and_named(
    seen: ModelCacheObservation, reason: str, words: list[str]
) -> None:
    plan = decide_model_cache(seen)
    assert outcome(plan) == ("Pending", reason)
    assert condition_of(plan, "StorageReady")["status"] == "False"
    assert condition_of(plan, "StorageReady")["reason"] == reason
    assert condition_of(plan, "Failure")["status"] == "False"
    for word in words:
        assert word in condition_of(plan)["message"]
    assert created(plan, JOBS) is None


@pytest.mark.parametrize(
    ("seen", "reason", "words"),
    [
        (observe(of=volume("Lost")), "VolumeLost", ["kubectl -n team delete pvc llama"]),
        (observe(of=volume("Bound", owner="other")), "NameTaken", ["not created for this model cache"]),
        (
            observe(of=None, known=rejected(PVCS, "llama", existing=volume(owner="other"))),
            "NameTaken",
            ["not created for this model cache"],
        ),
        (
            observe(
                of=None,
                known=rejected(
                    PVCS, "llama", existing=volume(labels={**LABELS, "app.kubernetes.io/component": "x"})
                ),
            ),
            "NameTaken",
            ["lost its label app.kubernetes.io/component=model-cache"],
        ),
        (observe(of=None, spec={"size": "9e30"}), "InvalidSize", ["spec.size", "9e30"]),
    ],
)
def test_a_problem_that_a_user_has_to_solve_is_a_failure(
    seen: ModelCacheObservation, reason: str, words: list[str]
) -> None:
    plan = decide_model_cache(seen)
    assert outcome(plan) == ("Failed", reason)
    assert condition_of(plan, "Failure")["status"] == "True"
    for word in words:
        assert word in condition_of(plan)["message"]
    assert created(plan, JOBS) is None
    assert [event.type for event in events_of(plan)] == ["Warning"]


def test_a_rejected_claim_stays_planned_and_causes_no_event_besides_the_one_of_the_executor() -> None:
    for known in (
        rejected(PVCS, "llama", "exceeded quota"),
        rejected(PVCS, "llama", existing=volume(owner="other")),
    ):
        plan = decide_model_cache(observe(of=None, known=known))
        assert outline(plan) == ["Create llama", "WriteStatus"]
    rejection = observe(of=None, known=rejected(PVCS, "llama", "exceeded quota"))
    assert events_of(decide_model_cache(rejection)) == []


@pytest.mark.parametrize("phase", ["Pending", "", "Bound"])
def test_a_download_does_not_wait_for_the_claim_to_be_bound(phase: str) -> None:
    plan = decide_model_cache(observe(of=volume(phase)))
    assert created(plan, JOBS) is not None
    assert condition_of(plan, "StorageReady")["status"] == ("True" if phase == "Bound" else "False")


def test_a_claim_that_gets_no_volume_for_long_is_reported_with_possible_causes() -> None:
    early = decide_model_cache(observe(of=volume("Pending", age=100)))
    assert condition_of(early, "StorageReady")["reason"] == "VolumePending"
    assert early.requeue_after == 200
    late = condition_of(decide_model_cache(observe(of=volume("Pending", age=300))), "StorageReady")
    assert late["reason"] == "VolumeNotProvisioned"
    assert "ReadWriteMany" in late["message"]
    assert "'standard'" in late["message"]


def test_a_claim_with_a_class_that_is_gone_is_reported_with_the_remedy() -> None:
    claim = volume("Pending", storage_class="gone")
    plan = decide_model_cache(observe(of=claim, spec={"storageClassName": "fast"}))
    assert outcome(plan) == ("Pending", "StorageClassNotFound")
    assert "delete the claim" in condition_of(plan)["message"]
    assert "'fast'" in condition_of(plan)["message"]
    assert created(plan, JOBS) is None


def test_a_running_download_is_ended_when_its_volume_is_gone() -> None:
    running = job(pods=[pod()])
    for gone in (None, volume(deleting=True), volume("Lost")):
        plan = decide_model_cache(observe(of=gone, jobs=[running]))
        assert deleted(plan) == [running.name]
        assert created(plan, JOBS) is None


def test_a_finished_job_does_not_keep_a_claim_that_is_being_deleted() -> None:
    done = job(ended="Complete")
    plan = decide_model_cache(observe(COMPLETED, of=volume(deleting=True), jobs=[done]))
    assert deleted(plan) == [done.name]
    assert deleted(decide_model_cache(observe(COMPLETED, jobs=[done]))) == []


def test_a_volume_that_is_gone_is_reported_before_another_one_is_created_and_filled() -> None:
    seen = observe({**COMPLETED, "status": "Available", "progress": {"percent": 100}}, of=None)
    plan = decide_model_cache(seen)
    assert outcome(plan) == ("Pending", "VolumeMissing")
    assert outline(plan) == ["WriteStatus", "Create llama"]
    assert [(event.type, event.reason) for event in events_of(plan)] == [("Warning", "VolumeMissing")]
    assert "progress" not in status_of(plan)
    new = after(seen, plan, volume=volume(uid="another"))
    plan = decide_model_cache(new)
    assert created(plan, JOBS) is not None
    assert status_of(plan)["progress"]["percent"] == 0
    done = job(job_name(1, of=volume(uid="another")), ended="Complete")
    plan = decide_model_cache(after(new, plan, jobs=(done,)))
    assert status_of(plan)["completed"]["volumeUid"] == "another"
