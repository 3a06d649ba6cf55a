"""Waiting until controllers have nothing to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aimctl.devcluster.machinery.controller import Controller
    from aimctl.devcluster.machinery.worker import Worker
    from aimctl.runtime.clock import Clock

__all__ = ["NotSettled", "settled"]

_STEP_SECONDS = 0.01


class NotSettled(TimeoutError):  # noqa: N818 - the public name, used in except clauses of tests
    """The cluster's controllers did not come to rest in time. The text names those that have work left."""


async def settled(
    controllers: Callable[[], Sequence[Controller]],
    *,
    clock: Clock,
    busy: Callable[[], bool],
    horizon_seconds: float,
    timeout_seconds: float,
) -> None:
    """Wait until no controller has work.

    That is: every informer has the latest state of its kind, no key is queued, and no timer is due within the horizon.

    Args:
        controllers: those that run now.
        clock: for the waiting.
        busy: true while a controller has work that no key or timer shows.
        horizon_seconds: timers due within this time count as work.
        timeout_seconds: how long to wait.

    Raises:
        NotSettled: not within the time.
        ExceptionGroup: a controller failed because of a defect, which is also in the log.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            while busy() or not await _at_rest(controllers(), horizon_seconds):
                await clock.sleep(_pause([each.worker for each in controllers()], clock, horizon_seconds))
    except TimeoutError as error:
        workers = [each.worker for each in controllers()]
        left = [worker.describe() for worker in workers if not worker.at_rest(horizon_seconds)]
        shown = "; ".join(left) or "informers are behind the server"
        raise NotSettled(f"not at rest after {timeout_seconds:g} s: {shown}") from error
    defects = [error for each in controllers() for error in each.worker.errors]
    defects += [error for each in controllers() for informer in each.informers for error in informer.errors]
    if defects:
        raise ExceptionGroup("controllers of the cluster met defects", defects)


async def _at_rest(controllers: Sequence[Controller], horizon_seconds: float) -> bool:
    workers = [each.worker for each in controllers]
    if not all(worker.at_rest(horizon_seconds) for worker in workers):
        return False
    handled = [worker.handled for worker in workers]
    for informer in [informer for each in controllers for informer in each.informers]:
        if not await informer.matches_server():
            return False
    return all(worker.at_rest(horizon_seconds) for worker in workers) and handled == [
        worker.handled for worker in workers
    ]


def _pause(workers: Sequence[Worker[Any]], clock: Clock, horizon_seconds: float) -> float:
    """Until the next timer within the horizon, or one step while keys are queued."""
    if not all(worker.idle for worker in workers):
        return _STEP_SECONDS
    now = clock.monotonic()
    delays = [worker.next_due - now for worker in workers if worker.next_due is not None]
    return max(_STEP_SECONDS, min((each for each in delays if each <= horizon_seconds), default=0.0))
