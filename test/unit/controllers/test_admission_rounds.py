"""Rounds of discovery admission, against the embedded server without controllers: Jobs never end by themselves."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from aimctl.controllers.indexes.templates import JOB_INDEXES
from aimctl.controllers.observer import DISCOVERY_SELECTOR
from aimctl.controllers.templates.admission import ROUND, DiscoveryAdmission
from aimctl.devcluster.faults import Answer, Match, Refuse
from aimctl.domain.naming import LABEL_COMPONENT, LABEL_TEMPLATE
from aimctl.domain.templates.admission import Candidate
from aimctl.domain.templates.discovery_decision import DiscoveryWish
from aimctl.domain.templates.discovery_job import COMPONENT
from aimctl.kubetypes.builtin import JOBS
from aimctl.runtime.cache import Cache
from aimctl.testing.virtualtime import virtual_time
from support.operator import World, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aimctl.runtime.controller import Request


def wish(name: str) -> DiscoveryWish:
    owner = {"apiVersion": "v1", "kind": "T", "name": name, "uid": f"uid-{name}", "controller": True}
    body = {
        "metadata": {
            "name": name,
            "labels": {LABEL_TEMPLATE: name, LABEL_COMPONENT: COMPONENT},
            "ownerReferences": [owner],
        },
        "spec": {
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
        },
    }
    return DiscoveryWish(name, "team", "hash", body)


class Bench:
    def __init__(self, w: World, limit: int) -> None:
        self.w = w
        self.requeued: list[Request] = []
        self.busy = False
        self.waited: list[float] = []
        self.cache = Cache(w.cluster.client(), clock=w.cluster.clock, rng=random.Random(1))
        self.cache.declare(JOBS, label_selector=DISCOVERY_SELECTOR, indexes=JOB_INDEXES)
        reader = w.cluster.client()
        self.admission = DiscoveryAdmission(
            cache=self.cache,
            client=reader.with_(on_write=self.cache.observe_write),
            api_reader=reader,
            clock=w.cluster.clock,
            limit=limit,
            requeue=self.requeued.append,
            granted=self.waited.append,
            busy=lambda: self.busy,
        )

    def want(self, name: str, plan: Any = None, *, awaited: bool = False, refused: Any = None) -> None:
        candidate = Candidate(f"team/{name}", "team", name, awaited)
        self.admission.want(candidate, plan or (lambda: wish(name)), refused or (lambda _: None))

    async def round(self) -> float | None:
        result = await self.admission.reconcile(ROUND)
        return None if result is None else result.requeue_after

    @property
    def created(self) -> list[str]:
        return sorted(name for _, name in self.w.ledger.created)


@asynccontextmanager
async def bench(limit: int = 2) -> AsyncIterator[Bench]:
    async with world(controllers=False, crds=[]) as w, asyncio.TaskGroup() as tasks:
        await w.namespace("team")
        made = Bench(w, limit)
        task = tasks.create_task(made.cache.run())
        await made.cache.wait_synced(60)
        yield made
        task.cancel()


@virtual_time
async def test_a_template_that_cannot_be_decided_about_costs_nobody_else_a_turn() -> None:
    def broken() -> DiscoveryWish:
        raise ValueError("nobody foresaw this")

    async with bench() as b:
        b.want("a", broken)
        b.want("b")
        b.want("c")
        await b.round()
        assert b.created == ["b", "c"]
        assert b.admission.pending == 0


@virtual_time
async def test_who_wants_nothing_any_more_gives_the_turn_to_the_next() -> None:
    async with bench() as b:
        b.want("a", lambda: None)
        for name in "bcd":
            b.want(name)
        assert await b.round() is None
        assert b.created == ["b", "c"]
        assert (b.admission.pending, b.admission.running) == (1, 2)


@virtual_time
async def test_asking_again_for_the_same_wakes_nobody_and_a_better_place_in_the_line_does() -> None:
    async with bench() as b:
        b.want("a")
        assert b.requeued == [ROUND]
        b.want("a")
        assert b.requeued == [ROUND]
        b.want("a", awaited=True)
        assert b.requeued == [ROUND] * 2


@virtual_time
async def test_the_queue_page_shows_who_waits_in_order_and_for_how_long() -> None:
    async with bench() as b:
        b.want("a")
        await b.w.cluster.clock.sleep(5)
        b.want("b", awaited=True)
        await b.w.cluster.clock.sleep(2.04)
        assert b.admission.queue() == [
            {"position": 1, "template": "team/b", "awaited_by_service": True, "waiting_seconds": 2.0},
            {"position": 2, "template": "team/a", "awaited_by_service": False, "waiting_seconds": 7.0},
        ]
        b.admission.withdraw("team/a")
        b.admission.withdraw("team/a")
        assert len(b.admission.queue()) == 1
        await b.round()
        assert b.admission.queue() == []
        assert [round(seconds, 2) for seconds in b.waited] == [2.04]


@virtual_time
async def test_a_refusal_is_told_kept_and_tried_again_later_and_blocks_no_slot() -> None:
    told: list[str] = []
    async with bench(limit=1) as b:
        b.w.faults.add(Answer(403, "Forbidden", "exceeded quota"), Match("create", "jobs"), times=2)
        b.want("a", refused=told.append)
        assert await b.round() == 5.0
        assert "exceeded quota" in told[0]
        assert b.admission.refusal("team/a") == told[0]
        assert b.admission.running == 0
        await b.round()
        assert len(told) == 1
        await b.w.cluster.clock.sleep(5)
        assert await b.round() == 10.0
        await b.w.cluster.clock.sleep(10)
        assert await b.round() is None
        assert b.created == ["a"]
        assert b.admission.refusal("team/a") == ""


@pytest.mark.parametrize("action", [Refuse(), Answer(429), Answer(403)], ids=repr)
@virtual_time
async def test_a_creation_that_was_surely_not_made_leaves_its_slot_to_the_next_at_once(action: Any) -> None:
    async with bench(limit=1) as b:
        b.w.faults.add(action, Match("create", "jobs"), times=1)
        b.want("a")
        b.want("b")
        await b.round()
        assert b.created == ["b"]
        assert (b.admission.pending, b.admission.running) == (1, 1)


@virtual_time
async def test_a_creation_without_a_clear_answer_is_looked_up_and_found() -> None:
    async with bench(limit=1) as b:
        b.w.faults.add(Answer(500, after_effect=True), Match("create", "jobs"), times=1)
        b.want("a")
        b.want("b")
        soon = await b.round()
        assert b.created == ["a"]
        assert b.admission.running == 1
        assert soon is not None
        assert 5 <= soon <= 10
        await b.w.cluster.clock.sleep(soon)
        await b.round()
        assert b.created == ["a"]
        assert b.admission.running == 1


@virtual_time
async def test_a_new_leader_hears_everyone_before_it_gives_the_first_slot_away_but_not_for_ever() -> None:
    async with bench(limit=1) as b:
        b.busy = True
        b.want("z")
        soon = await b.round()
        assert soon is not None
        assert soon < 0.5
        assert b.created == []
        b.want("a")
        b.busy = False
        await b.round()
        assert b.created == ["a"]
        b.busy = True  # only the first slots wait
        b.admission.withdraw("team/z")
        b.want("b")
        await b.w.delete_job(b.w.ledger.jobs["team", "a"])
        await b.w.cluster.clock.sleep(1)
        await b.round()
        assert b.created == ["a", "b"]
    async with bench(limit=1) as b:
        b.busy = True
        b.want("z")
        await b.round()
        await b.w.cluster.clock.sleep(10)
        await b.round()
        assert b.created == ["z"]
