"""Discovery admission with a cache that is wrong: no slot is assigned that may be taken."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.controllers.indexes.templates import JOB_INDEXES
from aimctl.controllers.observer import DISCOVERY_SELECTOR
from aimctl.domain.plan import RequestSlot
from aimctl.kubetypes.builtin import JOBS
from aimctl.runtime.cache import Cache
from aimctl.runtime.kube import Client, Object
from aimctl.runtime.kube.errors import error_from_status
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.admission import Admission, job_of
from support.scripted import Answer, ScriptedTransport
from support.scripted_listwatch import ScriptedListWatch, Wait, listing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

COLLECTION = "/apis/batch/v1/namespaces/team/jobs"
NOT_SERVED = error_from_status(404, "NotFound", "the server could not find the requested resource")


def body(name: str, rv: int) -> dict[str, Any]:
    """A discovery Job that is running."""
    manifest = job_of(name).manifest
    metadata = {**manifest["metadata"], "uid": f"uid-{name}", "resourceVersion": str(rv)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "status": {"active": 1}}


def job(name: str, rv: int) -> Object[Any]:
    return Object.parse(JOBS, msgspec.json.encode(body(name, rv)))


class Bench(Admission):
    """An admission of limit 2, its cache, and the server that it writes to."""

    def __init__(
        self, *lists: Any, watch: Any = (), served: Sequence[Any] = (), create_seconds: float = 0.0
    ) -> None:
        clock = virtual_clock()
        self.server = ScriptedListWatch(*lists, watches=[watch])
        self.wire = ScriptedTransport()
        jobs = {"kind": "JobList", "metadata": {"resourceVersion": "10"}, "items": list(served)}
        self.wire.on("GET", "/apis/batch/v1/jobs", jobs)
        self.wire.on("POST", COLLECTION, self._create)
        self.cache = Cache(self.server, clock=clock, rng=random.Random(1))
        self.cache.declare(JOBS, label_selector=DISCOVERY_SELECTOR, indexes=JOB_INDEXES)
        super().__init__(self.cache, Client(self.wire, clock=clock), clock, limit=2)
        self.version = 100
        self.create_seconds = create_seconds

    async def _create(self, seen: Any) -> Any:
        await asyncio.sleep(self.create_seconds)
        self.version += 1
        return Answer(201, body(seen.json["metadata"]["name"], self.version))

    @property
    def created(self) -> list[str]:
        return [seen.json["metadata"]["name"] for seen in self.wire.asked("POST")]


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(bench.cache.run())
        await bench.cache.wait_synced(60)
        yield bench
        task.cancel()


@virtual_time
async def test_no_slot_is_assigned_while_the_server_does_not_serve_jobs() -> None:
    """Discovery does not list the kind either: the cache is empty, and the Jobs are still running."""
    here = listing(job("a", 5), job("b", 6), rv=10)
    bench = Bench(here, NOT_SERVED, NOT_SERVED, here, watch=[Wait(5), NOT_SERVED])
    async with running(bench):
        await asyncio.sleep(7)
        assert len(bench.cache.list(JOBS)) == 0
        await bench.request("c", "d")
        assert await bench.round() is not None
        assert bench.created == []
        await asyncio.sleep(60)
        assert len(bench.cache.list(JOBS)) == 2
        await bench.round()
        assert bench.created == []


@virtual_time
async def test_jobs_that_disappear_from_the_cache_between_two_creations_free_no_slot() -> None:
    here = listing(job("a", 5), rv=10)
    bench = Bench(here, NOT_SERVED, watch=[Wait(5), NOT_SERVED], create_seconds=3)
    async with running(bench):
        await asyncio.sleep(4)
        await bench.request("c", "d", "e")
        await bench.round()
        assert bench.created == ["c"]


@virtual_time
async def test_the_jobs_of_a_former_leader_that_are_not_in_the_cache_are_counted() -> None:
    bench = Bench(listing(rv=10), served=[body("a", 11), body("b", 12)])
    async with running(bench):
        await bench.request("c")
        await bench.round()
        assert bench.created == []
        assert bench.admission.running == 2


@virtual_time
async def test_a_creation_has_a_time_limit_for_the_server() -> None:
    """Otherwise the server could carry it out later, when its slot has been assigned again."""
    bench = Bench(listing(rv=10))
    async with running(bench):
        await bench.request("c")
        await bench.round()
        (asked,) = bench.wire.asked("POST")
        assert asked.query["timeout"] == f"{RequestSlot(job_of('c')).timeout_seconds:g}s"
