"""An event loop whose time jumps.

Contract: while anything is ready to run, time stands still; when every task waits, time jumps to the earliest
timer. A test of hours ends in milliseconds and always in the same order. Real sockets and threads still work, but
they take no virtual time, so a timer may fire before their answer: in-memory transports are the ones to use here.

Invariant: ``loop.time()`` never goes back, and moves only inside ``select``.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, final

from aimctl.runtime.clock import LoopClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

__all__ = ["EPOCH", "StalledError", "VirtualTimeLoop", "run_virtual", "virtual_clock", "virtual_time"]

P = ParamSpec("P")
T = TypeVar("T")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""The wall clock's reading when a virtual loop's time is 0."""

_STALL_SECONDS = 5.0
"""Real seconds without a timer and without I/O after which the loop is called stalled."""


class StalledError(RuntimeError):
    """Every task waits, no timer is set and no I/O came: nothing can ever happen again."""


@final
class _JumpingSelector(selectors.BaseSelector):
    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()
        self.now = 0.0

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
        ready = self._inner.select(0)
        if ready:
            return ready
        if timeout is None:
            ready = self._inner.select(_STALL_SECONDS)
            if not ready:
                msg = "every task waits and no timer is set: the loop would stand still for ever"
                raise StalledError(msg)
            return ready
        if timeout > 0:
            self.now += timeout
        return []


@final
class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop whose ``time()`` starts at 0 and jumps from timer to timer."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now


def virtual_clock() -> LoopClock:
    """A clock whose wall time is :data:`EPOCH` plus the running loop's time."""
    return LoopClock(lambda: EPOCH + timedelta(seconds=asyncio.get_running_loop().time()))


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` in virtual time. Raises StalledError when nothing can happen any more."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Decorate an ``async`` test: it becomes a plain function that runs in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtual(test(*args, **kwargs))

    return run
