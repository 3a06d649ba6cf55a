"""What is simulated: a cluster, an operator, what users do, and what must always be true.

Subclass :class:`Scenario`. Only ``add_controllers`` has to be implemented; everything else has a default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster import DevCluster
from aimctl.runtime.manager import LeaderElectionOptions, ManagerOptions
from aimctl.testing.simulation.plan import Plan, make_plan
from aimctl.testing.virtualtime import virtual_clock

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping, Sequence

    from aimctl.runtime.manager import Manager
    from aimctl.testing.simulation.plan import Step
    from aimctl.testing.simulation.world import World, Write

__all__ = ["Scenario"]

LEASE = LeaderElectionOptions(
    "operator", "default", lease_duration=30.0, renew_deadline=20.0, retry_period=8.0
)


class Scenario:
    """A scenario for :func:`aimctl.testing.simulation.run.simulate`. One object serves all seeds.

    Attributes:
        name: in messages.
        command: repeats one seed; ``{seed}`` and ``{keep}`` are replaced.
        replicas: how many processes run at the same time.
        seconds: virtual time of faults and actions; then all faults end. Steps begin within its first nine tenths.
        settle_seconds: after the last fault, the time within which the desired state must be reached.
        quiet_seconds: for how long there is no write once it is reached.
        most_actions: the largest number of actions in one run.
        most_faults: the largest number of faults in one run.
        branches: how many consecutive seeds share an opening: the cluster, the first objects, and the order of tasks
            until steps may begin. A program that runs many seeds plays it once for all of them.
        openings: the durations of the opening in virtual seconds; one of them is chosen.
    """

    name: str = "simulation"
    command: str = "simulate seed {seed}, steps {keep}"
    replicas: int = 2
    seconds: float = 180.0
    settle_seconds: float = 600.0
    quiet_seconds: float = 90.0
    most_actions: int = 7
    most_faults: int = 5
    branches: int = 1
    openings: Sequence[float] = (0.0,)

    # ---- the operator and its cluster

    def add_controllers(self, manager: Manager, world: World) -> None:
        """Add the controllers of the operator to a manager. Called at each start of a process."""
        raise NotImplementedError(f"{type(self).__name__}: implement add_controllers")

    def manager_options(self) -> ManagerOptions:
        """The options of each manager. Without leader election, use one replica."""
        return ManagerOptions(leader_election=LEASE, loop_lag_interval=0)

    def cluster(self, rng: random.Random) -> DevCluster:
        """A new cluster, which is not running yet.

        It reports version 1.33, so that informers list in pages.
        """
        return DevCluster(clock=virtual_clock(), rng=rng, events=False, kubernetes="1.33.0")

    # ---- what happens

    async def begin(self, world: World) -> None:
        """Create the first objects. The processes run already."""

    def actions(self) -> Mapping[str, float]:
        """The names and weights of the actions of users, and of faults of your own."""
        return {}

    def faults(self) -> Mapping[str, float]:
        """The names and weights of the faults; by default those of :mod:`aimctl.testing.simulation.faults`."""
        from aimctl.testing.simulation.faults import WEIGHTS

        return WEIGHTS

    def plan(self, seed: int) -> Plan:
        """The plan of a seed."""
        return make_plan(
            seed,
            self.actions(),
            self.faults(),
            seconds=0.9 * self.seconds,
            most=(self.most_actions, self.most_faults),
        )

    async def act(self, world: World, step: Step) -> None:
        """Carry out an action. Errors of the API server that it raises are results like any other."""
        raise NotImplementedError(f"{type(self).__name__}: implement act for {step.action!r}")

    # ---- what must be true

    def check_write(self, world: World, write: Write) -> Iterable[str]:  # noqa: ARG002 - for subclasses
        """Called after every write, before any other task runs: the invariants that do not hold."""
        return ()

    def restored(self, world: World) -> None:
        """The storage was restored, without calls of ``check_write``: read again what you keep of the objects."""

    def unsettled(self, world: World) -> Sequence[str]:  # noqa: ARG002 - for subclasses
        """What differs from the desired state. Called again and again after the last fault."""
        return ()

    def describe(self, write: Write) -> str:
        """What the trace shows of a write, such as the state of the object."""
        status = (write.after or {}).get("status")
        phase: Any = (status.get("phase") or status.get("status")) if isinstance(status, dict) else None
        return f"({phase})" if isinstance(phase, str) else ""
