"""A server that answers one kind with anything: other kinds keep working, and the kind recovers when it ends."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from aimctl.devcluster import DevCluster
from aimctl.kubetypes import ObjectKey
from aimctl.kubetypes.builtin import CONFIG_MAPS, SECRETS
from aimctl.runtime.cache import Cache
from aimctl.runtime.kube import Client
from aimctl.testing import run_virtual, virtual_clock
from support.adversary import Answer, bodies, headers, statuses
from support.proofs import variants

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aimctl.runtime.kube.transport import HttpRequest, HttpResponse, Transport

VERSIONS = {"1.33": b'{"major": "1", "minor": "33"}', "1.36": b'{"major": "1", "minor": "36"}'}


class Front:
    """Answers requests for Secrets with the given responses, until they are used up. It claims a version."""

    def __init__(self, inner: Transport, version: bytes, answers: list[Answer]) -> None:
        self._inner, self._version, self._answers = inner, version, answers

    @asynccontextmanager
    async def send(self, request: HttpRequest, **options: Any) -> AsyncIterator[HttpResponse]:
        if request.path == "/version":
            yield Answer(200, {}, self._version)
        elif request.path.endswith("/secrets") and self._answers:
            yield self._answers.pop(0)
        else:
            async with self._inner.send(request, **options) as response:
                yield response

    async def aclose(self) -> None: ...


_LONGEST_PAUSES = 6 * 300 + 100
"""Seconds: each of six responses may ask for a pause, of which 300 s are believed."""


def made(version: str, spoiled: list[tuple[int, dict[str, str], bytes]]) -> None:
    async def scenario() -> None:
        async with DevCluster(clock=virtual_clock(), crds=[], controllers=False) as cluster:
            server = cluster.client()
            for kind in (CONFIG_MAPS, SECRETS):
                await server.create(kind, {"metadata": {"name": "first"}}, "default")
            front = Front(cluster.transport(), VERSIONS[version], [Answer(*facts) for facts in spoiled])
            cache = Cache(Client(front, clock=cluster.clock), clock=cluster.clock, rng=random.Random(1))
            cache.declare(CONFIG_MAPS)
            cache.declare(SECRETS)
            task = asyncio.create_task(cache.run())
            await asyncio.sleep(1)
            await server.create(CONFIG_MAPS, {"metadata": {"name": "second"}}, "default")
            await asyncio.sleep(1)
            assert {obj.meta.name for obj in cache.list(CONFIG_MAPS)} == {"first", "second"}
            await asyncio.sleep(_LONGEST_PAUSES)
            await server.create(SECRETS, {"metadata": {"name": "second"}}, "default")
            await asyncio.sleep(100)
            assert not task.done()
            fresh = {obj.key: obj.meta.resource_version async for obj in server.list_all(SECRETS)}
            cached = {obj.key: obj.meta.resource_version for obj in cache.list(SECRETS)}
            # What looks like a list or an event of the kind is believed; later events are followed nevertheless.
            believed = any(
                status < 300 and (b"items" in body or b"type" in body) for status, _, body in spoiled
            )
            key = ObjectKey("default", "second")
            assert cached[key] == fresh[key]
            assert believed or cached == fresh
            assert cache.informer(SECRETS).health.ready
            task.cancel()
            await asyncio.wait([task])

    with capture_logs():
        run_virtual(scenario())


@pytest.mark.proof
@pytest.mark.parametrize("version", variants(["1.36", "1.33"]))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(spoiled=st.lists(st.tuples(statuses, headers, bodies), min_size=1, max_size=6))
def test_other_kinds_work_and_the_kind_recovers(version, spoiled) -> None:
    made(version, spoiled)
