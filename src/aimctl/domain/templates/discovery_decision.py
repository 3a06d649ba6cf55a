"""What discovery should do about one template: its slice of the status, and which Jobs should exist.

Contract:
    * :func:`decide_discovery` is pure and total: every observation has a decision.
    * Discovery owns ``modelSources``, ``profile``, ``discovery`` and the condition ``Discovered``, nothing
      else.
    * Once per input: an input hash that is recorded in ``status.discovery``, as result or as failure, is
      never asked again. A finished Job is read before it is forgotten.
    * An old result stays in status until the new one replaces it whole; meanwhile ``Discovered`` stays True
      unless something is wrong.

How to carry a decision out, in this order:
    1. ``read_pods``: read that Job's pods from the server, put them on the observed Job, decide again.
       ``read_log``: read that pod's log (None when gone), put it on the observed Job, decide again.
    2. Apply ``status`` if it changes anything. Nothing below may be done before this succeeded: a Job must
       not go before its result is kept.
    3. Delete ``delete_jobs``, in the background, with UID and resourceVersion as preconditions.
    4. Record ``events``.
    5. ``wish``: ask admission for a slot; only there Jobs are created. Without a wish, withdraw the last one.
    6. ``look_again_after``: decide again after so many seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.domain import conditions
from aimctl.domain.events import EventWish
from aimctl.domain.jobs.outcome import Failed, Running, Waiting
from aimctl.domain.plan import List, ReadLog
from aimctl.domain.status_slice import StatusSlice
from aimctl.domain.templates.discovery_job import CONTAINER, DiscoveryInput, job_name, manifest
from aimctl.domain.templates.discovery_outcome import LogLost, Succeeded, judge
from aimctl.domain.templates.observation import Blocked, TemplateObservation, json_of
from aimctl.kubetypes.quantity import size_in_bytes

if TYPE_CHECKING:
    from aimctl.domain.jobs.observed import ObservedJob
    from aimctl.domain.templates.discovery_output import DiscoveryResult

__all__ = [
    "AWAITING_DISCOVERY",
    "DISCOVERED",
    "DISCOVERY_FAILED",
    "DISCOVERY_RUNNING",
    "OWNED_CONDITIONS",
    "OWNED_FIELDS",
    "PROFILES_DISCOVERED",
    "DiscoveryDecision",
    "DiscoveryWish",
    "JobDeletion",
    "LogRequest",
    "PodsRequest",
    "decide_discovery",
]

DISCOVERED = "Discovered"
OWNED_FIELDS = frozenset({"modelSources", "profile", "discovery"})
OWNED_CONDITIONS = frozenset({DISCOVERED})

PROFILES_DISCOVERED = "ProfilesDiscovered"
AWAITING_DISCOVERY = "AwaitingDiscovery"
DISCOVERY_FAILED = "DiscoveryFailed"
DISCOVERY_RUNNING = "DiscoveryRunning"
"""Reasons of ``Discovered``: the document's three, and one that tells a running Job from a waiting one."""


@final
@dataclass(frozen=True, slots=True)
class DiscoveryWish:
    """A discovery Job that should run as soon as a slot is free."""

    job_name: str
    namespace: str
    input_hash: str
    manifest: dict[str, Any]


@final
@dataclass(frozen=True, slots=True)
class JobDeletion:
    """A Job that should go: it holds a slot for an answer nobody waits for, or its answer is lost.

    ``resource_version`` is the Job's that was decided about: a later one may have an answer.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str = ""


@final
@dataclass(frozen=True, slots=True)
class LogRequest:
    """A pod's log that the decision depends on."""

    job_name: str
    namespace: str
    pod: str
    container: str = CONTAINER


@final
@dataclass(frozen=True, slots=True)
class PodsRequest:
    """A Job's pods that the decision depends on."""

    job_name: str
    namespace: str
    uid: str


@final
@dataclass(frozen=True, slots=True)
class DiscoveryDecision:
    """What should be true; see the module for how to make it so.

    ``status`` is None when nothing may be said: the template is being deleted, or something is to be read
    first.
    """

    status: StatusSlice | None
    wish: DiscoveryWish | None = None
    read_pods: PodsRequest | None = None
    read_log: LogRequest | None = None
    delete_jobs: tuple[JobDeletion, ...] = ()
    events: tuple[EventWish, ...] = ()
    look_again_after: float | None = None


def decide_discovery(seen: TemplateObservation) -> DiscoveryDecision:
    """Decide about one template: deleted, static, unresolved, or to be discovered."""
    if seen.template.deleting:
        return DiscoveryDecision(None)
    if seen.view.spec.model_sources:
        return _static(seen)
    input_ = seen.discovery_input()
    if isinstance(input_, Blocked):
        # A Job that runs is left alone: the reference may come back, and then its answer is still good.
        hopeless, look_again = _hopeless(seen)
        return DiscoveryDecision(
            _slice(seen, _kept(seen), "False", input_.reason, input_.message),
            delete_jobs=hopeless,
            look_again_after=look_again,
        )
    if seen.answered(input_.hash):
        message = _found(len(seen.view.status.model_sources))
        return DiscoveryDecision(
            _slice(seen, _kept(seen), "True", PROFILES_DISCOVERED, message), delete_jobs=_unfinished(seen)
        )
    failure = seen.failure(input_.hash)
    if failure is not None:
        return DiscoveryDecision(
            _slice(seen, _kept(seen), "False", DISCOVERY_FAILED, failure), delete_jobs=_unfinished(seen)
        )
    return _ask(seen, input_)


def _ask(seen: TemplateObservation, input_: DiscoveryInput) -> DiscoveryDecision:
    """Discovery has not answered this input: follow its Job, or wish for one."""
    name = job_name(seen.template, input_.hash)
    job = next((item for item in seen.jobs if item.name == name), None)
    if job is None or not job.finished:
        # A finished Job is read even without the GPU: its answer is already paid for.
        missing = seen.missing_gpu()
        if missing is not None:
            return DiscoveryDecision(
                _unanswered(seen, AWAITING_DISCOVERY, missing.message), delete_jobs=_unfinished(seen)
            )
    if job is not None:
        return _with_job(seen, input_, job)
    waits = seen.refused or "waits for one of the cluster's discovery slots"
    return DiscoveryDecision(
        _unanswered(seen, AWAITING_DISCOVERY, waits),
        wish=DiscoveryWish(name, input_.namespace, input_.hash, manifest(seen.template, input_)),
        delete_jobs=_unfinished(seen),
    )


def _static(seen: TemplateObservation) -> DiscoveryDecision:
    sources = []
    for item in seen.view.spec.model_sources:
        try:
            size = size_in_bytes(item.size)
        except ValueError as error:
            message = f"spec.modelSources[{item.name}].size: {error}"
            return DiscoveryDecision(
                _slice(seen, _kept(seen), "False", DISCOVERY_FAILED, message),
                delete_jobs=_unfinished(seen),
            )
        sources.append({"name": item.name, "source": item.source_uri, "sizeBytes": size})
    message = f"{_count(len(sources))} given in spec.modelSources"
    return DiscoveryDecision(
        _slice(seen, {"modelSources": sources}, "True", PROFILES_DISCOVERED, message),
        delete_jobs=_unfinished(seen),
    )


def _with_job(  # noqa: PLR0911 - one for each outcome
    seen: TemplateObservation, input_: DiscoveryInput, job: ObservedJob
) -> DiscoveryDecision:
    stale = _unfinished(seen, but=job.name)
    if job.deleting and not job.finished:
        text = f"discovery Job {job.name} is being deleted; another one follows"
        return DiscoveryDecision(_unanswered(seen, AWAITING_DISCOVERY, text), delete_jobs=stale)
    outcome = judge(job, now=seen.now)
    match outcome:
        case List():
            meta = job.meta
            return DiscoveryDecision(None, read_pods=PodsRequest(meta.name, meta.namespace, meta.uid))
        case ReadLog():
            return DiscoveryDecision(None, read_log=LogRequest(job.name, job.meta.namespace, outcome.pod))
        case Waiting() | Running():
            waits = isinstance(outcome, Waiting)
            text = f"discovery Job {job.name} is {'waiting to run' if waits else 'running'}"
            if outcome.message:
                text += f": {outcome.message}"
            reason = AWAITING_DISCOVERY if waits else DISCOVERY_RUNNING
            return DiscoveryDecision(
                _unanswered(seen, reason, text),
                delete_jobs=stale,
                look_again_after=outcome.requeue_after if isinstance(outcome, Waiting) else None,
            )
        case LogLost():
            text = f"{outcome.message}; discovery runs again"
            return DiscoveryDecision(
                _unanswered(seen, AWAITING_DISCOVERY, text),
                delete_jobs=stale if job.deleting else (*stale, _deletion(job)),
                events=() if job.deleting else (EventWish("Warning", "DiscoveryOutputLost", text),),
            )
        case Failed():
            return _failed(seen, input_, job, outcome.message)
        case Succeeded():
            return _succeeded(seen, input_, job, outcome.result)


def _failed(
    seen: TemplateObservation, input_: DiscoveryInput, job: ObservedJob, message: str
) -> DiscoveryDecision:
    message = conditions.clip(message, conditions.MAX_MESSAGE)
    fields = _kept(seen)
    record = {**_record(seen, input_, job), "message": message}
    fields["discovery"] = {**fields.get("discovery", {}), "failure": record}
    return DiscoveryDecision(
        _slice(seen, fields, "False", DISCOVERY_FAILED, message),
        delete_jobs=_unfinished(seen),
        events=(EventWish("Warning", DISCOVERY_FAILED, conditions.clip(message, 1024)),),
    )


def _succeeded(
    seen: TemplateObservation, input_: DiscoveryInput, job: ObservedJob, result: DiscoveryResult
) -> DiscoveryDecision:
    fields = {
        "modelSources": [source.to_json() for source in result.sources],
        "profile": result.profile,
        "discovery": {"result": _record(seen, input_, job)},
    }
    message = _found(len(result.sources))
    return DiscoveryDecision(
        _slice(seen, fields, "True", PROFILES_DISCOVERED, message),
        delete_jobs=_unfinished(seen),
        events=(EventWish("Normal", PROFILES_DISCOVERED, message),),
    )


def _unanswered(seen: TemplateObservation, reason: str, message: str) -> StatusSlice:
    """The input has no answer yet: False, or still True where an old result serves and nothing is wrong."""
    if seen.has_result() and seen.last_failure() is None:
        kept = _found(len(seen.view.status.model_sources))
        text = f"{kept}; for the changed input: {message}"
        return _slice(seen, _kept(seen), "True", PROFILES_DISCOVERED, text)
    return _slice(seen, _kept(seen), "False", reason, message)


def _slice(
    seen: TemplateObservation, fields: dict[str, Any], status: conditions.Status, reason: str, message: str
) -> StatusSlice:
    condition = conditions.condition(
        seen.view.status.conditions,
        DISCOVERED,
        status,
        reason,
        message,
        generation=seen.template.generation,
        now=seen.timestamp,
    )
    return StatusSlice(fields, (condition,), OWNED_FIELDS, OWNED_CONDITIONS)


def _kept(seen: TemplateObservation) -> dict[str, Any]:
    """The result so far, as it stands in status."""
    status = seen.view.status
    fields: dict[str, Any] = {}
    if status.model_sources:
        fields["modelSources"] = json_of(status.model_sources)
    if status.profile is not None:
        fields["profile"] = status.profile
    if status.discovery is not None:
        fields["discovery"] = status.discovery.to_json()
    return fields


def _record(seen: TemplateObservation, input_: DiscoveryInput, job: ObservedJob) -> dict[str, Any]:
    return {
        "inputHash": input_.hash,
        "image": input_.image,
        "jobName": job.name,
        "finishedAt": seen.timestamp,
    }


def _unfinished(seen: TemplateObservation, *, but: str = "") -> tuple[JobDeletion, ...]:
    """Jobs that hold a slot for nothing, except the one named ``but``.

    Finished Jobs go by their TTL; until then people can read their logs.
    """
    return tuple(
        _deletion(job) for job in seen.jobs if job.name != but and not job.finished and not job.deleting
    )


def _hopeless(seen: TemplateObservation) -> tuple[tuple[JobDeletion, ...], float | None]:
    """Unfinished Jobs whose pod cannot even start, and in how many seconds to look at the others again."""
    deletions, waits = [], []
    for job in seen.jobs:
        if job.finished or job.deleting:
            continue
        outcome = judge(job, now=seen.now)
        if isinstance(outcome, Failed):
            deletions.append(_deletion(job))
        elif isinstance(outcome, Waiting) and outcome.requeue_after is not None:
            waits.append(outcome.requeue_after)
    return tuple(deletions), min(waits, default=None)


def _deletion(job: ObservedJob) -> JobDeletion:
    meta = job.meta
    return JobDeletion(meta.namespace, meta.name, meta.uid, meta.resource_version)


def _count(sources: int) -> str:
    return "1 model source" if sources == 1 else f"{sources} model sources"


def _found(sources: int) -> str:
    return f"{_count(sources)} discovered"
