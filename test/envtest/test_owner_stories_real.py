"""The owner stories on the real garbage collector: what the embedded one is measured by."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube.client import Client
from aimctl.runtime.kube.http import HttpTransport
from aimctl.runtime.kube.kubeconfig import from_kubeconfig
from support.adminapi import eventually
from support.owner_cases import STORIES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from support.controlplane import ControlPlane

pytestmark = pytest.mark.envtest

_STAYS_SECONDS = 1.5


@dataclass
class _World:
    client: Client
    namespace: str
    other: str = "default"

    async def becomes(self, check: Callable[[], Awaitable[bool]]) -> None:
        await eventually(check, within=30)

    async def stays(self, check: Callable[[], Awaitable[bool]]) -> None:
        await asyncio.sleep(_STAYS_SECONDS)  # another process's time cannot be moved
        assert await check()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_the_real_garbage_collector_tells_the_story(
    story: Any, plane: ControlPlane, namespace: str
) -> None:
    clock = LoopClock()
    info = await from_kubeconfig(str(plane.kubeconfig), clock=clock)
    async with HttpTransport(info, clock=clock, user_agent="test") as transport:
        await story(_World(Client(transport, clock=clock), namespace))
