"""An async context held open in a task of its own.

Why: test frameworks may set a fixture up in one task and tear it down in another, and a TaskGroup or a
time-out must be left in the task that entered it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

__all__ = ["hosted"]

T = TypeVar("T")


@asynccontextmanager
async def hosted(context: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave ``context`` in one task of its own, whichever tasks enter and leave this.

    What entering raises is raised here. What the context raises later, on leaving or because a part of it
    failed, is raised on leaving. The body is not cancelled by such a failure.
    """
    leave = asyncio.Event()
    entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    async def host() -> None:
        async with context as value:
            entered.set_result(value)
            await leave.wait()

    # The owner of this task is this context manager: it ends it, and waits for it, on every way out.
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
