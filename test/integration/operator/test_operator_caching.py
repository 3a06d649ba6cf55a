"""Templates with caching, from the request to Warm; edits, disabling, deletions. The test fills the model caches."""

from __future__ import annotations

import asyncio

from aimctl.api import kinds
from aimctl.domain.caching.template_cache import model_cache_name
from aimctl.testing.virtualtime import virtual_time
from support.caching import LLAMA, SOURCES, TOKENIZER, manual_downloads

CACHING = {"enabled": True}
TOKEN = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf-creds", "key": "token"}}}


@virtual_time
async def test_a_template_is_ready_when_all_its_sources_are_cached_and_reports_progress_until_then():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
        await w.until_model_caches(2)
        assert w.warm() == ("False", "WarmRequested")
        assert w.state("llama", "team") == "Progressing"
        await w.fill(LLAMA, "Progressing", downloaded=500)
        await w.until_cache("Progressing")
        await w.until(lambda: w.warm() == ("False", "Warming"), 1)
        await w.fill(LLAMA, "Available")
        await w.fill(TOKENIZER, "Progressing")
        await asyncio.sleep(11)
        assert "at least 50 %" in w.condition("llama", "team", "CacheWarm")["message"]
        assert w.state("llama", "team") == "Progressing"
        await w.fill(TOKENIZER, "Available")
        await w.until_state("llama", "team", "Ready", seconds=1)
        assert w.warm() == ("True", "Warm")
        states = [status.get("status") for status in w.ledger.history["team", "llama"]]
        assert "Ready" not in states[: states.index("Ready")]
        assert list(dict.fromkeys(filter(None, states))) == ["Progressing", "Ready"]


@virtual_time
async def test_a_template_requests_its_cache_before_discovery_and_caches_what_discovery_finds():
    async with manual_downloads() as w:
        await w.template("llama", "team", caching=CACHING)
        await w.until(lambda: w.warm() == ("False", "WarmRequested"), 1)
        assert (await w.cache_status())["conditions"]
        await w.until_model_caches(1, seconds=60)
        await w.fill_all()
        await w.until_state("llama", "team", "Ready", seconds=1)


@virtual_time
async def test_a_template_without_caching_has_no_condition_and_no_cache():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES)
        await w.until_state("llama", "team", "Ready")
        assert w.warm() == ("", "")
        assert await w.caches() == {}


@virtual_time
async def test_the_template_is_degraded_with_the_cause_of_a_failed_download_until_a_download_succeeds():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
        await w.until_model_caches(2)
        await w.fill(TOKENIZER, "Available")
        await w.fill(LLAMA, "Failed", reason="AccessDenied", message="401: check Secret hf-creds")
        await w.until_state("llama", "team", "Degraded", seconds=1)
        assert w.warm() == ("False", "WarmFailed")
        assert "401: check Secret hf-creds" in w.condition("llama", "team", "Ready")["message"]
        await w.fill(LLAMA, "Available")
        await w.until_state("llama", "team", "Ready", seconds=1)


@virtual_time
async def test_a_template_whose_volume_is_lost_is_not_ready_until_it_is_filled_again():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES[:1], caching=CACHING)
        await w.until_model_caches(1)
        await w.fill_all()
        await w.until_state("llama", "team", "Ready")
        await w.fill(LLAMA, "Progressing", downloaded=0)
        await w.until_state("llama", "team", "Progressing", seconds=1)
        assert w.warm() == ("False", "Warming")
        await w.fill_all()
        await w.until_state("llama", "team", "Ready", seconds=1)


@virtual_time
async def test_a_model_cache_that_a_user_deletes_is_created_again():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES[:1], caching=CACHING)
        await w.until_model_caches(1)
        await w.fill_all()
        await w.until_state("llama", "team", "Ready")
        await w.client.delete(kinds.MODEL_CACHES, model_cache_name(LLAMA), "team")
        await w.until_state("llama", "team", "Progressing", seconds=1)
        await w.until_model_caches(1)


@virtual_time
async def test_a_ready_template_is_progressing_when_caching_is_enabled():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES)
        await w.until_state("llama", "team", "Ready")
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
        await w.until_state("llama", "team", "Progressing", seconds=1)
        await w.until_model_caches(2)
        await w.fill_all()
        await w.until_state("llama", "team", "Ready", seconds=1)


# ---- sources that change


@virtual_time
async def test_new_sources_are_cached_and_removed_ones_are_no_longer_used():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
        await w.until_model_caches(2)
        await w.fill_all()
        await w.until_state("llama", "team", "Ready")
        new = {"name": "new", "sourceURI": "s3://bucket/new", "size": "5"}
        await w.template("llama", "team", modelSources=[SOURCES[0], new], caching=CACHING)
        await w.until_state("llama", "team", "Progressing", seconds=1)
        await w.until_model_caches(3)
        listed = [item["source"] for item in (await w.cache_status())["models"]]
        assert listed == [LLAMA, "s3://bucket/new"]
        await w.fill("s3://bucket/new", "Available")
        await w.until_state("llama", "team", "Ready", seconds=1)
        await w.template("llama", "team", modelSources=SOURCES[:1], caching=CACHING)
        await w.until(lambda: len(w.status("llama", "team")["modelSources"]) == 1, 1)
        await asyncio.sleep(1)
        assert w.state("llama", "team") == "Ready"
        assert [item["source"] for item in (await w.cache_status())["models"]] == [LLAMA]


@virtual_time
async def test_env_and_pull_secrets_and_their_edits_reach_the_model_caches():
    async with manual_downloads() as w:
        await w.template(
            "llama",
            "team",
            modelSources=SOURCES[:1],
            env=[{"name": "A", "value": "1"}],
            caching={"enabled": True, "env": [TOKEN]},
            imagePullSecrets=[{"name": "regcred"}],
        )
        await w.until_model_caches(1)
        (spec,) = [body["spec"] for body in (await w.model_caches()).values()]
        assert spec["env"] == [{"name": "A", "value": "1"}, TOKEN]
        assert spec["imagePullSecrets"] == [{"name": "regcred"}]
        await w.template("llama", "team", modelSources=SOURCES[:1], caching={"enabled": True, "env": [TOKEN]})

        async def edited():
            (body,) = (await w.model_caches()).values()
            return body["spec"].get("env") == [TOKEN] and "imagePullSecrets" not in body["spec"]

        await w.until_so(edited, 1)
        await w.fill_all()
        await w.until_state("llama", "team", "Ready")
        await w.template("llama", "team", modelSources=SOURCES[:1], caching=CACHING)
        await asyncio.sleep(2)
        (body,) = (await w.model_caches()).values()
        assert body["spec"]["env"] == [TOKEN], "a filled model cache is not changed"
        assert w.state("llama", "team") == "Ready"


# ---- disabling and deleting


@virtual_time
async def test_disabling_during_a_download_removes_the_template_cache_and_the_condition():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
        await w.until_model_caches(2)
        await w.fill(LLAMA, "Progressing")
        await asyncio.sleep(40)
        await w.template("llama", "team", modelSources=SOURCES)
        await w.until_state("llama", "team", "Ready", seconds=1)
        assert w.warm() == ("", "")
        assert await w.caches() == {}


@virtual_time
async def test_disabling_while_the_operator_is_stopped_takes_effect_after_its_restart():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
        await w.until_model_caches(2)
        await w.stop()
        await w.template("llama", "team", modelSources=SOURCES)
        await w.restart()
        await w.until_state("llama", "team", "Ready", seconds=5)
        assert w.warm() == ("", "")


@virtual_time
async def test_disabling_early_removes_the_template_cache_after_the_grace_period():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
        await w.until_model_caches(2)
        await w.template("llama", "team", modelSources=SOURCES, caching={"enabled": False})
        await w.until_state("llama", "team", "Ready", seconds=1)
        await asyncio.sleep(31)
        assert await w.caches() == {}


@virtual_time
async def test_disabling_keeps_a_cache_that_is_available_and_one_that_a_service_requests():
    async with manual_downloads() as w:
        await w.template("full", "team", modelSources=SOURCES[:1], caching=CACHING)
        await w.template("wished", "team", modelSources=SOURCES[1:], caching=CACHING)
        await w.until_model_caches(2)
        await w.fill(LLAMA, "Available")
        await w.service("s", "team", model={"ref": "m"}, templateRef="wished", cacheModel=True)
        await w.uses("s", "wished")
        await w.until_state("full", "team", "Ready")
        await w.template("full", "team", modelSources=SOURCES[:1])
        await w.template("wished", "team", modelSources=SOURCES[1:])
        await asyncio.sleep(60)
        assert set(await w.caches()) == {"full", "wished"}
        await w.client.delete(kinds.SERVICES, "s", "team")
        await asyncio.sleep(1)
        assert set(await w.caches()) == {"full"}


@virtual_time
async def test_deleting_a_template_deletes_its_template_cache_even_during_a_download():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
        await w.until_model_caches(2)
        await w.fill(LLAMA, "Progressing")
        await w.delete_template("llama", "team")

        async def gone():
            return await w.caches() == {}

        await w.until_so(gone, 5)
        assert len(await w.model_caches()) == 2, "model caches are deleted by their own reconciler"


@virtual_time
async def test_a_template_that_is_created_again_gets_a_new_template_cache():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
        await w.until_model_caches(2)
        await w.fill_all()
        await w.until_state("llama", "team", "Ready")
        first = (await w.caches())["llama"]["metadata"]["uid"]
        await w.delete_template("llama", "team")
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)

        async def anew():
            found = (await w.caches()).get("llama")
            return found is not None and found["metadata"]["uid"] != first

        await w.until_so(anew, 5)
        await w.until_state("llama", "team", "Ready", seconds=2)
        assert len(await w.model_caches()) == 2


@virtual_time
async def test_a_template_cache_that_a_user_deletes_is_created_again():
    async with manual_downloads() as w:
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
        await w.until_model_caches(2)
        await w.client.delete(kinds.TEMPLATE_CACHES, "llama", "team")

        async def there():
            return "llama" in await w.caches()

        await w.until_so(there, 1)


# ---- a user's cache with the name of the template


@virtual_time
async def test_a_cache_of_a_user_with_the_name_of_the_template_is_used_as_it_is_and_never_deleted():
    async with manual_downloads() as w:
        await w.cache("llama", storageClassName="fast")
        await w.until_cache("Pending")
        await w.template("llama", "team", modelSources=SOURCES[:1], env=[TOKEN], caching=CACHING)
        await w.until_model_caches(1)
        await w.fill_all()
        await w.until_state("llama", "team", "Ready", seconds=1)
        made = (await w.caches())["llama"]
        assert made["spec"] == {
            "templateRef": "llama",
            "storageClassName": "fast",
            "runtimeConfigName": "default",
        }
        assert "ownerReferences" not in made["metadata"]
        (body,) = (await w.model_caches()).values()
        assert body["spec"]["storageClassName"] == "fast"
        await w.template("llama", "team", modelSources=SOURCES[:1])
        await w.until(lambda: w.warm() == ("", ""), 1)
        await w.delete_template("llama", "team")
        await asyncio.sleep(60)
        assert set(await w.caches()) == {"llama"}
        assert (await w.cache_status())["status"] == "Pending"


@virtual_time
async def test_a_cache_of_the_name_of_the_template_for_another_template_is_reported():
    async with manual_downloads() as w:
        await w.cache("llama", template="another")
        await w.template("llama", "team", modelSources=SOURCES, caching=CACHING)
        await w.until_state("llama", "team", "Degraded", seconds=1)
        assert w.warm() == ("False", "WarmFailed")
        assert "for template 'another': delete it" in w.condition("llama", "team", "Ready")["message"]
        await w.client.delete(kinds.TEMPLATE_CACHES, "llama", "team")
        await w.until_model_caches(2)
