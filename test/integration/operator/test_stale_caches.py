"""While a cache is not up to date, no message claims that something is missing."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.api import kinds
from aimctl.devcluster.faults import Match, Refuse
from aimctl.testing.virtualtime import virtual_time
from support.operator import world

CLAIMS = {"ModelNotFound", "RuntimeConfigNotFound", "TemplateNotFound"}


def reasons(w) -> set[str]:
    """All reasons that templates and services have ever had."""
    templates = [status for statuses in w.ledger.history.values() for status in statuses]
    services = [body.get("status") or {} for body in w.ledger.services.values()]
    return {item["reason"] for status in (*templates, *services) for item in status.get("conditions") or ()}


@pytest.mark.parametrize(
    "late",
    [
        "aimclustermodels",
        pytest.param("aimruntimeconfigs", marks=pytest.mark.proof),
        pytest.param("aimservicetemplates", marks=pytest.mark.proof),
    ],
)
@virtual_time
async def test_nothing_is_claimed_to_be_missing_that_was_created_during_an_outage(late):
    async with world() as w:
        await w.model("old")
        await w.template("old", "team", model="old")
        w.start()
        await w.until_state("old", "team", "Ready")
        with w.faults.active(Refuse()):
            w.cluster.server.storage.end_streams()
            await w.model("new")
            await w.config("new", "team")
            for number in range(4):
                await w.template(f"t{number}", "team", model="new", runtimeConfigName="new")
            await w.service("s", "team", model={"ref": "new"}, templateRef="t0")
            await asyncio.sleep(60)
        # The watch of this kind recovers last.
        with w.faults.active(Refuse(), Match(resource=late)):
            await asyncio.sleep(70)
            assert not reasons(w) & CLAIMS
        await w.until_all(seconds=120)
        assert not reasons(w) & CLAIMS


@virtual_time
async def test_what_is_really_missing_is_reported_when_the_caches_are_up_to_date():
    async with world() as w:
        w.start()
        with w.faults.active(Refuse(), Match(resource="aimclustermodels")):
            w.cluster.server.storage.end_streams()
            await w.template("a", "team", model="missing")
            await asyncio.sleep(30)
            assert w.told("a", "team") == ("", "")
        await w.until(lambda: w.told("a", "team") == ("False", "ModelNotFound"), seconds=90)


@virtual_time
async def test_a_claim_that_was_made_with_current_caches_stays_during_an_outage():
    async with world() as w:
        w.start()
        await w.template("a", "team", model="missing")
        await w.until(lambda: w.told("a", "team") == ("False", "ModelNotFound"), seconds=5)
        with w.faults.active(Refuse(), Match(resource="aimclustermodels")):
            w.cluster.server.storage.end_streams()
            await w.annotate("a", "team", rediscover="1")
            await asyncio.sleep(30)
            assert w.told("a", "team") == ("False", "ModelNotFound")
        await w.client.delete(kinds.TEMPLATES, "a", "team")
