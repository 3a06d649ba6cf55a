"""Services and the objects that are created for them, as the server has them.

async with serving() as w:
    await w.model("m")
    await w.template("a", "team", modelSources=STATIC)
    await w.service("s", "team", model={"ref": "m"})
    w.start()
    await w.until_service("s", "Running")
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aimctl.api import kinds
from support.operator import world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aimctl.kubetypes import Resource
    from support.operator import World

__all__ = ["GPU", "STATIC", "Serving", "serving"]

STATIC = [{"name": "m", "sourceURI": "hf://m/m", "size": "16Gi"}]
"""Sources with which a template is Ready without discovery."""

GPU = {"count": 1, "model": "MI300X"}

_SEEN = {
    kind.group_resource: kind
    for kind in (
        kinds.SERVICES,
        kinds.INFERENCE_SERVICES,
        kinds.MODELS,
        kinds.CLUSTER_MODELS,
        kinds.TEMPLATES,
        kinds.TEMPLATE_CACHES,
    )
}


class Serving:
    """A world with the objects that concern services. It has all attributes of the world as well."""

    def __init__(self, w: World) -> None:
        self.world = w
        self.objects: dict[str, dict[tuple[str, str], dict[str, Any]]] = defaultdict(dict)
        """By kind, namespace and name."""
        self.states: dict[str, list[str]] = defaultdict(list)
        """Each state that a service was in, in order."""
        self.status_writes: dict[str, int] = defaultdict(int)
        w.cluster.server.storage.observers.append(self._take)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)

    def _take(self, collection: Any, change: Any) -> None:
        kind = _SEEN.get(collection.name)
        if kind is None:
            return
        key, objects = (change.record.namespace, change.record.name), self.objects[kind.kind]
        if change.type == "DELETED":
            objects.pop(key, None)
        else:
            body = change.record.object()
            before = (objects.get(key) or {}).get("status")
            objects[key] = body
            if kind is kinds.SERVICES and body.get("status") != before:
                self.status_writes[key[1]] += 1
                state = (body.get("status") or {}).get("status", "")
                if self.states[key[1]][-1:] != [state]:
                    self.states[key[1]].append(state)
        self.world.ledger.changed.set()

    # ---- reading

    def found(self, kind: Resource[Any], name: str, namespace: str = "team") -> dict[str, Any] | None:
        return self.objects[kind.kind].get((namespace if kind.namespaced else "", name))

    def service_status(self, name: str = "s", namespace: str = "team") -> dict[str, Any]:
        return (self.found(kinds.SERVICES, name, namespace) or {}).get("status") or {}

    def service_state(self, name: str = "s", namespace: str = "team") -> str:
        return self.service_status(name, namespace).get("status", "")

    def condition(self, type_: str, name: str = "s", namespace: str = "team") -> dict[str, Any]:
        """A condition of a service."""
        conditions = self.service_status(name, namespace).get("conditions") or []
        return next((item for item in conditions if item["type"] == type_), {})

    def reason(self, type_: str = "Ready", name: str = "s", namespace: str = "team") -> str:
        return self.condition(type_, name, namespace).get("reason", "")

    def uses(self, name: str = "s", namespace: str = "team") -> str:
        """The name of the template in use."""
        return (self.service_status(name, namespace).get("resolvedTemplate") or {}).get("name", "")

    def runtime(self, name: str = "s", namespace: str = "team") -> dict[str, Any] | None:
        return self.found(kinds.INFERENCE_SERVICES, name, namespace)

    # ---- waiting

    async def until_service(
        self, name: str, state: str, reason: str = "", *, namespace: str = "team", seconds: float = 60.0
    ) -> None:
        """Wait until the status of the latest generation of a service reports a state."""

        def there() -> bool:
            body = self.found(kinds.SERVICES, name, namespace) or {"metadata": {"generation": -1}}
            status = body.get("status") or {}
            return (
                status.get("status") == state
                and status.get("observedGeneration") == body["metadata"]["generation"]
                and reason in ("", self.reason("Ready", name, namespace))
            )

        try:
            await self.world.until(there, seconds)
        except AssertionError as error:
            status = self.service_status(name, namespace)
            raise AssertionError(f"{namespace}/{name} is not {state} {reason}: {status}") from error
        await asyncio.sleep(0.02)

    # ---- acting

    async def patch(self, kind: Resource[Any], name: str, namespace: str = "team", **fields: Any) -> None:
        await self.world.client.patch(kind, name, fields, namespace if kind.namespaced else "")

    async def delete(self, kind: Resource[Any], name: str, namespace: str = "team") -> None:
        await self.world.client.delete(kind, name, namespace if kind.namespaced else "")

    async def ready(self, name: str, namespace: str = "team", **spec: Any) -> None:
        """Create a template that is Ready without discovery."""
        await self.world.template(name, namespace, **{"modelSources": STATIC, **spec})


@asynccontextmanager
async def serving(*, kserve: bool = True, **options: Any) -> AsyncIterator[Serving]:
    """A cluster, by default with KServe, without a manager."""
    async with world(kserve=kserve, **options) as w:
        yield Serving(w)
