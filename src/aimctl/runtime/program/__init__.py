"""A complete operator in one call: connection, manager, leader election, probes, metrics, logs, signals and flags."""

from __future__ import annotations

from aimctl.runtime.program.options import RunOptions, parse_options
from aimctl.runtime.program.run import GC_THRESHOLD, CannotRun, Setup, new_event_loop, run, run_manager

__all__ = [
    "GC_THRESHOLD",
    "CannotRun",
    "RunOptions",
    "Setup",
    "new_event_loop",
    "parse_options",
    "run",
    "run_manager",
]
