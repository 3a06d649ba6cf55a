"""Leader changes, settled clusters and outages of the API server."""

from __future__ import annotations

import asyncio
import re

import pytest
from prometheus_client import generate_latest

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, Match
from aimctl.testing.virtualtime import virtual_time
from support.managers import samples_of
from support.operator import world
from support.proofs import variants

BOTH = pytest.mark.parametrize("namespace", variants(["team", ""]), ids=["namespaced", "cluster"])
LEASE_SECONDS = 15.0


async def until_leader(w, seconds, *, but=None):
    end = w.now + seconds
    while w.leader is None or w.leader is but:
        assert w.now < end, f"nobody leads after {seconds} s"
        await asyncio.sleep(0.05)
    return w.leader


def backlog(replica):
    """The metrics of work that waits or runs."""
    samples = samples_of(generate_latest(replica.manager.metrics.registry).decode())
    names = (
        "workqueue_depth",
        "workqueue_oldest_ready",
        "workqueue_waiting",
        "aim_discovery_pending",
        "aim_discovery_jobs_running",
    )
    return {
        name: value
        for name, value in samples.items()
        if name.startswith(names) and "downloadprogress" not in name
    }


# ---- failover


@virtual_time
async def test_a_crashed_leader_is_replaced_within_the_lease_duration_and_its_work_is_finished():
    async with world() as w:
        await w.model("m")
        for _ in range(3):
            w.start(election=True, discovery_limit=3)
        leader = await until_leader(w, 5)
        for number in range(12):
            await w.template(f"a{number}", ("team", "")[number % 2])
        await w.until(lambda: w.ledger.states()["Ready"] >= 3)
        await leader.crash()
        crashed = w.now
        await until_leader(w, LEASE_SECONDS + 3, but=leader)
        assert w.now - crashed > 10
        await w.until_all(seconds=60)
        assert set(w.ledger.created.values()) == {1}
        assert w.ledger.most_unfinished == 3


@virtual_time
async def test_after_a_clean_stop_another_replica_leads_within_three_seconds():
    async with world() as w:
        await w.model("m")
        replicas = [w.start(election=True, discovery_limit=3) for _ in range(2)]
        leader = await until_leader(w, 5)
        for number in range(9):
            await w.template(f"a{number}", "team")
        await w.until(lambda: w.ledger.states()["Ready"] >= 1)
        standby = next(one for one in replicas if one is not leader)
        assert backlog(leader)["aim_discovery_pending_templates"] > 0
        assert {name: value for name, value in backlog(standby).items() if value} == {}
        exported = generate_latest(standby.manager.metrics.registry).decode()
        assert not re.search(
            r"^aim_(discovery_(pending|jobs)|templates|services|model)", exported, re.MULTILINE
        )
        began = w.now
        await leader.stop()
        await until_leader(w, 3.0, but=leader)
        assert w.now - began <= 3.0
        await w.until_all(seconds=60)
        assert set(w.ledger.created.values()) == {1}
        assert w.ledger.most_unfinished == 3


@virtual_time
async def test_a_leader_without_connection_ends_before_another_one_writes():
    async with world() as w:
        await w.model("m", image="aim-slow:1")
        first = w.start(election=True, discovery_limit=2)
        await until_leader(w, 5)
        w.start(election=True, discovery_limit=2)
        for number in range(6):
            await w.template(f"a{number}", "team")
        await w.until(lambda: len(w.ledger.unfinished) == 2)
        first.wire.cut = True
        await asyncio.wait([first.task])
        assert "lease" in str(first.task.exception())
        await until_leader(w, 10, but=first)
        await asyncio.sleep(60)
        assert w.ledger.most_unfinished == 2


@BOTH
@virtual_time
async def test_a_result_that_the_leader_has_not_read_is_read_by_the_next_one(namespace):
    async with world() as w:
        await w.model("m")
        first = w.start(election=True)
        await w.template("a", namespace)
        await w.until_state("a", namespace, "Progressing")
        await first.crash()
        await asyncio.sleep(600)
        assert not w.ledger.unfinished
        w.start(election=True)
        await w.until_state("a", namespace, "Ready", seconds=20)
        assert len(w.ledger.creations) == 1


@BOTH
@virtual_time
async def test_changes_made_without_a_leader_are_handled_by_the_next_one(namespace):
    async with world() as w:
        await w.model("m")
        await w.model("gone")
        first = w.start()
        for name, model in (("changed", "m"), ("kept", "gone"), ("deleted", "m")):
            await w.template(name, namespace, model)
        await w.until_all()
        await first.crash()
        await w.model("m", image="aim-new:1")
        await w.delete_template("deleted", namespace)
        await w.template("made", namespace)
        await w.client.delete(kinds.CLUSTER_MODELS, "gone")
        w.start()
        await w.until_state("made", namespace, "Ready")
        await w.until(lambda: w.status("changed", namespace)["modelSources"][0]["name"] == "aim-new")
        await w.until_state("kept", namespace, "Degraded", seconds=1)


# ---- settled


@pytest.mark.proof
@pytest.mark.parametrize("election", [False, True])
@virtual_time
async def test_a_settled_cluster_gets_no_writes_over_time_after_restarts_and_with_a_new_leader(
    election,
):
    async with world() as w:
        await w.model("m")
        await w.model("bad", image="aim-broken:1")
        await w.model("empty", image="hostile:empty")
        for namespace in ("team", "other", ""):
            await w.template("good", namespace)
            await w.template("bad", namespace, "bad")
            await w.template("empty", namespace, "empty")
            await w.template("missing", namespace, "missing")
            await w.template("no-gpu", namespace, gpuSelector={"count": 1, "model": "MI325X"})
            await w.template(
                "static", namespace, modelSources=[{"name": "s", "sourceURI": "hf://s", "size": "1Gi"}]
            )
        await w.service("s", "team", model={"ref": "m"})
        first = w.start(election=election)
        wanted = {"Ready": 6, "Failed": 6, "Pending": 3, "NotAvailable": 3}
        await w.until(lambda: w.ledger.states() == wanted, seconds=120)
        await asyncio.sleep(400)  # the Events' series end
        version, events = w.version, len(w.ledger.events)
        before = len(first.wire.writes)

        def unchanged():
            assert len(w.ledger.events) == events
            assert w.version == version or election
            assert w.ledger.states() == wanted

        await asyncio.sleep(600)
        unchanged()
        assert len(first.wire.writes) == before
        for informer in first.manager.cache.informers:
            await informer.resync()
        await asyncio.sleep(60)
        unchanged()
        assert len(first.wire.writes) == before

        second = w.start(election=election)
        await asyncio.sleep(5)
        await (first.crash() if election else first.stop())
        await asyncio.sleep(120)
        assert second.leads
        unchanged()
        assert second.wire.writes == []
        if election:
            third = w.start(election=True)
            await asyncio.sleep(5)
            await second.stop()
            await asyncio.sleep(60)
            assert third.leads
            unchanged()
            assert second.wire.writes == third.wire.writes == []


# ---- outages in every phase


async def _away(w, seconds):
    """An outage of the API server, in which the manager sends few requests."""
    async with w.outage() as outage:
        await asyncio.sleep(seconds)
        assert outage.hits <= 150 + 2 * seconds, "the requests of two managers, with leader election"


@pytest.mark.parametrize("seconds", variants([3.0, 100.0]))
@pytest.mark.parametrize(
    "phase",
    ["before sync", "waiting", "job running", "job finished but unread", "status in flight", "settled"],
)
@virtual_time
async def test_an_outage_of_the_api_server_in_any_phase_loses_nothing(phase, seconds):
    async with world() as w:
        await w.model("m")
        if phase == "waiting":
            await w.model("m", image="aim-slow:1")
        if phase == "before sync":
            for number in range(4):
                await w.template(f"a{number}", ("team", "")[number % 2])
            async with w.outage():
                w.start(discovery_limit=2)
                await asyncio.sleep(min(seconds, 60.0))  # after 120 s without a sync a manager gives up
        else:
            w.start(discovery_limit=2)
            for number in range(4):
                await w.template(f"a{number}", ("team", "")[number % 2])
        if phase == "waiting":
            await w.until(lambda: len(w.ledger.unfinished) == 2)
            await _away(w, seconds)
        elif phase == "job running":
            await w.until(lambda: w.ledger.states()["Progressing"])
            await _away(w, seconds)
        elif phase == "job finished but unread":
            w.faults.add(Answer(503), Match("get", "pods", "log"))
            await w.until(lambda: w.ledger.freed)
            w.faults.clear()
            await _away(w, seconds)
        elif phase == "status in flight":
            for resource in ("aimservicetemplates", "aimclusterservicetemplates"):
                w.faults.add(Answer(500, after_effect=True), Match("patch", resource, "status"), times=3)
            await w.until(lambda: w.ledger.freed)
            await _away(w, seconds)
        elif phase == "settled":
            await w.until_all()
            await _away(w, seconds)
        await w.until_all(seconds=1300)
        assert set(w.ledger.created.values()) == {1}
        assert len(w.ledger.creations) == 4
        assert w.ledger.most_unfinished <= 2
        await w.template("after", "team", modelSources=[{"name": "s", "sourceURI": "hf://s", "size": "1Gi"}])
        await w.until_state("after", "team", "Ready", seconds=60)


@virtual_time
async def test_the_operator_recovers_at_most_a_minute_after_a_long_outage():
    async with world() as w:
        await w.model("m")
        w.start(discovery_limit=2)
        for number in range(4):
            await w.template(f"a{number}", "team")
        await w.until(lambda: w.ledger.states()["Progressing"])
        await _away(w, 900)
        await w.until_all(seconds=90)


@pytest.mark.proof
@virtual_time
async def test_managers_with_leader_election_survive_an_outage_longer_than_the_lease():
    async with world() as w:
        await w.model("m")
        replicas = [w.start(election=True, discovery_limit=2) for _ in range(2)]
        leader = await until_leader(w, 5)
        for number in range(6):
            await w.template(f"a{number}", "team")
        await w.until(lambda: w.ledger.states()["Progressing"])
        await _away(w, 40)
        assert not leader.running
        standby = next(item for item in replicas if item is not leader)
        assert standby.running
        w.replicas.remove(leader)
        w.start(election=True, discovery_limit=2)
        await w.until_all(seconds=90)
        assert w.ledger.most_unfinished == 2
        assert set(w.ledger.created.values()) == {1}
