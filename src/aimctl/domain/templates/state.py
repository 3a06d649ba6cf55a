"""The state of a template, from what is known about its references, GPUs, discovery and cache.

The first rule that applies:

    ============  ====================================================================
    Pending       model or runtime config missing (Degraded if there is a result)
    NotAvailable  no node offers the GPUs
    Failed        discovery of this input failed (Degraded if there is an older result)
    Pending       no result: discovery waits for a slot, or its Job has not started
    Progressing   no result: the Job is running; or the cache is being filled
    Degraded      the cache could not be filled
    Ready         there is a result, and the cache is filled if that was requested
    ============  ====================================================================

While a changed input is being discovered, the old result determines the state, and ``Progressing`` is True.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.api.v1alpha1 import TemplateState
from aimctl.domain.conditions import RollUp
from aimctl.domain.resolution import Missing
from aimctl.domain.templates.discovery_report import (
    AWAITING_DISCOVERY,
    DISCOVERY_FAILED,
    DISCOVERY_RUNNING,
    PROFILES_DISCOVERED,
    SOURCES_GIVEN,
)
from aimctl.domain.templates.template import source_count, wants_caching
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from aimctl.domain.templates.discovery_report import DiscoveryReport
    from aimctl.domain.templates.observation import TemplateObservation

__all__ = ["CACHE_WARM", "WARMING", "WARM_FAILED", "WARM_REQUESTED", "roll_up"]

CACHE_WARM = "CacheWarm"
"""Condition that caching owns, with the reasons WarmRequested, Warming, Warm and WarmFailed."""

WARM_REQUESTED, WARMING, WARM_FAILED = "WarmRequested", "Warming", "WarmFailed"


def roll_up(  # noqa: PLR0911 - one for each rule
    seen: TemplateObservation, report: DiscoveryReport
) -> RollUp[TemplateState]:
    """The state of a template with this report of its discovery."""
    input_, once = seen.discovery_input(), bool(report.sources)
    if isinstance(input_, Missing):
        state = TemplateState.DEGRADED if once else TemplateState.PENDING
        return RollUp(state, input_.reason, input_.message)
    missing = seen.missing_gpu()
    if missing is not None:
        return RollUp(TemplateState.NOT_AVAILABLE, missing.reason, missing.message)
    if report.condition.true:
        return _with_sources(seen, report)
    if report.condition.reason == DISCOVERY_FAILED:
        state = TemplateState.DEGRADED if once else TemplateState.FAILED
        return RollUp(state, DISCOVERY_FAILED, report.condition.message)
    failure = None if report.records is None else report.records.failure
    if once and failure is not None:
        return RollUp(TemplateState.DEGRADED, DISCOVERY_FAILED, failure.message)
    if report.condition.reason == DISCOVERY_RUNNING:
        return RollUp(TemplateState.PROGRESSING, DISCOVERY_RUNNING, report.condition.message)
    return RollUp(TemplateState.PENDING, AWAITING_DISCOVERY, report.condition.message)


def _with_sources(seen: TemplateObservation, report: DiscoveryReport) -> RollUp[TemplateState]:
    """The state of a template whose sources are known; it depends on the cache if caching is enabled.

    The condition CacheWarm is written by another reconciler. Until that has seen changed sources, the condition is
    about the former ones.
    """
    count = len(report.sources)
    if not wants_caching(seen.template):
        if seen.view.spec.model_sources:
            return RollUp(TemplateState.READY, SOURCES_GIVEN, report.condition.message)
        return RollUp(TemplateState.READY, PROFILES_DISCOVERED, f"{source_count(count)} known")
    warm = find_condition(seen.view.status.conditions, CACHE_WARM)
    if warm is None:
        message = "caching is enabled and has not started"
        return RollUp(TemplateState.PROGRESSING, WARM_REQUESTED, message)
    if warm.status == "True" and not {item.source for item in report.sources} <= seen.cached:
        return RollUp(TemplateState.PROGRESSING, WARM_REQUESTED, "the model sources are not in the cache yet")
    if warm.status == "True":
        return RollUp(TemplateState.READY, warm.reason or "Warm", warm.message)
    state = TemplateState.DEGRADED if warm.reason == WARM_FAILED else TemplateState.PROGRESSING
    # The progress changes often. It is in one condition only, so that a change of it is one write.
    message = (
        "the cache is being filled; the condition CacheWarm has the progress"
        if warm.reason == WARMING
        else warm.message
    )
    return RollUp(state, warm.reason or WARM_REQUESTED, message)
