"""The manager: starts and stops all components of a process in order, with leader election, probes and metrics."""

from __future__ import annotations

from aimctl.runtime.manager.events import PERMISSIONS as EVENT_PERMISSIONS
from aimctl.runtime.manager.events import EventRecorder
from aimctl.runtime.manager.leaderelection.election import PERMISSIONS as LEADER_ELECTION_PERMISSIONS
from aimctl.runtime.manager.leaderelection.election import Elector, LeaderLost, lease_permissions
from aimctl.runtime.manager.leaderelection.lease import LeaderElectionOptions
from aimctl.runtime.manager.lifecycle import GraceExceeded
from aimctl.runtime.manager.logs import configure_logging
from aimctl.runtime.manager.manager import Manager
from aimctl.runtime.manager.metrics import RuntimeMetrics
from aimctl.runtime.manager.options import ManagerOptions
from aimctl.runtime.manager.requirements import ClusterCheck, Requirements
from aimctl.runtime.manager.runnables import Runnable, Stoppable, Warmable
from aimctl.runtime.manager.serving.debug import Page
from aimctl.runtime.manager.serving.health import Check
from aimctl.runtime.manager.serving.http import parse_bind_address
from aimctl.runtime.manager.serving.sections import StatusSection
from aimctl.runtime.manager.serving.secure.options import SecureServing
from aimctl.runtime.manager.signals import stop_on_signals

__all__ = [
    "EVENT_PERMISSIONS",
    "LEADER_ELECTION_PERMISSIONS",
    "Check",
    "ClusterCheck",
    "Elector",
    "EventRecorder",
    "GraceExceeded",
    "LeaderElectionOptions",
    "LeaderLost",
    "Manager",
    "ManagerOptions",
    "Page",
    "Requirements",
    "Runnable",
    "RuntimeMetrics",
    "SecureServing",
    "StatusSection",
    "Stoppable",
    "Warmable",
    "configure_logging",
    "lease_permissions",
    "parse_bind_address",
    "stop_on_signals",
]
