"""The discovery reconciler: keeps what a template's container says about itself in the template's status.

One class serves both scopes. It owns ``modelSources``, ``profile``, ``discovery`` and the condition ``Discovered``; the
rules are in :mod:`aimctl.domain.discovery_decision`. It never creates a Job itself: it tells admission what it wants.

Order of the writes, and why: the status before any deletion, because a Job must not go before its result is kept; the
wish last, because what it asks for must be what the status says.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, final

from aimctl.controllers.indexes import EVERYWHERE, place
from aimctl.controllers.kinds import SERVICES
from aimctl.controllers.status import StatusWriter
from aimctl.domain.admission import Candidate
from aimctl.domain.discovery_decision import DISCOVERY_FAILED, PROFILES_DISCOVERED, decide_discovery
from aimctl.domain.discovery_output import MAX_OUTPUT_BYTES
from aimctl.domain.job_outcome import PodLog
from aimctl.runtime.clock import parse_time
from aimctl.runtime.controller import Result
from aimctl.runtime.kube import BadRequest, Conflict, NotFound, ServerError
from aimctl.runtime.kube.builtin import JOBS

if TYPE_CHECKING:
    from aimctl.controllers.admission import DiscoveryAdmission
    from aimctl.controllers.metrics import OperatorMetrics
    from aimctl.controllers.observer import TemplateObserver
    from aimctl.domain.discovery_decision import DiscoveryDecision, DiscoveryWish, JobDeletion, LogRequest
    from aimctl.domain.observation import TemplateObservation
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Client, Object, Resource
    from aimctl.runtime.manager import EventRecorder

__all__ = ["FIELD_MANAGER", "DiscoveryReconciler"]

FIELD_MANAGER = "aim-discovery"

LOG_PATIENCE_SECONDS = 120.0
"""A node that does not give a finished pod's log for so long is taken for lost, and the Job runs again elsewhere."""


@final
class DiscoveryReconciler:
    """Discovers for the templates of one scope.

    Args:
        resource: namespaced or cluster templates.
        observer: reads.
        client: writes, and reads logs.
        events: tells people.
        admission: gives slots.
        metrics: counts results.
        clock: time.
    """

    def __init__(
        self,
        resource: Resource[Any],
        *,
        observer: TemplateObserver,
        client: Client,
        events: EventRecorder,
        admission: DiscoveryAdmission,
        metrics: OperatorMetrics,
        clock: Clock,
    ) -> None:
        self._resource = resource
        self._observer = observer
        self._client = client
        self._status = StatusWriter(client, FIELD_MANAGER)
        self._events = events
        self._admission = admission
        self._metrics = metrics
        self._clock = clock
        self._log_trouble: dict[tuple[str, str], float] = {}

    async def reconcile(self, request: Request) -> Result | None:
        """Observe, decide, apply."""
        key = place(request.namespace, request.name)
        observed = self._observer.observe(self._resource, request, with_jobs=True)
        if observed is None:
            self._admission.withdraw(key)
            return None
        obj, seen = observed
        decision = decide_discovery(seen)
        if decision.read_log is not None:
            seen = await self._with_log(seen, decision.read_log)
            decision = decide_discovery(seen)
        if decision.status is not None and await self._status.write(obj, decision.status):
            self._tell(obj, seen, decision)
        for deletion in decision.delete_jobs:
            await self._delete(deletion)
        if decision.wish is None:
            self._admission.withdraw(key)
        else:
            self._want(obj, seen, request)
        if decision.look_again_after is not None:
            return Result(requeue_after=max(0.05, decision.look_again_after))
        return None

    # ---- steps

    async def _with_log(self, seen: TemplateObservation, wanted: LogRequest) -> TemplateObservation:
        """The observation with the log that decides. Raises while the node does not answer and may yet."""
        trouble = (wanted.namespace, wanted.pod)
        data: bytes | None = None
        try:
            data = await self._client.logs(
                wanted.pod, wanted.namespace, container=wanted.container, limit_bytes=MAX_OUTPUT_BYTES + 1
            )
        except (NotFound, BadRequest):
            pass  # the pod, its container or its log are gone
        except ServerError:
            since = self._log_trouble.setdefault(trouble, self._clock.monotonic())
            if self._clock.monotonic() - since < LOG_PATIENCE_SECONDS:
                raise
        self._log_trouble.pop(trouble, None)
        log = PodLog(wanted.pod, data)
        jobs = tuple(replace(job, log=log) if job.name == wanted.job_name else job for job in seen.jobs)
        return replace(seen, jobs=jobs)

    def _tell(self, obj: Object[Any], seen: TemplateObservation, decision: DiscoveryDecision) -> None:
        for wish in decision.events:
            self._events.event(obj, wish.type, wish.reason, wish.message)
            if wish.reason in {PROFILES_DISCOVERED, DISCOVERY_FAILED}:
                seconds = _age_of_newest_job(seen)
                histogram = (
                    self._metrics.succeeded_seconds
                    if wish.reason == PROFILES_DISCOVERED
                    else self._metrics.failed_seconds
                )
                histogram.observe(seconds)

    async def _delete(self, job: JobDeletion) -> None:
        with contextlib.suppress(Conflict):  # another Job has the name by now; the one meant is gone
            await self._client.delete(JOBS, job.name, job.namespace, uid=job.uid, propagation="Background")

    def _want(self, obj: Object[Any], seen: TemplateObservation, request: Request) -> None:
        candidate = Candidate(
            key=place(request.namespace, request.name),
            namespace=request.namespace,
            since=obj.meta.creation_timestamp,
            awaited=self._awaited(request, seen.view.spec.model_name),
        )
        self._admission.want(candidate, partial(self._plan, request), partial(self._refused, request))

    def _awaited(self, request: Request, model: str) -> bool:
        """Whether a service waits for this template: it names it, or leaves the choice among its model's to us."""
        where = request.namespace or EVERYWHERE
        find = self._observer.cache.by_index
        return bool(
            find(SERVICES, "template", place(where, request.name))
            or find(SERVICES, "model", place(where, model))
        )

    # ---- what admission asks

    def _plan(self, request: Request) -> DiscoveryWish | None:
        """The Job that is wanted now, from the cache as it is now."""
        observed = self._observer.observe(self._resource, request, with_jobs=True)
        return None if observed is None else decide_discovery(observed[1]).wish

    def _refused(self, request: Request, message: str) -> None:
        obj = self._observer.cache.get(self._resource, request.name, request.namespace)
        if obj is not None:
            self._events.event(obj, "Warning", "DiscoveryJobRefused", message)


def _age_of_newest_job(seen: TemplateObservation) -> float:
    """Seconds since the newest Job was created."""
    times = [job.view.metadata.creation_timestamp for job in seen.jobs]
    newest = max((parse_time(text) for text in times if text), default=seen.now)
    return max(0.0, (seen.now - newest).total_seconds())
