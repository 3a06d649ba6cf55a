"""Delays, back-off and the metrics of the queue (checklist 13-16, 22-24)."""

from __future__ import annotations

import asyncio
import math

import pytest

from aimctl.runtime.queue import ExponentialRateLimiter, WorkQueue
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.queue_metrics import RecordingMetrics


def make(metrics: RecordingMetrics | None = None) -> WorkQueue[str]:
    return WorkQueue(
        clock=virtual_clock(), name="test", metrics=metrics, rate_limiter=ExponentialRateLimiter(1.0, 60.0)
    )


def now() -> float:
    return asyncio.get_running_loop().time()


@virtual_time
async def test_a_delayed_item_is_invisible_until_its_time_and_then_appears_once() -> None:
    """Checklist 13: invisible until its time, then once."""
    queue = make()
    queue.add_after("a", 50)
    await asyncio.sleep(49.9)
    assert (len(queue), queue.waiting_count) == (0, 1)
    assert (await queue.get()).item == "a"
    assert now() == pytest.approx(50)
    queue.done("a")
    await asyncio.sleep(100)
    assert (len(queue), queue.waiting_count) == (0, 0)


@pytest.mark.parametrize("delays", [(30, 70), (70, 30)])
def test_an_item_delayed_twice_is_kept_once_with_the_earlier_time(delays: tuple[int, int]) -> None:
    """Checklist 14: once, at the earlier time, in whatever order."""

    @virtual_time
    async def check() -> None:
        queue = make()
        for delay in delays:
            queue.add_after("a", delay)
        assert queue.waiting_count == 1
        await queue.get()
        assert now() == pytest.approx(30)
        queue.done("a")
        await asyncio.sleep(1000)
        assert len(queue) == 0

    check()


@virtual_time
async def test_a_shorter_delay_added_later_fires_first() -> None:
    """Checklist 15: the shorter delay fires first."""
    queue = make()
    queue.add_after("late", 100)
    queue.add_after("early", 10)
    assert (await queue.get()).item == "early"
    assert now() == pytest.approx(10)
    assert (await queue.get()).item == "late"
    assert now() == pytest.approx(100)


@virtual_time
async def test_many_delayed_items_come_out_in_time_order() -> None:
    """Checklist 16: time order."""
    queue = make()
    for second in (5, 3, 9, 1, 7, 2, 8, 4, 6):
        queue.add_after(str(second), second)
    await asyncio.sleep(20)
    assert [(await queue.get()).item for _ in range(9)] == [str(second) for second in range(1, 10)]


@virtual_time
async def test_failures_are_counted_forgotten_and_a_pending_item_stays() -> None:
    """Checklist 22: add_rate_limited counts, forget zeroes; forget does not remove a pending item."""
    queue = make()
    queue.add_rate_limited("a")
    queue.add_rate_limited("a")
    queue.add_rate_limited("b")
    assert (queue.num_requeues("a"), queue.num_requeues("b")) == (2, 1)
    queue.forget("a")
    assert (queue.num_requeues("a"), queue.num_requeues("b")) == (0, 1)
    assert {(await queue.get()).item, (await queue.get()).item} == {"a", "b"}
    assert now() == pytest.approx(1.0)  # the first failure's delay, which is the earlier


@virtual_time
async def test_a_delay_of_zero_or_less_is_an_immediate_add() -> None:
    metrics = RecordingMetrics()
    queue = make(metrics)
    queue.add_after("a", 0)
    queue.add_after("b", -5)
    assert len(queue) == 2
    assert metrics.retries == 0


@pytest.mark.parametrize("seconds", [math.inf, math.nan])
def test_a_delay_that_is_not_finite_is_an_error(seconds: float) -> None:
    @virtual_time
    async def check() -> None:
        with pytest.raises(ValueError, match=r"add_after\('a', seconds=\w+\): use a finite number"):
            make().add_after("a", seconds)

    check()


@virtual_time
async def test_superseded_delays_do_not_accumulate() -> None:
    queue = make()
    for round_ in range(2000):
        queue.add_after("a", 36_000)
        queue.add("a", priority=round_ % 7)
        queue.add("a", priority=8)
        await queue.get()
        queue.done("a")
    assert len(queue._waiting_heap) < 200
    assert len(queue._ready_heap) + len(queue._lane) < 200


@virtual_time
async def test_metrics_show_depth_adds_latency_work_and_unfinished_work() -> None:
    """Checklist 23: depth, adds, latency from the first add, work time at done, gauges that grow while stuck."""
    metrics = RecordingMetrics()
    queue = make(metrics)
    assert metrics.gauges is queue
    queue.add("a")
    assert (metrics.total_depth, metrics.adds) == (1, 1)
    await asyncio.sleep(3)
    queue.add("a")
    assert (metrics.total_depth, metrics.adds) == (1, 1)
    assert queue.oldest_ready_seconds == pytest.approx(3)
    await asyncio.sleep(1)
    await queue.get()
    assert metrics.total_depth == 0
    assert metrics.waits == pytest.approx([4])
    assert queue.oldest_ready_seconds == 0

    await asyncio.sleep(5)
    assert (queue.unfinished_seconds, queue.longest_running_seconds) == pytest.approx((5, 5))
    queue.add("a")  # counts at once, though it is held back until done
    queue.add("a")
    assert (metrics.total_depth, metrics.adds, len(queue)) == (1, 2, 0)
    queue.add("b")
    await queue.get()
    await asyncio.sleep(2)
    assert (queue.unfinished_seconds, queue.longest_running_seconds) == pytest.approx((9, 7))
    queue.done("a")
    assert metrics.works == pytest.approx([7])
    assert (queue.unfinished_seconds, queue.longest_running_seconds) == pytest.approx((2, 2))
    await queue.get()
    assert metrics.waits == pytest.approx([4, 0, 2])
    assert metrics.total_depth == 0
    queue.done("a")
    queue.done("b")
    assert (queue.unfinished_seconds, queue.longest_running_seconds) == (0, 0)


@virtual_time
async def test_a_delayed_item_counts_as_retry_now_and_as_add_when_due() -> None:
    metrics = RecordingMetrics()
    queue = make(metrics)
    queue.add_after("a", 10)
    queue.add_rate_limited("b")
    assert (metrics.retries, metrics.adds, metrics.total_depth) == (2, 0, 0)
    await asyncio.sleep(12)
    assert (metrics.retries, metrics.adds, metrics.total_depth) == (2, 2, 2)
    await queue.get()
    await queue.get()
    assert metrics.waits == pytest.approx([11, 2])  # from being due, not from the add


@virtual_time
async def test_after_shutdown_nothing_updates_the_metrics() -> None:
    """Checklist 24: neither adds nor time change any metric after shutdown."""
    metrics = RecordingMetrics()
    queue = make(metrics)
    queue.add_after("waiting", 5)
    queue.shut_down()
    calls = metrics.calls
    queue.add("a")
    queue.add_after("b", 1)
    queue.add_rate_limited("c")
    await asyncio.sleep(100)
    assert metrics.calls == calls
    assert (len(queue), queue.waiting_count) == (0, 0)
