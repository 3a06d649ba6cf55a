"""Floods of the manager's ports and a hostile registry at the same time: the leader keeps its Lease and works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.controllers.options import LEASE_NAME
from support.clusters import OPERATOR_NAMESPACE
from support.flood import IDLE, LOOPING
from support.managers import ManagerProcess
from support.waiting import eventually

if TYPE_CHECKING:
    from support.clusters import RunningCluster

SECONDS = 20
"""Longer than the lease, so that a leader that cannot renew it loses it."""

MODELS = 24


def lease(cluster: RunningCluster) -> Any:
    found = json.loads(cluster.kubectl("get", "lease", LEASE_NAME, "-n", OPERATOR_NAMESPACE, "-o", "json"))
    return found["spec"]["holderIdentity"], found["spec"].get("leaseTransitions", 0)


@pytest.mark.proof
@pytest.mark.timeout(180)
def test_a_leader_keeps_its_lease_and_works_during_floods_and_with_a_hostile_registry(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    namespace = cluster.new_namespace("flood")
    command = [sys.executable, "-m", "support.flood"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as flood:
        try:
            assert flood.stdout is not None
            mirror = f"*={flood.stdout.readline().strip()}"
            flags = ("--leader-elect", "--registry-mirror", mirror)
            with ManagerProcess(cluster.manager_kubeconfig, tmp_path / "log", *flags) as manager:
                eventually(lambda: manager.leading, 30, "the manager leads")
                before = lease(cluster)
                cluster.apply(
                    cluster.model(f"hostile-{number}", f"hostile-{number}.test/image:1", namespace=namespace)
                    for number in range(MODELS)
                )
                cluster.apply([cluster.model("flood-model", cluster.image("quick"))])
                assert flood.stdin is not None
                flood.stdin.write(f"{manager.metrics_port} {manager.probes_port} {SECONDS}\n")
                flood.stdin.flush()
                cluster.apply([cluster.template(namespace, "during", model="flood-model")])
                eventually(
                    lambda: cluster.template_states("during") == {f"{namespace}/during": "Ready"},
                    60,
                    "a template becomes Ready during the flood",
                )
                eventually(manager.ready, 60, "the readiness probe is answered during the flood")
                counts = json.loads(flood.stdout.readline())
                assert counts["idle"] >= IDLE
                assert counts["requests"] >= LOOPING
                assert counts["bytes"] > 0
                assert counts["registry"] > 0
                assert manager.running, manager.log[-3000:]
                eventually(lambda: manager.leading, 30, "the manager still leads")
                assert lease(cluster) == before
        finally:
            flood.kill()
