"""An embedded cluster with the AIM environment, made from one set of options.

cluster, simulation = aim_cluster(clock=clock, kserve=True, pace=0)
async with cluster:
    ...
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from aimctl.devcluster import DevCluster
from aimctl.simulation import Simulation

if TYPE_CHECKING:
    from aimctl.runtime.clock import Clock

__all__ = ["aim_cluster"]

_OF_THE_SIMULATION = frozenset(inspect.signature(Simulation).parameters) - {"clock"}


def aim_cluster(*, clock: Clock, **options: Any) -> tuple[DevCluster, Simulation]:
    """A cluster and its simulation. Each option is passed to the one that has it."""
    own = {name: value for name, value in options.items() if name in _OF_THE_SIMULATION}
    rest = {name: value for name, value in options.items() if name not in _OF_THE_SIMULATION}
    simulation = Simulation(clock=clock, **own)
    return DevCluster(clock=clock, add_ons=simulation.add_ons, **rest), simulation
