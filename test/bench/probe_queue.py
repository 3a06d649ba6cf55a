"""Add-get-done cycles per second of CPU time in one work queue with 10,000 distinct items.

Usage: ``probe_queue.py CYCLES``. Prints ``{"phase": "queue", "per_second"}``.
"""

from __future__ import annotations

import asyncio
import sys
import time

from measure import say

from aimctl.runtime import LoopClock, Request, WorkQueue

ITEMS = 10_000


async def main(cycles: int) -> None:
    queue: WorkQueue[Request] = WorkQueue(clock=LoopClock())
    items = [Request(f"team-{number % 20}", f"object-{number}") for number in range(ITEMS)]
    started = time.process_time()
    for _ in range(cycles // ITEMS):
        for item in items:
            queue.add(item)
        for _ in items:
            queue.done((await queue.get()).item)
    assert len(queue) == 0
    say(phase="queue", per_second=cycles // ITEMS * ITEMS / (time.process_time() - started))


asyncio.run(main(int(sys.argv[1])))
