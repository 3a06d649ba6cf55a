"""A Resource whose kind or scope is not that of the server is never a cache that looks healthy."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from structlog.testing import capture_logs

from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import Answer, Match, Silence
from aimctl.runtime import CONFIG_MAPS, NODES, Cache, InformerHealth, ReflectorOptions, Resource
from aimctl.testing import run_virtual, virtual_clock

MISSPELT = Resource.untyped("", "v1", "Configmap", "configmaps")
OTHER = Resource.untyped("", "v1", "Secret", "configmaps")
CLUSTERED = Resource.untyped("", "v1", "ConfigMap", "configmaps", namespaced=False)
NAMESPACED = Resource.untyped("", "v1", "Node", "nodes")
NO_DISCOVERY = (Answer(403), Silence())


def health(
    resource: Resource[Any], *, stream: bool = True, empty: bool = False, fault: Any = None, **declared: Any
) -> InformerHealth:
    """The health of an informer after objects existed, or one was created, and time passed."""

    async def scenario() -> InformerHealth:
        async with DevCluster(clock=virtual_clock(), crds=[], controllers=False) as cluster:
            client, clock = cluster.client(), cluster.clock

            async def create() -> None:
                await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "default")
                await client.create(NODES, {"metadata": {"name": "a"}})

            if not empty:
                await create()
            if fault is not None:
                cluster.faults.add(fault, Match(path="/api/v1"))
            options = ReflectorOptions(stream_lists=stream)
            cache = Cache(client, clock=clock, rng=random.Random(1), options=options)
            informer = cache.declare(resource, **declared)
            task = asyncio.create_task(cache.run())
            await asyncio.sleep(10)
            if empty:
                await create()
                await asyncio.sleep(400)  # a list that fails later makes it stale after five minutes
            found = informer.health
            task.cancel()
            await asyncio.wait([task])
            return found

    with capture_logs():
        return run_virtual(scenario())


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "pages"])
@pytest.mark.parametrize("empty", [True, False], ids=["empty", "objects"])
@pytest.mark.parametrize("projection", ["full", "metadata"])
@pytest.mark.parametrize(
    ("resource", "remedy"),
    [
        (MISSPELT, "correct kind='Configmap'"),
        (OTHER, "correct kind='Secret'"),
        (CLUSTERED, "namespaced=False"),
        (NAMESPACED, "namespaced=True"),
    ],
    ids=["misspelt kind", "other kind", "not cluster-scoped", "not namespaced"],
)
def test_a_wrong_kind_or_scope_is_reported_with_the_remedy(
    resource: Resource[Any], remedy: str, projection: str, *, empty: bool, stream: bool
) -> None:
    found = health(resource, stream=stream, empty=empty, projection=projection)
    assert not found.ready
    assert remedy in found.problem


@pytest.mark.parametrize("fault", NO_DISCOVERY, ids=["forbidden", "no response"])
def test_a_cache_of_metadata_works_without_discovery(fault: Any) -> None:
    found = health(CONFIG_MAPS, projection="metadata", fault=fault)
    assert (found.synced, found.ready, found.problem) == (True, True, "")
