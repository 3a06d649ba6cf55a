"""The control plane that the tests of this folder share, one for each test module.

Without its programs the tests are skipped, and the reason says how to get them. Whoever sets
KUBEBUILDER_ASSETS means to run them: then what is missing is an error.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from support.adminapi import Api, api_of, eventually, pod
from support.controlplane import ControlPlane
from support.kubectl import Kubectl
from support.kubernetes_binaries import BinariesNotFoundError, find_binaries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    """A running control plane; its logs stay in pytest's temporary folder."""
    try:
        binaries = find_binaries()
    except BinariesNotFoundError as error:
        if "KUBEBUILDER_ASSETS" in os.environ:
            raise
        pytest.skip(str(error))
    async with ControlPlane(binaries, tmp_path_factory.mktemp("controlplane")) as running:
        yield running


@pytest.fixture
def kubectl(plane: ControlPlane) -> Kubectl:
    """A stock kubectl with the administrator's rights."""
    return Kubectl(plane.kubeconfig, plane.directory / "kubectl-cache")


@pytest_asyncio.fixture
async def api(plane: ControlPlane) -> AsyncIterator[Api]:
    async with api_of(plane) as client:
        yield client


@pytest_asyncio.fixture
async def namespace(api: Api) -> str:
    """A namespace of the test's own, in which pods can be created."""
    name: str = (await api.create("/api/v1/namespaces", {"metadata": {"generateName": "t-"}}))["metadata"][
        "name"
    ]

    async def admits_pods() -> bool:
        status, _ = await api.call("POST", f"/api/v1/namespaces/{name}/pods?dryRun=All", pod("probe"))
        return status == 201

    await eventually(admits_pods)
    return name
