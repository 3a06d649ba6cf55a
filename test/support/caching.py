"""Templates and template caches are reconciled on the embedded cluster in virtual time. Model caches are not: the test
writes their status in place of their reconciler.

    async with manual_downloads() as w:
        await w.template("a", "team", modelSources=SOURCES, caching={"enabled": True})
        await w.until_model_caches(2)
        await w.fill(LLAMA, "Available")
        await w.until_state("a", "team", "Ready")
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.api import kinds
from aimctl.controllers.caching.wiring import add_template_caching
from aimctl.controllers.metrics import OperatorMetrics
from aimctl.controllers.operator_context import OperatorContext
from aimctl.controllers.options import OperatorOptions
from aimctl.controllers.templates.wiring import add_templates
from aimctl.domain.caching.template_cache import model_cache_name
from aimctl.runtime.manager import Manager, ManagerOptions
from support.operator import Wire, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.operator import World

__all__ = ["LLAMA", "SOURCES", "TOKENIZER", "ManualDownloads", "manual_downloads"]

LLAMA, TOKENIZER = "hf://meta/llama", "hf://meta/llama/tokenizer.json"
SOURCES = [
    {"name": "llama", "sourceURI": LLAMA, "size": "1000"},
    {"name": "tokenizer", "sourceURI": TOKENIZER, "size": "1000"},
]


class ManualDownloads:
    """A world, a manager without the reconciler of model caches, and methods that act in its place."""

    def __init__(self, w: World) -> None:
        self.world = w
        self.client = w.client
        self.wire = Wire(w.cluster.transport())
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)

    # ---- the manager

    def start(self) -> None:
        options = OperatorOptions()
        manager = Manager(
            self.wire,
            clock=self.world.cluster.clock,
            options=ManagerOptions(loop_lag_interval=0),
            identity="manager",
            rng=random.Random(0),
        )
        context = OperatorContext(manager, options, OperatorMetrics(manager.metrics.registry))
        add_templates(context)
        add_template_caching(context)
        self._stop = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(manager.run(self._stop))

    async def stop(self) -> None:
        self._stop.set()
        if self._task is not None:
            await self._task

    async def restart(self) -> None:
        await self.stop()
        self.wire = Wire(self.world.cluster.transport())
        self.start()

    # ---- objects

    async def cache(
        self, name: str = "llama", namespace: str = "team", template: str = "", **spec: Any
    ) -> None:
        """Create a template cache as a user, or change it."""
        await self.world.namespace(namespace)
        body = {
            "apiVersion": kinds.TEMPLATE_CACHES.api_version,
            "kind": kinds.TEMPLATE_CACHES.kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"templateRef": template or name, **spec},
        }
        await self.client.apply(kinds.TEMPLATE_CACHES, body)

    async def uses(
        self, service: str, template: str, *, cluster: bool = False, namespace: str = "team"
    ) -> None:
        """Write the template in use into the status of a service."""
        kind = kinds.CLUSTER_TEMPLATES if cluster else kinds.TEMPLATES
        found = await self.client.get(kind, template, "" if cluster else namespace)
        reference = {"kind": kind.kind, "name": template, "uid": found.meta.uid}
        if not cluster:
            reference["namespace"] = namespace
        await self._write_status(kinds.SERVICES, service, namespace, {"resolvedTemplate": reference})

    async def fill(
        self,
        source: str,
        state: str,
        namespace: str = "team",
        *,
        name: str = "",
        downloaded: int | None = None,
        reason: str = "Ready",
        message: str = "set by the test",
    ) -> None:
        """Write the status of a model cache."""
        name = name or model_cache_name(source)
        ready = "True" if state == "Available" else "False"
        condition = {
            "type": "Ready",
            "status": ready,
            "reason": reason,
            "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        status: dict[str, Any] = {"status": state, "conditions": [condition], "persistentVolumeClaim": name}
        if downloaded is not None:
            status["progress"] = {"downloadedBytes": downloaded}
        await self._write_status(kinds.MODEL_CACHES, name, namespace, status)

    async def fill_all(self, state: str = "Available", namespace: str = "team") -> None:
        for name, body in (await self.model_caches(namespace)).items():
            await self.fill(body["spec"]["sourceURI"], state, namespace, name=name)

    async def _write_status(self, kind: Any, name: str, namespace: str, status: dict[str, Any]) -> None:
        body = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": name, "namespace": namespace},
            "status": status,
        }
        await self.client.apply(kind, body, subresource="status", field_manager="test")

    # ---- the state of the cluster

    async def model_caches(self, namespace: str = "team") -> dict[str, dict[str, Any]]:
        return await self._all(kinds.MODEL_CACHES, namespace)

    async def caches(self, namespace: str = "team") -> dict[str, dict[str, Any]]:
        return await self._all(kinds.TEMPLATE_CACHES, namespace)

    async def _all(self, kind: Any, namespace: str) -> dict[str, dict[str, Any]]:
        page = await self.client.list(kind, namespace)
        return {item.meta.name: msgspec.json.decode(item.raw, type=dict) for item in page.items}

    async def cache_status(self, name: str = "llama", namespace: str = "team") -> dict[str, Any]:
        return ((await self.caches(namespace)).get(name) or {}).get("status") or {}

    async def until_cache(
        self, state: str, name: str = "llama", namespace: str = "team", seconds: float = 2
    ) -> None:
        async def there() -> bool:
            return (await self.cache_status(name, namespace)).get("status") == state

        await self.until_so(there, seconds, f"template cache {name} is {state}")

    async def until_model_caches(self, count: int, namespace: str = "team", seconds: float = 2) -> None:
        async def there() -> bool:
            return len(await self.model_caches(namespace)) == count

        await self.until_so(there, seconds, f"{count} model caches")

    async def until_so(self, check: Callable[[], Any], seconds: float = 2, what: str = "") -> None:
        """Wait until a check of the server succeeds, and until the reconciles that follow are over."""
        end = self.world.now + seconds
        while not await check():
            if self.world.now >= end:
                shown = [await self.caches(), await self.model_caches()]
                raise AssertionError(f"not within {seconds:g} s: {what or check}; {shown}")
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)

    def warm(self, name: str = "llama", namespace: str = "team") -> tuple[str, str]:
        """Status and reason of CacheWarm; empty without the condition."""
        found = self.world.condition(name, namespace, "CacheWarm")
        return found.get("status", ""), found.get("reason", "")

    def writes(self, *words: str) -> list[str]:
        """The writes of the manager, except of Events, whose path contains all these words."""
        return [
            f"{item.method} {item.path}"
            for item in self.wire.writes
            if all(word in item.path for word in words) and "/events" not in item.path
        ]


@asynccontextmanager
async def manual_downloads(**options: Any) -> AsyncIterator[ManualDownloads]:
    """A world with a model and a running manager."""
    async with world(**options) as w:
        made = ManualDownloads(w)
        await w.model("m")
        await w.namespace("team")
        made.start()
        try:
            yield made
        finally:
            await made.stop()
