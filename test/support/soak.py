"""The work of the soak tests: a reconciler, changes that never end, and what must be true when they pause.

Each ConfigMap with the label ``soak=source`` (a source) gets a Secret of the same name with its value (a copy).

Contract of :func:`differences`: it returns nothing exactly if every source has been reconciled after its last change,
and no copy is left without a source. It only reads what it is given.
"""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any

from aimctl.runtime import (
    CONFIG_MAPS,
    SECRETS,
    Manager,
    NotFound,
    Object,
    Request,
    Result,
    create_or_apply,
    owner_reference,
)

if TYPE_CHECKING:
    import random

    from aimctl.runtime import Cache, Client, Informer, Resource

__all__ = ["SELECTOR", "Churn", "add_soak", "cached_versions", "differences", "fresh_versions"]

SELECTOR = "soak=source"
_LABELS = {"soak": "source"}
_COPY_LABELS = {"soak": "copy"}
_FAILURES = 0.02
_REPEATS = 0.05
_PADDING = "x" * 400


def add_soak(manager: Manager) -> None:
    """Add the reconciler, a controller that runs on every replica, and the debug page ``contents``.

    Some reconciles fail and some ask to be repeated, so that the back-off and the timers are used.
    """
    cache, client, rng = manager.cache, manager.client, manager.rng
    sources = cache.declare(CONFIG_MAPS, label_selector=SELECTOR)
    copies = cache.declare(SECRETS, label_selector="soak=copy")

    async def reconcile(request: Request) -> Result:
        source = cache.get(CONFIG_MAPS, request.name, request.namespace)
        if source is None or source.meta.deleting:
            return Result()  # the garbage collector deletes the copy
        if rng.random() < _FAILURES:
            raise RuntimeError("a reconcile of the soak test fails now and then")
        there = cache.get(SECRETS, request.name, request.namespace)
        if there is not None and _belongs_to_another(there, source):
            return Result()  # its deletion is an event
        if there is None and not await _is_on_server(manager.api_reader, source):
            return (
                Result()
            )  # the cache of the sources is behind; the garbage collector would delete a new copy
        written = await create_or_apply(client, SECRETS, _copy_of(source), current=there)
        if written.result == "created":
            manager.events.event(source, "Normal", "Copied", f"the first value is {_value_of(source)}")
        return Result(requeue_after=30.0) if rng.random() < _REPEATS else Result()

    async def count(request: Request) -> None:
        census.cache.get(CONFIG_MAPS, request.name, request.namespace)

    manager.controller("copies", reconcile, for_=sources, owns=[copies], max_concurrent_reconciles=4)
    census = manager.scope("census")
    everything = census.cache.declare(CONFIG_MAPS, projection="metadata")
    census.controller("census", count, for_=everything, needs_leader_election=False)
    manager.add_debug_page("contents", lambda: _rows(cache, census.cache))


class Churn:
    """Creates, changes and deletes sources from a fixed set of names, one request at a time.

    Args:
        client: sends the requests; nothing else may change the sources.
        rng: decides.
        namespace: of the sources.
        count: the number of names.
    """

    def __init__(self, client: Client, rng: random.Random, namespace: str, count: int) -> None:
        self._client, self._rng, self._namespace = client, rng, namespace
        self._names = [f"source-{number:03}" for number in range(count)]
        self._there: set[str] = set()
        self.changes = 0

    async def step(self) -> None:
        """Make one change."""
        name = self._rng.choice(self._names)
        if name not in self._there:
            await self._create(name)
        elif self._rng.random() < 0.2:
            self._there.discard(name)
            await self._client.delete(CONFIG_MAPS, name, self._namespace)
        else:
            await self._client.patch(
                CONFIG_MAPS, name, {"data": {"value": self._new_value()}}, self._namespace
            )
        self.changes += 1

    async def fill(self) -> None:
        """Create the sources that are missing, so that the number of objects is the same at every check."""
        for name in self._names:
            if name not in self._there:
                await self._create(name)

    async def _create(self, name: str) -> None:
        body = {
            "metadata": {"name": name, "labels": _LABELS},
            "data": {"value": self._new_value(), "padding": _PADDING},
        }
        await self._client.create(CONFIG_MAPS, body, self._namespace)
        self._there.add(name)

    def _new_value(self) -> str:
        return f"{self._rng.randrange(10**6):06}"


async def _is_on_server(client: Client, source: Object[Any]) -> bool:
    try:
        live = await client.get(CONFIG_MAPS, source.meta.name, source.meta.namespace)
    except NotFound:
        return False
    return live.meta.uid == source.meta.uid


async def differences(client: Client, namespace: str) -> list[str]:
    """What the reconciler still has to do in a namespace, one line each.

    Args:
        client: reads from the server.
        namespace: of the sources and copies.
    """
    sources = {
        each.key: each async for each in client.list_all(CONFIG_MAPS, namespace, label_selector=SELECTOR)
    }
    copies = {
        each.key: each async for each in client.list_all(SECRETS, namespace, label_selector="soak=copy")
    }
    found = [f"{key} has a copy and no source" for key in copies if key not in sources]
    for key, source in sources.items():
        copy = copies.get(key)
        if copy is None:
            found.append(f"{key} has no copy")
        elif _belongs_to_another(copy, source):
            found.append(f"the copy of {key} is that of a deleted source")
        elif _copied_value(copy) != _value_of(source):
            found.append(f"the copy of {key} has {_copied_value(copy)}, the source {_value_of(source)}")
    return found


def cached_versions(informer: Informer[Any]) -> dict[str, str]:
    """The resourceVersion of each object in a cache, by ``namespace/name``."""
    return {f"{obj.meta.namespace}/{obj.meta.name}": obj.meta.resource_version for obj in informer.store}


async def fresh_versions(
    client: Client, resource: Resource[Any], namespace: str, selector: str
) -> dict[str, str]:
    """The resourceVersion of each object on the server, by ``namespace/name``."""
    return {
        f"{obj.meta.namespace}/{obj.meta.name}": obj.meta.resource_version
        async for obj in client.list_all(resource, namespace, label_selector=selector)
    }


def _rows(*caches: Cache) -> list[dict[str, str]]:
    informers = {informer.name: informer for cache in caches for informer in cache.informers}
    return [
        {
            "kind": informer.resource.kind,
            "plural": informer.resource.plural,
            "selector": informer.declaration.label_selector,
            "informer": name,
            "object": key,
            "version": version,
        }
        for name, informer in informers.items()
        for key, version in cached_versions(informer).items()
    ]


def _copy_of(source: Object[Any]) -> dict[str, Any]:
    return {
        "metadata": {
            "name": source.meta.name,
            "namespace": source.meta.namespace,
            "labels": _COPY_LABELS,
            "ownerReferences": [owner_reference(source)],
        },
        "stringData": {"value": _value_of(source)},
    }


def _value_of(source: Object[Any]) -> str:
    return str(source.view.data["value"])


def _copied_value(copy: Object[Any]) -> str:
    return b64decode(copy.body()["data"]["value"]).decode()


def _belongs_to_another(copy: Object[Any], source: Object[Any]) -> bool:
    controller = copy.meta.controller
    return controller is None or controller.uid != source.meta.uid
