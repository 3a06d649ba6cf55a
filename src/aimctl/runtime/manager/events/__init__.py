"""The event recorder, and the limits of client-go for the Events that it writes."""

from __future__ import annotations

from aimctl.runtime.manager.events.recorder import PERMISSIONS, EventMetrics, EventRecorder

__all__ = ["PERMISSIONS", "EventMetrics", "EventRecorder"]
