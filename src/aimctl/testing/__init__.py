"""Virtual time, deterministic simulation and pytest fixtures for tests of operators.

    # conftest.py: the fixtures cluster, manager, faults, virtual_time and simulate, which need the extra ``testing``
    pytest_plugins = ["aimctl.testing.plugin"]

The decorator :func:`virtual_time`, and :func:`simulate` with its classes, need neither the plugin nor the extra.
"""

from aimctl.testing.hosting import hosted as hosted
from aimctl.testing.hosting import running as running
from aimctl.testing.ordering import SeededOrder as SeededOrder
from aimctl.testing.simulation.command import simulation_main as simulation_main
from aimctl.testing.simulation.network import Connection as Connection
from aimctl.testing.simulation.network import CrashPoint as CrashPoint
from aimctl.testing.simulation.network import Sent as Sent
from aimctl.testing.simulation.plan import Plan as Plan
from aimctl.testing.simulation.plan import Step as Step
from aimctl.testing.simulation.process import Process as Process
from aimctl.testing.simulation.run import Report as Report
from aimctl.testing.simulation.run import SimulationFailed as SimulationFailed
from aimctl.testing.simulation.run import shrink as shrink
from aimctl.testing.simulation.run import simulate as simulate
from aimctl.testing.simulation.scenario import Scenario as Scenario
from aimctl.testing.simulation.trace import Trace as Trace
from aimctl.testing.simulation.world import World as World
from aimctl.testing.simulation.world import Write as Write
from aimctl.testing.virtualtime import EPOCH as EPOCH
from aimctl.testing.virtualtime import HotLoopError as HotLoopError
from aimctl.testing.virtualtime import StalledError as StalledError
from aimctl.testing.virtualtime import run_virtual as run_virtual
from aimctl.testing.virtualtime import virtual_clock as virtual_clock
from aimctl.testing.virtualtime import virtual_time as virtual_time

__all__ = [
    "EPOCH",
    "Connection",
    "CrashPoint",
    "HotLoopError",
    "Plan",
    "Process",
    "Report",
    "Scenario",
    "SeededOrder",
    "Sent",
    "SimulationFailed",
    "StalledError",
    "Step",
    "Trace",
    "World",
    "Write",
    "hosted",
    "run_virtual",
    "running",
    "shrink",
    "simulate",
    "simulation_main",
    "virtual_clock",
    "virtual_time",
]
