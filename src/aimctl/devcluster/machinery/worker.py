"""A queue of keys and the task that handles them.

Invariant: keys are handled one at a time, in the order they were added, so that a run in virtual time is repeatable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar, final

import structlog

from aimctl.kubetypes.helpers.backoff import exponential_delay
from aimctl.runtime.kube.errors import Conflict, KubeError, NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from aimctl.runtime.clock import Clock

__all__ = ["Worker"]

K = TypeVar("K", bound="Hashable")

_CONFLICT_SECONDS = 0.01
_RETRY_SECONDS = 0.2
_RETRY_CAP_SECONDS = 5.0
_ERRORS_KEPT = 20

_log = structlog.get_logger("aimctl.devcluster")


@final
class Worker(Generic[K]):
    """Handles queued keys one after the other.

    ``handle`` returns the seconds after which the key is queued again, or None. A KubeError is retried with
    exponential back-off, a Conflict or NotFound almost at once. Any other exception is a defect: it is logged, kept in
    ``errors`` and retried too, so that one object cannot stop the cluster for the others.
    """

    def __init__(self, name: str, handle: Callable[[K], Awaitable[float | None]], *, clock: Clock) -> None:
        self.errors: deque[Exception] = deque(maxlen=_ERRORS_KEPT)
        self.handled = 0
        self._name = name
        self._handle = handle
        self._clock = clock
        self._queued: dict[K, None] = {}
        self._timers: dict[K, tuple[float, asyncio.Handle]] = {}  # a handle of uvloop does not have its time
        self._failures: dict[K, int] = {}
        self._wanted = asyncio.Event()
        self._busy = False

    @property
    def idle(self) -> bool:
        """Whether no key is queued or being handled. Timers do not count."""
        return not self._queued and not self._busy

    @property
    def next_due(self) -> float | None:
        """The loop time of the earliest timer."""
        return min((when for when, _ in self._timers.values()), default=None)

    def at_rest(self, horizon_seconds: float) -> bool:
        """Whether it is idle and no timer is due within the horizon."""
        due = self.next_due
        return self.idle and (due is None or due > self._clock.monotonic() + horizon_seconds)

    def describe(self) -> str:
        """The number and names of queued keys and timers, for error messages."""
        queued = ", ".join(str(key) for key in list(self._queued)[:5])
        timers = ", ".join(str(key) for key in list(self._timers)[:5])
        return f"{self._name}: {len(self._queued)} queued ({queued}), {len(self._timers)} timers ({timers})"

    def add(self, key: K) -> None:
        """Queue a key. A key that is queued already is handled once."""
        self._queued[key] = None
        self._wanted.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Queue a key after a delay, unless it is due earlier already."""
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        known = self._timers.get(key)
        when = loop.time() + seconds
        if known is not None:
            if known[0] <= when:
                return
            known[1].cancel()
        self._timers[key] = (when, loop.call_at(when, self._fire, key))

    async def run(self) -> None:
        """Handle keys until cancelled; then cancel the timers."""
        try:
            while True:
                while not self._queued:
                    self._wanted.clear()
                    await self._wanted.wait()
                key = next(iter(self._queued))
                del self._queued[key]
                await self._handle_one(key)
        finally:
            for _, timer in self._timers.values():
                timer.cancel()
            self._timers.clear()

    async def _handle_one(self, key: K) -> None:
        self._busy = True
        try:
            again = await self._handle(key)
            self._failures.pop(key, None)
            if again is not None:
                self.add_after(key, again)
        except (Conflict, NotFound):
            # The object changed meanwhile, and the informer is about to see it.
            self._retry(key, _CONFLICT_SECONDS)
        except KubeError as error:
            _log.warning("retrying", worker=self._name, key=str(key), error=str(error))
            self._retry(key, _RETRY_SECONDS)
        except Exception as error:  # noqa: BLE001 - see the class
            self.errors.append(error)
            _log.exception("handler failed", worker=self._name, key=str(key))
            self._retry(key, _RETRY_SECONDS)
        finally:
            self._busy = False
            self.handled += 1

    def _retry(self, key: K, base_seconds: float) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, exponential_delay(failures, base_seconds, _RETRY_CAP_SECONDS))

    def _fire(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)
