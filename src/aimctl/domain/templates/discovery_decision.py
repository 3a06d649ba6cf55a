"""What is known about the discovery of one template, and what has to be done for it.

Contract:
    * :func:`discover` is pure and total.
    * Discovery runs once for each input: an input whose hash is in ``status.discovery``, as result or as failure, is
      not discovered again. A finished Job is read before anything else is done about its input.
    * The exception is a failure whose cause may be removed without a change of the input: a Secret that is missing, a
      registry or a hub that denies access or does not respond, a pod that is evicted. It is tried again after a pause,
      by a Job of another name, when all objects exist that the pod cannot start without. Until then the template stays
      Failed, with that message.
    * A result stays in the status until a new one replaces it as a whole. Meanwhile ``Discovered`` stays True, unless
      the last discovery failed.
    * A Job that gets no pod or is suspended is deleted after a short time, so that its slot is free. The cause, and the
      time from which the template waits for a slot again, are in ``status.discovery``. The template is then at the end
      of the queue. All pauses last :data:`FIRST_PAUSE`, then twice as long each time, up to :data:`MAX_PAUSE`.
    * Unfinished Jobs of other inputs are deleted, because they occupy slots. Finished Jobs are left to their TTL, so
      that people can read their logs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import (
    DiscoveryFailure,
    DiscoveryPause,
    DiscoveryRecord,
    DiscoveryStatus,
    StatusModelSource,
)
from aimctl.domain.conditions import Finding, abridge, parse_rfc3339, pause_left, rfc3339
from aimctl.domain.events import PlannedEvent
from aimctl.domain.jobs.inputs import POLL_SECONDS, absent, do_not_exist, pod_inputs, unread
from aimctl.domain.jobs.outcome import Cause, Failed, Running, Waiting
from aimctl.domain.plan import Create, Delete, Get, List, ReadLog
from aimctl.domain.resolution import Missing
from aimctl.domain.templates.discovery_job import DiscoveryInput, job_name, manifest
from aimctl.domain.templates.discovery_outcome import LogLost, Stuck, Succeeded, judge, may_pass
from aimctl.domain.templates.template import source_count
from aimctl.kubetypes.builtin import JOBS
from aimctl.kubetypes.helpers.backoff import exponential_delay
from aimctl.kubetypes.quantity import size_in_bytes

if TYPE_CHECKING:
    from aimctl.domain.jobs.observed import ObservedJob
    from aimctl.domain.templates.discovery_output import DiscoveryResult
    from aimctl.domain.templates.observation import TemplateObservation

__all__ = [
    "AWAITING_DISCOVERY",
    "DISCOVERED",
    "DISCOVERY_FAILED",
    "DISCOVERY_RUNNING",
    "PROFILES_DISCOVERED",
    "Discovery",
    "DiscoveryReport",
    "discover",
]

DISCOVERED = "Discovered"
"""Type of the condition."""

PROFILES_DISCOVERED = "ProfilesDiscovered"
AWAITING_DISCOVERY = "AwaitingDiscovery"
DISCOVERY_FAILED = "DiscoveryFailed"
DISCOVERY_RUNNING = "DiscoveryRunning"
"""Reasons of the condition. The last one distinguishes a running Job from a waiting one."""


FIRST_PAUSE, MAX_PAUSE = 15.0, 40.0
"""Seconds. With the run of a Job, discovery succeeds within a minute after the cause was removed."""


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


@final
@dataclass(frozen=True, slots=True)
class Discovery:
    """The state of a discovery.

    Attributes:
        report: for the status; None while ``read`` is needed to determine it.
        read: what has to be read first.
        lookups: reads that may change the decision. Without their results it assumes that the objects exist.
        create: the Job that should run as soon as there is a free slot.
        since: since when the template waits for a slot, RFC 3339; "" for its creation.
        deletions: of Jobs that occupy a slot without need, or whose output is lost.
        events: to be recorded with the report.
        requeue_after: seconds after which the state may be another one although no event arrives; None for never.
    """

    report: DiscoveryReport | None
    read: List | ReadLog | None = None
    lookups: tuple[Get, ...] = ()
    create: Create | None = None
    since: str = ""
    deletions: tuple[Delete, ...] = ()
    events: tuple[PlannedEvent, ...] = ()
    requeue_after: float | None = None


def discover(seen: TemplateObservation) -> Discovery:
    """The state of the discovery of a template that is not being deleted."""
    if seen.view.spec.model_sources:
        return Discovery(_static(seen), deletions=_unfinished(seen))
    input_ = seen.discovery_input()
    if isinstance(input_, Missing):
        return _blocked(seen, input_)
    records = seen.view.status.discovery or DiscoveryStatus()
    last = _last(seen)
    if last.sources and records.result is not None and records.result.input_hash == input_.hash:
        return Discovery(last, deletions=_unfinished(seen))
    failure = _failure(seen, input_)
    if failure is not None:
        left = pause_left(failure.retry_at, seen.now, MAX_PAUSE)
        if left is not None or parse_rfc3339(failure.retry_at) is None:
            return Discovery(_failed_report(seen, failure), deletions=_unfinished(seen), requeue_after=left)
    return _pursue(seen, input_)


def _last(seen: TemplateObservation) -> DiscoveryReport:
    """The last result as it is in the status; without sources if there is none."""
    status = seen.view.status
    found = Finding(True, PROFILES_DISCOVERED, _found(len(status.model_sources)))
    return DiscoveryReport(found, status.model_sources, status.profile, status.discovery)


def _failure(seen: TemplateObservation, input_: DiscoveryInput) -> DiscoveryFailure | None:
    """The last failure of this input, if there is one."""
    records = seen.view.status.discovery
    failure = None if records is None else records.failure
    return failure if failure is not None and failure.input_hash == input_.hash else None


def _failed_report(
    seen: TemplateObservation, failure: DiscoveryFailure, message: str = ""
) -> DiscoveryReport:
    """The report of a failure, also while it is tried again."""
    return replace(_last(seen), condition=Finding(False, DISCOVERY_FAILED, message or failure.message))


def _needed(input_: DiscoveryInput) -> tuple[Get, ...]:
    """Reads of the objects that the pod cannot start without."""
    return pod_inputs(input_.namespace, env=input_.env, service_account=input_.service_account)


def _static(seen: TemplateObservation) -> DiscoveryReport:
    sources = []
    for item in seen.view.spec.model_sources:
        try:
            size = size_in_bytes(item.size)
        except ValueError as error:
            message = f"spec.modelSources[{item.name}].size: {error}"
            return replace(_last(seen), condition=Finding(False, DISCOVERY_FAILED, message))
        sources.append(StatusModelSource(name=item.name, source=item.source_uri, size_bytes=size))
    message = f"{source_count(len(sources))} given in spec.modelSources"
    return DiscoveryReport(Finding(True, PROFILES_DISCOVERED, message), tuple(sources))


def _blocked(seen: TemplateObservation, missing: Missing) -> Discovery:
    """A reference cannot be resolved. Running Jobs are kept: their results are valid if the reference can be resolved
    again. Only those that cannot start are deleted.
    """
    report = replace(_last(seen), condition=Finding(False, missing.reason, missing.message))
    deletions, delays = [], []
    for job in seen.jobs:
        if job.finished or job.deleting:
            continue
        outcome = judge(job, now=seen.now)
        if isinstance(outcome, Failed | Stuck):
            deletions.append(job.delete())
        elif isinstance(outcome, Waiting) and outcome.requeue_after is not None:
            delays.append(outcome.requeue_after)
    return Discovery(report, deletions=tuple(deletions), requeue_after=min(delays, default=None))


def _pursue(seen: TemplateObservation, input_: DiscoveryInput) -> Discovery:
    """The input has not been discovered yet: follow its Job, or request one."""
    failure = _failure(seen, input_)
    attempt = 0 if failure is None else failure.attempts
    name = job_name(seen.template, input_.hash, attempt)
    job = next((item for item in seen.jobs if item.name == name), None)
    if job is not None and job.finished:
        return _follow(seen, input_, job)  # even without a GPU, because the result is there
    missing = seen.missing_gpu()
    if missing is not None:
        report = _unknown(seen, input_, AWAITING_DISCOVERY, missing.message)
        return Discovery(report, deletions=_unfinished(seen))
    if job is not None:
        return _follow(seen, input_, job)
    pause = _pause(seen, input_)
    left = None if pause is None else pause_left(pause.until, seen.now, MAX_PAUSE)
    if pause is not None and left is not None:
        return Discovery(
            _unknown(seen, input_, AWAITING_DISCOVERY, f"{pause.message}; it is tried again"),
            deletions=_unfinished(seen),
            requeue_after=left,
        )
    lookups = _needed(input_) if failure is not None or pause is not None else ()
    gone = absent(lookups, seen.known)
    if gone:
        text = f"{do_not_exist(gone)}; discovery follows"
        report = _unknown(seen, input_, AWAITING_DISCOVERY, text)
        if failure is not None:
            report = _failed_report(seen, failure, text)
        return Discovery(report, deletions=_unfinished(seen), requeue_after=POLL_SECONDS)
    rejection = seen.known.rejection(JOBS, input_.namespace, name)
    waits = "waits for one of the cluster's discovery slots"
    if rejection is not None:
        waits = f"the API server rejected the discovery Job: {rejection.message}"
    elif pause is not None:
        waits = f"{waits} again: {pause.message}"
    paused = [pause.until] if pause is not None else []
    paused += [failure.retry_at] if failure is not None else []
    return Discovery(
        _unknown(seen, input_, AWAITING_DISCOVERY, waits),
        lookups=unread(lookups, seen.known),
        create=Create(JOBS, manifest(seen.template, input_, attempt)),
        since=max(filter(None, paused), default=""),
        deletions=(*_unfinished(seen), *_earlier_attempts(seen, input_, attempt)),
    )


def _earlier_attempts(seen: TemplateObservation, input_: DiscoveryInput, attempt: int) -> tuple[Delete, ...]:
    """Delete the Jobs of failed attempts, except the last one, whose log people may want to read."""
    names = {
        job_name(seen.template, input_.hash, earlier) for earlier in range(max(0, attempt - 2), attempt - 1)
    }
    return tuple(job.delete() for job in seen.jobs if job.name in names and not job.deleting)


def _follow(  # noqa: PLR0911 - one for each outcome
    seen: TemplateObservation, input_: DiscoveryInput, job: ObservedJob
) -> Discovery:
    deletions = _unfinished(seen, keep=job.name)
    if job.deleting and not job.finished:
        text = f"discovery Job {job.name} is being deleted; another one follows"
        return Discovery(_unknown(seen, input_, AWAITING_DISCOVERY, text), deletions=deletions)
    match judge(job, now=seen.now, again=_failure(seen, input_) is not None):
        case Waiting(message=message, requeue_after=seconds):
            text = f"discovery Job {job.name} is waiting to run" + (f": {message}" if message else "")
            report = _unknown(seen, input_, AWAITING_DISCOVERY, text)
            return Discovery(report, deletions=deletions, requeue_after=seconds)
        case Running(message=message):
            text = f"discovery Job {job.name} is running" + (f": {message}" if message else "")
            return Discovery(_unknown(seen, input_, DISCOVERY_RUNNING, text), deletions=deletions)
        case Stuck(message=message):
            return _stuck(seen, input_, abridge(message))
        case LogLost(message=message):
            text = f"{message}; discovery runs again"
            report = _unknown(seen, input_, AWAITING_DISCOVERY, text)
            if job.deleting:
                return Discovery(report, deletions=deletions)
            lost = PlannedEvent("Warning", "DiscoveryOutputLost", text)
            return Discovery(report, deletions=(*deletions, job.delete()), events=(lost,))
        case Failed() as failed:
            return _failed(seen, input_, job, failed)
        case Succeeded(result=result):
            return _succeeded(seen, input_, job, result)
        case List() | ReadLog() as read:
            return Discovery(None, read=read)


def _pause(seen: TemplateObservation, input_: DiscoveryInput) -> DiscoveryPause | None:
    """The pause of the discovery of this input, also after its end."""
    records = seen.view.status.discovery
    pause = None if records is None else records.pause
    return pause if pause is not None and pause.input_hash == input_.hash else None


def _stuck(seen: TemplateObservation, input_: DiscoveryInput, message: str) -> Discovery:
    """Delete a Job that cannot run. The pause is written before that, so that it survives a restart."""
    lookups = _needed(input_)
    gone = absent(lookups, seen.known)
    if gone:
        message = do_not_exist(gone)
    before = _pause(seen, input_)
    attempts = 0 if before is None else before.attempts
    events: tuple[PlannedEvent, ...] = ()
    if before is None or pause_left(before.until, seen.now, MAX_PAUSE) is None:
        delay = timedelta(seconds=exponential_delay(attempts, FIRST_PAUSE, MAX_PAUSE))
        before = DiscoveryPause(
            input_hash=input_.hash, attempts=attempts + 1, until=rfc3339(seen.now + delay), message=message
        )
        events = (PlannedEvent("Warning", "DiscoveryPaused", message),)
    report = _unknown(seen, input_, AWAITING_DISCOVERY, f"{before.message}; it is tried again")
    records = (report.records or DiscoveryStatus()).model_copy(update={"pause": before})
    return Discovery(
        replace(report, records=records),
        lookups=unread(lookups, seen.known),
        deletions=_unfinished(seen),
        events=events,
    )


def _failed(seen: TemplateObservation, input_: DiscoveryInput, job: ObservedJob, failed: Failed) -> Discovery:
    last, before, message = _last(seen), _failure(seen, input_), failed.message
    lookups: tuple[Get, ...] = ()
    if failed.cause in (Cause.IMAGE, Cause.IMAGE_NAME, Cause.SETUP):
        lookups = (*pod_inputs(input_.namespace, pull_secrets=input_.pull_secrets), *_needed(input_))
    gone = absent(lookups, seen.known)
    if gone:
        missing = do_not_exist(gone)
        message = missing if failed.cause is Cause.SETUP else f"{missing}. {message}"
    message = abridge(message)
    attempts = 0 if before is None else before.attempts
    delay = exponential_delay(attempts, FIRST_PAUSE, MAX_PAUSE) if gone or may_pass(failed) else None
    retry_at = None if delay is None else rfc3339(seen.now + timedelta(seconds=delay))
    failure = DiscoveryFailure(
        **_record(seen, input_, job), message=message, attempts=attempts + 1, retry_at=retry_at
    )
    records = (last.records or DiscoveryStatus()).model_copy(update={"failure": failure, "pause": None})
    return Discovery(
        replace(last, condition=Finding(False, DISCOVERY_FAILED, message), records=records),
        lookups=unread(lookups, seen.known),
        deletions=_unfinished(seen),
        events=()
        if before is not None and before.message == message
        else (PlannedEvent("Warning", DISCOVERY_FAILED, message),),
        requeue_after=delay,
    )


def _succeeded(
    seen: TemplateObservation, input_: DiscoveryInput, job: ObservedJob, result: DiscoveryResult
) -> Discovery:
    message = _found(len(result.sources))
    records = DiscoveryStatus(result=DiscoveryRecord(**_record(seen, input_, job)))
    return Discovery(
        DiscoveryReport(Finding(True, PROFILES_DISCOVERED, message), result.sources, result.profile, records),
        deletions=_unfinished(seen),
        events=(PlannedEvent("Normal", PROFILES_DISCOVERED, message),),
    )


def _unknown(seen: TemplateObservation, input_: DiscoveryInput, reason: str, message: str) -> DiscoveryReport:
    """The input has no result yet. An earlier result stays valid, unless the last discovery failed.

    A failure that is tried again stays reported, so that attempts that fail in the same way change nothing.
    """
    failure = _failure(seen, input_)
    if failure is not None:
        return _failed_report(seen, failure)
    last = _last(seen)
    rediscovering = bool(last.sources) and seen.missing_gpu() is None
    if last.sources and (last.records is None or last.records.failure is None):
        text = f"{last.condition.message}; for the changed input: {message}"
        found = last.condition._replace(message=text)
        return replace(last, condition=found, rediscovering=rediscovering)
    return replace(last, condition=Finding(False, reason, message), rediscovering=rediscovering)


def _record(seen: TemplateObservation, input_: DiscoveryInput, job: ObservedJob) -> dict[str, str]:
    return {
        "input_hash": input_.hash,
        "image": input_.image,
        "job_name": job.name,
        "finished_at": seen.timestamp,
    }


def _unfinished(seen: TemplateObservation, *, keep: str = "") -> tuple[Delete, ...]:
    """Deletions of the Jobs that occupy a slot, except of the one named ``keep``."""
    return tuple(
        job.delete() for job in seen.jobs if job.name != keep and not job.finished and not job.deleting
    )


def _found(sources: int) -> str:
    return f"{source_count(sources)} discovered"
