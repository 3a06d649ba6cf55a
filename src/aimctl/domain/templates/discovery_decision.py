"""What is known about the discovery of one template, and what has to be done for it.

Contract:
    * :func:`discover` is pure and total.
    * Discovery runs once for each input: an input whose hash is in ``status.discovery``, as result or as failure, is
      not discovered again. A finished Job is read before anything else is done about its input, also one that had to
      be given up, and has completed before it was deleted.
    * The exception is a failure whose cause may be removed without a change of the input: a Secret that is missing, a
      registry or a hub that denies access or does not respond, a pod that is evicted. It is tried again after a pause,
      by a Job of another name, when all objects exist that the pod cannot start without. Until then the template stays
      Failed, with that message. The pauses are those of :mod:`aimctl.domain.jobs.retries`; after a Job that reached its
      deadline they last ten minutes or longer.
    * A result stays in the status until a new one replaces it as a whole. Meanwhile ``Discovered`` stays True, unless
      the last discovery failed.
    * A Job whose pod is rejected, or that is suspended, is deleted after a short time, so that its slot is free. If no
      pod was rejected, it is deleted later, because the Job controller may still create one. The cause, and the time
      from which the template waits for a slot again, are in ``status.discovery``. The template is then at the end of
      the queue. These pauses last 15 s, then twice as long each time, up to 40 s.
    * Unfinished Jobs of other inputs are deleted, because they occupy slots. Finished Jobs are left to their TTL, so
      that people can read their logs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, final

from aimctl.api.v1alpha1 import (
    DiscoveryFailure,
    DiscoveryPause,
    DiscoveryRecord,
    DiscoveryStatus,
)
from aimctl.domain.conditions import Finding, abridge, parse_rfc3339, pause_left, rfc3339, two_sentences
from aimctl.domain.events import PlannedEvent
from aimctl.domain.jobs.inputs import POLL_SECONDS, absent, do_not_exist, pod_inputs, unread
from aimctl.domain.jobs.outcome import Cause, Failed, Running, Waiting
from aimctl.domain.jobs.retries import QUICK_ATTEMPTS, SHORT_SECONDS, denied_pause, short_pause, versions
from aimctl.domain.naming import being_deleted
from aimctl.domain.plan import Create, Delete, Get, List, ReadLog
from aimctl.domain.resolution import Missing
from aimctl.domain.templates.discovery_job import DiscoveryInput, job_name, manifest
from aimctl.domain.templates.discovery_outcome import (
    FIRST_PAUSE,
    LogLost,
    Stuck,
    Succeeded,
    is_denied,
    judge,
    pause_after,
)
from aimctl.domain.templates.discovery_report import (
    AWAITING_DISCOVERY,
    DISCOVERY_FAILED,
    DISCOVERY_RUNNING,
    PROFILES_DISCOVERED,
    DiscoveryReport,
    failed_report,
    failure_of,
    known_sources,
    last_report,
    static_report,
    unknown_report,
)
from aimctl.kubetypes.builtin import JOBS

if TYPE_CHECKING:
    from aimctl.domain.jobs.observed import ObservedJob
    from aimctl.domain.templates.discovery_output import DiscoveryResult
    from aimctl.domain.templates.observation import TemplateObservation

__all__ = ["Discovery", "discover"]

_MOMENT = 0.1
"""Seconds until the decision is made again with a status that was just written."""


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
        return Discovery(static_report(seen), deletions=_unfinished(seen))
    input_ = seen.discovery_input()
    if isinstance(input_, Missing):
        return _blocked(seen, input_)
    records = seen.view.status.discovery or DiscoveryStatus()
    last = last_report(seen)
    if last.sources and records.result is not None and records.result.input_hash == input_.hash:
        return Discovery(last, deletions=_unfinished(seen))
    failure = failure_of(seen, input_)
    return _pursue(seen, input_) if failure is None else _retry(seen, input_, failure)


def _retry(seen: TemplateObservation, input_: DiscoveryInput, failure: DiscoveryFailure) -> Discovery:
    """The input has failed: keep that result, or try again after the pause."""
    if parse_rfc3339(failure.retry_at) is None:
        return Discovery(failed_report(seen, failure), deletions=_unfinished(seen))
    recovered = _recovered(seen, input_, failure)
    if recovered is not None:
        return _follow(seen, input_, recovered)
    left = pause_left(failure.retry_at, seen.now, _written_pause(failure))
    return _pursue(seen, input_) if left is None else _wait_after_failure(seen, input_, failure, left)


def _recovered(
    seen: TemplateObservation, input_: DiscoveryInput, failure: DiscoveryFailure
) -> ObservedJob | None:
    """The Job of the failed attempt, if it has completed before it could be deleted."""
    name = job_name(seen.template, input_.hash, failure.attempts - 1)
    return next((job for job in seen.jobs if job.name == name and job.job.view.complete), None)


def _written_pause(failure: DiscoveryFailure) -> float:
    """The seconds from a failure to its retry, as they were written."""
    failed, retried = parse_rfc3339(failure.finished_at), parse_rfc3339(failure.retry_at)
    return 0.0 if failed is None or retried is None else (retried - failed).total_seconds()


def _wait_after_failure(
    seen: TemplateObservation, input_: DiscoveryInput, failure: DiscoveryFailure, left: float
) -> Discovery:
    """A pause of which ``left`` seconds are left. A long one ends when an object that the pod refers to changes."""
    report, lookups = failed_report(seen, failure), tuple[Get, ...]()
    if failure.references and left > POLL_SECONDS:
        lookups = _references(input_)
        current = versions(lookups, seen.known)
        if current and current != failure.references:
            changed = failure.model_copy(update={"references": current, "retry_at": seen.timestamp})
            records = (report.records or DiscoveryStatus()).model_copy(update={"failure": changed})
            return Discovery(
                replace(report, records=records), deletions=_unfinished(seen), requeue_after=_MOMENT
            )
        left = POLL_SECONDS
    return Discovery(
        report, lookups=unread(lookups, seen.known), deletions=_unfinished(seen), requeue_after=left
    )


def _needed(input_: DiscoveryInput) -> tuple[Get, ...]:
    """Reads of the objects that the pod cannot start without."""
    return pod_inputs(input_.namespace, env=input_.env, service_account=input_.service_account)


def _references(input_: DiscoveryInput) -> tuple[Get, ...]:
    """Reads of all objects that the pod refers to."""
    return (*pod_inputs(input_.namespace, pull_secrets=input_.pull_secrets), *_needed(input_))


def _blocked(seen: TemplateObservation, missing: Missing) -> Discovery:
    """A reference cannot be resolved. Running Jobs are kept: their results are valid if the reference can be resolved
    again. Only those that cannot start are deleted.
    """
    report = replace(last_report(seen), condition=Finding(False, missing.reason, missing.message))
    deletions, delays = [], []
    for job in seen.jobs:
        if job.finished or job.deleting:
            continue
        outcome = judge(job, seen.known, now=seen.now)
        if isinstance(outcome, List):
            return Discovery(None, read=outcome)
        if isinstance(outcome, Failed | Stuck):
            deletions.append(job.delete())
        elif isinstance(outcome, Waiting) and outcome.requeue_after is not None:
            delays.append(outcome.requeue_after)
    return Discovery(report, deletions=tuple(deletions), requeue_after=min(delays, default=None))


def _pursue(seen: TemplateObservation, input_: DiscoveryInput) -> Discovery:
    """The input has not been discovered yet: follow its Job, or request one."""
    failure = failure_of(seen, input_)
    attempt = 0 if failure is None else failure.attempts
    name = job_name(seen.template, input_.hash, attempt)
    job = next((item for item in seen.jobs if item.name == name), None)
    if job is not None and job.finished:
        return _follow(seen, input_, job)  # even without a GPU, because the result is there
    missing = seen.missing_gpu()
    if missing is not None:
        report = unknown_report(seen, input_, AWAITING_DISCOVERY, missing.message)
        return Discovery(report, deletions=_unfinished(seen))
    if job is not None:
        return _follow(seen, input_, job)
    pause = _pause(seen, input_)
    left = None if pause is None else pause_left(pause.until, seen.now, SHORT_SECONDS)
    if pause is not None and left is not None:
        return Discovery(
            unknown_report(seen, input_, AWAITING_DISCOVERY, f"{pause.message}; it is tried again"),
            deletions=_unfinished(seen),
            requeue_after=left,
        )
    lookups = _needed(input_) if failure is not None or pause is not None else ()
    gone = absent(lookups, seen.known)
    if gone:
        text = f"{do_not_exist(gone)}; discovery follows"
        report = unknown_report(seen, input_, AWAITING_DISCOVERY, text)
        if failure is not None:
            report = failed_report(seen, failure, text)
        report = report.blocked(do_not_exist(gone))
        return Discovery(report, deletions=_unfinished(seen), requeue_after=POLL_SECONDS)
    rejection = seen.known.rejection(JOBS, input_.namespace, name)
    waits = "waits for one of the cluster's discovery slots"
    if rejection is not None and rejection.existing is not None:
        waits = f"Job {name} exists already and does not belong to this template: delete it"
    elif rejection is not None:
        waits = f"the API server rejected the discovery Job: {rejection.message}"
    elif pause is not None:
        waits = f"{waits} again: {pause.message}"
    report = unknown_report(seen, input_, AWAITING_DISCOVERY, waits)
    paused = [pause.until] if pause is not None else []
    paused += [failure.retry_at] if failure is not None else []
    return Discovery(
        report if rejection is None else report.blocked(waits),
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
        text = f"discovery Job {job.name} {being_deleted(job.meta)}; another one follows"
        return Discovery(unknown_report(seen, input_, AWAITING_DISCOVERY, text), deletions=deletions)
    match judge(job, seen.known, now=seen.now, again=failure_of(seen, input_) is not None):
        case Waiting(message=message, requeue_after=seconds):
            text = f"discovery Job {job.name} is waiting to run" + (f": {message}" if message else "")
            report = unknown_report(seen, input_, AWAITING_DISCOVERY, text)
            return Discovery(report, deletions=deletions, requeue_after=seconds)
        case Running(message=message):
            text = f"discovery Job {job.name} is running" + (f": {message}" if message else "")
            return Discovery(unknown_report(seen, input_, DISCOVERY_RUNNING, text), deletions=deletions)
        case Stuck() as stuck:
            return _stuck(seen, input_, stuck)
        case LogLost(message=message):
            text = f"{message}; discovery runs again"
            report = unknown_report(seen, input_, AWAITING_DISCOVERY, text)
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


def _stuck(seen: TemplateObservation, input_: DiscoveryInput, stuck: Stuck) -> Discovery:
    """Delete a Job that cannot run. The pause is written before that, so that it survives a restart."""
    needed, message = _needed(input_), abridge(stuck.message)
    gone = absent(needed, seen.known)
    if gone:
        message = do_not_exist(gone)
    before = _pause(seen, input_)
    attempts = 0 if before is None else before.attempts
    events: tuple[PlannedEvent, ...] = ()
    if before is None or pause_left(before.until, seen.now, SHORT_SECONDS) is None:
        delay = timedelta(seconds=short_pause(attempts + 1, FIRST_PAUSE))
        before = DiscoveryPause(
            input_hash=input_.hash, attempts=attempts + 1, until=rfc3339(seen.now + delay), message=message
        )
        events = (PlannedEvent("Warning", "DiscoveryPaused", message),)
    report = unknown_report(seen, input_, AWAITING_DISCOVERY, f"{before.message}; it is tried again")
    records = (report.records or DiscoveryStatus()).model_copy(update={"pause": before})
    return Discovery(
        replace(report, records=records),
        lookups=unread(needed, seen.known),
        deletions=_unfinished(seen),
        events=events,
    )


def _failed(seen: TemplateObservation, input_: DiscoveryInput, job: ObservedJob, failed: Failed) -> Discovery:
    last, before, message = last_report(seen), failure_of(seen, input_), failed.message
    failures = 1 if before is None else before.attempts + 1
    follow = is_denied(failed) and failures >= QUICK_ATTEMPTS
    lookups: tuple[Get, ...] = ()
    if follow or failed.cause in (Cause.IMAGE, Cause.IMAGE_ACCESS, Cause.IMAGE_NAME, Cause.SETUP):
        lookups = _references(input_)
    gone = absent(lookups, seen.known)
    if gone:
        missing = do_not_exist(gone)
        message = missing if failed.cause is Cause.SETUP else two_sentences(missing, message)
    message = abridge(message)
    delay = pause_after(failed, failures)
    if gone and delay is None:
        delay = denied_pause(failures, FIRST_PAUSE)
    references = versions(lookups, seen.known) if follow else ""
    if before is not None and before.references not in ("", references) and delay is not None:
        delay = min(delay, SHORT_SECONDS)  # an object has changed since the last attempt
    failure = DiscoveryFailure(
        **_record(seen, input_, job),
        message=message,
        attempts=failures,
        retry_at=None if delay is None else rfc3339(seen.now + timedelta(seconds=delay)),
        references=references,
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
    message = known_sources(len(result.sources))
    records = DiscoveryStatus(result=DiscoveryRecord(**_record(seen, input_, job)))
    return Discovery(
        DiscoveryReport(Finding(True, PROFILES_DISCOVERED, message), result.sources, result.profile, records),
        deletions=_unfinished(seen),
        events=(PlannedEvent("Normal", PROFILES_DISCOVERED, message),),
    )


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
