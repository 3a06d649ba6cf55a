"""The cases of workloads and Services against the real controllers, whose behaviour the embedded ones have to match."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from aimctl.devcluster import SimulatedNodes
from aimctl.devcluster.machinery.events import EventRecorder
from aimctl.devcluster.node.machines import default_machines
from aimctl.kubetypes.builtin import NODES
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube.client import Client
from aimctl.runtime.kube.credentials.kubeconfig import from_kubeconfig
from aimctl.runtime.kube.http import HttpTransport
from support.adminapi import eventually
from support.service_cases import SERVICE_CASES
from support.workload_cases import WORKLOAD_CASES, RunningImages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from support.controlplane import ControlPlane

pytestmark = pytest.mark.envtest

_TERMINATING = "Deployments and ReplicaSets of {} have no status.terminatingReplicas"
_DIFFERENT_IN_1_34 = {
    "a_paused_deployment_is_scaled_but_not_updated": _TERMINATING,
    "a_replica_set_adopts_and_releases_pods": _TERMINATING,
    "a_deployment_rolls_out_and_back": _TERMINATING,
    "a_stateful_set_is_updated_from_the_last_pod_to_the_partition": "the Events of StatefulSets of {} have other words",
    "recreate_waits_until_old_pods_have_ended": _TERMINATING,
    "a_stuck_update_keeps_old_pods_and_is_scaled_in_proportion": _TERMINATING,
    "pods_that_cannot_be_created_are_a_failure_of_the_deployment": _TERMINATING,
    "old_replica_sets_beyond_the_history_limit_are_deleted": _TERMINATING,
}
"""The cases whose expectations do not hold for Kubernetes 1.34 and older, and why."""


@dataclass
class _World:
    client: Client
    namespace: str

    async def becomes(self, check: Callable[[], Awaitable[bool]]) -> None:
        await eventually(check, within=30)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(plane: ControlPlane) -> AsyncIterator[Client]:
    """A client for the real API server, while simulated machines run its pods."""
    clock = LoopClock()
    info = await from_kubeconfig(str(plane.kubeconfig), clock=clock)
    async with HttpTransport(info, clock=clock, user_agent="test") as transport:
        client = Client(transport, clock=clock)
        simulated = SimulatedNodes(
            client,
            clock=clock,
            machines=default_machines(),
            programs=[RunningImages()],
            events=EventRecorder(client, clock=clock, component="kubelet", enabled=False),
        )
        task = asyncio.create_task(simulated.run())
        await eventually(lambda: _are_schedulable(client), within=30)
        yield client
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _are_schedulable(client: Client) -> bool:
    """Remove the taint of new Nodes, as the node lifecycle controller does, which does not run here."""
    nodes = (await client.list(NODES)).items
    for node in nodes:
        await client.patch(NODES, node.meta.name, {"spec": {"taints": None}})
    return len(nodes) == len(default_machines())


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", [*WORKLOAD_CASES, *SERVICE_CASES], ids=lambda case: case.__name__)
async def test_workload_case_on_the_real_controllers(
    case: Any, plane: ControlPlane, nodes: Client, namespace: str
) -> None:
    if plane.version < (1, 35) and case.__name__ in _DIFFERENT_IN_1_34:
        pytest.skip(_DIFFERENT_IN_1_34[case.__name__].format(".".join(map(str, plane.version))))
    await case(_World(nodes, namespace))
