"""The limit of discovery Jobs, and the order in which templates get slots."""

from __future__ import annotations

import asyncio
import random

import pytest

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, CutStream, Delay, Gone410, Match, Refuse, Silence
from aimctl.kubetypes.builtin import JOBS
from aimctl.testing.virtualtime import run_virtual, virtual_time
from support.operator import world
from support.proofs import seeds, variants
from support.service_witness import STATIC


async def many(w, count, namespaces, model="m"):
    for number in range(count):
        await w.template(f"t{number}", f"ns{number % namespaces}", model)


def each_input_once(w):
    assert set(w.ledger.created.values()) == {1}
    assert set(w.ledger.inputs.values()) == {1}
    return True


@virtual_time
async def test_ten_of_many_templates_run_at_once_and_a_freed_slot_is_taken_immediately():
    async with world() as w:
        await w.model("m")
        await many(w, 40, 20)
        replica = w.start()
        await w.until_all()
        assert w.ledger.most_unfinished == 10
        assert len(w.ledger.creations) == 40
        assert each_input_once(w)
        assert max(w.slots_left_empty(10)) < 1.0
        # Waiting causes no writes, so their number does not depend on the time in the queue.
        assert len(replica.wire.writes) <= 40 * 16


@pytest.mark.parametrize("limit", [1, 3])
@virtual_time
async def test_the_limit_is_the_configured_one(limit):
    async with world() as w:
        await w.model("m")
        await many(w, 8, 3)
        w.start(discovery_limit=limit)
        await w.until_all()
        assert w.ledger.most_unfinished == limit


@virtual_time
async def test_both_scopes_share_the_limit():
    async with world() as w:
        await w.model("m")
        for number in range(6):
            await w.template(f"t{number}", ("team", "")[number % 2])
        w.start(discovery_limit=2)
        await w.until_all()
        assert w.ledger.most_unfinished == 2


# ---- managers that crash


def _storm(seed, count, limit):
    """Two managers with leader election, with crashes and faults at random times."""

    async def scenario():
        rng = random.Random(seed)
        async with world(seed=seed, pace=rng.choice([0.5, 1.0, 2.0])) as w:
            w.faults._rng = rng
            await w.model("m")
            await many(w, count, 20)
            for _ in range(2):
                w.start(election=True, discovery_limit=limit)
            while set(w.ledger.states()) != {"Ready"}:
                await asyncio.sleep(rng.uniform(0.5, 6.0))
                await _trouble(w, rng)
                for replica in [*w.replicas]:
                    if not replica.running:
                        assert replica.task.cancelled() or replica.task.exception()
                        w.replicas.remove(replica)
                        w.start(election=True, discovery_limit=limit)
                assert w.now < 1800, w.describe()
            assert w.ledger.most_unfinished <= limit
            assert each_input_once(w)
            await asyncio.sleep(60)
            assert len(w.ledger.creations) == count
            assert not w.ledger.unfinished

    run_virtual(scenario())


async def _trouble(w, rng):
    faults = w.faults
    match rng.randrange(9):
        case 0:
            victims = [replica for replica in w.replicas if replica.running]
            await rng.choice(victims).crash()
        case 1:
            leader = w.leader
            if leader is not None:
                await leader.crash()
        case 2:
            faults.add(Answer(rng.choice([429, 500, 503])), chance=0.3, times=rng.randrange(1, 40))
        case 3:
            after = rng.random() < 0.5
            faults.add(Answer(500, after_effect=after), Match("create", "jobs"), times=rng.randrange(1, 5))
        case 4:
            faults.add(Delay(rng.uniform(0.1, 4.4)), Match("create", "jobs"), times=rng.randrange(1, 5))
        case 5:
            faults.add(Silence(rng.randrange(4)), Match("watch", rng.choice(["jobs", "pods", "*"])), times=3)
            w.cluster.server.storage.end_streams()
        case 6:
            faults.add(CutStream(rng.randrange(4)), Match("watch"), times=rng.randrange(1, 12))
            w.cluster.server.storage.end_streams()
        case 7:
            faults.add(Gone410(rng.choice(["event", "status", "body"])), Match("watch"), times=6)
            w.cluster.server.storage.compact()
            w.cluster.server.storage.end_streams()
        case 8:
            outage = faults.add(Refuse())
            w.cluster.server.storage.end_streams()
            await asyncio.sleep(rng.uniform(0.2, 8.0))
            faults.remove(outage)


@pytest.mark.proof
def test_two_hundred_templates_in_twenty_namespaces_keep_the_limit_of_ten_through_crashes_and_faults():
    _storm(1, 200, 10)


@pytest.mark.proof
@pytest.mark.parametrize("seed", seeds(8, quick=1))
def test_the_limit_holds_and_each_input_is_discovered_once_through_crashes_and_faults(seed):
    _storm(seed, 20, 4)


@virtual_time
async def test_a_new_leader_with_a_stale_cache_counts_the_jobs_of_its_predecessor():
    async with world() as w:
        await w.model("slow", image="aim-slow:1")
        first = w.start(election=True, discovery_limit=4)
        second = w.start(election=True, discovery_limit=4)
        await asyncio.sleep(5)
        leader = w.leader
        assert leader in (first, second)
        w.faults.add(Silence(), Match("watch", "jobs"))
        w.cluster.server.storage.end_streams()
        await many(w, 8, 2, "slow")
        await w.until(lambda: len(w.ledger.unfinished) == 4, seconds=5)
        # Other templates are first now, so the new leader does not find the Jobs of its predecessor by their names.
        for _, name in set(w.ledger.templates) - {("ns0", "t0"), ("ns1", "t1"), ("ns0", "t2"), ("ns1", "t3")}:
            await w.service(name, f"ns{int(name[1:]) % 2}", model={"ref": "slow"}, templateRef=name)
        await leader.crash()
        await asyncio.sleep(30)
        assert w.leader is not None
        assert w.leader is not leader
        assert w.ledger.most_unfinished == 4
        assert len(w.ledger.creations) == 4


# ---- fairness


@pytest.mark.proof
@virtual_time
async def test_five_hundred_templates_of_one_namespace_do_not_delay_the_single_one_of_another():
    async with world() as w:
        await w.model("m")
        for number in range(100):
            await w.template(f"t{number}", "crowd")
        w.start(discovery_limit=3)
        await w.until(lambda: w.ledger.states()["Ready"] >= 3)
        await w.template("single", "other")
        await w.template("single", "")
        for namespace in ("other", ""):
            await w.until_state("single", namespace, "Ready", seconds=10)
        assert w.ledger.states()["Ready"] < 20


@pytest.mark.parametrize("namespace", ["crowd", ""], ids=["namespaced", "cluster"])
@pytest.mark.parametrize("by", variants(["template", "model"]))
@virtual_time
async def test_a_template_that_a_service_waits_for_gets_a_slot_first(namespace, by):
    async with world() as w:
        await w.model("m")
        await w.model("wanted-model", image="aim-w:1")
        for number in range(20):
            await w.template(f"t{number:02}", namespace)
        await w.template("wanted", namespace, "wanted-model")
        w.start(discovery_limit=2)
        await w.until(lambda: w.ledger.states() == {"Pending": 19, "Progressing": 2})
        wish = {"model": {"ref": "wanted-model"}}
        if by == "template":
            wish["templateRef"] = "wanted"
        await w.service("s", "crowd", **wish)
        await w.until_state("wanted", namespace, "Ready", seconds=8)
        assert len(w.ledger.creations) <= 6


@virtual_time
async def test_the_template_of_a_deleted_service_loses_its_precedence():
    async with world() as w:
        await w.model("m")
        for number in range(12):
            await w.template(f"t{number:02}", "team")
            await asyncio.sleep(1)
        await w.service("s", "team", model={"ref": "m"}, templateRef="t11")
        w.start(discovery_limit=1)
        await w.until(lambda: w.ledger.states() == {"Pending": 11, "Progressing": 1})
        await w.client.delete(kinds.SERVICES, "s", "team")
        await w.service("s", "team", model={"ref": "m"}, templateRef="t05")
        await w.service("s", "team", model={"ref": "m"}, templateRef="t06")
        await w.client.delete(kinds.SERVICES, "s", "team")
        await w.until_all()
        order = [job["metadata"]["labels"]["aim.silogen.ai/template"] for _, job in w.ledger.creations]
        assert order == ["t11", *sorted(order[1:])]


@virtual_time
async def test_services_cause_no_reconciles_of_templates_that_do_not_wait_for_a_slot():
    async with world() as w:
        await w.model("m")
        replica = w.start()
        await w.template("ready", "")
        await w.until_all()

        def looks() -> float:
            return replica.metric(
                "controller_runtime_reconcile_total", controller="clusterdiscovery", result="success"
            )

        before = looks()
        for number in range(20):
            await w.service(
                f"s{number}", "team", model={"ref": "m"}, templateRef=("ready", "nobody")[number % 2]
            )
        await asyncio.sleep(60)
        assert looks() == before


@virtual_time
async def test_within_a_namespace_the_oldest_template_comes_first_also_after_a_failover():
    async with world() as w:
        await w.model("m")
        for number in range(9):
            await w.template(f"t{number}", "team")
            await asyncio.sleep(1)
        first = w.start(discovery_limit=1)
        await w.until(lambda: len(w.ledger.creations) == 4)
        await first.crash()
        w.start(discovery_limit=1)
        await w.until_all()
        order = [job["metadata"]["labels"]["aim.silogen.ai/template"] for _, job in w.ledger.creations]
        assert order == sorted(order)


@virtual_time
async def test_the_statuses_of_waiting_templates_are_written_once_while_others_get_slots():
    async with world() as w:
        await w.model("slow", image="aim-slow:1")
        w.start(discovery_limit=2)
        await many(w, 10, 2, "slow")
        await w.until(
            lambda: sum(w.told(*key[::-1])[1] == "AwaitingDiscovery" for key in w.ledger.templates) == 8
        )
        await asyncio.sleep(5)
        waiting = [key for key in w.ledger.templates if not w.ledger.jobs_of(key[1], key[0])]
        before = {key: w.ledger.templates[key]["metadata"]["resourceVersion"] for key in waiting}
        assert len(waiting) == 8
        await asyncio.sleep(200)
        assert {key: w.ledger.templates[key]["metadata"]["resourceVersion"] for key in waiting} == before
        for namespace, name in waiting:
            assert w.state(name, namespace) == "Pending"
            assert w.told(name, namespace) == ("False", "AwaitingDiscovery")
        page = w.replicas[0].admission.queue()
        assert [row["position"] for row in page] == list(range(1, 9))


@virtual_time
async def test_a_template_that_no_longer_needs_a_slot_is_removed_from_the_queue():
    async with world() as w:
        await w.model("slow", image="aim-slow:1")
        replica = w.start(discovery_limit=1)
        await many(w, 4, 1, "slow")
        await w.until(lambda: replica.admission.pending == 3 and len(w.ledger.unfinished) == 1)
        waiting = [name for _, name in w.ledger.templates if not w.ledger.jobs_of(name, "ns0")]
        sources = [{"name": "s", "sourceURI": "hf://s", "size": "1Gi"}]
        await w.template(waiting[0], "ns0", "slow", modelSources=sources)
        await w.until_state(waiting[0], "ns0", "Ready", seconds=1)
        assert replica.metric("aim_discovery_pending_templates") == 2
        await w.delete_template(waiting[1], "ns0")
        await asyncio.sleep(1)
        assert replica.metric("aim_discovery_pending_templates") == 1


# ---- Jobs of others


def owner_of(name, uid):
    return {
        "apiVersion": kinds.TEMPLATES.api_version,
        "kind": kinds.TEMPLATES.kind,
        "name": name,
        "uid": uid,
        "controller": True,
    }


def lookalike(number, owners=()):
    """A suspended Job with the labels of the operator, which never ends."""
    labels = {
        "aim.silogen.ai/template": f"t{number}",
        "app.kubernetes.io/managed-by": "aim",
        "app.kubernetes.io/component": "discovery",
    }
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "aim-m:1"}]}
    metadata = {"name": f"lookalike-{number}", "labels": labels, "ownerReferences": list(owners)}
    # A finalizer keeps it even if the garbage collector finds that its owner does not exist.
    metadata["finalizers"] = ["example.com/keep"]
    return {"metadata": metadata, "spec": {"suspend": True, "template": {"spec": pod}}}


@virtual_time
async def test_suspended_jobs_with_the_labels_of_discovery_hold_no_slots():
    async with world() as w:
        await w.model("m")
        await w.namespace("attacker")
        await w.template("real", "team", modelSources=STATIC)
        replica = w.start(discovery_limit=2)
        await w.until_state("real", "team", "Ready")
        real = w.ledger.templates["team", "real"]["metadata"]["uid"]
        forged = [
            (),
            [owner_of("gone", "no-such-uid")],
            [owner_of("real", "no-such-uid")],
            [owner_of("real", real)],  # it exists, but not in the namespace of the Job
        ]
        for number, owners in enumerate(forged * 3):
            await w.client.create(JOBS, lookalike(number, owners), "attacker")
        await many(w, 4, 2)
        await w.until_all()
        assert replica.admission.running == 0
        assert len((await w.client.list(JOBS, "attacker")).items) == 12
