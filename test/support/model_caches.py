"""Observations of one model cache, for tests of decisions: say what differs from one whose volume is bound.

And what such a decision says, and the observation after it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from aimctl.api.v1alpha1 import MODEL_CACHES, RuntimeConfigSpec
from aimctl.domain.caching.download_job import CacheIdentity, JobName, download_input
from aimctl.domain.caching.model_cache_observation import (
    ModelCacheObservation,
    ObservedVolume,
    StorageClasses,
)
from aimctl.domain.jobs.observed import ObservedJob
from aimctl.domain.resolution import Missing, Resolved
from aimctl.kubetypes import Object, Pod
from aimctl.kubetypes.builtin import JOBS, PODS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.domain.caching.model_cache import ModelCacheDecision
    from aimctl.domain.jobs.observed import PodLog

__all__ = [
    "CLASSES",
    "NOW",
    "SOURCE",
    "after",
    "at",
    "condition",
    "config",
    "failed_once",
    "job",
    "job_name",
    "observe",
    "pod",
    "said",
    "status",
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
) -> ObservedVolume:
    return ObservedVolume(uid, owner, deleting, phase, storage_class, REQUESTED, NOW - timedelta(seconds=age))


def observe(
    status: Mapping[str, Any] | None = None,
    *,
    spec: Mapping[str, Any] | None = None,
    of: ObservedVolume | Literal["bound"] | None = "bound",
    jobs: Sequence[ObservedJob] = (),
    runtime_config: Resolved[RuntimeConfigSpec] | Missing | None = None,
    classes: StorageClasses = CLASSES,
    managed: bool = True,
    in_use: bool = True,
    deleting: bool = False,
    age: float = 3600,
    rediscover: str = "",
    strangers: Sequence[Object[Pod]] = (),
    measured: int | None = None,
    secret_versions: str | None = None,
    volume_refused: tuple[str, str] | None = None,
    job_refused: str = "",
    now: datetime = NOW,
) -> ModelCacheObservation:
    body = {"spec": {"sourceURI": SOURCE, "size": "16Gi", **(spec or {})}, "status": dict(status or {})}
    return ModelCacheObservation(
        cache=CacheIdentity(
            "team", "llama", "cache-uid", 1, deleting=deleting, managed=managed, rediscover=rediscover
        ),
        resource_version="7",
        created=now - timedelta(seconds=age),
        view=MODEL_CACHES.decode(json.dumps(body).encode()),
        runtime_config=runtime_config or config(),
        classes=classes,
        now=now,
        volume=volume() if of == "bound" else of,
        jobs=tuple(jobs),
        strangers=tuple(strangers),
        in_use=in_use,
        measured=measured,
        secret_versions=secret_versions,
        volume_refused=volume_refused,
        job_refused=job_refused,
    )


def job_name(attempt: int = 1, *, of: ObservedVolume | None = None, **observed: Any) -> str:
    """The name of the Job that the decision wants for such an observation."""
    seen = observe(**observed)
    assert isinstance(seen.runtime_config, Resolved)
    made = of or volume()
    input_ = download_input(seen.cache, seen.view.spec, seen.runtime_config.spec, requested=made.requested)
    return JobName.make(attempt, volume_uid=made.uid, input_hash=input_.hash).of("llama")


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
) -> Object[Pod]:
    """A pod with one container that downloads; ``message`` is the waiting or the terminated state's."""
    state: dict[str, Any] = {"running": {"startedAt": at(NOW)}} if phase == "Running" else {}
    if waiting:
        state = {"waiting": {"reason": waiting, "message": message}}
    if exit_code is not None:
        state = {"terminated": {"exitCode": exit_code, "reason": ended, "message": message}}
    status: dict[str, Any] = {
        "phase": phase,
        "containerStatuses": [{"name": "download", "image": "kserve/storage-initializer:v1", "state": state}],
    }
    if pod_reason:
        status |= {"reason": pod_reason, "message": message, "containerStatuses": []}
    if unschedulable:
        status["conditions"] = [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unschedulable}
        ]
    body = {
        "metadata": {"name": "pod", "creationTimestamp": at(NOW - timedelta(seconds=age))},
        "status": status,
    }
    return Object.parse(PODS, json.dumps(body).encode())


# ---- decisions


def status(decision: ModelCacheDecision) -> dict[str, Any]:
    assert decision.status is not None
    return decision.status.status()


def condition(decision: ModelCacheDecision, type_: str = "Ready") -> dict[str, Any]:
    return next(item for item in status(decision)["conditions"] if item["type"] == type_)


def said(decision: ModelCacheDecision) -> tuple[str, str]:
    return status(decision)["status"], condition(decision)["reason"]


def after(seen: ModelCacheObservation, decision: ModelCacheDecision, **changes: Any) -> ModelCacheObservation:
    """The observation once the status is written."""
    view = seen.view.model_validate({"spec": seen.view.spec.to_json(), "status": status(decision)})
    return replace(seen, view=view, **changes)


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
