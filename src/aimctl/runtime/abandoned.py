"""Tasks that ignore their cancellation.

A coroutine may catch CancelledError and continue. Waiting for it would keep the process alive for ever, so its owner
waits for a limited time and then abandons it: it reports where the task is, and nothing waits for it from then on.
"""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["abandon", "where"]


def where(task: asyncio.Task[Any]) -> str:
    """Where the task is suspended: the functions and lines, such as ``run:12 > Poller.poll:40``; "" if it has ended."""
    places: list[str] = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        # A coroutine, a generator or an asynchronous generator; anything else has no frame.
        for kind in ("cr", "gi", "ag"):
            frame = getattr(awaited, f"{kind}_frame", None)
            if frame is not None:
                places.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
                awaited = getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
                break
        else:
            break
    return " > ".join(places)


def abandon(task: asyncio.Task[Any]) -> None:
    """Give up waiting for a task.

    It continues while the event loop runs, but ``asyncio.run`` does not wait for it at the end of the program.
    """
    # Documented for implementations of tasks: https://docs.python.org/3/library/asyncio-extending.html
    asyncio.tasks._unregister_task(task)  # noqa: SLF001 - see the comment above
    task.add_done_callback(_take_error)
    # The task is reported already; a second report when the interpreter ends would be misleading.
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - no public name


def _take_error(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # counts as retrieved
