"""A settled cluster causes no writes: not by idling, not by a restart of the manager."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import kubernetes
import pytest

from support.managers import ManagerProcess
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.clusters import RunningCluster

QUIET_SECONDS = 5.0
STEM = "settled"
"""With this the names of the test's objects start."""


def written(cluster: RunningCluster, namespace: str) -> dict[str, str]:
    """resourceVersion by UID of all that the operator may write for the objects of this test.

    Only those: the namespaces of earlier tests are deleted in the background, with the Events in them.
    """
    jobs = kubernetes.client.BatchV1Api(cluster.api).list_job_for_all_namespaces().items
    events = kubernetes.client.CoreV1Api(cluster.api).list_event_for_all_namespaces().items
    versions = {
        item["metadata"]["uid"]: item["metadata"]["resourceVersion"]
        for item in cluster.templates()
        if item["metadata"]["name"].startswith(STEM)
    }
    return versions | {
        item.metadata.uid: item.metadata.resource_version
        for item in [*jobs, *events]
        if item.metadata.namespace == namespace or STEM in item.metadata.name
    }


@pytest.mark.proof
def test_idling_and_a_restart_of_the_manager_write_nothing(cluster: RunningCluster, tmp_path: Path) -> None:
    namespace = cluster.new_namespace(STEM)
    with ManagerProcess(cluster.manager_kubeconfig, tmp_path / "manager.log") as manager:
        cluster.apply(
            [
                cluster.model("settled-model", cluster.image("quick")),
                *(cluster.template(namespace, f"settled-{i}", model="settled-model") for i in range(8)),
                cluster.template("", "settled-cluster", model="settled-model"),
                cluster.template(namespace, "settled-missing", model="no-such-model"),
            ]
        )
        eventually(
            lambda: sorted(cluster.template_states("settled-").values()) == ["Pending", *["Ready"] * 9],
            60,
            "all but the one without a model are Ready",
            otherwise=lambda: cluster.template_states("settled-"),
        )
        time.sleep(2)  # Events are written a moment later
        before = written(cluster, namespace)
        assert len(before) > 10, "more than the templates: their Jobs and Events"
        time.sleep(QUIET_SECONDS)
        assert written(cluster, namespace) == before, "something was written while idling"
        assert manager.terminate() == 0
        manager.start()
        manager.wait_ready()
        time.sleep(QUIET_SECONDS)
        assert written(cluster, namespace) == before, "the restart wrote something"
