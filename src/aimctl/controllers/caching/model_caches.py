"""The model cache reconciler: one source on one volume.

It owns the whole status but ``lastUsed``, the volume claim and the download Jobs; the rules, and the order of the
writes, are in :mod:`aimctl.domain.caching.model_cache`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

from aimctl.api import kinds
from aimctl.controllers.caching.model_cache_observer import owner_of
from aimctl.controllers.job_access import JobAccess
from aimctl.controllers.making import REFUSALS, REFUSED_SECONDS, refresh, refusal
from aimctl.controllers.status import StatusWriter
from aimctl.domain.caching.model_cache import ModelCacheDecision, decide_model_cache
from aimctl.domain.caching.model_cache_volume import NAME_TAKEN, VOLUME_REFUSED
from aimctl.domain.hashing import digest
from aimctl.domain.naming import LABEL_COMPONENT, LABEL_MANAGED_BY
from aimctl.kubetypes.builtin import JOBS, PVCS, SECRETS
from aimctl.runtime.controller import Result, RetryAfter
from aimctl.runtime.kube import AlreadyExists, Conflict, Forbidden, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aimctl.controllers.caching.model_cache_observer import ModelCacheObserver
    from aimctl.controllers.status import Turns
    from aimctl.domain.caching.model_cache_observation import ModelCacheObservation
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Client, Object, Resource
    from aimctl.runtime.manager import EventRecorder

__all__ = ["FIELD_MANAGER", "ModelCacheReconciler"]

FIELD_MANAGER = "aim-model-caches"

_LOG_LINES = 80
_LOG_BYTES = 64 * 1024
"""How much of a failed download's log is read to explain it."""

_GOING_SECONDS = 2.0
"""Until the next look at something of a former cache that is about to go."""


@final
class ModelCacheReconciler:
    """Reconciles model caches.

    Args:
        observer: reads.
        client: writes, and reads logs.
        turns: of all writers of statuses.
        events: tells people.
        clock: time.
        measured: bytes on the volume of a download that runs, if known.
    """

    def __init__(
        self,
        *,
        observer: ModelCacheObserver,
        client: Client,
        turns: Turns,
        events: EventRecorder,
        clock: Clock,
        measured: Callable[[Request], int | None],
    ) -> None:
        self._observer = observer
        self._cache = observer.cache
        self._client = client
        self._status = StatusWriter(client, observer.cache, turns, FIELD_MANAGER)
        self._events = events
        self._measured = measured
        self._jobs = JobAccess(client, observer.cache, clock, limit_bytes=_LOG_BYTES, tail_lines=_LOG_LINES)
        self._refused: dict[tuple[Request, str], tuple[str, str]] = {}
        """Why the server did not take the claim or the Job, by kind: until it does, or the cache is gone."""

    async def reconcile(self, request: Request) -> Result | None:
        """Observe, decide, apply."""
        observed = self._observe(request)
        if observed is None:
            self._jobs.forget(request)
            self._take_back(request)
            return None
        obj, seen = observed
        decision = decide_model_cache(seen)
        if decision.read_pods is not None:
            seen = replace(seen, jobs=await self._jobs.with_pods(seen.jobs, decision.read_pods))
            decision = decide_model_cache(seen)
        if decision.read_log is not None:
            seen = replace(seen, jobs=await self._jobs.with_log(request, seen.jobs, decision.read_log))
            decision = decide_model_cache(seen)
        if decision.read_secrets:
            seen = replace(seen, secret_versions=await self._versions(request, decision.read_secrets))
            decision = decide_model_cache(seen)
        if decision.delete_cache:
            await self._delete(obj, decision)
            return None
        await self._say(obj, decision)
        for deletion in decision.delete_jobs:
            await self._jobs.delete(deletion, "Foreground")
        if await self._make(obj, request, decision):
            observed = self._observe(request)
            if observed is None:
                return None
            decision = decide_model_cache(replace(observed[1], secret_versions=seen.secret_versions))
            await self._say(observed[0], decision)
        waits = [decision.look_again_after, REFUSED_SECONDS if self._refusals(request) else None]
        seconds = [item for item in waits if item is not None]
        return Result(requeue_after=max(0.05, min(seconds))) if seconds else None

    # ---- steps

    async def _versions(self, request: Request, names: tuple[str, ...]) -> str:
        """Stands for the versions of these Secrets; a missing one has one too, and "" for those we may not see."""
        versions = {}
        for name in names:
            try:
                secret = await self._client.get(SECRETS, name, request.namespace, metadata_only=True)
                versions[name] = secret.meta.resource_version
            except NotFound:
                versions[name] = ""
            except Forbidden:
                return ""
        return digest(versions)[:16]

    def _observe(self, request: Request) -> tuple[Object[Any], ModelCacheObservation] | None:
        observed = self._observer.observe(request)
        if observed is None:
            return None
        obj, seen = observed
        return obj, replace(
            seen,
            measured=self._measured(request),
            volume_refused=self._refused.get((request, PVCS.kind)),
            job_refused=self._refused.get((request, JOBS.kind), ("", ""))[1],
        )

    async def _say(self, obj: Object[Any], decision: ModelCacheDecision) -> None:
        if decision.status is not None and await self._status.write(obj, decision.status):
            for wish in decision.events:
                self._events.event(obj, wish.type, wish.reason, wish.message)

    async def _make(self, obj: Object[Any], request: Request, decision: ModelCacheDecision) -> bool:
        """Make what is wished for; whether there is something new to say of it."""
        before = self._refusals(request)
        self._take_back(request)
        for resource, manifest in ((PVCS, decision.create_volume), (JOBS, decision.create_job)):
            if manifest is not None:
                said = await self._create(obj, resource, manifest)
                if said is not None:
                    self._refused[request, resource.kind] = said
        return self._refusals(request) != before

    async def _create(
        self, obj: Object[Any], resource: Resource[Any], manifest: Mapping[str, Any]
    ) -> tuple[str, str] | None:
        """Make it, or see to it that the cache has it; the reason and the words of a refusal."""
        metadata = manifest["metadata"]
        what = f"{resource.kind} {metadata['name']!r}"
        try:
            await self._client.create(resource, manifest)
        except AlreadyExists as error:
            try:
                there = await self._client.get(resource, metadata["name"], metadata["namespace"])
            except NotFound:
                raise RetryAfter(_GOING_SECONDS, f"{what} has just gone") from error
            return self._compare(obj, there, metadata["labels"], what)
        except NotFound:
            return None  # the namespace is gone
        except REFUSALS as error:
            text = refusal(error)
            return (VOLUME_REFUSED, f"the API server refused {what}: {text}") if text else None
        return None

    def _compare(
        self, obj: Object[Any], there: Object[Any], labels: Mapping[str, str], what: str
    ) -> tuple[str, str] | None:
        """What it means that something of this name is there already."""
        whose = owner_of(there, obj)
        if whose == "former":
            raise RetryAfter(_GOING_SECONDS, f"{what} of a former cache of this name has not gone yet")
        if whose == "other":
            text = f"{what} belongs to somebody else and is left alone. Delete it, or name this model cache otherwise"
            return NAME_TAKEN, text
        for key in (LABEL_MANAGED_BY, LABEL_COMPONENT):
            if there.meta.labels.get(key) != labels[key]:
                return NAME_TAKEN, f"{what} has lost its label {key}={labels[key]}: put it back"
        self._cache.observe_write(there)
        return None

    async def _delete(self, obj: Object[Any], decision: ModelCacheDecision) -> None:
        try:
            await self._client.delete(
                kinds.MODEL_CACHES,
                obj.meta.name,
                obj.meta.namespace,
                uid=obj.meta.uid,
                resource_version=obj.meta.resource_version,
                propagation="Background",
            )
        except Conflict:
            await refresh(self._client, self._cache, kinds.MODEL_CACHES, obj.key, obj.meta.uid)
            raise
        for wish in decision.events:
            self._events.event(obj, wish.type, wish.reason, wish.message)

    def _refusals(self, request: Request) -> dict[str, tuple[str, str]]:
        kinds_of = ((kind, self._refused.get((request, kind))) for kind in (PVCS.kind, JOBS.kind))
        return {kind: said for kind, said in kinds_of if said is not None}

    def _take_back(self, request: Request) -> None:
        for kind in (PVCS.kind, JOBS.kind):
            self._refused.pop((request, kind), None)
