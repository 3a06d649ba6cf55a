"""The plan for one model cache: its status, volume and download, and whether it should exist.

Contract:
    * :func:`decide_model_cache` is pure and total.
    * A cache that the operator created, that no template cache lists and that is not complete is deleted. A complete
      one is kept, also while its claim cannot be observed or has lost its volume; and so is one that a user created.
      Users and claim are read from the API server before.
    * ``percent`` is 100 exactly if the cache is Available. ``downloadedBytes`` is measured, and not the expected size.
    * Deciding again on the resulting status changes nothing and records no Event.

Order of the actions: reads that the decision needs; the volume claim; the status; deletions of Jobs, whose results must
be stored before; the Job. If the status has to report the loss of a volume, another claim of its name is created after
that.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aimctl.api import kinds
from aimctl.api.v1alpha1 import CacheState
from aimctl.domain.caching.download_decision import (
    DOWNLOAD_REFUSED,
    DOWNLOAD_STALLED,
    NO_POD,
    UNSCHEDULABLE,
    decide_download,
)
from aimctl.domain.caching.model_cache_observation import owner_of
from aimctl.domain.caching.model_cache_volume import (
    CLASS_NOT_FOUND,
    NO_DEFAULT_CLASS,
    NOT_PROVISIONED,
    VOLUME_MISSING,
    VOLUME_REFUSED,
    decide_volume,
)
from aimctl.domain.caching.template_cache import is_managed
from aimctl.domain.conditions import Finding, abridge, conditions_of, parse_rfc3339, rfc3339
from aimctl.domain.events import PlannedEvent
from aimctl.domain.plan import Confirm, Delete, List, Plan, Target, WriteStatus
from aimctl.domain.resolution import Resolved
from aimctl.domain.status_slice import StatusSlice
from aimctl.kubetypes import find_condition
from aimctl.kubetypes.builtin import PVCS
from aimctl.kubetypes.quantity import size_in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.domain.caching.download_decision import Download
    from aimctl.domain.caching.model_cache_observation import ModelCacheObservation
    from aimctl.domain.caching.model_cache_volume import VolumeDecision
    from aimctl.domain.plan import Action

__all__ = ["UNUSED_GRACE", "decide_model_cache"]

_STORAGE_READY = "StorageReady"
_OWNED_CONDITIONS = frozenset({_STORAGE_READY, "Ready", "Progressing", "Failure"})
_OWNED_FIELDS = frozenset(
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
"""A cache that was just created is not deleted yet: the status that lists it may not be observed yet."""

_WARNINGS = frozenset(
    {
        CLASS_NOT_FOUND,
        NO_DEFAULT_CLASS,
        NOT_PROVISIONED,
        VOLUME_MISSING,
        DOWNLOAD_STALLED,
        NO_POD,
        UNSCHEDULABLE,
        "RuntimeConfigNotFound",
    }
)
"""Reasons that cause a Warning Event although they are not failures."""

_REJECTIONS = frozenset({VOLUME_REFUSED, DOWNLOAD_REFUSED})
"""Reasons that cause no Event, because the executor records one for each rejection."""


def decide_model_cache(seen: ModelCacheObservation) -> Plan:
    """Decide about one model cache."""
    if seen.cache.meta.deleting:
        return Plan()
    volume = decide_volume(seen)
    download = decide_download(seen, volume)
    if download.reads:
        return Plan(download.reads)
    unused = _unused_for(seen, download)
    if unused is not None and unused <= 0:
        return Plan(tuple(_delete_unused(seen)))
    status = WriteStatus(_part(seen, volume, download), tuple(_events(seen, download)))
    claim: tuple[Action, ...] = () if volume.create is None else (volume.create,)
    job: tuple[Action, ...] = () if download.create is None else (download.create,)
    first, last = ((), claim) if volume.reason == VOLUME_MISSING else (claim, ())
    delays = (unused, volume.requeue_after, download.requeue_after)
    return Plan(
        (*first, status, *download.deletions, *last, *job),
        requeue_after=min((item for item in delays if item is not None), default=None),
    )


def _unused_for(seen: ModelCacheObservation, download: Download) -> float | None:
    """Seconds until a cache that is not used is deleted; None for one that is kept."""
    if not is_managed(seen.cache) or seen.in_use or _may_be_complete(seen, download):
        return None
    created = parse_rfc3339(seen.cache.meta.creation_timestamp) or seen.now
    return (UNUSED_GRACE - (seen.now - created)).total_seconds()


def _delete_unused(seen: ModelCacheObservation) -> Iterator[Action]:
    """Delete a cache, if the API server confirms that no template cache lists it, and that its claim is as observed.

    Users and claim are observed by watches of their own, which may lag by any time. A cache that becomes used while it
    is deleted is created again, so only an old state has to be excluded.
    """
    users = List(kinds.TEMPLATE_CACHES, seen.cache.meta.namespace)
    if users not in seen.known.reads:
        yield users
        return
    if seen.volume is not None:
        volume = seen.volume.meta
        yield Confirm(PVCS, volume.namespace, volume.name, volume.resource_version)
    text = "no template cache uses it, and it is not complete"
    yield Delete(Target.of(seen.cache), events=(PlannedEvent("Normal", "Unused", text),))


def _may_be_complete(seen: ModelCacheObservation, download: Download) -> bool:
    """Whether the source is on the volume, or may be.

    A claim that has lost a label is not observed, but would be deleted together with the cache. If a claim is really
    gone, another one is created, and then there is nothing to keep.
    """
    if download.state.state is CacheState.AVAILABLE:
        return True
    completed, volume = seen.status.completed, seen.volume
    return completed is not None and (
        volume is None or (volume.meta.uid == completed.volume_uid and not volume.meta.deleting)
    )


# ---- the status


def _part(seen: ModelCacheObservation, volume: VolumeDecision, download: Download) -> StatusSlice:
    meta, config, state = seen.cache.meta, seen.runtime_config, download.state.state
    fields: dict[str, Any] = {
        "status": str(state),
        "observedGeneration": meta.generation,
        **download.record,
    }
    if isinstance(config, Resolved) and config.reference is not None:
        fields["resolvedRuntimeConfig"] = config.reference.to_json()
    if seen.volume is not None and owner_of(seen.volume, seen.cache) == "own":
        fields["persistentVolumeClaim"] = seen.name
    if volume.usable is not None:
        fields["progress"] = _progress(seen, state, download.verified_bytes)
    findings = {
        _STORAGE_READY: Finding(volume.ready, volume.reason, volume.message),
        **download.state.findings(
            ready=state is CacheState.AVAILABLE,
            progressing=state is CacheState.PROGRESSING,
            failed=state is CacheState.FAILED,
        ),
    }
    built = conditions_of(findings, seen.status.conditions, generation=meta.generation, now=seen.now)
    return StatusSlice(fields, built, _OWNED_FIELDS, _OWNED_CONDITIONS)


def _progress(seen: ModelCacheObservation, state: CacheState, verified: int | None) -> dict[str, Any]:
    """How much is on the usable volume: what was verified, else as it was read last, else as the status says."""
    available, before = state is CacheState.AVAILABLE, seen.status.progress
    done = before is not None and before.percent == 100
    if done and not available:
        before, done = None, False  # this was about a volume that is gone
    total = _total(seen)
    amount = before.downloaded_bytes if before is not None else 0
    # After a failure the amount is kept until more than noise has arrived, so that small increments add up.
    unchanged = before is not None and seen.nothing_new(after_failure=state is CacheState.FAILED)
    if seen.downloaded_bytes is not None and not done and not unchanged:
        amount = seen.downloaded_bytes
    if available and verified is not None:
        amount = verified
    percent = 100 if available else min(99, amount * 100 // total) if total else 0
    value = {"downloadedBytes": amount, "totalBytes": total, "percent": percent}
    same = before is not None and value.items() <= before.to_json().items()
    return {**value, "updatedAt": before.updated_at if before is not None and same else rfc3339(seen.now)}


def _total(seen: ModelCacheObservation) -> int:
    """The expected size in bytes; 0 if it is unknown."""
    try:
        return size_in_bytes(seen.cache.view.spec.size)
    except ValueError:
        return 0


def _events(seen: ModelCacheObservation, download: Download) -> Iterator[PlannedEvent]:
    before, (state, reason, message) = seen.status, download.state
    ready = find_condition(before.conditions, "Ready")
    warning = state is CacheState.FAILED or reason in _WARNINGS
    more_failures = download.record.get("failedDownloads", 0) > before.failed_downloads
    new_warning = warning and (more_failures or ready is None or ready.reason != reason)
    if (before.status != state or new_warning) and reason not in _REJECTIONS:
        yield PlannedEvent("Warning" if warning else "Normal", reason, abridge(message))
