"""The queue on uvloop, whose handles have no time and whose timers have a resolution of one millisecond."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.runtime.clock import LoopClock
from aimctl.runtime.queue import WorkQueue

uvloop = pytest.importorskip("uvloop", reason="the extra 'uvloop' is not installed")


def test_items_less_than_a_millisecond_apart_are_all_returned_on_uvloop() -> None:
    async def main() -> list[int]:
        queue: WorkQueue[int] = WorkQueue(clock=LoopClock())
        for number in range(50):
            queue.add_after(number, 0.0001 * (number % 7 + 1))
        queue.add_after(50, 0.005)
        queue.add_after(51, 0.00005)
        seen = []
        async with asyncio.timeout(30):
            while len(seen) < 52:
                entry = await queue.get()
                seen.append(entry.item)
                queue.done(entry.item)
                queue.add_after(100, 1000.0)
        return seen

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(main())
    assert sorted(seen) == list(range(52))
