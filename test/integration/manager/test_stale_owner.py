"""A cache that lags behind, while another one is current: the loop of creation and garbage collection ends."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import Answer, Delay, Match, Silence
from aimctl.runtime import CONFIG_MAPS, SECRETS, Manager, Request, owner_reference
from aimctl.testing import virtual_clock, virtual_time


async def creations(
    *, projection: str = "full", read_fails: bool = False, created_again: bool = False
) -> int:
    """How often the child of an owner is created whose deletion the watch of the owners does not deliver."""
    async with DevCluster(clock=virtual_clock(), crds=[]) as cluster:
        client = cluster.client()
        manager = Manager(cluster.transport(), clock=cluster.clock)
        made = 0

        async def reconcile(request: Request) -> None:
            nonlocal made
            owner = manager.cache.get(CONFIG_MAPS, request.name, request.namespace)
            if owner is None or manager.cache.get(SECRETS, request.name, request.namespace) is not None:
                return
            made += 1
            metadata = {"name": request.name, "ownerReferences": [owner_reference(owner)]}
            await manager.client.create(SECRETS, {"metadata": metadata}, request.namespace)

        owners = manager.cache.declare(CONFIG_MAPS, projection=projection)
        manager.controller("children", reconcile, for_=owners, owns=[SECRETS])
        cluster.faults.add(Silence(), Match(verb="watch", resource="configmaps"))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(manager.run())
            await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "default")
            await manager.elected.wait()
            await asyncio.sleep(1)
            assert made == 1
            await client.delete(CONFIG_MAPS, "a", "default")
            if created_again:
                await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "default")
            if read_fails:
                cluster.faults.add(Answer(500), Match(verb="get", resource="configmaps"))
                cluster.faults.add(Delay(0.1), Match(verb="create", resource="secrets"))
            await client.delete(SECRETS, "a", "default")
            await asyncio.sleep(20)
            running.cancel()
        return made


@virtual_time
@pytest.mark.parametrize("projection", ["full", "metadata"])
async def test_an_owner_that_was_deleted_is_removed_from_the_cache(projection: str) -> None:
    with capture_logs() as logs:
        assert 1 < await creations(projection=projection) < 60
    assert "the cache has an object that was deleted" in [log["event"] for log in logs]


@virtual_time
async def test_an_owner_that_was_created_again_gets_a_child_that_lasts() -> None:
    with capture_logs():
        assert 1 < await creations(created_again=True) < 60


@virtual_time
async def test_a_read_that_fails_leaves_the_loop_to_the_watch() -> None:
    with capture_logs() as logs:
        assert await creations(read_fails=True) > 60
    assert "the object of a hot loop cannot be read" in [log["event"] for log in logs]
