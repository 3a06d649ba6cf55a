"""The owner cases against the real garbage collector, whose behaviour the embedded one has to match."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube.client import Client
from aimctl.runtime.kube.credentials.kubeconfig import from_kubeconfig
from aimctl.runtime.kube.http import HttpTransport
from support.adminapi import eventually
from support.owner_cases import OWNER_CASES

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


@pytest.mark.parametrize("case", OWNER_CASES, ids=lambda case: case.__name__)
async def test_owner_case_on_the_real_garbage_collector(
    case: Any, plane: ControlPlane, namespace: str
) -> None:
    clock = LoopClock()
    info = await from_kubeconfig(str(plane.kubeconfig), clock=clock)
    async with HttpTransport(info, clock=clock, user_agent="test") as transport:
        await case(_World(Client(transport, clock=clock), namespace))
