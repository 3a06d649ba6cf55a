"""Jobs, for reconcilers that follow their own: reading what a decision asks for, and deleting what was decided about.

Contract:
    * What is read is put on the observed Job, for the decision to be made anew.
    * A log that its node does not give is asked for again with pauses, for a while; then it is taken for lost.
    * A Job is deleted only as it was decided about; one that has changed since is brought into the cache instead, which
      asks for another look.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

from aimctl.controllers.making import refresh
from aimctl.domain.jobs.observed import PodLog
from aimctl.kubetypes.builtin import JOBS, PODS
from aimctl.runtime.kube import BadRequest, Conflict, ConnectionFailed, NotFound, ObjectKey, ServerError

if TYPE_CHECKING:
    from aimctl.domain.jobs.observed import ObservedJob
    from aimctl.domain.templates.discovery_decision import JobDeletion, LogRequest, PodsRequest
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Client
    from aimctl.runtime.kube.options import Propagation

__all__ = ["JobAccess"]

_JOB_NAME = "job-name"
"""Label of a Job's pods that every version of Kubernetes sets."""

LOG_SECONDS = 10.0
"""Limit of one reading of a log: a node that hangs must not hold up the workers."""

LOG_PATIENCE_SECONDS = 120.0
"""A node that does not give a finished pod's log for so long is taken for lost."""


@final
class JobAccess:
    """See the module.

    Args:
        client: reads and deletes.
        cache: where Jobs are.
        clock: time.
        limit_bytes: how much of a log is taken.
        tail_lines: lines from its end; None for all.
    """

    def __init__(
        self, client: Client, cache: Cache, clock: Clock, *, limit_bytes: int, tail_lines: int | None = None
    ) -> None:
        self._client = client
        self._cache = cache
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._tail_lines = tail_lines
        self._trouble: dict[Request, tuple[str, float]] = {}
        """The pod whose log cannot be read, and since when, by whose Job it is."""

    async def with_pods(self, jobs: tuple[ObservedJob, ...], wanted: PodsRequest) -> tuple[ObservedJob, ...]:
        """The Jobs, one with its pods as the server has them: the cache's may lag behind the Job."""
        pods = [
            pod
            async for pod in self._client.list_all(
                PODS, wanted.namespace, label_selector=f"{_JOB_NAME}={wanted.job_name}"
            )
            if any(owner.uid == wanted.uid for owner in pod.meta.owners)
        ]
        return _with(jobs, wanted.job_name, pods=tuple(pods), pods_read=True)

    async def with_log(
        self, request: Request, jobs: tuple[ObservedJob, ...], wanted: LogRequest
    ) -> tuple[ObservedJob, ...]:
        """The Jobs, one with the log that decides. Raises while the node does not answer and may yet."""
        data: bytes | None = None
        try:
            async with asyncio.timeout(LOG_SECONDS):
                data = await self._client.logs(
                    wanted.pod,
                    wanted.namespace,
                    container=wanted.container,
                    limit_bytes=self._limit_bytes,
                    tail_lines=self._tail_lines,
                )
        except (NotFound, BadRequest):
            pass  # the pod, its container or its log are gone
        except (ServerError, ConnectionFailed, TimeoutError) as error:
            # Where nobody listens, it is the API server that is away, and not the node.
            if isinstance(error, ConnectionFailed) and error.refused:
                raise
            now = self._clock.monotonic()
            pod, since = self._trouble.get(request, ("", now))
            since = since if pod == wanted.pod else now
            self._trouble[request] = (wanted.pod, since)
            if now - since < LOG_PATIENCE_SECONDS:
                raise
        self._trouble.pop(request, None)
        return _with(jobs, wanted.job_name, log=PodLog(wanted.pod, data))

    def forget(self, request: Request) -> None:
        """Nobody asks for this one's Jobs any more."""
        self._trouble.pop(request, None)

    async def delete(self, job: JobDeletion, propagation: Propagation = "Background") -> None:
        """Delete the Job that was decided about."""
        try:
            await self._client.delete(
                JOBS,
                job.name,
                job.namespace,
                uid=job.uid,
                resource_version=job.resource_version,
                propagation=propagation,
            )
        except Conflict:
            # Meanwhile it may have ended, with an answer that is worth reading.
            await refresh(self._client, self._cache, JOBS, ObjectKey(job.namespace, job.name), job.uid)


def _with(jobs: tuple[ObservedJob, ...], name: str, **fields: Any) -> tuple[ObservedJob, ...]:
    return tuple(replace(job, **fields) if job.name == name else job for job in jobs)
