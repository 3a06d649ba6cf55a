"""An event loop with virtual time.

Contract: time does not advance while a task can run. When all tasks wait, it jumps to the earliest timer. A test of
hours takes milliseconds, and its order is always the same. Sockets and threads work, but take no virtual time, so
timers may fire before their results; use in-memory transports.

Invariant: ``loop.time()`` never decreases, and changes only in ``select``.
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
"""The wall clock time at the time 0 of the loop."""

_STALL_SECONDS = 5.0
"""Real seconds without a timer and I/O after which StalledError is raised."""


class StalledError(RuntimeError):
    """All tasks wait, no timer is set and there is no I/O, so the loop would wait forever."""


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
                msg = "all tasks wait and no timer is set: the loop would wait forever"
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
        """Virtual seconds since the creation of the loop."""
        return self._jumping.now


def virtual_clock() -> LoopClock:
    """A clock for the running virtual loop. Its wall time is :data:`EPOCH` plus the time of the loop."""
    return LoopClock(lambda: EPOCH + timedelta(seconds=asyncio.get_running_loop().time()))


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as ``asyncio.run``, in virtual time. Raises StalledError if the loop would wait forever."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Decorate an ``async`` test, which becomes a function that runs in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtual(test(*args, **kwargs))

    return run
