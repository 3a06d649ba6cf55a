"""The metrics of a manager, with the names and labels of controller-runtime and client-go."""

from __future__ import annotations

from aimctl.runtime.manager.metrics.runtime import RuntimeMetrics, metrics_routes

__all__ = ["RuntimeMetrics", "metrics_routes"]
