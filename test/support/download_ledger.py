"""The history of model caches, their volume claims and download Jobs, from the storage of the server.

downloads = Downloads(w)
await downloads.want("llama", "team", size="40Gi")
await downloads.until_state("llama", "team", "Available")
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.api import kinds
from aimctl.kubetypes.builtin import JOBS, PVCS

if TYPE_CHECKING:
    from support.operator import World

__all__ = ["GIB", "Downloads"]

GIB = 1024**3
_ECHO_SECONDS = 0.5
LLAMA = "hf://meta-llama/Llama-3.1-8B-Instruct"


def _finished(job: dict[str, Any]) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(item["type"] in ("Complete", "Failed") and item["status"] == "True" for item in conditions)


class Downloads:
    """Records every write of the storage."""

    def __init__(self, w: World) -> None:
        self._w = w
        self.caches: dict[tuple[str, str], dict[str, Any]] = {}
        self.history: dict[str, list[tuple[float, dict[str, Any]]]] = defaultdict(list)
        """The statuses of each cache, and when they were written."""
        self.jobs: list[tuple[float, dict[str, Any]]] = []
        """Each download Job that was created, and when."""
        self.claims: list[dict[str, Any]] = []
        self._unfinished: dict[str, set[str]] = defaultdict(set)
        self.most_at_once = 0
        """The most unfinished Jobs that a cache has had at the same time."""
        self._writing: dict[str, set[str]] = defaultdict(set)
        self.most_writers = 0
        """The most running download pods that have mounted a claim at the same time."""
        w.cluster.server.storage.observers.append(self._take)

    def _take(self, collection, change) -> None:
        name, body = collection.name, change.record.object()
        if "aimmodelcaches" in name:
            self._cache(change, body)
        elif "persistentvolumeclaims" in name and change.type == "ADDED":
            self.claims.append(body)
        elif (
            "jobs" in name
            and body["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "download"
        ):
            self._job(change, body)
        elif name.endswith("pods"):
            self._pod(change, body)
        else:
            return
        self._w.ledger.changed.set()

    def _cache(self, change, body) -> None:
        key = (change.record.namespace, change.record.name)
        if change.type == "DELETED":
            self.caches.pop(key, None)
            return
        before = self.caches.get(key, {}).get("status")
        self.caches[key] = body
        if body.get("status") != before:
            self.history[key[1]].append((self._w.now, body.get("status") or {}))

    def _job(self, change, body) -> None:
        meta = body["metadata"]
        owner = meta["ownerReferences"][0]["uid"]
        if change.type == "ADDED":
            self.jobs.append((self._w.now, body))
        if change.type == "DELETED" or _finished(body):
            self._unfinished[owner].discard(meta["uid"])
        else:
            self._unfinished[owner].add(meta["uid"])
        self.most_at_once = max(self.most_at_once, len(self._unfinished[owner]))

    def _pod(self, change, body) -> None:
        meta, phase = body["metadata"], (body.get("status") or {}).get("phase")
        for volume in body["spec"].get("volumes") or ():
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if claim:
                writers = self._writing[f"{meta['namespace']}/{claim}"]
                writers.discard(meta["uid"])
                if change.type != "DELETED" and phase == "Running":
                    writers.add(meta["uid"])
                self.most_writers = max(self.most_writers, len(writers))

    # ---- changes

    async def want(
        self, name: str = "llama", namespace: str = "team", source: str = LLAMA, **spec: Any
    ) -> None:
        """Create a model cache, or change it."""
        await self._w.namespace(namespace)
        body = {
            "apiVersion": kinds.MODEL_CACHES.api_version,
            "kind": kinds.MODEL_CACHES.kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"sourceURI": source, "size": "40Gi", **spec},
        }
        await self._w.client.apply(kinds.MODEL_CACHES, body)

    async def annotate(self, name: str, namespace: str = "team", **annotations: str) -> None:
        values = {f"aim.silogen.ai/{key}": value for key, value in annotations.items()}
        patch = {"metadata": {"annotations": values}}
        await self._w.client.patch(kinds.MODEL_CACHES, name, patch, namespace)

    async def delete_claim(self, name: str = "llama", namespace: str = "team") -> None:
        await self._w.client.delete(PVCS, name, namespace)

    # ---- state

    def status(self, name: str = "llama", namespace: str = "team") -> dict[str, Any]:
        return self.caches[namespace, name].get("status") or {}

    def condition(self, type_: str = "Ready", name: str = "llama", namespace: str = "team") -> dict[str, Any]:
        conditions = self.status(name, namespace).get("conditions") or []
        return next((item for item in conditions if item["type"] == type_), {})

    def outcome(self, name: str = "llama", namespace: str = "team") -> tuple[str, str]:
        """State and reason of Ready."""
        if (namespace, name) not in self.caches:
            return "", ""
        return (
            self.status(name, namespace).get("status", ""),
            self.condition("Ready", name, namespace).get("reason", ""),
        )

    def pauses(self) -> list[float]:
        """Seconds from the failure of each Job to the creation of the next one."""
        failures = [
            at
            for (at, now), (_, before) in zip(self.history["llama"][1:], self.history["llama"], strict=False)
            if now.get("failedDownloads", 0) > before.get("failedDownloads", 0)
        ]
        return [made - failed for failed, (made, _) in zip(failures, self.jobs[1:], strict=False)]

    async def left(self, namespace: str = "team") -> dict[str, int]:
        """The numbers of existing claims and download Jobs."""
        claims = (await self._w.client.list(PVCS, namespace)).items
        jobs = (await self._w.client.list(JOBS, namespace)).items
        return {"claims": len(claims), "jobs": len(jobs)}

    async def claim(self, name: str = "llama", namespace: str = "team") -> dict[str, Any]:
        return msgspec.json.decode((await self._w.client.get(PVCS, name, namespace)).raw, type=dict)

    # ---- waiting

    async def until_outcome(
        self, state: str, reason: str, *, name: str = "llama", namespace: str = "team", seconds: float = 120.0
    ) -> None:
        await self._w.until(
            lambda: self.outcome(name, namespace) == (state, reason),
            seconds,
            f"{name} is {state}/{reason}, but {self.caches.get((namespace, name))}",
        )
        # Wait until the reconciles after the cache's own events are over, so that later ones have other causes.
        await asyncio.sleep(_ECHO_SECONDS)

    async def until_available(
        self, name: str = "llama", namespace: str = "team", seconds: float = 120.0
    ) -> None:
        await self.until_outcome("Available", "Downloaded", name=name, namespace=namespace, seconds=seconds)
