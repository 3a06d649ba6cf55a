"""A state machine that compares the queue with a simple model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aimctl.runtime.queue import WorkQueue
from aimctl.runtime.queue.ageing import rank
from aimctl.testing.virtualtime import VirtualTimeLoop, virtual_clock
from support.queue_metrics import RecordingMetrics

AGEING = 10.0
ITEMS = st.sampled_from("abcdef")
PRIORITIES = st.sampled_from([-2000, -100, 0, 50, 100])


@dataclass
class Wanted:
    priority: int
    due: float
    key: tuple[float, int, int] | None = None
    """Its position among the ready items; None while it is waiting or held back."""


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.metrics = RecordingMetrics()
        self.queue: WorkQueue[str] = WorkQueue(
            clock=virtual_clock(), metrics=self.metrics, ageing_seconds=AGEING
        )
        self.wanted: dict[str, Wanted] = {}
        self.working: set[str] = set()
        self.order = 0

    def teardown(self) -> None:
        async def end() -> None:
            self.queue.shut_down(drop_queued=True)
            for item in sorted(self.working):
                self.queue.done(item)
            async with asyncio.timeout(1):
                await self.queue.shut_down_with_drain()

        self.loop.run_until_complete(end())
        self.loop.close()

    # ---- the model

    def enqueue(self, wanted: Wanted, since: float, best: float = float("inf")) -> None:
        self.order += 1
        wanted.key = (min(best, rank(wanted.priority, since, AGEING)), -wanted.priority, self.order)

    def put(self, item: str, delay: float, priority: int) -> None:
        now = self.loop.time()
        wanted = self.wanted.get(item)
        if wanted is None:
            wanted = self.wanted[item] = Wanted(priority, now + delay)
            if delay <= 0 and item not in self.working:
                self.enqueue(wanted, now)
            return
        was_due = wanted.due <= now
        raised = priority > wanted.priority
        wanted.priority = max(wanted.priority, priority)
        wanted.due = min(wanted.due, now + delay)
        if item in self.working or wanted.due > now:
            return
        if not was_due:
            self.enqueue(wanted, now)
        elif raised:
            assert wanted.key is not None
            self.enqueue(wanted, now, wanted.key[0])

    # ---- the rules

    @rule(item=ITEMS, priority=PRIORITIES)
    def add(self, item: str, priority: int) -> None:
        async def run() -> None:
            self.queue.add(item, priority=priority)

        self.loop.run_until_complete(run())
        self.put(item, 0.0, priority)

    @rule(item=ITEMS, priority=PRIORITIES, delay=st.sampled_from([0.0, 1.0, 5.0, 20.0]))
    def add_after(self, item: str, priority: int, delay: float) -> None:
        async def run() -> None:
            self.queue.add_after(item, delay, priority=priority)

        self.loop.run_until_complete(run())
        self.put(item, delay, priority)

    @rule(seconds=st.sampled_from([0.5, 1.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))
        now = self.loop.time()
        due = sorted(
            (wanted.due, item)
            for item, wanted in self.wanted.items()
            if wanted.key is None and wanted.due <= now and item not in self.working
        )
        for moment, item in due:
            self.enqueue(self.wanted[item], moment)

    def ready(self) -> list[str]:
        keys = {item: wanted.key for item, wanted in self.wanted.items() if wanted.key is not None}
        return sorted(keys, key=lambda item: keys[item] or (0.0, 0, 0))

    @precondition(lambda self: self.ready())
    @rule()
    def get(self) -> None:
        entry = self.loop.run_until_complete(asyncio.wait_for(self.queue.get(), 0.1))
        expected = self.ready()[0]
        # The order of two items that became due at the same time is undefined.
        first = self.wanted[expected].key
        got = self.wanted[entry.item].key
        assert first is not None
        assert got is not None
        assert got[:2] == first[:2]
        if self.wanted[expected].due != self.wanted[entry.item].due:
            assert entry.item == expected
        assert entry.item not in self.working
        assert entry.priority == self.wanted[entry.item].priority
        del self.wanted[entry.item]
        self.working.add(entry.item)

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(sorted(self.working)))

        async def run() -> None:
            self.queue.done(item)

        self.loop.run_until_complete(run())
        self.working.remove(item)
        wanted = self.wanted.get(item)
        if wanted is not None and wanted.due <= self.loop.time():
            self.enqueue(wanted, self.loop.time())

    @invariant()
    def counts_agree(self) -> None:
        async def run() -> None:
            now = self.loop.time()
            due = [item for item, wanted in self.wanted.items() if wanted.due <= now]
            assert len(self.queue) == len([item for item in due if item not in self.working])
            assert self.queue.waiting_count == len(self.wanted) - len(due)
            assert self.metrics.total_depth == len(due)
            assert (self.queue.oldest_ready_seconds > 0) <= bool(due)
            snapshot = self.queue.snapshot()
            assert sorted(item for item, _, _ in snapshot.processing) == sorted(self.working)

        self.loop.run_until_complete(run())


class TestQueueMachine(QueueMachine.TestCase):
    settings = settings(max_examples=20, stateful_step_count=40)


@pytest.mark.proof
class TestQueueMachineProof(QueueMachine.TestCase):
    settings = settings(max_examples=500, stateful_step_count=60)
