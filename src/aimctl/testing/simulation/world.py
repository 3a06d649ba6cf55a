"""One simulated world: a cluster, the processes of an operator, and a witness of every write.

Contract:
    * :func:`build` starts a cluster and its processes in the running loop, which has virtual time and a seeded order.
    * Every write is an entry of the trace with its actor, and is checked before any other task runs.
    * Problems are collected with their times. They do not end the run.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.memory_transport import MemoryTransport
from aimctl.runtime.kube.client import Client
from aimctl.testing.simulation.network import describe
from aimctl.testing.simulation.process import ACTOR, Process
from aimctl.testing.simulation.trace import Trace
from aimctl.testing.virtualtime import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from aimctl.devcluster import DevCluster
    from aimctl.devcluster.storage.store import Snapshot
    from aimctl.testing.simulation.network import Sent
    from aimctl.testing.simulation.scenario import Scenario

__all__ = ["World", "Write", "build"]

_MOST_PROBLEMS = 50
_LEASES = "leases.coordination.k8s.io"


@dataclass(frozen=True, slots=True)
class Write:
    """One change of the storage.

    Attributes:
        at: virtual time.
        actor: who caused it, see :data:`~aimctl.testing.simulation.process.ACTOR`.
        collection: plural and group of the kind, such as ``deployments.apps``; the plural alone for the core
            group.
        type: ADDED, MODIFIED or DELETED.
        namespace: of the object; "" for cluster-scoped ones.
        name: of the object.
        before: the stored body before it; None if there was none. Do not change it.
        after: the stored body after it; None if it was deleted. Do not change it.
    """

    at: float
    actor: str
    collection: str
    type: str
    namespace: str
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @property
    def place(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@final
class World:
    """A running world.

    Args:
        scenario: what is simulated.
        cluster: the running cluster.
        seed: of the run, or of its opening.

    Attributes:
        trace: what happened.
        problems: violated invariants, with times.
        counts: how often each fault, action and check occurred.
        client: for users; no faults.
        processes: all that were started, in order.
        state: for the scenario: anything that belongs to this run.
    """

    def __init__(self, scenario: Scenario, cluster: DevCluster, seed: int) -> None:
        self.scenario = scenario
        self.cluster = cluster
        self.seed = seed
        self.trace: Trace = Trace()
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.client: Client = Client(
            MemoryTransport(cluster.server, user_agent="user", internal=True),
            clock=cluster.clock,
            field_manager="user",
        )
        self.processes: list[Process] = []
        self.state: Any = None
        self.wrote_at: float = 0.0
        self._holder: str | None = None
        self._healers: list[Callable[[], object]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._replacing = True
        self._bodies: dict[tuple[str, str], dict[str, Any]] = {}
        """The stored body after the last write of each object, so that each is decoded once."""
        self._triggers: dict[str, tuple[int, Callable[[], None]]] = {}
        cluster.server.storage.observers.append(self._observe)

    @property
    def now(self) -> float:
        """Virtual seconds since the start of the loop."""
        return asyncio.get_running_loop().time()

    def rng(self, purpose: str) -> random.Random:
        """Random numbers for one purpose, a function of the seed."""
        return random.Random(f"{self.seed} {purpose}")  # noqa: S311 - a repeatable run, no secrets

    def problem(self, text: str) -> None:
        """Report that an invariant does not hold."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(f"{self.now:.3f} {text}")
        self.trace.add("PROBLEM", text)

    @contextmanager
    def acting(self, actor: str) -> Iterator[None]:
        """The writes within the context are those of this actor."""
        token = ACTOR.set(actor)
        try:
            yield
        finally:
            ACTOR.reset(token)

    def branch(self, seed: int) -> None:
        """Continue with the random numbers of this seed, at the end of an opening that several seeds share."""
        self.seed = seed
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualTimeLoop) and loop.order is not None:
            loop.order.reseed(self.rng("order"))

    # ---- processes

    @property
    def running(self) -> list[Process]:
        """The processes that run."""
        return [each for each in self.processes if each.running]

    @property
    def leader(self) -> Process | None:
        """The process that considers itself the leader; if there are several, the one that started first."""
        return next((each for each in self.processes if each.leads), None)

    def start_process(self) -> Process:
        """Start a process. It is replaced when it ends, until the world is closed."""
        number = len(self.processes) + 1
        process = Process(
            self.cluster,
            f"manager-{number}",
            seed=f"{self.seed} manager {number}",
            trace=self.trace,
            options=self.scenario.manager_options(),
            add_controllers=lambda manager: self.scenario.add_controllers(manager, self),
            on_send=self._sent,
        )
        self.processes.append(process)
        self.counts["processes"] += 1
        process.task.add_done_callback(lambda _: self._ended(process))
        return process

    def _ended(self, process: Process) -> None:
        if process.failure is not None:
            error = process.failure
            self.problem(f"{process.identity} failed: {type(error).__name__}: {error}")
        if self._replacing:
            pause = self.rng(f"restart {process.identity}").choice([0.1, 1.0, 10.0])
            self.later(pause, self._replace)

    def _replace(self) -> None:
        if self._replacing and len(self.running) < self.scenario.replicas:
            self.start_process()

    # ---- faults

    def until(self, seconds: float, end: Callable[[], object]) -> None:
        """Call a function or coroutine function after some seconds, or when all faults end, whichever is first."""
        self._healers.append(end)

        async def run() -> None:
            if end in self._healers:
                self._healers.remove(end)
                await _called(end)

        self.later(seconds, run)

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Call a function or coroutine function after some seconds, in a task of the world."""

        async def run() -> None:
            await asyncio.sleep(seconds)
            await _called(action)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def heal(self) -> None:
        """End all faults, and make sure that all processes run."""
        healers, self._healers = self._healers, []
        for end in healers:
            await _called(end)
        self.cluster.faults.clear()
        self._triggers.clear()
        for process in self.running:
            process.unblock()
            process.connection.heal()
        while len(self.running) < self.scenario.replicas:
            self.start_process()
        self.trace.add("fault", "all faults have ended")

    async def close(self) -> None:
        """Stop all processes."""
        self._replacing = False
        for task in [*self._tasks]:
            task.cancel()
        for process in self.running:
            process.unblock()
            process.stop()
        tasks = [process.task for process in self.processes if not process.task.done()]
        if tasks:
            await asyncio.wait(tasks)

    def at_write(self, process: Process, skip: int, action: Callable[[], None]) -> None:
        """Call ``action`` when a process sends a write, after ``skip`` others, unless all faults end before that."""
        self._triggers[process.identity] = (skip, action)

    # ---- checks

    def _sent(self, process: Process, sent: Sent) -> None:
        if not sent.is_write:
            return
        skip, action = self._triggers.pop(process.identity, (0, None))
        if action is not None and skip:
            self._triggers[process.identity] = (skip - 1, action)
        elif action is not None:
            action()
        self.wrote_at = sent.at
        self.counts["writes of processes"] += 1
        if process.manager.elector is not None and self._holder not in (None, "", process.identity):
            self.problem(
                f"{process.identity} sends {describe(sent.info)}, but {self._holder} holds the Lease"
            )

    def _observe(self, collection: Any, change: Any) -> None:
        record, previous = change.record, change.previous
        actor = ACTOR.get()
        self.counts["writes"] += 1
        if collection.name == _LEASES:
            election = self.scenario.manager_options().leader_election
            if election is not None and record.name == election.name:
                holder = record.object()["spec"].get("holderIdentity")
                if holder != self._holder:
                    self.trace.add(actor, f"the Lease is now held by {holder or 'no process'}")
                self._holder = "" if change.type == "DELETED" else holder
            return
        key = (collection.name, record.key)
        before = self._bodies.pop(key, None)
        if before is None and previous is not None:
            before = previous.object()
        after = None
        if change.type != "DELETED":
            after = self._bodies[key] = record.shared()
        write = Write(
            self.now,
            actor,
            collection.name,
            change.type,
            record.namespace,
            record.name,
            before,
            after,
        )
        note = self.scenario.describe(write)
        self.trace.add(
            actor, f"{change.type} {write.collection} {write.place} {change.version} {note}".rstrip()
        )
        if write.after is not None:
            status = write.after.get("status")
            observed = status.get("observedGeneration") if isinstance(status, dict) else None
            if isinstance(observed, int) and observed > write.after["metadata"].get("generation", observed):
                self.problem(
                    f"{write.collection} {write.place} has a status of a later generation: {observed}"
                )
        for text in self.scenario.check_write(self, write):
            self.problem(text)

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the storage. Which process holds the Lease is unknown until it is written again."""
        self.trace.add("fault", "the backup of etcd is restored")
        self._holder = None
        self._bodies.clear()
        self.cluster.server.storage.restore(snapshot)
        self.scenario.restored(self)


async def _called(function: Callable[[], object]) -> None:
    result = function()
    if inspect.isawaitable(result):
        await result


@asynccontextmanager
async def build(scenario: Scenario, seed: int) -> AsyncIterator[World]:
    """A running world without processes. Leaving it stops its processes and its cluster."""
    cluster = scenario.cluster(random.Random(f"{seed} cluster"))  # noqa: S311 - a repeatable run, no secrets
    async with cluster:
        world = World(scenario, cluster, seed)
        try:
            with world.acting("user"):
                yield world
        finally:
            await world.close()
