"""Clusters for the tours of third-party clients: the embedded one, and a real API server with the same simulated nodes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from support.clusters import RunningCluster
from support.environments import environment
from support.kubernetes_binaries import BinariesNotFoundError, find_binaries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session", params=["embedded", "real"])
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningCluster]:
    """A running cluster. Without the programs of Kubernetes, only the embedded one."""
    if request.param == "real" and "KUBEBUILDER_ASSETS" not in os.environ:
        try:
            find_binaries()
        except BinariesNotFoundError as error:
            pytest.skip(str(error))
    with RunningCluster(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture
def namespace(cluster: RunningCluster) -> str:
    """A namespace for one tour, with its service account."""
    name = cluster.new_namespace("tour")
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=30s")
    return name


@pytest.fixture(scope="session")
def clients() -> Path:
    """The folder ``bin`` of an environment with the newest client libraries."""
    return environment("clients", "newest", ("kopf", "kr8s", "kubernetes", "lightkube", "pyyaml"))
