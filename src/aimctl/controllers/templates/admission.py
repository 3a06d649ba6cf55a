"""Discovery admission: the only code that creates discovery Jobs. It enforces their limit.

Contract:
    * At most ``limit`` discovery Jobs are unfinished in the cluster, through restarts, leader changes, stale caches and
      Jobs that are deleted manually. The order in which slots are assigned is in
      :mod:`aimctl.domain.templates.admission`.
    * A free slot is assigned at once: the end of a Job starts a round.
    * A Job is created only if the decision about its template plans exactly this Job at that moment. Otherwise the
      request is dropped: the event that changed the decision also causes a reconcile, which requests again.
    * A Job that the API server rejects is tried again with increasing delays, like every rejected action
      (:mod:`aimctl.controllers.execution.rejections`). Its template is notified, and the slot goes to the next one.
    * Any other error ends the round, and the controller retries it with back-off.

What is counted, and why the limit holds with a cache that lags, is explained in
:mod:`aimctl.controllers.templates.slots`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

import structlog

from aimctl.controllers.execution.rejections import is_rejection
from aimctl.controllers.templates.slots import CREATE_SECONDS, Slots
from aimctl.domain.plan import Known, Rejection, RequestSlot
from aimctl.domain.templates.admission import Candidate, admit, queue_order
from aimctl.kubetypes.builtin import JOBS
from aimctl.runtime.controller import Deleted, Request, Result, Updated
from aimctl.runtime.kube import (
    AlreadyExists,
    ConnectionFailed,
    DecodeError,
    KubeError,
    ObjectKey,
    ServerError,
    TooManyRequests,
    WriteRefused,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from aimctl.controllers.execution.executor import Observed
    from aimctl.controllers.execution.rejections import Rejections
    from aimctl.domain.plan import Create, Plan
    from aimctl.kubetypes import Job
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import ObjectEvent
    from aimctl.runtime.kube import Client, Object

__all__ = ["CREATE_SECONDS", "ROUND", "DiscoveryAdmission", "slot_freed"]

ROUND = Request("", "next-round")
"""The only request of the admission queue. If several Jobs end at once, one round follows."""

_START_SECONDS = 10.0
"""How long a new leader waits at most until all templates have been reconciled, before it assigns the first slots. In a
large cluster that takes seconds."""

_START_POLL_SECONDS = 0.05

O = TypeVar("O")  # noqa: E741 - an observation


@final
@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request for a slot, ``since`` when on the monotonic clock. An updated request is another object."""

    request: Request
    candidate: Candidate
    create: Create
    since: float

    @property
    def job(self) -> ObjectKey:
        """The Job."""
        return ObjectKey(self.create.key.namespace, self.create.key.name)


@final
class DiscoveryAdmission(Generic[O]):
    """The reconciler of a controller with one worker.

    Args:
        cache: Jobs are declared in it.
        find: the template of a request in the cache.
        client: fenced, and updates the cache.
        api_reader: reads past the cache.
        clock: for delays.
        limit: unfinished discovery Jobs at once.
        operator_namespace: where the Jobs of cluster templates run.
        namespaces: where Jobs are counted; empty for all.
        observe: the observer of the discovery reconciler.
        decide: its decision.
        rejections: the Jobs that the API server rejected; ``observe`` uses the same object.
        next_round: enqueues :data:`ROUND`.
        notify: enqueues a template for the discovery reconciler.
        granted: called with the seconds that a template waited for its slot.
        starting: whether, after this process became leader, some templates have not been reconciled yet.
    """

    def __init__(
        self,
        *,
        cache: Cache,
        find: Callable[[Request], Object[Any] | None],
        client: Client,
        api_reader: Client,
        clock: Clock,
        limit: int,
        operator_namespace: str,
        namespaces: Sequence[str] = (),
        observe: Callable[[Request, Known], Observed[O] | None],
        decide: Callable[[O], Plan],
        rejections: Rejections,
        next_round: Callable[[Request], object],
        notify: Callable[[Request], object],
        granted: Callable[[float], object] = lambda _: None,
        starting: Callable[[], bool] = lambda: False,
    ) -> None:
        self._client = client
        self._clock = clock
        self._limit = limit
        self._slots = Slots(
            cache=cache,
            find=find,
            api_reader=api_reader,
            clock=clock,
            operator_namespace=operator_namespace,
            namespaces=namespaces,
        )
        self._observe = observe
        self._decide = decide
        self._rejections = rejections
        self._next_round = next_round
        self._notify = notify
        self._granted = granted
        self._starting = starting
        self._waiting: dict[str, _Waiting] = {}
        """By the key of the candidate, which is the request as a text."""
        self._started = False
        self._start_by: float | None = None
        self._log = structlog.get_logger(__name__)

    # ---- requests

    def request(self, request: Request, create: Create, *, created: str, awaited: bool) -> None:
        """Request a slot for a Job, or update the request.

        Args:
            request: the template.
            create: the Job.
            created: when the template was created, RFC 3339.
            awaited: whether a service waits for it.
        """
        candidate = Candidate(str(request), request.namespace, created, awaited)
        known = self._waiting.get(candidate.key)
        since = self._clock.monotonic() if known is None else known.since
        wanted = _Waiting(request, candidate, create, since)
        if wanted != known:
            self._waiting[candidate.key] = wanted
            self._rejections.retain(request, (create.key,))
            self._next_round(ROUND)

    def withdraw(self, request: Request) -> None:
        """Drop the request of a template, if there is one."""
        self._waiting.pop(str(request), None)
        self._rejections.retain(request, ())

    # ---- state

    def waits(self, request: Request) -> bool:
        """Whether this template waits for a slot."""
        return str(request) in self._waiting

    @property
    def pending(self) -> int:
        """Templates that wait for a slot."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Discovery Jobs that may be unfinished."""
        return sum(self._slots.shares().values())

    def queue(self) -> list[dict[str, Any]]:
        """The waiting templates in the order in which slots would be assigned, for the debug page."""
        now = self._clock.monotonic()
        order = queue_order((item.candidate for item in self._waiting.values()), self._slots.shares())
        return [
            {
                "position": position,
                "template": candidate.key,
                "awaited_by_service": candidate.awaited,
                "waiting_seconds": round(now - self._waiting[candidate.key].since, 1),
            }
            for position, candidate in enumerate(order, 1)
        ]

    # ---- the round

    async def reconcile(self, _: Request) -> Result | None:
        """Assign all free slots.

        Raises:
            KubeError: Jobs could not be counted after this process became leader, or the API server does not accept
                writes at the moment.
            WriteRefused: this process may no longer be the leader.
        """
        await self._slots.count_once()
        if self._waits_for_start():
            return Result(requeue_after=_START_POLL_SECONDS)
        await self._slots.clear_up()
        errors: list[KubeError] = []
        while not errors and (chosen := self._choose()):
            await self._assign(chosen, errors)
        if errors:
            raise errors[0]
        return self._next_attempt()

    async def _assign(self, chosen: Iterable[_Waiting], errors: list[KubeError]) -> None:
        """Create the Jobs that are still wanted, concurrently; ``errors`` receives those that concern the server."""
        async with asyncio.TaskGroup() as creations:
            for item in chosen:
                planned = self._planned(item)
                if planned is None:
                    self.withdraw(item.request)
                    continue
                # The slot is taken before the first await, so that no other Job gets it.
                self._slots.take(item.job, item.candidate, template_uid=planned.meta.uid)
                creations.create_task(self._create(item, planned, errors))

    def _waits_for_start(self) -> bool:
        """Whether, after this process became leader, some templates have not been reconciled yet. Otherwise the first
        ones to request slots would get them, regardless of the order.
        """
        if self._started:
            return False
        now = self._clock.monotonic()
        if self._start_by is None:
            self._start_by = now + _START_SECONDS
        self._started = now >= self._start_by or not self._starting()
        return not self._started

    def _choose(self) -> list[_Waiting]:
        if self._slots.blind:
            return []
        unclear = self._slots.unclear
        ready = (
            item.candidate
            for key, item in self._waiting.items()
            if key not in unclear and not self._rejections.delays(item.request, item.create)
        )
        return [self._waiting[candidate.key] for candidate in admit(ready, self._slots.shares(), self._limit)]

    def _planned(self, item: _Waiting) -> Object[Any] | None:
        """The template, if the decision about it still plans this Job."""
        try:
            observed = self._observe(item.request, Known())
            plan = None if observed is None else self._decide(observed.seen)
        except Exception:  # noqa: BLE001 - one template that cannot be decided about must not block the others
            # Its own reconciler fails in the same way, reports it, and requests a slot when the failure is over.
            self._log.exception("the decision about a waiting template failed", template=item.candidate.key)
            return None
        if observed is None or plan is None:
            return None
        wanted = {action.create.key for action in plan.of_type(RequestSlot)}
        return observed.obj if item.create.key in wanted else None

    async def _create(self, item: _Waiting, template: Object[Any], errors: list[KubeError]) -> None:
        """Create a Job. Errors that are not about this Job alone are added to ``errors``."""
        key = item.job
        try:
            await self._client.create(
                JOBS, item.create.manifest, key.namespace, timeout_seconds=CREATE_SECONDS
            )
        except AlreadyExists:
            # Created by an earlier attempt whose response was lost, or by someone else.
            if not await self._exists(item, template):
                return
        except KubeError as error:
            if _may_have_effect(error):
                self._log.warning(
                    "the response to the creation of a discovery Job was lost; its slot is kept",
                    job=str(key),
                    error=str(error) or type(error).__name__,
                )
                return
            self._slots.settle(key)
            if isinstance(error, WriteRefused | TooManyRequests | ConnectionFailed):
                errors.append(error)
            else:
                self._reject(item, template, Rejection(str(error)))
            return
        else:
            self._slots.settle(key)
        if self._is_current(item):
            self.withdraw(item.request)
        self._granted(self._clock.monotonic() - item.since)
        self._log.info(
            "discovery Job created",
            kind=template.resource.kind,
            namespace=template.meta.namespace,
            name=template.meta.name,
            job=str(key),
        )

    async def _exists(self, item: _Waiting, template: Object[Any]) -> bool:
        """Whether the Job of this name is the requested one; it is then in the cache."""
        if not await self._slots.look_up(item.job):
            return False
        job = self._slots.job(item.job)
        owner = None if job is None else job.meta.controller
        if owner is not None and owner.uid == template.meta.uid:
            return True
        text = f"Job {item.job} exists already and does not belong to this template: delete it"
        self._reject(item, template, Rejection(text, job))
        return False

    def _reject(self, item: _Waiting, template: Object[Any], rejection: Rejection) -> None:
        if self._is_current(item):
            self._rejections.add(item.request, template, item.create, rejection)
            self._notify(item.request)

    def _is_current(self, item: _Waiting) -> bool:
        """Whether the request has not been updated or withdrawn meanwhile."""
        return self._waiting.get(item.candidate.key) is item

    def _next_attempt(self) -> Result | None:
        """The next round that is needed although no event requests it."""
        delays = [seconds - self._clock.monotonic() for seconds in self._slots.checks()]
        for item in self._waiting.values():
            seconds = self._rejections.next_attempt(item.request)
            if seconds:
                delays.append(seconds)
        return Result(requeue_after=max(0.05, min(delays))) if delays else None


def _may_have_effect(error: KubeError) -> bool:
    """Whether a write that ended with this error may have been carried out."""
    match error:
        case ConnectionFailed():
            return not error.refused
        case ServerError():
            return not is_rejection(error)
        case _:
            return isinstance(error, DecodeError)


def slot_freed(event: ObjectEvent[Job]) -> bool:
    """A predicate for Jobs: whether the event may have freed a slot."""
    match event:
        case Deleted():
            return True
        case Updated(old, new):
            return new.view.finished and not old.view.finished
        case _:
            return False
