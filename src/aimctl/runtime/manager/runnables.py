"""Runnables, and groups of them that start and end together.

A group differs from an :class:`asyncio.TaskGroup` in two ways: a failing runnable does not cancel the others (the
manager decides how they end), and a runnable that ignores its cancellation is reported instead of awaited for ever.

Contract:
    * A runnable is an object with ``async def run()``. With ``stop()`` it is shut down gracefully and cancelled only if
      that takes too long; otherwise it is cancelled. With ``warm_up()`` it is prepared before it leads; with
      ``wait_caches()`` as well, only its caches are filled before it leads, and it is warmed up then.
    * A runnable added before the group starts waits; added to a running group it starts at once; added to an ended
      group it is refused.
    * Each task has a copy of the context in which the group was started, also if the runnable is added later.
    * A runnable that raises, or that other code cancels, is reported with its name as soon as its task ends. Returning
      is not a failure, nor is a cancellation together with the owner of the group.
    * So is a runnable whose ``stop()`` raises; it is cancelled.
    * :meth:`RunnableGroup.remove` ends one runnable; the group forgets it.
    * A group is an async context manager. Leaving it cancels what still runs.

Invariants:
    * Each task is in ``_tasks`` from its creation until it has ended. Only the group cancels it.
    * After ``stop()`` or ``cancel()`` returned an empty list, no task of the group is left.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, final, runtime_checkable

import structlog

from aimctl.runtime.abandoned import abandon, where
from aimctl.runtime.callbacks import raise_if_ending

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["RunFunc", "Runnable", "RunnableGroup", "Stoppable", "WaitsForCaches", "Warmable"]

RunFunc: TypeAlias = "Callable[[], Awaitable[None]]"
"""A plain async function in the place of a :class:`Runnable`."""

_UNWIND_SECONDS = 1.0
"""How long a cancelled task may take to unwind before it is called stuck."""


@runtime_checkable
class Runnable(Protocol):
    """Runs until it is done, stopped or cancelled.

    With an attribute ``needs_leader_election = False`` it runs on every replica; otherwise on the leader
    only.
    """

    async def run(self) -> None:
        """Do the work. Called once."""
        ...


@runtime_checkable
class Stoppable(Protocol):
    """A runnable that can be shut down gracefully."""

    def stop(self) -> None:
        """Make ``run()`` return soon. Does not block; may be called twice, or before ``run()``."""
        ...


@runtime_checkable
class Warmable(Protocol):
    """A runnable that can be prepared before it leads."""

    async def warm_up(self) -> None:
        """Prepare. ``run()`` may be called before, during or after."""
        ...


@runtime_checkable
class WaitsForCaches(Runnable, Warmable, Protocol):
    """A runnable whose warm-up collects work, such as a controller, so it is not warmed up on a standby."""

    async def wait_caches(self) -> None:
        """Wait until the caches are filled from which it will collect work."""
        ...


@final
class RunnableGroup:
    """Owns the tasks of its runnables.

    Args:
        name: for messages.
        failed: called with the name and the error of each runnable that raised.
    """

    def __init__(self, name: str, failed: Callable[[str, BaseException], None]) -> None:
        self.name = name
        self._failed = failed
        self._log = structlog.get_logger(__name__)
        self._waiting: list[tuple[str, Runnable]] = []
        self._tasks: dict[asyncio.Task[None], tuple[str, Runnable]] = {}
        self._context = contextvars.Context()
        self._running = False
        self._ended = False
        self._removing: set[asyncio.Task[None]] = set()
        self._owner: asyncio.Task[Any] | None = None
        self._cancelled = False
        """Whether :meth:`cancel` is done; what runs after that is stuck, and has been reported."""

    async def __aenter__(self) -> Self:
        self._owner = asyncio.current_task()
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._cancelled:
            await self.cancel()

    # ---- life cycle

    def add(self, name: str, runnable: Runnable) -> None:
        """Run ``runnable`` with the group.

        Raises:
            RuntimeError: the group has ended.
        """
        if self._ended:
            raise RuntimeError(
                f"{name!r} cannot be added: the manager is stopping; add it before, or to a new one"
            )
        if self._running:
            self._launch(name, runnable)
        else:
            self._waiting.append((name, runnable))

    async def remove(self, runnable: Runnable, seconds: float) -> bool:
        """End one runnable and forget it, as :meth:`stop` and :meth:`cancel` do for all. False if it was cancelled.

        Args:
            runnable: as it was added.
            seconds: limit of the graceful shutdown; below zero without limit, 0 cancels at once.
        """
        self._waiting = [(name, one) for name, one in self._waiting if one is not runnable]
        task = next((task for task, (_, one) in self._tasks.items() if one is runnable), None)
        if task is None:
            return True
        self._removing.add(task)
        try:
            if seconds != 0 and self._stop(task):
                await asyncio.wait([task], timeout=None if seconds < 0 else seconds)
            graceful = task.done()
            if not graceful:
                task.cancel()
                await asyncio.wait([task], timeout=_UNWIND_SECONDS)
        finally:
            if not task.done():
                task.cancel()
                self._abandon(task)
                self._tasks.pop(task, None)
            self._removing.discard(task)
        return graceful

    def start(self) -> None:
        """Start all runnables. Does nothing when the group has ended."""
        if self._ended:
            return
        self._running = True
        self._context = contextvars.copy_context()
        for name, runnable in self._waiting:
            self._launch(name, runnable)
        self._waiting.clear()

    async def finished(self) -> None:
        """Wait until no runnable is running, whether they returned, failed or were cancelled."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def stop(self, seconds: float) -> list[str]:
        """Shut down all runnables. Returns the names of those that ran longer than ``seconds`` and were cancelled.

        Args:
            seconds: limit of the graceful shutdown; below zero without limit, 0 cancels at once.
        """
        if seconds == 0:
            return await self.cancel()
        self._ended = True
        for task in list(self._tasks):
            if not self._stop(task):
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=None if seconds < 0 else seconds)
        late = sorted(name for name, _ in self._tasks.values())
        await self.cancel()
        return late

    async def cancel(self) -> list[str]:
        """Cancel all runnables. Returns the names of those that are still running a second later.

        Those are logged with the line at which they wait, and abandoned.
        """
        self._ended = True
        self.cancel_soon()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_UNWIND_SECONDS)
        if not self._cancelled:
            for task in self._tasks:
                self._abandon(task)
        self._cancelled = True
        return sorted(name for name, _ in self._tasks.values())

    def cancel_soon(self) -> None:
        """Cancel without waiting."""
        self._ended = True
        for task in self._tasks:
            task.cancel()

    @property
    def running(self) -> tuple[str, ...]:
        """The names of the runnables that are running."""
        return tuple(sorted(name for name, _ in self._tasks.values()))

    # ---- helpers

    def _stop(self, task: asyncio.Task[None]) -> bool:
        """Call ``stop()`` of the runnable. False if it has none or raises, so that its task must be cancelled."""
        name, runnable = self._tasks[task]
        if not isinstance(runnable, Stoppable):
            return False
        try:
            runnable.stop()
        except BaseException as error:  # noqa: BLE001 - user code: the others must be stopped as well
            raise_if_ending(error)
            self._failed(name, error)
            return False
        return True

    def _launch(self, name: str, runnable: Runnable) -> None:
        task = asyncio.get_running_loop().create_task(
            runnable.run(), name=f"{self.name}: {name}", context=self._context.copy()
        )
        self._tasks[task] = (name, runnable)
        task.add_done_callback(self._done)

    def _abandon(self, task: asyncio.Task[None]) -> None:
        name, _ = self._tasks[task]
        self._log.error("runnable ignores its cancellation and is abandoned", runnable=name, at=where(task))
        abandon(task)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task not in self._tasks:  # removed and abandoned
            return
        name, _ = self._tasks.pop(task)
        if task.cancelled():
            # asyncio.run cancels all tasks when the main one has failed: the owner then ends this group.
            owner_ends = self._owner is not None and self._owner.cancelling() > 0
            if not (self._ended or owner_ends or task in self._removing):
                self._failed(name, RuntimeError(f"{name!r} was cancelled, but not by its manager"))
            return
        error = task.exception()
        if error is not None:
            self._failed(name, error)
