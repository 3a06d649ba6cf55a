"""The event loop with virtual time."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from aimctl.testing import run_virtual

DAY = 24 * 3600.0


@pytest.mark.parametrize("days", [0.0, 190.0, 200.0, 40_000.0])
def test_timers_fire_at_their_times_after_many_days(days: float) -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        if days:
            await asyncio.sleep(days * DAY)
        begun = loop.time()
        times = []
        for seconds in (1.0, 0.3, 1 / 3, 12.7, 3600.0):
            await asyncio.sleep(seconds)
            times.append(loop.time() - begun)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10.1):
                await asyncio.Event().wait()
        return [*times, loop.time() - begun]

    expected = [1.0, 1.3, 1.3 + 1 / 3, 14.0 + 1 / 3, 3614.0 + 1 / 3, 3624.1 + 1 / 3]
    assert run_virtual(main()) == pytest.approx(expected, abs=1e-3)


def test_timers_at_different_times_keep_their_order_after_many_days() -> None:
    async def main() -> list[int]:
        order: list[int] = []
        await asyncio.sleep(300 * DAY)
        loop = asyncio.get_running_loop()
        for number in (3, 1, 2):
            loop.call_later(number * 0.001, order.append, number)
        await asyncio.sleep(1)
        return order

    assert run_virtual(main()) == [1, 2, 3]


@pytest.mark.parametrize("days", [0.0, 200.0])
def test_no_timer_fires_early(days: float) -> None:
    """A task that finds that its time has not come would wait again, and no time would pass."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        if days:
            await asyncio.sleep(days * DAY)
        rng = random.Random(5)
        early = []
        for _ in range(2_000):
            at = loop.time() + rng.uniform(0.01, 60)
            for when in (at, at + 1e-10, at + 3e-10, math.nextafter(at, math.inf)):
                loop.call_at(when, lambda when=when: early.append(when) if loop.time() < when else None)
            await asyncio.sleep(rng.uniform(0.01, 60))
        return early

    assert run_virtual(main()) == []


def test_timers_that_are_due_at_almost_the_same_time_fire_together() -> None:
    async def main() -> set[float]:
        loop, times = asyncio.get_running_loop(), set()
        for when in (60.01, 60.01 + 1e-10, 60.01 + 9e-10):
            loop.call_at(when, lambda: times.add(loop.time()))
        await asyncio.sleep(100)
        return times

    assert len(run_virtual(main())) == 1
