"""Cancellation of a manager during its shutdown, by a second signal, a timeout around it, or a failing sibling task."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.runtime.manager import LeaderElectionOptions, Manager, ManagerOptions
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.leaseapi import LeaseApi, LeaseTransport

LEASE = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/lock"


class Kind:
    """A runnable that stops gracefully after some time."""

    def __init__(self, takes: float) -> None:
        self.takes = takes
        self.asked = asyncio.Event()
        self.cancelled_at: float | None = None

    def stop(self) -> None:
        self.asked.set()

    async def run(self) -> None:
        try:
            await self.asked.wait()
            await asyncio.sleep(self.takes)
        except asyncio.CancelledError:
            self.cancelled_at = asyncio.get_running_loop().time()
            raise


def manager_on(api: LeaseApi, *, grace: float) -> Manager:
    return Manager(
        LeaseTransport(api),
        clock=virtual_clock(),
        options=ManagerOptions(
            leader_election=LeaderElectionOptions("lock", "ns"), graceful_shutdown_timeout=grace
        ),
        identity="me",
    )


@virtual_time
@pytest.mark.parametrize("grace", [30.0, -1.0])
@pytest.mark.parametrize("cancels", [1, 2])
async def test_a_cancellation_during_the_grace_period_ends_it_and_leaves_no_task(
    grace: float, cancels: int
) -> None:
    api = LeaseApi()
    manager = manager_on(api, grace=grace)
    leader, other = Kind(1000), Kind(1000)
    manager.add(leader, name="leader")
    manager.add(other, name="other", needs_leader_election=False)
    stop = asyncio.Event()
    task = asyncio.create_task(manager.run(stop))
    await asyncio.sleep(1)
    stop.set()
    await asyncio.sleep(5)
    for _ in range(cancels):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task])
    assert task.cancelled()
    assert (leader.cancelled_at, other.cancelled_at) == (6, 6)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert manager.state == "stopped"
    assert api.spec(LEASE)["holderIdentity"] == ""
    assert asyncio.get_running_loop().time() < 8


@virtual_time
async def test_a_timeout_around_a_manager_is_raised() -> None:
    manager = manager_on(LeaseApi(), grace=30)
    manager.add(Kind(1000), name="leader")
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(1, stop.set)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await manager.run(stop)
    assert asyncio.get_running_loop().time() < 12
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual_time
async def test_a_cancellation_while_the_lease_is_released_waits_for_that() -> None:
    api = LeaseApi()
    manager = manager_on(api, grace=30)
    stop = asyncio.Event()
    task = asyncio.create_task(manager.run(stop))
    await asyncio.sleep(1)
    manager.elector._client._transport.latency = 1.0
    stop.set()
    await asyncio.sleep(1.5)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert api.spec(LEASE)["holderIdentity"] == ""
    assert asyncio.all_tasks() == {asyncio.current_task()}
