"""Workloads and the EndpointSlices of Services on the embedded cluster, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.devcluster import DevCluster
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.service_cases import SERVICE_CASES
from support.workload_cases import (
    WORKLOAD_CASES,
    RunningImages,
    a_cron_job_starts_the_latest_missed_time,
    a_daemon_set_has_a_pod_on_each_node,
    a_deployment_rolls_out_and_back,
    a_stateful_set_is_updated_from_the_last_pod_to_the_partition,
    an_indexed_job_ends_with_some_failed_indexes,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aimctl.runtime.kube.client import Client

_WITHIN_SECONDS = 60.0


@dataclass
class _World:
    cluster: DevCluster
    client: Client
    namespace: str = "default"

    async def becomes(self, check: Callable[[], Awaitable[bool]]) -> None:
        end = self.cluster.clock.monotonic() + _WITHIN_SECONDS
        while not await check():
            assert self.cluster.clock.monotonic() < end
            await self.cluster.clock.sleep(0.1)


def cluster_of(**options: Any) -> DevCluster:
    return DevCluster(clock=virtual_clock(), programs=[RunningImages()], **options)


QUICK = (
    a_deployment_rolls_out_and_back,
    a_stateful_set_is_updated_from_the_last_pod_to_the_partition,
    a_daemon_set_has_a_pod_on_each_node,
    a_cron_job_starts_the_latest_missed_time,
    an_indexed_job_ends_with_some_failed_indexes,
    *SERVICE_CASES,
)
"""The cases that run by default, one for each controller. The others are proofs."""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case in QUICK else pytest.mark.proof)
        for case in (*WORKLOAD_CASES, *SERVICE_CASES)
    ],
    ids=lambda case: case.__name__,
)
def test_workload_case_on_the_embedded_cluster(case: Any) -> None:
    @virtual_time
    async def scenario() -> None:
        async with cluster_of() as cluster:
            await case(_World(cluster, cluster.client()))
            await cluster.settled(horizon_seconds=1)

    scenario()
