"""The commands of kubectl that wait for controllers: ``rollout``, ``scale``, ``wait`` and ``create job --from``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from aimctl.devcluster import DevCluster
from aimctl.runtime.clock import LoopClock
from support.kubectl import Kubectl
from support.workload_cases import RunningImages

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.proof


async def test_kubectl_follows_rolls_back_and_scales_workloads(tmp_path: Path) -> None:
    async with DevCluster(clock=LoopClock(), programs=[RunningImages()], pace=0) as cluster:
        await cluster.serve()
        run = Kubectl(cluster.write_kubeconfig(tmp_path / "kubeconfig"), tmp_path / "cache")

        async def kubectl(*args: str) -> str:
            return await asyncio.to_thread(run, *args)

        await kubectl("create", "deployment", "web", "--image=app:1", "--replicas=2")
        done = 'deployment "web" successfully rolled out'
        assert done in await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        await kubectl("set", "image", "deployment/web", "app=app:2")
        assert done in await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        history = await kubectl("rollout", "history", "deployment/web")
        assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
        await kubectl("rollout", "undo", "deployment/web")
        assert done in await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        image = "jsonpath={.items[*].spec.containers[0].image}"
        assert await kubectl("get", "pods", "--selector=app=web", "-o", image) == "app:1 app:1"
        await kubectl("scale", "deployment/web", "--replicas=3")
        await kubectl("wait", "deployment/web", "--for=jsonpath={.status.readyReplicas}=3", "--timeout=30s")
        columns = (await kubectl("get", "deployment", "web", "--no-headers")).split()
        assert columns[:4] == ["web", "3/3", "3", "3"]
        await kubectl("create", "cronjob", "tick", "--image=done:1", "--schedule=0 0 1 1 *")
        await kubectl("create", "job", "now", "--from=cronjob/tick")
        await kubectl("wait", "job/now", "--for=condition=Complete", "--timeout=30s")
        await kubectl("delete", "deployment", "web", "--cascade=foreground")
        assert await kubectl("get", "replicasets,pods", "--selector=app=web") == ""
