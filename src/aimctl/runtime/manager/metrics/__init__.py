"""The metrics of a manager, with the names and labels of controller-runtime and client-go."""

from __future__ import annotations

from aimctl.runtime.manager.metrics.pages import metrics_routes
from aimctl.runtime.manager.metrics.runtime import RuntimeMetrics

__all__ = ["RuntimeMetrics", "metrics_routes"]
