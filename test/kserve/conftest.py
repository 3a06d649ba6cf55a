"""A real API server with KServe's own manager, and the operator on it.

Without the programs the tests are skipped, and the reason says how to get them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.clusters import RunningCluster
from support.kserve_manager import KServeManager, crds
from support.kubernetes_binaries import BinariesNotFoundError, find_binaries
from support.managers import ManagerProcess
from support.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def built() -> Path:
    """The result of hack/build-kserve.sh; the newest version, if there are several."""
    try:
        find_binaries()
    except BinariesNotFoundError as error:
        pytest.skip(str(error))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aimctl"
    found = [folder for folder in cache.glob("kserve-*") if os.access(folder / "bin" / "manager", os.X_OK)]
    if not found:
        pytest.skip(
            f"no manager of KServe in {cache}: run hack/build-kserve.sh, which needs Go and some minutes"
        )
    return max(
        found, key=lambda folder: [int(part) for part in folder.name.removeprefix("kserve-").split(".")]
    )


@pytest.fixture(scope="session")
def cluster(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with RunningCluster("real", tmp_path_factory.mktemp("cluster"), kserve_crds=crds(built)) as running:
        yield running


@pytest.fixture(scope="session")
def kserve(
    cluster: RunningCluster, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KServeManager]:
    with KServeManager(cluster, built, tmp_path_factory.mktemp("kserve")) as running:
        yield running


@pytest.fixture(scope="session")
def operator(
    cluster: RunningCluster, kserve: KServeManager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ManagerProcess]:
    del kserve  # it is at work
    log = tmp_path_factory.mktemp("manager") / "manager.log"
    with ManagerProcess(cluster.manager_kubeconfig, log, *cluster.manager_flags) as manager:
        manager.wait_ready()
        yield manager
        assert manager.running, manager.log[-3000:]


@pytest.fixture
def stage(cluster: RunningCluster, operator: ManagerProcess) -> Stage:
    """A namespace for one test, in a cluster in which KServe and the operator are at work."""
    del operator
    return Stage(cluster, "ks")
