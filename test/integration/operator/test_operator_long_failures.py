"""Failures that last: few attempts, and a recovery soon after the cause is removed."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from aimctl.api import kinds
from aimctl.kubetypes.builtin import JOBS
from aimctl.simulation.catalogue import ImageEntry
from aimctl.simulation.machines import gpu_machine
from aimctl.testing.virtualtime import virtual_time
from support.drills import CATALOGUE, GATED, crashing, key_of, model_cache, secret
from support.operator import world

HOUR = 3600.0


async def cache_status(w) -> dict:
    found = await w.client.get(kinds.MODEL_CACHES, "x", "team")
    return msgspec.json.decode(found.raw, type=dict).get("status") or {}


async def until_available(w, seconds: float) -> dict:
    """The status of the model cache when it is Available, or after ``seconds``."""
    end = w.now + seconds
    while True:
        status = await cache_status(w)
        if status["status"] == "Available" or w.now >= end:
            return status
        await asyncio.sleep(0.5)


class Jobs:
    """Counts the Jobs that are created."""

    def __init__(self, w) -> None:
        self.created = 0
        w.cluster.server.storage.observers.append(self._take)

    def _take(self, collection, change) -> None:
        self.created += collection.name == JOBS.group_resource and change.type == "ADDED"


@pytest.mark.proof
@virtual_time
async def test_a_download_that_is_denied_for_an_hour_is_tried_less_often_and_follows_a_corrected_token():
    async with world(catalogue=CATALOGUE) as w:
        jobs = Jobs(w)
        await w.namespace("team")
        await secret(w, "hf", token="bad")
        await model_cache(w, GATED, env=key_of("secretKeyRef", "hf"))
        w.start()
        await asyncio.sleep(HOUR)
        status = await cache_status(w)
        assert (status["status"], status["lastFailure"]["reason"]) == ("Failed", "AccessDenied")
        assert 12 <= jobs.created <= 30
        created, before = jobs.created, status["failedDownloads"]
        await asyncio.sleep(HOUR)
        assert jobs.created - created <= 13
        assert (await cache_status(w))["failedDownloads"] > before
        await secret(w, "hf", token="good")
        assert (await until_available(w, 60.0))["status"] == "Available"


@pytest.mark.proof
@virtual_time
async def test_a_discovery_that_is_denied_for_an_hour_is_tried_less_often_and_follows_a_changed_secret():
    async with world() as w:
        w.simulation.faults["aim-m:1"] = crashing("GatedRepoError: 403 Client Error. Access is restricted")
        await w.namespace("team")
        await secret(w, "hf", token="bad")
        await w.model("m")
        await w.template("x", "team", env=key_of("secretKeyRef", "hf"))
        w.start()
        await asyncio.sleep(HOUR)
        assert w.state("x", "team") == "Failed"
        created = len(w.ledger.creations)
        assert 12 <= created <= 30
        await asyncio.sleep(HOUR)
        assert len(w.ledger.creations) - created <= 13
        w.simulation.faults.clear()
        await secret(w, "hf", token="good")
        await w.until_state("x", "team", "Ready", 60.0)


@pytest.mark.proof
@virtual_time
async def test_a_discovery_that_reaches_its_deadline_is_tried_again_after_ten_minutes():
    async with world() as w:
        w.simulation.faults["aim-m:1"] = ImageEntry(image="*", fail="never-ends")
        await w.model("m")
        await w.template("x", "team")
        w.start()
        await w.until_state("x", "team", "Failed", 16 * 60.0)
        assert "DeadlineExceeded" in w.condition("x", "team")["message"]
        w.simulation.faults.clear()
        await asyncio.sleep(590.0)
        assert w.state("x", "team") == "Failed"
        await w.until_state("x", "team", "Ready", 30.0)
        assert len(w.ledger.jobs_of("x", "team")) == 2


@virtual_time
async def test_a_discovery_on_a_silent_node_releases_its_slot_soon_after_the_node_is_not_ready():
    async with world(machines=[gpu_machine("n0")]) as w:
        await w.model("m")
        await w.template("x", "team")
        w.start(discovery_limit=1)
        await w.until_state("x", "team", "Progressing")
        w.cluster.node.silence("n0")
        await w.cluster.node.add_machine(gpu_machine("n1"))
        begun = w.now
        await w.until(lambda: not w.ledger.unfinished, 140.0, "the slot is free")
        assert w.now - begun >= 110.0, "the node is NotReady after 50 s, and the pod is waited for"
        await w.cluster.node.resume("n0")
        await w.until_state("x", "team", "Ready", 60.0)
        assert w.ledger.most_unfinished == 1


@virtual_time
async def test_a_template_whose_source_is_denied_names_the_remedy_and_is_not_written_with_each_attempt():
    async with world(catalogue=CATALOGUE) as w:
        sources = [{"name": "m", "sourceURI": GATED, "size": "1Gi"}]
        await w.model("m")
        await w.template("x", "team", modelSources=sources, caching={"enabled": True})
        w.start()
        await w.until_state("x", "team", "Degraded", 120)
        await asyncio.sleep(60)
        before = w.ledger.templates["team", "x"]
        message = w.condition("x", "team", "CacheWarm")["message"]
        assert "AccessDenied" in message
        assert "has no HF_TOKEN: set it in env of the model cache, the template" in message
        await asyncio.sleep(300)
        assert w.ledger.templates["team", "x"] == before
