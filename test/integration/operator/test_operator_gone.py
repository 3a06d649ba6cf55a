"""Templates the server says are not there: gone, or hidden for a moment by a proxy or a server that is starting."""

from __future__ import annotations

import asyncio

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, Match, Silence
from aimctl.testing.virtualtime import virtual_time
from support.operator import world

STATUS = Match("patch", "aimservicetemplates", "status")


@virtual_time
async def test_status_writes_answered_not_found_are_made_again_while_the_template_is_there():
    """No event follows that would bring another chance."""
    async with world() as w:
        await w.model("m")
        await w.template("a", "team")
        replica = w.start()
        await w.until(lambda: w.ledger.creations)
        fault = w.faults.add(Answer(404, "NotFound", details={"name": "a"}), STATUS)
        await asyncio.sleep(60)
        assert not w.ledger.unfinished
        assert w.ledger.states() != {"Ready": 1}
        w.faults.remove(fault)
        asked = len(replica.wire.writes)
        await w.until_all(seconds=10)
        assert len(w.ledger.creations) == 1
        assert asked < 60


@virtual_time
async def test_a_template_the_server_no_longer_has_gets_no_job_however_late_the_cache_hears_of_it():
    async with world() as w:
        replica = w.start()
        await w.template("a", "team")
        await asyncio.sleep(5)
        w.faults.add(Silence(), Match("watch", "aimservicetemplates"))
        w.cluster.server.storage.end_streams()
        await asyncio.sleep(1)
        await w.client.delete(kinds.TEMPLATES, "a", "team")
        await w.model("m")  # what it waited for
        await asyncio.sleep(60)
        assert w.ledger.creations == []
        assert replica.admission.pending == 0
        # Neither is it asked for again and again.
        assert sum("/status" in sent.path for sent in replica.wire.writes) < 40
