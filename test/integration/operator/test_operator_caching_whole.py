"""Caching from end to end: the whole operator with simulated volumes and downloads."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, Delay, Match
from aimctl.domain.caching.template_cache import model_cache_name
from aimctl.kubetypes.builtin import JOBS, PVCS
from aimctl.simulation.catalogue import Catalogue
from aimctl.testing.virtualtime import virtual_time
from support.operator import world

CACHING = {"enabled": True}
BIG = {"name": "big", "sourceURI": "hf://meta/big", "size": "100Gi"}
SMALL = {"name": "small", "sourceURI": "hf://meta/small", "size": "1Gi"}
GATED = {"name": "gated", "sourceURI": "hf://gated/model", "size": "1Gi"}


DOWNLOADS = [
    {"source": "hf://gated/*", "needs_token": True, "size_gb": 1.0},
    {"source": "hf://meta/big", "size_gb": 100.0},
    {"source": "hf://meta/small", "size_gb": 1.0},
]


@asynccontextmanager
async def caching_world():
    """The whole operator, and a hub with three models."""
    async with world(catalogue=Catalogue.default().extended(downloads=DOWNLOADS)) as w:
        await w.model("m")
        await w.namespace("team")
        w.start()
        yield w


async def names(w, kind, namespace="team"):
    return {item.meta.name for item in (await w.client.list(kind, namespace)).items}


async def status(w, kind, name, namespace="team"):
    found = await w.client.get(kind, name, namespace)
    return msgspec.json.decode(found.raw, type=dict).get("status") or {}


def warm(w, name="llama", namespace="team"):
    found = w.condition(name, namespace, "CacheWarm")
    return found.get("status", ""), found.get("reason", "")


@virtual_time
async def test_a_template_with_caching_is_discovered_downloaded_and_ready():
    async with caching_world() as w:
        await w.template("llama", "team", caching=CACHING)
        await w.until_state("llama", "team", "Ready", seconds=600)
        assert warm(w) == ("True", "Warm")
        found = await status(w, kinds.TEMPLATE_CACHES, "llama")
        assert found["status"] == "Available"
        assert found["progress"]["percent"] == 100
        assert all(item["persistentVolumeClaim"] for item in found["models"])
        order = [item.get("status") for item in w.ledger.history["team", "llama"] if item.get("status")]
        assert list(dict.fromkeys(order)) == ["Pending", "Progressing", "Ready"]
        await asyncio.sleep(120)
        version = w.version
        await asyncio.sleep(3600)
        assert w.version == version, "a settled cluster causes no writes"


@virtual_time
async def test_a_download_that_needs_a_token_fails_with_its_cause_until_the_template_has_one():
    async with caching_world() as w:
        await w.template("llama", "team", modelSources=[GATED], caching=CACHING)
        await w.until_state("llama", "team", "Degraded", seconds=120)
        assert warm(w) == ("False", "WarmFailed")
        assert "AccessDenied" in w.condition("llama", "team", "Ready")["message"]
        token = {"enabled": True, "env": [{"name": "HF_TOKEN", "value": "good"}]}
        await w.template("llama", "team", modelSources=[GATED], caching=token)
        await w.until_state("llama", "team", "Ready", seconds=60)


@virtual_time
async def test_a_missing_storage_class_is_named_on_the_template():
    async with caching_world() as w:
        await w.config("default", "team", defaultStorageClassName="fast")
        await w.template("llama", "team", modelSources=[SMALL], caching=CACHING)
        await w.until(lambda: "'fast'" in (w.condition("llama", "team", "Ready") or {}).get("message", ""), 5)
        assert w.state("llama", "team") == "Progressing"
        await w.config("default", "team", defaultStorageClassName="standard")
        await w.until_state("llama", "team", "Ready", seconds=60)


@virtual_time
async def test_progress_reaches_the_template_and_writes_stay_in_bounds():
    async with caching_world() as w:
        await w.template("llama", "team", modelSources=[BIG, SMALL], caching=CACHING)
        await w.until_state("llama", "team", "Ready", seconds=600)
        shares = [
            item["message"].partition("at least ")[2].partition(" %")[0]
            for entry in w.ledger.history["team", "llama"]
            for item in entry.get("conditions", ())
            if item["type"] == "CacheWarm" and item["reason"] == "Warming"
        ]
        assert list(dict.fromkeys(shares)) == sorted(set(shares), key=int)
        assert len(set(shares)) >= 5
        writes = [item for item in w.replicas[0].wire.writes if "/events" not in item.path]
        of = {
            word: sum(word in item.path for item in writes)
            for word in ("/aimservicetemplates/", "/aimtemplatecaches/", "/aimmodelcaches/")
        }
        # 100 seconds of download: 10 steps in two conditions' writers, 10 sums, 10 measurements of two
        assert of["/aimservicetemplates/"] <= 30
        assert of["/aimtemplatecaches/"] <= 20
        assert of["/aimmodelcaches/"] <= 30


@virtual_time
async def test_deleting_a_template_keeps_complete_downloads_and_removes_others_within_seconds():
    async with caching_world() as w:
        await w.template("llama", "team", modelSources=[BIG, SMALL], caching=CACHING)
        await w.until(lambda: "1 of 2" in str(w.status("llama", "team")) or warm(w)[1] == "Warming", 60)
        await asyncio.sleep(30)
        claims = await names(w, PVCS)
        assert len(claims) == 2
        await w.delete_template("llama", "team")
        await asyncio.sleep(15)
        assert await names(w, kinds.TEMPLATE_CACHES) == set()
        assert await names(w, kinds.MODEL_CACHES) == {model_cache_name(SMALL["sourceURI"])}
        assert await names(w, PVCS) == {model_cache_name(SMALL["sourceURI"])}
        unfinished = [
            item for item in (await w.client.list(JOBS, "team")).items if b'"Complete"' not in item.raw
        ]
        assert unfinished == []


@virtual_time
async def test_a_new_template_uses_the_model_cache_that_a_deleted_template_left():
    async with caching_world() as w:
        await w.template("llama", "team", modelSources=[SMALL], caching=CACHING)
        await w.until_state("llama", "team", "Ready", seconds=60)
        await w.delete_template("llama", "team")
        await asyncio.sleep(120)
        downloads = len(await names(w, JOBS))
        await w.template("again", "team", modelSources=[SMALL], caching=CACHING)
        await w.until_state("again", "team", "Ready", seconds=2)
        assert len(await names(w, JOBS)) <= downloads


@virtual_time
async def test_a_cluster_template_is_cached_in_the_namespace_of_a_service_that_requests_it():
    async with caching_world() as w:
        await w.template("llama", modelSources=[BIG])
        await w.service("chat", "team", model={"ref": "m"}, templateRef="llama", cacheModel=True)
        await asyncio.sleep(40)
        assert (await status(w, kinds.TEMPLATE_CACHES, "llama"))["status"] == "Progressing"
        await w.client.delete(kinds.SERVICES, "chat", "team")
        await asyncio.sleep(120)
        assert await names(w, kinds.TEMPLATE_CACHES) == set()
        assert await names(w, kinds.MODEL_CACHES) == set()
        await w.service("chat", "team", model={"ref": "m"}, templateRef="llama", cacheModel=True)
        await asyncio.sleep(300)
        assert (await status(w, kinds.TEMPLATE_CACHES, "llama"))["status"] == "Available"
        await w.client.delete(kinds.SERVICES, "chat", "team")
        await asyncio.sleep(120)
        assert (await status(w, kinds.TEMPLATE_CACHES, "llama"))["status"] == "Available"
        await w.delete_template("llama")
        await asyncio.sleep(120)
        assert await names(w, kinds.TEMPLATE_CACHES) == set()
        assert len(await names(w, kinds.MODEL_CACHES)) == 1


@virtual_time
async def test_a_service_that_is_created_again_keeps_the_downloads_of_its_cache():
    """While no manager runs. Before the new service reports its template, nothing asks for the cache."""
    chat = {"model": {"ref": "m"}, "templateRef": "llama", "cacheModel": True}
    async with caching_world() as w:
        await w.template("llama", modelSources=[BIG])
        await w.service("chat", "team", **chat)
        await asyncio.sleep(40)
        assert (await status(w, kinds.TEMPLATE_CACHES, "llama"))["status"] == "Progressing"
        downloads = await names(w, JOBS)
        await w.leader.stop()
        await w.client.delete(kinds.SERVICES, "chat", "team")
        await w.service("chat", "team", **chat)
        w.faults.add(Delay(8), Match("patch", "aimservices", subresource="status"))
        w.start()
        await asyncio.sleep(20)
        w.faults.clear()
        await asyncio.sleep(20)
        assert (await status(w, kinds.TEMPLATE_CACHES, "llama"))["status"] == "Progressing"
        assert downloads <= await names(w, JOBS)


@virtual_time
async def test_a_missing_runtime_config_of_one_service_does_not_delay_others_with_the_same_template():
    async with caching_world() as w:
        await w.template("llama", modelSources=[BIG])
        chat = {"model": {"ref": "m"}, "templateRef": "llama", "cacheModel": True}
        await w.config("gold", "team")
        await w.service("first", "team", **chat, runtimeConfigName="gold")
        await asyncio.sleep(5)
        await w.service("second", "team", **chat)
        await asyncio.sleep(5)
        cache = await w.client.get(kinds.TEMPLATE_CACHES, "llama", "team")
        assert cache.view.spec.runtime_config_name == "gold"
        await w.client.delete(kinds.RUNTIME_CONFIGS, "gold", "team")
        await asyncio.sleep(5)
        cache = await w.client.get(kinds.TEMPLATE_CACHES, "llama", "team")
        assert cache.view.spec.runtime_config_name == "default"


@virtual_time
async def test_a_token_that_is_added_to_the_service_later_reaches_the_download():
    async with caching_world() as w:
        await w.template("llama", modelSources=[GATED])
        chat = {"model": {"ref": "m"}, "templateRef": "llama", "cacheModel": True}
        await w.service("chat", "team", **chat)
        await asyncio.sleep(20)
        assert (await status(w, kinds.TEMPLATE_CACHES, "llama"))["status"] == "Failed"
        await w.service("chat", "team", **chat, env=[{"name": "HF_TOKEN", "value": "good"}])
        await asyncio.sleep(20)
        assert (await status(w, kinds.TEMPLATE_CACHES, "llama"))["status"] == "Available"


@virtual_time
async def test_crashes_delay_caching_and_create_nothing_twice():
    async with caching_world() as w:
        await w.template("llama", "team", modelSources=[BIG, SMALL], caching=CACHING)
        for seconds in (0.01, 0.03, 0.2, 15.0):
            await asyncio.sleep(seconds)
            await w.replicas[-1].crash()
            w.start()
        await w.until_state("llama", "team", "Ready", seconds=600)
        assert len(await names(w, PVCS)) == 2
        assert len(await names(w, kinds.MODEL_CACHES)) == 2
        assert len(await names(w, JOBS)) == 2


@virtual_time
async def test_a_template_with_other_sources_after_rediscovery_is_warm_when_these_are_cached():
    async with caching_world() as w:
        await w.template("llama", "team", caching=CACHING)
        await w.until_state("llama", "team", "Ready", seconds=600)
        first = w.status("llama", "team")["modelSources"]
        await w.model("m", image="aim-other:2")
        await w.until(lambda: w.status("llama", "team")["modelSources"] != first, 60)
        await w.until_state("llama", "team", "Progressing", seconds=5)
        await w.until_state("llama", "team", "Ready", seconds=600)
        found = await status(w, kinds.TEMPLATE_CACHES, "llama")
        assert [item["source"] for item in found["models"]] == [
            item["source"] for item in w.status("llama", "team")["modelSources"]
        ]
        await asyncio.sleep(120)
        assert len(await names(w, kinds.MODEL_CACHES)) == 2, "a complete model cache is kept"


@virtual_time
async def test_a_server_that_fails_occasionally_delays_caching_and_creates_nothing_twice():
    async with caching_world() as w:
        w.faults.add(Answer(503), Match(predicate=lambda info: info.verb != "watch"), chance=0.2)
        w.faults.add(Answer(500, after_effect=True), Match(verb="create"), chance=0.3)
        w.faults.add(Answer(409, "Conflict"), Match(verb="patch"), chance=0.2)
        for name in ("a", "b", "c"):
            await w.template(name, "team", modelSources=[BIG, SMALL], caching=CACHING)
        await asyncio.sleep(90)
        w.faults.clear()
        for name in ("a", "b", "c"):
            await w.until_state(name, "team", "Ready", seconds=600)
        assert len(await names(w, kinds.TEMPLATE_CACHES)) == 3
        assert len(await names(w, kinds.MODEL_CACHES)) == 2
        assert len(await names(w, PVCS)) == 2
        assert len(await names(w, JOBS)) == 2


@virtual_time
async def test_a_complete_model_cache_is_kept_while_its_claim_has_lost_its_label_or_volume():
    async with caching_world() as w:
        await w.template("llama", "team", modelSources=[SMALL], caching=CACHING)
        await w.until_state("llama", "team", "Ready", seconds=60)
        await w.delete_template("llama", "team")
        await asyncio.sleep(30)
        name = model_cache_name(SMALL["sourceURI"])
        uid = (await w.client.get(PVCS, name, "team")).meta.uid
        label = "app.kubernetes.io/managed-by"
        await w.client.patch(PVCS, name, {"metadata": {"labels": {label: None}}}, "team")
        await asyncio.sleep(120)
        assert (await w.client.get(PVCS, name, "team")).meta.uid == uid
        assert f"has lost its label {label}" in str(await status(w, kinds.MODEL_CACHES, name))
        await w.client.patch(PVCS, name, {"metadata": {"labels": {label: "aim"}}}, "team")
        await asyncio.sleep(70)
        assert (await status(w, kinds.MODEL_CACHES, name))["status"] == "Available"
        await w.client.patch(PVCS, name, {"status": {"phase": "Lost"}}, "team", subresource="status")
        await asyncio.sleep(120)
        assert (await w.client.get(PVCS, name, "team")).meta.uid == uid
        assert "lost its volume" in str(await status(w, kinds.MODEL_CACHES, name))
        await w.client.delete(PVCS, name, "team")
        await asyncio.sleep(120)
        assert await names(w, kinds.MODEL_CACHES) == set(), "no data is left"
        assert await names(w, PVCS) == set()


@pytest.mark.proof
@virtual_time
async def test_downloads_that_progress_at_the_same_time_cause_few_reconciles_of_their_template_cache():
    async with caching_world() as w:
        many = [
            {"name": f"part-{number}", "sourceURI": f"hf://meta/part-{number}", "size": "100Gi"}
            for number in range(30)
        ]
        await w.template("llama", "team", modelSources=many, caching=CACHING)
        await asyncio.sleep(60)
        assert warm(w) == ("False", "Warming")
        runs = sum(
            w.replicas[0].metric(
                "controller_runtime_reconcile_total", controller="templatecaches", result=result
            )
            for result in ("success", "requeue_after")
        )
        assert runs <= 40, "each of thirty downloads reports its progress every ten seconds"
