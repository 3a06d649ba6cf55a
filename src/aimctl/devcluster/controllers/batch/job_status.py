"""The status of a Job. No I/O.

Contract: a status passes the API server's validation: counters never decrease, ``completionTime`` exists only with
Complete, ``startTime`` is absent only while suspended. Zeros are omitted, so the status has to replace the old one.

A Job that ends gets the condition SuccessCriteriaMet or FailureTarget first, and Complete or Failed when its pods have
ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.runtime.clock import format_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aimctl.devcluster.controllers.batch.job_tally import FinishedPods

__all__ = ["JobStatus", "condition_of", "finished"]

JsonObject = dict[str, Any]

PRECURSORS = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}
"""The condition that precedes each final one."""
_ZEROS = frozenset({"ready", "terminating"})
"""Counters that are written even if they are zero."""


def condition_of(job: Mapping[str, Any], *types: str) -> JsonObject | None:
    """The first condition of one of these types that is True, or None."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in types and condition["status"] == "True":
            return dict(condition)
    return None


def finished(job: Mapping[str, Any]) -> JsonObject | None:
    """The condition Complete or Failed if it is True, or None."""
    return condition_of(job, "Complete", "Failed")


@final
class JobStatus:
    """Builds the next status from the old one, so unknown fields are kept.

    Args:
        old: the old status.
        now: the wall clock.
    """

    def __init__(self, old: Mapping[str, Any], now: datetime) -> None:
        self._old = old
        self._now = now
        self._new: JsonObject = dict(old)

    def count(self, counts: FinishedPods, fields: Mapping[str, Any]) -> None:
        """Set the counters of finished pods and other fields; None removes a field."""
        indexes = counts.index_fields
        for name in ("completedIndexes", "failedIndexes"):
            self._new.pop(name, None)
        self._new |= {"succeeded": counts.succeeded, "failed": counts.failed, **indexes, **fields}

    def condition(self, type_: str, status: str, reason: str, message: str) -> bool:
        """Set a condition. False if it had this status already."""
        conditions = [dict(item) for item in self._new.get("conditions") or ()]
        known = next((item for item in conditions if item["type"] == type_), None)
        if known is not None and known["status"] == status:
            return False
        timestamp = format_time(self._now)
        fresh = {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            "lastProbeTime": timestamp,
            "lastTransitionTime": timestamp,
        }
        self._new["conditions"] = [item for item in conditions if item["type"] != type_] + [fresh]
        return True

    def end(self, kind: str, reason: str, message: str, *, final: bool) -> None:
        """Set the condition that precedes ``kind``, Complete or Failed, and ``kind`` itself if it is final."""
        self.condition(PRECURSORS[kind], "True", reason, message)
        if final:
            self.condition(kind, "True", reason, message)
            if kind == "Complete":
                self._new["completionTime"] = format_time(self._now)

    def changed(self) -> JsonObject | None:
        """The new status without zeros, or None if it equals the old one."""
        new, old = _set_fields(self._new), _set_fields(self._old)
        return None if new == old else new


def _set_fields(status: Mapping[str, Any]) -> JsonObject:
    return {
        key: value
        for key, value in status.items()
        if value is not None and (value != 0 or (key in _ZEROS and value is not False))
    }
