"""Model caches: downloads to volumes, with progress, retries and causes of failures."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from aimctl.devcluster.faults import Answer, Delay, Match, Silence
from aimctl.kubetypes.builtin import JOBS, PODS, SECRETS
from aimctl.simulation.catalogue import Catalogue
from aimctl.testing.virtualtime import virtual_time
from support.download_ledger import GIB, Downloads
from support.operator import world


def secret(name, **data):
    return {"metadata": {"name": name}, "stringData": data}


def token(name):
    return [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": name, "key": "token"}}}]


def hub(*downloads):
    return Catalogue.default().extended(downloads=downloads)


LLAMA = {"source": "hf://meta-llama/*", "size_gb": 40}


# ---- without failures


@virtual_time
async def test_a_source_is_downloaded_to_a_volume_with_headroom_and_progress_is_reported():
    async with world(catalogue=hub(LLAMA)) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want(size="40Gi")
        await downloads.until_available(seconds=60)
        claim = await downloads.claim()
        assert claim["spec"]["resources"]["requests"]["storage"] == "44Gi"
        assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
        ((_, job),) = downloads.jobs
        assert job["metadata"]["ownerReferences"][0]["kind"] == "AIMModelCache"
        assert downloads.status()["persistentVolumeClaim"] == "llama"
        assert downloads.status()["progress"]["percent"] == 100
        assert downloads.condition("StorageReady")["reason"] == "VolumeBound"
        assert "failedDownloads" not in downloads.status()
        await asyncio.sleep(1)
        assert w.events_of("llama") == [
            ("Normal", "DownloadWaiting"),
            ("Normal", "Downloaded"),
        ]


@virtual_time
async def test_progress_grows_is_written_at_most_every_ten_seconds_and_is_complete_only_at_the_end():
    async with world(catalogue=hub({**LLAMA, "gb_per_second": 0.25})) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want(size="40Gi")
        await downloads.until_available(seconds=300)
        reported = [
            (at, item["progress"], item["status"])
            for at, item in downloads.history["llama"]
            if "progress" in item
        ]
        amounts = [progress["downloadedBytes"] for _, progress, _ in reported]
        assert amounts == sorted(amounts)
        assert len(set(amounts)) >= 14
        assert all((progress["percent"] == 100) == (state == "Available") for _, progress, state in reported)
        grown = [(at, progress) for at, progress, _ in reported if 0 < progress["percent"] < 100]
        assert all(later - earlier >= 9.9 for (earlier, _), (later, _) in pairwise(grown))
        assert all(progress["totalBytes"] == 40 * GIB for _, progress in grown)
        assert downloads.status()["progress"]["downloadedBytes"] == 40 * GIB


@pytest.mark.proof
@virtual_time
async def test_a_log_is_read_every_ten_seconds_however_often_its_pod_changes():
    async with world(catalogue=hub({**LLAMA, "gb_per_second": 0.1})) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await asyncio.sleep(30)
        reads = w.faults.add(Delay(0), Match("get", "pods", subresource="log"))
        (pod,) = (await w.client.list(PODS, "team")).items
        for number in range(100):
            await w.client.patch(
                PODS, pod.meta.name, {"metadata": {"annotations": {"n": str(number)}}}, "team"
            )
            await asyncio.sleep(1)
        assert 9 <= reads.hits <= 11


@pytest.mark.proof
@virtual_time
async def test_a_settled_cache_causes_no_writes_and_outlives_its_job():
    async with world() as w:
        downloads = Downloads(w)
        first = w.start()
        await downloads.want()
        await downloads.until_available()
        await asyncio.sleep(60)
        version = w.version
        await asyncio.sleep(5 * 3600)
        assert w.version == version
        await asyncio.sleep(2 * 3600)
        assert (await downloads.left())["jobs"] == 0, "its time to live is over"
        version = w.version
        await first.stop()
        w.start()
        await asyncio.sleep(3600)
        assert w.version == version
        assert downloads.outcome() == ("Available", "Downloaded")
        assert len(downloads.jobs) == 1


@virtual_time
async def test_a_source_of_unknown_size_is_downloaded():
    async with world() as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want(size="0")
        await asyncio.sleep(8)
        assert downloads.status()["progress"]["percent"] == 0
        await downloads.until_available(seconds=100)
        assert downloads.status()["progress"]["percent"] == 100


@virtual_time
async def test_the_job_is_created_although_the_volume_is_created_only_for_the_first_pod():
    async with world(provision_seconds=20) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await asyncio.sleep(5)
        assert len(downloads.jobs) == 1
        assert downloads.condition("StorageReady")["reason"] == "VolumePending"
        assert "unbound" in downloads.condition()["message"]
        await downloads.until_available()
        assert len(downloads.jobs) == 1


@virtual_time
async def test_a_claim_that_gets_no_volume_for_long_is_reported_and_used_when_it_gets_one():
    async with world(provision_seconds=1000) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await asyncio.sleep(310)
        assert downloads.condition("StorageReady")["reason"] == "VolumeNotProvisioned"
        assert "ReadWriteMany" in downloads.condition("StorageReady")["message"]
        await downloads.until_available(seconds=800)
        assert len(downloads.jobs) == 1


# ---- downloads that fail


@virtual_time
async def test_a_full_volume_is_named_and_a_larger_one_is_filled_at_once():
    async with world(catalogue=hub(LLAMA)) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want(size="20Gi")
        await downloads.until_outcome("Failed", "VolumeFull", seconds=60)
        message = downloads.condition()["message"]
        for word in ("22 GiB", "spec.size", "'llama'", "No space left on device", "Attempt 2"):
            assert word in message
        assert downloads.condition("Failure")["status"] == "True"
        await asyncio.sleep(2000)
        assert downloads.outcome() == ("Failed", "VolumeFull")
        await downloads.want(size="40Gi")
        await downloads.delete_claim()
        begun = w.now
        await downloads.until_available()
        assert w.now - begun < 60
        assert (await downloads.claim())["spec"]["resources"]["requests"]["storage"] == "44Gi"
        assert downloads.status()["progress"]["downloadedBytes"] == 40 * GIB
        assert downloads.most_at_once == 1


@virtual_time
async def test_interrupted_downloads_are_retried_soon_and_continue_with_the_data_on_the_volume():
    async with world(catalogue=hub({**LLAMA, "fail_first": 3, "fail_at": 0.75})) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await downloads.until_outcome("Failed", "SourceUnavailable", seconds=60)
        assert "Read timed out" in downloads.condition()["message"]
        await downloads.until_available(seconds=600)
        assert len(downloads.jobs) == 4
        assert [round(item, -1) for item in downloads.pauses()] == [30, 40, 40]
        assert downloads.most_at_once == 1
        assert "failedDownloads" not in downloads.status()
        assert "lastFailure" not in downloads.status()
        amounts = [
            item["progress"]["downloadedBytes"]
            for _, item in downloads.history["llama"]
            if "progress" in item
        ]
        assert amounts == sorted(amounts), "nothing is downloaded twice"
        assert [event for event in w.events_of("llama") if event[0] == "Warning"] == [
            ("Warning", "SourceUnavailable")
        ] * 3


@virtual_time
async def test_a_rejected_token_is_named_with_its_secret_and_another_one_is_tried_at_once():
    gated = {"source": "hf://gated/*", "needs_token": True, "tokens": ["good"], "size_gb": 1}
    async with world(catalogue=hub(gated)) as w:
        downloads = Downloads(w)
        await w.namespace("team")
        for name in ("bad", "good"):
            await w.client.create(SECRETS, secret(f"hf-{name}", token=name), "team")
        w.start()
        await downloads.want(source="hf://gated/model", size="1Gi", env=token("hf-bad"))
        await downloads.until_outcome("Failed", "AccessDenied", seconds=30)
        for word in ("HF_TOKEN", "'hf-bad'", "'token'", "hf://gated/model"):
            assert word in downloads.condition()["message"]
        await asyncio.sleep(3000)
        await downloads.want(source="hf://gated/model", size="1Gi", env=token("hf-good"))
        await downloads.until_available(seconds=10)


@pytest.mark.proof
@virtual_time
async def test_a_rejected_token_that_is_corrected_in_its_secret_is_used_within_a_minute():
    gated = {"source": "hf://gated/*", "needs_token": True, "tokens": ["good"], "size_gb": 1}
    async with world(catalogue=hub(gated)) as w:
        downloads = Downloads(w)
        await w.namespace("team")
        await w.client.create(SECRETS, secret("hf", token="bad"), "team")
        w.start()
        await downloads.want(source="hf://gated/model", size="1Gi", env=token("hf"))
        await asyncio.sleep(600)
        assert downloads.outcome() == ("Failed", "AccessDenied")
        jobs = len(downloads.jobs)
        assert jobs <= 600 / 40 + 2
        assert (await downloads.left())["jobs"] <= 3
        await w.client.patch(SECRETS, "hf", {"stringData": {"token": "good"}}, "team")
        await downloads.until_available(seconds=60)
        assert len(downloads.jobs) == jobs + 1


@pytest.mark.parametrize(
    ("outage", "reason"),
    [
        pytest.param("unreachable", "SourceUnavailable", marks=pytest.mark.proof),
        ("unavailable", "SourceUnavailable"),
        ("rate-limited", "RateLimited"),
    ],
)
@virtual_time
async def test_a_download_continues_within_a_minute_after_an_outage_of_the_hub(outage, reason):
    async with world(catalogue=hub({"source": "hf://meta-llama/*", "size_gb": 8})) as w:
        downloads = Downloads(w)
        w.simulation.downloads.outage = outage
        w.start()
        await downloads.want()
        await downloads.until_outcome("Failed", reason, seconds=60)
        message = downloads.condition()["message"]
        assert "the download is tried again" in message
        assert "correct" not in message
        await asyncio.sleep(300)
        assert downloads.outcome() == ("Failed", reason)
        assert "completed" not in downloads.status()
        assert (await downloads.left())["jobs"] <= 3
        assert {event for event in w.events_of("llama") if event[0] == "Warning"} == {("Warning", reason)}
        w.simulation.downloads.outage = None
        await downloads.until_available(seconds=60)
        assert downloads.status()["progress"]["downloadedBytes"] == 8 * 1024**3
        assert downloads.most_at_once == 1


@virtual_time
async def test_a_gated_source_reports_the_missing_token_and_uses_the_one_of_the_runtime_config():
    gated = {"source": "hf://gated/*", "needs_token": True, "size_gb": 1}
    async with world(catalogue=hub(gated)) as w:
        downloads = Downloads(w)
        await w.namespace("team")
        await w.client.create(SECRETS, secret("hf", token="t"), "team")
        w.start()
        await downloads.want(source="hf://gated/model", size="1Gi")
        await downloads.until_outcome("Failed", "AccessDenied", seconds=30)
        assert "no HF_TOKEN" in downloads.condition()["message"]
        await w.config("default", "team", env=token("hf"))
        await downloads.until_available(seconds=10)


@virtual_time
async def test_a_secret_that_is_created_a_moment_later_is_waited_for():
    async with world() as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want(env=token("late"))
        await asyncio.sleep(20)
        assert '"late" not found' in downloads.condition()["message"]
        await w.client.create(SECRETS, secret("late", token="t"), "team")
        await downloads.until_available(seconds=60)
        assert len(downloads.jobs) == 1


@virtual_time
async def test_a_missing_secret_is_named_and_the_download_follows_when_it_is_created():
    async with world() as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want(env=token("never"))
        await downloads.until_outcome("Failed", "ContainerSetupFailed", seconds=90)
        assert "Secret 'never' does not exist" in downloads.condition()["message"]
        await asyncio.sleep(3600)
        assert (await downloads.left())["jobs"] == 0
        assert len(downloads.jobs) == 1
        await w.client.create(SECRETS, secret("never", token="t"), "team")
        await downloads.until_available(seconds=60)


@virtual_time
async def test_a_missing_image_is_reported_within_seconds_and_a_corrected_one_used_at_once():
    async with world() as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want(modelDownloadImage="nobody/knows-this:1")
        await downloads.until_outcome("Failed", "ImagePullFailed", seconds=20)
        assert "nobody/knows-this:1" in downloads.condition()["message"]
        assert "spec.modelDownloadImage" in downloads.condition()["message"]
        await asyncio.sleep(5)
        assert (await downloads.left())["jobs"] == 0
        await downloads.want(modelDownloadImage="kserve/storage-initializer:v0.16.0")
        await downloads.until_available(seconds=60)


@pytest.mark.parametrize(
    ("entry", "reason", "words"),
    [
        ({"fail": "not-found"}, "SourceNotFound", ["hf://meta-llama", "was not found"]),
        ({"fail": "crash", "exit_code": 7}, "DownloadFailed", ["exit code 7", "Traceback"]),
        ({"fail": "out-of-memory"}, "OutOfMemory", ["137", "memory limit is 8Gi"]),
        ({"fail": "incomplete"}, "VerificationFailed", ["fewer bytes", "hf://meta-llama"]),
    ],
)
@virtual_time
async def test_a_failure_is_reported_with_its_cause(entry, reason, words):
    async with world(catalogue=hub({"source": "hf://meta-llama/*", "size_gb": 8, **entry})) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await downloads.until_outcome("Failed", reason, seconds=60)
        message = downloads.condition()["message"]
        for word in words:
            assert word in message
        assert "aimctl" not in message


@pytest.mark.proof
@virtual_time
async def test_a_failed_download_is_not_retried_too_often():
    async with world(catalogue=hub({**LLAMA, "fail": "not-found"})) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await asyncio.sleep(4 * 3600)
        assert downloads.outcome() == ("Failed", "SourceNotFound")
        assert 8 <= len(downloads.jobs) <= 12
        assert downloads.most_at_once == 1
        assert downloads.status()["failedDownloads"] == len(downloads.jobs)


@virtual_time
async def test_a_download_to_which_no_more_data_arrives_is_reported():
    async with world(catalogue=hub({**LLAMA, "fail": "stalls"})) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await downloads.until_outcome("Progressing", "DownloadStalled", seconds=1000)
        assert downloads.status()["progress"]["percent"] == 50
        assert len(downloads.jobs) == 1


@virtual_time
async def test_a_job_that_a_user_deletes_is_created_again_and_not_counted():
    async with world(catalogue=hub(LLAMA)) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await asyncio.sleep(20)
        await w.delete_job(downloads.jobs[0][1])
        await downloads.until_available()
        assert [job["metadata"]["name"] for _, job in downloads.jobs] == [
            downloads.jobs[0][1]["metadata"]["name"]
        ] * 2
        assert all(not item.get("failedDownloads") for _, item in downloads.history["llama"])
        assert downloads.most_writers == 1


@virtual_time
async def test_a_running_download_is_not_disturbed_by_a_change_of_its_input():
    async with world(catalogue=hub(LLAMA)) as w:
        downloads = Downloads(w)
        w.start()
        await downloads.want()
        await asyncio.sleep(20)
        await downloads.want(env=[{"name": "HF_ENDPOINT", "value": "x"}])
        await downloads.until_available()
        assert len(downloads.jobs) == 1


@virtual_time
async def test_logs_that_cannot_be_read_delay_nothing_but_progress():
    async with world(catalogue=hub({**LLAMA, "gb_per_second": 0.5})) as w:
        downloads = Downloads(w)
        hanging = w.faults.add(Silence(), Match("get", "pods", subresource="log"))
        w.start()
        await downloads.want()
        await downloads.want("other", source="hf://other/model", size="1Gi")
        await downloads.until_available("other", seconds=30)
        await asyncio.sleep(30)
        assert downloads.status()["progress"]["percent"] == 0
        assert hanging.hits >= 2
        w.faults.clear()
        w.faults.add(
            Answer(500, "InternalError", "the node is away"), Match("get", "pods", subresource="log")
        )
        await downloads.until_available(seconds=200)
        assert downloads.status()["progress"]["percent"] == 100


@virtual_time
async def test_rejections_by_the_server_are_reported_and_retried():
    async with world() as w:
        downloads = Downloads(w)
        quota = w.faults.add(
            Answer(403, "Forbidden", "exceeded quota: requests.storage"),
            Match("create", "persistentvolumeclaims", namespace="team"),
        )
        w.start()
        await downloads.want()
        await downloads.until_outcome("Pending", "VolumeRefused")
        assert "exceeded quota: requests.storage" in downloads.condition()["message"]
        await asyncio.sleep(600)
        assert 5 <= quota.hits <= 20
        w.faults.clear()
        jobs = w.faults.add(
            Answer(403, "Forbidden", "exceeded quota: jobs"), Match("create", "jobs", namespace="team")
        )
        await downloads.until_outcome("Pending", "DownloadRefused")
        await asyncio.sleep(600)
        assert 5 <= jobs.hits <= 20
        w.faults.clear()
        await downloads.until_available()
        assert [event for event in w.events_of("llama") if event[0] == "Warning"] == [
            ("Warning", "FailedCreate"),
            ("Warning", "FailedCreate"),
        ]


@virtual_time
async def test_a_job_of_another_owner_with_the_same_name_is_reported_and_not_touched():
    async with world() as w:
        downloads = Downloads(w)
        first = w.start()
        await downloads.want()
        await w.until(lambda: downloads.jobs)
        await first.crash()
        name = downloads.jobs[0][1]["metadata"]["name"]
        await w.delete_job(downloads.jobs[0][1])
        await asyncio.sleep(5)
        pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "pause"}]}
        squatter = {"metadata": {"name": name}, "spec": {"template": {"spec": pod}}}
        await w.client.create(JOBS, squatter, "team")
        w.start()
        await downloads.until_outcome("Pending", "DownloadRefused")
        assert name in downloads.condition()["message"]
        await w.client.delete(JOBS, name, "team", propagation="Background")
        await downloads.until_available()
