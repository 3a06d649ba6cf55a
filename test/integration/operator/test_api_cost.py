"""What a life costs the API server: exactly the requests that docs/api-cost.md tells, in both directions.

A life is an async generator. What comes before its first ``yield`` is not counted, nor what comes after a second. A life
without a second is followed by hours in which nothing happens, for the Job's removal by its TTL, for resyncs, and for
whatever else might still write.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from aimctl.testing.virtualtime import virtual_time
from support.bill import Bill, bill, shown, told
from support.operator import World, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Life = Callable[[World, str], AsyncIterator[None]]

IDLE_SECONDS = 7 * 3600
STATIC = [{"name": "m", "sourceURI": "hf://m/m", "size": "16Gi"}]


async def discovered(w: World, namespace: str) -> AsyncIterator[None]:
    yield
    await w.template("a", namespace)
    await w.until_state("a", namespace, "Ready")


async def static(w: World, namespace: str) -> AsyncIterator[None]:
    yield
    await w.template("a", namespace, modelSources=STATIC)
    await w.until_state("a", namespace, "Ready")


async def waiting(w: World, namespace: str) -> AsyncIterator[None]:
    await w.model("slow", image="aim-endless:1")
    await w.template("slow", "", model="slow")
    await w.until_state("slow", "", "Progressing")
    yield
    await w.template("a", namespace)
    await asyncio.sleep(300)
    assert w.state("a", namespace) == "Pending"
    yield


async def failed_image(w: World, namespace: str) -> AsyncIterator[None]:
    await w.model("m", image="aim-broken:1")
    yield
    await w.template("a", namespace)
    await w.until_state("a", namespace, "Failed")


async def failed_run(w: World, namespace: str) -> AsyncIterator[None]:
    await w.model("m", image="aim-crashing:1")
    yield
    await w.template("a", namespace)
    await w.until_state("a", namespace, "Failed", 600)


async def without_model(w: World, namespace: str) -> AsyncIterator[None]:
    yield
    await w.template("a", namespace, model="nobody")
    await w.until_state("a", namespace, "Pending")


async def without_gpu(w: World, namespace: str) -> AsyncIterator[None]:
    yield
    await w.template("a", namespace, gpuSelector={"count": 1, "model": "H100"})
    await w.until_state("a", namespace, "NotAvailable")


async def gpu_lost(w: World, namespace: str) -> AsyncIterator[None]:
    await w.label_node("node-0", {"nvidia.com/gpu.product": "NVIDIA-H100"})
    await w.template("a", namespace, gpuSelector={"count": 1, "model": "H100"})
    await w.until_state("a", namespace, "Ready")
    yield
    await w.label_node("node-0", {"nvidia.com/gpu.product": None})
    await w.until_state("a", namespace, "NotAvailable")


async def new_image(w: World, namespace: str) -> AsyncIterator[None]:
    await w.template("a", namespace)
    await w.until_state("a", namespace, "Ready")
    await asyncio.sleep(IDLE_SECONDS)
    yield
    await w.model("m", image="aim-m:2")
    await w.until(lambda: len(w.ledger.creations) == 2)


async def edited(w: World, namespace: str) -> AsyncIterator[None]:
    await w.template("a", namespace)
    await w.until_state("a", namespace, "Ready")
    yield
    await w.template("a", namespace, resources={"limits": {"cpu": "4"}})
    await w.until_state("a", namespace, "Ready")


async def deleted(w: World, namespace: str) -> AsyncIterator[None]:
    await w.template("a", namespace)
    await w.until_state("a", namespace, "Ready")
    yield
    await w.delete_template("a", namespace)


async def deleted_while_it_runs(w: World, namespace: str) -> AsyncIterator[None]:
    await w.model("m", image="aim-slow:1")
    await w.template("a", namespace)
    await w.until_state("a", namespace, "Progressing")
    yield
    await w.delete_template("a", namespace)


async def restarted(w: World, namespace: str) -> AsyncIterator[None]:
    await w.template("a", namespace)
    await w.until_state("a", namespace, "Ready")
    await w.replicas[0].stop()
    w.start()
    await asyncio.sleep(30)
    yield


TEMPLATES: dict[str, Life] = {
    "discovered": discovered,
    "sources given": static,
    "waiting": waiting,
    "image missing": failed_image,
    "container fails": failed_run,
    "no model": without_model,
    "no GPU": without_gpu,
    "GPU lost": gpu_lost,
    "new image": new_image,
    "edited": edited,
    "deleted": deleted,
    "deleted while its Job runs": deleted_while_it_runs,
    "manager restarted": restarted,
}


async def cost(life: Life, namespace: str) -> Bill:
    """What it takes."""
    async with world() as w:
        await w.namespace("team")
        await w.model("m")
        w.start(discovery_limit=1)
        # A new leader lists Jobs when it gives its first slot away.
        await w.template("first", namespace)
        await w.until_state("first", namespace, "Ready")
        await w.delete_template("first", namespace)
        await asyncio.sleep(30)
        steps = life(w, namespace)
        await anext(steps)
        requests = w.replicas[-1].wire.requests
        before = len(requests)
        async for _ in steps:
            break
        else:
            await asyncio.sleep(IDLE_SECONDS)
        return bill(requests[before:])


@pytest.mark.parametrize(
    ("life", "namespace"),
    [*((life, "team") for life in TEMPLATES), *((life, "") for life in ("discovered", "image missing"))],
)
@virtual_time
async def test_a_template_costs_what_the_document_says(life: str, namespace: str) -> None:
    counted = await cost(TEMPLATES[life], namespace)
    assert shown(counted) == shown(told("life of a template")[life])


def test_the_document_tells_of_every_life_here_and_of_no_other() -> None:
    assert set(told("life of a template")) == set(TEMPLATES)


@virtual_time
async def test_no_template_is_written_more_than_four_times_until_it_is_ready() -> None:
    """Many at once wait for slots, for each other, and for a node: none of that may cost writes."""
    async with world() as w:
        await w.model("m")
        w.start(discovery_limit=3)
        for number in range(30):
            await w.template(f"a{number}", ("team", "")[number % 2])
        await w.until_all()
        written = {
            key: len([status for status in history if status]) for key, history in w.ledger.history.items()
        }
        assert set(written.values()) == {4}
        assert sum(w.ledger.created.values()) == 30
        assert not [sent for sent in w.replicas[0].wire.writes if "/jobs/" in sent.path], (
            "Jobs are only created"
        )
