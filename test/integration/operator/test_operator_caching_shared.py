"""Template caches of users, of cluster templates and with common sources: sharing, missing templates, bounded writes."""

from __future__ import annotations

import asyncio

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, Match
from aimctl.domain.caching.template_cache import model_cache_name
from aimctl.kubetypes.builtin import NAMESPACES
from aimctl.testing.virtualtime import virtual_time
from support.caching import LLAMA, SOURCES, TOKENIZER, manual_downloads

CACHING = {"enabled": True}


# ---- created by users


@virtual_time
async def test_a_cluster_template_is_cached_into_the_namespaces_that_ask_for_it():
    async with manual_downloads() as w:
        await w.template("llama", modelSources=SOURCES)
        for namespace in ("team", "other"):
            await w.cache("mine", namespace, template="llama")
            await w.until_model_caches(2, namespace)
        await w.fill_all("Available", "team")
        await w.until_cache("Available", "mine")
        assert (await w.cache_status("mine", "other"))["status"] == "Pending"
        status = await w.cache_status("mine")
        assert status["resolvedTemplate"]["kind"] == "AIMClusterServiceTemplate"
        assert [item["persistentVolumeClaim"] for item in status["models"]] == [
            model_cache_name(LLAMA),
            model_cache_name(TOKENIZER),
        ]
        assert w.warm("llama", "") == ("", "")


@virtual_time
async def test_a_missing_runtime_config_of_one_template_does_not_delay_others_with_the_same_source():
    async with manual_downloads() as w:
        await w.config("gold", "team")
        await w.template("first", "team", modelSources=SOURCES[:1], runtimeConfigName="gold", caching=CACHING)
        await asyncio.sleep(2)
        await w.template("second", "team", modelSources=SOURCES[:1], caching=CACHING)
        await w.until_model_caches(1)

        async def config() -> str:
            found = await w.client.get(kinds.MODEL_CACHES, model_cache_name(LLAMA), "team")
            return found.view.spec.runtime_config_name

        await asyncio.sleep(5)
        assert await config() == "gold"
        await w.client.delete(kinds.RUNTIME_CONFIGS, "gold", "team")

        async def follows() -> bool:
            return await config() == "default"

        await w.until_so(follows, 5)


@virtual_time
async def test_a_cache_waits_for_its_template_and_its_discovery():
    async with manual_downloads() as w:
        await w.cache("mine", template="llama")
        await w.until_cache("Pending", "mine")
        ready = (await w.cache_status("mine"))["conditions"]
        assert {item["reason"] for item in ready if item["type"] in ("Resolved", "Ready")} == {
            "TemplateNotFound"
        }
        await w.template("llama")
        await w.until_model_caches(1, seconds=60)
        await w.fill_all()
        await w.until_cache("Available", "mine", seconds=1)


@virtual_time
async def test_a_namespaced_template_takes_precedence_over_the_cluster_template_until_it_is_deleted():
    async with manual_downloads() as w:
        await w.template("llama", modelSources=SOURCES[:1])
        await w.cache("llama")
        await w.until_model_caches(1)
        await w.template("llama", "team", modelSources=SOURCES[1:])
        await w.until_model_caches(2)
        status = await w.cache_status()
        assert status["resolvedTemplate"]["scope"] == "Namespace"
        assert [item["source"] for item in status["models"]] == [TOKENIZER]
        await w.delete_template("llama", "team")

        async def uncovered():
            return [item["source"] for item in (await w.cache_status())["models"]] == [LLAMA]

        await w.until_so(uncovered, 1)


@virtual_time
async def test_a_cache_keeps_its_model_caches_while_its_template_is_missing():
    async with manual_downloads() as w:
        await w.template("llama", modelSources=SOURCES)
        await w.cache("llama")
        await w.until_model_caches(2)
        await w.fill(LLAMA, "Available")
        await w.fill(TOKENIZER, "Progressing")
        await w.delete_template("llama")
        await w.until_cache("Pending")
        assert len((await w.cache_status())["models"]) == 2
        await w.template("llama", modelSources=SOURCES)
        await w.until_cache("Progressing")
        await w.fill_all()
        await w.until_cache("Available")


@virtual_time
async def test_a_missing_runtime_config_is_waited_for():
    async with manual_downloads() as w:
        await w.template("llama", modelSources=SOURCES)
        await w.cache("llama", runtimeConfigName="ours")
        await w.until_cache("Pending")
        await asyncio.sleep(5)
        assert await w.model_caches() == {}
        await w.config("ours", "team")
        await w.until_model_caches(2)
        assert (await w.cache_status())["resolvedRuntimeConfig"]["name"] == "ours"


@virtual_time
async def test_another_model_cache_of_the_source_is_used_where_the_name_is_taken():
    async with manual_downloads() as w:

        def body(name, source):
            return {
                "apiVersion": kinds.MODEL_CACHES.api_version,
                "kind": "AIMModelCache",
                "metadata": {"name": name, "namespace": "team"},
                "spec": {"sourceURI": source, "size": "1000"},
            }

        await w.client.create(kinds.MODEL_CACHES, body(model_cache_name(LLAMA), "s3://b/else"))
        await w.template("llama", "team", modelSources=SOURCES[:1], caching=CACHING)
        await w.until_state("llama", "team", "Degraded", seconds=1)
        assert "downloads s3://b/else: delete it" in w.condition("llama", "team", "Ready")["message"]
        await w.client.create(kinds.MODEL_CACHES, body("mine", LLAMA))
        await w.fill(LLAMA, "Available", name="mine")
        await w.until_state("llama", "team", "Ready", seconds=1)


# ---- for services


async def _requested(w):
    """Create a cache of a cluster template as a service does."""
    template = await w.client.get(kinds.CLUSTER_TEMPLATES, "llama")
    owner = {
        "apiVersion": template.resource.api_version,
        "kind": template.resource.kind,
        "name": "llama",
        "uid": template.meta.uid,
        "controller": True,
    }
    body = {
        "apiVersion": kinds.TEMPLATE_CACHES.api_version,
        "kind": "AIMTemplateCache",
        "metadata": {
            "name": "llama",
            "namespace": "team",
            "labels": {"app.kubernetes.io/managed-by": "aim"},
            "ownerReferences": [owner],
        },
        "spec": {"templateRef": "llama"},
    }
    await w.client.create(kinds.TEMPLATE_CACHES, body)


@virtual_time
async def test_the_cache_of_a_cluster_template_is_deleted_with_the_last_service_unless_it_is_available():
    async with manual_downloads() as w:
        await w.template("llama", modelSources=SOURCES[:1])
        await w.until_state("llama", "", "Ready")
        for name in ("a", "b"):
            await w.service(name, "team", model={"ref": "m"}, cacheModel=True)
            await w.uses(name, "llama", cluster=True)
        await _requested(w)
        await w.until_model_caches(1)
        await asyncio.sleep(60)
        await w.client.delete(kinds.SERVICES, "a", "team")
        await asyncio.sleep(1)
        assert set(await w.caches()) == {"llama"}
        await w.service("b", "team", model={"ref": "m"}, cacheModel=False)
        await asyncio.sleep(1)
        assert await w.caches() == {}
        await w.service("b", "team", model={"ref": "m"}, cacheModel=True)
        await _requested(w)
        await w.until_cache("Pending")
        await w.fill_all()
        await w.until_cache("Available")
        await w.client.delete(kinds.SERVICES, "b", "team")
        await asyncio.sleep(60)
        assert set(await w.caches()) == {"llama"}


@virtual_time
async def test_a_cache_that_no_service_requests_yet_downloads_nothing():
    async with manual_downloads() as w:
        await w.template("llama", modelSources=SOURCES[:1])
        await w.service("s", "team", model={"ref": "m"}, cacheModel=True)
        await _requested(w)
        await asyncio.sleep(5)
        assert await w.model_caches() == {}
        await w.uses("s", "llama", cluster=True)
        await w.until_model_caches(1)
        await asyncio.sleep(60)
        assert set(await w.caches()) == {"llama"}


# ---- sharing


@virtual_time
async def test_templates_with_a_source_in_common_share_one_model_cache_of_the_larger_size():
    async with manual_downloads() as w:
        small = {"name": "x", "sourceURI": LLAMA, "size": "1Ki"}
        large = {"name": "y", "sourceURI": LLAMA, "size": "4Ki"}
        await w.stop()
        await w.template("a", "team", modelSources=[small], caching=CACHING)
        await w.template("b", "team", modelSources=[large], caching=CACHING)
        await w.restart()
        await w.until_model_caches(1)
        await w.until_cache("Pending", "a")
        await w.until_cache("Pending", "b")
        await w.fill(LLAMA, "Available")
        await w.until_state("a", "team", "Ready", seconds=1)
        await w.until_state("b", "team", "Ready", seconds=1)
        ((name, body),) = (await w.model_caches()).items()
        assert name == model_cache_name(LLAMA)
        assert body["spec"]["size"] == "4Ki"


@virtual_time
async def test_namespaces_share_nothing():
    async with manual_downloads() as w:
        for namespace in ("team", "other"):
            await w.template("a", namespace, modelSources=SOURCES[:1], caching=CACHING)
            await w.until_model_caches(1, namespace)
        await w.fill_all()
        await w.until_state("a", "team", "Ready", seconds=1)
        assert w.state("a", "other") == "Progressing"


@virtual_time
async def test_the_older_cache_determines_the_settings_of_a_shared_download_until_it_is_deleted():
    async with manual_downloads() as w:
        await w.template("m", modelSources=SOURCES[:1])
        await w.cache("old", template="m", env=[{"name": "A", "value": "old"}])
        await w.until_model_caches(1)
        await asyncio.sleep(2)
        await w.cache("new", template="m", env=[{"name": "A", "value": "new"}, {"name": "B", "value": "new"}])

        def env(body):
            return {item["name"]: item["value"] for item in body["spec"].get("env", ())}

        async def merged():
            return [env(body) for body in (await w.model_caches()).values()] == [{"A": "old", "B": "new"}]

        await w.until_so(merged, 1)
        await w.client.delete(kinds.TEMPLATE_CACHES, "old", "team")

        async def alone():
            return [env(body) for body in (await w.model_caches()).values()] == [{"A": "new", "B": "new"}]

        await w.until_so(alone, 1)


# ---- bounded writes, restarts, rejections


@virtual_time
async def test_progress_causes_one_write_of_the_template_cache_in_ten_seconds_and_few_of_the_template():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
        await w.until_model_caches(2)
        for source in (LLAMA, TOKENIZER):
            await w.fill(source, "Progressing", downloaded=0)
        await asyncio.sleep(15)
        caches, templates = len(w.writes("/aimtemplatecaches/")), len(w.writes("/aimservicetemplates/"))
        for second in range(1, 101):
            for source in (LLAMA, TOKENIZER):
                await w.fill(source, "Progressing", downloaded=9 * second)
            await asyncio.sleep(1)
        assert 9 <= len(w.writes("/aimtemplatecaches/")) - caches <= 11
        assert len(w.writes("/aimservicetemplates/")) - templates <= 2 * 10
        await asyncio.sleep(10)
        assert (await w.cache_status())["progress"]["downloadedBytes"] == 1800


@virtual_time
async def test_a_settled_cluster_causes_no_writes_and_neither_does_a_restart():
    async with manual_downloads() as w:
        await w.template("a", "team", modelSources=SOURCES, caching=CACHING)
        await w.template("b", "team", modelSources=SOURCES[:1], caching=CACHING)
        await w.template("c", modelSources=SOURCES[1:])
        await w.cache("c")
        await w.until_model_caches(2)
        await w.fill(LLAMA, "Available")
        await w.fill(TOKENIZER, "Failed")
        await w.until_state("b", "team", "Ready")
        await w.until_state("a", "team", "Degraded")
        await asyncio.sleep(60)
        version = w.version
        await asyncio.sleep(3600)
        assert w.version == version
        await w.restart()
        await asyncio.sleep(60)
        assert w.writes() == []


@virtual_time
async def test_model_caches_are_listed_before_they_are_created():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
        await w.until_model_caches(2)
        writes = w.writes()
        listed = writes.index(
            next(item for item in writes if item.endswith("/aimtemplatecaches/llama/status"))
        )
        made = writes.index(next(item for item in writes if item.endswith("/aimmodelcaches")))
        assert listed < made


@virtual_time
async def test_a_rejected_template_cache_is_reported_by_the_template_and_retried_without_flapping():
    async with manual_downloads() as w:
        rejection = Answer(403, "Forbidden", "exceeded quota: aim")
        with w.faults.active(rejection, Match(verb="create", resource="aimtemplatecaches")):
            await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
            await w.until_state("llama", "team", "Degraded", seconds=1)
            assert "exceeded quota: aim" in w.condition("llama", "team", "CacheWarm")["message"]
            changes = len(w.ledger.history["team", "llama"])
            await asyncio.sleep(300)
            assert len(w.ledger.history["team", "llama"]) == changes
        await asyncio.sleep(60)
        await w.until_model_caches(2)


@virtual_time
async def test_a_rejected_model_cache_is_reported_with_its_name_and_retried_without_flapping():
    async with manual_downloads() as w:
        rejection = Answer(403, "Forbidden", "exceeded quota: aim")
        with w.faults.active(rejection, Match(verb="create", resource="aimmodelcaches")):
            await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
            await w.until_state("llama", "team", "Degraded", seconds=1)
            text = w.condition("llama", "team", "Ready")["message"]
            assert "exceeded quota: aim" in text
            assert model_cache_name(LLAMA) in text
            changes = len(w.ledger.history["team", "llama"])
            await asyncio.sleep(300)
            assert len(w.ledger.history["team", "llama"]) == changes
        await asyncio.sleep(60)
        await w.until_model_caches(2)
        await w.fill_all()
        await w.until_state("llama", "team", "Ready")


@virtual_time
async def test_a_rejected_patch_is_recorded_as_an_event_and_retried():
    async with manual_downloads() as w:
        env = [{"name": "A", "value": "1"}]
        await w.template("llama", "team", modelSources=SOURCES[:1], caching=CACHING)
        await w.until_model_caches(1)
        rejection = Answer(403, "Forbidden", "a policy forbids it")

        async def edited():
            (body,) = (await w.model_caches()).values()
            return body["spec"].get("env") == env

        for resource in ("aimtemplatecaches", "aimmodelcaches"):
            with w.faults.active(rejection, Match(verb="patch", resource=resource, subresource="")):
                await w.template("llama", "team", modelSources=SOURCES[:1], caching=CACHING, env=env)
                await asyncio.sleep(5)
                assert not await edited()
                assert ("Warning", "FailedPatch") in [
                    (event["type"], event["reason"]) for event in w.ledger.events
                ]
            await w.until_so(edited, 65)
            w.ledger.events.clear()
            env = [{"name": "A", "value": "2"}]


@virtual_time
async def test_nothing_is_created_or_reported_in_a_namespace_that_is_being_deleted(logged_errors):
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
        await w.until_model_caches(2)
        await w.client.delete(kinds.MODEL_CACHES, model_cache_name(LLAMA), "team")
        await w.client.delete(NAMESPACES, "team")
        await asyncio.sleep(120)
        assert await w.caches() == {}
        assert logged_errors == []
        assert "terminated" not in str([w.ledger.history, w.ledger.events])
