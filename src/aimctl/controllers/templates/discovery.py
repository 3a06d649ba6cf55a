"""The discovery reconciler: keeps what a template's container says about itself in the template's status.

One class serves both scopes. It owns ``modelSources``, ``profile``, ``discovery`` and the condition ``Discovered``; the
rules are in :mod:`aimctl.domain.templates.discovery_decision`. With them it writes, in the same request, what the
template reconciler would make of them. It never creates a Job itself: it tells admission what it wants.

Order of the writes, and why: the status before any deletion, because a Job must not go before its result is kept; the
wish last, because what it asks for must be what the status says.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, final

from aimctl.api.kinds import SERVICES
from aimctl.controllers.indexes.services import used
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.controllers.job_access import JobAccess
from aimctl.controllers.status import StatusWriter, status_of
from aimctl.controllers.templates.reconciler import FIELD_MANAGER
from aimctl.domain.templates.admission import Candidate
from aimctl.domain.templates.decision import FAMILY, decide_template
from aimctl.domain.templates.discovery_decision import DISCOVERY_FAILED, PROFILES_DISCOVERED, decide_discovery
from aimctl.domain.templates.discovery_output import MAX_OUTPUT_BYTES
from aimctl.runtime.clock import parse_time
from aimctl.runtime.controller import Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.controllers.metrics import OperatorMetrics
    from aimctl.controllers.observer import TemplateObserver
    from aimctl.controllers.status import Turns
    from aimctl.controllers.templates.admission import DiscoveryAdmission
    from aimctl.domain.status_slice import StatusSlice
    from aimctl.domain.templates.discovery_decision import (
        DiscoveryDecision,
        DiscoveryWish,
    )
    from aimctl.domain.templates.observation import TemplateObservation
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Client, Object, Resource
    from aimctl.runtime.manager import EventRecorder

__all__ = ["DiscoveryReconciler"]


@final
class DiscoveryReconciler:
    """Discovers for the templates of one scope.

    Args:
        resource: namespaced or cluster templates.
        observer: reads.
        client: writes, and reads logs.
        turns: shared with the template reconciler of the same scope.
        events: tells people.
        admission: gives slots.
        metrics: counts results.
        clock: time, for logs that cannot be read.
        requeue: enqueues a template whose Job was refused.
    """

    def __init__(
        self,
        resource: Resource[Any],
        *,
        observer: TemplateObserver,
        client: Client,
        turns: Turns,
        events: EventRecorder,
        admission: DiscoveryAdmission,
        metrics: OperatorMetrics,
        clock: Clock,
        requeue: Callable[[Request], None],
    ) -> None:
        self._resource = resource
        self._observer = observer
        self._jobs = JobAccess(client, observer.cache, clock, limit_bytes=MAX_OUTPUT_BYTES + 1)
        self._status = StatusWriter(client, observer.cache, turns, FIELD_MANAGER, FAMILY)
        self._events = events
        self._admission = admission
        self._metrics = metrics
        self._requeue = requeue

    async def reconcile(self, request: Request) -> Result | None:
        """Observe, decide, apply."""
        key = place(request.namespace, request.name)
        observed = self._observer.observe(self._resource, request, with_jobs=True)
        if observed is None:
            self._admission.withdraw(key)
            self._jobs.forget(request)
            return None
        obj, seen = observed
        seen = replace(seen, refused=self._admission.refusal(key))
        decision = decide_discovery(seen)
        if decision.read_pods is not None:
            seen = replace(seen, jobs=await self._jobs.with_pods(seen.jobs, decision.read_pods))
            decision = decide_discovery(seen)
        if decision.read_log is not None:
            seen = replace(seen, jobs=await self._jobs.with_log(request, seen.jobs, decision.read_log))
            decision = decide_discovery(seen)
        if decision.status is not None:
            await self._say(obj, seen, decision, decision.status)
        for deletion in decision.delete_jobs:
            await self._jobs.delete(deletion)
        if decision.wish is None:
            self._admission.withdraw(key)
        else:
            self._want(obj, seen, request)
        if decision.look_again_after is not None:
            return Result(requeue_after=max(0.05, decision.look_again_after))
        return None

    # ---- steps

    async def _say(
        self, obj: Object[Any], seen: TemplateObservation, decision: DiscoveryDecision, said: StatusSlice
    ) -> None:
        """Write what discovery says and the state that follows from it, and tell of both."""
        news = said.changes(status_of(obj))
        rolled = decide_template(seen.after(said) if news else seen)
        slices = (said,) if rolled.status is None else (said, rolled.status)
        if not await self._status.write(obj, *slices):
            return
        if news:
            self._tell(obj, seen, decision)
        for wish in rolled.events:
            self._events.event(obj, wish.type, wish.reason, wish.message)

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

    def _want(self, obj: Object[Any], seen: TemplateObservation, request: Request) -> None:
        candidate = Candidate(
            key=place(request.namespace, request.name),
            namespace=request.namespace,
            since=obj.meta.creation_timestamp,
            awaited=self._awaited(obj, seen.view.spec.model_name),
        )
        self._admission.want(candidate, partial(self._plan, request), partial(self._refused, request))

    def _awaited(self, obj: Object[Any], model: str) -> bool:
        """Whether a service waits for this template: it names it, uses it, owns it (then it was derived for it), or
        leaves the choice among its model's to us.
        """
        namespace, name = obj.meta.namespace, obj.meta.name
        if any(owner.kind == SERVICES.kind and owner.group == SERVICES.group for owner in obj.meta.owners):
            return True
        where, find = namespace or EVERYWHERE, self._observer.cache.by_index
        return bool(
            find(SERVICES, "template", place(where, name))
            or find(SERVICES, "model", place(where, model))
            or find(SERVICES, "uses", used(obj.resource.kind, namespace, name))
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
            self._requeue(request)


def _age_of_newest_job(seen: TemplateObservation) -> float:
    """Seconds since the newest Job was created."""
    times = [job.meta.creation_timestamp for job in seen.jobs]
    newest = max((parse_time(text) for text in times if text), default=seen.now)
    return max(0.0, (seen.now - newest).total_seconds())
