"""One checkout and one real API server for all tests: each test installs the operator and removes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.clusters import RunningCluster
from support.installation import Checkout, Shell
from support.kubernetes_binaries import BinariesNotFoundError, find_binaries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def checkout() -> Iterator[Checkout]:
    """The wheel of a clean checkout in an environment of its own."""
    with Checkout() as made:
        yield made


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A real API server with simulated nodes and KServe, without the operator."""
    try:
        find_binaries()
    except BinariesNotFoundError as error:
        pytest.skip(str(error))
    with RunningCluster("real", tmp_path_factory.mktemp("cluster"), installed=False) as running:
        yield running


@pytest.fixture
def shell(checkout: Checkout, cluster: RunningCluster, tmp_path: Path) -> Shell:
    """Runs the commands of the document on that server."""
    return Shell(checkout, cluster.kubeconfig, tmp_path / "home")
