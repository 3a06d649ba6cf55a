"""Reads the logs of pods in the background. A reconciler asks for a log and is called again when it was read.

Contract:
    * :meth:`PodLogs.read` never waits. ``notify(request)`` is called when a result is there; :meth:`PodLogs.result`
      returns it until :meth:`PodLogs.forget` is called for the request.
    * A result without data means that the log is lost: the pod, its container or its log is gone, or its node has not
      answered for :data:`NODE_LOST_SECONDS`. While the API server itself cannot be reached, reading is repeated
      without end.
    * At most :data:`READS_AT_A_TIME` logs are read at once, each for at most :data:`READ_SECONDS`, so a node that does
      not answer does not delay other reconciles.

Invariant: every read is a task of the group in :meth:`PodLogs.run`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, final

import structlog

from aimctl.domain.jobs.observed import PodLog
from aimctl.runtime.kube import BadRequest, ConnectionFailed, KubeError, NotFound
from aimctl.runtime.queue import ExponentialRateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.domain.plan import ReadLog
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Client

__all__ = ["NODE_LOST_SECONDS", "READS_AT_A_TIME", "READ_SECONDS", "PodLogs"]

READ_SECONDS = 10.0
"""Time limit of one attempt."""

NODE_LOST_SECONDS = 120.0
"""A node that has not returned the log of a finished pod for so long is considered lost."""

READS_AT_A_TIME = 8

_FIRST_RETRY_SECONDS, _MAX_RETRY_SECONDS = 1.0, 15.0


@final
class PodLogs:
    """A component to be added to the manager.

    Args:
        client: reads logs.
        clock: for retries.
        notify: enqueues a request for its reconciler, such as ``Channel.send``.
        limit_bytes: how much of a log is read.
        tail_lines: read only so many lines from its end; None for all.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        notify: Callable[[Request], object],
        *,
        limit_bytes: int,
        tail_lines: int | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._notify = notify
        self._limit_bytes = limit_bytes
        self._tail_lines = tail_lines
        self._results: dict[Request, dict[ReadLog, PodLog | None]] = {}
        """By request what was asked for; None while it is being read."""
        self._slots = asyncio.Semaphore(READS_AT_A_TIME)
        self._tasks: asyncio.TaskGroup | None = None
        self._early: list[tuple[Request, ReadLog]] = []
        self._log = structlog.get_logger(__name__)

    async def run(self) -> None:
        """Read what is asked for until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for request, wanted in self._early:
                self._start(request, wanted)
            self._early.clear()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._tasks = None

    def read(self, request: Request, wanted: ReadLog) -> None:
        """Read a log, unless that is under way or done."""
        results = self._results.setdefault(request, {})
        if wanted not in results:
            results[wanted] = None
            self._start(request, wanted)

    def result(self, request: Request, pod_uid: str) -> PodLog | None:
        """What was read of a pod for this request; None before."""
        for wanted, result in self._results.get(request, {}).items():
            if wanted.pod_uid == pod_uid and result is not None:
                return result
        return None

    def forget(self, request: Request) -> None:
        """Drop what was read for this request. A read that is under way ends without a notification."""
        self._results.pop(request, None)

    def _start(self, request: Request, wanted: ReadLog) -> None:
        if self._tasks is None:
            self._early.append((request, wanted))
        else:
            self._tasks.create_task(self._read(request, wanted), name=f"log of {wanted.pod}")

    async def _read(self, request: Request, wanted: ReadLog) -> None:
        delays: ExponentialRateLimiter[None] = ExponentialRateLimiter(
            _FIRST_RETRY_SECONDS, _MAX_RETRY_SECONDS
        )
        since = self._clock.monotonic()
        while self._wanted(request, wanted):
            try:
                data: bytes | None = await self._attempt(wanted)
            except (NotFound, BadRequest):
                data = None
            except (KubeError, TimeoutError) as error:
                # A refused connection is the API server's, not the node's.
                if isinstance(error, ConnectionFailed) and error.refused:
                    since = self._clock.monotonic()
                if self._clock.monotonic() - since < NODE_LOST_SECONDS:
                    self._log.info("log not readable yet", pod=wanted.pod, error=str(error) or "timed out")
                    await self._clock.sleep(delays.when(None))
                    continue
                data = None
            if self._wanted(request, wanted):
                self._results[request][wanted] = PodLog(wanted.pod, data)
                self._notify(request)
            return

    def _wanted(self, request: Request, wanted: ReadLog) -> bool:
        return wanted in self._results.get(request, {})

    async def _attempt(self, wanted: ReadLog) -> bytes:
        async with self._slots, asyncio.timeout(READ_SECONDS):
            return await self._client.logs(
                wanted.pod,
                wanted.namespace,
                container=wanted.container,
                limit_bytes=self._limit_bytes,
                tail_lines=self._tail_lines,
            )
