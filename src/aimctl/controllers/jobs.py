"""The Jobs that an object owns, from the cache and from the reads that a decision planned."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aimctl.domain.jobs.observed import ObservedJob, list_pods
from aimctl.domain.plan import Known
from aimctl.kubetypes.builtin import JOBS, PODS

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.domain.jobs.observed import PodLog
    from aimctl.kubetypes import Job, Object, Pod
    from aimctl.runtime.cache import Cache

__all__ = ["job_of_pod", "owned_jobs"]


def owned_jobs(
    cache: Cache,
    owner_uid: str,
    namespace: str,
    *,
    known: Known = Known(),  # noqa: B008 - immutable
    log_of: Callable[[str], PodLog | None] = lambda _: None,
) -> tuple[ObservedJob, ...]:
    """The Jobs in a namespace whose controller has this UID, each with its pods.

    A reference can be written by everyone who may create Jobs, so those in other namespaces are ignored: the garbage
    collector looks for the owner in the namespace of the object.

    Args:
        cache: Jobs and pods are declared in it with the index ``owner``.
        owner_uid: of the owning object.
        namespace: where its Jobs run.
        known: a pod list among its reads replaces the pods of the cache.
        log_of: the log that was read of the pod with a UID; None if it was not read. The observation has that of the
            newest pod.
    """
    return tuple(
        _observed(cache, job, known, log_of)
        for job in cache.by_index(JOBS, "owner", owner_uid)
        if job.meta.namespace == namespace
    )


def job_of_pod(cache: Cache, pod: Object[Pod]) -> Object[Job] | None:
    """The Job that controls a pod, if it is cached."""
    owner = pod.meta.controller
    if owner is None or owner.kind != JOBS.kind:
        return None
    job = cache.get(JOBS, owner.name, pod.meta.namespace)
    return job if job is not None and job.meta.uid == owner.uid else None


def _observed(
    cache: Cache, job: Object[Job], known: Known, log_of: Callable[[str], PodLog | None]
) -> ObservedJob:
    listed = known.reads.get(list_pods(job))
    found = listed.objects if listed is not None else cache.by_index(PODS, "owner", job.meta.uid)
    pods = tuple(pod for pod in found if _controls(job, pod))
    observed = ObservedJob(job, pods, pods_read=listed is not None)
    # Several logs may have been read if pods appeared meanwhile. The newest pod is the one that counts.
    logs = (log_of(pod.meta.uid) for pod in observed.newest_first())
    return replace(observed, log=next((item for item in logs if item is not None), None))


def _controls(job: Object[Job], pod: Object[Pod]) -> bool:
    owner = pod.meta.controller
    return owner is not None and owner.uid == job.meta.uid and pod.meta.namespace == job.meta.namespace
