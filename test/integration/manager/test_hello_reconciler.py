"""The example of the documentation on the embedded cluster."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager

import pytest

from aimctl.devcluster import DevCluster
from aimctl.kubetypes.builtin import CONFIG_MAPS, EVENTS, LEASES
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube.errors import ConnectionFailed, NotFound, WriteRefused
from aimctl.runtime.manager import LeaderElectionOptions, LeaderLost, Manager, ManagerOptions
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.examples import EXAMPLES, example

hello = example("hello_reconciler")


class Way:
    """A transport that can be disconnected, and counts requests."""

    def __init__(self, transport) -> None:
        self.transport = transport
        self.cut = False
        self.writes: list[str] = []

    @asynccontextmanager
    async def send(self, request, *, stream=False, timeout_seconds=None):
        if self.cut:
            raise ConnectionFailed("cut", refused=True)
        if request.method != "GET" and "/leases" not in request.path:
            self.writes.append(f"{request.method} {request.path}")
        async with self.transport.send(request, stream=stream, timeout_seconds=timeout_seconds) as answer:
            yield answer

    async def aclose(self) -> None:
        self.cut = True


class Replica:
    def __init__(self, cluster, identity: str) -> None:
        self.way = Way(cluster.transport())
        self.manager = Manager(
            self.way,
            clock=virtual_clock(),
            options=ManagerOptions(leader_election=LeaderElectionOptions("hello", "default"), name="hello"),
            identity=identity,
        )
        hello.add_hello(self.manager)
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self.manager.run(self.stop))

    async def end(self) -> None:
        self.stop.set()
        await self.task


def cluster_now() -> DevCluster:
    return DevCluster(clock=virtual_clock())


async def want(client, name: str, greeted: str = "World"):
    body = {"metadata": {"name": name, "labels": {"hello": "wanted"}}, "data": {"name": greeted}}
    return await client.create(CONFIG_MAPS, body, "default")


async def greeting(client, name: str) -> str:
    return (await client.get(CONFIG_MAPS, f"{name}-hello", "default")).view.data["greeting"]


@virtual_time
async def test_a_greeting_is_created_restored_updated_and_deleted_with_its_source():
    async with cluster_now() as cluster:
        client = cluster.client()
        replica = Replica(cluster, "one")
        await want(client, "a")
        await asyncio.sleep(1)
        assert await greeting(client, "a") == "Hello, World!"

        await client.delete(CONFIG_MAPS, "a-hello", "default")
        await asyncio.sleep(1)
        assert await greeting(client, "a") == "Hello, World!"

        await client.patch(CONFIG_MAPS, "a", {"data": {"name": "Moon"}}, "default")
        await client.patch(CONFIG_MAPS, "a-hello", {"data": {"greeting": "Bah"}}, "default")
        await asyncio.sleep(1)
        assert await greeting(client, "a") == "Hello, Moon!"

        await client.delete(CONFIG_MAPS, "a", "default")
        await asyncio.sleep(5)
        with pytest.raises(NotFound):
            await greeting(client, "a")
        await replica.end()


@pytest.mark.proof
@virtual_time
async def test_a_settled_cluster_causes_no_writes_and_a_restart_causes_none_either():
    async with cluster_now() as cluster:
        client = cluster.client()
        for number in range(20):
            await want(client, f"n{number}")
        first = Replica(cluster, "one")
        await asyncio.sleep(30)
        assert len(first.way.writes) == 20
        await asyncio.sleep(3600)
        assert len(first.way.writes) == 20
        await first.end()
        second = Replica(cluster, "two")
        await asyncio.sleep(3600)
        assert second.manager.elected.is_set()
        assert second.way.writes == []
        await second.end()


@virtual_time
async def test_a_leader_without_connection_loses_its_lease_and_the_standby_takes_over():
    async with cluster_now() as cluster:
        client = cluster.client()
        one = Replica(cluster, "one")
        await one.manager.elected.wait()
        two = Replica(cluster, "two")
        await asyncio.sleep(20)
        one.way.cut = True
        await want(client, "a")
        with pytest.raises(LeaderLost):
            await one.task
        with pytest.raises(WriteRefused):
            await one.manager.client.create(CONFIG_MAPS, {"metadata": {"name": "x"}}, "default")
        assert two.way.writes == []
        await asyncio.sleep(10)
        assert two.manager.elected.is_set()
        assert await greeting(client, "a") == "Hello, World!"
        lease = await client.get(LEASES, "hello", "default")
        assert (lease.view.spec.holder_identity, lease.view.spec.lease_transitions) == ("two", 1)
        await two.end()


@virtual_time
async def test_writes_and_deletes_are_in_the_cache_when_the_call_returns():
    async with cluster_now() as cluster:
        replica = Replica(cluster, "one")
        await replica.manager.elected.wait()
        client, cache = replica.manager.client, replica.manager.cache
        made = await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}, "data": {"x": "1"}}, "default")
        assert cache.get(CONFIG_MAPS, "a", "default").meta.resource_version == made.meta.resource_version
        await client.patch(CONFIG_MAPS, "a", {"data": {"x": "2"}}, "default")
        assert cache.get(CONFIG_MAPS, "a", "default").view.data == {"x": "2"}
        await client.delete(CONFIG_MAPS, "a", "default")
        assert cache.get(CONFIG_MAPS, "a", "default") is None
        await replica.end()


@virtual_time
async def test_events_reach_the_server_as_one_object_with_a_count():
    async with cluster_now() as cluster:
        client = cluster.client()
        replica = Replica(cluster, "one")
        source = await want(client, "a")
        await replica.manager.elected.wait()
        for _ in range(10):
            replica.manager.events.event(source, "Normal", "Greeted", "said hello")
            await asyncio.sleep(1)
        await replica.end()
        page = await client.list(EVENTS, "default")
        (event,) = [item.view for item in page.items if item.view.reason == "Greeted"]
        assert event.series.count == 10
        assert event.note == "said hello"


async def test_the_script_runs_as_a_program_and_stops_on_a_signal(tmp_path):
    async with DevCluster(clock=LoopClock(), controllers=False) as cluster:
        await cluster.serve()
        kubeconfig = cluster.write_kubeconfig(tmp_path / "config")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(EXAMPLES / "hello_reconciler.py"),
            env={
                **os.environ,
                "KUBECONFIG": str(kubeconfig),
                "HELLO_METRICS_BIND_ADDRESS": "0",
                "HELLO_HEALTH_PROBE_BIND_ADDRESS": "127.0.0.1:0",
            },
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            client = cluster.client()
            await want(client, "a")
            async with asyncio.timeout(30):
                while True:
                    try:
                        assert await greeting(client, "a") == "Hello, World!"
                    except NotFound:
                        await asyncio.sleep(0.1)
                    else:
                        break
                process.send_signal(signal.SIGTERM)
                _, log = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, log.decode()
        records = [json.loads(line) for line in log.decode().splitlines()]
        assert "stopped" in [record["event"] for record in records]
        lease = await cluster.client().get(LEASES, "hello", "default")
        assert not lease.view.spec.holder_identity


@virtual_time
async def test_a_source_without_data_is_greeted_by_its_name():
    async with cluster_now() as cluster:
        client = cluster.client()
        replica = Replica(cluster, "one")
        body = {"metadata": {"name": "a", "labels": {"hello": "wanted"}}}
        await client.create(CONFIG_MAPS, body, "default")
        await asyncio.sleep(1)
        assert await greeting(client, "a") == "Hello, a!"
        await replica.end()
