"""What a download pod reports: its progress while it runs, and its result at the end.

Contract:
    * Reports are lines of JSON in the log: ``{"aimctl":"progress","bytes":N}`` every :data:`PROGRESS_SECONDS` seconds,
      where N is the number of bytes on the volume, and at the end ``{"aimctl":"verified","files":N,"bytes":N}`` or
      ``{"aimctl":"failed","reason":R}``. The termination message of a successful container is the report ``verified``.
    * Logs are untrusted: no function raises, and each takes time in proportion to the length of its argument.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aimctl.domain.conditions import parse_rfc3339
from aimctl.domain.jobs.observed import PodLog

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from aimctl.domain.jobs.observed import ObservedJob

__all__ = [
    "CONTAINER",
    "PROGRESS_SECONDS",
    "PROGRESS_TAIL_BYTES",
    "PROGRESS_TAIL_LINES",
    "own_output",
    "parse_progress",
    "parse_reason",
    "parse_verified",
    "running_since",
    "termination_message",
    "verified_bytes",
]

CONTAINER = "download"
"""Name of the container. Its arguments are the source, the folder, and the command that downloads."""

PROGRESS_SECONDS = 10
"""Period of the progress lines."""

PROGRESS_TAIL_LINES = 20
PROGRESS_TAIL_BYTES = 16 * 1024
"""How much of a log is read to find the last progress line."""

_LONGEST_REPORT = 256


def parse_progress(log: bytes) -> int | None:
    """Bytes on the volume according to the last progress line; None if there is none."""
    return next(
        (found for report in _reports(log, "progress") if (found := _bytes(report)) is not None), None
    )


def parse_verified(log: bytes) -> int | None:
    """The bytes of all verified files, according to the last report of success; None if there is none."""
    return next(
        (found for report in _reports(log, "verified") if (found := _bytes(report)) is not None), None
    )


def parse_reason(log: bytes, known: Collection[str]) -> str:
    """The reason of the last report of a failure that has one of these reasons; empty if there is none."""
    reasons = (report.get("reason") for report in _reports(log, "failed"))
    return next((item for item in reasons if isinstance(item, str) and item in known), "")


def own_output(log: bytes) -> bytes:
    """The output without reports. Of a program that has reported a failure, only the line before that explains it."""
    kept: list[bytes] = []
    for line in log.splitlines(keepends=True):
        report = _report(line)
        if report is None:
            kept.append(line)
        elif report.get("aimctl") == "failed":
            kept = kept[-1:]
    return b"".join(kept)


def verified_bytes(job: ObservedJob) -> int | None:
    """The bytes that a successful pod of the Job has verified; None if no pod says so, as after its deletion."""
    ends = (pod.view.terminated(CONTAINER) for pod in job.pods)
    found = (parse_verified(end.message.encode()) for end in ends if end is not None and end.exit_code == 0)
    return next((amount for amount in found if amount is not None), None)


def termination_message(job: ObservedJob) -> PodLog | None:
    """The end of the log, from the status of the newest pod that failed."""
    for pod in job.newest_first():
        end = pod.view.terminated(CONTAINER)
        if end is not None and end.exit_code:
            return PodLog(pod.meta.name, end.message.encode()) if end.message else None
    return None


def running_since(job: ObservedJob) -> datetime | None:
    """When the container that downloads started."""
    runs = [
        parse_rfc3339(item.state.running.started_at)
        for pod in job.pods
        for item in pod.view.container_statuses
        if item.name == CONTAINER and item.state.running is not None
    ]
    return max(filter(None, runs), default=None)


def _reports(log: bytes, kind: str) -> Iterator[dict[str, Any]]:
    """The reports of a kind, the last one first."""
    for line in reversed(log.splitlines()):
        report = _report(line)
        if report is not None and report.get("aimctl") == kind:
            yield report


def _report(line: bytes) -> dict[str, Any] | None:
    if b'"aimctl"' not in line or len(line) > _LONGEST_REPORT:
        return None
    try:
        report = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) and "aimctl" in report else None


def _bytes(report: dict[str, Any]) -> int | None:
    amount = report.get("bytes")
    return amount if type(amount) is int and 0 <= amount < 2**63 else None
