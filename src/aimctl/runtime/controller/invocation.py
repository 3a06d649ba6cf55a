"""One call of a reconciler, in a task of its own and with a time limit.

Contract:
    * Every result or exception of the reconciler is returned, also one that is not an Exception. Only a cancellation of
      the caller, and what ends the program, is raised.
    * A reconcile that exceeds the time limit is cancelled, and counts as an error that says so.
    * If the caller is cancelled, so is the reconcile, and the caller waits for its end.
    * A reconcile that ignores its cancellation is logged with the line at which it waits, and abandoned: neither the
      caller nor the end of the program waits for it. It has ``UNWIND_SECONDS`` to end after a timeout, and
      ``SHUTDOWN_SECONDS`` if the caller is cancelled. :meth:`Invoker.when_ended` shows when it has ended nevertheless.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, final

from aimctl.runtime.abandoned import abandon, where
from aimctl.runtime.callbacks import ENDING
from aimctl.runtime.controller.reconcile import Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from aimctl.runtime.controller.reconcile import ReconcileFunc, Request

__all__ = ["SHUTDOWN_SECONDS", "UNWIND_SECONDS", "Invoker"]

UNWIND_SECONDS = 5.0
"""How long a reconcile may take to end after a timeout."""

_CANCELLED = "the reconciler awaited something that was cancelled: {!r}"

SHUTDOWN_SECONDS = 0.8
"""The same when the controller is cancelled. Less than the second that the manager waits for cancelled runnables."""


@final
class Invoker:
    """Calls the reconciler of one controller.

    Args:
        name: of the controller, for messages.
        reconcile: the reconciler.
        timeout: time limit in seconds; None for none.
        timed_out: called for each reconcile that exceeds it.
        logger: for reconciles that ignore their cancellation.
    """

    def __init__(
        self,
        name: str,
        reconcile: ReconcileFunc,
        *,
        timeout: float | None,
        timed_out: Callable[[], None],
        logger: FilteringBoundLogger,
    ) -> None:
        self._name = name
        self._task_name = f"{name} run"
        self._reconcile = reconcile
        self._timeout = timeout
        self._timed_out = timed_out
        self._log = logger
        self._abandoned: dict[Request, asyncio.Task[Result | None]] = {}

    async def call(self, request: Request) -> tuple[Result | None, Exception | None]:
        """Reconcile once. Returns the result, or the error."""
        caller = asyncio.current_task()
        # Before Python 3.13 a failed TaskGroup leaves its task marked as cancelled
        # (https://github.com/python/cpython/issues/116720), so each reconcile has a task of its own.
        outcome: asyncio.Future[Result | None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._report(request, outcome), name=self._task_name)
        limit = None if self._timeout is None else asyncio.timeout(self._timeout)
        try:
            if limit is None:
                return await outcome, None
            async with limit:
                return await outcome, None
        except asyncio.CancelledError as error:
            if caller is not None and caller.cancelling():
                await self._unwind(request, task, SHUTDOWN_SECONDS)
                raise
            # The caller was not cancelled: the reconciler awaited something else that was. Raising this error would
            # silently end the worker, so it counts as an error of the reconcile.
            return None, _NoException(_CANCELLED.format(error))
        except TimeoutError as error:
            if limit is None or not limit.expired():
                return None, error
            self._timed_out()
            return None, await self._expire(request, task)
        except Exception as error:  # noqa: BLE001 - user code: the outcome of this reconcile
            return None, error
        finally:
            # The traceback of the error has this frame: without these references there is no cycle, so an error and the
            # objects of its frames are freed at once.
            del outcome, task

    @property
    def running_here(self) -> bool:
        """Whether the current task is a reconcile of this controller."""
        task = asyncio.current_task()
        return task is not None and task.get_name() == self._task_name

    def when_ended(self, request: Request, done: Callable[[], None]) -> None:
        """Call ``done`` when no reconcile of ``request`` is running: now, or at the end of an abandoned one."""
        task = self._abandoned.get(request)
        if task is None:
            done()
        else:
            task.add_done_callback(lambda _: done())

    async def _report(self, request: Request, outcome: asyncio.Future[Result | None]) -> Result | None:
        """Reconcile, and set the outcome in the last step of the task, so that its waiter runs next.

        A waiter of ``asyncio.shield`` would run one iteration of the event loop later. If the waiter has given up, the
        task has the outcome.
        """
        try:
            result = await self._run(request)
        except asyncio.CancelledError:
            outcome.cancel()
            raise
        except BaseException as error:
            if outcome.done():
                raise
            # Converted here: a GeneratorExit that passes through a future would close its waiter.
            outcome.set_exception(_converted(error))
            del outcome  # as in ``call``
            return None
        if not outcome.done():
            outcome.set_result(result)
        return result

    async def _run(self, request: Request) -> Result | None:
        answer: object = self._reconcile(request)
        if not inspect.isawaitable(answer):
            raise TypeError(
                f"the reconciler of {self._name!r} returned {answer!r}: define it with 'async def'"
            )
        result: object = await answer
        if result is not None and not isinstance(result, Result):
            raise TypeError(f"the reconciler of {self._name!r} returned {result!r}: return a Result or None")
        return result

    async def _expire(self, request: Request, task: asyncio.Task[Result | None]) -> TimeoutError:
        """Cancel a reconcile that has exceeded the time limit, and return its error."""
        text = f"the reconcile was cancelled after reconcile_timeout={self._timeout} s"
        if task.done():  # in the same iteration of the event loop
            return TimeoutError(text)
        await self._unwind(request, task, UNWIND_SECONDS)
        if not task.done():
            return TimeoutError(
                f"{text}, and abandoned because it ignored that for {UNWIND_SECONDS:g} s: it must raise CancelledError"
            )
        if task.cancelled():
            return TimeoutError(text)
        cause = task.exception()
        if cause is None:
            return TimeoutError(f"{text}, but it caught the cancellation: it must raise CancelledError")
        error = TimeoutError(text)
        error.__cause__ = cause
        return error

    async def _unwind(self, request: Request, task: asyncio.Task[Result | None], seconds: float) -> None:
        """Cancel the task and wait for its end; abandon it if that takes too long."""
        task.cancel()
        try:
            await asyncio.wait((task,), timeout=seconds)
        finally:
            if not task.done():
                self._abandon(request, task)

    def _abandon(self, request: Request, task: asyncio.Task[Result | None]) -> None:
        self._log.error(
            "the reconcile ignores its cancellation and is abandoned",
            namespace=request.namespace,
            name=request.name,
            at=where(task),
            remedy="do not catch CancelledError, or raise it again",
        )
        self._abandoned[request] = task
        abandon(task)
        task.add_done_callback(lambda _: self._abandoned.pop(request, None))


def _converted(error: BaseException) -> BaseException:
    """What the reconciler raised, as an Exception, unless it ends the program."""
    if isinstance(error, (Exception, *ENDING)):
        return error
    text = f"the reconciler raised {error!r}, which is not an Exception"
    if isinstance(error, BaseExceptionGroup):
        if error.subgroup(ENDING) is not None:
            return error
        errors = error.subgroup(Exception)
        if errors is not None:
            return errors
        if error.subgroup(asyncio.CancelledError) is not None:
            text = _CANCELLED.format(error)
    converted = _NoException(text)
    converted.__cause__ = error
    return converted


class _NoException(Exception):  # noqa: N818 - appears only in the log
    pass
