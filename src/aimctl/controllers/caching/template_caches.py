"""The template cache reconciler: one model cache for each source of a template, and how far they are.

It owns the whole status; the rules are in :mod:`aimctl.domain.caching.template_cache_decision`, and the order of the
writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.api import kinds
from aimctl.controllers.making import REFUSED_SECONDS, edit, make, refresh
from aimctl.controllers.status import StatusWriter, status_of
from aimctl.domain.caching.template_cache_decision import decide_template_cache
from aimctl.runtime.controller import Result
from aimctl.runtime.kube import Conflict

if TYPE_CHECKING:
    from aimctl.controllers.caching.observer import CachingObserver
    from aimctl.controllers.status import Turns
    from aimctl.domain.caching.template_cache_decision import TemplateCacheDecision
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Client, Object
    from aimctl.runtime.manager import EventRecorder

__all__ = ["FIELD_MANAGER", "TemplateCacheReconciler"]

FIELD_MANAGER = "aim-template-caches"


@final
class TemplateCacheReconciler:
    """Reconciles template caches.

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
        self._refused: dict[Request, dict[str, str]] = {}
        """Why the server did not take a model cache, by name: until it does, or the template cache is gone."""

    async def reconcile(self, request: Request) -> Result | None:
        """Observe, decide, apply."""
        observed = self._observer.template_cache(request, self._refused.get(request, {}))
        if observed is None:
            self._refused.pop(request, None)
            return None
        obj, seen = observed
        decision, taken = decide_template_cache(seen), True
        if decision.delete:
            await self._delete(obj)
            return None
        if decision.follow is not None:
            taken = await self._edit(obj, decision.follow, obj.meta.resource_version)
            observed = self._observer.template_cache(request, self._refused.get(request, {}))
            if observed is None:
                return None
            obj, seen = observed
            decision = decide_template_cache(seen)
        if decision.create or decision.patch:
            if _unlisted(obj, decision):
                await self._say(obj, decision)
            taken = await self._carry_out(request, decision) and taken
            observed = self._observer.template_cache(request, self._refused.get(request, {}))
            if observed is None:
                return None
            obj, seen = observed
            decision = decide_template_cache(seen)
        if not decision.create:
            self._refused.pop(request, None)
        await self._say(obj, decision)
        waits = [decision.look_again_after, None if taken else REFUSED_SECONDS]
        seconds = [item for item in waits if item is not None]
        return Result(requeue_after=max(0.05, min(seconds))) if seconds else None

    async def _say(self, obj: Object[Any], decision: TemplateCacheDecision) -> None:
        if decision.status is not None and await self._status.write(obj, decision.status):
            for wish in decision.events:
                self._events.event(obj, wish.type, wish.reason, wish.message)

    async def _carry_out(self, request: Request, decision: TemplateCacheDecision) -> bool:
        """Make and edit model caches; False when the server refuses any of it."""
        refused, taken = {}, True
        for manifest in decision.create:
            text = await make(self._client, self._observer.cache, kinds.MODEL_CACHES, manifest)
            if text:
                name = manifest["metadata"]["name"]
                refused[name] = f"the API server refused AIMModelCache {name!r}: {text}"
        self._refused[request] = refused
        for patch in decision.patch:
            found = self._observer.cache.get(kinds.MODEL_CACHES, patch.name, request.namespace)
            if found is not None and found.meta.uid == patch.uid:
                taken = await self._edit(found, patch.spec, patch.resource_version) and taken
        return taken and not refused

    async def _edit(self, obj: Object[Any], spec: dict[str, Any], version: str) -> bool:
        refused = await edit(self._client, self._observer.cache, obj, spec, version)
        if refused:
            self._events.event(obj, "Warning", "EditRefused", refused)
        return not refused

    async def _delete(self, obj: Object[Any]) -> None:
        try:
            await self._client.delete(
                kinds.TEMPLATE_CACHES,
                obj.meta.name,
                obj.meta.namespace,
                uid=obj.meta.uid,
                resource_version=obj.meta.resource_version,
                propagation="Background",
            )
        except Conflict:
            await refresh(self._client, self._observer.cache, kinds.TEMPLATE_CACHES, obj.key, obj.meta.uid)
            raise


def _unlisted(obj: Object[Any], decision: TemplateCacheDecision) -> bool:
    """Whether a model cache is to be made that the status in force does not list."""
    listed = {item["modelCache"] for item in status_of(obj).get("models") or ()}
    return any(manifest["metadata"]["name"] not in listed for manifest in decision.create)
