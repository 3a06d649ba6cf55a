"""The template reconciler: the state of a template and why, worked out from what discovery and caching say.

One class serves both scopes. It owns ``status``, ``observedGeneration``, the resolved references and the conditions
``Ready``, ``Progressing`` and ``Failure``; the rules are in :mod:`aimctl.domain.template_decision`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.controllers.status import StatusWriter
from aimctl.domain.template_decision import decide_template

if TYPE_CHECKING:
    from aimctl.controllers.observer import TemplateObserver
    from aimctl.controllers.status import Turns
    from aimctl.runtime.controller import Request, Result
    from aimctl.runtime.kube import Client, Resource
    from aimctl.runtime.manager import EventRecorder

__all__ = ["FIELD_MANAGER", "TemplateReconciler"]

FIELD_MANAGER = "aim-templates"


@final
class TemplateReconciler:
    """Reconciles the templates of one scope.

    Args:
        resource: namespaced or cluster templates.
        observer: reads.
        client: writes.
        turns: shared with the discovery reconciler of the same scope.
        events: tells people.
    """

    def __init__(
        self,
        resource: Resource[Any],
        *,
        observer: TemplateObserver,
        client: Client,
        turns: Turns,
        events: EventRecorder,
    ) -> None:
        self._resource = resource
        self._observer = observer
        self._status = StatusWriter(client, observer.cache, turns, FIELD_MANAGER)
        self._events = events

    async def reconcile(self, request: Request) -> Result | None:
        """Observe, decide, apply."""
        observed = self._observer.observe(self._resource, request, with_jobs=False)
        if observed is None:
            return None
        obj, seen = observed
        decision = decide_template(seen)
        if decision.status is not None and await self._status.write(obj, decision.status):
            for wish in decision.events:
                self._events.event(obj, wish.type, wish.reason, wish.message)
        return None
