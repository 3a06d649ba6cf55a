"""The base queue: dirty, processing, order, shutdown (checklist 1-12)."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from aimctl.runtime.queue import QueueShutDown, WorkQueue
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.queue_metrics import RecordingMetrics


def make(metrics: RecordingMetrics | None = None) -> WorkQueue[str]:
    return WorkQueue(clock=virtual_clock(), name="test", metrics=metrics)


async def is_empty(queue: WorkQueue[str]) -> bool:
    """Whether a get would wait, even if time passes."""
    try:
        async with asyncio.timeout(10_000):
            await queue.get()
    except TimeoutError:
        return True
    return False


@virtual_time
async def test_an_item_added_once_is_returned_once() -> None:
    """Checklist 1: returned once; after done without a re-add the queue is empty."""
    queue = make()
    queue.add("a")
    assert (await queue.get()).item == "a"
    queue.done("a")
    assert len(queue) == 0
    assert await is_empty(queue)


@virtual_time
async def test_an_item_added_while_processing_is_returned_once_after_done() -> None:
    """Checklist 3: not before done, and once after it, also for a get that is waiting."""
    queue = make()
    queue.add("a")
    await queue.get()
    queue.add("a")
    assert len(queue) == 0
    assert await is_empty(queue)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(1)
    queue.done("a")
    assert (await waiting).item == "a"
    queue.done("a")
    assert await is_empty(queue)


@virtual_time
async def test_adding_twice_before_get_returns_the_item_once_and_counts_one_merge() -> None:
    """Checklist 4: returned once; the second add is reported once by the hook ``merged``."""
    metrics = RecordingMetrics()
    queue = make(metrics)
    queue.add("a")
    assert metrics.merges == 0
    queue.add("a")
    assert metrics.merges == 1
    await queue.get()
    queue.done("a")
    assert await is_empty(queue)


@virtual_time
async def test_adding_twice_during_processing_returns_the_item_once_more_without_a_merge() -> None:
    """Checklist 5: returned once more; the hook ``merged`` is not called."""
    metrics = RecordingMetrics()
    queue = make(metrics)
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("a")
    queue.done("a")
    await queue.get()
    queue.done("a")
    assert await is_empty(queue)
    assert metrics.merges == 0


@virtual_time
async def test_len_counts_distinct_queued_items_not_adds() -> None:
    """Checklist 6: len counts items."""
    queue = make()
    for item in ("a", "b", "a", "a", "b"):
        queue.add(item)
    assert len(queue) == 2
    await queue.get()
    assert len(queue) == 1


@virtual_time
async def test_after_shutdown_adds_are_ignored_and_get_ends_once_drained() -> None:
    """Checklist 7: add is ignored; get returns the queued items, then raises QueueShutDown."""
    queue = make()
    queue.add("a")
    queue.shut_down()
    queue.add("b")
    queue.add_after("c", 1)
    queue.add_rate_limited("d")
    assert (await queue.get()).item == "a"
    queue.done("a")
    with pytest.raises(QueueShutDown, match="'test'"):
        await queue.get()
    assert queue.num_requeues("d") == 0


@virtual_time
async def test_a_drain_waits_until_every_processed_item_is_done() -> None:
    """Checklist 8: ShutDownWithDrain blocks until every in-flight item is done."""
    queue = make()
    queue.add("a")
    queue.add("b")
    await queue.get()
    await queue.get()
    async with asyncio.TaskGroup() as tasks:
        drain = tasks.create_task(queue.shut_down_with_drain())
        await asyncio.sleep(100)
        assert not drain.done()
        queue.done("a")
        await asyncio.sleep(100)
        assert not drain.done()
        queue.done("b")
        await asyncio.sleep(0)
        assert drain.done()


@virtual_time
async def test_a_drain_of_an_idle_queue_returns_at_once() -> None:
    queue = make()
    queue.add_after("later", 60)
    async with asyncio.timeout(0.5):
        await queue.shut_down_with_drain()
    assert queue.waiting_count == 0


@virtual_time
async def test_a_drain_waits_for_items_still_queued() -> None:
    queue = make()
    queue.add("a")
    async with asyncio.TaskGroup() as tasks:
        drain = tasks.create_task(queue.shut_down_with_drain())
        await asyncio.sleep(1)
        assert not drain.done()
        await queue.get()
        await asyncio.sleep(1)
        assert not drain.done()
        queue.done("a")


@virtual_time
async def test_shut_down_does_not_wait_for_items_in_flight() -> None:
    """Checklist 9: ShutDown returns at once; done can still be called later."""
    queue = make()
    queue.add("a")
    await queue.get()
    queue.shut_down()
    with pytest.raises(QueueShutDown):
        await queue.get()
    queue.done("a")


@virtual_time
async def test_shut_down_releases_a_drain() -> None:
    """Checklist 10: ShutDown called during a drain ends it."""
    queue = make()
    queue.add("a")
    await queue.get()
    async with asyncio.TaskGroup() as tasks:
        drain = tasks.create_task(queue.shut_down_with_drain())
        await asyncio.sleep(1)
        assert not drain.done()
        queue.shut_down()
        await asyncio.sleep(0)
        assert drain.done()
    queue.done("a")


@virtual_time
async def test_an_item_made_dirty_while_processing_is_processed_before_the_drain_ends() -> None:
    """Checklist 11: re-dirtied work counts for the drain."""
    queue = make()
    queue.add("a")
    await queue.get()
    queue.add("a")
    async with asyncio.TaskGroup() as tasks:
        drain = tasks.create_task(queue.shut_down_with_drain())
        await asyncio.sleep(1)
        queue.done("a")
        await asyncio.sleep(1)
        assert not drain.done()
        assert (await queue.get()).item == "a"
        queue.done("a")
        await asyncio.sleep(0)
        assert drain.done()


@virtual_time
async def test_a_returned_item_leaves_no_reference_behind() -> None:
    """Checklist 12: neither a popped item nor one that was merged, raised or delayed stays referenced."""

    class Item:
        pass

    queue: WorkQueue[Item] = WorkQueue(clock=virtual_clock())
    item: Item | None = Item()
    assert item is not None
    alive = weakref.ref(item)
    queue.add_after(item, 1000)
    queue.add_after(item, 500)
    queue.add(item)
    queue.add(item, priority=10)
    entry = await queue.get()
    queue.done(item)
    del entry
    item = None
    gc.collect()
    assert alive() is None


@virtual_time
async def test_done_for_an_item_that_is_not_being_processed_is_an_error() -> None:
    queue = make()
    queue.add("a")
    with pytest.raises(ValueError, match=r"done\('a'\): the item is not being processed"):
        queue.done("a")


@virtual_time
async def test_a_cancelled_get_loses_no_item() -> None:
    queue = make()
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")  # wakes the first
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await second).item == "a"


@virtual_time
async def test_a_get_cancelled_while_waiting_is_not_woken_in_place_of_another() -> None:
    queue = make()
    first = asyncio.create_task(queue.get())
    second = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    first.cancel()
    queue.add("a")
    assert (await second).item == "a"
    assert first.cancelled()


@virtual_time
async def test_shut_down_can_drop_what_is_queued() -> None:
    metrics = RecordingMetrics()
    queue = make(metrics)
    queue.add("working")
    await queue.get()
    queue.add("working")
    queue.add("queued")
    queue.shut_down(drop_queued=True)
    with pytest.raises(QueueShutDown):
        await queue.get()
    queue.done("working")
    assert len(queue) == 0
    assert metrics.depths == {"0": 0}
    await queue.shut_down_with_drain()


@virtual_time
async def test_the_snapshot_shows_ready_waiting_and_processed_items() -> None:
    queue = make()
    queue.add("working")
    await queue.get()
    queue.add("low", priority=-100)
    queue.add("normal")
    queue.add_after("late", 60, priority=5)
    queue.add_after("soon", 20)
    await asyncio.sleep(10)
    queue.add("working")
    snapshot = queue.snapshot()
    assert snapshot.ready == (("normal", 0, 10.0), ("low", -100, 10.0))
    assert snapshot.waiting == (("soon", 0, 10.0), ("late", 5, 50.0))
    assert snapshot.processing == (("working", 10.0, True),)
    assert (snapshot.name, snapshot.shutting_down) == ("test", False)
    queue.shut_down()
    assert queue.snapshot().shutting_down
    assert queue.shutting_down
