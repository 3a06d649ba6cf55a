"""Streaming lists of a real API server: one request lists and watches, also from a known version and for metadata."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from aimctl.kubetypes.builtin import CONFIG_MAPS
from aimctl.runtime.cache import Cache
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import Client
from aimctl.runtime.kube.credentials.kubeconfig import from_kubeconfig
from aimctl.runtime.kube.http import HttpTransport
from aimctl.runtime.kube.watch import INITIAL_EVENTS_END
from support.adminapi import eventually
from support.cache_recorders import RecordingHandler

if TYPE_CHECKING:
    from support.controlplane import ControlPlane

pytestmark = [pytest.mark.envtest, pytest.mark.asyncio(loop_scope="module")]


class Requests:
    def __init__(self) -> None:
        self.methods: list[str] = []

    def request_finished(self, **labels) -> None:
        self.methods.append(labels["method"])


async def test_a_cache_is_filled_and_followed_by_one_stream(plane: ControlPlane) -> None:
    if plane.version < (1, 34, 0):
        pytest.skip("the server has no streaming lists by default before 1.34")
    clock, seen = LoopClock(), Requests()
    info = await from_kubeconfig(str(plane.kubeconfig), clock=clock)
    async with (
        HttpTransport(info, clock=clock) as other,
        HttpTransport(info, clock=clock, observer=seen) as wire,
    ):
        client = Client(other, clock=clock)
        for number in range(700):
            await client.create(CONFIG_MAPS, {"metadata": {"name": f"s{number}"}}, "default")
        cache = Cache(Client(wire, clock=clock), clock=clock, rng=random.Random(1))
        handler = RecordingHandler()
        full = cache.declare(CONFIG_MAPS, namespaces=["default"])
        full.add_handler(handler)
        task = asyncio.create_task(cache.run())
        try:
            await cache.wait_synced(30)
            fresh = {obj.key: obj.raw async for obj in client.list_all(CONFIG_MAPS, "default")}
            assert {obj.key for obj in full.store} == fresh.keys()
            assert len(handler.events) == len(fresh) >= 700
            await client.delete(CONFIG_MAPS, "s0", "default")
            await client.create(CONFIG_MAPS, {"metadata": {"name": "later"}}, "default")

            async def followed() -> bool:
                names = {obj.meta.name for obj in full.store}
                return "later" in names and "s0" not in names

            await eventually(followed)
            assert seen.methods == ["GET", "GET"]  # the version, and the stream
        finally:
            task.cancel()
            await asyncio.wait([task])


@pytest.mark.parametrize("version", ["", "0", "1", "known"])
@pytest.mark.parametrize("metadata_only", [False, True])
async def test_the_initial_events_end_for_every_start(
    plane: ControlPlane, version: str, metadata_only: bool
) -> None:
    if plane.version < (1, 34, 0):
        pytest.skip("the server has no streaming lists by default before 1.34")
    clock = LoopClock()
    info = await from_kubeconfig(str(plane.kubeconfig), clock=clock)
    async with HttpTransport(info, clock=clock) as wire:
        client = Client(wire, clock=clock)
        if version == "known":
            version = (await client.list(CONFIG_MAPS, "default", limit=1)).resource_version
        fresh = {obj.key async for obj in client.list_all(CONFIG_MAPS, "default")}
        found = set()
        async with client.watch(
            CONFIG_MAPS,
            "default",
            resource_version=version,
            timeout_seconds=60,
            idle_seconds=30,
            initial_idle_seconds=30,
            metadata_only=metadata_only,
        ) as events:
            async for event in events:
                if event.type == "BOOKMARK":
                    assert event.object.meta.annotations[INITIAL_EVENTS_END] == "true"
                    break
                found.add(event.object.key)
        assert found == fresh
