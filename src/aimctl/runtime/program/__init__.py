"""A complete operator in one call: connection, manager, leader election, probes, metrics, logs, signals and flags."""

from __future__ import annotations

from aimctl.runtime.program.extensions import (
    CannotExtend,
    Extension,
    add_extensions,
    find_extensions,
    requirements_of,
)
from aimctl.runtime.program.manifests import program_manifests
from aimctl.runtime.program.options import RunOptions, parse_options
from aimctl.runtime.program.preflight import NotInstalled, Remedies, Right, check_requirements, rights_of
from aimctl.runtime.program.run import GC_THRESHOLD, CannotRun, Setup, new_event_loop, run, run_manager

__all__ = [
    "GC_THRESHOLD",
    "CannotExtend",
    "CannotRun",
    "Extension",
    "NotInstalled",
    "Remedies",
    "Right",
    "RunOptions",
    "Setup",
    "add_extensions",
    "check_requirements",
    "find_extensions",
    "new_event_loop",
    "parse_options",
    "program_manifests",
    "requirements_of",
    "rights_of",
    "run",
    "run_manager",
]
