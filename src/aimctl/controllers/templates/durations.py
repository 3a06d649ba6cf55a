"""Observes how long discoveries took, for the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.kubetypes.builtin import JOBS
from aimctl.runtime.clock import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.api.v1alpha1 import DiscoveryRecord
    from aimctl.controllers.metrics import OperatorMetrics
    from aimctl.domain.templates.template import Template
    from aimctl.runtime.cache import Cache

__all__ = ["DiscoveryDurations"]


@final
class DiscoveryDurations:
    """A handler of the informers of templates.

    A discovery is observed when its result or its failure appears in the status of the template, by the process that
    leads. Its Job is then still in the cache.

    Args:
        metrics: where durations are observed.
        cache: Jobs are declared in it.
        operator_namespace: where the Jobs of cluster templates run.
        leading: whether this process leads.
    """

    def __init__(
        self,
        metrics: OperatorMetrics,
        cache: Cache,
        *,
        operator_namespace: str,
        leading: Callable[[], bool],
    ) -> None:
        self._metrics = metrics
        self._cache = cache
        self._operator_namespace = operator_namespace
        self._leading = leading

    def on_add(self, obj: Template, *, initial: bool) -> None:
        """Do nothing: its discovery was observed before."""

    def on_update(self, old: Template, new: Template) -> None:
        """Observe the duration of a discovery that has been recorded."""
        before, after = old.view_or_none, new.view_or_none
        if not self._leading() or before is None or after is None or after.status.discovery is None:
            return
        earlier, later = before.status.discovery, after.status.discovery
        namespace = new.meta.namespace or self._operator_namespace
        for histogram, known, record in (
            (self._metrics.succeeded_seconds, earlier and earlier.result, later.result),
            (self._metrics.failed_seconds, earlier and earlier.failure, later.failure),
        ):
            seconds = None if record is None or record == known else self._seconds(namespace, record)
            if seconds is not None:
                histogram.observe(seconds)

    def on_delete(self, obj: Template, *, confirmed: bool) -> None:
        """Do nothing."""

    def _seconds(self, namespace: str, record: DiscoveryRecord) -> float | None:
        """From the creation of the Job until its result was read; None if the Job is unknown."""
        job = self._cache.get(JOBS, record.job_name, namespace)
        if job is None or not record.finished_at:
            return None
        started = parse_time(job.meta.creation_timestamp)
        return max(0.0, (parse_time(record.finished_at) - started).total_seconds())
