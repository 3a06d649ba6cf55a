"""Controllers that start with the first object of their kind."""

from __future__ import annotations

import asyncio

from aimctl.devcluster import DevCluster
from aimctl.devcluster.machinery.lazy import LazyControllers
from aimctl.runtime import DEPLOYMENTS
from aimctl.testing.virtualtime import virtual_clock, virtual_time

DEPLOYMENT = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web:1"}]},
        },
    },
}


def test_each_controller_starts_once_and_none_after_the_end() -> None:
    started = []
    lazy = LazyControllers({("apps", "a"): lambda: "A", ("apps", "b"): lambda: "B"}, start=started.append)
    lazy.found(("apps", "a"))
    lazy.found(("apps", "a"))
    lazy.found(("", "pods"))
    assert started == lazy.running == ["A"]
    lazy.close()
    lazy.found(("apps", "b"))
    assert started == lazy.running == ["A"]


@virtual_time
async def test_a_cluster_stops_while_a_controller_would_start() -> None:
    loop = asyncio.get_running_loop()
    async with DevCluster(clock=virtual_clock(), crds=[]) as cluster:
        await cluster.client().create(DEPLOYMENTS, DEPLOYMENT, "default")
        left = loop.time()
    assert loop.time() - left < 1
