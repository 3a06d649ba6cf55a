"""Metrics of a controller; the manager implements them as ``controller_runtime_*``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from aimctl.runtime.controller.outcome import ResultLabel

__all__ = ["ControllerMetrics", "Failure"]

Failure: TypeAlias = Literal["error", "terminal", "panic", "timeout"]


class ControllerMetrics:
    """Hooks of one controller, called synchronously. A hook must neither block nor raise. By default they do
    nothing.
    """

    __slots__ = ()

    def workers(self, count: int) -> None:
        """``controller_runtime_max_concurrent_reconciles``: the number of workers, called once."""

    def started(self) -> None:
        """A reconcile started: ``controller_runtime_active_workers`` plus one."""

    def finished(self, result: ResultLabel | None, seconds: float) -> None:
        """A reconcile ended: ``…_active_workers`` minus one, ``…_reconcile_total``, ``…_reconcile_time_seconds``.

        ``result`` is None if it was cancelled; then only the active workers change.
        """

    def failed(self, failure: Failure) -> None:
        """``…_reconcile_errors_total`` for "error", which is reported for every error, or a more specific counter."""

    def hot_loop(self) -> None:
        """An object is reconciled repeatedly without errors."""
