"""Templates for which the server responds 404: deleted, or hidden by a proxy or a server that is starting."""

from __future__ import annotations

import asyncio

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, Match, Silence
from aimctl.testing.virtualtime import virtual_time
from support.operator import world

STATUS = Match("patch", "aimservicetemplates", "status")


@virtual_time
async def test_status_writes_that_the_server_answers_with_not_found_are_repeated_while_the_template_exists():
    """No later event causes another reconcile."""
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
async def test_a_deleted_template_gets_no_job_although_the_cache_still_has_it():
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
        # The status is not written repeatedly either.
        assert sum("/status" in sent.path for sent in replica.wire.writes) < 40
