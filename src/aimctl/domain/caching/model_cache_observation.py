"""Everything a decision about one model cache looks at, gathered by the caller and frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

from aimctl.domain.conditions import rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from aimctl.api.v1alpha1 import AIMModelCache, RuntimeConfigSpec
    from aimctl.domain.caching.download_job import CacheIdentity
    from aimctl.domain.jobs.observed import ObservedJob
    from aimctl.domain.resolution import Missing, Resolved
    from aimctl.kubetypes import Object, Pod

__all__ = ["NOISE_BYTES", "ModelCacheObservation", "ObservedVolume", "StorageClasses"]

NOISE_BYTES = 1024**2
"""Lock files and the like, which an attempt leaves on the volume though nothing of the source has arrived."""


@final
@dataclass(frozen=True, slots=True)
class ObservedVolume:
    """The PersistentVolumeClaim of the cache's name.

    Attributes:
        owner: whose it is: this cache's, a former one's of the same name, or somebody else's.
        phase: Pending, Bound or Lost; "" before anybody said.
        storage_class: the one it asks for; None when it leaves that to the cluster.
        requested: the size it asks for, as a quantity.
        created: when, aware.
    """

    uid: str
    owner: Literal["own", "former", "other"]
    deleting: bool
    phase: str
    storage_class: str | None
    requested: str
    created: datetime


@final
@dataclass(frozen=True, slots=True)
class StorageClasses:
    """What storage the cluster offers: the names of its classes, and which of them are the default."""

    names: frozenset[str]
    default: str = ""


@final
@dataclass(frozen=True, slots=True)
class ModelCacheObservation:
    """What is known about one model cache.

    Attributes:
        cache: its metadata.
        resource_version: of what was decided about.
        created: when, aware.
        view: its spec and status.
        runtime_config: from :func:`~aimctl.domain.resolution.resolve_runtime_config`.
        classes: the cluster's storage classes.
        volume: its volume claim, or one that has its name.
        jobs: the download Jobs it owns, old and new.
        strangers: pods that run with the volume mounted and belong to no unfinished Job: theirs is over or deleted.
        in_use: whether a template cache lists it.
        measured: bytes on the volume, as a log last said; None when none has been read.
        secret_versions: stands for the versions of the Secrets that the download is given; None when nobody read them.
        volume_refused: why the server did not take the claim: a reason and a message.
        job_refused: why the server did not take the Job.
        now: the time, aware.
    """

    cache: CacheIdentity
    resource_version: str
    created: datetime
    view: AIMModelCache
    runtime_config: Resolved[RuntimeConfigSpec] | Missing
    classes: StorageClasses
    now: datetime
    volume: ObservedVolume | None = None
    jobs: tuple[ObservedJob, ...] = ()
    strangers: tuple[Object[Pod], ...] = ()
    in_use: bool = True
    measured: int | None = None
    secret_versions: str | None = None
    volume_refused: tuple[str, str] | None = None
    job_refused: str = ""

    @property
    def arrived(self) -> int | None:
        """Bytes on the volume beyond those that status tells of; None when no log tells."""
        told = self.view.status.progress
        if self.measured is None:
            return None
        return self.measured - (told.downloaded_bytes if told is not None else 0)

    def nothing_new(self, *, after_failure: bool) -> bool:
        """Whether a log tells that the volume holds what status says; after a failure, noise aside."""
        return self.arrived is not None and 0 <= self.arrived <= (NOISE_BYTES if after_failure else 0)

    @property
    def timestamp(self) -> str:
        """``now`` as the API writes times."""
        return rfc3339(self.now)
