"""The cache on the embedded cluster with concurrent writers and random faults, in virtual time.

Invariants: reads reflect own writes, a deleted object is never restored, handlers receive a consistent sequence of
events, and after the faults the cache equals the server.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import Action, Answer, CutStream, Delay, Gone410, Match, Refuse, Silence
from aimctl.kubetypes import Object, ObjectKey, Resource, is_newer
from aimctl.kubetypes.builtin import CONFIG_MAPS, CRDS
from aimctl.runtime.cache import Cache, ReflectorOptions
from aimctl.runtime.kube.errors import Conflict, KubeError, NotFound
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.cache_recorders import RecordingReflectorMetrics
from support.proofs import seeds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.runtime.kube import Client

LISTS = Match(verb="list", resource="configmaps")
WATCHES = Match(verb="watch", resource="configmaps")
FAULTS: list[tuple[Action, Match]] = [
    (CutStream(after_lines=2), WATCHES),
    (CutStream(after_lines=1, mid_line=False), WATCHES),
    (CutStream(after_lines=3, clean=True), WATCHES),
    (Silence(after_lines=1), WATCHES),
    (Gone410("event"), WATCHES),
    (Gone410("status"), WATCHES),
    (Gone410("body"), WATCHES),
    (Answer(429, retry_after=3), WATCHES),
    (Answer(500), WATCHES),
    (Answer(503, retry_after=2), LISTS),
    (Answer(410), LISTS),
    (Refuse(), WATCHES),
    (Refuse(), LISTS),
    (Delay(7), LISTS),
    (Delay(3), WATCHES),
]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.configure(**before)


class Mirror:
    """The objects known from events only; fails on an inconsistent event."""

    def __init__(self) -> None:
        self.held: dict[ObjectKey, Object[Any]] = {}
        self.gone: set[str] = set()

    def on_add(self, obj: Object[Any], *, initial: bool) -> None:
        assert obj.key not in self.held
        assert obj.meta.uid not in self.gone
        self.held[obj.key] = obj

    def on_update(self, old: Object[Any], new: Object[Any]) -> None:
        assert self.held[new.key] is old
        assert old.meta.uid == new.meta.uid
        assert is_newer(new.meta.resource_version, old.meta.resource_version)
        self.held[new.key] = new

    def on_delete(self, obj: Object[Any], *, confirmed: bool) -> None:
        assert self.held.pop(obj.key).meta.uid == obj.meta.uid
        self.gone.add(obj.meta.uid)


def body(name: str, value: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": {"value": str(value)},
    }


def content(obj: Object[Any]) -> tuple[str, str, dict[str, str]]:
    """The content to compare; the items of a list have no kind, so the bytes may differ."""
    return obj.meta.uid, obj.meta.resource_version, dict(obj.view.data or {})


async def write_with_hooks(client: Client, cache: Cache, rng: random.Random, rounds: int, mine: str) -> None:
    """Write through a client with hooks; each write is read back from the cache at once."""
    for value in range(rounds):
        await asyncio.sleep(rng.random() * 4)
        name = f"{mine}-{rng.randrange(4)}"
        try:
            if rng.random() < 0.3:
                await client.delete(CONFIG_MAPS, name, "default")
                assert cache.get(CONFIG_MAPS, name, "default") is None
            else:
                written = await client.apply(CONFIG_MAPS, body(name, value))
                read = cache.get(CONFIG_MAPS, name, "default")
                assert read is not None
                assert not is_newer(written.meta.resource_version, read.meta.resource_version)
                assert (read.view.data or {}).get("value") == str(value)
        except (NotFound, Conflict):
            continue  # the other writer was first


async def write_without_hooks(client: Client, rng: random.Random, rounds: int) -> None:
    """Write without hooks, so that the cache is updated only by the watch."""
    for value in range(rounds):
        await asyncio.sleep(rng.random() * 4)
        name = f"theirs-{rng.randrange(4)}"
        try:
            if rng.random() < 0.4:
                await client.delete(CONFIG_MAPS, name, "default")
            else:
                await client.apply(CONFIG_MAPS, body(name, value))
        except (NotFound, Conflict):
            continue  # the other writer was first


async def storm(cluster: DevCluster, rng: random.Random, seconds: float) -> None:
    """Add random faults; sometimes remove the history."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        action, match = rng.choice(FAULTS)
        cluster.faults.add(action, match, times=rng.randrange(1, 4))
        await asyncio.sleep(rng.random() * 15)
        if rng.random() < 0.5:
            cluster.server.storage.compact()
        if rng.random() < 0.5:
            cluster.server.storage.end_streams()
    cluster.faults.clear()


@pytest.mark.proof
@pytest.mark.parametrize("seed", seeds(20))
def test_reads_see_own_writes_and_the_cache_equals_the_server_after_any_fault(seed: int) -> None:
    @virtual_time
    async def check() -> None:
        rng = random.Random(seed)
        async with DevCluster(clock=virtual_clock()) as cluster:
            plain = cluster.client()
            metrics = RecordingReflectorMetrics()
            cache = Cache(
                plain,
                clock=virtual_clock(),
                rng=random.Random(seed + 100),
                options=ReflectorOptions(
                    idle_seconds=10
                ),  # so that idle connections do not dominate the test
                metrics=lambda _: metrics,
            )
            informer = cache.declare(
                CONFIG_MAPS, indexes={"value": lambda obj: [(obj.view.data or {}).get("value", "")]}
            )
            mirror = Mirror()
            informer.add_handler(mirror)
            own = plain.with_(on_write=cache.observe_write, on_delete=cache.observe_delete)
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(cache.run())
                await cache.wait_synced(60)
                async with asyncio.TaskGroup() as faults:
                    faults.create_task(storm(cluster, rng, 1200))
                    for mine in ("x", "y"):
                        faults.create_task(write_with_hooks(own, cache, rng, 600, mine))
                    faults.create_task(write_without_hooks(plain, rng, 600))
                await asyncio.sleep(700)  # every silent stream has been detected by then
                served = {item.key: content(item) async for item in plain.list_all(CONFIG_MAPS)}
                assert {obj.key: content(obj) for obj in cache.list(CONFIG_MAPS)} == served
                assert {key: content(obj) for key, obj in mirror.held.items()} == served
                for obj in cache.list(CONFIG_MAPS):
                    assert obj in cache.by_index(CONFIG_MAPS, "value", (obj.view.data or {}).get("value", ""))
                assert informer.health.ready
                assert (metrics.stale, metrics.handler_errors) == (0, 0)
                assert metrics.relists >= 1
                assert len(metrics.ends) >= 3
                running.cancel()

    check()


@virtual_time
async def test_an_error_whose_body_never_arrives_does_not_stop_an_informer() -> None:
    async with DevCluster(clock=virtual_clock(), controllers=False) as cluster:
        for action in (Answer(503), CutStream(after_lines=9), Silence()):
            cluster.faults.add(action, LISTS, times=1)
        client = cluster.client()
        await client.create(CONFIG_MAPS, body("a", 1), "default")
        cache = Cache(client, clock=virtual_clock(), rng=random.Random(1))
        cache.declare(CONFIG_MAPS)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(cache.run())
            await cache.wait_synced(60)
            assert [obj.meta.name for obj in cache.list(CONFIG_MAPS)] == ["a"]
            running.cancel()


@virtual_time
async def test_an_optional_kind_follows_the_creation_and_deletion_of_its_crd() -> None:
    resource = Resource.untyped("test.example", "v1", "Widget", "widgets")
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.test.example"},
        "spec": {
            "group": "test.example",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                    },
                }
            ],
        },
    }
    widget = {
        "apiVersion": "test.example/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "namespace": "default"},
    }
    async with DevCluster(clock=virtual_clock()) as cluster:
        client = cluster.client()
        cache = Cache(client, clock=virtual_clock(), rng=random.Random(1))
        informer = cache.declare(resource, optional=True)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(cache.run())
            await cache.wait_synced(5)
            assert informer.health.missing
            for _ in range(2):
                await client.create(CRDS, crd)
                await asyncio.sleep(90)
                await client.create(resource, widget)
                await asyncio.sleep(1)
                assert [obj.meta.name for obj in cache.list(resource)] == ["w"]
                assert informer.health.ready
                await client.delete(CRDS, "widgets.test.example")
                await asyncio.sleep(120)
                assert cache.list(resource) == []
                assert informer.health.missing
            running.cancel()


@virtual_time
async def test_namespaces_of_one_kind_are_watched_separately() -> None:
    async with DevCluster(clock=virtual_clock()) as cluster:
        client = cluster.client()
        cache = Cache(client, clock=virtual_clock(), rng=random.Random(1))
        cache.declare(CONFIG_MAPS, namespaces=["default", "kube-public"], projection="metadata")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(cache.run())
            await cache.wait_synced(5)
            for namespace in ("default", "kube-public", "kube-system"):
                made = body("seen", 1)
                made["metadata"]["namespace"] = namespace
                await client.create(CONFIG_MAPS, made)
            await asyncio.sleep(1)
            seen = [obj for obj in cache.list(CONFIG_MAPS) if obj.meta.name == "seen"]
            assert sorted(obj.meta.namespace for obj in seen) == ["default", "kube-public"]
            assert all(b"value" not in obj.raw for obj in seen)
            running.cancel()


def test_an_unreachable_api_server_does_not_end_the_cache() -> None:
    """The cache survives an outage of one hour."""

    @virtual_time
    async def check() -> None:
        async with DevCluster(clock=virtual_clock()) as cluster:
            client = cluster.client()
            cache = Cache(client, clock=virtual_clock(), rng=random.Random(1))
            cache.declare(CONFIG_MAPS)
            with cluster.faults.active(Refuse(), Match()):
                async with asyncio.TaskGroup() as tasks:
                    running = tasks.create_task(cache.run())
                    await asyncio.sleep(3600)
                    assert "not been listed yet" in cache.unsynced()[0]
                    cluster.faults.clear()
                    await cache.wait_synced(61)
                    running.cancel()
            with pytest.raises(KubeError), cluster.faults.active(Refuse(), Match()):
                await client.list(CONFIG_MAPS)

    check()
