"""The template reconciler: the state of a template and why, worked out from what discovery and caching say.

One class serves both scopes. It owns ``status``, ``observedGeneration``, the resolved references and the conditions
``Ready``, ``Progressing`` and ``Failure``; the rules are in :mod:`aimctl.domain.templates.decision`.

It shares its field manager with discovery (:data:`~aimctl.domain.templates.decision.FAMILY`). Whenever discovery has
something new to say it says what follows for the state in the same request, and this reconciler leaves the template
alone. So it writes only what has other causes: the cache, a GPU, an edit that discovery need not answer. It never waits
for a node, as discovery does when it reads a log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.controllers.status import StatusWriter, status_of
from aimctl.domain.templates.decision import FAMILY, decide_template
from aimctl.domain.templates.discovery_decision import decide_discovery

if TYPE_CHECKING:
    from aimctl.controllers.observer import TemplateObserver
    from aimctl.controllers.status import Turns
    from aimctl.runtime.controller import Request, Result
    from aimctl.runtime.kube import Client, Resource
    from aimctl.runtime.manager import EventRecorder

__all__ = ["FIELD_MANAGER", "TemplateReconciler"]

FIELD_MANAGER = "aim-templates"
"""Of this reconciler and of discovery."""


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
        self._status = StatusWriter(client, observer.cache, turns, FIELD_MANAGER, FAMILY)
        self._events = events

    async def reconcile(self, request: Request) -> Result | None:
        """Observe, decide, apply."""
        observed = self._observer.observe(self._resource, request, with_jobs=False)
        if observed is None:
            return None
        obj, seen = observed
        said = decide_discovery(seen).status
        if said is not None and said.changes(status_of(obj)):
            return None  # the same events have asked for discovery
        decision = decide_template(seen)
        if decision.status is not None and await self._status.write(obj, decision.status):
            for wish in decision.events:
                self._events.event(obj, wish.type, wish.reason, wish.message)
        return None
