"""Counts downloads that ended, for the metric ``aim_downloads_total``."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.domain.jobs.hub_errors import RATE_LIMITED, SOURCE_UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.api.v1alpha1 import AIMModelCache, ModelCacheStatus
    from aimctl.controllers.metrics import OperatorMetrics
    from aimctl.kubetypes import Object

__all__ = ["DownloadOutcomes"]

_UNAVAILABLE = frozenset({SOURCE_UNAVAILABLE, RATE_LIMITED})
"""Reasons for which the server is responsible, and neither the object nor the cluster."""


@final
class DownloadOutcomes:
    """A handler of the informer of model caches.

    A download is counted when its result appears in the status of the model cache, by the process that leads.

    Args:
        metrics: where downloads are counted.
        leading: whether this process leads.
    """

    def __init__(self, metrics: OperatorMetrics, *, leading: Callable[[], bool]) -> None:
        self._counters = metrics.downloads
        self._leading = leading

    def on_add(self, obj: Object[AIMModelCache], *, initial: bool) -> None:
        """Do nothing: its download was counted before."""

    def on_update(self, old: Object[AIMModelCache], new: Object[AIMModelCache]) -> None:
        """Count a download whose result has appeared."""
        before, after = old.view_or_none, new.view_or_none
        if before is None or after is None or not self._leading():
            return
        completed, failure = after.status.completed, after.status.last_failure
        if completed is not None and completed != before.status.completed:
            self._counters["succeeded"].inc()
        if failure is not None and _failed_attempt(after.status) != _failed_attempt(before.status):
            self._counters["unavailable" if failure.reason in _UNAVAILABLE else "failed"].inc()

    def on_delete(self, obj: Object[AIMModelCache], *, confirmed: bool) -> None:
        """Do nothing."""


def _failed_attempt(status: ModelCacheStatus) -> tuple[object, ...]:
    """What identifies the last failure; its text may change later."""
    failure = status.last_failure
    return () if failure is None else (failure.job_name, failure.finished_at)
