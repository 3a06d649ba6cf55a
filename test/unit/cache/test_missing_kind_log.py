"""A kind that is not served is told of once, not at every look."""

from __future__ import annotations

import asyncio
import random

import pytest
from structlog.testing import capture_logs

from aimctl.devcluster import DevCluster
from aimctl.kubetypes import Resource
from aimctl.runtime.cache import Cache
from aimctl.testing.virtualtime import virtual_clock, virtual_time

ABSENT = Resource.untyped("example.org", "v1", "Absent", "absents", namespaced=True)


@pytest.mark.parametrize(("optional", "first"), [(True, "info"), (False, "warning")])
@virtual_time
async def test_a_kind_that_stays_absent_is_told_once_and_then_looked_for_in_silence(optional, first):
    clock = virtual_clock()
    async with DevCluster(clock=clock, controllers=False) as cluster:
        with capture_logs() as logs:
            cache = Cache(cluster.client(), clock=clock, rng=random.Random(1))
            cache.declare(ABSENT, optional=optional)
            running = asyncio.create_task(cache.run())
            await asyncio.sleep(300)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    levels = [entry["log_level"] for entry in logs if "not served" in entry["event"]]
    assert len(levels) > 5, "it is looked for again and again"
    assert levels == [first] + ["debug"] * (len(levels) - 1)
