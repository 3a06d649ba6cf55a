"""The type of ``batch/v1.Job``."""

from __future__ import annotations

from aimctl.kubetypes.view import Condition, View

__all__ = [
    "Job",
    "JobSpec",
    "JobStatus",
]


class JobSpec(View, frozen=True, gc=False):
    """``batch/v1.JobSpec`` without the pod template."""

    parallelism: int | None = None
    completions: int | None = None
    backoff_limit: int | None = None
    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None
    suspend: bool | None = None


class JobStatus(View, frozen=True, gc=False):
    """Counts of pods, and conditions."""

    active: int | None = None
    ready: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    start_time: str | None = None
    completion_time: str | None = None
    conditions: tuple[Condition, ...] | None = None


class Job(View, frozen=True, gc=False):
    """``batch/v1.Job``."""

    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()

    @property
    def ended(self) -> Condition | None:
        """The condition ``Complete`` or ``Failed`` that is True; None while the Job is unfinished."""
        for item in self.status.conditions or ():
            if item.type in {"Complete", "Failed"} and item.status == "True":
                return item
        return None

    @property
    def finished(self) -> bool:
        """Whether the Job is Complete or Failed."""
        return self.ended is not None

    @property
    def complete(self) -> bool:
        """Whether the Job is Complete."""
        ended = self.ended
        return ended is not None and ended.type == "Complete"

    @property
    def failed(self) -> bool:
        """Whether the Job is Failed; the condition :attr:`ended` has the reason."""
        ended = self.ended
        return ended is not None and ended.type == "Failed"
