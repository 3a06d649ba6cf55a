"""Time limits of writes on a real API server: it takes the option, and keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aimctl.kubetypes.builtin import CONFIG_MAPS
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import Client, ServerError
from aimctl.runtime.kube.credentials.kubeconfig import from_kubeconfig
from aimctl.runtime.kube.http import HttpTransport

if TYPE_CHECKING:
    from support.controlplane import ControlPlane

pytestmark = [pytest.mark.envtest, pytest.mark.asyncio(loop_scope="module")]


async def test_the_server_takes_a_time_limit_on_a_creation_and_keeps_it(plane: ControlPlane) -> None:
    clock = LoopClock()
    info = await from_kubeconfig(str(plane.kubeconfig), clock=clock)
    async with HttpTransport(info, clock=clock) as transport:
        client = Client(transport, clock=clock)
        await client.create(CONFIG_MAPS, {"metadata": {"name": "in-time"}}, "default", timeout_seconds=4)
        assert (await client.get(CONFIG_MAPS, "in-time", "default")).meta.name == "in-time"
        # A limit too short for any server: we wait, so that it is the server which ends it.
        path = "/api/v1/namespaces/default/configmaps"
        with pytest.raises(ServerError) as caught:
            await client.raw(
                "POST", path, query=(("timeout", "1ns"),), body=b'{"metadata":{"name":"too-late"}}'
            )
        assert caught.value.status == 504
        names = {item.meta.name async for item in client.list_all(CONFIG_MAPS, "default")}
        assert "in-time" in names
        assert "too-late" not in names
