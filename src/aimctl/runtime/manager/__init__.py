"""The manager: starts and stops all components of a process in order, with leader election, probes and metrics."""

from __future__ import annotations

from aimctl.runtime.manager.debug import DebugPages as DebugPages
from aimctl.runtime.manager.debug import Page as Page
from aimctl.runtime.manager.debug import render_table as render_table
from aimctl.runtime.manager.election import ElectionMetrics as ElectionMetrics
from aimctl.runtime.manager.election import Elector as Elector
from aimctl.runtime.manager.election import LeaderLost as LeaderLost
from aimctl.runtime.manager.events import EventMetrics as EventMetrics
from aimctl.runtime.manager.events import EventRecorder as EventRecorder
from aimctl.runtime.manager.health import Check as Check
from aimctl.runtime.manager.health import HealthChecks as HealthChecks
from aimctl.runtime.manager.http import HttpServer as HttpServer
from aimctl.runtime.manager.http import parse_bind_address as parse_bind_address
from aimctl.runtime.manager.lease import Action as Action
from aimctl.runtime.manager.lease import LeaderElectionOptions as LeaderElectionOptions
from aimctl.runtime.manager.lease import LeaseRecord as LeaseRecord
from aimctl.runtime.manager.lease import Observation as Observation
from aimctl.runtime.manager.lease import decide as decide
from aimctl.runtime.manager.lifecycle import GraceExceeded as GraceExceeded
from aimctl.runtime.manager.logs import configure_logging as configure_logging
from aimctl.runtime.manager.manager import Manager as Manager
from aimctl.runtime.manager.manager import ManagerOptions as ManagerOptions
from aimctl.runtime.manager.metrics import RuntimeMetrics as RuntimeMetrics
from aimctl.runtime.manager.runnables import Runnable as Runnable
from aimctl.runtime.manager.runnables import Stoppable as Stoppable
from aimctl.runtime.manager.runnables import Warmable as Warmable
from aimctl.runtime.manager.signals import stop_on_signals as stop_on_signals

__all__ = [
    "Action",
    "Check",
    "DebugPages",
    "ElectionMetrics",
    "Elector",
    "EventMetrics",
    "EventRecorder",
    "GraceExceeded",
    "HealthChecks",
    "HttpServer",
    "LeaderElectionOptions",
    "LeaderLost",
    "LeaseRecord",
    "Manager",
    "ManagerOptions",
    "Observation",
    "Page",
    "Runnable",
    "RuntimeMetrics",
    "Stoppable",
    "Warmable",
    "configure_logging",
    "decide",
    "parse_bind_address",
    "render_table",
    "stop_on_signals",
]
