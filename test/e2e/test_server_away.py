"""The API server goes away and comes back in the middle of the work; the manager stays and finishes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.jobwatch import JobWitness
from support.managers import ManagerProcess
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.clusters import RunningCluster

TEMPLATES = 24
"""More than twice the limit of ten Jobs."""

JOB_CONTROLLER_SECONDS = 130
"""The longest time that the real Job controller takes to see new pods: its reflectors pause up to 60 s after a refused watch,
and as long again after the 410 of the next one."""


@pytest.mark.proof
@pytest.mark.timeout(400)
def test_the_server_goes_away_twice_while_templates_wait_and_run_and_all_end_ready(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    if cluster.kind == "kubeconfig":
        pytest.skip("a cluster that is not ours cannot be taken away")
    namespace = cluster.new_namespace("away")
    cluster.apply(
        [
            cluster.model("away-model", cluster.image("quick")),
            *(cluster.template(namespace, f"away-{i:02d}", model="away-model") for i in range(TEMPLATES)),
        ]
    )
    log = tmp_path / "manager.log"
    with (
        JobWitness(cluster.kubeconfig) as witness,
        ManagerProcess(cluster.manager_kubeconfig, log) as manager,
    ):
        for enough in (5, TEMPLATES // 2):
            eventually(
                lambda enough=enough: len(witness.created) >= enough, 60, f"{enough} Jobs were created"
            )
            with cluster.away():
                time.sleep(2)
            assert manager.running, manager.log[-2000:]
        eventually(
            lambda: set(cluster.template_states("away-").values()) == {"Ready"},
            JOB_CONTROLLER_SECONDS + 60,
            "every template is Ready",
            otherwise=lambda: cluster.template_states("away-"),
        )
        assert manager.running, manager.log[-2000:]
    assert witness.most_unfinished <= 10
    # A real server forgets its history with a restart; finished Jobs stay, so the new list shows them all.
    assert witness.gaps <= 2, witness.error
    assert {key: times for key, times in witness.created.items() if times != 1} == {}
    assert len(witness.created) == TEMPLATES
