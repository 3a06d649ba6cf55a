"""A leader that ends while creations of discovery Jobs are in flight."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.devcluster.faults import Delay, Match
from aimctl.testing.virtualtime import virtual_time
from support.operator import world
from support.proofs import variants


@pytest.mark.parametrize("graceful", [True, False], ids=["stopped", "cancelled"])
@pytest.mark.parametrize("late", variants([9.0, 4.5, 6.0, 12.0]))
@virtual_time
async def test_creations_that_arrive_after_their_leader_has_ended_do_not_exceed_the_limit(graceful, late):
    """The lease is not released shortly after them, so the next leader counts when they have arrived."""
    async with world() as w:
        await w.model("slow", image="aim-slow:1")
        first = w.start(election=True, discovery_limit=2)
        await w.until(lambda: first.leads)
        w.start(election=True, discovery_limit=2)
        w.faults.add(Delay(late), Match("create", "jobs"), times=2)
        for number in range(6):
            await w.template(f"t{number}", "team", "slow")
        await asyncio.sleep(0.5)
        for number in (4, 5):  # now others go first, so the next leader's Jobs have other names
            await w.service(f"s{number}", "team", templateRef=f"t{number}", model={"ref": "slow"})
        if graceful:
            await first.stop()
        else:
            first.task.cancel()
            await asyncio.wait([first.task])
        await asyncio.sleep(60)
        assert w.ledger.creations
        assert w.ledger.most_unfinished == 2
