"""The warming reconciler: what caching says about a namespaced template, and the template cache it asks for.

It owns the condition ``CacheWarm``; the rules are in :mod:`aimctl.domain.caching.warming`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.api import kinds
from aimctl.controllers.making import REFUSED_SECONDS, edit, make
from aimctl.controllers.status import StatusWriter
from aimctl.domain.caching.warming import decide_warming
from aimctl.runtime.controller import Result

if TYPE_CHECKING:
    from aimctl.controllers.caching.observer import CachingObserver
    from aimctl.controllers.status import Turns
    from aimctl.domain.caching.template_cache_observation import SeenTemplateCache
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Client, Object
    from aimctl.runtime.manager import EventRecorder

__all__ = ["FIELD_MANAGER", "WarmingReconciler"]

FIELD_MANAGER = "aim-caching"


@final
class WarmingReconciler:
    """Reconciles the caching of namespaced templates.

    Args:
        observer: reads.
        client: writes.
        turns: of all writers of statuses.
        events: tells people.
    """

    def __init__(
        self, *, observer: CachingObserver, client: Client, turns: Turns, events: EventRecorder
    ) -> None:
        self._observer = observer
        self._client = client
        self._status = StatusWriter(client, observer.cache, turns, FIELD_MANAGER)
        self._events = events
        self._refused: dict[Request, str] = {}
        """Why the server did not take the template cache: until it does, or the template is gone."""

    async def reconcile(self, request: Request) -> Result | None:
        """Observe, decide, apply."""
        observed = self._observer.warming(request, self._refused.get(request, ""))
        if observed is None:
            self._refused.pop(request, None)
            return None
        obj, seen = observed
        decision, taken = decide_warming(seen), True
        if decision.create is not None:
            await self._make(request, obj, decision.create)
        elif decision.patch is not None and seen.cache is not None:
            taken = await self._edit(seen.cache, decision.patch)
        if decision.create is not None or decision.patch is not None:
            observed = self._observer.warming(request, self._refused.get(request, ""))
            if observed is None:
                return None
            obj, seen = observed
            decision = decide_warming(seen)
        if decision.create is None:
            self._refused.pop(request, None)
        if decision.status is not None:
            await self._status.write(obj, decision.status)
        return Result(requeue_after=REFUSED_SECONDS) if request in self._refused or not taken else None

    async def _make(self, request: Request, obj: Object[Any], manifest: dict[str, Any]) -> None:
        refused = await make(self._client, self._observer.cache, kinds.TEMPLATE_CACHES, manifest)
        if not refused:
            self._refused.pop(request, None)
            return
        if self._refused.get(request) != refused:
            self._events.event(obj, "Warning", "TemplateCacheRefused", refused)
        self._refused[request] = refused

    async def _edit(self, cache: SeenTemplateCache, spec: dict[str, Any]) -> bool:
        known = self._observer.cache
        obj = known.get(kinds.TEMPLATE_CACHES, cache.name, cache.namespace)
        if obj is None:
            return True
        refused = await edit(self._client, known, obj, spec, cache.resource_version)
        if refused:
            self._events.event(obj, "Warning", "EditRefused", refused)
        return not refused
