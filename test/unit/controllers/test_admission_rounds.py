"""Rounds of discovery admission against the embedded server without controllers: Jobs do not end by themselves."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.controllers.indexes.templates import JOB_INDEXES
from aimctl.controllers.observer import DISCOVERY_SELECTOR
from aimctl.controllers.templates.admission import FIRST_PAUSE_SECONDS, ROUND
from aimctl.devcluster.faults import Answer, Delay, Match, Refuse, Silence
from aimctl.domain.plan import Get, Plan, RequestSlot
from aimctl.kubetypes.builtin import CONFIG_MAPS, JOBS
from aimctl.runtime.cache import Cache
from aimctl.runtime.controller import Request
from aimctl.runtime.kube import ServerError
from aimctl.testing.virtualtime import virtual_time
from support.admission import Admission, job_of
from support.operator import World, world
from support.things import owner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Bench(Admission):
    def __init__(self, w: World, limit: int) -> None:
        self.w = w
        self.cache = Cache(w.cluster.client(), clock=w.cluster.clock, rng=random.Random(1))
        self.cache.declare(JOBS, label_selector=DISCOVERY_SELECTOR, indexes=JOB_INDEXES)
        super().__init__(self.cache, w.cluster.client(), w.cluster.clock, limit)

    def fail(self, action: Any, times: int = 1) -> None:
        """Let creations of Jobs fail."""
        self.w.faults.add(action, Match("create", "jobs"), times=times)

    async def sleep(self, seconds: float) -> None:
        await self.w.cluster.clock.sleep(seconds)

    @property
    def created(self) -> list[str]:
        return sorted(name for _, name in self.w.ledger.created)


@asynccontextmanager
async def bench(limit: int = 2, made_by: Any = Bench) -> AsyncIterator[Any]:
    async with world(controllers=False, crds=[]) as w, asyncio.TaskGroup() as tasks:
        await w.namespace("team")
        made = made_by(w, limit)
        task = tasks.create_task(made.cache.run())
        await made.cache.wait_synced(60)
        yield made
        task.cancel()


# ---- which Jobs are created


@virtual_time
async def test_free_slots_are_assigned_in_order_and_the_others_wait() -> None:
    async with bench() as b:
        await b.request("b", "c", "a")
        assert await b.round() is None
        assert b.created == ["a", "b"]
        assert (b.admission.pending, b.admission.running) == (1, 2)
        assert b.admission.waits(Request("team", "c"))
        assert not b.admission.waits(Request("team", "a"))


@virtual_time
async def test_a_template_that_cannot_be_decided_about_does_not_block_the_others() -> None:
    async with bench() as b:
        await b.request("a", "b", "c")
        b.wanted["a"] = ValueError("an error in the decision")
        await b.round()
        assert b.created == ["b", "c"]
        assert b.admission.pending == 0
        b.wanted["a"] = job_of("a")
        await b.round()
        assert b.admission.pending == 1


@virtual_time
async def test_a_job_that_is_no_longer_planned_is_not_created_and_its_slot_is_for_the_next() -> None:
    async with bench() as b:
        await b.request(*"abcd")
        b.wanted["a"] = None
        assert await b.round() is None
        assert b.created == ["b", "c"]
        assert (b.admission.pending, b.admission.running) == (1, 2)


@virtual_time
async def test_a_template_that_plans_another_job_meanwhile_gets_a_slot_for_that_one() -> None:
    async with bench() as b:
        await b.request(*"abcd")
        b.wanted["a"] = job_of("a", "another-input")
        assert await b.round() is None
        assert b.created == ["another-input", "b"]
        assert (b.admission.pending, b.admission.running) == (2, 2)


@virtual_time
async def test_every_slot_that_is_not_used_starts_a_round() -> None:
    async with bench(limit=1) as b:
        await b.request("a", "b")
        b.wanted["a"] = None
        await b.assign()
        b.rounds.clear()
        await b.reconcile("a")
        assert b.rounds == [ROUND]
        await b.assign()
        b.rounds.clear()
        await b.reconcile("b")
        assert b.created == ["b"]
        assert b.rounds == []


@virtual_time
async def test_a_slot_whose_job_has_ended_already_is_for_the_next() -> None:
    """A new leader may not have seen yet that a Job of the former one exists and has ended."""
    async with bench(limit=1) as b:
        await b.request("a", "b")
        complete = [{"type": kind, "status": "True"} for kind in ("SuccessCriteriaMet", "Complete")]
        times = {"startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:00Z"}
        await b.w.client.create(JOBS, job_of("a").manifest)
        await b.w.client.patch(
            JOBS, "a", {"status": {"conditions": complete, **times}}, "team", subresource="status"
        )
        await b.sleep(1)
        await b.assign()
        b.rounds.clear()
        b.wanted["a"] = None
        await b.reconcile("a")
        assert b.rounds == [ROUND]
        await b.round()
        assert b.created == ["a", "b"]


@virtual_time
async def test_a_template_that_is_gone_gets_no_job() -> None:
    async with bench() as b:
        await b.request("a", "b")
        del b.wanted["a"]
        await b.round()
        assert b.created == ["b"]
        assert b.admission.pending == 0


class Dependent(Bench):
    """A template wants a Job only while there is no ConfigMap of its name. The watch of ConfigMaps delivers nothing."""

    def __init__(self, w: World, limit: int) -> None:
        super().__init__(w, limit)
        w.faults.add(Silence(), Match("watch", "configmaps"))
        self.cache.declare(CONFIG_MAPS, namespaces=["team"])

    def _decide(self, name: str) -> Plan:
        if self.cache.get(CONFIG_MAPS, name, "team") is not None:
            return Plan()
        inputs = (Get(CONFIG_MAPS, "team", name),)
        slots = super()._decide(name).of_type(RequestSlot)
        return Plan(tuple(RequestSlot(replace(slot.create, inputs=inputs)) for slot in slots))


@virtual_time
async def test_a_job_is_created_only_if_it_is_planned_from_the_newest_state_of_its_inputs() -> None:
    async with bench(made_by=Dependent) as b:
        await b.w.client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "team")
        await b.request("a", "b")
        await b.round()
        assert b.created == ["b"]
        assert (b.admission.pending, b.admission.running) == (0, 1)


@virtual_time
async def test_inputs_that_cannot_be_read_take_no_slot_and_are_read_again() -> None:
    async with bench(made_by=Dependent) as b:
        b.w.faults.add(Answer(503), Match("get", "configmaps"), times=1)
        await b.request("a")
        await b.round()
        assert [type(error) for error in b.errors] == [ServerError]
        assert (b.created, b.admission.running) == ([], 0)
        assert await b.assign() is None
        await b.request("a")
        assert await b.assign() == FIRST_PAUSE_SECONDS
        await b.sleep(FIRST_PAUSE_SECONDS)
        await b.round()
        assert b.created == ["a"]


@virtual_time
async def test_a_template_that_always_fails_with_a_slot_gets_slots_with_growing_pauses_and_the_others_none() -> (
    None
):
    async with bench(limit=1, made_by=Dependent) as b:
        reads = b.w.faults.add(Answer(503), Match("get", "configmaps"))
        await b.request("a")
        for seconds in (1, 2, 4, 8, 16, 32, 40, 40):
            before = reads.hits
            await b.round()
            assert reads.hits == before + 1
            await b.sleep(seconds - 0.5)
            await b.round()
            assert reads.hits == before + 1
            await b.sleep(0.5)
        b.w.faults.clear()
        await b.request("b")
        await b.round()
        assert b.created == ["a"]


# ---- requests


@virtual_time
async def test_an_unchanged_request_causes_no_round_and_a_changed_one_does() -> None:
    async with bench() as b:
        await b.request("a")
        await b.request("a")
        assert b.rounds == [ROUND]
        await b.request("a", awaited=True)
        assert b.rounds == [ROUND] * 2
        b.wanted["a"] = job_of("other")
        await b.request("a")
        assert b.rounds == [ROUND] * 3
        assert b.admission.pending == 1


@virtual_time
async def test_the_debug_page_lists_the_waiting_templates_in_order_with_their_waiting_times() -> None:
    async with bench() as b:
        await b.request("a")
        await b.sleep(5)
        await b.request("a")
        await b.request("b")
        await b.request("b", awaited=True)
        await b.sleep(2.04)
        assert b.admission.queue() == [
            {"position": 1, "template": "team/b", "awaited_by_service": True, "waiting_seconds": 2.0},
            {"position": 2, "template": "team/a", "awaited_by_service": False, "waiting_seconds": 7.0},
        ]
        await b.withdraw("a")
        await b.withdraw("a")
        assert len(b.admission.queue()) == 1
        await b.round()
        assert b.admission.queue() == []
        assert [round(seconds, 2) for seconds in b.waited] == [2.04]


@virtual_time
async def test_a_changed_request_keeps_its_waiting_time() -> None:
    async with bench() as b:
        await b.request("a")
        await b.sleep(5)
        await b.request("a", awaited=True)
        await b.round()
        assert [round(seconds, 2) for seconds in b.waited] == [5.0]


# ---- creations that fail


@virtual_time
async def test_a_rejected_job_is_tried_again_with_increasing_delays() -> None:
    async with bench(limit=1) as b:
        b.fail(Answer(403, "Forbidden", "exceeded quota"), times=2)
        await b.request("a")
        assert await b.round() == 5.0
        assert "exceeded quota" in b.rejection("a")
        ((reason, message),) = b.events
        assert reason == "FailedCreate"
        assert "exceeded quota" in message
        assert b.admission.running == 0
        await b.reconcile("a")
        assert b.admission.pending == 0, "not tried again before the delay has passed"
        await b.sleep(5)
        assert await b.round() == 10.0
        assert len(b.events) == 1, "the same message is recorded once"
        await b.sleep(10)
        assert await b.round() is None
        assert b.created == ["a"]
        assert b.rejection("a") == ""


@virtual_time
async def test_a_rejected_job_leaves_its_slot_to_the_next_in_the_same_round() -> None:
    async with bench(limit=1) as b:
        b.fail(Answer(403, "Forbidden", "exceeded quota"))
        await b.request("a", "b")
        await b.round()
        assert b.created == ["b"]
        assert (b.admission.pending, b.admission.running) == (0, 1)


@virtual_time
async def test_a_webhook_that_cannot_be_called_is_a_rejection() -> None:
    async with bench(limit=1) as b:
        b.fail(Answer(500, "InternalError", 'failed calling webhook "policy"'))
        await b.request("a")
        assert await b.round() == 5.0
        assert "failed calling webhook" in b.rejection("a")
        assert b.admission.running == 0


@virtual_time
async def test_a_withdrawn_request_has_no_rejection() -> None:
    async with bench(limit=1) as b:
        b.fail(Answer(403, "Forbidden", "exceeded quota"))
        await b.request("a")
        await b.round()
        await b.withdraw("a")
        assert b.rejection("a") == ""
        b.wanted["a"] = job_of("a")
        await b.request("a")
        assert await b.round() is None
        assert b.created == ["a"]


@pytest.mark.parametrize("action", [Refuse(), Answer(429)], ids=repr)
@virtual_time
async def test_while_the_api_server_accepts_no_requests_rounds_follow_with_growing_pauses(
    action: Any,
) -> None:
    async with bench(limit=1) as b:
        b.fail(action, times=2)
        await b.request("a", "b")
        await b.round()
        assert await b.assign() == FIRST_PAUSE_SECONDS
        assert len(b.errors) == 1
        assert b.created == []
        assert b.admission.running == 0
        assert b.rejection("a") == ""
        await b.sleep(FIRST_PAUSE_SECONDS)
        await b.round()
        assert await b.assign() == 2 * FIRST_PAUSE_SECONDS
        assert len(b.errors) == 2
        await b.sleep(2 * FIRST_PAUSE_SECONDS)
        await b.round()
        assert await b.assign() is None
        assert b.created == ["a"]
        assert (b.admission.pending, b.admission.running) == (1, 1)


@virtual_time
async def test_the_failures_of_one_round_are_one_failure_and_a_creation_ends_the_growth() -> None:
    async with bench(limit=4) as b:
        b.fail(Answer(429), times=3)
        await b.request("a", "b", "c")
        await b.round()
        assert await b.assign() == FIRST_PAUSE_SECONDS
        assert len(b.errors) == 3
        await b.sleep(FIRST_PAUSE_SECONDS)
        b.fail(Answer(429), times=1)
        await b.round()
        await b.request("a")
        assert await b.assign() == 2 * FIRST_PAUSE_SECONDS
        assert b.created == ["b", "c"]
        await b.sleep(2 * FIRST_PAUSE_SECONDS)
        await b.round()
        assert b.created == ["a", "b", "c"]
        b.fail(Answer(429), times=1)
        await b.request("d")
        await b.round()
        assert await b.assign() == FIRST_PAUSE_SECONDS


@virtual_time
async def test_no_round_follows_before_the_retry_after_of_the_server() -> None:
    async with bench(limit=1) as b:
        b.fail(Answer(429, retry_after=30), times=1)
        await b.request("a")
        await b.round()
        assert await b.assign() == 30
        await b.sleep(29)
        await b.round()
        assert b.created == []
        await b.sleep(1)
        await b.round()
        assert b.created == ["a"]


@virtual_time
async def test_a_creation_whose_response_was_lost_is_looked_up_and_found() -> None:
    async with bench(limit=1) as b:
        b.fail(Answer(500, after_effect=True))
        await b.request("a", "b")
        await b.round()
        assert b.rejection("a") == ""
        assert b.admission.running == 1
        assert b.created == ["a"]
        await b.round()
        await b.sleep(20)
        await b.round()
        assert b.created == ["a"]
        assert (b.admission.pending, b.admission.running) == (1, 1)


@pytest.mark.parametrize("action", [Answer(500), Delay(4.5)], ids=repr)
@virtual_time
async def test_a_creation_without_response_that_had_no_effect_is_repeated_after_the_look_up(
    action: Any,
) -> None:
    async with bench(limit=2) as b:
        b.fail(action)
        await b.request("a")
        await b.round()
        await b.round()
        assert b.created == []
        assert b.admission.running == 1
        await b.sleep(10)
        await b.round()
        assert b.created == ["a"]


@virtual_time
async def test_a_job_that_exists_already_is_taken_if_it_belongs_to_the_template() -> None:
    async with bench(limit=2) as b:
        await b.w.client.create(JOBS, job_of("a").manifest)
        await b.request("a")
        assert await b.round() is None
        assert (b.admission.pending, b.admission.running) == (0, 1)


@pytest.mark.parametrize(
    ("metadata", "running"),
    [
        ({"labels": {}, "ownerReferences": []}, 0),
        ({"ownerReferences": []}, 0),
        ({"ownerReferences": [owner("another")]}, 0),
        ({"ownerReferences": [{**job_of("another").manifest["metadata"]["ownerReferences"][0]}]}, 1),
    ],
    ids=["of someone else", "with our labels", "of another kind", "of another template"],
)
@virtual_time
async def test_a_job_of_the_same_name_that_does_not_belong_to_the_template_is_reported(
    metadata: dict[str, Any], running: int
) -> None:
    async with bench(limit=2) as b:
        manifest = job_of("a").manifest
        await b.w.client.create(JOBS, {**manifest, "metadata": manifest["metadata"] | metadata})
        await b.request("a")
        assert await b.round() == 5.0
        assert b.rejection("a") == "Job 'a' exists already"
        assert (b.admission.pending, b.admission.running) == (0, running)


# ---- the first round of a leader


@virtual_time
async def test_a_new_leader_waits_for_all_requests_before_it_assigns_the_first_slot() -> None:
    async with bench(limit=1) as b:
        b.starting = True
        await b.request("z")
        soon = await b.round()
        assert soon is not None
        assert soon < 0.5
        assert b.created == []
        await b.request("a")
        b.starting = False
        await b.round()
        assert b.created == ["a"]
        b.starting = True  # only the first slots are delayed
        await b.withdraw("z")
        await b.request("b")
        await b.w.delete_job(b.w.ledger.jobs["team", "a"])
        await b.sleep(1)
        await b.round()
        assert b.created == ["a", "b"]


@virtual_time
async def test_a_new_leader_does_not_wait_longer_than_ten_seconds() -> None:
    async with bench(limit=1) as b:
        b.starting = True
        await b.request("z")
        await b.round()
        await b.sleep(9.9)
        await b.round()
        assert b.created == []
        await b.sleep(0.1)
        await b.round()
        assert b.created == ["z"]
