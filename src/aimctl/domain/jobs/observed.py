"""A Job that a decision looks at: the Job, its pods, and the log of one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from aimctl.kubetypes import Job, Object, ObjectMeta, Pod

__all__ = ["ObservedJob", "PodLog"]


@final
@dataclass(frozen=True, slots=True)
class PodLog:
    """What reading a pod's log gave; ``data`` is None when pod or log are gone."""

    pod: str
    data: bytes | None


@final
@dataclass(frozen=True, slots=True)
class ObservedJob:
    """A Job that the object of the observation owns (by UID), and its pods.

    Attributes:
        job: the Job.
        pods: its pods, in no particular order.
        log: what reading the log that decides gave; None before it was read.
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
