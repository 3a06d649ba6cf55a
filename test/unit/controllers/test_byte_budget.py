"""The budget of bytes that concurrent reads share."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from aimctl.controllers.models.byte_budget import ByteBudget


async def test_shares_are_granted_in_order_and_returned():
    budget, granted = ByteBudget(10), []

    async def use(name: str, size: int, leave: asyncio.Event) -> None:
        async with budget.share() as share:
            await share.reserve(size)
            await share.reserve(size)
            granted.append(name)
            await leave.wait()

    events = [asyncio.Event() for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        for name, size, event in zip("abc", (6, 6, 2), events, strict=True):
            group.create_task(use(name, size, event))
        await asyncio.sleep(0)
        assert (granted, budget.in_use) == (["a"], 6)
        events[0].set()
        await asyncio.sleep(0.001)
        assert granted == ["a", "b", "c"]
        for event in events:
            event.set()
    assert budget.in_use == 0


async def test_a_share_larger_than_the_budget_is_rejected():
    budget = ByteBudget(10)
    with pytest.raises(ValueError, match="exceed the budget of 10"):
        async with budget.share() as share:
            await share.reserve(11)


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_is_lost_when_readers_are_cancelled(seed):
    rng, budget = random.Random(seed), ByteBudget(10)

    async def use() -> None:
        async with budget.share() as share:
            await share.reserve(rng.randint(1, 10))
            assert budget.in_use <= 10
            for _ in range(rng.randint(0, 3)):
                await asyncio.sleep(0)

    tasks = [asyncio.ensure_future(use()) for _ in range(30)]
    for task in rng.sample(tasks, 15):
        await asyncio.sleep(0)
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
    assert budget.in_use == 0
