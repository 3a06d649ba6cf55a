"""The status writer, against the embedded server: its own slice, once, and never another object's."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from aimctl.api.kinds import CLUSTER_TEMPLATES, TEMPLATES
from aimctl.controllers.status import StatusWriter, Turns
from aimctl.domain.status_slice import StatusFamily, StatusSlice
from aimctl.domain.templates.decision import FAMILY
from aimctl.domain.templates.decision import OWNED_CONDITIONS as ROLLED_CONDITIONS
from aimctl.domain.templates.decision import OWNED_FIELDS as ROLLED_FIELDS
from aimctl.domain.templates.discovery_decision import OWNED_CONDITIONS, OWNED_FIELDS
from aimctl.runtime.cache import Cache
from aimctl.runtime.controller import RetryAfter
from aimctl.runtime.kube import Conflict, Object
from aimctl.testing.virtualtime import virtual_time
from support.operator import world

BOTH = pytest.mark.parametrize("namespace", ["team", ""], ids=["namespaced", "cluster"])


def condition(type_: str, status: str = "True") -> dict[str, Any]:
    return {
        "type": type_,
        "status": status,
        "reason": "Because",
        "message": "so",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def discovered(**fields: Any) -> StatusSlice:
    return StatusSlice(fields, (condition("Discovered"),), OWNED_FIELDS, OWNED_CONDITIONS)


def rolled(state: str) -> StatusSlice:
    fields = {"status": state, "observedGeneration": 1}
    return StatusSlice(fields, (condition("Ready"),), ROLLED_FIELDS, ROLLED_CONDITIONS)


SOURCES = [{"name": "m", "source": "hf://m", "sizeBytes": 1}]


class Bench:
    """The embedded server, and a cache that knows what it is told."""

    def __init__(self, w: Any, namespace: str) -> None:
        self.kind = TEMPLATES if namespace else CLUSTER_TEMPLATES
        self.namespace = namespace
        self.cache = Cache(w.cluster.client(), clock=w.cluster.clock, rng=random.Random(1))
        self.cache.declare(self.kind)
        self.client = w.cluster.client().with_(on_write=self.cache.observe_write)
        self.turns = Turns()

    def writer(self, manager: str = "one", family: StatusFamily | None = None) -> StatusWriter:
        return StatusWriter(self.client, self.cache, self.turns, manager, family)

    async def seen(self) -> Object[Any]:
        """The live object, known to the cache from now on."""
        live = await self.live()
        self.cache.observe_write(live)
        return live

    async def live(self) -> Object[Any]:
        return await self.client.get(self.kind, "a", self.namespace)

    async def status(self) -> dict[str, Any]:
        body: dict[str, Any] = msgspec.json.decode((await self.live()).raw)
        return body.get("status") or {}


@BOTH
@virtual_time
async def test_two_writers_own_a_part_each_and_do_not_step_on_each_other(namespace: str) -> None:
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        one, two = bench.writer(), bench.writer("two")
        before = await bench.seen()
        wrote = await asyncio.gather(
            one.write(before, discovered(modelSources=SOURCES, profile={"a": 1})),
            two.write(before, rolled("Ready")),
        )
        assert wrote == [True, True]
        status = await bench.status()
        assert status["modelSources"] == SOURCES
        assert status["status"] == "Ready"
        assert {item["type"] for item in status["conditions"]} == {"Discovered", "Ready"}
        # What a writer leaves out goes, and the other's stays.
        assert await one.write(before, discovered())
        status = await bench.status()
        assert "modelSources" not in status
        assert "profile" not in status
        assert status["status"] == "Ready"


@BOTH
@virtual_time
async def test_a_family_writes_several_slices_at_once_and_keeps_what_the_others_of_it_have_said(
    namespace: str,
) -> None:
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        writer, stranger = bench.writer(family=FAMILY), bench.writer("stranger")
        warm = StatusSlice({}, (condition("CacheWarm"),), frozenset(), frozenset({"CacheWarm"}))
        assert await stranger.write(await bench.seen(), warm)
        before = w.version
        assert await writer.write(await bench.seen(), discovered(modelSources=SOURCES), rolled("Ready"))
        assert w.version == before + 1
        assert await writer.write(await bench.seen(), rolled("Degraded"))
        status = await bench.status()
        assert (status["modelSources"], status["status"]) == (SOURCES, "Degraded")
        assert {item["type"] for item in status["conditions"]} == {"Discovered", "Ready", "CacheWarm"}
        assert await writer.write(await bench.seen(), discovered())
        status = await bench.status()
        assert "modelSources" not in status
        assert {item["type"] for item in status["conditions"]} == {"Discovered", "Ready", "CacheWarm"}
        assert not await writer.write(await bench.seen(), discovered(), rolled("Degraded"))


@BOTH
@virtual_time
async def test_a_family_never_writes_over_a_state_it_has_not_decided_about(namespace: str) -> None:
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        writer, before = bench.writer(family=FAMILY), await bench.seen()
        assert await writer.write(before, discovered(modelSources=SOURCES))
        version = w.version
        with pytest.raises(Conflict, match="decided about"):
            await writer.write(before, rolled("Pending"))
        assert w.version == version
        assert not await writer.write(before, discovered(modelSources=SOURCES)), "what is so needs no retry"
        assert await writer.write(await bench.seen(), rolled("Ready"))


@BOTH
@virtual_time
async def test_what_an_earlier_manager_of_the_fields_has_left_goes_when_it_is_no_longer_said(
    namespace: str,
) -> None:
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        result = {"inputHash": "1", "jobName": "j"}
        stranger = StatusSlice({}, (condition("CacheWarm"),), frozenset(), frozenset({"CacheWarm"}))
        assert await bench.writer("aim-caching").write(await bench.seen(), stranger)
        old = discovered(
            modelSources=SOURCES, profile={"a": 1}, discovery={"result": result, "failure": {"message": "no"}}
        )
        assert await bench.writer("earlier").write(await bench.seen(), old)
        writer = bench.writer(family=FAMILY)
        # A field, a part of a field, and a condition: all of them owned by the earlier manager too.
        new = discovered(modelSources=SOURCES, discovery={"result": result})
        assert await writer.write(await bench.seen(), new, rolled("Ready"))
        status = await bench.status()
        assert "profile" not in status
        assert status["discovery"] == {"result": result}
        assert status["modelSources"] == SOURCES
        assert {item["type"] for item in status["conditions"]} == {"Discovered", "Ready", "CacheWarm"}
        version = w.version
        assert not await writer.write(await bench.seen(), new, rolled("Ready"))
        silent = StatusSlice({}, (), OWNED_FIELDS, OWNED_CONDITIONS)
        assert await writer.write(await bench.seen(), silent)
        status = await bench.status()
        assert {"modelSources", "discovery"}.isdisjoint(status)
        assert {item["type"] for item in status["conditions"]} == {"Ready", "CacheWarm"}
        assert w.version == version + 2, "one apply, and one patch for what it left"


@BOTH
@virtual_time
async def test_what_is_so_already_is_not_written(namespace: str) -> None:
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        writer, before = bench.writer(), await bench.seen()
        profile = {"deep": [1, 2.0, {"x": None}], "text": "\u00e9<>&"}
        wanted = discovered(modelSources=SOURCES, profile=profile)
        assert await writer.write(before, wanted)
        version = w.version
        assert not await writer.write(before, wanted)
        assert w.version == version


@BOTH
@virtual_time
async def test_another_object_of_the_same_name_is_not_written_to_and_found_out(namespace: str) -> None:
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        before = await bench.seen()
        await w.delete_template("a", namespace)
        await w.template("a", namespace)
        with pytest.raises(Conflict):
            await bench.writer().write(before, discovered(modelSources=SOURCES))
        assert await bench.status() == {}
        # Now the cache knows the successor, and what was decided about its predecessor is of no use.
        with pytest.raises(RetryAfter, match="gone"):
            await bench.writer().write(before, discovered(modelSources=SOURCES))
        assert await bench.status() == {}


@BOTH
@virtual_time
async def test_a_write_from_a_state_that_is_not_the_latest_is_refused_once(namespace: str) -> None:
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        before = await bench.seen()
        await w.annotate("a", namespace, note="somebody else was here")
        with pytest.raises(Conflict):
            await bench.writer().write(before, discovered(modelSources=SOURCES))
        assert await bench.status() == {}
        assert await bench.writer().write(before, discovered(modelSources=SOURCES))


@BOTH
@virtual_time
async def test_an_object_that_is_gone_is_told_apart_from_one_that_needs_no_write(namespace: str) -> None:
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        before = await bench.seen()
        await w.delete_template("a", namespace)
        with pytest.raises(RetryAfter):
            await bench.writer().write(before, discovered(modelSources=SOURCES))
        bench.cache.observe_delete(bench.kind, before.key, before.meta.uid)
        with pytest.raises(RetryAfter):
            await bench.writer().write(before, discovered(modelSources=SOURCES))


def test_turns_are_forgotten_with_their_objects() -> None:
    turns = Turns()
    lock = turns.of("a")
    assert turns.of("a") is lock
    assert turns.of("b") is not lock
    del lock
    assert len(turns._locks) == 0
