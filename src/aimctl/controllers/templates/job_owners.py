"""Which discovery Jobs are controlled by a template, by UID.

Labels and names prove nothing, because everyone who may create Jobs can write them. A Job is one of a template if its
controller reference has the kind and the UID of a template that exists or has existed in the place where the Job runs.

Contract:
    * :meth:`JobOwners.controls` is never wrong in the direction that exceeds the limit: a Job about whose controller
      nothing is known counts, until :meth:`JobOwners.verify` has asked the API server.
    * A Job counts after the deletion of its template as well, until the garbage collector has deleted it, if this
      process has seen the template, or has created the Job.
    * A template that was deleted before this process became leader was not seen by it. Its Jobs count for
      :data:`ORPHAN_SECONDS` after the first count. The garbage collector needs a few seconds.

Invariant: at most :data:`_KEPT_UIDS` UIDs are kept in addition to those that are in use.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, final

import structlog

from aimctl.api.kinds import CLUSTER_TEMPLATES, TEMPLATES
from aimctl.runtime.controller import Request
from aimctl.runtime.kube import KubeError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aimctl.kubetypes import Job, Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube import Client, Object

__all__ = ["ORPHAN_SECONDS", "JobOwners"]

ORPHAN_SECONDS = 60.0
"""How long a Job counts whose template was deleted before this process became leader."""

_RETRY_SECONDS = 5.0
"""Time until the API server is asked again after it did not respond."""

_REQUESTS = 16
"""Templates that are requested at once."""

_KEPT_UIDS = 1000


@final
class JobOwners:
    """Knows the templates of discovery Jobs.

    Args:
        find: the template of a request in the cache.
        api_reader: reads past the cache.
        clock: for delays.
        operator_namespace: where the Jobs of cluster templates run.
    """

    def __init__(
        self,
        *,
        find: Callable[[Request], Object[Any] | None],
        api_reader: Client,
        clock: Clock,
        operator_namespace: str,
    ) -> None:
        self._find = find
        self._api_reader = api_reader
        self._clock = clock
        self._operator_namespace = operator_namespace
        self._templates: set[str] = set()
        """The UIDs of templates that have existed."""
        self._foreign: set[str] = set()
        """The UIDs of Jobs that no template controls."""
        self._inherited: dict[str, float] = {}
        """The UIDs of Jobs of the first count, and until when they count without a template."""
        self._retry_at = 0.0
        self._log = structlog.get_logger(__name__)

    def controls(self, job: Object[Job]) -> bool:
        """Whether a template controls a Job, or may control it."""
        request = self._request(job)
        if request is None:
            return False
        uid = _controller_uid(job)
        if uid in self._templates:
            return True
        template = self._find(request)
        if template is not None and template.meta.uid == uid:
            self._templates.add(uid)
            return True
        return job.meta.uid not in self._foreign

    def add(self, template_uid: str) -> None:
        """A Job is about to be created for this template."""
        self._templates.add(template_uid)

    def inherit(self, job: Object[Job]) -> None:
        """The first count has found this Job."""
        self._inherited[job.meta.uid] = self._clock.monotonic() + ORPHAN_SECONDS

    def checks(self, jobs: Iterable[Object[Job]]) -> list[float]:
        """The times, on the monotonic clock, at which :meth:`verify` is due for these Jobs."""
        return [
            max(self._retry_at, self._inherited.get(job.meta.uid, 0.0))
            for job in jobs
            if self.controls(job) and not self._known(job)
        ]

    async def verify(self, jobs: Iterable[Object[Job]], *, needed: Iterable[str] = ()) -> None:
        """Ask the API server for the templates of those Jobs about whose controllers nothing is known.

        Args:
            jobs: all unfinished discovery Jobs in the cache.
            needed: UIDs of templates for which Jobs are being created.
        """
        jobs = list(jobs)
        unknown = [job for job in jobs if self.controls(job) and not self._known(job)]
        if unknown and self._clock.monotonic() >= self._retry_at:
            for start in range(0, len(unknown), _REQUESTS):
                async with asyncio.TaskGroup() as requests:
                    for job in unknown[start : start + _REQUESTS]:
                        requests.create_task(self._ask(job))
        self._forget(jobs, needed)

    async def _ask(self, job: Object[Job]) -> None:
        request = self._request(job)
        if request is None:
            return
        uid = _controller_uid(job)
        resource: Resource[Any] = TEMPLATES if request.namespace else CLUSTER_TEMPLATES
        try:
            template = await self._api_reader.get(resource, request.name, request.namespace)
        except NotFound:
            pass
        except (KubeError, TimeoutError) as error:
            self._retry_at = self._clock.monotonic() + _RETRY_SECONDS
            self._log.warning(
                "the template of a discovery Job could not be read", job=str(job.key), error=str(error)
            )
            return
        else:
            if template.meta.uid == uid:
                self._templates.add(uid)
                return
        if self._inherited.get(job.meta.uid, 0.0) <= self._clock.monotonic():
            self._foreign.add(job.meta.uid)
            self._log.warning(
                "a Job with the labels of discovery does not count: its controller does not exist",
                job=str(job.key),
            )

    def _known(self, job: Object[Job]) -> bool:
        """Whether the UID of the controller is that of a template."""
        return _controller_uid(job) in self._templates

    def _request(self, job: Object[Job]) -> Request | None:
        """The request of the template that could control a Job; None if none could."""
        owner, namespace = job.meta.controller, job.meta.namespace
        if owner is None or owner.group != TEMPLATES.group:
            return None
        if owner.kind == TEMPLATES.kind:
            return Request(namespace, owner.name)
        if owner.kind == CLUSTER_TEMPLATES.kind and namespace == self._operator_namespace:
            return Request("", owner.name)
        return None

    def _forget(self, jobs: list[Object[Job]], needed: Iterable[str]) -> None:
        """Drop the UIDs that no Job in the cache has, once there are many."""
        if len(self._templates) + len(self._foreign) + len(self._inherited) < _KEPT_UIDS + 3 * len(jobs):
            return
        uids = {job.meta.uid for job in jobs}
        self._templates &= {_controller_uid(job) for job in jobs} | set(needed)
        self._foreign &= uids
        self._inherited = {uid: until for uid, until in self._inherited.items() if uid in uids}


def _controller_uid(job: Object[Job]) -> str:
    owner = job.meta.controller
    return "" if owner is None else owner.uid
