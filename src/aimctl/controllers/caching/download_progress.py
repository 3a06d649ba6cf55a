"""How far the running downloads are: the end of each one's log, read every ten seconds.

It has workers of its own, few, and a time limit for each reading, so a node that does not answer holds up nobody but
others' progress. What cannot be read is not told, and nobody is told of that: progress is a courtesy.

What is read stays in memory; who tells of it keeps it in status.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, final

from aimctl.api.kinds import MODEL_CACHES
from aimctl.domain.caching.download_job import (
    CONTAINER,
    PROGRESS_SECONDS,
    PROGRESS_TAIL_BYTES,
    PROGRESS_TAIL_LINES,
    parse_progress,
)
from aimctl.runtime.controller import Result
from aimctl.runtime.kube import KubeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.controllers.observer import TemplateObserver
    from aimctl.kubetypes import Object, Pod
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Client

__all__ = ["WORKERS", "DownloadProgressReconciler"]

WORKERS = 4
"""Logs that are read at once."""

_LOG_SECONDS = 5.0


@final
class DownloadProgressReconciler:
    """Reads the progress of model caches; its keys are theirs.

    Args:
        observer: for Jobs and pods.
        client: reads logs.
        clock: time.
        progressed: enqueues a model cache whose download has progressed.
    """

    def __init__(
        self, observer: TemplateObserver, client: Client, clock: Clock, progressed: Callable[[Request], None]
    ) -> None:
        self._observer = observer
        self._client = client
        self._clock = clock
        self._progressed = progressed
        self._read_at: dict[Request, float] = {}
        self._measured: dict[Request, tuple[str, int]] = {}
        """The UID of the pod, and bytes on the volume as its log last said."""

    def measured(self, request: Request) -> int | None:
        """Bytes on the volume, while a download runs whose log has told."""
        known = self._measured.get(request)
        return None if known is None else known[1]

    async def reconcile(self, request: Request) -> Result | None:
        """Read, if there is something to read and it is time."""
        pod = self._running(request)
        if pod is None:
            self._measured.pop(request, None)
            self._read_at.pop(request, None)
            return None
        known = self._measured.get(request)
        if known is not None and known[0] != pod.meta.uid:
            del self._measured[request]
        now = self._clock.monotonic()
        wait = self._read_at.get(request, now - PROGRESS_SECONDS) + PROGRESS_SECONDS - now
        if wait > 0:
            return Result(requeue_after=wait)
        self._read_at[request] = now
        amount = await self._read(pod)
        if amount is not None and self.measured(request) != amount:
            self._measured[request] = (pod.meta.uid, amount)
            self._progressed(request)
        return Result(requeue_after=float(PROGRESS_SECONDS))

    async def _read(self, pod: Object[Pod]) -> int | None:
        try:
            async with asyncio.timeout(_LOG_SECONDS):
                log = await self._client.logs(
                    pod.meta.name,
                    pod.meta.namespace,
                    container=CONTAINER,
                    tail_lines=PROGRESS_TAIL_LINES,
                    limit_bytes=PROGRESS_TAIL_BYTES,
                )
        except (KubeError, TimeoutError):
            return None
        return parse_progress(log)

    def _running(self, request: Request) -> Object[Pod] | None:
        """The pod whose container downloads."""
        obj = self._observer.cache.get(MODEL_CACHES, request.name, request.namespace)
        if obj is None:
            return None
        for job in self._observer.jobs_of(obj.meta.uid):
            for pod in job.pods if not job.finished else ():
                if any(
                    item.name == CONTAINER and item.state.running is not None
                    for item in pod.view.container_statuses
                ):
                    return pod
        return None
