"""Observations of one model cache, for tests of decisions: a test names what differs from one with a bound volume."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from aimctl.api.kinds import MODEL_CACHES
from aimctl.api.v1alpha1 import RuntimeConfigSpec
from aimctl.domain.caching.download_job import JobName, download_input
from aimctl.domain.caching.model_cache_observation import ModelCacheObservation, StorageClasses
from aimctl.domain.jobs.observed import ObservedJob
from aimctl.domain.plan import ActionKey, Create, Delete, Get, Got, Known, Rejection
from aimctl.domain.resolution import Missing, Resolved
from aimctl.kubetypes import Object, PersistentVolumeClaim, Pod
from aimctl.kubetypes.builtin import JOBS, PODS, PVCS, SECRETS
from support.plans import condition_of, status_of
from support.things import make, with_fields, with_meta

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.api.v1alpha1 import AIMModelCache
    from aimctl.domain.jobs.observed import PodLog
    from aimctl.domain.plan import List, Plan
    from aimctl.kubetypes import Resource

__all__ = [
    "CLASSES",
    "NOW",
    "SOURCE",
    "after",
    "at",
    "config",
    "created",
    "deleted",
    "failed_once",
    "job",
    "job_name",
    "model_cache",
    "observe",
    "outcome",
    "pod",
    "rejected",
    "secrets_read",
    "volume",
]

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
SOURCE = "hf://meta-llama/Llama-3.1-8B-Instruct"
CLASSES = StorageClasses(frozenset({"standard", "fast"}), "standard")
REQUESTED = "18022Mi"


def at(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def config(**spec: Any) -> Resolved[RuntimeConfigSpec]:
    return Resolved(RuntimeConfigSpec.model_validate(spec), None)


def volume(
    phase: str = "Bound",
    *,
    uid: str = "volume",
    owner: Literal["own", "former", "other"] = "own",
    deleting: bool = False,
    storage_class: str | None = "standard",
    age: float = 10,
    labels: Mapping[str, str] | None = None,
) -> Object[PersistentVolumeClaim]:
    """The claim of the name of the model cache."""
    owner_uid = "cache-uid" if owner == "own" else "former-uid"
    reference = {"kind": "AIMModelCache", "name": "llama", "uid": owner_uid, "controller": True}
    spec: dict[str, Any] = {"resources": {"requests": {"storage": REQUESTED}}}
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    claim = make(
        "llama",
        "team",
        resource=PVCS,
        uid=uid,
        labels=dict(labels or {}),
        owners=[] if owner == "other" else [reference],
        deleting=deleting,
        spec=spec,
        status={"phase": phase},
    )
    return with_meta(claim, creationTimestamp=at(NOW - timedelta(seconds=age)))


def model_cache(
    status: Mapping[str, Any] | None = None,
    *,
    spec: Mapping[str, Any] | None = None,
    managed: bool = True,
    deleting: bool = False,
    age: float = 3600,
    now: datetime = NOW,
    rediscover: str = "",
    labels: Mapping[str, str] | None = None,
) -> Object[AIMModelCache]:
    """The model cache ``team/llama``."""
    own = {"app.kubernetes.io/managed-by": "aim"} if managed else {}
    cache = make(
        "llama",
        "team",
        resource=MODEL_CACHES,
        uid="cache-uid",
        rv=7,
        labels={**(labels or {}), **own},
        annotations={"aim.silogen.ai/rediscover": rediscover} if rediscover else {},
        deleting=deleting,
        spec={"sourceURI": SOURCE, "size": "16Gi", **(spec or {})},
        status=dict(status or {}),
    )
    return with_meta(cache, creationTimestamp=at(now - timedelta(seconds=age)))


def observe(
    status: Mapping[str, Any] | None = None,
    *,
    of: Object[PersistentVolumeClaim] | Literal["bound"] | None = "bound",
    jobs: Sequence[ObservedJob] = (),
    runtime_config: Resolved[RuntimeConfigSpec] | Missing | None = None,
    classes: StorageClasses = CLASSES,
    in_use: bool = True,
    other_pods: Sequence[Object[Pod]] = (),
    downloaded: int | None = None,
    known: Known | None = None,
    now: datetime = NOW,
    **cache: Any,
) -> ModelCacheObservation:
    """An observation: by default of a managed cache that is in use and whose volume is bound."""
    return ModelCacheObservation(
        cache=model_cache(status, now=now, **cache),
        runtime_config=runtime_config or config(),
        classes=classes,
        now=now,
        volume=volume() if of == "bound" else of,
        jobs=tuple(jobs),
        other_pods=tuple(other_pods),
        in_use=in_use,
        downloaded_bytes=downloaded,
        known=known or Known(),
    )


def rejected(
    resource: Resource[Any], name: str, message: str = "", *, existing: Object[Any] | None = None
) -> Known:
    """What the executor knows after the API server has rejected an object."""
    return Known({ActionKey(resource.kind, "team", name): Rejection(message, existing)})


def secrets_read(versions: Mapping[str, str | None]) -> Known:
    """What the executor knows after reading Secrets: the resourceVersion of each, "" if it is missing, None if
    reading it is forbidden.
    """
    reads: dict[Get | List, Got] = {}
    for name, version in versions.items():
        found = (make(name, "team", resource=SECRETS, rv=int(version)),) if version else ()
        reads[Get(SECRETS, "team", name, metadata_only=True)] = Got(found, forbidden=version is None)
    return Known(reads=reads)


def job_name(attempt: int = 1, *, of: Object[PersistentVolumeClaim] | None = None, **observed: Any) -> str:
    """The name of the Job that the decision creates for such an observation."""
    seen = observe(**observed)
    assert isinstance(seen.runtime_config, Resolved)
    claim = of or volume()
    input_ = download_input(seen.cache, seen.runtime_config.spec, requested=REQUESTED)
    return JobName.make(attempt, volume_uid=claim.meta.uid, input_hash=input_.hash).of("llama")


def job(
    name: str | None = None,
    *,
    ended: str = "",
    reason: str = "",
    deleting: bool = False,
    pods: Sequence[Object[Pod]] = (),
    log: PodLog | None = None,
    pods_read: bool = False,
    age: float | None = None,
) -> ObservedJob:
    name = name or job_name()
    body: dict[str, Any] = {
        "metadata": {"name": name, "namespace": "team", "uid": f"{name}-uid", "resourceVersion": "5"},
        "status": {},
    }
    if deleting:
        body["metadata"]["deletionTimestamp"] = at(NOW)
    if age is not None:
        body["metadata"]["creationTimestamp"] = at(NOW - timedelta(seconds=age))
    if ended:
        body["status"]["conditions"] = [{"type": ended, "status": "True", "reason": reason}]
    return ObservedJob(Object.parse(JOBS, json.dumps(body).encode()), tuple(pods), log, pods_read)


def pod(
    phase: str = "Running",
    *,
    age: float = 1,
    waiting: str = "",
    message: str = "",
    exit_code: int | None = None,
    ended: str = "Error",
    pod_reason: str = "",
    unschedulable: str = "",
    sidecar: bool = False,
) -> Object[Pod]:
    """A pod with one container that downloads; ``message`` is the waiting or the terminated state's.

    With ``sidecar``, it has another container, which runs.
    """
    state: dict[str, Any] = {"running": {"startedAt": at(NOW)}} if phase == "Running" else {}
    if waiting:
        state = {"waiting": {"reason": waiting, "message": message}}
    if exit_code is not None:
        state = {"terminated": {"exitCode": exit_code, "reason": ended, "message": message}}
    status: dict[str, Any] = {
        "phase": phase,
        "containerStatuses": [{"name": "download", "image": "kserve/storage-initializer:v1", "state": state}],
    }
    if sidecar:
        running = {"name": "istio-proxy", "state": {"running": {"startedAt": at(NOW)}}}
        status["containerStatuses"].append(running)
    if pod_reason:
        status |= {"reason": pod_reason, "message": message, "containerStatuses": []}
    if unschedulable:
        status["conditions"] = [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unschedulable}
        ]
    body = {
        "metadata": {
            "name": "pod",
            "namespace": "team",
            "uid": "pod-uid",
            "creationTimestamp": at(NOW - timedelta(seconds=age)),
        },
        "status": status,
    }
    return Object.parse(PODS, json.dumps(body).encode())


# ---- plans


def outcome(plan: Plan) -> tuple[str, str]:
    """The state in the status, and the reason of the condition Ready."""
    return status_of(plan)["status"], condition_of(plan)["reason"]


def created(plan: Plan, resource: Resource[Any]) -> dict[str, Any] | None:
    """The manifest of this kind that the plan creates."""
    found = [action.manifest for action in plan.of_type(Create) if action.resource == resource]
    assert len(found) < 2
    return dict(found[0]) if found else None


def deleted(plan: Plan) -> list[str]:
    """The names of the objects that the plan deletes."""
    return [action.key.name for action in plan.of_type(Delete)]


def after(seen: ModelCacheObservation, plan: Plan, **changes: Any) -> ModelCacheObservation:
    """The observation after the status was written."""
    return replace(seen, cache=with_fields(seen.cache, status=status_of(plan)), **changes)


def failed_once(*, reason: str = "DownloadFailed", at_seconds: float = 0, **observed: Any) -> dict[str, Any]:
    """The status after one failed attempt, so many seconds ago."""
    return {
        "failedDownloads": 1,
        "nextDownloadAt": at(NOW + timedelta(seconds=30 - at_seconds)),
        "lastFailure": {
            "jobName": job_name(1, **observed),
            "reason": reason,
            "message": "it broke",
            "finishedAt": at(NOW - timedelta(seconds=at_seconds)),
        },
    }
