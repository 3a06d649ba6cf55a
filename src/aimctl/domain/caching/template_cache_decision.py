"""What the operator should do about one template cache: what its status says, and which model caches should exist.

Contract:
    * :func:`decide_template_cache` is pure and total, and never depends on the order of what it is given.
    * What is listed in ``status.models`` is in use: nobody deletes it. Which model caches that are, and which are to be
      made, says :mod:`aimctl.domain.caching.template_cache_plan`.
    * Deciding again on the status it asked for changes nothing and records no event.
    * Progress alone is written at most every :data:`PROGRESS_SECONDS`.

How to carry a decision out, in this order:
    1. Apply ``status`` where ``create`` names model caches that the status in force does not list: a model cache that
       nobody uses may be deleted.
    2. ``follow``, ``create`` and ``patch``; when something was refused, decide again with ``refused``.
    3. Apply ``status`` if it changes anything, and record ``events`` if it did.
    4. ``delete``: the template cache itself, with UID and resourceVersion as preconditions.
    5. ``look_again_after``: decide again after so many seconds.

The state, the first that applies:
    ===========  ==============================================================================
    Pending      the template is missing, has no sources yet, or a model cache has not begun
    Failed       a model cache failed, or cannot be made
    Available    every model cache is available
    Progressing  downloads are under way
    ===========  ==============================================================================
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import CacheState
from aimctl.domain import conditions
from aimctl.domain.caching.template_cache import wants_caching
from aimctl.domain.caching.template_cache_plan import creations, entries_of, own_changes, patches
from aimctl.domain.events import EventWish
from aimctl.domain.naming import describe
from aimctl.domain.resolution import Missing, Reference, Resolved
from aimctl.domain.status_slice import StatusSlice
from aimctl.domain.templates.decision import CACHE_WARM, WARM_FAILED, WARM_REQUESTED
from aimctl.kubetypes.quantity import size_in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.domain.caching.template_cache_observation import TemplateCacheObservation
    from aimctl.domain.caching.template_cache_plan import Entry, ModelCachePatch

__all__ = [
    "OWNED_CONDITIONS",
    "OWNED_FIELDS",
    "PROGRESS_SECONDS",
    "UNWISHED_SECONDS",
    "TemplateCacheDecision",
    "decide_template_cache",
]

OWNED_FIELDS = frozenset(
    {"status", "observedGeneration", "resolvedTemplate", "resolvedRuntimeConfig", "models", "progress"}
)
OWNED_CONDITIONS = frozenset({"Resolved", CACHE_WARM, "Ready", "Progressing", "Failure"})

PROGRESS_SECONDS = 10.0
"""Least time between two writes that tell of nothing but progress."""

UNWISHED_SECONDS = 30.0
"""Age below which a managed cache that nobody wishes is left alone: whoever made it may not have said why yet."""

_WARM, _WARMING = "Warm", "Warming"
_TEMPLATE_NOT_FOUND, _NOT_DISCOVERED = "TemplateNotFound", "TemplateNotDiscovered"


@final
@dataclass(frozen=True, slots=True)
class TemplateCacheDecision:
    """What should be true; see the module for how to make it so. ``status`` is None when nothing may be said.

    Attributes:
        follow: the fields of its own spec to set; null takes one away.
    """

    status: StatusSlice | None
    follow: dict[str, Any] | None = None
    create: tuple[dict[str, Any], ...] = ()
    patch: tuple[ModelCachePatch, ...] = ()
    delete: bool = False
    events: tuple[EventWish, ...] = ()
    look_again_after: float | None = None


@final
@dataclass(frozen=True, slots=True)
class _RollUp:
    state: CacheState
    reason: str
    message: str

    @property
    def warm_reason(self) -> str:
        """The reason of ``CacheWarm``: one of the document's four."""
        return {
            CacheState.AVAILABLE: _WARM,
            CacheState.FAILED: WARM_FAILED,
            CacheState.PROGRESSING: _WARMING,
            CacheState.PENDING: WARM_REQUESTED,
        }[self.state]


def decide_template_cache(seen: TemplateCacheObservation) -> TemplateCacheDecision:
    """Decide about one template cache."""
    if seen.cache.deleting:
        return TemplateCacheDecision(None)
    entries = entries_of(seen)
    progress, due = _progress(seen, entries)
    rolled = _roll_up(seen, entries, int(progress["percent"]))
    spare = None if rolled.state is CacheState.AVAILABLE else _unwished_for(seen)
    if spare is not None and spare <= 0:
        return TemplateCacheDecision(None, delete=True)
    fields: dict[str, Any] = {
        "status": str(rolled.state),
        "observedGeneration": seen.cache.generation,
    }
    if seen.template is not None:
        fields["resolvedTemplate"] = Reference.of(seen.template).to_json()
    if isinstance(seen.runtime_config, Resolved) and seen.runtime_config.reference is not None:
        fields["resolvedRuntimeConfig"] = seen.runtime_config.reference.to_json()
    if entries:
        fields["models"] = [item.to_json() for item in entries]
        fields["progress"] = progress
    waits = [seconds for seconds in (spare, due) if seconds is not None]
    return TemplateCacheDecision(
        StatusSlice(fields, _conditions(seen, rolled), OWNED_FIELDS, OWNED_CONDITIONS),
        follow=own_changes(seen) or None,
        create=tuple(creations(seen, entries)) if spare is None else (),
        patch=tuple(patches(seen, entries)),
        events=tuple(_events(seen, rolled)),
        look_again_after=min(waits) if waits else None,
    )


def _unwished_for(seen: TemplateCacheObservation) -> float | None:
    """Seconds for which a cache that nobody wishes is still kept; None for one that stays.

    One whose template is missing goes with it: that is the garbage collector's.
    """
    template = seen.template
    if template is None or not seen.owned or seen.wishes or wants_caching(template.view):
        return None
    return UNWISHED_SECONDS - (_seconds_since(seen.cache.created, seen.now) or 0.0)


def _roll_up(seen: TemplateCacheObservation, entries: list[Entry], percent: int) -> _RollUp:
    template = seen.template
    if template is None:
        return _RollUp(CacheState.PENDING, _TEMPLATE_NOT_FOUND, _not_found(seen))
    if not template.view.status.model_sources:
        discovered = conditions.find(template.view.status.conditions, "Discovered")
        says = f": {discovered.message}" if discovered is not None else ""
        return _RollUp(
            CacheState.PENDING, _NOT_DISCOVERED, f"{describe(template)} has no model sources yet{says}"
        )
    return _roll_up_entries(seen, entries, percent)


def _roll_up_entries(seen: TemplateCacheObservation, entries: list[Entry], percent: int) -> _RollUp:
    """The state of one whose template has sources."""
    missing = [item for item in entries if item.found is None and not item.trouble]
    if missing and isinstance(seen.runtime_config, Missing):
        return _RollUp(CacheState.PENDING, seen.runtime_config.reason, seen.runtime_config.message)
    each = {item.model_cache: item for item in entries}.values()
    failed = [item for item in each if item.state is CacheState.FAILED]
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return _RollUp(CacheState.FAILED, WARM_FAILED, _cause(failed[0]) + more)
    done = sum(item.state is CacheState.AVAILABLE for item in each)
    if done == len(each):
        return _RollUp(CacheState.AVAILABLE, _WARM, f"{_count(done)} cached")
    waits = next((text for text in map(_waits, each) if text), "")
    suffix = f"; {waits}" if waits else ""
    if done or any(item.state is CacheState.PROGRESSING for item in each):
        message = f"{done} of {_count(len(each))} cached, {percent} % downloaded{suffix}"
        return _RollUp(CacheState.PROGRESSING, _WARMING, message)
    return _RollUp(
        CacheState.PENDING, WARM_REQUESTED, f"no download of {_count(len(each))} has begun{suffix}"
    )


def _not_found(seen: TemplateCacheObservation) -> str:
    name, namespace = seen.view.spec.template_ref, seen.cache.namespace
    return (
        f"no AIMServiceTemplate {name!r} in namespace {namespace!r} and no AIMClusterServiceTemplate {name!r};"
        " create one of them or name another in spec.templateRef"
    )


def _cause(entry: Entry) -> str:
    if entry.trouble or entry.found is None:
        return entry.trouble
    ready = conditions.find(entry.found.view.status.conditions, "Ready")
    says = f": {ready.reason}: {ready.message}" if ready is not None else ""
    return f"AIMModelCache {entry.model_cache!r} ({entry.source}) failed{says}"


def _waits(entry: Entry) -> str:
    """What keeps a model cache from being filled, if it says so."""
    if entry.found is None:
        return ""
    if entry.found.deleting:
        return f"AIMModelCache {entry.model_cache!r} is being deleted; another one follows"
    status = entry.found.view.status
    ready = conditions.find(status.conditions, "Ready")
    stuck = entry.state is CacheState.PENDING or (
        entry.state is CacheState.PROGRESSING and status.failed_downloads
    )
    return f"AIMModelCache {entry.model_cache!r}: {ready.message}" if ready is not None and stuck else ""


def _progress(seen: TemplateCacheObservation, entries: list[Entry]) -> tuple[dict[str, Any], float | None]:
    """What to say of progress, and in how many seconds there is more to say."""
    total = downloaded = 0
    done = True
    for entry in {item.model_cache: item for item in entries}.values():
        expected, arrived = _arrived(entry)
        total, downloaded = total + expected, downloaded + arrived
        done = done and entry.state is CacheState.AVAILABLE
    percent = 100 if done else min(99, 100 * downloaded // total) if total else 0
    before = seen.view.status.progress
    fresh = {
        "downloadedBytes": downloaded,
        "totalBytes": total,
        "percent": percent,
        "updatedAt": seen.timestamp,
    }
    if before is None:
        return fresh, None
    told = (before.downloaded_bytes, before.total_bytes, before.percent)
    if told == (downloaded, total, percent):
        return before.to_json(), None
    age = _seconds_since(before.updated_at, seen.now)
    if done or age is None or age >= PROGRESS_SECONDS or before.percent == 100:
        return fresh, None
    return before.to_json(), PROGRESS_SECONDS - age


def _arrived(entry: Entry) -> tuple[int, int]:
    """The bytes that are expected in all, and those that are there."""
    expected = entry.size_bytes
    if entry.found is None:
        return expected, 0
    with contextlib.suppress(ValueError):  # the model cache's own status says so
        expected = size_in_bytes(entry.found.view.spec.size)
    progress = entry.found.view.status.progress
    if entry.state is CacheState.AVAILABLE:
        return expected, expected
    return expected, min(expected, progress.downloaded_bytes) if progress is not None else 0


def _conditions(seen: TemplateCacheObservation, rolled: _RollUp) -> tuple[dict[str, Any], ...]:
    def build(type_: str, *, true: bool, reason: str, message: str) -> dict[str, Any]:
        return conditions.condition(
            seen.view.status.conditions,
            type_,
            "True" if true else "False",
            reason,
            message,
            generation=seen.cache.generation,
            now=seen.timestamp,
        )

    if seen.template is None:
        resolved = build("Resolved", true=False, reason=_TEMPLATE_NOT_FOUND, message=_not_found(seen))
    elif isinstance(seen.runtime_config, Missing):
        config = seen.runtime_config
        resolved = build("Resolved", true=False, reason=config.reason, message=config.message)
    else:
        resolved = build(
            "Resolved", true=True, reason="Resolved", message=f"caches {describe(seen.template)}"
        )
    warm, failed = rolled.state is CacheState.AVAILABLE, rolled.state is CacheState.FAILED
    return (
        resolved,
        build(CACHE_WARM, true=warm, reason=rolled.warm_reason, message=rolled.message),
        build("Ready", true=warm, reason=rolled.reason, message=rolled.message),
        build(
            "Progressing",
            true=rolled.state is CacheState.PROGRESSING,
            reason=rolled.reason,
            message=rolled.message,
        ),
        build(
            "Failure",
            true=failed,
            reason=rolled.reason if failed else "NoFailure",
            message=rolled.message if failed else "nothing has failed",
        ),
    )


def _events(seen: TemplateCacheObservation, rolled: _RollUp) -> Iterable[EventWish]:
    if seen.view.status.status != rolled.state:
        yield EventWish(
            "Warning" if rolled.state is CacheState.FAILED else "Normal",
            str(rolled.state),
            conditions.clip(f"{rolled.reason}: {rolled.message}", 1024),
        )


def _count(sources: int) -> str:
    return "1 model source" if sources == 1 else f"{sources} model sources"


def _seconds_since(moment: str | None, now: datetime) -> float | None:
    """None when nobody knows, or when it lies in the future (another machine's clock)."""
    if not moment:
        return None
    try:
        seconds = (now - datetime.fromisoformat(moment)).total_seconds()
    except (ValueError, TypeError):
        return None
    return seconds if seconds >= 0 else None
