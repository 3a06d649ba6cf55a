"""The cluster of the scale run, in a process of its own: makes the objects, changes them, and says when all is settled.

For N services there are N / 20 namespaces, N / 4 templates and N / 40 cluster models. Of a namespace's five templates
one is discovered and four give their sources. Of its twenty services twelve name a template, six leave the choice to
the operator, and two ask for the same overrides, so that one template more is derived and shared.

Commands on the standard input, answers on the standard output, one JSON document a line:
    at once      -> ``{"server": URL}``
    ``load N``   -> ``{"done": n}`` ..., ``{"settled": N, "templates": t, "namespaces": n, "writes": w}``
    ``edit N``   -> the same, once every service runs with one replica more
``writes`` is by how much the server's resourceVersion grew: of the operator, the cluster's own parts and us.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from measure import read_commands

from aimctl.api import kinds
from aimctl.devcluster import DevCluster
from aimctl.kubetypes.builtin import NAMESPACES
from aimctl.runtime.clock import LoopClock
from aimctl.simulation import Simulation

SERVICES_EACH, TEMPLATES_EACH, NAMESPACES_PER_MODEL = 20, 5, 10
AT_ONCE = 8
STEP = 100
POLL_SECONDS = 0.2
SETTLE_SECONDS = 1800.0
SOURCES = [{"name": "m", "sourceURI": "hf://example/m", "size": "16Gi"}]


def say(**document: object) -> None:
    print(json.dumps(document), flush=True)


async def each(numbers: Iterable[int], work: Callable[[int], Awaitable[object]]) -> None:
    left = iter(numbers)

    async def worker() -> None:
        for number in left:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())


class Scene:
    """The objects, and how far each has got by the storage's own account."""

    def __init__(self, cluster: DevCluster) -> None:
        self._client = cluster.client(field_manager="kubectl")
        self._storage = cluster.server.storage
        self._storage.observers.append(self._see)
        self._running: dict[tuple[str, str], int] = {}
        """Generation of each service that runs."""
        self._ready: set[tuple[str, str]] = set()

    def _see(self, collection: Any, change: Any) -> None:
        if collection.name not in (kinds.SERVICES.group_resource, kinds.TEMPLATES.group_resource):
            return
        body = change.record.object()
        key, status = (change.record.namespace, change.record.name), body.get("status") or {}
        if collection.name == kinds.TEMPLATES.group_resource:
            (self._ready.add if status.get("status") == "Ready" else self._ready.discard)(key)
        elif status.get("status") == "Running" and change.type != "DELETED":
            self._running[key] = status["observedGeneration"]
        else:
            self._running.pop(key, None)

    async def load(self, count: int) -> None:
        before, namespaces = self._storage.version, count // SERVICES_EACH
        models = max(TEMPLATES_EACH, namespaces * TEMPLATES_EACH // NAMESPACES_PER_MODEL)
        for number in range(models):
            await self._make(
                kinds.CLUSTER_MODELS,
                f"model-{number}",
                "",
                {"image": "aim-m:1", "discovery": {"enabled": False}},
            )
        await each(range(namespaces), lambda number: self._namespace(number, models))
        await self._settled(count, 1, namespaces * (TEMPLATES_EACH + 1), before)

    async def edit(self, count: int) -> None:
        before = self._storage.version
        patch = {"spec": {"replicas": 2}}

        async def change(number: int) -> None:
            namespace, service = divmod(number, SERVICES_EACH)
            await self._client.patch(kinds.SERVICES, f"service-{service}", patch, f"team-{namespace}")

        await each(range(count), change)
        await self._settled(count, 2, len(self._ready), before)

    async def _namespace(self, number: int, models: int) -> None:
        namespace = f"team-{number}"
        await self._client.create(NAMESPACES, {"metadata": {"name": namespace}})
        mine = [f"model-{(number * TEMPLATES_EACH + item) % models}" for item in range(TEMPLATES_EACH)]
        for item, model in enumerate(mine):
            spec = {"modelName": model, "metric": "latency"} | ({"modelSources": SOURCES} if item else {})
            await self._make(kinds.TEMPLATES, f"template-{item}", namespace, spec)
        for item in range(SERVICES_EACH):
            choice = item % TEMPLATES_EACH
            spec: dict[str, Any] = {"model": {"ref": mine[choice]}}
            if item < 12:
                spec["templateRef"] = f"template-{choice}"
            elif item >= 18:
                spec = {"model": {"ref": mine[1]}, "templateRef": "template-1"}
                spec["overrides"] = {"metric": "throughput"}
            await self._make(kinds.SERVICES, f"service-{item}", namespace, spec)

    async def _make(self, kind: Any, name: str, namespace: str, spec: dict[str, Any]) -> None:
        metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
        await self._client.create(kind, {"metadata": metadata, "spec": spec})

    async def _settled(self, services: int, generation: int, templates: int, before: int) -> None:
        told = 0
        async with asyncio.timeout(SETTLE_SECONDS):
            while True:
                done = sum(1 for seen in self._running.values() if seen >= generation)
                if done >= services and len(self._ready) >= templates:
                    break
                if done - told >= STEP:
                    told = done
                    say(done=done)
                await asyncio.sleep(POLL_SECONDS)
        say(
            settled=services,
            templates=len(self._ready),
            namespaces=services // SERVICES_EACH,
            writes=self._storage.version - before,
        )


async def main() -> None:
    lines: asyncio.Queue[str] = asyncio.Queue()
    clock = LoopClock()
    simulation = Simulation(clock=clock, kserve=True, kserve_seconds=0.0)
    async with DevCluster(clock=clock, add_ons=simulation.add_ons, pace=0.0, events=False) as cluster:
        scene = Scene(cluster)
        say(server=(await cluster.serve()).url)
        reading = asyncio.create_task(read_commands(lines.put_nowait))
        try:
            while line := await lines.get():
                verb, _, number = line.partition(" ")
                await {"load": scene.load, "edit": scene.edit}[verb](int(number))
        finally:
            reading.cancel()


asyncio.run(main())
