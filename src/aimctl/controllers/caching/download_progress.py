"""The progress of running downloads: the end of the log of each one, read every ten seconds.

Contract:
    * The keys are those of the model caches. :meth:`DownloadProgress.downloaded_bytes` is the latest result, kept in
      memory; the status of the model cache reports it.
    * At most :data:`WORKERS` logs are read at once, each for at most :data:`READ_SECONDS`. A node that does not answer
      therefore delays only the progress of other downloads.
    * A log that cannot be read is not reported: progress is a convenience.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from aimctl.api.kinds import MODEL_CACHES
from aimctl.controllers.indexes.caching import claims_of
from aimctl.controllers.jobs import owned_jobs
from aimctl.domain.caching.download_log import (
    CONTAINER,
    PROGRESS_SECONDS,
    PROGRESS_TAIL_BYTES,
    PROGRESS_TAIL_LINES,
    parse_progress,
)
from aimctl.kubetypes.builtin import PODS
from aimctl.kubetypes.permissions import Permission
from aimctl.runtime.controller import EnqueueMapped, Result, Watch
from aimctl.runtime.kube import KubeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.controllers.operator_context import OperatorContext
    from aimctl.kubetypes import Object, Pod
    from aimctl.runtime.controller import Request

__all__ = ["WORKERS", "DownloadProgress", "add_download_progress"]

PERMISSIONS = (Permission(PODS, ("get",), "read the progress of downloads", "log"),)

WORKERS = 4
"""Logs that are read at once."""

READ_SECONDS = 5.0


def add_download_progress(context: OperatorContext, notify: Callable[[Request], object]) -> DownloadProgress:
    """Add the reconciler to the manager; ``notify`` is called for each model cache whose download has progressed."""
    progress = DownloadProgress(context, notify)
    context.manager.controller(
        "downloadprogress",
        progress,
        kind=MODEL_CACHES.kind,
        sources=[Watch(context.cache.informer(PODS), EnqueueMapped(claims_of))],
        **context.defaults(WORKERS),
    )
    return progress


@dataclass(slots=True)
class _Reading:
    pod_uid: str
    due: float = 0.0
    downloaded_bytes: int | None = None


@final
class DownloadProgress:
    """Reads the logs of running downloads."""

    def __init__(self, context: OperatorContext, notify: Callable[[Request], object]) -> None:
        self._cache = context.cache
        self._client = context.manager.client
        self._clock = context.manager.clock
        self._notify = notify
        self._readings: dict[Request, _Reading] = {}

    def downloaded_bytes(self, request: Request) -> int | None:
        """Bytes on the volume of a model cache whose download is running; None if no log has reported them."""
        reading = self._readings.get(request)
        return reading.downloaded_bytes if reading is not None else None

    async def reconcile(self, request: Request) -> Result | None:
        """Read the log of the download, if one is running and its log is due."""
        pod = self._running_pod(request)
        if pod is None:
            self._readings.pop(request, None)
            return None
        reading, now = self._reading(request, pod), self._clock.monotonic()
        if reading.due > now:
            return Result(requeue_after=reading.due - now)
        reading.due = now + PROGRESS_SECONDS
        amount = await self._read(pod)
        if amount is not None and amount != reading.downloaded_bytes:
            reading.downloaded_bytes = amount
            self._notify(request)
        return Result(requeue_after=float(PROGRESS_SECONDS))

    def _reading(self, request: Request, pod: Object[Pod]) -> _Reading:
        reading = self._readings.get(request)
        if reading is None or reading.pod_uid != pod.meta.uid:
            reading = self._readings[request] = _Reading(pod.meta.uid)
        return reading

    async def _read(self, pod: Object[Pod]) -> int | None:
        try:
            async with asyncio.timeout(READ_SECONDS):
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

    def _running_pod(self, request: Request) -> Object[Pod] | None:
        """The pod whose container downloads."""
        cache = self._cache.get(MODEL_CACHES, request.name, request.namespace)
        for job in owned_jobs(self._cache, cache.meta.uid, cache.meta.namespace) if cache is not None else ():
            for pod in job.pods if not job.finished else ():
                if any(
                    item.name == CONTAINER and item.state.running is not None
                    for item in pod.view.container_statuses
                ):
                    return pod
        return None
