"""An event loop with virtual time.

Contract:
    * Time does not advance while a task can run. When all tasks wait, it jumps to the earliest timer. A test of hours
      takes milliseconds, and its order is always the same.
    * Sockets and threads work, but take no virtual time, so timers may fire before their results; use in-memory
      transports.
    * A loop in which no timer can ever fire ends with an error: :class:`StalledError` if all tasks wait,
      :class:`HotLoopError` if tasks run without end, for example a reconcile that its own write triggers again.

Invariant: ``loop.time()`` never decreases, and changes only in ``select``.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import math
import selectors
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, final

from aimctl.runtime.clock import LoopClock
from aimctl.runtime.controller.hotloop import on_standstill

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from aimctl.testing.ordering import SeededOrder

__all__ = [
    "EPOCH",
    "HotLoopError",
    "StalledError",
    "VirtualTimeLoop",
    "run_virtual",
    "virtual_clock",
    "virtual_time",
]

P = ParamSpec("P")
T = TypeVar("T")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""The wall clock time at the time 0 of the loop."""

_STALL_SECONDS = 5.0
"""Real seconds without a timer and I/O after which StalledError is raised."""

_MOST_ITERATIONS = 1_000_000
"""Iterations of the loop at one moment of virtual time, after which HotLoopError is raised."""


_RESOLUTION_SECONDS = 1e-9
"""Timers that are due within this time of the earliest one fire in the same iteration, as with the clock of Linux."""

_POLLED_ITERATIONS = 8
"""Sockets and threads are polled in one of these iterations while tasks are ready, and always before time passes."""

_MOST_TASKS = 20


class HotLoopError(RuntimeError):
    """Tasks run without end and no time passes, so no timer fires. The message names the controller, the key and the
    writes that cause it, or the tasks.
    """


class StalledError(RuntimeError):
    """All tasks wait, no timer is set and there is no I/O, so the loop would wait forever."""


@final
class _JumpingSelector(selectors.BaseSelector):
    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()
        self._iterations = 0
        self.now = 0.0
        self.timers: Callable[[], Sequence[asyncio.TimerHandle]] = tuple
        """Returns the timers of the loop, as a heap."""
        self.error: HotLoopError | None = None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self._iterations += 1
        if self._iterations > _MOST_ITERATIONS:
            self._iterations = 0
            raise HotLoopError(_endless(self.now))
        if timeout == 0 and self._iterations % _POLLED_ITERATIONS:
            return []
        ready = self._inner.select(0)
        if ready:
            return ready
        if timeout is None:
            ready = self._inner.select(_STALL_SECONDS)
            if not ready:
                msg = "all tasks wait and no timer is set: the loop would wait forever"
                raise StalledError(msg)
            return ready
        if timeout > 0:
            self.now = self._next_time(timeout)
            self._iterations = 0
        return []

    def _next_time(self, timeout: float) -> float:
        """The time at which the timers that fire next are due. No timer fires early, or its task might wait again."""
        time = self.now + timeout  # may differ from the time of the earliest timer by a rounding error
        timers, places = self.timers(), [0]
        while places:
            place = places.pop()
            if place < len(timers) and timers[place].when() <= self.now + timeout + _RESOLUTION_SECONDS:
                time = max(time, timers[place].when())
                places += (2 * place + 1, 2 * place + 2)
        return time


@final
class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop whose ``time()`` starts at 0 and jumps from timer to timer.

    Args:
        order: chooses the order of the tasks that are ready; None keeps that of asyncio.
    """

    def __init__(self, order: SeededOrder | None = None) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._jumping.timers = lambda: self._scheduled  # type: ignore[attr-defined]  # the heap of BaseEventLoop
        self.order = order
        if order is not None:
            self._ready = order  # the queue of ready callbacks of BaseEventLoop

    @property
    def _clock_resolution(self) -> float:
        """BaseEventLoop fires the timers that are due before the present time plus this: those that are due now."""
        return math.ulp(self._jumping.now)

    @_clock_resolution.setter
    def _clock_resolution(self, _: float) -> None:
        """BaseEventLoop sets the resolution of the real clock."""

    def time(self) -> float:
        """Virtual seconds since the creation of the loop."""
        return self._jumping.now

    def end_hot_loop(self, description: str) -> None:
        """Make the loop raise HotLoopError in its next iteration."""
        self._jumping.error = HotLoopError(description)


def _endless(now: float) -> str:
    tasks = sorted({task.get_name() for task in asyncio.all_tasks(asyncio.get_running_loop())})
    shown = ", ".join(tasks[:_MOST_TASKS]) + (" ..." if len(tasks) > _MOST_TASKS else "")
    return (
        f"the loop ran {_MOST_ITERATIONS} iterations at {now:g} s without any time passing. "
        f"A task repeats without waiting for a timer; the tasks are: {shown}"
    )


def virtual_clock() -> LoopClock:
    """A clock for the running virtual loop. Its wall time is :data:`EPOCH` plus the time of the loop."""
    return LoopClock(lambda: EPOCH + timedelta(seconds=asyncio.get_running_loop().time()))


def run_virtual(main: Coroutine[Any, Any, T], *, order: SeededOrder | None = None) -> T:
    """Run a coroutine as ``asyncio.run``, in virtual time.

    Args:
        main: the coroutine.
        order: chooses the order of the tasks that are ready; None keeps that of asyncio.

    Raises:
        StalledError: the loop would wait forever.
        HotLoopError: tasks run without end, so time does not advance.
    """
    loop = VirtualTimeLoop(order)
    context = contextvars.copy_context()
    context.run(on_standstill.set, loop.end_hot_loop)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main, context=context)


def virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Decorate an ``async`` test, which becomes a function that runs in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtual(test(*args, **kwargs))

    return run
