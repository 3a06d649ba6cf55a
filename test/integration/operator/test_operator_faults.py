"""Faults of API servers and networks: nothing is lost, no Job runs twice, and retries have delays."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.devcluster.faults import Answer, CutStream, Delay, Gone410, Match, Refuse, Silence
from aimctl.testing.virtualtime import virtual_time
from support.operator import world
from support.proofs import variants

CREATE_JOB = Match("create", "jobs")


async def ready_with_one_job_each(w, count, *, limit=3, seconds=300):
    await w.until_all(seconds=seconds)
    assert len(w.ledger.creations) == count
    assert set(w.ledger.created.values()) == {1}
    assert w.ledger.most_unfinished <= limit


# ---- creations without a clear response


@pytest.mark.parametrize("code", variants([500, 503, 504]))
@pytest.mark.parametrize("after_effect", variants([True, False]), ids=["answer lost after", "refused before"])
@virtual_time
async def test_a_creation_whose_response_is_lost_keeps_its_slot_and_creates_one_job(code, after_effect):
    async with world() as w:
        await w.model("m")
        for number in range(6):
            await w.template(f"a{number}", "team")
        w.faults.add(Answer(code, after_effect=after_effect), CREATE_JOB, times=4)
        w.start(discovery_limit=3)
        await ready_with_one_job_each(w, 6)


@pytest.mark.proof
@virtual_time
async def test_a_creation_that_reaches_the_server_after_its_timeout_creates_one_job_within_the_limit():
    async with world() as w:
        await w.model("m")
        for number in range(8):
            await w.template(f"a{number}", "team")
        w.faults.add(Delay(6.0), CREATE_JOB, times=3)
        w.start(discovery_limit=3)
        await ready_with_one_job_each(w, 8)


@virtual_time
async def test_creations_that_never_arrive_are_looked_up_and_repeated():
    async with world() as w:
        await w.model("m")
        for number in range(6):
            await w.template(f"a{number}", "team")
        w.faults.add(Delay(3600.0), CREATE_JOB, times=3)
        w.start(discovery_limit=3)
        await ready_with_one_job_each(w, 6, seconds=60)


@pytest.mark.parametrize(
    "action", variants([Answer(500), Answer(429, retry_after=5), Answer(429), Refuse()]), ids=repr
)
@virtual_time
async def test_a_server_that_accepts_no_creations_gets_few_requests_and_is_used_soon_after_it_recovers(
    action,
):
    async with world() as w:
        await w.model("m")
        for number in range(6):
            await w.template(f"a{number}", "team")
        fault = w.faults.add(action, CREATE_JOB)
        w.start(discovery_limit=3)
        await asyncio.sleep(300)
        assert 3 <= fault.hits <= 3 * 40
        assert w.ledger.creations == []
        w.faults.clear()
        await w.until(lambda: w.ledger.creations, seconds=45)
        await ready_with_one_job_each(w, 6)


@virtual_time
async def test_the_look_up_of_a_creation_is_repeated_with_delays():
    async with world() as w:
        await w.model("m")
        await w.template("a", "team")
        w.faults.add(Answer(500, after_effect=True), CREATE_JOB, times=1)
        w.faults.add(Silence(), Match("watch", "jobs"))
        look = w.faults.add(Answer(500), Match("get", "jobs"))
        again = w.faults.add(Answer(500), CREATE_JOB)
        w.start(discovery_limit=1)
        await asyncio.sleep(70)
        assert look.hits + again.hits <= 40


@virtual_time
async def test_the_failing_creations_of_one_template_are_repeated_with_delays_although_slots_are_free():
    async with world() as w:
        await w.model("m")
        await w.template("a", "team")
        fault = w.faults.add(Answer(500), CREATE_JOB)
        w.start(discovery_limit=10)
        await asyncio.sleep(60)
        assert 2 <= fault.hits <= 10


# ---- caches that lag


@pytest.mark.proof
@virtual_time
async def test_a_silent_watch_of_jobs_neither_exceeds_the_limit_nor_runs_a_job_twice():
    async with world() as w:
        await w.model("m")
        for number in range(9):
            await w.template(f"a{number}", "team")
        w.faults.add(Silence(after_lines=2), Match("watch", "jobs"), times=3)
        w.start(discovery_limit=3)
        await ready_with_one_job_each(w, 9, seconds=600)


@virtual_time
async def test_with_a_lagging_watch_of_pods_the_output_of_a_finished_job_is_read():
    async with world() as w:
        await w.model("m")
        w.start(discovery_limit=3)
        await asyncio.sleep(1)
        for number in range(5):
            await w.template(f"a{number}", "team")
        w.faults.add(Silence(), Match("watch", "pods"))
        w.cluster.server.storage.end_streams()
        await ready_with_one_job_each(w, 5, seconds=60)
        assert not any(reason == "DiscoveryOutputLost" for _, reason in w.events_of("a0"))


@pytest.mark.proof
@virtual_time
async def test_with_a_lagging_watch_of_pods_the_cause_of_a_failed_job_is_read():
    async with world() as w:
        await w.model("m", image="aim-crashing:1")
        w.start()
        await asyncio.sleep(1)
        w.faults.add(Silence(), Match("watch", "pods"))
        w.cluster.server.storage.end_streams()
        await w.template("a", "team")
        await w.until_state("a", "team", "Failed", seconds=200)
        assert "exit code 3" in w.condition("a", "team")["message"]
        assert "RuntimeError" in w.condition("a", "team")["message"]


@pytest.mark.proof
@pytest.mark.parametrize("form", variants(["event", "status", "body"]))
@virtual_time
async def test_expired_watches_are_started_again_and_no_change_is_missed(form):
    async with world() as w:
        await w.model("m")
        w.start(discovery_limit=3)
        await asyncio.sleep(1)
        w.faults.add(Gone410(form), Match("watch"), times=20)
        for number in range(6):
            await w.template(f"a{number}", "team")
            w.cluster.server.storage.end_streams()
            await asyncio.sleep(0.7)
            w.cluster.server.storage.compact()
        await ready_with_one_job_each(w, 6)


@pytest.mark.proof
@virtual_time
async def test_watches_that_are_cut_within_a_line_lose_no_change():
    async with world() as w:
        await w.model("m")
        # Not the first watches, which send all objects: with more than three they could not succeed.
        later = Match("watch", predicate=lambda info: not info.initial_events)
        w.faults.add(CutStream(after_lines=3), later, times=60)
        for number in range(6):
            await w.template(f"a{number}", ("team", "")[number % 2])
        w.start(discovery_limit=3)
        await ready_with_one_job_each(w, 6)


# ---- writes and logs


@pytest.mark.parametrize(
    "action", variants([Answer(500, after_effect=True), Answer(500), Answer(429), Refuse()]), ids=repr
)
@virtual_time
async def test_failed_status_writes_are_repeated_and_no_result_is_lost(action):
    async with world() as w:
        await w.model("m")
        await w.model("bad", image="hostile:empty")
        for resource in ("aimservicetemplates", "aimclusterservicetemplates"):
            w.faults.add(action, Match("patch", resource, "status"), times=15)
        for namespace in ("team", ""):
            await w.template("good", namespace)
            await w.template("bad", namespace, model="bad")
        w.start()
        for namespace in ("team", ""):
            await w.until_state("good", namespace, "Ready")
            await w.until_state("bad", namespace, "Failed")
        assert len(w.ledger.creations) == 4


@pytest.mark.proof
@virtual_time
async def test_slow_responses_only_delay_discovery():
    async with world() as w:
        await w.model("m")
        for number in range(6):
            await w.template(f"a{number}", ("team", "")[number % 2])
        w.faults.add(Delay(1.5))
        w.start(discovery_limit=3)
        await ready_with_one_job_each(w, 6)


@virtual_time
async def test_a_log_that_cannot_be_read_for_a_while_is_read_later():
    async with world() as w:
        await w.model("m")
        w.faults.add(Answer(500), Match("get", "pods", "log"), times=5)
        w.start()
        await w.template("a", "team")
        await w.until_state("a", "team", "Ready")
        assert len(w.ledger.creations) == 1


@pytest.mark.parametrize("action", [Answer(500), Silence()], ids=repr)
@virtual_time
async def test_a_log_that_can_never_be_read_is_lost_and_discovery_runs_again(action):
    async with world() as w:
        await w.model("m")
        fault = w.faults.add(action, Match("get", "pods", "log"))
        w.start()
        await w.template("a", "team")
        await w.until(lambda: len(w.ledger.creations) == 2, seconds=400)
        assert ("Warning", "DiscoveryOutputLost") in w.events_of("a")
        assert fault.hits <= 40
        w.faults.clear()
        await w.until_state("a", "team", "Ready", seconds=60)


@pytest.mark.proof
@virtual_time
async def test_a_status_that_the_server_rejects_for_a_while_is_written_later():
    async with world() as w:
        await w.model("m")
        invalid = Answer(422, "Invalid", "status.profile: Invalid value: a policy does not like it")
        fault = w.faults.add(invalid, Match("patch", "aimservicetemplates", "status"))
        w.start()
        await w.template("a", "team")
        await asyncio.sleep(300)
        assert 5 <= fault.hits <= 60
        w.faults.clear()
        await w.until_state("a", "team", "Ready", seconds=61)
        assert len(w.ledger.creations) == 1


@virtual_time
async def test_events_that_cannot_be_recorded_do_not_affect_discovery():
    async with world() as w:
        await w.model("m")
        w.faults.add(Answer(500), Match("*", "events"))
        w.start()
        await w.template("a", "team")
        await w.until_state("a", "team", "Ready", seconds=10)
