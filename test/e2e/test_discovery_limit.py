"""The limit of discovery Jobs, observed by an independent client that watches Jobs while managers are replaced."""

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

NAMESPACES = 20
LIMIT = 10
LARGE = pytest.param(10, 2.0, marks=pytest.mark.proof, id="200")
EACH = pytest.mark.parametrize(("each", "life"), [pytest.param(3, 0.7, id="60"), LARGE])
"""Templates in each namespace, and seconds from the readiness of a manager until it is killed."""
PATIENCE_SECONDS = 240  # 200 discoveries, ten at a time, on a machine that does other things too


def crowd(cluster: RunningCluster, each: int) -> None:
    """Create templates in 20 namespaces, and the model they share."""
    documents = [cluster.model("crowd-model", cluster.image("quick"))]
    for n in range(NAMESPACES):
        namespace = cluster.new_namespace(f"crowd-{n:02d}")
        documents += [
            cluster.template(
                namespace, f"crowd-{i:02d}", model="crowd-model", metric=("latency", "throughput")[i % 2]
            )
            for i in range(each)
        ]
    cluster.apply(documents)


def all_ready(cluster: RunningCluster, each: int) -> bool:
    states = cluster.template_states(prefix="crowd-")
    return len(states) == NAMESPACES * each and set(states.values()) == {"Ready"}


def assert_witnessed(witness: JobWitness, each: int) -> None:
    assert witness.gaps == 0, f"the witness lost events: {witness.error}"
    assert witness.most_unfinished <= LIMIT, (
        f"{witness.most_unfinished} discovery Jobs were unfinished at once"
    )
    assert witness.most_unfinished >= LIMIT - 1, "the limit was never reached"
    assert len(witness.created) == NAMESPACES * each
    again = {key: times for key, times in witness.created.items() if times != 1}
    assert not again, f"discovered more than once: {again}"


@pytest.mark.proof
@EACH
@pytest.mark.timeout(400)
def test_many_templates_at_once_never_exceed_ten_jobs_while_the_manager_is_killed_every_few_seconds(
    cluster: RunningCluster, tmp_path: Path, each: int, life: float
) -> None:
    with JobWitness(cluster.kubeconfig) as witness:
        crowd(cluster, each)
        kills = 0
        with ManagerProcess(cluster.manager_kubeconfig, tmp_path / "manager.log") as manager:
            end = time.monotonic() + PATIENCE_SECONDS
            while not all_ready(cluster, each) and time.monotonic() < end:
                manager.wait_ready()
                if kills < 5:
                    time.sleep(life)  # real processes have no virtual clock
                    manager.kill()
                    kills += 1
                    manager.start()
                else:
                    time.sleep(0.25)
            assert all_ready(cluster, each), cluster.template_states(prefix="crowd-")
        assert kills >= 3, "the work was done before the manager was killed often enough"
    assert_witnessed(witness, each)


@pytest.mark.parametrize(("each", "life"), [LARGE])
@pytest.mark.timeout(400)
def test_many_templates_at_once_never_exceed_ten_jobs_while_two_managers_compete_for_the_lease(
    cluster: RunningCluster, tmp_path: Path, each: int, life: float
) -> None:
    del life
    early, late = NAMESPACES * each * 15 // 100, NAMESPACES * each * 45 // 100
    first = ManagerProcess(cluster.manager_kubeconfig, tmp_path / "first.log", "--leader-elect")
    second = ManagerProcess(cluster.manager_kubeconfig, tmp_path / "second.log", "--leader-elect")
    with JobWitness(cluster.kubeconfig) as witness, first, second:
        eventually(lambda: first.leading or second.leading, 30, "one of the managers leads")
        crowd(cluster, each)
        eventually(lambda: len(witness.created) >= early, PATIENCE_SECONDS, f"{early} Jobs were created")
        leader, other = (first, second) if first.leading else (second, first)
        leader.kill()
        eventually(lambda: other.leading, 30, "the other manager leads after the lease ran out")
        # Started earlier, it could take the expired lease itself: both try every two seconds.
        leader.start()
        eventually(lambda: len(witness.created) >= late, PATIENCE_SECONDS, f"{late} Jobs were created")
        assert not leader.leading
        assert other.terminate() == 0
        # At once, or, when a creation was still unanswered, after the lease has run out: see docs/design.md.
        eventually(lambda: leader.leading, 30, "the lease is handed over")
        other.start()
        eventually(lambda: all_ready(cluster, each), PATIENCE_SECONDS, "every template is Ready")
    assert_witnessed(witness, each)
