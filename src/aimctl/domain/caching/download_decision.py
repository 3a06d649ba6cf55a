"""How it is with the download of one model cache, and which Job should be there.

Contract:
    * :func:`decide_download` is pure and total.
    * A download that is complete holds for its volume, by UID, and is never undone while that is usable: not by a
      changed spec, nor by anything missing.
    * One Job at a time: another is made only when no unfinished one of this cache is left, nor a pod of one. What does
      not go within minutes of its deletion is on a node that is lost, and is not waited for.
    * A Job that downloads goes on even when its input has changed since; one that only waits is replaced.
    * Each attempt that fails is counted once: its Job carries the attempt's number in its name, and the next has the
      next. Between them lies a pause, unless input or volume changed, or a Secret that may have been the cause.
    * After a failure the cache stays Failed, for that reason, until something has arrived: attempts that end like the
      one before change no state. What the next one waits for is in the message.
    * A pod that no node takes has not failed: volumes and nodes may take their time. Neither has a Job without a pod.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import CacheState
from aimctl.domain.caching.download_failure import DOWNLOAD_JOB, OF_SECRETS, explain, pause_after
from aimctl.domain.caching.download_job import (
    CONTAINER,
    DownloadInput,
    JobName,
    download_input,
    download_job,
    without_progress,
)
from aimctl.domain.caching.model_cache_observation import NOISE_BYTES
from aimctl.domain.conditions import MAX_MESSAGE, clip, rfc3339
from aimctl.domain.jobs.observed import PodLog
from aimctl.domain.jobs.outcome import (
    Cause,
    Failed,
    Waiting,
    judge_incomplete,
)
from aimctl.domain.plan import List, ReadLog
from aimctl.domain.resolution import Missing
from aimctl.domain.templates.discovery_decision import JobDeletion, LogRequest, PodsRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.domain.caching.model_cache_observation import ModelCacheObservation, ObservedVolume
    from aimctl.domain.caching.model_cache_volume import VolumeDecision
    from aimctl.domain.jobs.observed import ObservedJob

__all__ = [
    "DOWNLOADED",
    "DOWNLOADING",
    "DOWNLOAD_REFUSED",
    "DOWNLOAD_STALLED",
    "DOWNLOAD_WAITING",
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
"""A download of which nothing arrives for so long is worth a word."""

LINGERING = timedelta(minutes=5)
"""What is still there so long after its deletion is on a node that is lost."""

SECRETS_SECONDS = 60.0
"""How often Secrets are looked at in a pause that a change of one would end: they are not watched."""


@final
@dataclass(frozen=True, slots=True)
class Download:
    """How it is.

    Attributes:
        state: of the whole cache.
        reason: a condition's.
        message: a condition's.
        record: what status keeps of attempts: ``failedDownloads``, ``nextDownloadAt``, ``lastFailure``, ``completed``.
        create_job: the Job to make.
        delete_jobs: Jobs to delete in the foreground, so that they are seen until their pods are gone.
        read_pods: pods to read before anything can be decided.
        read_log: a log to read before anything can be decided.
        read_secrets: Secrets whose versions to read before anything can be decided.
        look_again_after: seconds after which the answer may change by itself.
    """

    state: CacheState
    reason: str
    message: str
    record: dict[str, Any] = field(default_factory=dict)
    create_job: dict[str, Any] | None = None
    delete_jobs: tuple[JobDeletion, ...] = ()
    read_pods: PodsRequest | None = None
    read_log: LogRequest | None = None
    read_secrets: tuple[str, ...] = ()
    look_again_after: float | None = None


def decide_download(seen: ModelCacheObservation, volume: VolumeDecision) -> Download:
    """Decide about the download, given how it is with the volume."""
    if volume.usable is None:
        state = CacheState.FAILED if volume.hopeless else CacheState.PENDING
        # What runs has nowhere to write to. A claim that is being deleted stays for every pod that mounts it, even one
        # that has ended, so finished Jobs must not wait for their TTL then.
        leaving = seen.volume is not None and seen.volume.deleting
        stale = _deletions(seen.jobs) if leaving else _unfinished(seen.jobs)
        return Download(state, volume.reason, volume.message, _record(seen), delete_jobs=stale)
    return _Attempts(seen, volume.usable).decide()


@final
class _Attempts:
    """The attempts to fill one usable volume."""

    def __init__(self, seen: ModelCacheObservation, volume: ObservedVolume) -> None:
        self._seen = seen
        self._volume = volume
        config = seen.runtime_config
        self._input: DownloadInput | Missing = (
            config
            if isinstance(config, Missing)
            else download_input(seen.cache, seen.view.spec, config.spec, requested=volume.requested)
        )

    def decide(self) -> Download:
        seen = self._seen
        completed = seen.view.status.completed
        if completed is not None and completed.volume_uid == self._volume.uid:
            return self._complete(completed.to_json())
        volume = JobName.make(1, volume_uid=self._volume.uid, input_hash="").volume
        mine = [
            (name, job)
            for job in seen.jobs
            if (name := JobName.parse(job.name)) is not None and name.volume == volume
        ]
        if any(_is_complete(job) for _, job in mine):
            return self._complete({"volumeUid": self._volume.uid, "finishedAt": seen.timestamp})
        record = _record(seen)
        attempt = seen.view.status.failed_downloads + 1
        wanted = None if isinstance(self._input, Missing) else self._name(attempt, self._input)
        of_attempt = [item for item in mine if item[0].attempt == attempt]
        current = max(
            of_attempt,
            key=lambda item: (item[0] == wanted, item[1].meta.creation_timestamp),
            default=None,
        )
        if current is None or current[1].deleting:
            return self._next(record)
        return self._follow(current[1], outdated=wanted is not None and current[0] != wanted, record=record)

    def _follow(self, job: ObservedJob, *, outdated: bool, record: dict[str, Any]) -> Download:
        """There is the Job of this attempt."""
        seen, meta = self._seen, job.meta
        log = job.log if job.log is not None else _termination_message(job)
        if log is not None and log.data is not None:
            log = PodLog(log.pod, without_progress(log.data))
        outcome = judge_incomplete(DOWNLOAD_JOB, replace(job, log=log), seen.now)
        match outcome:
            case List():
                return replace(
                    self._going("", "", record), read_pods=PodsRequest(meta.name, meta.namespace, meta.uid)
                )
            case ReadLog():
                wanted = LogRequest(meta.name, meta.namespace, outcome.pod, CONTAINER)
                return replace(self._going("", "", record), read_log=wanted)
            case Waiting() | Failed(cause=Cause.PLACEMENT) if outdated:
                return self._next(record)
            case Failed(cause=Cause.PLACEMENT):
                going = self._going(UNSCHEDULABLE, outcome.message, record, trouble=outcome.message)
            case Failed():
                return self._failed(job, outcome, log, record)
            case Waiting():
                reason, text = NO_POD if outcome.without_pod else DOWNLOAD_WAITING, outcome.message
                going = self._going(reason, _waits(job.name, text), record, trouble=text)
                going = replace(going, look_again_after=outcome.requeue_after)
            case _:
                going = self._running(job, record)
        others = tuple(item for item in seen.jobs if item.name != job.name)
        return replace(going, delete_jobs=_unfinished(others))

    def _running(self, job: ObservedJob, record: dict[str, Any]) -> Download:
        text, progress = f"download Job {job.name} is running", self._seen.view.status.progress
        going = self._going(DOWNLOADING, text, record)
        told = _moment(progress.updated_at) if progress is not None else None
        if told is None or not self._seen.nothing_new(after_failure=self._fails):
            return going
        # What was told before a pause says nothing of what arrives after it.
        since = max(filter(None, (told, _started(job))))
        left = (STALLED_AFTER - (self._seen.now - since)).total_seconds()
        if left > 0:
            return replace(going, look_again_after=left)
        trouble = f"nothing has arrived since {rfc3339(since)}; kubectl logs job/{job.name} may say why"
        return self._going(DOWNLOAD_STALLED, f"{text}, and {trouble}", record, trouble=trouble)

    @property
    def _fails(self) -> bool:
        """Whether it is Failed by the status in force, for an attempt with the input and the volume of now."""
        told, failure = self._seen.view.status.status, self._seen.view.status.last_failure
        return told == CacheState.FAILED and failure is not None and self._tried(failure.job_name)

    def _tried(self, job: str) -> bool:
        """Whether a Job had the input and the volume of now."""
        tried = JobName.parse(job)
        if tried is None or isinstance(self._input, Missing):
            return False
        return tried == self._name(tried.attempt, self._input)

    def _failed(
        self, job: ObservedJob, failed: Failed, log: PodLog | None, record: dict[str, Any]
    ) -> Download:
        """Count one more failed attempt."""
        seen = self._seen
        explained = explain(
            failed,
            (log.data if log is not None else None) or b"",
            source=seen.view.spec.source_uri,
            claim=seen.cache.name,
            requested=self._volume.requested,
            env=() if isinstance(self._input, Missing) else self._input.env,
        )
        failures = seen.view.status.failed_downloads + 1
        failure = {
            "jobName": job.name,
            "reason": explained.reason,
            "message": explained.message,
            "finishedAt": seen.timestamp,
        }
        if explained.reason in OF_SECRETS and self._secrets():
            if seen.secret_versions is None:
                return replace(self._going("", "", record), read_secrets=self._secrets())
            if seen.secret_versions:
                failure["secretVersions"] = seen.secret_versions
        record = {
            **record,
            "failedDownloads": failures,
            "nextDownloadAt": rfc3339(seen.now + pause_after(failures)),
            "lastFailure": failure,
        }
        return self._next(record)

    def _secrets(self) -> tuple[str, ...]:
        """The Secrets that the download is given, each once."""
        if isinstance(self._input, Missing):
            return ()
        given = (((item.get("valueFrom") or {}).get("secretKeyRef") or {}) for item in self._input.env)
        names = (item["name"] for item in given if item)
        return tuple(dict.fromkeys((*names, *self._input.pull_secrets)))

    def _next(self, record: dict[str, Any]) -> Download:
        """No Job counts: pause, wait for old ones to go, or make the next."""
        seen, delete = self._seen, _unfinished(self._seen.jobs)
        if isinstance(self._input, Missing):
            return Download(
                CacheState.PENDING, self._input.reason, self._input.message, record, delete_jobs=delete
            )
        name = self._name(record.get("failedDownloads", 0) + 1, self._input)
        pause = self._pause(record, name.attempt)
        if pause is not None:
            return replace(pause, delete_jobs=delete)
        former = self._former()
        if former:
            text = f"the next download waits until {former} is gone"
            going = self._going(DOWNLOAD_WAITING, text, record, trouble=text)
            return replace(going, delete_jobs=delete, look_again_after=LINGERING.total_seconds())
        body = download_job(seen.cache, self._input, name)
        if seen.job_refused:
            going = Download(CacheState.PENDING, DOWNLOAD_REFUSED, seen.job_refused, record)
        else:
            going = self._going(DOWNLOAD_WAITING, _waits(name.of(seen.cache.name)), record)
        return replace(going, create_job=body)

    def _former(self) -> str:
        """What may still write to the volume."""
        seen = self._seen
        jobs = (job.meta for job in seen.jobs if not job.finished)
        for kind, items in (("Job", jobs), ("pod", (pod.meta for pod in seen.strangers))):
            for meta in items:
                deleted = _moment(meta.deletion_timestamp)
                if deleted is None or seen.now - deleted < LINGERING:
                    return f"{kind} {meta.name}"
        return ""

    def _pause(self, record: dict[str, Any], attempt: int) -> Download | None:
        """The pause after a failure of the same input on the same volume, unless it is over."""
        failure, until = record.get("lastFailure"), _moment(record.get("nextDownloadAt"))
        if not failure or until is None or not self._tried(failure["jobName"]):
            return None
        left = (until - self._seen.now).total_seconds()
        if left <= 0:
            return None
        versions, secrets = failure.get("secretVersions"), self._secrets()
        if versions and secrets:
            if self._seen.secret_versions is None:
                return replace(self._going("", "", record), read_secrets=secrets)
            if self._seen.secret_versions != versions:
                return None
            left = min(left, SECRETS_SECONDS)
        text = _followed(failure["message"], f"Attempt {attempt} follows at {record['nextDownloadAt']}")
        return Download(CacheState.FAILED, failure["reason"], text, record, look_again_after=left)

    def _going(self, reason: str, message: str, record: dict[str, Any], *, trouble: str = "") -> Download:
        """An attempt is under way, or about to be.

        Args:
            reason: how it goes.
            message: how it goes.
            record: of attempts so far.
            trouble: what of the message is said of a cache that stays Failed too.
        """
        failure, attempt = record.get("lastFailure"), record.get("failedDownloads", 0) + 1
        record = {key: value for key, value in record.items() if key != "nextDownloadAt"}
        if failure and self._fails and (self._seen.arrived or 0) <= NOISE_BYTES:
            text = f"Attempt {attempt}" + (f": {trouble}" if trouble else " is under way")
            return Download(CacheState.FAILED, failure["reason"], _followed(failure["message"], text), record)
        if failure:
            message += f"; attempt {attempt}, the last failed: {failure['reason']}"
        return Download(CacheState.PROGRESSING, reason, message, record)

    def _complete(self, completed: dict[str, Any]) -> Download:
        text = f"{self._seen.view.spec.source_uri} is on PersistentVolumeClaim {self._seen.cache.name!r}"
        return Download(
            CacheState.AVAILABLE,
            DOWNLOADED,
            text,
            {"completed": completed},
            delete_jobs=_unfinished(self._seen.jobs),
        )

    def _name(self, attempt: int, input_: DownloadInput) -> JobName:
        return JobName.make(attempt, volume_uid=self._volume.uid, input_hash=input_.hash)


def _followed(failure: str, text: str) -> str:
    """Both as sentences, the latter whole. Often a failure ends with the last words of a log, which are one already."""
    stop = "" if failure.endswith((".", "!", "?")) else "."
    return f"{clip(failure, max(MAX_MESSAGE // 2, MAX_MESSAGE - len(text) - 2))}{stop} {text}"


def _started(job: ObservedJob) -> datetime | None:
    """When the container that downloads began to run."""
    runs = [
        _moment(item.state.running.started_at)
        for pod in job.pods
        for item in pod.view.container_statuses
        if item.name == CONTAINER and item.state.running is not None
    ]
    return max(filter(None, runs), default=None)


def _waits(job: str, message: str = "") -> str:
    return f"download Job {job} waits to run" + (f": {message}" if message else "")


def _is_complete(job: ObservedJob) -> bool:
    ended = job.job.view.ended
    return ended is not None and ended.type == "Complete"


def _termination_message(job: ObservedJob) -> PodLog | None:
    """The end of the log that the kubelet put into the pod's status, of the newest pod that failed."""
    pods = sorted(job.pods, key=lambda pod: (pod.meta.creation_timestamp, pod.meta.name), reverse=True)
    for pod in pods:
        end = pod.view.terminated(CONTAINER)
        if end is not None and end.exit_code:
            return PodLog(pod.meta.name, end.message.encode()) if end.message else None
    return None


def _unfinished(jobs: Iterable[ObservedJob]) -> tuple[JobDeletion, ...]:
    """Jobs that are not over. Finished ones go by their TTL; until then people can read their logs."""
    return _deletions(job for job in jobs if not job.finished)


def _deletions(jobs: Iterable[ObservedJob]) -> tuple[JobDeletion, ...]:
    return tuple(
        JobDeletion(meta.namespace, meta.name, meta.uid, meta.resource_version)
        for meta in (job.meta for job in jobs if not job.deleting)
    )


def _record(seen: ModelCacheObservation) -> dict[str, Any]:
    """What status says of attempts so far."""
    status = seen.view.status
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


def _moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
