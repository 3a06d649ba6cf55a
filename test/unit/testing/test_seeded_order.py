"""The seed chooses the order of ready tasks, and nothing else."""

from __future__ import annotations

import asyncio
import random
from contextvars import copy_context

from aimctl.testing import SeededOrder, run_virtual
from aimctl.testing.ordering import GROUP


def order_of(main, seed: int) -> list:
    return run_virtual(main(), order=SeededOrder(random.Random(seed)))


async def five_tasks() -> list[int]:
    found: list[int] = []

    async def one(number: int) -> None:
        await asyncio.sleep(0)
        found.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(one(number))
    return found


def test_a_seed_gives_one_order_of_the_tasks_and_other_seeds_give_others():
    orders = [order_of(five_tasks, seed) for seed in range(10)]
    assert orders == [order_of(five_tasks, seed) for seed in range(10)]
    assert len({tuple(order) for order in orders}) > 5
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)


def test_callbacks_run_in_the_order_in_which_they_were_scheduled():
    async def main() -> list[int]:
        found: list[int] = []
        tasks: list[asyncio.Task[None]] = []
        loop = asyncio.get_running_loop()
        for number in range(20):
            loop.call_soon(found.append, number)
            tasks.append(loop.create_task(asyncio.sleep(0)))
        await asyncio.sleep(1)
        return found

    for seed in range(5):
        assert order_of(main, seed) == list(range(20))


def test_locks_queues_and_timeouts_work_in_any_order():
    async def main() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue(2)
        lock, found = asyncio.Lock(), []

        async def produce(start: int) -> None:
            for number in range(start, start + 10):
                await queue.put(number)

        async def consume() -> None:
            while True:
                number = await queue.get()
                async with lock, asyncio.timeout(5):
                    await asyncio.sleep(0.1)
                    found.append(number)
                queue.task_done()

        consumers = [asyncio.create_task(consume()) for _ in range(3)]
        await asyncio.gather(produce(0), produce(10))
        await queue.join()
        for task in consumers:
            task.cancel()
        return found

    for seed in range(10):
        assert sorted(order_of(main, seed)) == list(range(20))


def test_a_group_that_is_held_runs_nothing_until_it_is_released():
    order = SeededOrder(random.Random(1))

    async def main() -> list[tuple[float, str]]:
        loop, found = asyncio.get_running_loop(), []

        async def tick(name: str) -> None:
            for _ in range(3):
                await asyncio.sleep(1)
                found.append((loop.time(), name))

        context = copy_context()
        context.run(GROUP.set, "held")
        tasks = [loop.create_task(tick("held"), context=context), loop.create_task(tick("free"))]
        await asyncio.sleep(1.5)
        order.hold("held")
        await asyncio.sleep(10)
        order.release("held")
        await asyncio.wait(tasks)
        return found

    found = run_virtual(main(), order=order)
    assert [at for at, name in found if name == "free"] == [1, 2, 3]
    assert [at for at, name in found if name == "held"] == [1, 11.5, 12.5]
