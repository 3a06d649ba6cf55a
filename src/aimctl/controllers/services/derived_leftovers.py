"""Derived templates that nobody owns: they are deleted when nobody has come for them in a while.

A derived template is made with an owner, and the last one takes it along. Still one may be left without: garbage
collection that takes off the reference of a service that is gone, in the instant in which the last one that is left
lets go; or a service that was deleted with ``--cascade=orphan``. Services with its overrides adopt it meanwhile. To
keep one for good, take its ``derived-template`` label off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.api import kinds
from aimctl.controllers.making import refresh
from aimctl.domain.naming import LABEL_DERIVED, LABEL_MANAGED_BY, MANAGED_BY
from aimctl.runtime.controller import Result
from aimctl.runtime.kube import Conflict

if TYPE_CHECKING:
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Client
    from aimctl.runtime.manager import EventRecorder

__all__ = ["PATIENCE_SECONDS", "LeftoverReconciler"]

PATIENCE_SECONDS = 300.0
"""How long a template may be without an owner."""


@final
class LeftoverReconciler:
    """See the module. Its keys are namespaced templates.

    Args:
        cache: where they are.
        client: writes.
        events: tells people.
        clock: time.
    """

    def __init__(self, *, cache: Cache, client: Client, events: EventRecorder, clock: Clock) -> None:
        self._cache = cache
        self._client = client
        self._events = events
        self._clock = clock
        self._since: dict[Request, tuple[str, float]] = {}
        """The UID of a template without owners, and since when it is known to be."""

    async def reconcile(self, request: Request) -> Result | None:
        """Wait, then delete."""
        obj = self._cache.get(kinds.TEMPLATES, request.name, request.namespace)
        if (
            obj is None
            or obj.meta.owners
            or obj.meta.deleting
            or obj.meta.labels.get(LABEL_DERIVED) != "true"
            or obj.meta.labels.get(LABEL_MANAGED_BY) != MANAGED_BY
        ):
            self._since.pop(request, None)
            return None
        now = self._clock.monotonic()
        uid, since = self._since.get(request, ("", now))
        if uid != obj.meta.uid:
            since = now
        self._since[request] = (obj.meta.uid, since)
        left = since + PATIENCE_SECONDS - now
        if left > 0:
            return Result(requeue_after=left)
        try:
            await self._client.delete(
                kinds.TEMPLATES,
                request.name,
                request.namespace,
                uid=obj.meta.uid,
                resource_version=obj.meta.resource_version,
                propagation="Background",
            )
        except Conflict:
            await refresh(self._client, self._cache, kinds.TEMPLATES, obj.key, obj.meta.uid)
            raise
        self._since.pop(request, None)
        self._events.event(obj, "Normal", "DerivedTemplateDeleted", "no service has used it for a while")
        return None
