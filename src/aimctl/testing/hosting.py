"""An async context that is entered and left in one task.

Test frameworks may set up a fixture in one task and tear it down in another, but a TaskGroup or a timeout has to be
left in the task that entered it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from aimctl.runtime.manager import Manager

__all__ = ["hosted", "running"]

T = TypeVar("T")


@asynccontextmanager
async def hosted(context: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave ``context`` in a task of its own.

    An exception on entering is raised at once. Later exceptions of the context, also those of its tasks, are raised on
    leaving; they do not cancel the body.
    """
    leave = asyncio.Event()
    entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    async def host() -> None:
        async with context as value:
            entered.set_result(value)
            await leave.wait()

    # This context manager owns the task: it always ends it and waits for it.
    task = asyncio.get_running_loop().create_task(host())
    try:
        await asyncio.wait((task, entered), return_when=asyncio.FIRST_COMPLETED)
        if not entered.done():
            entered.cancel()
            await task
            raise RuntimeError("the context was not entered")
        yield entered.result()
    finally:
        leave.set()
        if not entered.done():
            task.cancel()
        await task


@asynccontextmanager
async def running(manager: Manager) -> AsyncIterator[Manager]:
    """Run a manager within the context. Leaving it stops the manager, and raises its error if it failed."""
    stop = asyncio.Event()
    # This context manager owns the task: it always ends it and waits for it.
    task = asyncio.get_running_loop().create_task(manager.run(stop))
    try:
        yield manager
    finally:
        stop.set()
        await task
