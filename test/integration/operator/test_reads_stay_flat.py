"""What a reconcile reads does not grow with objects that are nobody's business there.

The same lives of models, templates, caches and services are lived in one namespace, beside few others and beside many:
objects of the same names in other namespaces, and of other names in the same one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from aimctl.api import kinds
from aimctl.testing.virtualtime import virtual_time
from support.operator import world
from support.reads import Reads

if TYPE_CHECKING:
    from collections import Counter

    from support.operator import World

FEW, MANY = 2, 10
SETTLED_SECONDS = 600
STATIC = [{"name": "m", "sourceURI": "hf://m/m", "size": "1Gi"}]
OTHER = [{"name": "c", "sourceURI": "hf://c/c", "size": "1Gi"}]


async def others(w: World, count: int) -> None:
    """Two of each: of the names used in the namespace that is looked at, and in that namespace."""
    for number in range(count):
        there = f"other{number}"
        await w.namespace(there)
        await w.config("default", there)
        await w.model("m", there, defaultServiceTemplate="t")
        await w.template("t", there, modelSources=STATIC)
        await w.template("c", there, modelSources=OTHER, metric="throughput", caching={"enabled": True})
        await w.service("s", there, model={"ref": "m"})
        await w.service("o", there, model={"ref": "m"}, templateRef="t", overrides={"precision": "fp8"})
        await w.service("i", there, model={"image": "aim-m:1"})
        mine = f"m{number}"
        await w.model(mine, image=f"aim-x{number}:1")
        await w.template(f"cluster{number}", "", model=mine, modelSources=STATIC)
        await w.template(f"t{number}", "team", model=mine, modelSources=STATIC, caching={"enabled": True})
        await w.service(f"s{number}", "team", model={"ref": mine}, templateRef=f"t{number}")


async def lives(w: World) -> None:
    """Something of everything, from its beginning to its end."""
    await w.config("mine", "team")
    await w.model("m", "team", defaultServiceTemplate="t", runtimeConfigName="mine")
    await w.template("t", "team", runtimeConfigName="mine")
    await w.template("c", "team", modelSources=OTHER, metric="throughput", caching={"enabled": True})
    await w.service("s", "team", model={"ref": "m"})
    await w.service("o", "team", model={"ref": "m"}, templateRef="t", overrides={"precision": "fp8"})
    await w.service("i", "team", model={"image": "aim-m:1"})
    await asyncio.sleep(300)
    await w.model("m", "team", image="aim-m:2")
    await asyncio.sleep(60)
    await w.template("t", "team", runtimeConfigName="mine", resources={"limits": {"cpu": "3"}})
    await w.config("mine", "team", env=[{"name": "A", "value": "1"}])
    await asyncio.sleep(60)
    await w.client.delete(kinds.SERVICES, "o", "team")
    await w.client.delete(kinds.SERVICES, "s", "team")
    await w.delete_template("c", "team")
    await asyncio.sleep(60)


async def reads_beside(count: int) -> Counter[str]:
    async with world(kserve=True) as w:
        await w.namespace("team")
        w.start()
        await others(w, count)
        await asyncio.sleep(SETTLED_SECONDS)
        assert set(w.ledger.states()) == {"Ready"}
        with Reads() as reads:
            await lives(w)
        return reads.by_caller


@pytest.mark.proof
@virtual_time
async def test_a_life_reads_as_much_beside_many_others_as_beside_few():
    few, many = await reads_beside(FEW), await reads_beside(MANY)
    assert few.total() > 500, "the lives were lived"
    # Among more events of others a key is coalesced once more or less; a scan would give each caller five times as much.
    grown = {name: (few[name], times) for name, times in many.items() if times > few[name] * 1.2 + 3}
    assert grown == {}
