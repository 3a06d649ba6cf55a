"""The status writer against the embedded server: one part of one object in one state."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from aimctl.api.kinds import CLUSTER_TEMPLATES, TEMPLATES
from aimctl.controllers.execution.status_writer import KeyedLocks, StatusWriter, Written
from aimctl.domain.status_slice import StatusSlice
from aimctl.runtime.cache import Cache
from aimctl.runtime.kube import Conflict, NotFound, Object
from aimctl.testing.virtualtime import virtual_time
from support.operator import world

BOTH = pytest.mark.parametrize("namespace", ["team", ""], ids=["namespaced", "cluster"])
SOURCES = [{"name": "m", "source": "hf://m", "sizeBytes": 1}]


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
    """A part with the condition Discovered."""
    owned = frozenset({"modelSources", "profile", "discovery"})
    return StatusSlice(fields, (condition("Discovered"),), owned, frozenset({"Discovered"}))


def ready(state: str) -> StatusSlice:
    """A part with the condition Ready."""
    fields = {"status": state, "observedGeneration": 1}
    return StatusSlice(fields, (condition("Ready"),), frozenset(fields), frozenset({"Ready"}))


class Bench:
    """The embedded server, and a cache that holds what it is given."""

    def __init__(self, w: Any, namespace: str) -> None:
        self.kind = TEMPLATES if namespace else CLUSTER_TEMPLATES
        self.namespace = namespace
        self.cache = Cache(w.cluster.client(), clock=w.cluster.clock, rng=random.Random(1))
        self.cache.declare(self.kind)
        self.client = w.cluster.client().with_(on_write=self.cache.observe_write)
        self.writer = StatusWriter(self.client, self.cache, KeyedLocks())

    async def observe(self) -> Object[Any]:
        """The object as the server has it, also in the cache from now on."""
        live = await self.client.get(self.kind, "a", self.namespace)
        self.cache.observe_write(live)
        return live

    async def write(self, part: StatusSlice, manager: str = "one") -> Written:
        """Write to the latest state."""
        return await self.writer.write(await self.observe(), part, manager)

    async def status(self) -> dict[str, Any]:
        live = await self.client.get(self.kind, "a", self.namespace)
        return msgspec.json.decode(live.raw).get("status") or {}


def types(status: dict[str, Any]) -> set[str]:
    return {item["type"] for item in status["conditions"]}


@BOTH
@virtual_time
async def test_field_managers_write_their_own_parts_only(namespace: str) -> None:
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        assert await bench.write(discovered(modelSources=SOURCES, profile={"a": 1})) is Written.CHANGED
        assert await bench.write(ready("Ready"), "two") is Written.CHANGED
        status = await bench.status()
        assert (status["modelSources"], status["status"]) == (SOURCES, "Ready")
        assert types(status) == {"Discovered", "Ready"}
        assert await bench.write(discovered()) is Written.CHANGED
        status = await bench.status()
        assert {"modelSources", "profile"}.isdisjoint(status)
        assert (status["status"], types(status)) == ("Ready", {"Discovered", "Ready"})


@BOTH
@virtual_time
async def test_fields_that_another_manager_owns_as_well_are_removed(namespace: str) -> None:
    """An older version of the operator with another field manager leaves them, for example."""
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        result = {"inputHash": "1", "jobName": "j"}
        warm = StatusSlice({}, (condition("CacheWarm"),), frozenset(), frozenset({"CacheWarm"}))
        await bench.write(warm, "caching")
        records = {"result": result, "failure": {"message": "no"}}
        await bench.write(discovered(modelSources=SOURCES, profile={"a": 1}, discovery=records), "earlier")
        # A field and a part of a field, both of them owned by the earlier manager too.
        wanted = discovered(modelSources=SOURCES, discovery={"result": result})
        assert await bench.write(wanted) is Written.CHANGED
        status = await bench.status()
        assert "profile" not in status
        assert (status["modelSources"], status["discovery"]) == (SOURCES, {"result": result})
        assert types(status) == {"Discovered", "CacheWarm"}
        assert await bench.write(wanted) is Written.UNCHANGED
        version = w.version
        empty = StatusSlice({}, (), wanted.owned_fields, wanted.owned_conditions)
        assert await bench.write(empty) is Written.CHANGED
        status = await bench.status()
        assert {"modelSources", "discovery"}.isdisjoint(status)
        assert types(status) == {"CacheWarm"}
        assert w.version == version + 2, "one apply, and one patch that removes the rest"


@BOTH
@virtual_time
async def test_a_part_that_changes_nothing_is_not_written(namespace: str) -> None:
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        before = await bench.observe()
        profile = {"deep": [1, 2.0, {"x": None}], "text": "\u00e9<>&"}
        wanted = discovered(modelSources=SOURCES, profile=profile)
        assert await bench.writer.write(before, wanted, "one") is Written.CHANGED
        version = w.version
        assert await bench.write(wanted) is Written.UNCHANGED
        assert await bench.writer.write(before, wanted, "one") is Written.UNCHANGED, "observed earlier"
        assert w.version == version


@BOTH
@virtual_time
async def test_of_two_writers_with_the_same_observation_one_has_to_observe_again(namespace: str) -> None:
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        before, version = await bench.observe(), w.version
        wrote = await asyncio.gather(
            bench.writer.write(before, discovered(modelSources=SOURCES), "one"),
            bench.writer.write(before, ready("Ready"), "two"),
        )
        assert wrote == [Written.CHANGED, Written.STALE]
        assert w.version == version + 1


@BOTH
@virtual_time
async def test_a_status_is_not_written_to_another_object_of_the_same_name(namespace: str) -> None:
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        before = await bench.observe()
        await w.delete_template("a", namespace)
        await w.template("a", namespace)
        with pytest.raises(Conflict):  # the cache still holds the first one
            await bench.writer.write(before, discovered(modelSources=SOURCES), "one")
        await bench.observe()
        assert await bench.writer.write(before, discovered(modelSources=SOURCES), "one") is Written.STALE
        assert await bench.status() == {}


@BOTH
@virtual_time
async def test_a_status_is_not_written_if_the_cache_lags_behind_the_server(namespace: str) -> None:
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        before = await bench.observe()
        await w.annotate("a", namespace, note="a change that the cache does not have")
        with pytest.raises(Conflict):
            await bench.writer.write(before, discovered(modelSources=SOURCES), "one")
        assert await bench.status() == {}
        assert await bench.write(discovered(modelSources=SOURCES)) is Written.CHANGED


@BOTH
@virtual_time
async def test_an_object_that_is_gone_is_reported(namespace: str) -> None:
    async with world(controllers=False) as w:
        await w.template("a", namespace)
        bench = Bench(w, namespace)
        before = await bench.observe()
        await w.delete_template("a", namespace)
        with pytest.raises(NotFound):
            await bench.writer.write(before, discovered(modelSources=SOURCES), "one")
        bench.cache.observe_delete(bench.kind, before.key, before.meta.uid)
        assert await bench.writer.write(before, discovered(modelSources=SOURCES), "one") is Written.STALE


def test_a_keyed_lock_exists_while_it_is_used() -> None:
    locks = KeyedLocks()
    lock = locks.of("a")
    assert locks.of("a") is lock
    assert locks.of("b") is not lock
    del lock
    assert len(locks._locks) == 0
