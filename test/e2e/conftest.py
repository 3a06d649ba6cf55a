"""The cluster that the end-to-end tests of one worker share, and the operator on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.clusters import RunningCluster, server_kind
from support.kubernetes_binaries import BinariesNotFoundError, find_binaries
from support.managers import ManagerProcess
from support.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """One for each worker: a real control plane takes seconds to start."""
    kind = server_kind()
    if kind == "real" and "KUBEBUILDER_ASSETS" not in os.environ:
        try:
            find_binaries()
        except BinariesNotFoundError as error:
            pytest.skip(str(error))
    with RunningCluster(kind, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: RunningCluster) -> Iterator[RunningCluster]:
    """A cluster with nothing of another test in it."""
    yield shared_cluster
    shared_cluster.clean()


@pytest.fixture
def managed(cluster: RunningCluster, tmp_path: Path) -> Iterator[ManagerProcess]:
    """A manager at work on the cluster."""
    with ManagerProcess(
        cluster.manager_kubeconfig, tmp_path / "manager.log", *cluster.manager_flags
    ) as manager:
        manager.wait_ready()
        yield manager
        assert manager.running, manager.log[-3000:]


@pytest.fixture(scope="module")
def operator(
    shared_cluster: RunningCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ManagerProcess]:
    """A manager at work, shared by the tests of one file: each takes a namespace of its own."""
    log = tmp_path_factory.mktemp("manager") / "manager.log"
    with ManagerProcess(shared_cluster.manager_kubeconfig, log, *shared_cluster.manager_flags) as manager:
        manager.wait_ready()
        yield manager
        assert manager.running, manager.log[-3000:]
    shared_cluster.clean()


@pytest.fixture(scope="module")
def operated(shared_cluster: RunningCluster, operator: ManagerProcess) -> RunningCluster:
    """The cluster with that manager."""
    del operator  # it is at work
    return shared_cluster


@pytest.fixture
def stage(operated: RunningCluster) -> Stage:
    """A namespace for one test."""
    return Stage(operated, "doc")
