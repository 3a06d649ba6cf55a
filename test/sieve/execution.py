"""A scenario in virtual time, and its branches: the same run with one disturbance.

Contract: :func:`execute` plays the undisturbed run. At every write of a manager and at every change of an object that
managers read, it forks a branch for each disturbance that is possible there (:mod:`sieve.branches`). A branch ends with
an :class:`Outcome`; its end state must equal that of the undisturbed run. All runs have the same user actions.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from aimctl.testing.virtualtime import run_virtual
from sieve.branches import Branches
from sieve.elections import ELECTION, Elections
from sieve.endstate import differences, end_state, without_repetitions
from sieve.invariants import Invariants
from sieve.link import Line, Link, WriteFault, plural_of
from sieve.observed import NOISE, Observed
from sieve.patterns import Disturbance, Outcome
from sieve.scenarios import SCENARIOS, Stage, catalogue
from support.operator import world

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.runtime.manager import LeaderElectionOptions
    from sieve.endstate import EndState
    from sieve.observed import Change, Key
    from sieve.patterns import Pattern
    from sieve.scenarios import Scenario
    from support.operator import Replica

__all__ = ["RECOVERY_SECONDS", "execute", "silence"]

_BEFORE_A_WRITE: tuple[tuple[Pattern, WriteFault], ...] = (
    ("crash-before", WriteFault.CRASH),
    ("lost-request", WriteFault.UNSENT),
    ("late-write", WriteFault.LATE),
)
_AFTER_A_WRITE: tuple[tuple[Pattern, WriteFault], ...] = (
    ("crash-after", WriteFault.CRASH),
    ("lost-response", WriteFault.LOST),
)

RESTART_SECONDS = 1.0
"""From a crash until another manager starts."""
_AGES = (1, 2, 4, 8, 16)
"""How many changes of a kind a standby has not seen when the leader crashes."""
_STANDBY = "standby"
_STANDBY_ELECTION = replace(ELECTION, retry_period=2.0)
_STANDBY_SECONDS = 30.0
"""The leader crashes at the latest so long after the standby sees nothing new of a kind."""
_TAKEOVER_SECONDS = 3.0
"""From the moment when the standby can reach the Lease until it holds it."""
LAG_SECONDS = 5.0
"""For how long a list is stale, a watch lags, or a watch is refused."""
RECOVERY_SECONDS = 120.0
"""By so much a disturbance may delay a scenario."""
_PLAY_SECONDS = 3600.0
_QUIET_SECONDS = 40.0
"""A run is settled when nothing has changed for so long. Longer than any pause that one disturbance causes."""
_SETTLE_SECONDS = 1800.0
_IDLE_SECONDS = 120.0
"""For so long a settled cluster must not be written to."""
_LONG_IDLE_SECONDS = 600.0
"""The same in the undisturbed run, if no Lease is renewed meanwhile."""
_SETTLED_SECONDS = 15.0
"""The scenario continues when nothing has changed for so long. Longer than a watch lags, and than a lost response delays
the next attempt."""
_UNDISTURBED_SECONDS = 10.0
"""By so much an undisturbed run may differ from the expected one, in which the operator is another version."""
_MOMENT_SECONDS = 0.05
"""From the signal to stop a manager until another one starts."""
_UNCLEAR = frozenset({"crash-before", "crash-after", "lost-request", "lost-response", "late-write"})
"""Patterns after which a write may have an unclear result, or the leader has crashed, so that the Lease expires."""
_TIMELY = frozenset({"crash-before", "crash-after", "lost-request", "late-write"})
"""Patterns in which the manager sees each change at once."""
_INPUTS = frozenset({"aimmodels", "aimclustermodels"})
"""Kinds that determine the input of discovery. An old state of them may lead to a Job that the end state has in addition."""
_MOST_DIFFERENCES = 10


def execute(
    scenario: str,
    *,
    expected: Outcome | None = None,
    wanted: Callable[[Disturbance], bool] = lambda _: False,
    received: Callable[[Outcome], object] = lambda _: None,
    found: Callable[[Outcome], object] | None = None,
    jobs: int = 1,
) -> Outcome:
    """Play a scenario and its branches; returns the outcome of the undisturbed run.

    Args:
        scenario: its name.
        expected: the undisturbed run, with which the end state and the time are compared. It may be None if no
            disturbance is wanted.
        wanted: which disturbances to branch for.
        received: called with the outcome of each branch. If it raises, there are no further branches, and the exception
            is raised at the end.
        found: if given, runs end at their first violation of an invariant. It is called with the undisturbed run when
            that has one.
        jobs: branches that run at once.
    """
    outcome = Outcome()
    branches = Branches(jobs, lost=lambda label, reason: Outcome(label, problems=[reason]), received=received)
    threshold = gc.get_threshold()
    gc.set_threshold(200_000, 50, 50)
    gc.freeze()
    try:
        run_virtual(_Run(SCENARIOS[scenario], outcome, branches, wanted, found).run(expected))
    except BaseException as error:  # a defect of the manager is a result
        if branches.label is None and not isinstance(error, Exception):
            raise
        outcome.problems.append(f"{type(error).__name__}: {error}")
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()
    if branches.label is not None:
        branches.finish(outcome)
    branches.join()
    if branches.stopped is not None:
        raise branches.stopped
    return outcome


def silence() -> None:
    """Log nothing, because managers that crash log errors."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


class _Run:
    def __init__(
        self,
        scenario: Scenario,
        outcome: Outcome,
        branches: Branches,
        wanted: Callable[[Disturbance], bool],
        found: Callable[[Outcome], object] | None,
    ) -> None:
        self._scenario, self._outcome, self._branches, self._wanted = scenario, outcome, branches, wanted
        self._found = found
        self._crashes: asyncio.Queue[str] = asyncio.Queue()
        self._states: list[tuple[Disturbance, Change]] = []
        self._released_by: Key | None = None
        """The object whose next change releases its kind."""
        self._unseen: dict[str, int] = {}
        """The changes of a kind until the leader crashes, and the standby takes over."""

    async def run(self, expected: Outcome | None) -> None:
        scenario, outcome = self._scenario, self._outcome
        # Informers of servers before 1.34 begin with lists, of which older states are served.
        async with world(seed=1, catalogue=catalogue(), kubernetes="1.33.0", **scenario.options) as w:
            self._w = w
            self._observed = Observed(w)
            self._line = Line(w.cluster, self._crash)
            self._line.events = scenario.events
            self._line.fault = self._fault_at
            self._invariants = Invariants(
                w,
                self._observed,
                limit=scenario.limit,
                holder=(lambda: self._elections.holder) if scenario.elected else None,
                found=self._violated,
            )
            self._elections = Elections(w, self._observed, self._invariants.report)
            self._line.before_write.append(self._invariants.before_write)
            for number in range(2 if scenario.elected else 1):
                self._start(f"manager-{number + 1}")
            self._observed.listeners.append(self._changed)
            async with asyncio.TaskGroup() as tasks:
                restarts = tasks.create_task(self._restart())
                try:
                    await self._play()
                finally:
                    restarts.cancel()
            outcome.problems += self._invariants.problems
            outcome.end = end_state(self._observed.objects)
            if expected is not None:
                outcome.problems += self._differences(expected.end)[:_MOST_DIFFERENCES]
                late = outcome.seconds - expected.seconds
                if late > (_UNDISTURBED_SECONDS if outcome.disturbance is None else RECOVERY_SECONDS):
                    outcome.problems.append(f"it took {late:.0f} s longer than the undisturbed run")
            if outcome.disturbance is not None:
                outcome.end = {}
                self._branches.finish(outcome)  # without stopping the managers and the cluster

    def _violated(self) -> None:
        """An invariant has been violated."""
        if self._found is None:
            return
        self._outcome.problems += self._invariants.problems
        if self._outcome.disturbance is None:
            self._found(self._outcome)
        else:
            self._branches.finish(self._outcome)

    def _differences(self, expected: EndState) -> list[str]:
        found = self._outcome.end
        if self._invariants.old_inputs:
            found, expected = without_repetitions(found), without_repetitions(expected)
        return list(differences(expected, found))

    async def _play(self) -> None:
        problems = self._outcome.problems
        try:
            async with asyncio.timeout(_PLAY_SECONDS):
                await self._scenario.play(Stage(self._w, self._observed, self))
        except (AssertionError, TimeoutError) as error:
            problems.append(str(error) or "the scenario did not end in time")
            return
        self._outcome.seconds = self._w.now
        if not await self._settle():
            return
        if self._outcome.disturbance is None:
            for disturbance, change in [*self._states]:
                if self._branch(disturbance, change):
                    await self._travel(change)
                    break
        if not await self._settle():
            return
        self._invariants.check_settled()
        before = self._observed.last_change
        long = self._outcome.disturbance is None and not self._scenario.elected
        await asyncio.sleep(_LONG_IDLE_SECONDS if long else _IDLE_SECONDS)
        if self._observed.last_change != before:
            problems.append(f"the settled cluster was written to at {self._observed.last_change:.3f} s")

    async def _settle(self) -> bool:
        if await self._observed.settled(_QUIET_SECONDS, _SETTLE_SECONDS):
            return True
        self._outcome.problems.append(f"not settled within {_SETTLE_SECONDS:g} s")
        return False

    async def settle(self) -> None:
        """Wait until nothing changes any more, and check what must then be true.

        Raises:
            AssertionError: changes do not end.
        """
        if not await self._observed.settled(_SETTLED_SECONDS, _SETTLE_SECONDS):
            raise AssertionError(f"not settled within {_SETTLE_SECONDS:g} s")
        self._invariants.check_settled()

    # ---- managers

    def _start(self, identity: str, election: LeaderElectionOptions | None = None) -> Replica:
        return self._w.start(
            identity,
            election=election or (ELECTION if self._scenario.elected else False),
            discovery_limit=self._scenario.limit,
            transport=Link(self._line, identity),
        )

    async def replace_leader(self) -> None:
        """Stop the leader as with SIGTERM, and start another manager meanwhile."""
        await self._observed.until(self._leader, "there is a leader")
        replica = next(item for item in self._w.replicas if item.leads)
        stopping = asyncio.ensure_future(replica.stop())
        await asyncio.sleep(_MOMENT_SECONDS)
        self._start(f"{replica.identity}-next")
        # It may crash meanwhile, or lose the Lease.
        await asyncio.wait([stopping])
        disturbance = self._outcome.disturbance
        graceful = not stopping.cancelled() and stopping.exception() is None
        if graceful and (disturbance is None or disturbance.pattern not in _UNCLEAR):
            self._elections.stopped(replica)

    async def isolate_leader(self) -> None:
        """The requests for the Lease of the present leader fail from now on."""
        await self._observed.until(self._leader, "there is a leader")
        identity = self._leader()
        self._line.isolated.add(identity)
        self._start(f"{identity}-next")

    def _crash(self, identity: str) -> None:
        """The manager crashes at this moment."""
        for replica in self._w.replicas:
            if replica.identity == identity:
                replica.wire.cut = True
        self._crashes.put_nowait(identity)

    async def _restart(self) -> None:
        """Start a manager for each one that crashed."""
        while True:
            identity = await self._crashes.get()
            for replica in [*self._w.replicas]:
                if replica.identity == identity:
                    await replica.crash()
                    self._w.replicas.remove(replica)
            await asyncio.sleep(RESTART_SECONDS)
            if _STANDBY in self._line.isolated:
                self._line.isolated.discard(_STANDBY)
            else:
                self._start(f"{identity}-restarted")

    def _leader(self) -> str:
        elected = self._scenario.elected
        return next((item.identity for item in self._w.replicas if item.leads or not elected), "")

    # ---- the disturbances

    def _branch(self, disturbance: Disturbance, where: object) -> bool:
        """Whether this process is the branch of the disturbance."""
        self._outcome.moments[disturbance.pattern] += 1
        if not self._wanted(disturbance) or not self._branches.fork(disturbance):
            return False
        self._outcome.disturbance = disturbance
        self._invariants.stale = disturbance.pattern not in _TIMELY
        self._invariants.old_inputs = (
            disturbance.pattern == "stale-takeover" and disturbance.plural in _INPUTS
        )
        self._outcome.where = str(where)
        return True

    def _fault_at(self, number: int, after: bool) -> WriteFault | None:
        """What happens before or after this write."""
        if self._outcome.disturbance is not None:
            return None
        write = self._line.writes[number - 1]
        for pattern, fault in _AFTER_A_WRITE if after else _BEFORE_A_WRITE:
            if fault is not WriteFault.CRASH and plural_of(write.path) == "events":
                continue  # nothing depends on the response
            if self._branch(Disturbance(pattern, number), write):
                if fault is WriteFault.LOST:
                    plural = plural_of(write.path)
                    self._line.hold(plural)
                    self._release_later(plural, LAG_SECONDS)
                return fault
        return None

    def _changed(self, change: Change) -> None:
        plural = change.key.plural
        if self._outcome.disturbance is not None:
            if self._released_by == change.key:
                self._release(plural)
            if plural in self._unseen:
                self._unseen[plural] -= 1
                if not self._unseen[plural]:
                    self._take_over(plural)
            return
        if plural in NOISE or plural not in self._line.watched:
            return
        self._states.append((Disturbance("time-travel", change.number, plural), change))
        if self._branch(Disturbance("lagging-watch", change.number, plural), change):
            self._line.hold(plural)
            self._release_later(plural, LAG_SECONDS)
        elif self._branch(Disturbance("lost-event", change.number, plural), change):
            self._line.cut(plural)
            self._released_by = change.key
            self._release_later(plural, LAG_SECONDS)
        elif not self._scenario.elected and self._branch(
            Disturbance("stale-takeover", change.number, plural), change
        ):
            self._stand_by(plural, _AGES[change.number % len(_AGES)])

    def _crash_stale(self, change: Change) -> None:
        """Crash the leader; the next one lists the kind as it was before the change."""
        self._line.stale[change.key.plural] = change.version - 1
        self._line.hold(change.key.plural)
        self._crash(self._leader())

    def _stand_by(self, plural: str, unseen: int) -> None:
        """Start a standby, whose watches of a kind deliver nothing. It takes over after so many changes of the kind."""
        self._line.isolated.add(_STANDBY)
        self._start(_STANDBY, _STANDBY_ELECTION)
        self._line.hold(plural, _STANDBY)
        self._unseen[plural] = unseen
        asyncio.get_running_loop().call_later(_STANDBY_SECONDS, self._take_over, plural)

    def _take_over(self, plural: str) -> None:
        """Crash the leader; the standby begins with the state that it has."""
        if self._unseen.pop(plural, None) is None:
            return
        self._crash(self._leader())
        self._release_later(plural, RESTART_SECONDS + _TAKEOVER_SECONDS + LAG_SECONDS)

    async def _travel(self, change: Change) -> None:
        """Restart the manager of a settled cluster with a list of the state before a change."""
        self._crash_stale(change)
        await asyncio.sleep(RESTART_SECONDS + LAG_SECONDS)
        self._release(change.key.plural)
        await asyncio.sleep(LAG_SECONDS)

    def _release_later(self, plural: str, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._release, plural)

    def _release(self, plural: str) -> None:
        self._released_by = None
        self._line.release(plural)
