"""The download of one model cache: its state, and which Job should exist.

Contract:
    * :func:`decide_download` is pure and total.
    * A complete download counts for its volume, by UID, as long as the volume is usable. Neither a changed spec nor
      anything missing undoes it.
    * There is one Job at a time. Another one is created only when no unfinished Job of the cache is left, and no pod of
      one. What still exists :data:`LINGERING` after its deletion is on a lost node, and is not waited for.
    * A Job that downloads continues even if its input has changed. A Job that waits is replaced.
    * A failed attempt is counted once: the name of its Job contains the number of the attempt. A pause follows, which
      ends early if the input or the volume changes, or, while access is denied, an object that the pod refers to. After
      that, the next attempt waits until all objects exist that its pod cannot start without.
    * The last :data:`KEPT_JOBS` finished Jobs remain for users to read their logs.
    * After a failure the cache stays Failed, with that reason, until more data has arrived. Attempts that fail in the
      same way therefore change no state; the message says what the next attempt waits for.
    * A Job is judged by its own container, although an injected sidecar may still run. The Job is then deleted.
    * A pod that cannot be scheduled is not a failure: volumes and nodes may take their time. Neither is a Job without a
      pod.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, final

from aimctl.api.v1alpha1 import CacheState
from aimctl.domain.caching.download_failure import (
    DOWNLOAD_JOB,
    explain,
    pause_after,
)
from aimctl.domain.caching.download_job import (
    DownloadInput,
    JobName,
    download_input,
    download_job,
    own_pods,
)
from aimctl.domain.caching.download_log import own_output, running_since, termination_message, verified_bytes
from aimctl.domain.caching.model_cache_observation import NOISE_BYTES, requested_size
from aimctl.domain.conditions import MAX_MESSAGE, RollUp, abridge, parse_rfc3339, pause_left, rfc3339
from aimctl.domain.jobs.inputs import POLL_SECONDS, absent, do_not_exist, pod_inputs, unread
from aimctl.domain.jobs.observed import PodLog
from aimctl.domain.jobs.outcome import (
    Cause,
    Failed,
    Waiting,
    container_failed,
    ended_beside_sidecars,
    judge_incomplete,
)
from aimctl.domain.jobs.rejected_pods import pod_rejection, rejected_pods
from aimctl.domain.jobs.retries import QUICK_ATTEMPTS, SHORT_SECONDS, versions
from aimctl.domain.plan import Create, Get, List, ReadLog
from aimctl.domain.resolution import Missing
from aimctl.kubetypes.builtin import JOBS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.domain.caching.model_cache_observation import ModelCacheObservation
    from aimctl.domain.caching.model_cache_volume import VolumeDecision
    from aimctl.domain.jobs.observed import ObservedJob
    from aimctl.domain.plan import Delete
    from aimctl.kubetypes import Object, PersistentVolumeClaim

__all__ = [
    "DOWNLOAD_REFUSED",
    "DOWNLOAD_STALLED",
    "NO_POD",
    "UNSCHEDULABLE",
    "Download",
    "decide_download",
]

DOWNLOADED = "Downloaded"
DOWNLOADING = "Downloading"
DOWNLOAD_WAITING = "DownloadWaiting"
DOWNLOAD_STALLED = "DownloadStalled"
DOWNLOAD_REFUSED = "DownloadRefused"
NO_POD = "NoPod"
UNSCHEDULABLE = "Unschedulable"
"""Reasons, besides those of the volume, of the runtime config, and of failures."""

STALLED_AFTER = timedelta(minutes=15)
"""A download to which no data has arrived for so long is reported."""

LINGERING = timedelta(minutes=5)
"""Time after the deletion of a Job or pod after which its node is considered lost."""

_NO_POD_SECONDS = 60.0
"""Interval at which the Events of a Job without a pod are read: another cause may follow the first one."""

KEPT_JOBS = 2
"""The number of finished Jobs that remain, with their logs, when the next one is created."""

Read: TypeAlias = Get | List | ReadLog


@final
@dataclass(frozen=True, slots=True)
class Download:
    """The state of the download, or the reads that are needed to know it.

    Attributes:
        state: state, reason and message of the whole cache.
        record: the fields of the status about attempts: ``failedDownloads``, ``nextDownloadAt``, ``lastFailure`` and
            ``completed``.
        reads: if not empty, the rest is meaningless until they are done.
        deletions: of Jobs, in the foreground, so that they exist until their pods are gone.
        create: the Job to create.
        requeue_after: seconds after which the answer may change without an event.
        verified_bytes: the size of the complete source, as its download has verified it; None if that is unknown.
    """

    state: RollUp[CacheState]
    record: dict[str, Any] = field(default_factory=dict)
    reads: tuple[Read, ...] = ()
    deletions: tuple[Delete, ...] = ()
    create: Create | None = None
    requeue_after: float | None = None
    verified_bytes: int | None = None


def decide_download(seen: ModelCacheObservation, volume: VolumeDecision) -> Download:
    """Decide about the download, given the state of the volume."""
    if volume.usable is None:
        state = CacheState.FAILED if volume.failed else CacheState.PENDING
        # A claim that is being deleted exists as long as a pod mounts it, even one that has ended. Finished Jobs must
        # therefore be deleted before their time to live is over.
        deleting = seen.volume is not None and seen.volume.meta.deleting
        deletions = _deletions(seen.jobs) if deleting else _unfinished(seen.jobs)
        return Download(RollUp(state, volume.reason, volume.message), _record(seen), deletions=deletions)
    return _Attempts(seen, volume.usable).decide()


@final
class _Attempts:
    """The attempts to fill a usable volume."""

    def __init__(self, seen: ModelCacheObservation, volume: Object[PersistentVolumeClaim]) -> None:
        self._seen = seen
        self._volume_uid = volume.meta.uid
        self._requested = requested_size(volume)
        config = seen.runtime_config
        self._input: DownloadInput | Missing = (
            config
            if isinstance(config, Missing)
            else download_input(seen.cache, config.spec, requested=self._requested)
        )

    def decide(self) -> Download:
        seen = self._seen
        completed = seen.status.completed
        if completed is not None and completed.volume_uid == self._volume_uid:
            return self._complete(completed.to_json())
        to_volume = self._to_volume()
        if any(_is_complete(job) for _, job in to_volume):
            return self._complete({"volumeUid": self._volume_uid, "finishedAt": rfc3339(seen.now)})
        record = _record(seen)
        attempt = seen.status.failed_downloads + 1
        wanted = None if isinstance(self._input, Missing) else self._name(attempt, self._input)
        current = max(
            (item for item in to_volume if item[0].attempt == attempt),
            key=lambda item: (item[0] == wanted, item[1].meta.creation_timestamp),
            default=None,
        )
        if current is None or current[1].deleting:
            return self._next(record)
        return self._follow(current[1], outdated=wanted is not None and current[0] != wanted, record=record)

    def _to_volume(self) -> list[tuple[JobName, ObservedJob]]:
        """The Jobs that download to this volume."""
        volume = JobName.make(1, volume_uid=self._volume_uid, input_hash="").volume
        named = ((JobName.parse(job.name), job) for job in self._seen.jobs)
        return [(name, job) for name, job in named if name is not None and name.volume == volume]

    # ---- the Job of this attempt

    def _follow(self, job: ObservedJob, *, outdated: bool, record: dict[str, Any]) -> Download:
        """The Job of this attempt exists."""
        log = job.log if job.log is not None else termination_message(job)
        own = log if log is None or log.data is None else PodLog(log.pod, own_output(log.data))
        judged = replace(job, log=own)
        ended = None if job.finished else ended_beside_sidecars(DOWNLOAD_JOB, job)
        outcome = (
            judge_incomplete(DOWNLOAD_JOB, judged, self._seen.now)
            if ended is None
            else container_failed(DOWNLOAD_JOB, judged, *ended)
        )
        match outcome:
            case List() | ReadLog():
                return self._after(outcome)
            case Waiting() | Failed(cause=Cause.PLACEMENT) if outdated:
                return self._next(record)
            case Failed(cause=Cause.PLACEMENT):
                found = self._under_way(UNSCHEDULABLE, outcome.message, record, problem=outcome.message)
            case Failed():
                return self._failed(job, outcome, log, record)
            case Waiting(without_pod=True):
                events = rejected_pods(job.job)
                if needed := unread((events,), self._seen.known):
                    return self._after(*needed)
                cause = pod_rejection(events, self._seen.known)
                problem = f"no pod was created: {cause}" if cause else outcome.message
                found = self._under_way(NO_POD, abridge(_waits(job.name, problem)), record, problem=problem)
                found = replace(found, requeue_after=_NO_POD_SECONDS)
            case Waiting(message=problem):
                found = self._under_way(DOWNLOAD_WAITING, _waits(job.name, problem), record, problem=problem)
                found = replace(found, requeue_after=outcome.requeue_after)
            case _:
                found = self._running(job, record)
        others = (item for item in self._seen.jobs if item.name != job.name)
        return replace(found, deletions=_unfinished(others))

    def _after(self, *reads: Read) -> Download:
        """The decision needs these reads."""
        return Download(RollUp(CacheState.PENDING, "", ""), reads=reads)

    def _running(self, job: ObservedJob, record: dict[str, Any]) -> Download:
        text, progress = f"download Job {job.name} is running", self._seen.status.progress
        found = self._under_way(DOWNLOADING, text, record)
        reported = parse_rfc3339(progress.updated_at) if progress is not None else None
        if reported is None or not self._seen.nothing_new(after_failure=self._has_failed):
            return found
        # Progress that was reported before a pause says nothing about the attempt after it.
        since = max(filter(None, (reported, running_since(job))))
        left = (STALLED_AFTER - (self._seen.now - since)).total_seconds()
        if left > 0:
            return replace(found, requeue_after=left)
        namespace = self._seen.cache.meta.namespace
        problem = (
            f"nothing has arrived since {rfc3339(since)}; kubectl -n {namespace} logs job/{job.name} may show"
            " the cause"
        )
        return self._under_way(DOWNLOAD_STALLED, f"{text}, and {problem}", record, problem=problem)

    def _failed(
        self, job: ObservedJob, failed: Failed, log: PodLog | None, record: dict[str, Any]
    ) -> Download:
        """Count the failed attempt."""
        seen, references, gone = self._seen, self._references(), tuple[Get, ...]()
        if failed.cause in (Cause.IMAGE, Cause.IMAGE_ACCESS, Cause.IMAGE_NAME, Cause.SETUP):
            if needed := unread(references, seen.known):
                return self._after(*needed)
            gone = absent(references, seen.known)
        explained = explain(
            failed,
            (log.data if log is not None else None) or b"",
            source=seen.cache.view.spec.source_uri,
            claim=seen.name,
            requested=self._requested,
            env=() if isinstance(self._input, Missing) else self._input.env,
            missing=do_not_exist(gone) if gone else "",
        )
        failures = seen.status.failed_downloads + 1
        failure = {
            "jobName": job.name,
            "reason": explained.reason,
            "message": explained.message,
            "finishedAt": rfc3339(seen.now),
        }
        pause = pause_after(failures, explained.reason, denied=explained.denied)
        if explained.denied and failures >= QUICK_ATTEMPTS:
            if needed := unread(references, seen.known):
                return self._after(*needed)
            failure["references"] = versions(references, seen.known)
            last = seen.status.last_failure
            if last is not None and last.references not in ("", failure["references"]):
                pause = min(
                    pause, timedelta(seconds=SHORT_SECONDS)
                )  # an object has changed since the last attempt
        record = {
            **record,
            "failedDownloads": failures,
            "nextDownloadAt": rfc3339(seen.now + pause),
            "lastFailure": failure,
        }
        return self._next(record)

    # ---- the next Job

    def _next(self, record: dict[str, Any]) -> Download:
        """There is no Job for this attempt: pause, wait until earlier Jobs are gone, or create the next one."""
        seen, deletions = self._seen, _unfinished(self._seen.jobs)
        if isinstance(self._input, Missing):
            state = RollUp(CacheState.PENDING, self._input.reason, self._input.message)
            return Download(state, record, deletions=deletions)
        name = self._name(record.get("failedDownloads", 0) + 1, self._input)
        pause = self._pause(record, name.attempt)
        if pause is not None:
            return replace(pause, deletions=deletions)
        writer = self._other_writer()
        if writer:
            text = f"the next download waits until {writer} is gone"
            found = self._under_way(DOWNLOAD_WAITING, text, record, problem=text)
            return replace(found, deletions=deletions, requeue_after=LINGERING.total_seconds())
        manifest = download_job(seen.cache, self._input, name, labels=seen.propagated_labels)
        create = Create(JOBS, manifest, inputs=(own_pods(seen.cache),))
        rejection = seen.known.rejection(JOBS, seen.cache.meta.namespace, create.key.name)
        if rejection is not None:
            text = f"the API server rejected Job {create.key.name}: {rejection.message}"
            return Download(RollUp(CacheState.PENDING, DOWNLOAD_REFUSED, text), record, create=create)
        finished = sorted(
            (job for job in seen.jobs if job.finished), key=lambda job: job.meta.creation_timestamp
        )
        found = self._under_way(DOWNLOAD_WAITING, _waits(create.key.name), record)
        return replace(found, deletions=_deletions(finished[:-KEPT_JOBS]), create=create)

    def _pause(self, record: dict[str, Any], attempt: int) -> Download | None:
        """The pause after a failure of the same input on the same volume; None if there is none, or it is over."""
        failure, until = record.get("lastFailure"), record.get("nextDownloadAt")
        if not failure or parse_rfc3339(until) is None or not self._was_tried_by(failure["jobName"]):
            return None
        # The longest of the pauses that may have been written; the status does not say whether access was denied.
        failures, reason = record.get("failedDownloads", 0), failure["reason"]
        longest = max(pause_after(failures, reason, denied=denied) for denied in (False, True))
        left = pause_left(until, self._seen.now, longest.total_seconds())
        text = f"Attempt {attempt} follows at {until}"
        if failure.get("references") and left is not None and left > POLL_SECONDS:
            if needed := unread(self._references(), self._seen.known):
                return self._after(*needed)
            changed = versions(self._references(), self._seen.known) != failure["references"]
            left = None if changed else POLL_SECONDS
        if left is None:
            if needed := unread(self._needed(), self._seen.known):
                return self._after(*needed)
            gone = absent(self._needed(), self._seen.known)
            if not gone:
                return None
            left, text = POLL_SECONDS, f"Attempt {attempt} follows after that"
            failure = {**failure, "message": do_not_exist(gone)}
        state = RollUp(CacheState.FAILED, failure["reason"], _followed(failure["message"], text))
        return Download(state, record, requeue_after=left)

    def _other_writer(self) -> str:
        """The Job or pod that may still write to the volume; empty if there is none."""
        seen = self._seen
        jobs = (job.meta for job in seen.jobs if not job.finished)
        for kind, items in (("Job", jobs), ("pod", (pod.meta for pod in seen.other_pods))):
            for meta in items:
                deleted = parse_rfc3339(meta.deletion_timestamp)
                if deleted is None or seen.now - deleted < LINGERING:
                    return f"{kind} {meta.name}"
        return ""

    def _needed(self) -> tuple[Get, ...]:
        """Reads of the objects that the pod cannot start without."""
        env = () if isinstance(self._input, Missing) else self._input.env
        return pod_inputs(self._seen.cache.meta.namespace, env=env)

    def _references(self) -> tuple[Get, ...]:
        """Reads of all objects that the pod refers to."""
        secrets = () if isinstance(self._input, Missing) else self._input.pull_secrets
        return (*pod_inputs(self._seen.cache.meta.namespace, pull_secrets=secrets), *self._needed())

    # ---- results

    def _under_way(self, reason: str, message: str, record: dict[str, Any], *, problem: str = "") -> Download:
        """An attempt is under way, or about to start.

        Args:
            reason: of the state Progressing.
            message: of the state Progressing.
            record: of the attempts so far.
            problem: what the message of a cache that stays Failed says about the attempt.
        """
        failure, attempt = record.get("lastFailure"), record.get("failedDownloads", 0) + 1
        record = {key: value for key, value in record.items() if key != "nextDownloadAt"}
        if failure and self._has_failed and (self._seen.new_bytes or 0) <= NOISE_BYTES:
            text = f"Attempt {attempt}" + (f": {problem}" if problem else " is under way")
            message = _followed(failure["message"], text)
            return Download(RollUp(CacheState.FAILED, failure["reason"], message), record)
        if failure:
            message += f"; attempt {attempt}, the last one failed: {failure['reason']}"
        return Download(RollUp(CacheState.PROGRESSING, reason, message), record)

    def _complete(self, completed: dict[str, Any]) -> Download:
        text = f"{self._seen.cache.view.spec.source_uri} is on PersistentVolumeClaim {self._seen.name!r}"
        return Download(
            RollUp(CacheState.AVAILABLE, DOWNLOADED, text),
            {"completed": completed},
            deletions=_unfinished(self._seen.jobs),
            verified_bytes=next(filter(None, (verified_bytes(job) for _, job in self._to_volume())), None),
        )

    @property
    def _has_failed(self) -> bool:
        """Whether the status is Failed because of an attempt with the current input and volume."""
        status = self._seen.status
        failure = status.last_failure
        return (
            status.status == CacheState.FAILED
            and failure is not None
            and self._was_tried_by(failure.job_name)
        )

    def _was_tried_by(self, job: str) -> bool:
        """Whether a Job had the current input and volume."""
        tried = JobName.parse(job)
        if tried is None or isinstance(self._input, Missing):
            return False
        return tried == self._name(tried.attempt, self._input)

    def _name(self, attempt: int, input_: DownloadInput) -> JobName:
        return JobName.make(attempt, volume_uid=self._volume_uid, input_hash=input_.hash)


def _followed(failure: str, text: str) -> str:
    """Two sentences, of which the second is never cut. A failure that ends with the end of a log may be a sentence."""
    stop = "" if failure.endswith((".", "!", "?")) else "."
    return f"{abridge(failure, max(MAX_MESSAGE // 2, MAX_MESSAGE - len(text) - 2))}{stop} {text}"


def _is_complete(job: ObservedJob) -> bool:
    """Whether the download has succeeded, also if an injected sidecar keeps its pod from ending."""
    ended = None if job.finished else ended_beside_sidecars(DOWNLOAD_JOB, job)
    return job.job.view.complete or (ended is not None and ended[1].exit_code == 0)


def _waits(job: str, message: str = "") -> str:
    return f"download Job {job} is waiting to run" + (f": {message}" if message else "")


def _unfinished(jobs: Iterable[ObservedJob]) -> tuple[Delete, ...]:
    """Delete unfinished Jobs. Finished ones have a time to live, during which users can read their logs."""
    return _deletions(job for job in jobs if not job.finished)


def _deletions(jobs: Iterable[ObservedJob]) -> tuple[Delete, ...]:
    return tuple(job.delete("Foreground") for job in jobs if not job.deleting)


def _record(seen: ModelCacheObservation) -> dict[str, Any]:
    """What the status says about the attempts so far."""
    status = seen.status
    record: dict[str, Any] = {}
    if status.failed_downloads:
        record["failedDownloads"] = status.failed_downloads
    if status.next_download_at:
        record["nextDownloadAt"] = status.next_download_at
    if status.last_failure is not None:
        record["lastFailure"] = status.last_failure.to_json()
    if status.completed is not None:
        record["completed"] = status.completed.to_json()
    return record
