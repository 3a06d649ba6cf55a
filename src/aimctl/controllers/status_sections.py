"""The sections of the operator on the status page at ``/debug``.

Contract:
    * A standby, which assigns no slots, refers to the leader.
    * Every object of the kinds below is a row, with the state and the reason and message of its condition ``Ready``. An
      object that is Failed or Degraded, or whose content cannot be read, is a problem.
    * Rows are sorted by namespace and name, unless a kind has more than :data:`MOST_SORTED` objects: the page would
      block the event loop while it sorts them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api import kinds
from aimctl.controllers.unhealthy import UNHEALTHY
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.controllers.templates.admission import DiscoveryAdmission
    from aimctl.kubetypes import Object, Resource
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.manager import Manager, StatusSection

__all__ = ["add_status_sections", "object_row"]

MOST_SORTED = 2000

_ASK_THE_LEADER = "the leader assigns the slots: see its page, or run aimctl queue"
"""In place of numbers that are always zero on a standby."""

_OBJECTS: Mapping[str, tuple[Resource[Any], ...]] = {
    "Services": (kinds.SERVICES,),
    "Templates": (kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES),
    "Caches": (kinds.TEMPLATE_CACHES, kinds.MODEL_CACHES),
    "Models": (kinds.MODELS, kinds.CLUSTER_MODELS),
}


def add_status_sections(manager: Manager, admission: DiscoveryAdmission, limit: int) -> None:
    """Add the sections to a manager.

    Args:
        manager: has the caches of the operator.
        admission: assigns the discovery slots.
        limit: the number of discovery slots.
    """

    def leads() -> bool:
        return manager.elector is None or manager.elected.is_set()

    def slots() -> Mapping[str, Any]:
        if not leads():
            return {"standby": _ASK_THE_LEADER}
        return {"slots": limit, "used": admission.running, "templates_waiting": admission.pending}

    manager.add_status_section("Discovery slots", slots)
    manager.add_status_section(
        "Templates that wait for a slot",
        lambda: admission.queue() if leads() else [{"standby": _ASK_THE_LEADER}],
    )
    for title, resources in _OBJECTS.items():
        manager.add_status_section(title, _objects_of(manager.cache, resources))


def object_row(obj: Object[Any]) -> dict[str, Any]:
    """The row of an object."""
    row: dict[str, Any] = {
        "kind": obj.resource.kind,
        "namespace": obj.meta.namespace,
        "name": obj.meta.name,
    }
    view = obj.view_or_none
    if view is None:
        return {**row, "status": "", "reason": "the object cannot be read", "problem": True}
    status = view.status
    ready = find_condition(status.conditions, "Ready")
    return {
        **row,
        "status": status.status,
        "reason": ready.reason if ready else "",
        "message": ready.message if ready else "",
        "since": ready.last_transition_time if ready else "",
        "problem": status.status in UNHEALTHY,
    }


def _objects_of(cache: Cache, resources: tuple[Resource[Any], ...]) -> StatusSection:
    def rows() -> Iterator[dict[str, Any]]:
        for resource in resources:
            objects = cache.list(resource)
            if len(objects) <= MOST_SORTED:
                objects.sort(key=lambda obj: (obj.meta.namespace, obj.meta.name))
            for obj in objects:
                yield object_row(obj)

    return rows
