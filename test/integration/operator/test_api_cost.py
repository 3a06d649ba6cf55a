"""What a life costs the API server: exactly the requests that docs/api-cost.md tells, in both directions.

A life is an async generator. What comes before its first ``yield`` is not counted, nor what comes after a second. A life
without a second is followed by a while in which nothing happens: series of Events end in it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from aimctl.api import kinds
from aimctl.testing.virtualtime import virtual_time
from support.bill import Bill, bill, shown, told
from support.operator import World, world
from support.proofs import variants

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Life = Callable[[World, str], AsyncIterator[None]]

QUIET_SECONDS = 20
"""After what is not counted: all that it causes is over."""
IDLE_SECONDS = 20 * 60
LONG_SECONDS = 7 * 3600
"""Longer than finished Jobs stay."""
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
    "static sources": static,
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


async def until_service(w: World, state: str, name: str = "s") -> None:
    for _ in range(600):
        service = await w.client.get(kinds.SERVICES, name, "team")
        if service.view.status.status == state:
            return
        await asyncio.sleep(1)
    raise AssertionError(f"{name} is not {state}: {service.raw.decode()}")


async def named_template(w: World, namespace: str) -> AsyncIterator[None]:
    await w.template("t", namespace, modelSources=STATIC)
    await w.until_state("t", namespace, "Ready")
    yield
    await w.service("s", "team", model={"ref": "m"}, templateRef="t")
    await until_service(w, "Running")


async def selected(w: World, namespace: str) -> AsyncIterator[None]:
    await w.template("t", namespace, modelSources=STATIC)
    await w.until_state("t", namespace, "Ready")
    yield
    await w.service("s", "team", model={"ref": "m"})
    await until_service(w, "Running")


async def waits_for_template(w: World, namespace: str) -> AsyncIterator[None]:
    yield
    await w.template("t", namespace)
    await w.service("s", "team", model={"ref": "m"}, templateRef="t")
    await until_service(w, "Running")


async def ambiguous(w: World, namespace: str) -> AsyncIterator[None]:
    for name in ("t", "u"):
        await w.template(name, namespace, modelSources=STATIC)
        await w.until_state(name, namespace, "Ready")
    yield
    await w.service("s", "team", model={"ref": "m"})
    await until_service(w, "Failed")


async def derives(w: World, namespace: str) -> AsyncIterator[None]:
    await w.template("t", namespace)
    await w.until_state("t", namespace, "Ready")
    yield
    await w.service("s", "team", model={"ref": "m"}, templateRef="t", overrides={"metric": "throughput"})
    await until_service(w, "Running")


async def shares(w: World, namespace: str) -> AsyncIterator[None]:
    await w.template("t", namespace)
    await w.service("s", "team", model={"ref": "m"}, templateRef="t", overrides={"metric": "throughput"})
    await until_service(w, "Running")
    await asyncio.sleep(60)
    yield
    await w.service("s2", "team", model={"ref": "m"}, templateRef="t", overrides={"metric": "throughput"})
    await until_service(w, "Running", "s2")


async def last_of_derived(w: World, namespace: str) -> AsyncIterator[None]:
    await w.template("t", namespace)
    await w.service("s", "team", model={"ref": "m"}, templateRef="t", overrides={"metric": "throughput"})
    await until_service(w, "Running")
    await asyncio.sleep(60)
    yield
    await w.client.delete(kinds.SERVICES, "s", "team")


async def drops_overrides(w: World, namespace: str) -> AsyncIterator[None]:
    await w.template("t", namespace)
    await w.service("s", "team", model={"ref": "m"}, templateRef="t", overrides={"metric": "throughput"})
    await until_service(w, "Running")
    await asyncio.sleep(60)
    yield
    await w.service("s", "team", model={"ref": "m"}, templateRef="t")
    await asyncio.sleep(120)
    await until_service(w, "Running")


async def scaled(w: World, namespace: str) -> AsyncIterator[None]:
    async for _ in named_template(w, namespace):
        pass
    await asyncio.sleep(60)
    yield
    await w.service("s", "team", model={"ref": "m"}, templateRef="t", replicas=3)


async def service_deleted(w: World, namespace: str) -> AsyncIterator[None]:
    async for _ in named_template(w, namespace):
        pass
    await asyncio.sleep(60)
    yield
    await w.client.delete(kinds.SERVICES, "s", "team")


async def by_image(w: World, namespace: str) -> AsyncIterator[None]:
    yield
    await w.service("s", "team", model={"image": "aim-new:1"})


async def cached(w: World, namespace: str) -> AsyncIterator[None]:
    await w.template("t", namespace, modelSources=STATIC)
    await w.until_state("t", namespace, "Ready")
    yield
    await w.service("s", "team", model={"ref": "m"}, templateRef="t", cacheModel=True)
    await until_service(w, "Running")


async def service_restarted(w: World, namespace: str) -> AsyncIterator[None]:
    async for _ in named_template(w, namespace):
        pass
    await asyncio.sleep(60)
    await w.replicas[0].stop()
    w.start()
    await asyncio.sleep(30)
    yield


SERVICES: dict[str, Life] = {
    "template named": named_template,
    "template selected": selected,
    "template not Ready": waits_for_template,
    "selection ambiguous": ambiguous,
    "overrides": derives,
    "overrides shared": shares,
    "overrides removed": drops_overrides,
    "image without a model": by_image,
    "cached": cached,
    "scaled": scaled,
    "deleted": service_deleted,
    "last user of a derived template deleted": last_of_derived,
    "manager restarted": service_restarted,
}


async def model_alone(w: World, namespace: str) -> AsyncIterator[None]:
    yield
    await w.model("x", namespace, image="aim-x:1", discovery={"enabled": False})


async def model_read(w: World, namespace: str) -> AsyncIterator[None]:
    yield
    await w.model("x", namespace, image="aim-x:1")


async def model_unreadable(w: World, namespace: str) -> AsyncIterator[None]:
    yield
    await w.model("x", namespace, image="nobody/knows-this:1")


async def template_cached(w: World, namespace: str) -> AsyncIterator[None]:
    yield
    await w.template("t", "team", modelSources=STATIC, caching={"enabled": True})
    await w.until_state("t", "team", "Ready", 600)


async def source_shared(w: World, namespace: str) -> AsyncIterator[None]:
    await w.template("t", "team", modelSources=STATIC, caching={"enabled": True})
    await w.until_state("t", "team", "Ready", 600)
    await asyncio.sleep(60)
    yield
    await w.template("u", "team", modelSources=STATIC, caching={"enabled": True})
    await w.until_state("u", "team", "Ready", 600)


async def cached_template_deleted(w: World, namespace: str) -> AsyncIterator[None]:
    await w.template("t", "team", modelSources=STATIC, caching={"enabled": True})
    await w.until_state("t", "team", "Ready", 600)
    await asyncio.sleep(60)
    yield
    await w.delete_template("t", "team")


CACHES: dict[str, Life] = {
    "template with caching": template_cached,
    "source already cached": source_shared,
    "template deleted": cached_template_deleted,
}
MODELS: dict[str, Life] = {
    "metadata off": model_alone,
    "image read": model_read,
    "no such image": model_unreadable,
}


async def cost(life: Life, namespace: str) -> Bill:
    """What it takes."""
    async with world(kserve=True) as w:
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
        await asyncio.sleep(QUIET_SECONDS)
        requests = w.replicas[-1].wire.requests
        before = len(requests)
        async for _ in steps:
            break
        else:
            await asyncio.sleep(IDLE_SECONDS)
        return bill(requests[before:])


TABLES = {
    "scenario of a template": TEMPLATES,
    "scenario of a service": SERVICES,
    "scenario of a cache": CACHES,
    "scenario of a model": MODELS,
}
EVERY = [
    (table, list(lives)[place])
    for place in range(max(map(len, TABLES.values())))
    for table, lives in TABLES.items()
    if place < len(lives)
]
"""Ordered by their places in the tables, so that the first ones are of all tables."""
IN_BOTH_SCOPES = ["discovered", "image missing"]


@pytest.mark.parametrize(("table", "life"), variants(EVERY, quick=12))
@virtual_time
async def test_a_life_costs_what_the_document_says(table: str, life: str) -> None:
    counted = await cost(TABLES[table][life], "team")
    assert shown(counted) == shown(told(table)[life])


@pytest.mark.parametrize("life", IN_BOTH_SCOPES)
@virtual_time
async def test_a_cluster_template_costs_the_same(life: str) -> None:
    counted = await cost(TEMPLATES[life], "")
    assert shown(counted) == shown(told("scenario of a template")[life])


@pytest.mark.parametrize("table", TABLES)
def test_the_document_tells_of_every_life_here_and_of_no_other(table: str) -> None:
    assert list(told(table)) == list(TABLES[table])


@virtual_time
async def test_a_settled_cluster_is_asked_for_nothing() -> None:
    async with world(kserve=True) as w:
        await w.model("m")
        await w.model("broken", image="aim-broken:1")
        w.start()
        await w.template("t", "team")
        await w.template("lost", "team", model="broken")
        await w.template(
            "cached", "team", modelSources=STATIC, caching={"enabled": True}, metric="throughput"
        )
        await w.service("s", "team", model={"ref": "m"}, templateRef="t")
        await w.service("o", "team", model={"ref": "m"}, templateRef="t", overrides={"precision": "fp8"})
        await w.service("vague", "team", model={"ref": "m"})
        await w.service("image", "team", model={"image": "aim-new:1"})
        await asyncio.sleep(IDLE_SECONDS)
        before = len(w.replicas[0].wire.requests)
        await asyncio.sleep(LONG_SECONDS)
        assert not w.ledger.jobs, "the finished Jobs are gone meanwhile"
        assert shown(bill(w.replicas[0].wire.requests[before:])) == "none"


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
