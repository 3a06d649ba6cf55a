"""The plan for one template cache: its status, its model caches, and whether it should exist.

Contract:
    * :func:`decide_template_cache` is pure and total. It does not depend on the order of the observed objects.
    * A model cache is in use, and not deleted, while a template cache lists it in ``status.models``. Which model caches
      these are, and which have to be created, is decided in :mod:`aimctl.domain.caching.template_cache_sources`.
    * Deciding again on the resulting status changes nothing and records no Event.
    * Progress alone is written at most every :data:`PROGRESS_SECONDS`.
    * A cache that the operator created, that is not Available, and that neither its template nor a service asks for, is
      deleted, unless a new service has not reported yet which template it uses. What it has downloaded completely stays
      in the model caches.

Order of the actions: the update of its own spec, on which the model caches depend; the status, if it does not yet list
a model cache that is about to be created, because an unlisted one may be deleted at any time; model caches; the status.

The state, the first that applies:
    ===========  ==============================================================================
    Pending      the template is missing or has no sources yet, or no download has started
    Failed       a model cache failed, or cannot be created
    Available    every model cache is available
    Progressing  downloads are under way
    ===========  ==============================================================================
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from aimctl.api.v1alpha1 import CacheState
from aimctl.domain.caching.template_cache_sources import creations, entries_of, own_patch, patches
from aimctl.domain.caching.warming import WARM, WARM_REASONS, WARMING
from aimctl.domain.conditions import (
    MAX_MESSAGE,
    Finding,
    RollUp,
    abridge,
    clip,
    conditions_of,
    parse_rfc3339,
    refer_to_first,
    rfc3339,
)
from aimctl.domain.events import PlannedEvent, event_type
from aimctl.domain.naming import being_deleted, describe
from aimctl.domain.plan import Delete, Plan, Target, WriteStatus
from aimctl.domain.resolution import Missing, Reference, Resolved
from aimctl.domain.status_slice import StatusSlice
from aimctl.domain.templates.decision import CACHE_WARM, WARM_FAILED, WARM_REQUESTED
from aimctl.domain.templates.template import source_count, wants_caching
from aimctl.kubetypes import find_condition
from aimctl.kubetypes.quantity import MAX_BYTES, size_in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from aimctl.domain.caching.template_cache_observation import TemplateCacheObservation
    from aimctl.domain.caching.template_cache_sources import Entry
    from aimctl.domain.plan import Action

__all__ = ["PROGRESS_SECONDS", "UNWANTED_SECONDS", "decide_template_cache"]

_OWNED_FIELDS = frozenset(
    {"status", "observedGeneration", "resolvedTemplate", "resolvedRuntimeConfig", "models", "progress"}
)
_OWNED_CONDITIONS = frozenset({"Resolved", CACHE_WARM, "Ready", "Progressing", "Failure"})

PROGRESS_SECONDS = 10.0
"""Least time between two writes that report nothing but progress."""

UNWANTED_SECONDS = 30.0
"""Age before which an unwanted cache is kept: its service may not have reported yet that it uses the template."""

UNDECIDED_SECONDS = 5.0
"""Delay while a service that was created again may still report that it uses the template."""

_MAX_CAUSE = MAX_MESSAGE - 40
"""Characters of the failure of a model cache. It begins with the remedy, and more text precedes it in other objects."""

_TEMPLATE_NOT_FOUND, _NOT_DISCOVERED = "TemplateNotFound", "TemplateNotDiscovered"


def decide_template_cache(seen: TemplateCacheObservation) -> Plan:
    """Decide about one template cache."""
    if seen.cache.meta.deleting:
        return Plan()
    entries = entries_of(seen)
    progress, progress_due = _progress(seen, entries)
    rolled = _roll_up(seen, entries, int(progress["percent"]))
    spare = None if rolled.state is CacheState.AVAILABLE else _unwanted_for(seen)
    if spare is not None and spare <= 0:
        return Plan((Delete(Target.of(seen.cache)),))
    status = WriteStatus(_part(seen, entries, progress, rolled), tuple(_events(seen, rolled)))
    created = tuple(creations(seen, entries)) if spare is None else ()
    listed = {item.model_cache for item in seen.cache.view.status.models}
    unlisted = any(item.key.name not in listed for item in created)
    actions: tuple[Action, ...] = (
        *own_patch(seen),
        *((status,) if unlisted else ()),
        *created,
        *patches(seen, entries),
        status,
    )
    delays = [seconds for seconds in (spare, progress_due) if seconds is not None]
    return Plan(actions, requeue_after=min(delays, default=None))


def _unwanted_for(seen: TemplateCacheObservation) -> float | None:
    """Seconds until a cache that is not wanted is deleted; None for one that is kept.

    A cache whose template does not exist is left to the garbage collector.
    """
    template = seen.template
    if template is None or not seen.created_for_template or seen.services or wants_caching(template):
        return None
    left = UNWANTED_SECONDS - (_seconds_since(seen.cache.meta.creation_timestamp, seen.now) or 0.0)
    return max(left, UNDECIDED_SECONDS) if seen.undecided else left


# ---- the state


def _roll_up(seen: TemplateCacheObservation, entries: list[Entry], percent: int) -> RollUp[CacheState]:
    template = seen.template
    if template is None:
        return RollUp(CacheState.PENDING, _TEMPLATE_NOT_FOUND, _not_found(seen))
    if not template.view.status.model_sources:
        discovered = find_condition(template.view.status.conditions, "Discovered")
        cause = f": {discovered.message}" if discovered is not None else ""
        text = f"{describe(template)} has no model sources yet{cause}"
        return RollUp(CacheState.PENDING, _NOT_DISCOVERED, text)
    return _roll_up_entries(seen, entries, percent)


def _roll_up_entries(
    seen: TemplateCacheObservation, entries: list[Entry], percent: int
) -> RollUp[CacheState]:
    """The state of a cache whose template has sources."""
    missing = [item for item in entries if item.found is None and not item.problem]
    if missing and isinstance(seen.runtime_config, Missing):
        return RollUp(CacheState.PENDING, seen.runtime_config.reason, seen.runtime_config.message)
    each = {item.model_cache: item for item in entries}.values()
    failed = [item for item in each if item.state is CacheState.FAILED]
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return RollUp(CacheState.FAILED, WARM_FAILED, _cause(failed[0]) + more)
    done = sum(item.state is CacheState.AVAILABLE for item in each)
    if done == len(each):
        return RollUp(CacheState.AVAILABLE, WARM, f"{source_count(done)} cached")
    obstacle = next((text for text in map(_obstacle, each) if text), "")
    suffix = f"; {obstacle}" if obstacle else ""
    if done or any(item.state is CacheState.PROGRESSING for item in each):
        message = f"{done} of {source_count(len(each))} cached, {percent} % downloaded{suffix}"
        return RollUp(CacheState.PROGRESSING, WARMING, message)
    message = f"no download of {source_count(len(each))} has started{suffix}"
    return RollUp(CacheState.PENDING, WARM_REQUESTED, message)


def _not_found(seen: TemplateCacheObservation) -> str:
    name, namespace = seen.cache.view.spec.template_ref, seen.cache.meta.namespace
    return (
        f"no AIMServiceTemplate {name!r} in namespace {namespace!r} and no AIMClusterServiceTemplate of that name;"
        " create one, or name another in spec.templateRef"
    )


def _cause(entry: Entry) -> str:
    if entry.problem or entry.found is None:
        return entry.problem
    status = entry.found.view.status
    ready, last, source = find_condition(status.conditions, "Ready"), status.last_failure, entry.source
    if ready is None:
        return f"AIMModelCache {entry.model_cache!r} ({source}) failed"
    # Without the time of the next attempt, which changes with each.
    message = last.message if last is not None and last.reason == ready.reason else ready.message
    of = "" if source in message else f" ({source})"
    return clip(f"AIMModelCache {entry.model_cache!r}{of} failed: {ready.reason}: {message}", _MAX_CAUSE)


def _obstacle(entry: Entry) -> str:
    """What prevents a model cache from being filled, if its status reports it."""
    if entry.found is None:
        return ""
    if entry.found.meta.deleting:
        return f"AIMModelCache {entry.model_cache!r} {being_deleted(entry.found.meta)}; a new one will be created"
    status = entry.found.view.status
    ready = find_condition(status.conditions, "Ready")
    stuck = entry.state is CacheState.PENDING or (
        entry.state is CacheState.PROGRESSING and status.failed_downloads
    )
    return f"AIMModelCache {entry.model_cache!r}: {ready.message}" if ready is not None and stuck else ""


# ---- progress


def _progress(seen: TemplateCacheObservation, entries: list[Entry]) -> tuple[dict[str, Any], float | None]:
    """The progress to report, and the seconds until newer progress may be reported."""
    total = downloaded = 0
    done = True
    for entry in {item.model_cache: item for item in entries}.values():
        expected, arrived = _arrived(entry)
        total, downloaded = total + expected, downloaded + arrived
        done = done and entry.state is CacheState.AVAILABLE
    percent = 100 if done else min(99, 100 * downloaded // total) if total else 0
    # Sizes may be mistakes, and the API server rejects a sum that is not an int64 with the whole status.
    total, downloaded = min(total, MAX_BYTES), min(downloaded, MAX_BYTES)
    before = seen.cache.view.status.progress
    current = {
        "downloadedBytes": downloaded,
        "totalBytes": total,
        "percent": percent,
        "updatedAt": rfc3339(seen.now),
    }
    if before is None:
        return current, None
    if (before.downloaded_bytes, before.total_bytes, before.percent) == (downloaded, total, percent):
        return before.to_json(), None
    age = _seconds_since(before.updated_at, seen.now)
    if done or age is None or age >= PROGRESS_SECONDS or before.percent == 100:
        return current, None
    return before.to_json(), PROGRESS_SECONDS - age


def _arrived(entry: Entry) -> tuple[int, int]:
    """The expected bytes, and those that have been downloaded."""
    expected = entry.size_bytes
    if entry.found is None:
        return expected, 0
    with contextlib.suppress(ValueError):  # the status of the model cache reports it
        expected = size_in_bytes(entry.found.view.spec.size)
    progress = entry.found.view.status.progress
    if entry.state is CacheState.AVAILABLE:
        return expected, expected
    return expected, min(expected, progress.downloaded_bytes) if progress is not None else 0


# ---- the status


def _part(
    seen: TemplateCacheObservation, entries: list[Entry], progress: dict[str, Any], rolled: RollUp[CacheState]
) -> StatusSlice:
    cache, config = seen.cache, seen.runtime_config
    fields: dict[str, Any] = {"status": str(rolled.state), "observedGeneration": cache.meta.generation}
    if seen.template is not None:
        fields["resolvedTemplate"] = Reference.of(seen.template).to_json()
    if isinstance(config, Resolved) and config.reference is not None:
        fields["resolvedRuntimeConfig"] = config.reference.to_json()
    if entries:
        fields["models"] = [item.to_json() for item in entries]
        fields["progress"] = progress
    built = conditions_of(
        refer_to_first(_findings(seen, rolled), "Resolved", CACHE_WARM),
        cache.view.status.conditions,
        generation=cache.meta.generation,
        now=seen.now,
    )
    return StatusSlice(fields, built, _OWNED_FIELDS, _OWNED_CONDITIONS)


def _findings(seen: TemplateCacheObservation, rolled: RollUp[CacheState]) -> dict[str, Finding]:
    state = rolled.state
    if seen.template is None:
        resolved = Finding(False, _TEMPLATE_NOT_FOUND, _not_found(seen))
    elif isinstance(seen.runtime_config, Missing):
        resolved = Finding(False, seen.runtime_config.reason, seen.runtime_config.message)
    else:
        resolved = Finding(True, "Resolved", f"caches {describe(seen.template)}")
    return {
        "Resolved": resolved,
        CACHE_WARM: Finding(state is CacheState.AVAILABLE, WARM_REASONS[state], rolled.message),
        **rolled.findings(
            ready=state is CacheState.AVAILABLE,
            progressing=state is CacheState.PROGRESSING,
            failed=state is CacheState.FAILED,
        ),
    }


def _events(seen: TemplateCacheObservation, rolled: RollUp[CacheState]) -> Iterator[PlannedEvent]:
    if seen.cache.view.status.status != rolled.state:
        yield PlannedEvent(
            event_type(rolled.reason, failed=rolled.state is CacheState.FAILED),
            str(rolled.state),
            abridge(f"{rolled.reason}: {rolled.message}"),
        )


def _seconds_since(text: str | None, now: datetime) -> float | None:
    """None if the time is unknown, or in the future (the clock of another machine)."""
    moment = parse_rfc3339(text)
    seconds = (now - moment).total_seconds() if moment is not None else -1.0
    return seconds if seconds >= 0 else None
