"""The start order of a manager on the embedded cluster."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import Delay, Match
from aimctl.runtime.kube import Resource
from aimctl.runtime.manager import LeaderElectionOptions, Manager, ManagerOptions
from aimctl.testing.virtualtime import virtual_clock, virtual_time

CONFIG_MAPS = Resource.untyped("", "v1", "ConfigMap", "configmaps")
SECRETS = Resource.untyped("", "v1", "Secret", "secrets")


@virtual_time
async def test_no_runnable_and_no_election_starts_before_all_caches_are_synced() -> None:
    """Checklist 118: caches are synced before other runnables start."""
    clock = virtual_clock()
    async with DevCluster(clock=clock, rng=random.Random(1)) as cluster:
        client = cluster.client()
        for number in range(3):
            await client.create(CONFIG_MAPS, {"metadata": {"name": f"map-{number}", "namespace": "default"}})
        manager = Manager(
            cluster.transport(),
            clock=clock,
            options=ManagerOptions(leader_election=LeaderElectionOptions("lock", "default")),
            rng=random.Random(2),
        )
        maps = manager.cache.declare(CONFIG_MAPS)
        manager.cache.declare(SECRETS)
        cluster.faults.add(Delay(20), Match(verb="list", resource="secrets"))
        began: list[tuple[str, bool, int]] = []

        def beginning(name: str) -> Any:
            async def begin() -> None:
                began.append((name, manager.cache.synced, len(maps.store)))

            return begin

        manager.add(beginning("leader"), name="leader")
        manager.add(beginning("every replica"), name="every replica", needs_leader_election=False)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(manager.run(stop))
            await asyncio.sleep(19)
            assert (began, manager.elected.is_set()) == ([], False)
            assert len(maps.store) == 3
            await asyncio.sleep(2)
            assert sorted(began) == [("every replica", True, 3), ("leader", True, 3)]
            stop.set()
