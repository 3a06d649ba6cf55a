"""What happened to discovery Jobs, templates and services, by the server's own account.

:class:`Ledger` is told of every write by the storage itself, within the write. It shares nothing with the operator's
caches and misses nothing, not even what lives for an instant.
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


class Ledger:
    """Everything that ever happened to Jobs, templates and services, by the server's own account."""

    def __init__(self, cluster: DevCluster) -> None:
        self._clock = cluster.clock
        self._storage = cluster.server.storage
        self.templates: dict[tuple[str, str], dict[str, Any]] = {}
        self.history: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        """Each status a template ever had, in order; a template made anew goes on in the same list."""
        self.services: dict[tuple[str, str], dict[str, Any]] = {}
        self.jobs: dict[tuple[str, str], dict[str, Any]] = {}
        self.unfinished: dict[tuple[str, str], float] = {}
        """Jobs that hold a slot, and since when."""
        self.most_unfinished = 0
        self.created: Counter[tuple[str, str]] = Counter()
        self.inputs: Counter[tuple[str, str]] = Counter()
        """Jobs made, by template uid and by what would run in the pod."""
        self.creations: list[tuple[float, dict[str, Any]]] = []
        self.cut_short: Counter[str] = Counter()
        """Jobs that went before they had ended, by name."""
        self.freed: list[float] = []
        """When a Job ended or went."""
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
            self.events.append(change.record.object())
        else:
            return
        self.changed.set()

    def _job(self, change) -> None:
        body = change.record.object()
        if LABEL not in (body["metadata"].get("labels") or {}):
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
        body = self.templates[key] = change.record.object()
        status = body.get("status") or {}
        if not self.history[key] or self.history[key][-1] != status:
            self.history[key].append(status)

    def _service(self, change) -> None:
        key = (change.record.namespace, change.record.name)
        if change.type == "DELETED":
            self.services.pop(key, None)
        else:
            self.services[key] = change.record.object()

    # ---- questions

    def jobs_of(self, name: str, namespace: str) -> list[dict[str, Any]]:
        """Every Job ever made for a template of this name, oldest first."""
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
