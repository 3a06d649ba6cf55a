"""A record of the changes of discovery Jobs, templates and services in the storage of the server.

:class:`Ledger` is called by the storage within every write. It does not use the caches of the operator, and sees
every state, however short it lasts.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from aimctl.devcluster import DevCluster

__all__ = ["OPERATOR_NAMESPACE", "Ledger"]

OPERATOR_NAMESPACE = "kaiwo-system"
LABEL = "aim.silogen.ai/template"
TEMPLATE_PLURALS = ("aimservicetemplates", "aimclusterservicetemplates")
SERVICE_PLURAL = "aimservices"


def _finished(job: dict[str, Any]) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in conditions)


def _is_discovery(job: dict[str, Any]) -> bool:
    metadata = job["metadata"]
    return LABEL in (metadata.get("labels") or {}) and bool(metadata.get("ownerReferences"))


class Ledger:
    """All changes of Jobs, templates and services, as the storage of the server reports them."""

    def __init__(self, cluster: DevCluster) -> None:
        self._clock = cluster.clock
        self._storage = cluster.server.storage
        self.templates: dict[tuple[str, str], dict[str, Any]] = {}
        self.history: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        """All statuses of each template in order; those of a template that is created again follow in the same list."""
        self.services: dict[tuple[str, str], dict[str, Any]] = {}
        self.jobs: dict[tuple[str, str], dict[str, Any]] = {}
        self.unfinished: dict[tuple[str, str], float] = {}
        """Jobs that occupy a slot, and since when."""
        self.most_unfinished = 0
        self.created: Counter[tuple[str, str]] = Counter()
        self.inputs: Counter[tuple[str, str]] = Counter()
        """Created Jobs by the UID of the template and by what runs in the pod."""
        self.creations: list[tuple[float, dict[str, Any]]] = []
        self.cut_short: Counter[str] = Counter()
        """Jobs that were deleted before they had ended, by name."""
        self.freed: list[float] = []
        """The times when a Job ended or was deleted."""
        self.events: list[dict[str, Any]] = []
        self.changed = asyncio.Event()
        self._storage.observers.append(self._take)

    def _take(self, collection, change) -> None:
        name = collection.name
        if "jobs" in name:
            self._job(change)
        elif any(plural in name for plural in TEMPLATE_PLURALS):
            self._template(change)
        elif SERVICE_PLURAL in name:
            self._service(change)
        elif name.endswith("events") and change.type == "ADDED":
            self.events.append(change.record.shared())
        else:
            return
        self.changed.set()

    def reload(self) -> None:
        """Read the present objects after the storage was restored. The counts of what happened before remain."""
        self.unfinished.clear()
        self.jobs.clear()
        self.templates.clear()
        self.services.clear()
        now = self._clock.monotonic()
        for collection in self._storage:
            for record in collection.records.values():
                key, body = (record.namespace, record.name), record.object()
                if collection.name == "jobs.batch":
                    if _is_discovery(body):
                        self.jobs[key] = body
                        if not _finished(body):
                            self.unfinished[key] = now
                elif any(plural in collection.name for plural in TEMPLATE_PLURALS):
                    self.templates[key] = body
                elif SERVICE_PLURAL in collection.name:
                    self.services[key] = body

    def _job(self, change) -> None:
        body = change.record.shared()
        if not _is_discovery(body):
            return
        key, now = (change.record.namespace, change.record.name), self._clock.monotonic()
        if change.type == "ADDED":
            self.created[key] += 1
            owner = body["metadata"]["ownerReferences"][0]["uid"]
            pod = body["spec"]["template"]["spec"]
            self.inputs[owner, msgspec.json.encode([pod, body["metadata"]["name"]]).decode()] += 1
            self.creations.append((now, body))
        if change.type == "DELETED" or _finished(body):
            if self.unfinished.pop(key, None) is not None:
                self.freed.append(now)
                self.cut_short[key[1]] += change.type == "DELETED" and not _finished(body)
        else:
            self.unfinished.setdefault(key, now)
        if change.type == "DELETED":
            self.jobs.pop(key, None)
        else:
            self.jobs[key] = body
        self.most_unfinished = max(self.most_unfinished, len(self.unfinished))

    def _template(self, change) -> None:
        key = (change.record.namespace, change.record.name)
        if change.type == "DELETED":
            self.templates.pop(key, None)
            return
        body = self.templates[key] = change.record.shared()
        status = body.get("status") or {}
        if not self.history[key] or self.history[key][-1] != status:
            self.history[key].append(status)

    def _service(self, change) -> None:
        key = (change.record.namespace, change.record.name)
        if change.type == "DELETED":
            self.services.pop(key, None)
        else:
            self.services[key] = change.record.shared()

    # ---- queries

    def jobs_of(self, name: str, namespace: str) -> list[dict[str, Any]]:
        """All Jobs created for a template of this name, the oldest first."""
        kind = "AIMServiceTemplate" if namespace else "AIMClusterServiceTemplate"
        where = namespace or OPERATOR_NAMESPACE
        return [
            body
            for _, body in self.creations
            if body["metadata"]["namespace"] == where
            and body["metadata"]["ownerReferences"][0]["name"] == name
            and body["metadata"]["ownerReferences"][0]["kind"] == kind
        ]

    def states(self) -> Counter[str]:
        """Templates by state."""
        return Counter((body.get("status") or {}).get("status", "") for body in self.templates.values())
