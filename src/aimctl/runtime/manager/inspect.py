"""The built-in debug pages: queues, controllers, caches, election, tasks; and what all pages say about a standby."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from aimctl.runtime.abandoned import where

if TYPE_CHECKING:
    from aimctl.runtime.manager.manager import Manager
    from aimctl.runtime.manager.serving.debug import Page
    from aimctl.runtime.manager.serving.sections import StatusSection

__all__ = ["add_builtin_pages", "standing"]

_MAX_ITEMS = 200
"""Largest number of rows for one queue."""

_MAX_IDENTITY = 253
"""Characters of the leader's identity that are shown: the longest name of an object."""


def standing(manager: Manager) -> str:
    """Which process leads, if this one does not: one line of printable ASCII, "" on the leader."""
    elector = manager.elector
    if elector is None or manager.elected.is_set():
        return ""
    if elector.holder == manager.identity:
        return "this process is becoming the leader"
    holder = "".join(char if " " <= char <= "~" else "?" for char in elector.holder[:_MAX_IDENTITY])
    if not holder:
        return "standby; the leader is not known yet"
    return (
        f"standby; the lease of {holder} has expired"
        if elector.expired
        else f"standby; the leader is {holder}"
    )


def _leads(manager: Manager) -> bool:
    return manager.elector is None or manager.elected.is_set()


def add_builtin_pages(manager: Manager) -> None:
    """Add the pages to a manager, and those that matter to the status page. Each request shows the current state."""

    def queues() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for name, controller in manager.controllers.items():
            shot = controller.queue.snapshot()
            items = [
                *(("processing", item, None, seconds) for item, seconds, _ in shot.processing),
                *(("ready", item, priority, seconds) for item, priority, seconds in shot.ready),
                *(("waiting", item, priority, seconds) for item, priority, seconds in shot.waiting),
            ]
            rows += [
                {
                    "queue": name,
                    "state": state,
                    "item": str(item),
                    "priority": priority,
                    "seconds": seconds,
                    "failures": controller.queue.num_requeues(item),
                }
                for state, item, priority, seconds in items[:_MAX_ITEMS]
            ]
            if len(items) > _MAX_ITEMS:
                rows.append({"queue": name, "state": f"and {len(items) - _MAX_ITEMS} more"})
        return rows

    def controllers() -> list[dict[str, Any]]:
        return [
            {
                "controller": name,
                "kind": controller.kind,
                "warm": controller.warm,
                "ready": len(controller.queue),
                "waiting": controller.queue.waiting_count,
                "oldest_ready_seconds": controller.queue.oldest_ready_seconds,
                "longest_running_seconds": controller.queue.longest_running_seconds,
            }
            for name, controller in manager.controllers.items()
        ]

    def caches() -> list[dict[str, Any]]:
        return [
            {
                "informer": informer.name,
                "synced": informer.synced,
                "objects": len(informer.store),
                "resource_version": informer.store.resource_version,
                "age_seconds": informer.health.age_seconds,
                "last_error": informer.health.last_error,
            }
            for informer in manager.cache.informers
        ]

    def election() -> dict[str, Any]:
        if manager.elector is None:
            return {"election": "off", "this_process": manager.identity, "leads": True}
        elector = manager.elector
        seen = (
            elector.seen_seconds_ago if elector.renewed_seconds_ago is None else elector.renewed_seconds_ago
        )
        return {
            "this_process": manager.identity,
            "leads": elector.leads,
            "leader": "" if elector.expired else elector.holder,
            "lease_holder": elector.holder,
            "lease_expired": elector.expired,
            "renewed_seconds_ago": seen,
        }

    def tasks() -> list[dict[str, Any]]:
        return sorted(
            ({"task": task.get_name(), "at": where(task)} for task in asyncio.all_tasks()),
            key=lambda row: row["task"],
        )

    pages: dict[str, Page] = {
        "queues": queues,
        "controllers": controllers,
        "caches": caches,
        "election": election,
        "tasks": tasks,
    }
    for name, page in pages.items():
        manager.add_debug_page(name, page)
    manager.add_status_section("Leader election", election)
    sections: dict[str, StatusSection] = {
        "Controllers": lambda: [
            {**row, "problem": not row["warm"] and _leads(manager)} for row in controllers()
        ],
        "Queues": lambda: [{**row, "problem": bool(row.get("failures"))} for row in queues()],
        "Caches of the manager": lambda: [
            {**row, "problem": not row["synced"] or bool(row["last_error"])} for row in caches()
        ],
    }
    for title, section in sections.items():
        manager.endpoints.status.add(title, section, last=True)
    manager.endpoints.pages.standing = partial(standing, manager)
