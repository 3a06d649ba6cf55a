"""The derivation reconciler: the templates that services' overrides ask for, and who owns them.

Its keys are services. It owns the condition ``Derived`` of a service and all that the operator does to derived
templates but their status; the rules are in :mod:`aimctl.domain.services.derivation_decision`.

Order of the writes, and why: the template in use first, then those that are let go, then the status, so that a service
is never without what it has before it has what it wants, and the status tells what is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import structlog

from aimctl.api import kinds
from aimctl.api.v1alpha1 import RuntimeConfigSpec
from aimctl.controllers.making import REFUSALS, make, refresh
from aimctl.controllers.status import StatusWriter
from aimctl.domain.hashing import digest
from aimctl.domain.naming import describe
from aimctl.domain.resolution import Missing, Resolved
from aimctl.domain.services.derivation import base_name, derived_name, overrides_digest
from aimctl.domain.services.derivation_decision import (
    DERIVATION_REFUSED,
    TEMPLATE_DERIVED,
    DerivationObservation,
    base_of,
    decide_derivation,
)
from aimctl.runtime.controller import Result
from aimctl.runtime.kube import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.controllers.observer import TemplateObserver
    from aimctl.controllers.services.observer import ServiceObserver
    from aimctl.controllers.status import Turns
    from aimctl.domain.services.derivation_decision import DerivationDecision, TemplateChange
    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.template import Template
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import ApiError, Client, Object
    from aimctl.runtime.manager import EventRecorder

__all__ = ["FIELD_MANAGER", "DerivationReconciler"]

FIELD_MANAGER = "aim-derivation"

_REFUSED_SECONDS = (5.0, 60.0)
"""First and longest pause before a template that the server refused (a quota, a policy) is created again."""


@final
@dataclass(frozen=True, slots=True)
class _Refusal:
    """The server did not take a template; ``wanted`` is the digest of what it did not take."""

    wanted: str
    message: str
    not_before: float
    failures: int


@final
class DerivationReconciler:
    """See the module.

    Args:
        observer: reads services.
        templates: reads what templates refer to.
        client: writes.
        turns: shared with the other writers of statuses.
        events: tells people.
        clock: time.
    """

    def __init__(
        self,
        *,
        observer: ServiceObserver,
        templates: TemplateObserver,
        client: Client,
        turns: Turns,
        events: EventRecorder,
        clock: Clock,
    ) -> None:
        self._observer = observer
        self._templates = templates
        self._cache = observer.cache
        self._client = client.with_(field_manager=FIELD_MANAGER)
        self._status = StatusWriter(client, observer.cache, turns, FIELD_MANAGER)
        self._events = events
        self._clock = clock
        self._refusals: dict[Request, _Refusal] = {}
        self._log = structlog.get_logger(__name__)

    async def reconcile(self, request: Request) -> Result | None:
        """Observe, decide, apply."""
        looked = self._look(request)
        if looked is None:
            self._refusals.pop(request, None)
            return None
        obj, decision = looked
        created = False
        creates = (
            decision.create
            if decision.create is not None and self._may_create(request, decision.create)
            else None
        )
        if (creates is not None or decision.joins) and not await self._is_there(obj):
            return None  # its deletion is in the cache now, and so is the one that was made anew, if any
        if decision.create is None:
            self._refusals.pop(request, None)
        elif creates is not None:
            await self._create(request, obj, creates)
            looked = self._look(request)
            if looked is None:
                return None
            obj, decision = looked
            created = request not in self._refusals
            if created and decision.create is not None:
                return Result(requeue=True)  # it went again already, or the namespace is going
        await self._apply(obj, decision, created=created)
        refusal = self._refusals.get(request)
        if refusal is not None:
            return Result(requeue_after=max(0.05, refusal.not_before - self._clock.monotonic()))
        return None

    # ---- observe

    def _look(self, request: Request) -> tuple[Object[Any], DerivationDecision] | None:
        """The service, and what is to be done for it now."""
        observed = self._observer.observe(request)
        if observed is None:
            return None
        obj, seen = observed
        refusal = self._refusals.get(request)
        return obj, decide_derivation(self._observation(seen, "" if refusal is None else refusal.message))

    def _observation(self, seen: ServiceObservation, refused: str) -> DerivationObservation:
        namespace, overrides = seen.service.namespace, seen.view.spec.overrides
        base = base_of(seen)
        holder, config = None, RuntimeConfigSpec()
        if not isinstance(base, Missing) and overrides_digest(overrides):
            holder = self._observer.template(
                kinds.TEMPLATES, derived_name(base.meta.name, overrides), namespace
            )
            found = self._templates.runtime_config(base.view.spec.runtime_config_name, namespace)
            config = found.spec if isinstance(found, Resolved) else config
        owned = tuple(self._cache.by_index(kinds.TEMPLATES, "service-owner", seen.service.uid))
        names = {base_name(item) for item in (*owned, *seen.templates, *([seen.named] if seen.named else ()))}
        bases = ((name, self._observer.template_named(name, namespace)) for name in names if name)
        return DerivationObservation(
            seen=seen,
            base=base,
            holder=holder,
            owned=owned,
            bases={name: item for name, item in bases if item is not None},
            template_config=config,
            refused=refused,
        )

    async def _is_there(self, obj: Object[Any]) -> bool:
        """Whether the server has the service still.

        Garbage collection takes the reference of one that is gone off at once, and deletes what belongs to it alone.
        With a cache that lags, we would put it on again as fast, and both would go on until the cache has caught up.
        """
        await refresh(self._client, self._cache, kinds.SERVICES, obj.key, obj.meta.uid)
        latest = self._cache.get(kinds.SERVICES, obj.meta.name, obj.meta.namespace)
        return latest is not None and latest.meta.uid == obj.meta.uid and not latest.meta.deleting

    # ---- create

    def _may_create(self, request: Request, wanted: Mapping[str, Any]) -> bool:
        refusal = self._refusals.get(request)
        return (
            refusal is None
            or refusal.not_before <= self._clock.monotonic()
            or refusal.wanted != digest(dict(wanted))
        )

    async def _create(self, request: Request, obj: Object[Any], wanted: Mapping[str, Any]) -> None:
        """Create the template, or remember why the server does not take it.

        Raises:
            KubeError: it may or may not be there, or the server has no time now.
        """
        where = f"{request.namespace}/{wanted['metadata']['name']}"
        refused = await make(self._client, self._cache, kinds.TEMPLATES, wanted)
        if not refused:
            self._refusals.pop(request, None)
            self._log.info("template derived", template=where, service=str(obj.key))
            return
        before = self._refusals.get(request)
        failures = 0 if before is None else before.failures + 1
        first, longest = _REFUSED_SECONDS
        pause = min(first * 2.0 ** min(failures, 30), longest)
        not_before = self._clock.monotonic() + pause
        self._refusals[request] = _Refusal(digest(dict(wanted)), refused, not_before, failures)
        self._log.warning(
            "a derived template was refused", template=where, reason=refused, again_in_seconds=pause
        )

    # ---- apply

    async def _apply(self, obj: Object[Any], decision: DerivationDecision, *, created: bool) -> None:
        refused: list[ApiError] = []
        for change in decision.changes:
            try:
                await self._change(change)
            except REFUSALS as error:
                # A policy that keeps one template as it is keeps nothing else from being done.
                refused.append(error)
                words = f"the API server refused a change of {describe(change.template)}: {error}"
                self._events.event(obj, "Warning", DERIVATION_REFUSED, words)
        for template in decision.deletions:
            await self._delete(obj, template)
        if decision.status is not None and await self._status.write(obj, decision.status):
            for wish in decision.events:
                self._events.event(obj, wish.type, wish.reason, wish.message)
        if created and decision.status is not None and not decision.events:
            # Nothing, when the overrides were dropped while it was being created.
            for said in decision.status.conditions:
                self._events.event(obj, "Normal", TEMPLATE_DERIVED, f"made again: {said['message']}")
        if refused:
            raise refused[0]

    async def _change(self, change: TemplateChange) -> None:
        template = change.template
        try:
            await self._client.patch(
                kinds.TEMPLATES, template.meta.name, change.patch, template.meta.namespace
            )
        except (Conflict, NotFound):
            await self._refresh(template)
            raise

    async def _delete(self, obj: Object[Any], template: Template) -> None:
        try:
            await self._client.delete(
                kinds.TEMPLATES,
                template.meta.name,
                template.meta.namespace,
                uid=template.meta.uid,
                resource_version=template.meta.resource_version,
                propagation="Background",
            )
        except Conflict:
            await self._refresh(template)
            raise
        self._events.event(
            obj,
            "Normal",
            "DerivedTemplateDeleted",
            f"{describe(template)} was deleted: no service uses it any more",
        )

    async def _refresh(self, template: Template) -> None:
        """Bring a template's latest state into a cache that lags."""
        await refresh(self._client, self._cache, kinds.TEMPLATES, template.key, template.meta.uid)
