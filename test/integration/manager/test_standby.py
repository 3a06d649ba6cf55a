"""A replica that does not lead: its caches are filled, its queues are empty, and its debug pages name the leader."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from prometheus_client import generate_latest

from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import Answer, Delay, Match
from aimctl.kubetypes.builtin import CONFIG_MAPS
from aimctl.runtime import (
    CacheSyncTimeout,
    LeaderElectionOptions,
    LeaderLost,
    Manager,
    ManagerOptions,
    Request,
)
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.managers import samples_of

OBJECTS = 20
QUEUE = '{controller="maps",name="maps"'


class Replica:
    """A manager with one controller, and the requests that it has reconciled."""

    def __init__(self, cluster: DevCluster, identity: str, **options: Any) -> None:
        self.manager = Manager(
            cluster.transport(),
            clock=cluster.clock,
            options=ManagerOptions(leader_election=LeaderElectionOptions("lock", "default")),
            rng=random.Random(identity),
            identity=identity,
        )
        self.stop = asyncio.Event()
        self.reconciled: list[Request] = []
        self.maps = self.manager.cache.declare(CONFIG_MAPS)
        self.manager.controller("maps", self.reconcile, for_=self.maps, **options)

    async def reconcile(self, request: Request) -> None:
        self.reconciled.append(request)

    def metrics(self) -> dict[str, float]:
        return samples_of(generate_latest(self.manager.metrics.registry).decode())

    async def page(self, name: str, query: str = "") -> tuple[str, str | None]:
        """The text of a debug page, and what its header says about leader election."""
        path = f"/debug/{name}" if name else "/debug"
        request = make_mocked_request("GET", path + query, match_info={"name": name})
        answer = await self.manager.endpoints.pages.routes()["/debug/{name}" if name else "/debug"](request)
        body = answer.body
        assert isinstance(body, bytes)
        return body.decode(), answer.headers.get("X-Leader-Election")


async def create_maps(cluster: DevCluster, first: int, last: int) -> None:
    client = cluster.client()
    for number in range(first, last):
        await client.create(CONFIG_MAPS, {"metadata": {"name": f"map-{number}"}}, "default")


@virtual_time
async def test_a_standby_exports_no_backlog_and_names_the_leader() -> None:
    async with DevCluster(clock=virtual_clock(), rng=random.Random(1)) as cluster:
        leader, standby = Replica(cluster, "leader"), Replica(cluster, "standby")
        await create_maps(cluster, 0, OBJECTS // 2)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(leader.manager.run(leader.stop))
            await leader.manager.elected.wait()
            tasks.create_task(standby.manager.run(standby.stop))
            await asyncio.sleep(5)
            await create_maps(cluster, OBJECTS // 2, OBJECTS)
            await asyncio.sleep(600)

            assert len(standby.maps.store) == OBJECTS
            assert (standby.manager.not_ready, standby.manager.controllers["maps"].warm) == ({}, True)
            metrics = standby.metrics()
            assert metrics[f'workqueue_depth{QUEUE},priority="0"}}'] == 0
            assert not any(
                metrics[f"workqueue_{name}{QUEUE}}}"] for name in ("oldest_ready_seconds", "adds_total")
            )
            assert metrics['leader_election_master_status{name="lock"}'] == 0

            says = "standby; the leader is leader"
            for name in ("", "queues", "controllers", "caches", "election", "tasks"):
                text, header = await standby.page(name)
                assert (text.splitlines()[0], header) == (says, says)
                _, header = await leader.page(name)
                assert header is None
            rows, header = await standby.page("controllers", "?format=json")
            assert (json.loads(rows)[0]["ready"], header) == (0, says)

            leader.stop.set()
            await standby.manager.elected.wait()
            await asyncio.sleep(1)
            assert len(set(standby.reconciled)) == OBJECTS
            assert (await standby.page("queues"))[1] is None
            longest = standby.metrics()[f"workqueue_queue_duration_seconds_sum{QUEUE}}}"]
            assert longest < OBJECTS, "the time on standby does not count as waiting"
            standby.stop.set()


@virtual_time
async def test_before_the_first_answer_a_replica_says_that_it_does_not_know_the_leader() -> None:
    async with DevCluster(clock=virtual_clock(), rng=random.Random(1)) as cluster:
        replica = Replica(cluster, "one")
        assert (await replica.page("queues"))[1] == "standby; the leader is not known yet"


@virtual_time
async def test_a_standby_says_when_the_lease_of_the_leader_has_expired() -> None:
    async with DevCluster(clock=virtual_clock(), rng=random.Random(1)) as cluster:
        leader, standby = Replica(cluster, "leader"), Replica(cluster, "standby")
        async with asyncio.TaskGroup() as tasks:
            led = asyncio.ensure_future(leader.manager.run(leader.stop))
            await leader.manager.elected.wait()
            tasks.create_task(standby.manager.run(standby.stop))
            await asyncio.sleep(5)
            row = json.loads((await standby.page("election", "?format=json"))[0])
            assert (row["leader"], row["lease_expired"]) == ("leader", False)
            assert row["renewed_seconds_ago"] < 5
            cluster.faults.add(Answer(500), Match(verb="update", resource="leases"))
            await asyncio.sleep(9)
            assert (await standby.page(""))[1] == "standby; the leader is leader"
            await asyncio.sleep(9)
            text, header = await standby.page("election", "?format=json")
            assert header == "standby; the lease of leader has expired"
            row = json.loads(text)
            assert (row["leader"], row["lease_holder"], row["lease_expired"]) == ("", "leader", True)
            standby.stop.set()
            assert isinstance(led.exception(), LeaderLost)


@virtual_time
async def test_a_cache_that_does_not_sync_in_time_fails_a_replica_before_the_election() -> None:
    """Checklist 124: warm-up errors surface."""
    async with DevCluster(clock=virtual_clock(), rng=random.Random(1)) as cluster:
        replica = Replica(cluster, "one", cache_sync_timeout=20)
        cluster.faults.add(Delay(3600), Match(verb="list", resource="configmaps"))
        with pytest.raises(CacheSyncTimeout, match="'maps': not synced after 20 s: watch of configmaps"):
            await replica.manager.run()
        assert not replica.manager.elected.is_set()
