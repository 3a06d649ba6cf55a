"""The order in which an event loop runs the tasks that are ready, chosen by a seed.

Contract:
    * Tasks that are ready in the same iteration of the loop run in a random order. Callbacks that are not steps of
      tasks keep their positions, because asyncio promises their order.
    * A group of tasks can be held: nothing of it runs until it is released, as in a process whose event loop is
      blocked. A task belongs to the group in the context variable :data:`GROUP`, which tasks inherit.
    * The order is a function of the random number generator and of what is scheduled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    import random

__all__ = ["GROUP", "SeededOrder"]

GROUP: ContextVar[str] = ContextVar("aimctl_testing_group", default="")
"""The group of the running task, such as a simulated process; "" for none."""


@final
class SeededOrder:
    """Takes the place of the queue of ready callbacks of a :class:`asyncio.BaseEventLoop`.

    The loop calls ``append``, ``popleft``, ``clear`` and ``len`` only. In each iteration it takes as many callbacks as
    were ready at its start, so all of them form one batch.

    Args:
        rng: chooses the order.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._batch: deque[asyncio.Handle] = deque()
        self._next: list[asyncio.Handle] = []
        self._held: dict[str, list[asyncio.Handle]] = {}

    def reseed(self, rng: random.Random) -> None:
        """Choose the order by other random numbers from the next iteration on."""
        self._rng = rng

    def append(self, handle: asyncio.Handle) -> None:
        """Schedule a callback for the next iteration."""
        if self._held:
            held = self._held.get(_group(handle))
            if held is not None:
                held.append(handle)
                return
        self._next.append(handle)

    def popleft(self) -> asyncio.Handle:
        """The next callback of this iteration."""
        if not self._batch:
            self._batch.extend(self._shuffled(self._next))
            self._next = []
        return self._batch.popleft()

    def clear(self) -> None:
        """Forget all callbacks."""
        self._batch.clear()
        self._next = []
        self._held = {}

    def __len__(self) -> int:
        return len(self._batch) + len(self._next)

    def hold(self, group: str) -> None:
        """Run nothing of a group from the next iteration on, until :meth:`release`."""
        held = self._held.setdefault(group, [])
        held += (handle for handle in self._next if _group(handle) == group)
        self._next = [handle for handle in self._next if _group(handle) != group]

    def release(self, group: str) -> None:
        """Run a group that was held. Does nothing for other groups."""
        self._next += self._held.pop(group, [])

    def _shuffled(self, handles: list[asyncio.Handle]) -> list[asyncio.Handle]:
        if len(handles) < 2:
            return handles
        places = [place for place, handle in enumerate(handles) if _is_step(handle)]
        if len(places) > 1:
            steps = [handles[place] for place in places]
            self._rng.shuffle(steps)
            for place, step in zip(places, steps, strict=True):
                handles[place] = step
        return handles


def _is_step(handle: asyncio.Handle) -> bool:
    """Whether a callback is a step of a task. asyncio identifies the task of a callback in the same way."""
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)  # type: ignore[attr-defined]  # noqa: SLF001 - a handle has no public access to its callback


def _group(handle: asyncio.Handle) -> str:
    return handle._context.get(GROUP, "")  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001 - nor to its context
