"""An extension of the manager that has faults: what a bug, a webhook or a second writer does to an operator.

The label ``fault`` of a ConfigMap selects one. Each fault has a controller of its own:

``rejects``
    writes an object; the test lets the API server reject the write.
``loops``
    changes the object that it reconciles, so each reconcile causes the next one.
``hangs``
    sends a request; the test lets the API server leave it without a response.
``blocks``
    blocks the event loop for almost a second, again and again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aimctl.runtime import CONFIG_MAPS, Manager, Request, Result, label_selector

__all__ = ["FAULTS", "FAULT_LABEL", "add_faults"]

Fault: TypeAlias = Callable[[Request], Awaitable[Result | None]]

FAULT_LABEL = "fault"
FAULTS = ("rejects", "loops", "hangs", "blocks")

_BLOCK_SECONDS = 0.9


def add_faults(manager: Manager) -> None:
    """Add a controller for each fault."""
    client = manager.client

    async def write(request: Request) -> None:
        data = {"data": {"written": str(time.time())}}
        await client.patch(CONFIG_MAPS, request.name, data, request.namespace)

    async def rejects(request: Request) -> Result | None:
        return await write(request)

    async def loops(request: Request) -> Result | None:
        await write(request)
        await asyncio.sleep(0.02)
        return None

    async def hangs(request: Request) -> Result | None:
        await client.get(CONFIG_MAPS, request.name, request.namespace)
        return None

    async def blocks(_: Request) -> Result | None:
        time.sleep(_BLOCK_SECONDS)  # noqa: ASYNC251 - this is the fault
        return Result(requeue_after=1.0)

    def while_it_exists(fault: Fault) -> Fault:
        async def reconcile(request: Request) -> Result | None:
            if manager.cache.get(CONFIG_MAPS, request.name, request.namespace) is None:
                return None
            return await fault(request)

        return reconcile

    for name, fault in zip(FAULTS, (rejects, loops, hangs, blocks), strict=True):
        manager.controller(
            name,
            while_it_exists(fault),
            for_=CONFIG_MAPS,
            predicates=[label_selector({FAULT_LABEL: name})],
        )
