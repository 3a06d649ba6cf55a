"""A Job that a decision looks at: the Job, its pods, and the log of one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from aimctl.domain.plan import Delete, List, ReadLog, Target
from aimctl.kubetypes.builtin import PODS

if TYPE_CHECKING:
    from aimctl.domain.plan import Propagation
    from aimctl.kubetypes import Job, Object, ObjectMeta, Pod

__all__ = ["ObservedJob", "PodLog"]

JOB_NAME_LABEL = "job-name"
"""Label of a Job's pods. Every version of Kubernetes sets it; ``batch.kubernetes.io/job-name`` is newer."""


@final
@dataclass(frozen=True, slots=True)
class PodLog:
    """The result of reading a pod's log; ``data`` is None when the pod or its log is gone."""

    pod: str
    data: bytes | None


@final
@dataclass(frozen=True, slots=True)
class ObservedJob:
    """A Job that the object of the observation owns (by UID), and its pods.

    Attributes:
        job: the Job.
        pods: its pods, in no particular order.
        log: the log that was read of one of the pods; None before it was read.
        pods_read: whether ``pods`` were read from the server after the Job, and not from the cache.
    """

    job: Object[Job]
    pods: tuple[Object[Pod], ...] = ()
    log: PodLog | None = None
    pods_read: bool = False

    @property
    def meta(self) -> ObjectMeta:
        """The metadata of the Job."""
        return self.job.meta

    @property
    def name(self) -> str:
        """The name of the Job."""
        return self.job.meta.name

    @property
    def deleting(self) -> bool:
        """Whether the deletion of the Job was requested."""
        return self.job.meta.deleting

    @property
    def finished(self) -> bool:
        """Whether the Job is Complete or Failed."""
        return self.job.view.finished

    def newest_first(self) -> list[Object[Pod]]:
        """The pods by creation, the newest first; by name where that is equal."""
        return sorted(self.pods, key=lambda pod: (pod.meta.creation_timestamp, pod.meta.name), reverse=True)

    # ---- actions

    def list_pods(self) -> List:
        """Read the pods from the server."""
        return list_pods(self.job)

    def read_log(self, pod: Object[Pod], container: str) -> ReadLog:
        """Read the log of a container of one of the pods."""
        return ReadLog(pod.meta.namespace, pod.meta.name, pod.meta.uid, container)

    def delete(self, propagation: Propagation = "Background") -> Delete:
        """Delete the Job as it was observed: a later version may have a result."""
        return Delete(Target.of(self.job), propagation)


def list_pods(job: Object[Job]) -> List:
    """Read the pods of a Job from the server."""
    return List(PODS, job.meta.namespace, f"{JOB_NAME_LABEL}={job.meta.name}")
