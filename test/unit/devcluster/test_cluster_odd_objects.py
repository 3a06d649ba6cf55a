"""Nodes and pods that are unusual or malformed do not affect the other ones, nor the start with a data file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aimctl.devcluster import DevCluster
from aimctl.runtime import NODES, PODS, Invalid
from aimctl.testing import virtual_clock
from aimctl.testing.virtualtime import run_virtual

if TYPE_CHECKING:
    from pathlib import Path

CONTAINERS = [{"name": "main", "image": "app:1"}]
READY = {"status": {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "4"}}}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"restartPolicy": "Never", "containers": CONTAINERS, **spec}}


async def phase(cluster: DevCluster, name: str) -> str:
    client = cluster.client()
    await client.create(PODS, pod(name), "default")
    await cluster.settled(horizon_seconds=60)
    return str((await client.get(PODS, name, "default")).view.status.phase)


def test_a_node_without_spec_does_not_prevent_scheduling_or_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        for name in ("first", "second"):
            async with DevCluster(clock=virtual_clock(), data_file=tmp_path / "data.db") as cluster:
                client = cluster.client()
                if name == "first":
                    await client.create(NODES, {"metadata": {"name": "bare"}})
                    await client.create(
                        NODES, {"metadata": {"name": "gone"}, "spec": {"podCIDR": "10.0.0.0/24"}}
                    )
                    await client.patch(NODES, "gone", {"spec": None})
                    taint = {"effect": "NoSchedule"}
                    with pytest.raises(Invalid, match=r"metadata\.taints\[0\]\.key"):
                        await client.create(NODES, {"metadata": {"name": "x"}, "spec": {"taints": [taint]}})
                assert (await client.get(NODES, "bare")).body()["spec"] == {}
                assert await phase(cluster, name) == "Succeeded"

    run_virtual(scenario())


def test_objects_that_no_longer_pass_the_validation_do_not_prevent_the_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with DevCluster(clock=virtual_clock(), data_file=tmp_path / "data.db") as cluster:
            storage = cluster.server.storage
            common = {"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
            node = {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": "broken", **common},
                "spec": {"taints": [5]},
            }
            storage.put(storage.collection("nodes"), {**node, **READY})
            for name, spec in (("none", None), ("empty", {}), ("list", [])):
                metadata = {"name": name, "namespace": "default", **common, "uid": name}
                broken = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
                storage.put(storage.collection("pods"), broken)
        async with DevCluster(clock=virtual_clock(), data_file=tmp_path / "data.db") as cluster:
            client = cluster.client()
            await client.create(PODS, pod("good"), "default")
            await cluster.clock.sleep(60)
            assert (await client.get(PODS, "good", "default")).view.status.phase == "Succeeded"

    run_virtual(scenario())
