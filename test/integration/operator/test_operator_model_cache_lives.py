"""Model caches with missing or lost storage, crashes of the manager, and deletions."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.api import kinds
from aimctl.devcluster.controllers.volumes import DEFAULT_CLASS_ANNOTATION, STORAGE_CLASSES
from aimctl.kubetypes.builtin import JOBS, PODS, PVCS
from aimctl.simulation.catalogue import Catalogue
from aimctl.testing.virtualtime import virtual_time
from support.download_ledger import Downloads
from support.operator import world
from support.proofs import variants

SOURCE = {"name": "llama", "sourceURI": "hf://meta-llama/Llama-3.1-8B-Instruct", "size": "40Gi"}


def hub(**entry):
    return Catalogue.default().extended(downloads=[{"source": "hf://meta-llama/*", "size_gb": 40, **entry}])


async def storage_class(w, name, *, default=False):
    annotations = {DEFAULT_CLASS_ANNOTATION: "true"} if default else {}
    body = {"metadata": {"name": name, "annotations": annotations}, "provisioner": "example"}
    await w.client.create(STORAGE_CLASSES, body)


# ---- storage


@virtual_time
async def test_a_missing_storage_class_is_reported_and_used_when_it_is_created():
    async with world() as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want(storageClassName="nfs")
        await downloads.until_outcome("Pending", "StorageClassNotFound", seconds=5)
        assert "'nfs'" in downloads.condition("StorageReady")["message"]
        assert "standard" in downloads.condition("StorageReady")["message"]
        await asyncio.sleep(100)
        assert downloads.claims == []
        await storage_class(w, "nfs")
        await downloads.until_available(seconds=30)
        assert (await downloads.claim())["spec"]["storageClassName"] == "nfs"
        assert ("Warning", "StorageClassNotFound") in w.events_of("llama")


@virtual_time
async def test_a_missing_default_class_is_reported_and_used_when_there_is_one():
    async with world(storage_class="") as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await downloads.until_outcome("Pending", "NoDefaultStorageClass", seconds=5)
        await storage_class(w, "plain")
        await asyncio.sleep(30)
        assert downloads.claims == []
        patch = {"metadata": {"annotations": {DEFAULT_CLASS_ANNOTATION: "true"}}}
        await w.client.patch(STORAGE_CLASSES, "plain", patch)
        await downloads.until_available(seconds=30)


@virtual_time
async def test_a_missing_runtime_config_is_named_and_used_when_it_is_created():
    async with world() as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want(runtimeConfigName="special")
        await downloads.until_outcome("Pending", "RuntimeConfigNotFound", seconds=5)
        assert "'special'" in downloads.condition()["message"]
        await w.config("special")
        await downloads.until_available(seconds=30)


@virtual_time
async def test_a_claim_that_a_user_deletes_is_created_and_filled_again():
    async with world(catalogue=hub()) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await downloads.until_available()
        before = await downloads.claim()
        await downloads.delete_claim()
        await w.until(lambda: downloads.outcome()[0] != "Available", seconds=5)
        await downloads.until_available()
        after = await downloads.claim()
        assert after["metadata"]["uid"] != before["metadata"]["uid"]
        assert downloads.status()["completed"]["volumeUid"] == after["metadata"]["uid"]
        assert len(downloads.jobs) == 2
        assert {kind for kind, reason in w.events_of("llama") if reason.startswith("Volume")} >= {"Warning"}


@virtual_time
async def test_a_claim_that_is_deleted_during_a_download_is_replaced_after_the_download_has_ended():
    async with world(catalogue=hub()) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await asyncio.sleep(20)
        await downloads.delete_claim()
        await downloads.until_available(seconds=120)
        assert len(downloads.claims) == 2
        assert len(downloads.jobs) == 2
        assert downloads.most_at_once == 1


@virtual_time
async def test_a_claim_that_lost_its_volume_is_reported_and_never_deleted():
    async with world(catalogue=hub()) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await downloads.until_available()
        await w.cluster.volumes.lose("llama", "team")
        await downloads.until_outcome("Failed", "VolumeLost", seconds=5)
        assert "kubectl -n team delete pvc llama" in downloads.condition()["message"]
        assert downloads.condition("StorageReady")["status"] == "False"
        await asyncio.sleep(3600)
        assert len(downloads.claims) == 1
        await downloads.delete_claim()
        await downloads.until_available()
        assert len(downloads.claims) == 2


@virtual_time
async def test_a_claim_of_another_owner_with_the_same_name_is_not_touched():
    async with world() as w:
        downloads = Downloads(w)
        await w.namespace("team")
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        await w.client.create(PVCS, {"metadata": {"name": "llama"}, "spec": spec}, "team")
        w.start()
        await downloads.want()
        await downloads.until_outcome("Failed", "NameTaken", seconds=10)
        assert "'llama'" in downloads.condition()["message"]
        await asyncio.sleep(300)
        assert downloads.jobs == []
        await downloads.delete_claim()
        await downloads.until_available(seconds=120)


@virtual_time
async def test_a_claim_that_lost_its_label_is_reported_and_used_again_when_the_label_is_added():
    async with world(catalogue=hub()) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await downloads.until_available()
        label = "app.kubernetes.io/component"
        await w.client.patch(PVCS, "llama", {"metadata": {"labels": {label: None}}}, "team")
        await downloads.until_outcome("Failed", "NameTaken", seconds=10)
        assert label in downloads.condition()["message"]
        await w.client.patch(PVCS, "llama", {"metadata": {"labels": {label: "model-cache"}}}, "team")
        await downloads.until_available(seconds=5)
        assert len(downloads.jobs) == 1
        assert downloads.status()["progress"]["percent"] == 100


# ---- crashes


@pytest.mark.parametrize("seconds", variants([0.5, 0.001, 3, 20]))
@virtual_time
async def test_the_next_manager_continues_with_the_job_of_one_that_crashed(seconds):
    async with world(catalogue=hub()) as w:
        downloads = Downloads(w)
        first = w.start()
        await downloads.want()
        await asyncio.sleep(seconds)
        await first.crash()
        await asyncio.sleep(5)
        w.start()
        await downloads.until_available()
        assert len(downloads.jobs) == 1
        assert len(downloads.claims) == 1


@virtual_time
async def test_a_failure_while_no_manager_runs_is_counted_once():
    async with world(catalogue=hub(fail_first=1)) as w:
        downloads = Downloads(w)
        first = w.start()
        await downloads.want()
        await asyncio.sleep(10)
        await first.crash()
        await asyncio.sleep(600)
        second = w.start()
        await w.until(lambda: downloads.status().get("failedDownloads") == 1, seconds=5)
        await asyncio.sleep(20)
        await second.crash()
        third = w.start()
        await w.until(lambda: len(downloads.jobs) == 2, seconds=30)
        await asyncio.sleep(2)
        await third.crash()
        await asyncio.sleep(600)
        w.start()
        await downloads.until_available(seconds=5)
        assert len(downloads.jobs) == 2
        assert max(item.get("failedDownloads", 0) for _, item in downloads.history["llama"]) == 1


@virtual_time
async def test_a_restart_does_not_end_the_pause_after_a_failure():
    async with world(catalogue=hub(fail="not-found")) as w:
        downloads = Downloads(w)
        for _ in range(8):
            replica = w.start()
            await downloads.want()
            await asyncio.sleep(10)
            await replica.crash()
        w.start()
        await asyncio.sleep(5)
        assert len(downloads.jobs) <= 3


# ---- deletion


@virtual_time
async def test_deleting_a_cache_during_a_download_deletes_claim_job_and_pods():
    async with world(catalogue=hub()) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await asyncio.sleep(20)
        await w.client.delete(kinds.MODEL_CACHES, "llama", "team", propagation="Background")
        await asyncio.sleep(60)
        assert await downloads.left() == {"claims": 0, "jobs": 0}
        assert await w.pods_of(downloads.jobs[0][1]) == []
        assert len(downloads.jobs) == 1
        version = w.version
        await asyncio.sleep(600)
        assert w.version == version


@virtual_time
async def test_a_new_cache_of_the_same_name_uses_nothing_of_the_former_one():
    async with world(catalogue=hub()) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await asyncio.sleep(20)
        await w.client.delete(kinds.MODEL_CACHES, "llama", "team", propagation="Background")
        await downloads.want()
        await downloads.until_available(seconds=180)
        assert len(downloads.claims) == 2
        assert len(downloads.jobs) == 2
        owner = (await downloads.claim())["metadata"]["ownerReferences"][0]["uid"]
        assert owner == downloads.caches["team", "llama"]["metadata"]["uid"]


@virtual_time
async def test_a_shared_unfinished_download_is_deleted_with_the_last_template_cache():
    async with world(catalogue=hub(gb_per_second=0.1)) as w:
        downloads = Downloads(w)
        await w.model("m")
        w.start()
        for name in ("one", "two"):
            await w.template(name, "team", modelSources=[SOURCE], caching={"enabled": True})
        await w.until(lambda: len(downloads.jobs) == 1, seconds=30)
        await asyncio.sleep(100)
        assert len(downloads.caches) == 1
        await w.delete_template("one", "team")
        await asyncio.sleep(100)
        assert len(downloads.caches) == 1, "the other template still uses it"
        await w.delete_template("two", "team")
        await w.until(lambda: not downloads.caches, seconds=10)
        await asyncio.sleep(60)
        assert await downloads.left() == {"claims": 0, "jobs": 0}
        assert len(downloads.jobs) == 1


@virtual_time
async def test_an_unused_cache_is_deleted_at_once_even_during_a_pause():
    async with world(catalogue=hub(fail="not-found")) as w:
        downloads = Downloads(w)
        await w.model("m")
        w.start()
        await w.template("one", "team", modelSources=[SOURCE], caching={"enabled": True})
        await w.until(lambda: len(downloads.jobs) == 5, seconds=600)
        await asyncio.sleep(60)
        await w.delete_template("one", "team")
        await w.until(lambda: not downloads.caches, seconds=5)


@virtual_time
async def test_a_pod_without_owner_that_mounts_the_volume_is_waited_for():
    async with world(catalogue=hub()) as w:
        downloads = Downloads(w)
        await w.namespace("team")
        body = {
            "metadata": {
                "name": "left-behind",
                "labels": {"app.kubernetes.io/managed-by": "aim", "app.kubernetes.io/component": "download"},
            },
            "spec": {
                "containers": [{"name": "c", "image": "aim-endless:1"}],
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "llama"}}],
            },
        }
        await w.client.create(PODS, body, "team")
        w.start()
        await downloads.want()
        await downloads.until_outcome("Progressing", "DownloadWaiting")
        await asyncio.sleep(60)
        assert "pod left-behind" in downloads.condition()["message"]
        assert downloads.jobs == []
        await w.client.delete(PODS, "left-behind", "team")
        await w.until(lambda: downloads.jobs, seconds=5)
        await downloads.until_available()


async def fail_at_deadline(w, downloads):
    """The Job of the first attempt is Failed at once, as it is at its deadline."""
    name = downloads.jobs[0][1]["metadata"]["name"]
    await w.client.patch(JOBS, name, {"spec": {"activeDeadlineSeconds": 1}}, "team")
    await downloads.until_outcome("Failed", "DownloadFailed", seconds=5)


@virtual_time
async def test_no_download_starts_while_a_pod_of_the_failed_job_still_runs():
    async with world(catalogue=hub(), termination_seconds=100) as w:
        w.cluster.jobs.ends_before_pods = True
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await asyncio.sleep(20)
        await fail_at_deadline(w, downloads)
        await asyncio.sleep(60)
        assert len(downloads.jobs) == 1, "the pause is over, the pod is not"
        assert "pod download-llama-1-" in downloads.condition()["message"]
        assert "is gone" in downloads.condition()["message"]
        await downloads.until_available(seconds=120)
        assert len(downloads.jobs) == 2
        assert downloads.most_writers == 1


@virtual_time
async def test_a_pod_of_a_failed_job_on_a_lost_node_is_waited_for_five_minutes_and_no_longer():
    async with world(catalogue=hub(), termination_seconds=1e9) as w:
        w.cluster.jobs.ends_before_pods = True
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await asyncio.sleep(20)
        await fail_at_deadline(w, downloads)
        failed = w.now
        await w.until(lambda: len(downloads.jobs) == 2, seconds=400)
        assert 290 < w.now - failed < 340
        await downloads.until_available()


@virtual_time
async def test_an_available_cache_is_kept_when_it_is_unused_and_used_again():
    async with world(catalogue=hub()) as w:
        downloads = Downloads(w)
        await w.model("m")
        w.start()
        await w.template("one", "team", modelSources=[SOURCE], caching={"enabled": True})
        await w.until_state("one", "team", "Ready", seconds=120)
        await w.delete_template("one", "team")
        await asyncio.sleep(3600)
        assert [item["status"]["status"] for item in downloads.caches.values()] == ["Available"]
        await w.template("two", "team", modelSources=[SOURCE], caching={"enabled": True})
        await w.until_state("two", "team", "Ready", seconds=5)
        assert len(downloads.jobs) == 1


@virtual_time
async def test_a_metric_counts_the_caches_by_state():
    async with world(catalogue=hub(fail="not-found")) as w:
        downloads = Downloads(w)
        replica = w.start()
        await downloads.want()
        await downloads.want("good", source="hf://other/model", size="1Gi")
        await downloads.until_available("good")
        await downloads.until_outcome("Failed", "SourceNotFound")
        await asyncio.sleep(1)
        counts = {
            state: replica.metric("aim_model_caches", status=state) for state in ("Available", "Failed", "")
        }
        assert counts == {"Available": 1, "Failed": 1, "": 0}
