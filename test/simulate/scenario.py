"""The AIM operator in the deterministic simulation: two managers, KServe, nodes, hub and registry, a few objects.

The limit of discovery is two Jobs, so that few templates reach it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aimctl.api.kinds import KINDS
from aimctl.controllers.operator import OperatorOptions, add_controllers
from aimctl.devcluster import DevCluster, Machine
from aimctl.runtime.manager import LeaderElectionOptions, ManagerOptions
from aimctl.simulation import Simulation
from aimctl.simulation.machines import gpu_machine
from aimctl.testing import Scenario, virtual_clock
from simulate.invariants import deletion_problems, readiness_problems, unwanted_derived
from simulate.objects import NAMESPACES, chosen_slots
from simulate.users import ACTIONS, Users
from storm.scenario import not_settled
from storm.universe import SIZES, catalogue
from storm.witness import Witness
from support.ledger import OPERATOR_NAMESPACE, Ledger
from support.simulated_registry import simulated_registry

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping, Sequence

    from aimctl.runtime.manager import Manager
    from aimctl.testing import Step, World, Write

__all__ = ["LIMIT", "AimScenario", "AimState"]

LIMIT = 2
_RESTORED_SECONDS = 30.0
_LEASE = LeaderElectionOptions(
    "aimctl-manager", OPERATOR_NAMESPACE, lease_duration=40.0, renew_deadline=28.0, retry_period=12.0
)


@functools.cache
def _crds() -> tuple[dict[str, Any], ...]:
    return tuple(kind.crd() for kind in KINDS)


@functools.cache
def _catalogue() -> Any:
    return catalogue()


@dataclass
class AimState:
    """What belongs to one run; a :class:`storm.witness.Watched`."""

    cluster: DevCluster
    simulation: Simulation

    restored_at: float = float("-inf")

    def watch(self, world: World) -> None:
        """Begin to watch all writes."""
        self.world = world
        self.ledger = Ledger(self.cluster)
        self.witness = Witness(self, self, SIZES, limit=LIMIT)
        self.users = Users(world, self, chosen_slots(world.rng("objects")))

    def found(self) -> Sequence[str]:
        """What the witness has found since the last call.

        After etcd was restored, the caches of the operator differ from each other until all of them have listed again.
        What it writes in that time about several objects is not judged. A process whose clock is wrong may retry
        earlier than the status says: at once if its clock is hours behind, because such a pause cannot be its own.
        """
        problems, self.witness.problems = self.witness.problems, []
        if any(process.skew_seconds for process in self.world.running):
            problems = [problem for problem in problems if "is to be retried at" not in problem]
        if self.now - self.restored_at < _RESTORED_SECONDS:
            return [problem for problem in problems if "is Available with" not in problem]
        return problems

    @property
    def now(self) -> float:
        return self.world.now

    def add(self, text: str) -> None:
        """A note of the witness."""
        self.world.trace.add("witness", text)


class AimScenario(Scenario):
    """See the module. ``objects`` and ``faults`` may be replaced in a subclass."""

    name = "simulate"
    most_actions = 5
    most_faults = 3
    branches = 16
    openings = (0.5, 1.0, 3.0)
    command = "make simulate SEED={seed} SIMULATE_ARGS='--keep {keep}'"

    def __init__(self) -> None:
        self._simulations: dict[int, Simulation] = {}

    def manager_options(self) -> ManagerOptions:
        return ManagerOptions(leader_election=_LEASE, loop_lag_interval=0)

    def cluster(self, rng: random.Random) -> DevCluster:
        clock = virtual_clock()
        simulation = Simulation(clock=clock, catalogue=_catalogue(), crds=_crds(), kserve=True)
        cluster = DevCluster(
            clock=clock,
            rng=rng,
            events=False,
            kubernetes="1.33.0",  # informers list in pages
            add_ons=simulation.add_ons,
            machines=[Machine("plain"), gpu_machine("gpu-0", "MI300X"), gpu_machine("gpu-2", "MI325X")],
            namespaces=NAMESPACES,
            provision_seconds=rng.choice([0.0, 2.0]),
            pace=rng.choice([0.25, 0.5]),
        )
        self._simulations = {id(cluster): simulation}
        return cluster

    def add_controllers(self, manager: Manager, world: World) -> None:
        state = self.state(world)
        registry = simulated_registry(state.simulation.registry, clock=world.cluster.clock)
        add_controllers(manager, OperatorOptions(discovery_limit=LIMIT), registry)

    def state(self, world: World) -> AimState:
        """The state of a run."""
        if world.state is None:
            world.state = AimState(world.cluster, self._simulations.pop(id(world.cluster)))
            world.state.watch(world)
        found: AimState = world.state
        return found

    async def begin(self, world: World) -> None:
        await self.state(world).users.create_all(world.rng("first specs"))

    def actions(self) -> Mapping[str, float]:
        return ACTIONS

    async def act(self, world: World, step: Step) -> None:
        await self.state(world).users.act(step.action, step.rng())

    def check_write(self, world: World, write: Write) -> Iterator[str]:
        state = world.state
        if state is None:
            return
        if write.actor.startswith("manager-"):
            state.users.written()
        yield from state.found()
        yield from readiness_problems(write)
        yield from deletion_problems(write, state.witness.objects)

    def restored(self, world: World) -> None:
        state = self.state(world)
        state.restored_at = world.now
        state.ledger.reload()
        state.witness.reload()

    def unsettled(self, world: World) -> Sequence[str]:
        state = self.state(world)
        world.counts.update(state.witness.checked)
        state.witness.checked.clear()
        return [
            *state.found(),
            *not_settled(state, state.witness),
            *unwanted_derived(state.witness.objects),
        ]
