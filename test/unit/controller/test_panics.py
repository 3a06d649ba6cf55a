"""A panic of an extension module in Rust is not an Exception. In a function that a user passes it costs only that call."""

from __future__ import annotations

import asyncio
from typing import Any

from aimctl.devcluster import DevCluster
from aimctl.runtime import CONFIG_MAPS, SECRETS, EnqueueMapped, Manager, Request, Watch
from aimctl.testing import virtual_clock, virtual_time


class Panic(BaseException):
    """As pyo3 raises it."""


def panic(*_: Any, **__: Any) -> Any:
    raise Panic("index out of bounds")


class Handler:
    on_add = on_update = on_delete = staticmethod(panic)


@virtual_time
async def test_a_panic_in_a_callback_costs_only_that_call() -> None:
    failing, seen = [True], []

    async def reconcile(request: Request) -> None:
        seen.append(request.name)

    def mapper(secret: Any) -> list[Request]:
        return panic() if failing.pop() else [Request("default", f"of {secret.meta.name}")]

    async with DevCluster(clock=virtual_clock(), crds=[], controllers=False) as cluster:
        manager, stop = Manager(cluster.transport(), clock=cluster.clock), asyncio.Event()
        maps = manager.cache.declare(
            CONFIG_MAPS, indexes={"broken": panic, "name": lambda obj: [obj.meta.name]}
        )
        maps.add_handler(Handler())
        secrets = Watch(manager.cache.declare(SECRETS), EnqueueMapped(mapper))
        manager.controller("c", reconcile, for_=maps, predicates=[panic], sources=[secrets])
        manager.add_ready_check("broken", panic)
        failing[:] = [False, True]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(manager.run(stop))
            await asyncio.sleep(1)
            await cluster.client().create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "default")
            await cluster.client().create(SECRETS, {"metadata": {"name": "s"}}, "default")
            await asyncio.sleep(60)
            assert seen == ["a", "of s"], "the predicate lets the event pass, the mapping is repeated"
            assert [obj.meta.name for obj in manager.cache.by_index(CONFIG_MAPS, "name", "a")] == ["a"]
            assert manager.not_ready == {"broken": "Panic: index out of bounds"}
            assert manager.state == "running"
            stop.set()
