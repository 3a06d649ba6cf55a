"""What a controller tells about itself; the ``controller_runtime_*`` metrics implement it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, final

if TYPE_CHECKING:
    from aimctl.runtime.controller.outcome import ResultLabel

__all__ = ["ControllerMetrics", "Failure", "NoControllerMetrics"]

Failure: TypeAlias = Literal["error", "terminal", "panic", "timeout"]


class ControllerMetrics(Protocol):
    """Hooks of one controller, called synchronously; they must neither block nor raise."""

    def workers(self, count: int) -> None:
        """``controller_runtime_max_concurrent_reconciles``."""
        ...

    def started(self) -> None:
        """A run began: ``controller_runtime_active_workers`` plus one."""
        ...

    def finished(self, result: ResultLabel | None, seconds: float) -> None:
        """A run ended: ``…_active_workers`` minus one, ``…_reconcile_total``, ``…_reconcile_time_seconds``.

        ``result`` is None for a run that was cancelled, which counts nowhere else.
        """
        ...

    def failed(self, failure: Failure) -> None:
        """``…_reconcile_errors_total`` for "error" (always said), and the narrower counters beside it."""
        ...

    def hot_loop(self) -> None:
        """One key is reconciled again and again with success."""
        ...


@final
class NoControllerMetrics:
    """Counts nothing."""

    __slots__ = ()

    def workers(self, count: int) -> None:
        """Ignore."""

    def started(self) -> None:
        """Ignore."""

    def finished(self, result: ResultLabel | None, seconds: float) -> None:
        """Ignore."""

    def failed(self, failure: Failure) -> None:
        """Ignore."""

    def hot_loop(self) -> None:
        """Ignore."""
