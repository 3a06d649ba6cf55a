"""The CronJob controller's decision: which Jobs to start and delete, and the status. No I/O.

Contract, as in Kubernetes:
    * The Job of a scheduled time is named after it, so it is created once. Only the latest missed time is started, and
      none that is more than ``startingDeadlineSeconds`` ago.
    * ``Forbid`` waits for the active Job and then starts the latest missed time. ``Replace`` deletes the active Jobs.
    * Of the finished Jobs, the newest remain, by default three successful ones and one failed one.

Source: Kubernetes' ``pkg/controller/cronjob``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aimctl.devcluster.apiserver.objects.schedules import parse_schedule
from aimctl.devcluster.controllers.batch.job_status import finished
from aimctl.devcluster.controllers.workloads.pod_facts import owner_reference
from aimctl.runtime.clock import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import tzinfo

    from aimctl.devcluster.apiserver.objects.schedules import Schedule

__all__ = ["CronPlan", "job_for", "plan", "with_started"]

JsonObject = dict[str, Any]
EventText = tuple[str, str, str]

_SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_MANY_MISSED = 100
_MARGIN = timedelta(milliseconds=100)
"""After a scheduled time, until the controller wakes."""


@dataclass(frozen=True, slots=True)
class CronPlan:
    """What to do for a CronJob, in this order.

    Attributes:
        events: the Events to record, as type, reason and message.
        delete: the Jobs to delete: finished ones beyond the history, and active ones that are replaced.
        start: the scheduled time of the Job to create, in UTC.
        status: the status without the new Job.
        wake_at: when to decide again, if nothing else happens before.
    """

    events: tuple[EventText, ...] = ()
    delete: tuple[JsonObject, ...] = ()
    start: datetime | None = None
    status: JsonObject = field(default_factory=dict)
    wake_at: datetime | None = None


def plan(cron: JsonObject, jobs: Sequence[JsonObject], *, now: datetime) -> CronPlan:
    """Decide. ``jobs`` are the Jobs that the CronJob controls."""
    spec = cron["spec"]
    events: list[EventText] = []
    status = _observed(cron, jobs, events)
    delete = _beyond_history(spec, jobs)
    if cron["metadata"].get("deletionTimestamp"):
        return CronPlan(tuple(events), tuple(delete), None, status)
    zone, schedule = _timetable(spec, events)
    if schedule is None or spec.get("suspend"):
        return CronPlan(tuple(events), tuple(delete), None, status)
    due = _latest_due(cron, schedule, zone, now, events)
    following = schedule.after(now.astimezone(zone))
    wake = None if following is None else following.astimezone(UTC) + _MARGIN
    start = due
    active = status.get("active") or []
    if due is not None:
        if status.get("lastScheduleTime") == format_time(due):
            start = None
        elif _is_late(spec, due, now):
            text = f"Missed scheduled time to start a job: {_shown(due)}"
            events.append(("Warning", "MissSchedule", text))
            start = None
        elif active and spec.get("concurrencyPolicy") == "Forbid":
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            events.append(("Normal", "JobAlreadyActive", text))
            start = None
    if start is not None and spec.get("concurrencyPolicy") == "Replace":
        uids = {each["uid"] for each in active}
        delete += [job for job in jobs if job["metadata"]["uid"] in uids]
        status.pop("active", None)
    return CronPlan(tuple(events), tuple(delete), start, status, wake)


def job_for(cron: Mapping[str, Any], time: datetime) -> JsonObject:
    """The Job of a scheduled time."""
    template, metadata = cron["spec"]["jobTemplate"], cron["metadata"]
    own = template.get("metadata") or {}
    zone = _zone(cron["spec"]) or UTC
    shown = time.astimezone(zone).isoformat()
    annotations = {**(own.get("annotations") or {}), _SCHEDULED: shown.replace("+00:00", "Z")}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{metadata['name']}-{int(time.timestamp()) // 60}",
            "namespace": metadata["namespace"],
            "labels": dict(own.get("labels") or {}),
            "annotations": annotations,
            "ownerReferences": [owner_reference(cron)],
        },
        "spec": template["spec"],
    }


def with_started(status: JsonObject, job: Mapping[str, Any], time: datetime) -> JsonObject:
    """The status after a Job was created."""
    metadata = job["metadata"]
    reference = {
        "kind": "Job",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": "batch/v1",
        "resourceVersion": metadata["resourceVersion"],
    }
    active = [*(status.get("active") or ()), reference]
    return {**status, "active": active, "lastScheduleTime": format_time(time)}


def _observed(cron: JsonObject, jobs: Sequence[JsonObject], events: list[EventText]) -> JsonObject:
    """The status after a look at the Jobs: finished and missing ones are not active."""
    status = dict(cron.get("status") or {})
    active = list(status.get("active") or ())
    listed = {each["uid"] for each in active}
    by_uid = {job["metadata"]["uid"]: job for job in jobs}
    for job in jobs:
        metadata, end = job["metadata"], finished(job)
        if metadata["uid"] not in listed and end is None:
            text = f"Saw a job that the controller did not create or forgot: {metadata['name']}"
            events.append(("Warning", "UnexpectedJob", text))
        elif metadata["uid"] in listed and end is not None:
            text = f"Saw completed job: {metadata['name']}, condition: {end['type']}"
            events.append(("Normal", "SawCompletedJob", text))
            active = [each for each in active if each["uid"] != metadata["uid"]]
        completed = (job.get("status") or {}).get("completionTime")
        if end is not None and end["type"] == "Complete" and completed:
            status["lastSuccessfulTime"] = max(completed, status.get("lastSuccessfulTime") or "")
    for each in list(active):
        if each["uid"] not in by_uid:
            events.append(("Normal", "MissingJob", f"Active job went missing: {each['name']}"))
            active.remove(each)
    status.pop("active", None)
    return {**({"active": active} if active else {}), **status}


def _beyond_history(spec: Mapping[str, Any], jobs: Sequence[JsonObject]) -> list[JsonObject]:
    found: list[JsonObject] = []
    for type_, limit in (
        ("Complete", spec.get("successfulJobsHistoryLimit", 3)),
        ("Failed", spec.get("failedJobsHistoryLimit", 1)),
    ):
        ended = [job for job in jobs if (finished(job) or {}).get("type") == type_]
        ended.sort(key=lambda job: ((job["status"].get("startTime") or ""), job["metadata"]["name"]))
        found += ended[: max(0, len(ended) - int(limit))]
    return found


def _timetable(spec: Mapping[str, Any], events: list[EventText]) -> tuple[tzinfo, Schedule | None]:
    zone = _zone(spec)
    if zone is None:
        text = f'invalid timeZone: "{spec["timeZone"]}": unknown time zone {spec["timeZone"]}'
        events.append(("Warning", "UnknownTimeZone", text))
        return UTC, None
    try:
        return zone, parse_schedule(spec["schedule"])
    except ValueError as error:
        text = f'unparseable schedule: "{spec["schedule"]}" : {error}'
        events.append(("Warning", "UnparseableSchedule", text))
        return zone, None


def _zone(spec: Mapping[str, Any]) -> tzinfo | None:
    """The time zone; UTC by default, None if it is unknown."""
    try:
        return ZoneInfo(spec["timeZone"]) if spec.get("timeZone") else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _latest_due(
    cron: JsonObject, schedule: Schedule, zone: tzinfo, now: datetime, events: list[EventText]
) -> datetime | None:
    """The latest scheduled time that is not in the future, in UTC; None if nothing is due since the last one."""
    spec, status = cron["spec"], cron.get("status") or {}
    earliest = parse_time(status.get("lastScheduleTime") or cron["metadata"]["creationTimestamp"])
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None:
        earliest = max(earliest, now - timedelta(seconds=int(deadline)))
    first = schedule.after(earliest.astimezone(zone))
    if first is None or first > now:
        return None
    second = schedule.after(first)
    if second is None or second > now:
        return first.astimezone(UTC)
    step = second - first
    if (now - first) / step > _MANY_MISSED:
        text = (
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        )
        events.append(("Warning", "TooManyMissedTimes", text))
    latest, window = first, step * _MANY_MISSED
    while True:
        found = max(first, now.astimezone(zone) - window)
        time = first if found == first else schedule.after(found)
        if time is not None and time <= now:
            break
        window *= 2
    while time is not None and time <= now:
        latest = time
        time = schedule.after(time)
    return latest.astimezone(UTC)


def _is_late(spec: Mapping[str, Any], due: datetime, now: datetime) -> bool:
    deadline = spec.get("startingDeadlineSeconds")
    return deadline is not None and due + timedelta(seconds=int(deadline)) < now


def _shown(time: datetime) -> str:
    """A time as Go formats RFC1123Z."""
    return time.strftime("%a, %d %b %Y %H:%M:%S +0000")
