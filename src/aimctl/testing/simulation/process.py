"""A manager as a process that can be stopped, killed, blocked and started again.

Contract:
    * Each start makes a new manager with a new identity, as a new pod has. Nothing is kept but the cluster.
    * A process that was killed sends nothing more, from that moment on. What it had sent arrives.
    * A blocked process runs nothing, not even its timers, while all others continue. Then it runs everything that was
      due, at once.
    * The wall clock of a process may be wrong; its monotonic clock is that of the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, final

from aimctl.devcluster.apiserver.memory_transport import MemoryTransport
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.manager import LeaderLost, Manager
from aimctl.testing.ordering import GROUP
from aimctl.testing.simulation.network import Connection
from aimctl.testing.virtualtime import EPOCH, VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aimctl.devcluster import DevCluster
    from aimctl.runtime.manager import ManagerOptions
    from aimctl.testing.ordering import SeededOrder
    from aimctl.testing.simulation.network import Sent
    from aimctl.testing.simulation.trace import Trace

__all__ = ["ACTOR", "Process"]

ACTOR: ContextVar[str] = ContextVar("aimctl_testing_actor", default="cluster")
"""Who causes the present write: the identity of a process, ``user``, ``fault``, or ``cluster`` for its components."""


@final
class Process:
    """One start of a manager.

    Args:
        cluster: the cluster.
        identity: of the process; unique in the run.
        seed: of its random numbers and of its connection.
        trace: of the run.
        options: of the manager.
        add_controllers: adds the controllers to the manager.
        on_send: called with each request before it is sent.

    Attributes:
        identity: of the process.
        connection: to the API server, with its faults.
        manager: the manager.
        task: runs the manager.
        skew_seconds: added to its wall clock.
    """

    def __init__(
        self,
        cluster: DevCluster,
        identity: str,
        *,
        seed: str,
        trace: Trace,
        options: ManagerOptions,
        add_controllers: Callable[[Manager], None],
        on_send: Callable[[Process, Sent], None],
    ) -> None:
        self.identity: str = identity
        self.skew_seconds: float = 0.0
        self.blocked: bool = False
        self._trace = trace
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.connection: Connection = Connection(
            inner=MemoryTransport(cluster.server, user_agent=identity),
            name=identity,
            rng=random.Random(f"{seed} connection"),  # noqa: S311 - a repeatable run, no secrets
            trace=trace,
            on_send=lambda sent: on_send(self, sent),
            on_crash=self._kill_soon,
        )
        context = contextvars.copy_context()
        context.run(ACTOR.set, identity)
        context.run(GROUP.set, identity)

        def make() -> Manager:
            manager = Manager(
                self.connection,
                clock=LoopClock(self._wall),
                options=options,
                identity=identity,
                rng=random.Random(seed),  # noqa: S311 - a repeatable run, no secrets
            )
            add_controllers(manager)
            return manager

        self.manager: Manager = context.run(make)
        self.task: asyncio.Task[None] = self._loop.create_task(
            self.manager.run(self._stop), name=identity, context=context
        )
        self.task.add_done_callback(self._ended)
        trace.add(identity, "starts")

    @property
    def running(self) -> bool:
        """Whether it has neither ended nor been killed."""
        return not self.task.done() and not self.connection.dead

    @property
    def leads(self) -> bool:
        """Whether it considers itself the leader, or works without election."""
        return self.running and self.manager.elected.is_set()

    @property
    def failure(self) -> BaseException | None:
        """The error that ended it; None if it was stopped, was killed, or lost its lease."""
        if not self.task.done() or self.connection.dead or self.task.cancelled():
            return None
        error = self.task.exception()
        return None if isinstance(error, LeaderLost) else error

    def kill(self) -> None:
        """End it as SIGKILL does. Does nothing if it has ended."""
        if self.running:
            self._trace.add(self.identity, "is killed")
        self.connection.dead = True
        self.unblock()
        self.task.cancel()

    def stop(self) -> None:
        """Ask it to end, as SIGTERM does."""
        self._trace.add(self.identity, "is asked to stop")
        self._stop.set()

    def block(self) -> None:
        """Block its event loop until :meth:`unblock`. Needs a loop with a seeded order."""
        self._trace.add(self.identity, "is blocked")
        self.blocked = True
        self._order.hold(self.identity)

    def unblock(self) -> None:
        """Let it continue. Does nothing if it is not blocked."""
        if self.blocked:
            self._trace.add(self.identity, "continues")
            self.blocked = False
            self._order.release(self.identity)

    @property
    def _order(self) -> SeededOrder:
        if not isinstance(self._loop, VirtualTimeLoop) or self._loop.order is None:
            raise RuntimeError("blocking a process needs run_virtual(..., order=SeededOrder(rng))")
        return self._loop.order

    def _kill_soon(self) -> None:
        self._loop.call_soon(self.task.cancel)

    def _wall(self) -> datetime:
        return EPOCH + timedelta(seconds=self._loop.time() + self.skew_seconds)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if not self.connection.dead:
            self._trace.add(self.identity, f"ends: {type(error).__name__ if error else 'stopped'}")
