"""What should be done about one model cache: its status, from volume and download, and whether it should be there.

Contract:
    * :func:`decide_model_cache` is pure and total: every observation has a decision.
    * A cache that the operator made, that no template cache lists and that is not complete goes. A complete one stays,
      also while its claim cannot be seen or has lost its volume; and so does one that somebody made by hand.
    * ``percent`` is 100 exactly when the cache is Available.

How to carry a decision out, in this order:
    1. ``read_pods``, ``read_log``: read them, put them on the observed Job, decide again. ``read_secrets``: read their
       versions, decide again.
    2. Apply ``status`` if it changes anything. Nothing below may be done before: how a Job ended must be kept before
       it goes, and a volume that is gone must be said before another of its name is there.
    3. Record ``events``.
    4. Delete ``delete_jobs`` in the foreground, with UID and resourceVersion as preconditions.
    5. Create ``create_volume`` and ``create_job``, or delete the cache when ``delete_cache`` says so.
    6. ``look_again_after``: decide again after so many seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import CacheState
from aimctl.domain import conditions
from aimctl.domain.caching.download_decision import (
    DOWNLOAD_REFUSED,
    DOWNLOAD_STALLED,
    NO_POD,
    UNSCHEDULABLE,
    decide_download,
)
from aimctl.domain.caching.model_cache_volume import (
    CLASS_NOT_FOUND,
    NO_DEFAULT_CLASS,
    NOT_PROVISIONED,
    VOLUME_MISSING,
    VOLUME_REFUSED,
    decide_volume,
)
from aimctl.domain.events import EventWish
from aimctl.domain.resolution import Resolved
from aimctl.domain.status_slice import StatusSlice
from aimctl.kubetypes.quantity import size_in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.domain.caching.download_decision import Download
    from aimctl.domain.caching.model_cache_observation import ModelCacheObservation
    from aimctl.domain.caching.model_cache_volume import VolumeDecision
    from aimctl.domain.templates.discovery_decision import JobDeletion, LogRequest, PodsRequest

__all__ = ["UNUSED_GRACE", "ModelCacheDecision", "decide_model_cache"]

STORAGE_READY, READY, PROGRESSING, FAILURE = "StorageReady", "Ready", "Progressing", "Failure"
OWNED_CONDITIONS = frozenset({STORAGE_READY, READY, PROGRESSING, FAILURE})
OWNED_FIELDS = frozenset(
    {
        "status",
        "observedGeneration",
        "resolvedRuntimeConfig",
        "persistentVolumeClaim",
        "failedDownloads",
        "nextDownloadAt",
        "lastFailure",
        "completed",
        "progress",
    }
)

UNUSED_GRACE = timedelta(seconds=10)
"""A cache that was just made is not yet unused: who lists it may be heard of a moment later."""

_WARNINGS = frozenset(
    {
        CLASS_NOT_FOUND,
        NO_DEFAULT_CLASS,
        NOT_PROVISIONED,
        VOLUME_MISSING,
        VOLUME_REFUSED,
        DOWNLOAD_REFUSED,
        DOWNLOAD_STALLED,
        NO_POD,
        UNSCHEDULABLE,
        "RuntimeConfigNotFound",
    }
)
"""Reasons that are worth an Event without being a failure."""

_MAX_EVENT = 1024


@final
@dataclass(frozen=True, slots=True)
class ModelCacheDecision:
    """What should be true; see the module for how to make it so.

    ``status`` is None when nothing may be said: the cache is or should be on its way out, or something is to be read
    first.
    """

    status: StatusSlice | None
    create_volume: dict[str, Any] | None = None
    create_job: dict[str, Any] | None = None
    delete_jobs: tuple[JobDeletion, ...] = ()
    delete_cache: bool = False
    read_pods: PodsRequest | None = None
    read_log: LogRequest | None = None
    read_secrets: tuple[str, ...] = ()
    events: tuple[EventWish, ...] = ()
    look_again_after: float | None = None


def decide_model_cache(seen: ModelCacheObservation) -> ModelCacheDecision:
    """Decide about one model cache."""
    if seen.cache.deleting:
        return ModelCacheDecision(None)
    volume = decide_volume(seen)
    download = decide_download(seen, volume)
    if download.read_pods is not None or download.read_log is not None or download.read_secrets:
        return ModelCacheDecision(
            None,
            read_pods=download.read_pods,
            read_log=download.read_log,
            read_secrets=download.read_secrets,
        )
    again = [volume.look_again_after, download.look_again_after]
    if seen.cache.managed and not seen.in_use and not _holds(seen, download):
        left = (UNUSED_GRACE - (seen.now - seen.created)).total_seconds()
        if left <= 0:
            text = "no template cache uses it any more, and it is not complete"
            return ModelCacheDecision(None, delete_cache=True, events=(EventWish("Normal", "Unused", text),))
        again.append(left)
    return ModelCacheDecision(
        _status(seen, volume, download),
        create_volume=volume.create,
        create_job=download.create_job,
        delete_jobs=download.delete_jobs,
        events=tuple(_events(seen, download)),
        look_again_after=min((item for item in again if item is not None), default=None),
    )


def _holds(seen: ModelCacheObservation, download: Download) -> bool:
    """Whether the source is on the volume, or may be: a claim that lost a label is not seen, and the cache's end would
    be the claim's. One that is really gone is made anew, and then there is nothing to keep.
    """
    if download.state is CacheState.AVAILABLE:
        return True
    completed, volume = seen.view.status.completed, seen.volume
    return completed is not None and (
        volume is None or (volume.uid == completed.volume_uid and not volume.deleting)
    )


def _status(seen: ModelCacheObservation, volume: VolumeDecision, download: Download) -> StatusSlice:
    fields: dict[str, Any] = {
        "status": str(download.state),
        "observedGeneration": seen.cache.generation,
        **download.record,
    }
    config = seen.runtime_config
    if isinstance(config, Resolved) and config.reference is not None:
        fields["resolvedRuntimeConfig"] = config.reference.to_json()
    if seen.volume is not None and seen.volume.owner == "own":
        fields["persistentVolumeClaim"] = seen.cache.name
    progress = _progress(seen, volume, download)
    if progress is not None:
        fields["progress"] = progress
    return StatusSlice(fields, _conditions(seen, volume, download), OWNED_FIELDS, OWNED_CONDITIONS)


def _progress(
    seen: ModelCacheObservation, volume: VolumeDecision, download: Download
) -> dict[str, Any] | None:
    """How much is on the volume: as last read, else as it was; None while there is no volume to be on."""
    if volume.usable is None:
        return None
    available, before = download.state is CacheState.AVAILABLE, seen.view.status.progress
    done = before is not None and before.percent == 100
    if done and not available:
        before, done = None, False  # that was of a volume that is gone
    total = _total(seen)
    amount = before.downloaded_bytes if before is not None else 0
    # A failed cache keeps its count until more than noise has come: what trickles in adds up to something then.
    quiet = before is not None and seen.nothing_new(after_failure=download.state is CacheState.FAILED)
    if seen.measured is not None and not done and not quiet:
        amount = seen.measured
    if available and not done:
        amount = max(amount, total)
    percent = 100 if available else min(99, amount * 100 // total) if total else 0
    value = {"downloadedBytes": amount, "totalBytes": total, "percent": percent}
    same = before is not None and value.items() <= before.to_json().items()
    return {**value, "updatedAt": before.updated_at if before is not None and same else seen.timestamp}


def _total(seen: ModelCacheObservation) -> int:
    """The expected size in bytes; 0 for one that nobody knows."""
    try:
        return size_in_bytes(seen.view.spec.size)
    except ValueError:
        return 0


def _conditions(
    seen: ModelCacheObservation, volume: VolumeDecision, download: Download
) -> tuple[dict[str, Any], ...]:
    def build(type_: str, reason: str, message: str, *, true: bool) -> dict[str, Any]:
        return conditions.condition(
            seen.view.status.conditions,
            type_,
            "True" if true else "False",
            reason,
            message,
            generation=seen.cache.generation,
            now=seen.timestamp,
        )

    failed = download.state is CacheState.FAILED
    failure = (download.reason, download.message) if failed else ("NoFailure", "nothing has failed")
    said = (download.reason, download.message)
    return (
        build(STORAGE_READY, volume.reason, volume.message, true=volume.ready),
        build(READY, *said, true=download.state is CacheState.AVAILABLE),
        build(PROGRESSING, *said, true=download.state is CacheState.PROGRESSING),
        build(FAILURE, *failure, true=failed),
    )


def _events(seen: ModelCacheObservation, download: Download) -> Iterator[EventWish]:
    before = seen.view.status
    ready = conditions.find(before.conditions, READY)
    warning = download.state is CacheState.FAILED or download.reason in _WARNINGS
    more = download.record.get("failedDownloads", 0) > before.failed_downloads
    news = warning and (more or ready is None or ready.reason != download.reason)
    if before.status != download.state or news:
        text = conditions.clip(download.message, _MAX_EVENT)
        yield EventWish("Warning" if warning else "Normal", download.reason, text)
