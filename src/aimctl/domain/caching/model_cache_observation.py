"""What the decision about one model cache looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

from aimctl.api.kinds import MODEL_CACHES
from aimctl.domain.labels import propagated
from aimctl.domain.plan import Known
from aimctl.domain.resolution import Missing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aimctl.api.v1alpha1 import AIMModelCache, ModelCacheStatus, RuntimeConfigSpec
    from aimctl.domain.jobs.observed import ObservedJob
    from aimctl.domain.resolution import Resolved
    from aimctl.kubetypes import Object, PersistentVolumeClaim, Pod

__all__ = ["NOISE_BYTES", "ModelCacheObservation", "StorageClasses", "owner_of", "requested_size"]

NOISE_BYTES = 1024**2
"""Lock files and the like that an attempt leaves on the volume although it has downloaded nothing of the source."""


@final
@dataclass(frozen=True, slots=True)
class StorageClasses:
    """The names of the cluster's storage classes, and the default one; empty if there is none."""

    names: frozenset[str]
    default: str = ""


@final
@dataclass(frozen=True, slots=True)
class ModelCacheObservation:
    """What is known about one model cache.

    Attributes:
        cache: the model cache.
        runtime_config: of the model cache.
        classes: the cluster's storage classes.
        now: the time, aware.
        volume: the volume claim that has the name of the cache.
        jobs: the download Jobs that the cache owns, of this and earlier attempts.
        other_pods: pods that mount the volume, have not ended, and belong to no unfinished Job of the cache.
        in_use: whether a template cache lists the model cache.
        downloaded_bytes: on the volume, as the log of the running download says; None if no log has been read.
        known: rejections of the claim and the Jobs; reads of Secrets.
    """

    cache: Object[AIMModelCache]
    runtime_config: Resolved[RuntimeConfigSpec] | Missing
    classes: StorageClasses
    now: datetime
    volume: Object[PersistentVolumeClaim] | None = None
    jobs: tuple[ObservedJob, ...] = ()
    other_pods: tuple[Object[Pod], ...] = ()
    in_use: bool = True
    downloaded_bytes: int | None = None
    known: Known = Known()  # noqa: RUF009 - immutable

    @property
    def name(self) -> str:
        """The name of the model cache, and of its volume claim."""
        return self.cache.meta.name

    @property
    def status(self) -> ModelCacheStatus:
        """The status so far."""
        return self.cache.view.status

    @property
    def propagated_labels(self) -> Mapping[str, str]:
        """The labels of the cache that the objects created for it get as well."""
        config = self.runtime_config
        return {} if isinstance(config, Missing) else propagated(self.cache.meta.labels, config.spec)

    @property
    def new_bytes(self) -> int | None:
        """Bytes on the volume beyond those that the status reports; None if no log has been read."""
        reported = self.status.progress
        if self.downloaded_bytes is None:
            return None
        return self.downloaded_bytes - (reported.downloaded_bytes if reported is not None else 0)

    def nothing_new(self, *, after_failure: bool) -> bool:
        """Whether a log says that the volume holds what the status reports; after a failure, except for noise."""
        return self.new_bytes is not None and 0 <= self.new_bytes <= (NOISE_BYTES if after_failure else 0)


def owner_of(obj: Object[Any], cache: Object[AIMModelCache]) -> Literal["own", "former", "other"]:
    """The controller of an object: the model cache, a former one of the same name, or another or none."""
    owner = obj.meta.controller
    if owner is None or owner.kind != MODEL_CACHES.kind or owner.name != cache.meta.name:
        return "other"
    return "own" if owner.uid == cache.meta.uid else "former"


def requested_size(claim: Object[PersistentVolumeClaim]) -> str:
    """The size that a claim requests, as a quantity; empty if it requests none."""
    return (claim.view.spec.resources.requests or {}).get("storage", "")
