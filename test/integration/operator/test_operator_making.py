"""Making and editing objects against the embedded API server: what is a refusal, and what is nobody's fault."""

from __future__ import annotations

import random

import pytest

from aimctl.api import kinds
from aimctl.controllers.making import edit, make
from aimctl.devcluster.faults import Answer, Match
from aimctl.domain.caching.template_cache import DownloadSettings, model_cache_manifest
from aimctl.kubetypes.builtin import NAMESPACES
from aimctl.runtime.cache import Cache
from aimctl.runtime.kube import Conflict, ServerError
from aimctl.runtime.kube.client import Client
from aimctl.testing.virtualtime import virtual_time
from support.operator import world

WISH = DownloadSettings("default", "", (), ())


def manifest(namespace="team", uri="hf://meta/llama"):
    return model_cache_manifest(namespace, uri, 1024, WISH)


def caching(w):
    cache = Cache(w.client, clock=w.cluster.clock, rng=random.Random(0))
    cache.declare(kinds.MODEL_CACHES)
    return cache


@virtual_time
async def test_what_is_there_already_comes_into_the_cache():
    async with world() as w:
        await w.namespace("team")
        cache, body = caching(w), manifest()
        await w.client.create(kinds.MODEL_CACHES, body)
        assert await make(w.client, cache, kinds.MODEL_CACHES, body) == ""
        assert cache.get(kinds.MODEL_CACHES, body["metadata"]["name"], "team") is not None


@virtual_time
async def test_a_namespace_that_goes_or_is_gone_refuses_nothing():
    async with world() as w:
        await w.namespace("team")
        held = manifest(uri="hf://meta/held")
        held["metadata"]["finalizers"] = ["example.org/hold"]
        await w.client.create(kinds.MODEL_CACHES, held)
        await w.client.delete(NAMESPACES, "team")
        assert await make(w.client, caching(w), kinds.MODEL_CACHES, manifest()) == ""
        assert await make(w.client, caching(w), kinds.MODEL_CACHES, manifest("never")) == ""


@virtual_time
async def test_the_servers_words_are_given_where_it_refuses_and_its_troubles_are_raised():
    async with world() as w:
        await w.namespace("team")
        wrong = manifest()
        wrong["spec"]["sourceURI"] = "ftp://no"
        assert "sourceURI" in await make(w.client, caching(w), kinds.MODEL_CACHES, wrong)
        client = Client(w.cluster.transport(), clock=w.cluster.clock, field_manager="test")
        create = Match(verb="create", resource="aimmodelcaches")
        with w.faults.active(Answer(403, "Forbidden", "exceeded quota"), create):
            assert await make(client, caching(w), kinds.MODEL_CACHES, manifest()) == "exceeded quota"
        with w.faults.active(Answer(503), create), pytest.raises(ServerError):
            await make(client, caching(w), kinds.MODEL_CACHES, manifest())


@virtual_time
async def test_an_edit_of_an_object_that_changed_since_is_a_conflict_that_brings_the_latest_state():
    async with world() as w:
        await w.namespace("team")
        cache = caching(w)
        before = await w.client.create(kinds.MODEL_CACHES, manifest())
        later = await w.client.patch(kinds.MODEL_CACHES, before.meta.name, {"spec": {"size": "2Ki"}}, "team")
        with pytest.raises(Conflict):
            await edit(w.client, cache, before, {"size": "3Ki"}, before.meta.resource_version)
        known = cache.get(kinds.MODEL_CACHES, before.meta.name, "team")
        assert known.meta.resource_version == later.meta.resource_version
        assert await edit(w.client, cache, before, {"size": "3Ki"}, later.meta.resource_version) == ""
        refused = await edit(w.client, cache, before, {"size": "much"}, "")
        assert "size" in refused
        await w.client.delete(kinds.MODEL_CACHES, before.meta.name, "team")
        assert await edit(w.client, cache, before, {"size": "4Ki"}, "") == ""
