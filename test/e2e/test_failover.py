"""Two managers: what one leaves undone the other finishes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.managers import ManagerProcess
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.clusters import RunningCluster

LEASE_SECONDS = 15.0
RETRY_SECONDS = 2.0 * 1.2
"""The defaults of the election: the lease, and the jittered pause between two tries for it."""


def pair(cluster: RunningCluster, tmp_path: Path) -> tuple[ManagerProcess, ManagerProcess]:
    one, two = (
        ManagerProcess(cluster.manager_kubeconfig, tmp_path / f"{name}.log", "--leader-elect")
        for name in ("one", "two")
    )
    return one, two


def work(cluster: RunningCluster, namespace: str, names: range) -> None:
    cluster.apply(cluster.template(namespace, f"work-{i:02d}", model="work-model") for i in names)


def ready(cluster: RunningCluster, count: int) -> bool:
    states = cluster.template_states(prefix="work-")
    return len(states) == count and set(states.values()) == {"Ready"}


@pytest.mark.proof
def test_killing_the_leader_lets_the_other_lead_within_the_lease_time_and_finish_the_work(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    namespace = cluster.new_namespace("failover")
    cluster.apply([cluster.model("work-model", cluster.image("quick"))])
    one, two = pair(cluster, tmp_path)
    with one, two:
        eventually(lambda: one.leading or two.leading, 30, "one of the managers leads")
        leader, other = (one, two) if one.leading else (two, one)
        other.wait_ready()
        work(cluster, namespace, range(15))
        leader.kill()
        killed = time.monotonic()
        work(cluster, namespace, range(15, 30))
        eventually(lambda: other.leading, LEASE_SECONDS + RETRY_SECONDS + 5, "the other manager leads")
        took = time.monotonic() - killed
        eventually(lambda: ready(cluster, 30), 60, "every template is Ready")
    assert took <= LEASE_SECONDS + RETRY_SECONDS + 2, f"the other manager led only after {took:.1f} s"


def test_stopping_the_leader_cleanly_hands_over_long_before_its_lease_expires(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    namespace = cluster.new_namespace("handover")
    cluster.apply([cluster.model("work-model", cluster.image("quick"))])
    one, two = pair(cluster, tmp_path)
    with one, two:
        eventually(lambda: one.leading or two.leading, 30, "one of the managers leads")
        leader, other = (one, two) if one.leading else (two, one)
        other.wait_ready()
        work(cluster, namespace, range(5))
        assert leader.terminate() == 0
        ended = time.monotonic()
        eventually(lambda: other.leading, 10, "the other manager leads")
        took = time.monotonic() - ended
        eventually(lambda: ready(cluster, 5), 60, "every template is Ready")
    assert took < LEASE_SECONDS / 2, f"the lease was not released: the hand-over took {took:.1f} s"
