"""Discovery once for each input, checked at every write.

Contract: :class:`OncePerInput` shares no code with the operator. The input of a Job is the spec of its pod. When a Job
is created for a template that exists,

    * the status has no result of a Job with the same pod,
    * the status has no failure of a Job with the same pod, unless the time of its retry has come, or the failure is
      dated in the future, because the clock that wrote it was wrong, and
    * no other Job of the template with the same pod is unfinished, or is complete and its result was never stored.

A result that was stored and replaced by that of another input may be discovered again.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storm.rules import Body

__all__ = ["OncePerInput"]


class OncePerInput:
    """The discovery Jobs of each template, by the UID of the template."""

    def __init__(self) -> None:
        self._pods: dict[tuple[str, str], bytes] = {}
        """The pod of each Job that has existed, by the UID of its template and its name."""
        self._jobs: dict[str, dict[str, Body]] = {}
        """The existing Jobs by name, by the UID of the template."""
        self._stored: set[tuple[str, str]] = set()
        """The Jobs whose results have been in the status, as in ``_pods``."""

    def note_result(self, template: Body) -> None:
        """A template was written."""
        records = (template.get("status") or {}).get("discovery") or {}
        if records.get("result"):
            self._stored.add((template["metadata"]["uid"], records["result"]["jobName"]))

    def forget(self) -> None:
        """The storage was restored: no Job and no result that was seen before need exist any more."""
        self._jobs.clear()
        self._stored.clear()

    def note_job(self, job: Body) -> None:
        """A discovery Job exists."""
        uid, name = job["metadata"]["ownerReferences"][0]["uid"], job["metadata"]["name"]
        self._pods[uid, name] = msgspec.json.encode(job["spec"]["template"]["spec"], order="sorted")
        self._jobs.setdefault(uid, {})[name] = job

    def take(self, job: Body, template: Body | None, *, change: str, now: datetime) -> Iterator[str]:
        """A change of a discovery Job.

        Args:
            job: its body.
            template: the stored template that controls it.
            change: ``ADDED``, ``MODIFIED`` or ``DELETED``.
            now: the time.

        Yields:
            What is wrong.
        """
        uid, name = job["metadata"]["ownerReferences"][0]["uid"], job["metadata"]["name"]
        known = self._jobs.setdefault(uid, {})
        if change == "ADDED":
            pod = msgspec.json.encode(job["spec"]["template"]["spec"], order="sorted")
            if template is not None:
                yield from self._unneeded(template, name, pod, now)
            self._pods[uid, name] = pod
        if change == "DELETED":
            known.pop(name, None)
        else:
            known[name] = job

    def _unneeded(self, template: Body, name: str, pod: bytes, now: datetime) -> Iterator[str]:
        uid = template["metadata"]["uid"]
        records = (template.get("status") or {}).get("discovery") or {}
        result, failure = records.get("result") or {}, records.get("failure") or {}
        if self._pods.get((uid, result.get("jobName", ""))) == pod:
            yield f"Job {name} is created although the status has the result of Job {result['jobName']}"
        if self._pods.get((uid, failure.get("jobName", ""))) == pod:
            retry, wrong_clock = failure.get("retryAt"), datetime.fromisoformat(failure["finishedAt"]) > now
            if not retry or (datetime.fromisoformat(retry) > now and not wrong_clock):
                yield (
                    f"Job {name} is created although Job {failure['jobName']} has failed and is to be retried at {retry}"
                )
        for other, job in self._jobs[uid].items():
            if self._pods[uid, other] != pod or job["metadata"].get("deletionTimestamp"):
                continue
            ended = [
                item["type"]
                for item in (job.get("status") or {}).get("conditions") or ()
                if item["type"] in ("Complete", "Failed") and item["status"] == "True"
            ]
            if not ended or (ended == ["Complete"] and (uid, other) not in self._stored):
                yield f"Job {name} is created although Job {other} is {ended or 'unfinished'}"
