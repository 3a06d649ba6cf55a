"""The operator at work with the rights that ``aimctl manifests rbac`` grants, and no others, in virtual time."""

from __future__ import annotations

import asyncio

from aimctl.api.generate import manifests
from aimctl.devcluster.faults import Answer, Match
from aimctl.testing.virtualtime import virtual_time
from support.operator import world
from support.roles import Grant, Roles


def generated() -> Roles:
    texts = manifests()
    return Roles([texts["rbac/manager-role.yaml"], texts["rbac/leader-election-role.yaml"]])


@virtual_time
async def test_everything_the_operator_does_is_granted_and_everything_granted_is_used():
    async with world() as w:
        roles = w.cluster.server.authorizer = generated()
        await w.model("good")
        await w.model("bad", image="aim-broken:1")
        await w.model("slow", image="aim-slow:1")
        await w.config("default")
        await w.template("works", "team", "good")
        await w.template("works", "", "good")
        await w.template("fails", "team", "bad")
        # the answer to one creation gets lost before the server has done anything: it has to be asked about
        lost = w.faults.add(Answer(500), Match(verb="create", resource="jobs"), times=1)
        w.start(election=True)
        await w.until_state("works", "team", "Ready")
        await w.until_state("works", "", "Ready")
        await w.until_state("fails", "team", "Failed", 600)
        assert lost.hits == 1
        # a Job whose answer nobody waits for any more is deleted; an Event told again is patched
        await w.template("turns", "team", "slow")
        await w.until(lambda: w.ledger.jobs_of("turns", "team"))
        await w.model("slow", image="aim-quick:1")
        await w.until_state("turns", "team", "Ready")
        for number in range(3):
            await w.annotate("fails", "team", rediscover=str(number))
            await asyncio.sleep(400)
        await asyncio.sleep(1000)
        await w.close()
    assert roles.refused == []
    # The server of OwnerReferencesPermissionEnforcement would ask for this one; the embedded server does not.
    finalizers = {
        Grant("update", "aim.silogen.ai", f"{plural}/finalizers")
        for plural in ("aimservicetemplates", "aimclusterservicetemplates")
    }
    assert roles.granted - roles.used == finalizers


@virtual_time
async def test_a_right_that_is_taken_away_is_noticed_by_the_test_above():
    async with world() as w:
        roles = w.cluster.server.authorizer = generated()
        roles.granted.discard(Grant("create", "batch", "jobs"))
        await w.model("good")
        await w.template("works", "team", "good")
        w.start()
        await w.until(lambda: roles.refused)
        assert roles.refused[0] == Grant("create", "batch", "jobs", "team")
