"""Priorities and ageing (checklist 25-38). Because of ageing, "higher first" holds within the documented bound."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.runtime.queue import (
    EXCEEDED_CARDINALITY_LIMIT,
    PRIORITY_LOW,
    ExponentialRateLimiter,
    QueueItem,
    QueueShutDown,
    WorkQueue,
)
from aimctl.runtime.queue.ageing import rank
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.proofs import seeds
from support.queue_metrics import RecordingMetrics


def make(metrics: RecordingMetrics | None = None, ageing_seconds: float = 30.0) -> WorkQueue[str]:
    return WorkQueue(clock=virtual_clock(), metrics=metrics, ageing_seconds=ageing_seconds)


async def take(queue: WorkQueue[str], count: int) -> list[str]:
    return [(await queue.get()).item for _ in range(count)]


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual_time
async def test_higher_priority_comes_first_and_equals_in_the_order_they_came() -> None:
    """Checklist 25: higher first; first-in first-out inside a class."""
    queue = make()
    for item, priority in (("low1", -100), ("a", 0), ("low2", -100), ("high", 50), ("b", 0)):
        queue.add(item, priority=priority)
    assert await take(queue, 5) == ["high", "a", "b", "low1", "low2"]


@virtual_time
async def test_priorities_beyond_the_clamp_still_break_ties() -> None:
    queue = make()
    queue.add("huge", priority=10**6)
    queue.add("larger", priority=10**9)
    assert await take(queue, 2) == ["larger", "huge"]


@virtual_time
async def test_merged_adds_keep_the_highest_priority_and_the_earliest_time() -> None:
    """Checklist 26: max priority and min delay are kept; a lower priority never demotes."""
    queue = make()
    queue.add("a", priority=5)
    queue.add("a", priority=-100)
    queue.add("b", priority=3)
    assert await queue.get() == QueueItem("a", 5)
    queue.add_after("c", 100, priority=7)
    queue.add_after("c", 20, priority=-100)
    assert await queue.get() == QueueItem("b", 3)
    assert await queue.get() == QueueItem("c", 7)
    assert now() == pytest.approx(20)


@virtual_time
async def test_an_item_with_a_raised_priority_is_behind_those_of_that_priority() -> None:
    """Checklist 27: raising the priority queues behind the items that have it already."""
    queue = make()
    queue.add("raised", priority=0)
    queue.add("first", priority=10)
    queue.add("second", priority=10)
    queue.add("raised", priority=10)
    assert await take(queue, 3) == ["first", "second", "raised"]


@virtual_time
async def test_raising_a_priority_never_moves_an_item_back() -> None:
    queue = make()
    queue.add("old", priority=-100)
    await asyncio.sleep(29)
    queue.add("new", priority=0)  # its rank is 1 s before that of the old item
    queue.add("old", priority=-99)
    await asyncio.sleep(2)
    queue.add("newer", priority=0)
    assert await take(queue, 3) == ["new", "old", "newer"]


@virtual_time
async def test_a_returned_item_is_skipped_until_done_whatever_its_priority_is() -> None:
    """Checklist 28: not returned again before done, and at once after it. 29: with the priority of the second add."""
    queue = make()
    queue.add("busy")
    assert await queue.get() == QueueItem("busy", 0)
    queue.add("busy", priority=100)
    queue.add("other", priority=PRIORITY_LOW)
    assert await queue.get() == QueueItem("other", PRIORITY_LOW)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(1000)
    assert not waiting.done()
    queue.done("busy")
    assert await waiting == QueueItem("busy", 100)
    assert now() == 1000


@virtual_time
async def test_delayed_items_are_returned_at_their_own_times_in_order() -> None:
    """Checklist 33: in the order of their due times, also when the clock passes several of them at once."""
    queue = make()
    delays = {"c": 3.0, "a": 1.0, "late": 60.0, "b": 2.0, "latest": 90.0}
    for item, delay in delays.items():
        queue.add_after(item, delay)
    seen = []
    for _ in range(3):
        seen.append(((await queue.get()).item, now()))
    assert seen == [("a", 1.0), ("b", 2.0), ("c", 3.0)]
    await asyncio.sleep(200)
    assert await take(queue, 2) == ["late", "latest"]


@virtual_time
async def test_each_item_of_a_rate_limited_batch_has_its_own_delay() -> None:
    """Checklist 34: the failures of one item do not delay the others."""
    queue: WorkQueue[str] = WorkQueue(clock=virtual_clock(), rate_limiter=ExponentialRateLimiter(1.0, 60.0))
    for item, failures in (("twice", 2), ("never", 0), ("once", 1)):
        for _ in range(failures):
            queue.add_rate_limited(item)
            assert (await queue.get()).item == item
            queue.done(item)
    started = now()
    for item in ("twice", "never", "once"):
        queue.add_rate_limited(item)
    seen = [((await queue.get()).item, now() - started) for _ in range(3)]
    assert seen == [("never", 1.0), ("once", 2.0), ("twice", 4.0)]


@virtual_time
async def test_items_not_yet_due_are_in_neither_len_nor_depth() -> None:
    """Checklist 30: counted once due."""
    metrics = RecordingMetrics()
    queue = make(metrics)
    queue.add_after("a", 10, priority=4)
    assert (len(queue), metrics.depths) == (0, {})
    await asyncio.sleep(10)
    assert (len(queue), metrics.depths) == (1, {"4": 1})


@virtual_time
async def test_a_delayed_item_added_without_delay_is_ready_at_once_and_counted_once() -> None:
    """Checklist 31: ready at once, returned once, one add."""
    metrics = RecordingMetrics()
    queue = make(metrics)
    queue.add_after("a", 60)
    queue.add("a")
    assert (len(queue), queue.waiting_count, metrics.adds) == (1, 0, 1)
    await queue.get()
    queue.done("a")
    await asyncio.sleep(120)
    assert (len(queue), metrics.adds, metrics.depths) == (0, 1, {"0": 0})


@virtual_time
async def test_a_high_priority_item_that_becomes_due_overtakes_low_ones() -> None:
    """Checklist 32: it overtakes waiting low-priority items."""
    queue = make()
    queue.add_after("high", 1, priority=10)
    for item in ("low1", "low2", "low3"):
        queue.add(item, priority=PRIORITY_LOW)
    assert await take(queue, 1) == ["low1"]
    await asyncio.sleep(1)
    assert await take(queue, 3) == ["high", "low2", "low3"]


@virtual_time
async def test_blocked_gets_end_on_shutdown() -> None:
    """Checklist 35: blocked and later gets raise QueueShutDown instead of returning a zero item."""
    queue = make()
    blocked = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(1)
    queue.shut_down()
    outcomes = await asyncio.gather(*blocked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [QueueShutDown] * 3
    with pytest.raises(QueueShutDown):
        await queue.get()


@virtual_time
async def test_shutdown_while_items_are_returned_does_not_hang() -> None:
    """Checklist 36: workers that are woken for an item and shut down at the same time all end."""
    queue = make()
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.shut_down()
    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(*workers, return_exceptions=True)
    assert sum(isinstance(outcome, QueueItem) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, QueueShutDown) for outcome in outcomes) == 2


@pytest.mark.parametrize("seed", seeds(20))
def test_many_producers_and_consumers_keep_the_invariants(seed: int) -> None:
    """Checklist 2: never twice at once. 37: the highest requested priority is returned, depth is never negative."""

    @virtual_time
    async def check() -> None:
        rng = random.Random(seed)
        metrics = RecordingMetrics()
        queue = make(metrics)
        wanted: dict[str, int] = {}
        busy: set[str] = set()
        handed = 0

        async def produce() -> None:
            for _ in range(200):
                item = f"item-{rng.randrange(20)}"
                priority = rng.randrange(-200, 200)
                wanted[item] = max(wanted.get(item, priority), priority)
                how = rng.randrange(3)
                if how == 0:
                    queue.add(item, priority=priority)
                elif how == 1:
                    queue.add_after(item, rng.random(), priority=priority)
                else:
                    queue.add_rate_limited(item, priority=priority)
                await asyncio.sleep(rng.random() / 20)

        async def consume() -> None:
            nonlocal handed
            while True:
                try:
                    item, priority = await queue.get()
                except QueueShutDown:
                    return
                handed += 1
                assert item not in busy
                busy.add(item)
                assert priority == wanted.pop(item)
                await asyncio.sleep(rng.random() / 5)
                queue.forget(item)
                busy.remove(item)
                queue.done(item)

        async with asyncio.TaskGroup() as consumers:
            for _ in range(4):
                consumers.create_task(consume())
            async with asyncio.TaskGroup() as producers:
                for _ in range(5):
                    producers.create_task(produce())
            while queue.waiting_count or len(queue):  # noqa: ASYNC110 - time is virtual
                await asyncio.sleep(5)
            await queue.shut_down_with_drain()
        assert not wanted
        assert handed > 200
        assert metrics.total_depth == 0
        assert len(metrics.depths) <= 26

    check()


@virtual_time
async def test_more_than_25_priorities_share_one_label_and_depths_stay_right() -> None:
    """Checklist 38: 25 labels, then one placeholder; the sums are correct."""
    metrics = RecordingMetrics()
    queue = make(metrics)
    for priority in range(40):
        queue.add(f"item-{priority}", priority=priority)
    assert len(metrics.depths) == 26
    assert metrics.depths[EXCEEDED_CARDINALITY_LIMIT] == 15
    assert metrics.total_depth == 40
    queue.add("item-0", priority=39)  # from its own label to the shared one
    assert (metrics.depths["0"], metrics.depths[EXCEEDED_CARDINALITY_LIMIT]) == (0, 16)
    await take(queue, 40)
    assert set(metrics.depths.values()) == {0}


@virtual_time
async def test_a_low_priority_item_is_not_starved_beyond_the_bound() -> None:
    """Checklist 25: with strict priorities the low item would never be returned; with ageing it is after 30 s."""
    queue = make()
    queue.add("low", priority=PRIORITY_LOW)
    served = ""
    while served != "low":
        queue.add(f"normal-{now()}")
        served = (await queue.get()).item
        await asyncio.sleep(1)
        queue.done(served)
    assert 30 <= now() <= 32


@virtual_time
async def test_ageing_of_zero_makes_it_first_in_first_out() -> None:
    queue = make(ageing_seconds=0)
    queue.add("low", priority=-100)
    await asyncio.sleep(0.1)
    queue.add("high", priority=100)
    assert await take(queue, 2) == ["low", "high"]


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_invalid_ageing_is_an_error(seconds: float) -> None:
    with pytest.raises(ValueError, match="ageing_seconds="):
        make(ageing_seconds=seconds)


@given(
    st.integers(-(10**9), 10**9),
    st.integers(-(10**9), 10**9),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.floats(0, 100),
)
def test_an_item_is_overtaken_only_within_the_stated_bound(
    low: int, high: int, at: float, later: float, ageing: float
) -> None:
    low, high = sorted((low, high))
    bound = (min(high, 1000) - max(low, -1000)) / 100 * ageing
    if later > max(0.0, bound) + 1e-3:
        assert rank(low, at, ageing) < rank(high, at + later, ageing)
    assert bound <= 20 * ageing
