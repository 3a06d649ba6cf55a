"""Finalizers in a reconciler, with the functions that change bodies."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from aimctl.devcluster import DevCluster
from aimctl.runtime import (
    CONFIG_MAPS,
    Manager,
    NotFound,
    Request,
    add_finalizer,
    has_finalizer,
    remove_finalizer,
)
from aimctl.testing import virtual_clock, virtual_time

CLEANUP = "example.org/cleanup"


class Cleaning:
    """Reconciles ConfigMaps whose deletion needs a clean-up, which fails while ``broken`` is set."""

    def __init__(self, manager: Manager) -> None:
        self._cache, self._client = manager.cache, manager.client
        self.broken = False
        self.cleaned: list[str] = []
        self.writes = 0

    async def reconcile(self, request: Request) -> None:
        found = self._cache.get(CONFIG_MAPS, request.name, request.namespace)
        if found is None or has_finalizer(found, CLEANUP) is not found.meta.deleting:
            return
        if found.meta.deleting:
            if self.broken:
                raise OSError("the clean-up failed")
            self.cleaned.append(request.name)
        self.writes += 1
        change = remove_finalizer if found.meta.deleting else add_finalizer
        await self._client.update(CONFIG_MAPS, change(found, CLEANUP))


@asynccontextmanager
async def cleaning(*, deleted=None):
    """A client and the reconciler of a running manager, which finds the object ``deleted`` being deleted."""
    async with DevCluster(clock=virtual_clock(), crds=[], controllers=False) as cluster:
        if deleted is not None:
            made = await cluster.client().create(CONFIG_MAPS, deleted)
            await cluster.client().delete(CONFIG_MAPS, made.meta.name, made.meta.namespace)
        manager = Manager(cluster.transport(), clock=cluster.clock)
        reconciler = Cleaning(manager)
        manager.controller("cleaning", reconciler, for_=CONFIG_MAPS)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(manager.run(stop))
            await manager.elected.wait()
            yield cluster.client(), reconciler
            stop.set()


async def finalizers_of(client, name: str) -> tuple[str, ...]:
    return tuple((await client.get(CONFIG_MAPS, name, "default")).meta.finalizers)


def named(name: str, **metadata):
    return {"metadata": {"name": name, "namespace": "default", **metadata}}


@virtual_time
async def test_a_finalizer_is_added_once_and_removed_after_the_clean_up():
    """Checklist 130: added to a live object that lacks it, run at the deletion, then removed."""
    async with cleaning() as (client, reconciler):
        await client.create(CONFIG_MAPS, named("a"))
        await asyncio.sleep(1)
        assert await finalizers_of(client, "a") == (CLEANUP,)
        await client.patch(CONFIG_MAPS, "a", {"data": {"x": "1"}}, "default")
        await asyncio.sleep(1)
        assert (reconciler.writes, reconciler.cleaned) == (1, [])
        await client.delete(CONFIG_MAPS, "a", "default")
        await asyncio.sleep(1)
        assert (reconciler.writes, reconciler.cleaned) == (2, ["a"])
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAPS, "a", "default")


@virtual_time
async def test_a_finalizer_stays_until_its_clean_up_succeeds():
    """Checklist 130: a failed clean-up is retried, and the object remains."""
    async with cleaning() as (client, reconciler):
        await client.create(CONFIG_MAPS, named("a"))
        await asyncio.sleep(1)
        reconciler.broken = True
        await client.delete(CONFIG_MAPS, "a", "default")
        await asyncio.sleep(60)
        assert (await finalizers_of(client, "a"), reconciler.cleaned) == ((CLEANUP,), [])
        reconciler.broken = False
        await asyncio.sleep(200)
        assert reconciler.cleaned == ["a"]
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAPS, "a", "default")


@virtual_time
async def test_nothing_is_done_at_the_deletion_of_an_object_without_the_finalizer():
    """Checklist 130: neither a clean-up nor a write, and the finalizers of others are kept."""
    async with cleaning(deleted=named("a", finalizers=["example.org/other"])) as (client, reconciler):
        await asyncio.sleep(60)
        assert (reconciler.writes, reconciler.cleaned) == (0, [])
        assert await finalizers_of(client, "a") == ("example.org/other",)
