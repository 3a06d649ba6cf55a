"""Download Jobs and their volumes on the embedded cluster, in virtual time."""

import asyncio
import contextlib
import json

import msgspec
import pytest

from aimctl.devcluster.controllers.volumes import STORAGE_CLASSES
from aimctl.kubetypes.builtin import CORE_EVENTS, JOBS, NAMESPACES, PODS, PVCS, SECRETS
from aimctl.runtime.kube.errors import Invalid, NotFound
from aimctl.simulation import Catalogue
from aimctl.simulation.hub import GIB
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.aim_cluster import aim_cluster
from support.devpods import claim_body, download_body, secret_body

LLAMA = "hf://meta-llama/Llama-3.1-8B-Instruct"
TOKEN = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}


def body(item):
    return msgspec.json.decode(item.raw, type=dict)


@contextlib.asynccontextmanager
async def cluster_of(*entries, **options):
    """The cluster, and its simulated downloads."""
    catalogue = Catalogue.default().extended(downloads=entries)
    cluster, simulation = aim_cluster(clock=virtual_clock(), crds=[], catalogue=catalogue, **options)
    async with cluster:
        yield cluster, simulation.downloads


async def pod_of(client, job="download"):
    (pod,) = (await client.list(PODS, "default", label_selector=f"job-name={job}")).items
    return body(pod)


async def begin(cluster, source, *, size="20Gi", **job):
    client = cluster.client()
    await client.create(PVCS, claim_body(size=size), "default")
    await client.create(JOBS, download_body(source=source, **job), "default")
    return client


async def log_of(client, job="download"):
    pod = await pod_of(client, job)
    return (await client.logs(pod["metadata"]["name"], "default")).decode()


def progress(log):
    reports = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [report["bytes"] for report in reports if report["aimctl"] == "progress"]


def terminated(pod):
    return pod["status"]["containerStatuses"][0]["state"]["terminated"]


async def volume_uid(client, name="cache"):
    return (await client.get(PVCS, name, "default")).meta.uid


async def finish(cluster):
    await cluster.settled(horizon_seconds=3600, timeout_seconds=7200)


@virtual_time
async def test_a_download_takes_time_by_its_size_and_logs_its_progress():
    async with cluster_of() as (cluster, downloads):
        client = await begin(cluster, LLAMA)
        await asyncio.sleep(2)
        assert progress(await log_of(client)) == [0]
        await asyncio.sleep(10)
        assert progress(await log_of(client)) == [0, 10 * GIB]
        assert downloads.used_bytes(await volume_uid(client)) == 0
        begun = cluster.clock.monotonic()
        await finish(cluster)
        assert cluster.clock.monotonic() - begun == pytest.approx(5, abs=0.1)
        assert progress(await log_of(client)) == [0, 10 * GIB, 16 * GIB]
        ended = terminated(await pod_of(client))
        assert ended["exitCode"] == 0
        assert json.loads(ended["message"]) == {"aimctl": "verified", "files": 1, "bytes": 16 * GIB}
        assert downloads.used_bytes(await volume_uid(client)) == 16 * GIB


@virtual_time
async def test_a_followed_log_grows_with_the_download_and_ends_with_it():
    async with cluster_of() as (cluster, _):
        client = await begin(cluster, LLAMA)
        await asyncio.sleep(2)
        seen = []
        async with client.follow_logs((await pod_of(client))["metadata"]["name"], "default") as chunks:
            async for chunk in chunks:
                seen += [(round(cluster.clock.monotonic()), amount) for amount in progress(chunk.decode())]
        assert [amount for _, amount in seen] == [0, 10 * GIB, 16 * GIB]
        moments = [moment for moment, _ in seen]
        assert moments[1] - moments[0] >= 8
        assert moments[2] - moments[1] >= 5


@virtual_time
async def test_a_download_that_does_not_fit_ends_with_no_space_left():
    async with cluster_of() as (cluster, downloads):
        client = await begin(cluster, LLAMA, size="10Gi")
        await finish(cluster)
        ended = terminated(await pod_of(client))
        assert ended["exitCode"] == 1
        assert "No space left on device" in ended["message"]
        assert downloads.used_bytes(await volume_uid(client)) == 10 * GIB


@virtual_time
async def test_a_gated_source_is_rejected_without_a_valid_token():
    gated = {"source": "hf://gated/*", "needs_token": True, "tokens": ["good"], "size_gb": 1}
    async with cluster_of(gated) as (cluster, downloads):
        client = await begin(cluster, "hf://gated/model")
        await finish(cluster)
        assert "401 Client Error" in terminated(await pod_of(client))["message"]
        for token, words in (("bad", "403 Client Error"), ("good", "")):
            await client.create(SECRETS, secret_body(f"hf-{token}", token=token), "default")
            env = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": f"hf-{token}", "key": "token"}}}
            job = download_body(token, source="hf://gated/model", env=(env,))
            await client.create(JOBS, job, "default")
            await finish(cluster)
            assert words in terminated(await pod_of(client, token)).get("message", "")
        assert downloads.used_bytes(await volume_uid(client)) == GIB


@virtual_time
async def test_a_bucket_without_credentials_is_forbidden():
    async with cluster_of({"source": "s3://private/*", "needs_token": True}) as (cluster, _):
        client = await begin(cluster, "s3://private/model")
        await finish(cluster)
        assert "(403)" in terminated(await pod_of(client))["message"]


@pytest.mark.parametrize(
    ("entry", "source", "exit_code", "words", "share"),
    [
        ({"fail": "not-found"}, LLAMA, 1, "404 Client Error", 0),
        ({"fail": "not-found"}, "s3://bucket/model", 1, "(404)", 0),
        ({"fail": "unreachable"}, LLAMA, 1, "name resolution", 0),
        ({"fail": "unavailable"}, LLAMA, 1, '"reason":"SourceUnavailable"', 0),
        ({"fail": "rate-limited"}, LLAMA, 1, '"reason":"RateLimited"', 0),
        ({"fail": "incomplete"}, LLAMA, 1, '"reason":"VerificationFailed"', 0.5),
        ({"fail": "crash", "exit_code": 7, "fail_at": 0.25}, LLAMA, 7, "Traceback", 0.25),
        ({"fail": "out-of-memory"}, LLAMA, 137, "", 0.5),
        ({"fail_first": 1, "fail_at": 0.75}, LLAMA, 1, "ConnectionError", 0.75),
    ],
)
def test_a_download_fails_as_specified_and_keeps_the_downloaded_part(entry, source, exit_code, words, share):
    @virtual_time
    async def scenario():
        async with cluster_of({"source": "*", "size_gb": 16, **entry}) as (cluster, downloads):
            client = await begin(cluster, source)
            await finish(cluster)
            ended = terminated(await pod_of(client))
            assert ended["exitCode"] == exit_code
            assert words in ended.get("message", "")
            assert downloads.used_bytes(await volume_uid(client)) == share * 16 * GIB

    scenario()


@virtual_time
async def test_a_download_continues_after_a_lost_connection():
    async with cluster_of({"source": "*", "size_gb": 100, "fail_first": 1, "fail_at": 0.5}) as (
        cluster,
        downloads,
    ):
        client = await begin(cluster, LLAMA, size="200Gi")
        await finish(cluster)
        await client.create(JOBS, download_body("again", source=LLAMA), "default")
        begun = cluster.clock.monotonic()
        await finish(cluster)
        assert cluster.clock.monotonic() - begun == pytest.approx(51, abs=0.1)
        assert progress(await log_of(client, "again"))[:2] == [50 * GIB, 60 * GIB]
        assert downloads.used_bytes(await volume_uid(client)) == 100 * GIB


@virtual_time
async def test_a_killed_download_keeps_the_downloaded_part():
    async with cluster_of({"source": "*", "size_gb": 100}, pace=0.5) as (cluster, downloads):
        client = await begin(cluster, LLAMA, size="200Gi")
        await asyncio.sleep(0.5 + 10)
        await client.delete(PODS, (await pod_of(client))["metadata"]["name"], "default")
        await asyncio.sleep(0.1)
        assert downloads.used_bytes(await volume_uid(client)) == pytest.approx(20 * GIB, rel=0.02)


@virtual_time
async def test_a_download_that_stalls_never_ends():
    async with cluster_of({"source": "*", "size_gb": 10, "fail": "stalls", "fail_at": 0.4}) as (cluster, _):
        client = await begin(cluster, LLAMA)
        await asyncio.sleep(600)
        amounts = progress(await log_of(client))
        assert amounts[-1] == 4 * GIB
        assert len(amounts) == 60
        assert "terminated" not in (await pod_of(client))["status"]["containerStatuses"][0]["state"]


@virtual_time
async def test_a_repeated_download_ends_at_once():
    async with cluster_of() as (cluster, downloads):
        client = await begin(cluster, LLAMA)
        await finish(cluster)
        await client.create(JOBS, download_body("again", source=LLAMA), "default")
        begun = cluster.clock.monotonic()
        await finish(cluster)
        assert cluster.clock.monotonic() - begun == pytest.approx(1, abs=0.1)
        downloads.wipe(await volume_uid(client))
        await client.create(JOBS, download_body("anew", source=LLAMA), "default")
        await finish(cluster)
        assert progress(await log_of(client, "anew"))[0] == 0


@virtual_time
async def test_an_unknown_downloader_image_is_not_pulled_and_others_fail_as_the_catalogue_says():
    async with cluster_of() as (cluster, _):
        client = await begin(cluster, LLAMA, image="nobody/downloader:1")
        await asyncio.sleep(3)
        waiting = (await pod_of(client))["status"]["containerStatuses"][0]["state"]["waiting"]
        assert "not found" in waiting["message"]
        await client.create(JOBS, download_body("crash", source=LLAMA, image="aim-crashing:1"), "default")
        await asyncio.sleep(10)
        assert terminated(await pod_of(client, "crash"))["exitCode"] == 3


@virtual_time
async def test_a_container_of_another_component_is_not_a_download():
    async with cluster_of() as (cluster, downloads):
        client = cluster.client()
        await client.create(PVCS, claim_body(), "default")
        job = download_body(source=LLAMA, image="busybox")
        job["spec"]["template"]["metadata"]["labels"] = {"app.kubernetes.io/component": "other"}
        await client.create(JOBS, job, "default")
        await finish(cluster)
        assert terminated(await pod_of(client))["exitCode"] == 0
        assert downloads.used_bytes(await volume_uid(client)) == 0


@virtual_time
async def test_a_pod_waits_until_its_claim_exists_and_is_bound():
    async with cluster_of(storage_class="") as (cluster, _):
        client = cluster.client()
        await client.create(JOBS, download_body(source=LLAMA), "default")
        await asyncio.sleep(1)

        async def refusal():
            (condition,) = (await pod_of(client))["status"]["conditions"]
            return condition["message"]

        assert 'persistentvolumeclaim "cache" not found' in await refusal()
        await client.create(PVCS, claim_body(storage_class="fast"), "default")
        await asyncio.sleep(1)
        assert "pod has unbound immediate PersistentVolumeClaims" in await refusal()
        storage = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast"}}
        await client.create(STORAGE_CLASSES, {**storage, "provisioner": "simulated"})
        await finish(cluster)
        assert terminated(await pod_of(client))["exitCode"] == 0


@virtual_time
async def test_a_lost_claim_has_an_event_and_accepts_no_new_pods():
    async with cluster_of() as (cluster, _):
        client = await begin(cluster, LLAMA)
        await finish(cluster)
        await cluster.volumes.lose("cache", "default")
        claim = body(await client.get(PVCS, "cache", "default"))
        assert claim["status"]["phase"] == "Lost"
        events = [body(item) for item in (await client.list(CORE_EVENTS, "default")).items]
        assert any(event["reason"] == "ClaimLost" for event in events)
        await client.create(JOBS, download_body("again", source=LLAMA), "default")
        await asyncio.sleep(5)
        (condition,) = (await pod_of(client, "again"))["status"]["conditions"]
        assert "bound to non-existent persistentvolume" in condition["message"]
        await finish(cluster)
        assert body(await client.get(PVCS, "cache", "default"))["status"]["phase"] == "Lost"


def test_after_a_restart_the_volume_has_the_downloaded_data(tmp_path):
    @virtual_time
    async def first():
        async with cluster_of(data_file=tmp_path / "data") as (cluster, _):
            await begin(cluster, LLAMA)
            await finish(cluster)

    @virtual_time
    async def second():
        async with cluster_of(data_file=tmp_path / "data") as (cluster, downloads):
            await finish(cluster)
            client = cluster.client()
            assert downloads.used_bytes(await volume_uid(client)) == 16 * GIB
            assert progress(await log_of(client)) == [0, 10 * GIB, 16 * GIB]

    first()
    second()


@virtual_time
async def test_a_deleted_claim_stays_until_the_last_pod_on_a_node_is_deleted():
    async with cluster_of() as (cluster, _):
        client = await begin(cluster, LLAMA)
        await asyncio.sleep(5)
        await client.delete(PVCS, "cache", "default")
        await asyncio.sleep(5)
        claim = body(await client.get(PVCS, "cache", "default"))
        assert claim["metadata"]["deletionTimestamp"]
        assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
        await client.create(JOBS, download_body("late", source=LLAMA), "default")
        await asyncio.sleep(1)
        (condition,) = (await pod_of(client, "late"))["status"]["conditions"]
        assert "is being deleted" in condition["message"]
        await finish(cluster)
        assert terminated(await pod_of(client))["exitCode"] == 0
        # A finished pod uses the claim; one without a node does not.
        assert (await client.get(PVCS, "cache", "default")).meta.deletion_timestamp is not None
        await client.delete(JOBS, "download", "default", propagation="Background")
        await cluster.settled()
        with pytest.raises(NotFound):
            await client.get(PVCS, "cache", "default")
        assert (await pod_of(client, "late"))["status"]["phase"] == "Pending"


@virtual_time
async def test_an_unused_claim_is_deleted_at_once():
    async with cluster_of() as (cluster, _):
        client = cluster.client()
        await client.create(PVCS, claim_body(), "default")
        await client.delete(PVCS, "cache", "default")
        await cluster.settled()
        with pytest.raises(NotFound):
            await client.get(PVCS, "cache", "default")


@virtual_time
async def test_a_namespace_with_a_running_download_is_deleted_with_its_claims():
    async with cluster_of() as (cluster, _):
        client = cluster.client()
        await client.create(NAMESPACES, {"metadata": {"name": "team"}})
        await client.create(PVCS, claim_body(namespace="team"), "team")
        await client.create(JOBS, download_body(source=LLAMA, namespace="team"), "team")
        await asyncio.sleep(5)
        await client.delete(NAMESPACES, "team")
        await finish(cluster)
        with pytest.raises(NotFound):
            await client.get(NAMESPACES, "team")


@virtual_time
async def test_a_download_continues_after_a_full_volume_is_expanded():
    async with cluster_of() as (cluster, downloads):
        client = await begin(cluster, LLAMA, size="10Gi")
        await finish(cluster)
        patch = {"spec": {"resources": {"requests": {"storage": "20Gi"}}}}
        await client.patch(PVCS, "cache", patch, "default")
        await cluster.settled()
        claim = body(await client.get(PVCS, "cache", "default"))
        assert claim["status"]["capacity"] == {"storage": "20Gi"}
        await client.create(JOBS, download_body("again", source=LLAMA), "default")
        await finish(cluster)
        assert terminated(await pod_of(client, "again"))["exitCode"] == 0
        assert downloads.used_bytes(await volume_uid(client)) == 16 * GIB


@virtual_time
async def test_a_claim_cannot_shrink_and_grows_only_if_its_class_allows_it():
    async with cluster_of(storage_class="") as (cluster, _):
        client = cluster.client()
        storage = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "rigid"}}
        await client.create(STORAGE_CLASSES, {**storage, "provisioner": "simulated"})
        await client.create(PVCS, claim_body(storage_class="rigid"), "default")
        await cluster.settled()
        shrink = {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}
        with pytest.raises(Invalid, match=r"less than status\.capacity"):
            await client.patch(PVCS, "cache", shrink, "default")
        grow = {"spec": {"resources": {"requests": {"storage": "30Gi"}}}}
        await client.patch(PVCS, "cache", grow, "default")
        await cluster.settled()
        claim = body(await client.get(PVCS, "cache", "default"))
        assert claim["status"]["capacity"] == {"storage": "20Gi"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"resources": {"requests": {"storage": "1Gi"}}}, "at least 1 access mode is required"),
        ({"accessModes": ["ReadWriteMany"]}, r"spec.resources\[storage\]: Required value"),
    ],
)
def test_a_claim_needs_access_modes_and_a_size(spec, words):
    @virtual_time
    async def scenario():
        async with cluster_of() as (cluster, _):
            claim = {**claim_body(), "spec": spec}
            with pytest.raises(Invalid, match=words):
                await cluster.client().create(PVCS, claim, "default")

    scenario()


@virtual_time
async def test_an_unbound_claim_cannot_be_edited():
    async with cluster_of(storage_class="") as (cluster, _):
        client = cluster.client()
        await client.create(PVCS, claim_body(), "default")
        grow = {"spec": {"resources": {"requests": {"storage": "30Gi"}}}}
        with pytest.raises(Invalid, match="immutable after creation"):
            await client.patch(PVCS, "cache", grow, "default")
