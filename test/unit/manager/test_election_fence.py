"""Fencing of the leader's writes: no write outlives the lease, and none is unclear when the lease is released."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aimctl.runtime.kube import ConnectionFailed, Resource
from aimctl.runtime.manager import LeaderElectionOptions, Manager, ManagerOptions
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.leaseapi import LeaseApi, LeaseTransport

LEASE = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/lock"
CONFIG_MAPS = Resource.untyped("", "v1", "ConfigMap", "configmaps")
BODY = {"metadata": {"name": "a", "namespace": "ns"}}


def now() -> float:
    return asyncio.get_running_loop().time()


class Replica:
    """A manager that is the leader or a candidate."""

    def __init__(self, api: LeaseApi, identity: str = "me", **times: float) -> None:
        self.transport = LeaseTransport(api)
        self.manager = Manager(
            self.transport,
            clock=virtual_clock(),
            options=ManagerOptions(leader_election=LeaderElectionOptions("lock", "ns", **times)),
            identity=identity,
        )
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self.manager.run(self.stop))

    def swallow(self, word: str, hole: str) -> None:
        """Requests with this word in their path get no response; ``hole`` determines whether the server sees them."""

        def look(request: Any) -> None:
            self.transport.black_hole = hole if word in request.path else ""

        self.transport.on_request = look

    async def write(self) -> None:
        await self.manager.client.create(CONFIG_MAPS, BODY)

    async def end(self) -> None:
        self.stop.set()
        await self.task


@virtual_time
@pytest.mark.parametrize(
    "times", [{}, {"lease_duration": 15.0, "renew_deadline": 14.0}, {"lease_duration": 60.0}]
)
async def test_a_write_sent_before_the_deadline_ends_before_another_process_can_lead(
    times: dict[str, float],
) -> None:
    me = Replica(LeaseApi(), **times)
    await me.manager.elected.wait()
    election = me.manager.options.leader_election
    assert election is not None
    renewed_at = now()
    me.transport.black_hole = "request"  # from now on there are no responses, not even to renewals
    await asyncio.sleep(election.renew_deadline - 0.5)
    with pytest.raises(ConnectionFailed, match="no complete response within"):
        await me.write()
    assert renewed_at + election.renew_deadline < now() < renewed_at + election.lease_duration
    await asyncio.wait([me.task])
    assert me.task.exception() is not None


@virtual_time
async def test_a_lease_is_not_released_while_a_write_may_still_take_effect() -> None:
    api = LeaseApi()
    me = Replica(api)
    me.swallow("configmaps", "answer")
    me.manager.add(me.write, name="writer")
    await me.manager.elected.wait()
    await asyncio.sleep(5)
    standby = Replica(api, "standby")
    await asyncio.sleep(2)
    renewed_at = max(when for when, method, path in api.calls if method == "PUT" and path == LEASE)
    me.task.cancel()
    await asyncio.wait([me.task])
    assert api.spec(LEASE)["holderIdentity"] == "me"
    await standby.manager.elected.wait()
    assert now() >= renewed_at + 15
    await standby.end()


@virtual_time
async def test_a_lease_is_released_when_every_write_has_a_response() -> None:
    api = LeaseApi()
    me = Replica(api)
    await me.manager.elected.wait()
    await me.write()
    me.transport.fail = [409]
    with pytest.raises(Exception, match="Scripted"):
        await me.write()
    await me.end()
    assert api.spec(LEASE)["holderIdentity"] == ""


@virtual_time
async def test_an_unclear_write_older_than_the_lease_does_not_prevent_the_release() -> None:
    api = LeaseApi()
    me = Replica(api)
    await me.manager.elected.wait()
    me.swallow("configmaps", "request")
    with pytest.raises(ConnectionFailed):
        await me.write()
    await asyncio.sleep(15)
    await me.end()
    assert api.spec(LEASE)["holderIdentity"] == ""
