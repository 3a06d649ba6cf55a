"""What the status of a template reports about discovery.

Contract: the functions are pure. A result stays in the report until a new one replaces it as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import DiscoveryFailure, DiscoveryStatus, StatusModelSource
from aimctl.domain.conditions import Finding, abridge
from aimctl.domain.templates.template import source_count
from aimctl.kubetypes.quantity import size_in_bytes

if TYPE_CHECKING:
    from aimctl.domain.templates.discovery_job import DiscoveryInput
    from aimctl.domain.templates.observation import TemplateObservation

__all__ = [
    "AWAITING_DISCOVERY",
    "DISCOVERED",
    "DISCOVERY_FAILED",
    "DISCOVERY_RUNNING",
    "PROFILES_DISCOVERED",
    "SOURCES_GIVEN",
    "DiscoveryReport",
    "failed_report",
    "failure_of",
    "known_sources",
    "last_report",
    "static_report",
    "unknown_report",
]

DISCOVERED = "Discovered"
"""Type of the condition."""

PROFILES_DISCOVERED = "ProfilesDiscovered"
"""Also for sources that are given: programs wait for this reason of ``Discovered``, and ``Ready`` has a reason of its
own then."""
SOURCES_GIVEN = "SourcesGiven"
"""Reason of ``Ready`` if nothing was discovered, because the spec has the sources."""
AWAITING_DISCOVERY = "AwaitingDiscovery"
DISCOVERY_FAILED = "DiscoveryFailed"
DISCOVERY_RUNNING = "DiscoveryRunning"
"""Reasons of ``Discovered``. The last one distinguishes a running Job from a waiting one."""


@final
@dataclass(frozen=True, slots=True)
class DiscoveryReport:
    """What the status reports about discovery.

    Attributes:
        condition: ``Discovered``, with one of the reasons above or that of an unresolved reference.
        sources: ``status.modelSources``.
        profile: ``status.profile``.
        records: ``status.discovery``.
        rediscovering: whether ``sources`` are those of an earlier input, and the current one is being discovered.
    """

    condition: Finding
    sources: tuple[StatusModelSource, ...] = ()
    profile: dict[str, Any] | None = None
    records: DiscoveryStatus | None = None
    rediscovering: bool = False

    def blocked(self, cause: str) -> DiscoveryReport:
        """The report with a cause that prevents the creation of a Job."""
        records = self.records or DiscoveryStatus()
        return replace(self, records=records.model_copy(update={"blocked": abridge(cause)}))

    def fields(self) -> dict[str, Any]:
        """The fields of the status as JSON, without the condition."""
        fields: dict[str, Any] = {}
        if self.sources:
            fields["modelSources"] = [item.to_json() for item in self.sources]
        if self.profile is not None:
            fields["profile"] = self.profile
        if self.records is not None:
            fields["discovery"] = self.records.to_json()
        return fields


def last_report(seen: TemplateObservation) -> DiscoveryReport:
    """The last result as it is in the status; without sources if there is none."""
    status = seen.view.status
    found = Finding(True, PROFILES_DISCOVERED, known_sources(len(status.model_sources)))
    records = status.discovery
    if records is not None and records.blocked:  # it is decided again each time
        records = records.model_copy(update={"blocked": None})
        records = None if records == DiscoveryStatus() else records
    return DiscoveryReport(found, status.model_sources, status.profile, records)


def failure_of(seen: TemplateObservation, input_: DiscoveryInput) -> DiscoveryFailure | None:
    """The last failure of this input, if there is one."""
    records = seen.view.status.discovery
    failure = None if records is None else records.failure
    return failure if failure is not None and failure.input_hash == input_.hash else None


def failed_report(seen: TemplateObservation, failure: DiscoveryFailure, message: str = "") -> DiscoveryReport:
    """The report of a failure, also while it is tried again."""
    return replace(last_report(seen), condition=Finding(False, DISCOVERY_FAILED, message or failure.message))


def static_report(seen: TemplateObservation) -> DiscoveryReport:
    """The sources of ``spec.modelSources``."""
    sources = []
    for item in seen.view.spec.model_sources:
        try:
            size = size_in_bytes(item.size)
        except ValueError as error:
            message = f"spec.modelSources[{item.name}].size: {error}"
            return replace(last_report(seen), condition=Finding(False, DISCOVERY_FAILED, message))
        sources.append(StatusModelSource(name=item.name, source=item.source_uri, size_bytes=size))
    message = f"{source_count(len(sources))} given in spec.modelSources"
    return DiscoveryReport(Finding(True, PROFILES_DISCOVERED, message), tuple(sources))


def unknown_report(
    seen: TemplateObservation, input_: DiscoveryInput, reason: str, message: str
) -> DiscoveryReport:
    """The input has no result yet. An earlier result stays valid, unless the last discovery failed.

    A failure that is tried again stays reported, so that attempts that fail in the same way change nothing.
    """
    failure = failure_of(seen, input_)
    if failure is not None:
        return failed_report(seen, failure)
    last = last_report(seen)
    rediscovering = bool(last.sources) and seen.missing_gpu() is None
    if last.sources and (last.records is None or last.records.failure is None):
        text = f"{last.condition.message}; for the changed input: {message}"
        found = last.condition._replace(message=text)
        return replace(last, condition=found, rediscovering=rediscovering)
    return replace(last, condition=Finding(False, reason, message), rediscovering=rediscovering)


def known_sources(sources: int) -> str:
    """The message of a result with so many sources."""
    return f"{source_count(sources)} discovered"
