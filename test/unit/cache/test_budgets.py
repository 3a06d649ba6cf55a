"""Budgets for watching a kind, in units that do not depend on the load of the machine."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
import tracemalloc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import msgspec

from aimctl.runtime.cache import Cache
from aimctl.runtime.kube import Client, HttpRequest, Object
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.things import THINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE, PAGES = 500, 4
COUNT = PAGE * PAGES
BYTES_BESIDE_THE_BODY = 550
"""An object's metadata, its place in the store and the bytes object around its body; 457 when this was written,
486 for one that was updated."""
CALLS_PER_OBJECT = 14
"""10.3 when this was written; a task or a future for each object would cost ten more."""
CALLS_PER_EVENT = 65
"""54 when this was written, of which twenty arm and end the idle time-out."""


def body(number: int, version: int) -> dict[str, Any]:
    """A body of about 1.5 KB, plus the same amount of managedFields."""
    managed = {"manager": "m", "operation": "Apply", "fieldsV1": {f"f:field-{one}": {} for one in range(80)}}
    return {
        "apiVersion": "test.example/v1",
        "kind": "Thing",
        "metadata": {
            "name": f"thing-{number:05d}",
            "namespace": f"team-{number % 20}",
            "uid": f"00000000-1111-2222-3333-{number:012d}",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "x", "team": f"team-{number % 20}"},
            "managedFields": [managed],
        },
        "spec": {f"field-{one}": "v" * 20 for one in range(40)},
    }


class Server:
    """Serves lists page by page, and one watch with an update of every object, one line at a time."""

    def __init__(self) -> None:
        things = [body(number, 1000 + number) for number in range(COUNT)]
        self.kept = sum(len(self._kept(thing)) for thing in things)
        self.pages = [
            msgspec.json.encode(
                {"kind": "ThingList", "metadata": self._meta(at), "items": things[at : at + PAGE]}
            )
            for at in range(0, COUNT, PAGE)
        ]
        self.lines = [
            msgspec.json.encode({"type": "MODIFIED", "object": body(number, 100_000 + number)}) + b"\n"
            for number in range(COUNT)
        ]
        self.go = asyncio.Event()

    @staticmethod
    def _kept(thing: dict[str, Any]) -> bytes:
        metadata = {name: value for name, value in thing["metadata"].items() if name != "managedFields"}
        return msgspec.json.encode(thing | {"metadata": metadata})

    @staticmethod
    def _meta(at: int) -> dict[str, str]:
        more = {"continue": str(at // PAGE + 1)} if at + PAGE < COUNT else {}
        return {"resourceVersion": "50000", **more}

    @asynccontextmanager
    async def send(self, request: HttpRequest, **_: Any) -> AsyncIterator[Any]:
        query = dict(request.query)
        yield Answer(self, self.pages[int(query.get("continue", "0"))])

    async def aclose(self) -> None:
        pass


class Answer:
    status = 200
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed

    def __init__(self, server: Server, page: bytes) -> None:
        self._server, self._page = server, page

    async def read(self) -> bytes:
        return self._page

    async def chunks(self) -> AsyncIterator[bytes]:
        await self._server.go.wait()
        for line in self._server.lines:
            yield line
        await asyncio.Event().wait()


class Counting:
    def __init__(self) -> None:
        self.adds = self.updates = 0
        self.done = asyncio.Event()

    def on_add(self, obj: Object[Any], *, initial: bool) -> None:
        self.adds += 1

    def on_update(self, old: Object[Any], new: Object[Any]) -> None:
        self.updates += 1
        if self.updates == COUNT:
            self.done.set()

    def on_delete(self, obj: Object[Any], *, confirmed: bool) -> None:
        raise AssertionError("nothing is deleted")


class Calls:
    """Counts calls of Python functions, which determine the CPU time."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _called(self, frame: object, event: str, argument: object) -> None:
        self.count += event == "call"


@asynccontextmanager
async def following(server: Server) -> AsyncIterator[tuple[Cache, Counting]]:
    clock = virtual_clock()
    cache = Cache(Client(server, clock=clock), clock=clock, rng=random.Random(1))
    handler = Counting()
    cache.declare(THINGS).add_handler(handler)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(cache.run())
        await cache.wait_synced()
        assert handler.adds == COUNT
        yield cache, handler
        running.cancel()


@virtual_time
async def test_a_cached_object_uses_little_more_memory_than_its_body() -> None:
    server = Server()
    gc.collect()
    tracemalloc.start()
    try:
        async with following(server) as (cache, handler):
            gc.collect()
            synced = tracemalloc.get_traced_memory()[0]
            server.go.set()
            await handler.done.wait()
            gc.collect()
            updated = tracemalloc.get_traced_memory()[0]
            held = sum(len(obj.raw) for obj in cache.list(THINGS))
    finally:
        tracemalloc.stop()
    assert (synced - server.kept) / COUNT < BYTES_BESIDE_THE_BODY
    assert (updated - held) / COUNT < BYTES_BESIDE_THE_BODY


@virtual_time
async def test_listing_an_object_takes_few_function_calls() -> None:
    server = Server()
    with Calls() as calls:
        async with following(server):
            pass
    assert calls.count / COUNT < CALLS_PER_OBJECT


@virtual_time
async def test_an_event_takes_few_function_calls() -> None:
    server = Server()
    async with following(server) as (_, handler):
        with Calls() as calls:
            server.go.set()
            await handler.done.wait()
    assert calls.count / COUNT < CALLS_PER_EVENT


def test_a_program_in_a_cluster_never_loads_generated_models() -> None:
    script = (
        "import sys, aimctl.runtime.manager, aimctl.runtime.controller, aimctl.runtime.cache\n"
        "print(sorted({'kubernetes_asyncio', 'kubernetes', 'pydantic', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
