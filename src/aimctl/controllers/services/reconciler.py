"""The services reconciler: from a user's wish to serve a model to a template, its cache and a runtime.

It owns the status of AIMServices but for the condition ``Derived``; the rules are in
:mod:`aimctl.domain.services.decision` and what that leans on.

Order of the writes, and why: the status first, because a template cache that no service says it uses may be deleted;
then what the service needs, one thing at a time. What the server refuses is told in the status, and tried again with
growing pauses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

from aimctl.api import kinds
from aimctl.controllers.making import REFUSALS, make, refusal
from aimctl.controllers.services.observer import observed_inference_service
from aimctl.controllers.services.patience import Patience
from aimctl.controllers.status import StatusWriter
from aimctl.domain.hashing import digest
from aimctl.domain.services.decision import decide_service
from aimctl.domain.services.observation import Refused
from aimctl.domain.services.resolution import resolve_template
from aimctl.domain.services.runtime_view import differs
from aimctl.runtime.controller import Request, Result, RetryAfter
from aimctl.runtime.kube import Conflict, NotFound, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.api.v1alpha1 import AIMService
    from aimctl.controllers.services.observer import ServiceObserver
    from aimctl.controllers.status import Turns
    from aimctl.domain.services.decision import ServiceDecision
    from aimctl.domain.services.observation import ObservedInferenceService, ServiceObservation
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube import Client, Object, Resource
    from aimctl.runtime.manager import EventRecorder

__all__ = ["FIELD_MANAGER", "RUNTIME_LOOK_SECONDS", "ServiceReconciler"]

FIELD_MANAGER = "aim-services"

RUNTIME_LOOK_SECONDS = 15.0
"""Between two looks whether KServe has been installed: no event tells of a kind that the server begins to serve. It is
one look for all services that wait."""

_LAG_SECONDS = 5.0
"""Until the next look at something that is there, or gone, and that the cache does not know of yet."""

_REFUSED_SECONDS = (5.0, 300.0)
"""First and longest pause before something that the server refused (a quota, a policy) is tried again."""


_WEBHOOK_AWAY = "failed calling webhook"


@final
@dataclass(frozen=True, slots=True)
class _Trouble:
    """What was refused to a service of this UID, and how often in a row; ``wanted`` is the digest of that."""

    uid: str
    wanted: str
    refused: Refused
    times: int
    not_before: float


@final
class ServiceReconciler:
    """See the module.

    Args:
        observer: reads.
        client: writes.
        api_reader: reads past the cache, before a runtime is made.
        turns: shared with the other writers of the status.
        events: tells people.
        clock: time.
        requeue: enqueues a service.
    """

    def __init__(
        self,
        *,
        observer: ServiceObserver,
        client: Client,
        api_reader: Client,
        turns: Turns,
        events: EventRecorder,
        clock: Clock,
        requeue: Callable[[Request], None],
    ) -> None:
        self._observer = observer
        self._client = client
        self._api_reader = api_reader
        self._status = StatusWriter(client, observer.cache, turns, FIELD_MANAGER)
        self._events = events
        self._clock = clock
        self._requeue = requeue
        self._patience = Patience(clock)
        self._troubles: dict[Request, _Trouble] = {}
        self._admitted: dict[Request, ObservedInferenceService] = {}
        """What the server made of InferenceServices, where it is not all that was asked for."""
        self._without_runtime: set[Request] = set()
        """Services that lack nothing but KServe."""

    async def follow_runtime(self) -> None:
        """Enqueue the services that wait for KServe once it is installed; runs until cancelled."""
        while True:
            await self._clock.sleep(RUNTIME_LOOK_SECONDS)
            if self._observer.kserve_served:
                for request in tuple(self._without_runtime):
                    self._requeue(request)

    async def reconcile(self, request: Request) -> Result | None:
        """Observe, decide, apply."""
        observed = self._observe(request)
        if observed is None:
            self._troubles.pop(request, None)
            self._admitted.pop(request, None)
            self._patience.forget(request)
            self._without_runtime.discard(request)
            return None
        obj, seen = observed
        trouble = self._troubles.get(request)
        if trouble is not None and trouble.uid != seen.service.uid:
            del self._troubles[request]
            trouble = None
        if trouble is not None:
            seen = replace(seen, refused=trouble.refused)
        decision = await self._say(obj, seen)
        if decision.asks_for_runtime:
            self._without_runtime.add(request)
        else:
            self._without_runtime.discard(request)
        later = self._patience.wait(request, decision.awaits)
        wish = decision.wish
        if trouble is not None and wish is not None and trouble.wanted == digest(wish):
            left = trouble.not_before - self._clock.monotonic()
            if left > 0:  # asking at every event would be no pause: to tell of a refusal causes one
                return Result(requeue_after=left if later is None else min(left, later))
        refused = await self._carry_out(obj, decision)
        if wish is not None and refused is not None:
            return await self._tell_refusal(request, obj, digest(wish), refused)
        self._troubles.pop(request, None)
        return None if later is None else Result(requeue_after=later)

    # ---- steps

    def _observe(self, request: Request) -> tuple[Object[AIMService], ServiceObservation] | None:
        observed = self._observer.observe(request)
        if observed is None:
            return None
        obj, seen = observed
        remembered = self._patience.given_up(request), self._admitted.get(request)
        return obj, replace(seen, given_up=remembered[0], admitted=remembered[1])

    async def _say(self, obj: Object[AIMService], seen: ServiceObservation) -> ServiceDecision:
        """Decide, and write the status."""
        in_use = resolve_template(seen)
        if in_use.template is not None:
            cache = self._observer.template_cache(in_use.template.meta.name, seen.service.namespace)
            seen = replace(seen, template_cache=cache)
        decision = decide_service(seen, in_use)
        if decision.status is not None and await self._status.write(obj, decision.status):
            for wish in decision.events:
                self._events.event(obj, wish.type, wish.reason, wish.message)
        return decision

    async def _carry_out(self, obj: Object[AIMService], decision: ServiceDecision) -> Refused | None:
        """Make what is wished for, and give the server's words when it refuses. A decision wishes for one thing."""
        words, kind = "", ""
        if decision.create_model is not None:
            kind = decision.create_model["kind"]
            model: Resource[Any] = kinds.MODELS if kind == kinds.MODELS.kind else kinds.CLUSTER_MODELS
            words = await make(self._client, self._observer.cache, model, decision.create_model)
        elif decision.create_cache is not None:
            kind = kinds.TEMPLATE_CACHES.kind
            words = await make(
                self._client, self._observer.cache, kinds.TEMPLATE_CACHES, decision.create_cache
            )
        elif decision.deploy is not None:
            kind = kinds.INFERENCE_SERVICES.kind
            words = await self._deploy(obj, decision.deploy)
        return Refused(kind, words) if words else None

    async def _deploy(self, obj: Object[AIMService], manifest: dict[str, Any]) -> str:
        """Apply the runtime; returns the server's words when it refuses."""
        name, namespace = obj.meta.name, obj.meta.namespace
        found = self._observer.cache.get(kinds.INFERENCE_SERVICES, name, namespace)
        if found is not None and observed_inference_service(found).controller != obj.meta.uid:
            raise Conflict(409, "Conflict", f"{found!r} came while something else was written")
        if found is None:
            await self._look_before(name, namespace)
            reason, message = "RuntimeCreated", f"InferenceService {name!r} was created"
        else:
            # What was decided about one state is not written over another.
            metadata = {**manifest["metadata"], "resourceVersion": found.meta.resource_version}
            manifest = {**manifest, "metadata": metadata}
            reason, message = "RuntimeUpdated", f"InferenceService {name!r} was brought up to date"
        try:
            there = await self._client.apply(kinds.INFERENCE_SERVICES, manifest, field_manager=FIELD_MANAGER)
        except NotFound as error:
            # The kind or the namespace is gone, or the object that was seen.
            raise RetryAfter(_LAG_SECONDS, f"{kinds.INFERENCE_SERVICES.kind} {name!r}: {error}") from error
        except REFUSALS as error:
            return refusal(error)
        except ServerError as error:
            if _WEBHOOK_AWAY not in error.message:
                raise
            return str(error)  # KServe is installed and does not run: a person has to know
        admitted, request = observed_inference_service(there), Request(namespace, name)
        self._admitted.pop(request, None)
        if differs(admitted, manifest):
            self._admitted[request] = admitted
        self._events.event(obj, "Normal", reason, message)
        return ""

    async def _look_before(self, name: str, namespace: str) -> None:
        """An apply would take over an object that the cache has not heard of: ask the server itself first."""
        try:
            there = await self._api_reader.get(kinds.INFERENCE_SERVICES, name, namespace)
        except NotFound:
            return
        self._observer.cache.observe_write(there)
        raise Conflict(409, "Conflict", f"{there!r} is there already")

    async def _tell_refusal(
        self, request: Request, obj: Object[AIMService], wanted: str, refused: Refused
    ) -> Result | None:
        """Say in the status what the server did not take, and try again later."""
        before = self._troubles.get(request)
        times = before.times + 1 if before is not None and before.wanted == wanted else 1
        first, longest = _REFUSED_SECONDS
        pause = min(first * 2.0 ** min(times - 1, 30), longest)
        not_before = self._clock.monotonic() + pause
        self._troubles[request] = _Trouble(obj.meta.uid, wanted, refused, times, not_before)
        if before is None or before.refused != refused:
            self._events.event(obj, "Warning", f"{refused.kind}Refused", refused.message)
        latest = self._observe(request)
        if latest is not None and latest[1].service.uid == obj.meta.uid:
            await self._say(latest[0], replace(latest[1], refused=refused))
        return Result(requeue_after=pause)
