"""The executor: carries out the plans of all reconcilers.

No other code of the operator writes to the API server.

One reconcile is a loop: observe, decide, carry out; until a plan has nothing to do but what is already done.

Contract:
    * Actions are carried out in the order of the plan (see :mod:`aimctl.domain.plan`).
    * After a write, other than of the status, the object is observed and decided about again. So the status always
      reports what the writes have led to, and a decision never needs to predict the result of its own actions.
    * After a read, or when the cache lags behind the server (Conflict, a stale status), the rest of the plan is dropped
      and the object is observed again. If the cache keeps the version after a Conflict, the reconcile ends with it.
    * After :data:`MAX_PASSES` the reconcile ends with an error, which the controller retries with back-off.
    * A plan that newly claims that an object is missing is not carried out while the cache of its kind is not up to
      date. The object is reconciled again every :data:`STALE_SECONDS`; see :mod:`aimctl.controllers.execution.claims`.
    * What the server rejects is remembered, logged, recorded as a Warning Event, given to the next decision, and tried
      again with increasing delays (:mod:`aimctl.controllers.execution.rejections`). The rest of the plan is still
      carried out.
    * The object of a :class:`~aimctl.domain.plan.RequestSlot` is created only in a slot, which the gate of the
      reconciler assigns. At the end of every reconcile the gate is called again.
    * Every other error ends the reconcile; the controller retries it with back-off. Nothing is lost by that, because
      the next reconcile decides from what is there.

Cancellation may end a reconcile between two actions, at any await.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

from aimctl.controllers.execution.claims import new_claims
from aimctl.controllers.execution.plan_run import GONE_SECONDS, PlanRun
from aimctl.controllers.execution.recent_reads import RecentReads
from aimctl.controllers.execution.rejections import Rejections
from aimctl.controllers.execution.status_writer import StatusWriter
from aimctl.domain.plan import Known, Plan, ReadImage, ReadLog
from aimctl.runtime.controller import Result, RetryAfter

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.controllers.execution.plan_run import BackgroundReader, SlotGate
    from aimctl.controllers.execution.status_writer import KeyedLocks
    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Client
    from aimctl.runtime.manager import EventRecorder

__all__ = ["MAX_PASSES", "Executor", "NotSettledError", "Observed", "PlanReconciler"]

MAX_PASSES = 16
"""Observations in one reconcile. The longest sequence of decisions is four; the others are for objects that other
writers change at the same time."""

STALE_SECONDS = 2.0
"""Delay of a reconcile whose decision depends on a cache that is not up to date."""

O = TypeVar("O")  # noqa: E741 - an observation


class NotSettledError(Exception):
    """A decision planned new writes after each of :data:`MAX_PASSES` observations."""


@final
@dataclass(frozen=True, slots=True)
class Observed(Generic[O]):
    """The reconciled object and what its decision looks at."""

    obj: Object[Any]
    seen: O


@final
class Executor:
    """What the reconcilers of one manager share.

    Args:
        client: fenced, and feeding the cache.
        cache: where objects are observed.
        locks: serialize writes to one status.
        events: records Events.
        clock: for delays.
    """

    def __init__(
        self, *, client: Client, cache: Cache, locks: KeyedLocks, events: EventRecorder, clock: Clock
    ) -> None:
        self.client = client
        self.cache = cache
        self.events = events
        self.clock = clock
        self.status = StatusWriter(client, cache, locks)
        self.recent = RecentReads(clock)

    def reconciler(
        self,
        observe: Callable[[Request, Known], Observed[O] | None],
        decide: Callable[[O], Plan],
        *,
        field_manager: str,
        reader: BackgroundReader[Any] | None = None,
        gate: SlotGate | None = None,
        rejections: Rejections | None = None,
        settled: Callable[[Request, Observed[O] | None, Plan | None], None] = lambda *_: None,
    ) -> PlanReconciler[O]:
        """A reconciler from an observer and a decision.

        Args:
            observe: what the decision looks at, from the cache and from what the executor knows; None when the object
                is gone.
            decide: pure; returns the plan.
            field_manager: of everything that it applies.
            reader: carries out background reads, needed if the decision plans any
                (:class:`~aimctl.domain.plan.ReadLog`, :class:`~aimctl.domain.plan.ReadImage`).
            gate: assigns slots, needed if the decision plans a :class:`~aimctl.domain.plan.RequestSlot`.
            rejections: where rejected actions are remembered, if another observer looks at them as well.
            settled: called at the end of each reconcile with the last observation and plan, or with None for both when
                the object is gone.
        """
        return PlanReconciler(
            self,
            observe=observe,
            decide=decide,
            field_manager=field_manager,
            reader=reader,
            gate=gate,
            rejections=rejections or Rejections(self.clock, self.events),
            settled=settled,
        )


@final
class PlanReconciler(Generic[O]):
    """Reconciles by carrying out plans; made by :meth:`Executor.reconciler`."""

    def __init__(
        self,
        executor: Executor,
        *,
        observe: Callable[[Request, Known], Observed[O] | None],
        decide: Callable[[O], Plan],
        field_manager: str,
        reader: BackgroundReader[Any] | None,
        gate: SlotGate | None,
        rejections: Rejections,
        settled: Callable[[Request, Observed[O] | None, Plan | None], None],
    ) -> None:
        self._executor = executor
        self._observe = observe
        self._decide = decide
        self._field_manager = field_manager
        self._reader = reader
        self._gate = gate
        self._settled = settled
        self._rejections = rejections
        self._deleted: dict[Request, tuple[str, float]] = {}
        """UIDs that the server no longer has, and until when they are not reconciled."""

    async def reconcile(self, request: Request) -> Result | None:
        """Observe, decide and carry out until nothing is left to do."""
        error: Exception | None = None
        try:
            return await self._settle(request)
        except Exception as caught:
            error = caught
            raise
        finally:
            if self._gate is not None:
                self._gate.leave(request, error)

    async def _settle(self, request: Request) -> Result | None:
        run = self._run(request)
        for _ in range(MAX_PASSES):
            observed = self._observe(request, run.known())
            if observed is None:
                self._gone(request)
                return None
            delay = self._delay_of_deleted(request, observed.obj)
            if delay > 0:
                return Result(requeue_after=delay)
            plan = self._decide(observed.seen)
            self._require_current_caches(observed.obj, plan)
            if await self._carry_out(run, request, observed.obj, plan):
                return self._end(request, observed, plan)
        raise run.conflict or NotSettledError(f"still not settled after {MAX_PASSES} passes: {run.last}")

    def _require_current_caches(self, obj: Object[Any], plan: Plan) -> None:
        """Raise RetryAfter if the plan depends on the absence of an object that the cache may not have yet."""
        for resource in new_claims(obj, plan):
            informer = self._executor.cache.declared(resource)
            # Of a kind that is not served there are no objects.
            if informer is not None and informer.served and (informer.failing or not informer.health.ready):
                text = f"the cache of {resource.kind} is not up to date, so it is not known what is missing"
                raise RetryAfter(STALE_SECONDS, text)

    def _run(self, request: Request) -> PlanRun:
        executor = self._executor
        return PlanRun(
            request,
            client=executor.client,
            cache=executor.cache,
            status=executor.status,
            events=executor.events,
            rejections=self._rejections,
            recent=executor.recent,
            field_manager=self._field_manager,
            reader=self._reader,
            gate=self._gate,
        )

    async def _carry_out(self, run: PlanRun, request: Request, obj: Object[Any], plan: Plan) -> bool:
        """Carry out a plan; returns whether the reconcile is over.

        If rejections of writes that the plan no longer contains are dropped, it is not carried out, because it was
        decided with these rejections.
        """
        if self._rejections.retain(request, {action.key for action in plan.writes}):
            return False
        try:
            return await run.carry_out(obj, plan)
        finally:
            if run.gone:
                self._remember_deleted(request, obj)

    def _remember_deleted(self, request: Request, obj: Object[Any]) -> None:
        self._deleted[request] = (obj.meta.uid, self._executor.clock.monotonic() + GONE_SECONDS)

    def _delay_of_deleted(self, request: Request, obj: Object[Any]) -> float:
        """Seconds for which the reconcile of a deleted object is delayed, because the cache lags behind; usually 0.

        Without it, the deletion of what the reconcile creates for the object would trigger the next reconcile at once.
        """
        uid, until = self._deleted.get(request, ("", 0.0))
        left = until - self._executor.clock.monotonic()
        if uid == obj.meta.uid and left > 0:
            return left
        self._deleted.pop(request, None)
        return 0.0

    def _gone(self, request: Request) -> None:
        self._deleted.pop(request, None)
        self._rejections.retain(request, ())
        if self._reader is not None:
            self._reader.forget(request)
        self._settled(request, None, None)

    def _end(self, request: Request, observed: Observed[O], plan: Plan) -> Result | None:
        if self._reader is not None and not plan.of_type(ReadLog, ReadImage):
            self._reader.forget(request)
        self._settled(request, observed, plan)
        delays = (plan.requeue_after, self._rejections.next_attempt(request))
        seconds = min((item for item in delays if item is not None), default=None)
        # Never at once: a time that was rounded down must not cause a loop.
        return None if seconds is None else Result(requeue_after=max(0.05, seconds))
