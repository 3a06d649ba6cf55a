"""Discovery admission: assigns the slots in which discovery Jobs are created. It enforces their limit.

The discovery reconciler plans a :class:`~aimctl.domain.plan.RequestSlot`. The executor asks the gate,
:meth:`DiscoveryAdmission.enter`. If the Job has a slot, the executor creates it; otherwise the template waits for a
round, which assigns the free slots and reconciles the templates that got one.

Contract:
    * At most ``limit`` discovery Jobs are unfinished in the cluster, through restarts, leader changes, stale caches and
      Jobs that are deleted manually. The order in which slots are assigned is in
      :mod:`aimctl.domain.templates.admission`.
    * A free slot is assigned at once: the end of a Job starts a round, and so does the end of a reconcile that has not
      used its slot, or whose Job has ended already, as that of a former leader may have.
    * A slot is used by the next reconcile of its template or not at all. So a template whose reconciles fail, whose Job
      the API server rejects, or that plans another Job meanwhile, does not block the others.
    * A template whose reconcile fails with a slot gets the next one after :data:`FIRST_PAUSE_SECONDS`, then after twice
      as long each time, up to :data:`MAX_PAUSE_SECONDS`. Its work queue does not delay it, because there a reconcile
      that only requests a slot is a success.
    * While the API server is overloaded or cannot be reached, rounds are delayed in the same way, and never before its
      Retry-After has passed. So the number of requests does not depend on how many templates wait.

What is counted, and why the limit holds with a cache that lags, is explained in
:mod:`aimctl.controllers.templates.slots`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.controllers.templates.slots import Slots
from aimctl.domain.templates.admission import Candidate, admit, queue_order
from aimctl.runtime.controller import Deleted, Request, Result, Updated
from aimctl.runtime.kube import ApiError, ConnectionFailed, ObjectKey, TooManyRequests
from aimctl.runtime.queue import ExponentialRateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aimctl.domain.plan import Create, RequestSlot
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Job
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import ObjectEvent
    from aimctl.runtime.kube import Client

__all__ = ["ROUND", "DiscoveryAdmission", "slot_freed"]

ROUND = Request("", "next-round")
"""The only request of the admission queue. If several Jobs end at once, one round follows."""

_START_SECONDS = 10.0
"""How long a new leader waits at most until all templates have been reconciled, before it assigns the first slots. In a
large cluster that takes seconds."""

_START_POLL_SECONDS = 0.05

FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 40.0
"""The longest pause between rounds. With the time that a pod takes to start, discovery continues within a minute after
the API server has recovered."""


@final
@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request for a slot for ``job``, ``since`` when on the monotonic clock."""

    request: Request
    candidate: Candidate
    job: ObjectKey
    template_uid: str
    since: float


@final
class DiscoveryAdmission:
    """The gate of the discovery reconcilers, and the reconciler of a controller with one worker.

    Args:
        cache: Jobs are declared in it.
        find: the template of a request in the cache.
        api_reader: reads past the cache.
        clock: for delays.
        limit: unfinished discovery Jobs at once.
        operator_namespace: where the Jobs of cluster templates run.
        namespaces: where Jobs are counted; empty for all.
        awaited: whether a service waits for a template.
        next_round: enqueues :data:`ROUND`.
        notify: enqueues a template that got a slot for the discovery reconciler.
        granted: called with the seconds that a template waited for its slot.
        starting: whether, after this process became leader, some templates have not been reconciled yet.
    """

    def __init__(
        self,
        *,
        cache: Cache,
        find: Callable[[Request], Template | None],
        api_reader: Client,
        clock: Clock,
        limit: int,
        operator_namespace: str,
        namespaces: Sequence[str] = (),
        awaited: Callable[[Template], bool],
        next_round: Callable[[Request], object],
        notify: Callable[[Request], object],
        granted: Callable[[float], object] = lambda _: None,
        starting: Callable[[], bool] = lambda: False,
    ) -> None:
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
        self._awaited = awaited
        self._next_round = next_round
        self._notify = notify
        self._granted = granted
        self._starting = starting
        self._waiting: dict[str, _Waiting] = {}
        """By the key of the candidate, which is the request as a text."""
        self._chosen: dict[Request, _Waiting] = {}
        """The requests to which a slot was assigned, until the end of the next reconcile."""
        self._repeated: set[Request] = set()
        """The templates that have requested a slot in the reconcile that is under way."""
        self._started = False
        self._start_by: float | None = None
        self._limiter: ExponentialRateLimiter[Request] = ExponentialRateLimiter(
            FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS
        )
        self._paused: dict[Request, float] = {}
        """Until when a template gets no slot; :data:`ROUND` stands for all templates."""

    # ---- the gate

    def enter(self, request: Request, obj: Template, wanted: RequestSlot) -> bool:
        """Whether a Job may be created now. Otherwise request a slot for it, or update the request."""
        job = _key(wanted.create)
        if self._slots.send(job, wanted.timeout_seconds):
            return True
        since = wanted.since or obj.meta.creation_timestamp
        candidate = Candidate(str(request), request.namespace, since, self._awaited(obj))
        known = self._waiting.get(candidate.key)
        now = self._clock.monotonic() if known is None else known.since
        item = _Waiting(request, candidate, job, obj.meta.uid, now)
        self._repeated.add(request)
        if item != known:
            self._waiting[candidate.key] = item
            self._next_round(ROUND)
        return False

    def has_slot(self, create: Create) -> bool:
        """Whether a Job may be created now."""
        return self._slots.holds(_key(create))

    def settle(self, create: Create) -> None:
        """The result of a creation is known: the Job is in the cache, or it was not created."""
        self._slots.settle(_key(create))

    def leave(self, request: Request, error: Exception | None) -> None:
        """A reconcile is over: free a slot that it has not used, and withdraw a request that it has not repeated."""
        if request in self._repeated:
            self._repeated.remove(request)
        else:
            self._waiting.pop(str(request), None)
            if error is None:
                self._resume(request)
        chosen = self._chosen.pop(request, None)
        if chosen is None:
            return
        job = self._slots.release(chosen.job)
        if job is not None:
            self._resume(ROUND)
            self._granted(self._clock.monotonic() - chosen.since)
        elif error is not None:
            self._pause(request, error)
            if isinstance(error, TooManyRequests | ConnectionFailed):
                self._pause(ROUND, error)
        if job is None or job.view.finished:
            self._next_round(ROUND)

    def _pause(self, request: Request, error: Exception) -> None:
        if self._pause_left(request) == 0:  # the failures of one round count as one
            at_least = (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0
            self._paused[request] = self._clock.monotonic() + max(self._limiter.when(request), at_least)

    def _pause_left(self, request: Request) -> float:
        return max(0.0, self._paused.get(request, 0.0) - self._clock.monotonic())

    def _resume(self, request: Request) -> None:
        self._paused.pop(request, None)
        self._limiter.forget(request)

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
            KubeError: Jobs could not be counted after this process became leader.
        """
        await self._slots.count_once()
        if self._waits_for_start():
            return Result(requeue_after=_START_POLL_SECONDS)
        await self._slots.clear_up()
        delays = [time - self._clock.monotonic() for time in self._slots.checks()]
        if pause := self._pause_left(ROUND):
            delays.append(pause)
        elif not self._slots.blind:
            self._assign()
            delays += filter(None, (self._pause_left(item.request) for item in self._without_slot()))
        return Result(requeue_after=max(0.05, min(delays))) if delays else None

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

    def _without_slot(self) -> list[_Waiting]:
        assigned = self._slots.assigned
        return [item for key, item in self._waiting.items() if key not in assigned]

    def _assign(self) -> None:
        ready = (item.candidate for item in self._without_slot() if not self._pause_left(item.request))
        for candidate in admit(ready, self._slots.shares(), self._limit):
            item = self._waiting.pop(candidate.key)
            self._chosen[item.request] = item
            self._slots.assign(item.job, candidate, template_uid=item.template_uid)
            self._notify(item.request)


def _key(create: Create) -> ObjectKey:
    return ObjectKey(create.key.namespace, create.key.name)


def slot_freed(event: ObjectEvent[Job]) -> bool:
    """A predicate for Jobs: whether the event may have freed a slot."""
    match event:
        case Deleted():
            return True
        case Updated(old, new):
            return new.view.finished and not old.view.finished
        case _:
            return False
