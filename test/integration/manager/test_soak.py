"""Hours of operation in virtual time: three managers, changes without end, and every fault that a real cluster has.

Two managers elect a leader, which is ended now and then. The third works in a namespace of its own from start to end, so
that what it remembers can be compared. Watches end every 20 s. Requests get 429, 5xx, stray 404s, delays and broken connections. The history is compacted, the
server restarts, and leaders crash or stop. At each checkpoint the faults and changes pause. Then the work is finished,
the caches equal fresh lists, and tasks and memory are the same as at the first checkpoint.

The number of allocated memory blocks after a garbage collection measures the memory. It depends only on the seed, apart
from caches of the interpreter.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import random
import sys
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from aimctl.devcluster import DevCluster
from aimctl.devcluster.faults import (
    Answer,
    CutStream,
    Delay,
    Gone410,
    Match,
    PlainAnswer,
    Refuse,
    Silence,
)
from aimctl.kubetypes.builtin import CONFIG_MAPS, EVENTS, SECRETS
from aimctl.runtime import (
    ConnectionFailed,
    LeaderElectionOptions,
    LeaderLost,
    Manager,
    ManagerOptions,
    ReflectorOptions,
)
from aimctl.testing import run_virtual, virtual_clock
from support.soak import Churn, add_soak, cached_versions, differences, fresh_versions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aimctl.runtime import HttpRequest, HttpResponse, Transport

PAIR, STEADY = "pair", "steady"
RATES = {PAIR: 0.7, STEADY: 0.3}
"""Changes per second in each namespace."""
SOURCES = 20
KINDS = {kind.plural: kind for kind in (CONFIG_MAPS, SECRETS)}
DISCONNECT_SECONDS = 20.0
MOST_GROWTH = 0.01
"""Of the allocated blocks since the first checkpoint."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


class Line:
    """A connection to the cluster that can be cut, as when the process dies."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.cut = False

    @asynccontextmanager
    async def send(self, request: HttpRequest, **options: Any) -> AsyncIterator[HttpResponse]:
        if self.cut:
            raise ConnectionFailed("the process is dead", refused=True)
        async with self._inner.send(request, **options) as response:
            yield response

    async def aclose(self) -> None:
        await self._inner.aclose()


class Replica:
    """One manager, as a process would run it; it ends only when the test or a lost lease ends it."""

    def __init__(self, cluster: DevCluster, namespace: str, number: int, rng: random.Random) -> None:
        self.namespace = namespace
        self._line = Line(cluster.transport())
        self.manager = Manager(
            self._line,
            clock=cluster.clock,
            options=ManagerOptions(
                leader_election=LeaderElectionOptions("soak", namespace),
                reflector=ReflectorOptions(idle_seconds=60),
                loop_lag_interval=0,
                resync_seconds=1800,
                namespaces=(namespace,),
            ),
            identity=f"replica-{number}",
            rng=random.Random(rng.random()),
        )
        add_soak(self.manager)
        self._stop = asyncio.Event()
        self.task = asyncio.create_task(self.manager.run(self._stop), name="replica")

    @property
    def leads(self) -> bool:
        return not self.task.done() and self.manager.elected.is_set()

    async def stop(self) -> None:
        """As with SIGTERM."""
        self._stop.set()
        await asyncio.wait([self.task])

    async def crash(self) -> None:
        """As with SIGKILL: the lease is not released."""
        self._line.cut = True
        self.task.cancel()
        await asyncio.wait([self.task])

    def check_end(self) -> None:
        """Raise the error that ended it, unless it lost its lease or was ended by the test."""
        if not self._line.cut and not self.task.cancelled():
            error = self.task.exception()
            if error is not None and not isinstance(error, LeaderLost):
                raise error


class Soak:
    """One run, which depends only on the seed.

    Args:
        cluster: the cluster.
        rng: decides everything.
        quiet_seconds: before each checkpoint, for back-offs and the detection of silent watches.
    """

    def __init__(self, cluster: DevCluster, rng: random.Random, quiet_seconds: float) -> None:
        self._cluster, self._rng, self._quiet_seconds = cluster, rng, quiet_seconds
        self._client = cluster.internal_client("soak")
        self._churns = {namespace: Churn(self._client, rng, namespace, SOURCES) for namespace in RATES}
        self._started = 1
        self._pair: list[Replica] = []
        self._steady = Replica(cluster, STEADY, 0, rng)
        self._actions: list[tuple[Any, Match]] = [
            (Answer(429, retry_after=3), Match()),
            (Answer(429), Match()),
            (Answer(500), Match()),
            (Answer(503, retry_after=2), Match()),
            (Answer(504, after_effect=True), Match()),
            (PlainAnswer(404), Match()),
            (PlainAnswer(404), Match(verb="watch")),
            (PlainAnswer(404), Match(verb="list")),
            (PlainAnswer(502, "bad gateway"), Match()),
            (Delay(2.5), Match()),
            (Refuse(), Match()),
            (Silence(after_lines=1), Match(verb="watch")),
            (CutStream(after_lines=1), Match(verb="watch")),
            (CutStream(clean=True), Match(verb="list")),
            (Gone410("event"), Match(verb="watch")),
            (Gone410("status"), Match(verb="watch")),
        ]
        self.seen: Counter[str] = Counter()

    async def run(self, hours: float, parts: int) -> None:
        """Run for this time in equal parts, with a checkpoint after each."""
        seconds = hours * 3600 / parts
        first: dict[str, Any] = {}
        for part in range(parts):
            async with asyncio.TaskGroup() as tasks:
                until = asyncio.get_running_loop().time() + seconds
                for namespace in RATES:
                    tasks.create_task(self._change(namespace, until))
                for work in (self._disconnect, self._disturb, self._replace):
                    tasks.create_task(work(until))
            await self._settle()
            await self._check_work()
            state = self._state()
            first = first or state
            assert state["tasks"] == first["tasks"], f"tasks changed in part {part}"
            grown = state["blocks"] - first["blocks"]
            assert grown <= MOST_GROWTH * first["blocks"], (
                f"{grown} more memory blocks after part {part}; more objects of the types"
                f" {(state['types'] - first['types']).most_common(15)}"
            )
        for replica in (*self._pair, self._steady):
            await replica.stop()
            replica.check_end()

    # ---- what happens all the time

    async def _change(self, namespace: str, until: float) -> None:
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(self._rng.random() * 2 / RATES[namespace])
            await self._churns[namespace].step()
            self.seen["changes"] += 1

    async def _disconnect(self, until: float) -> None:
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(DISCONNECT_SECONDS)
            self._cluster.server.storage.end_streams()
            self.seen["disconnects"] += 1

    async def _disturb(self, until: float) -> None:
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(self._rng.random() * 10)
            action, match = self._rng.choice(self._actions)
            self._cluster.faults.add(action, match, times=self._rng.randrange(1, 6))
            self.seen[type(action).__name__] += 1
            if self._rng.random() < 0.05:
                self._cluster.server.storage.compact()
                self.seen["compactions"] += 1
            if self._rng.random() < 0.02:
                await self._restart_server()

    async def _restart_server(self) -> None:
        with self._cluster.faults.active(Refuse()):
            self._cluster.server.storage.end_streams()
            await asyncio.sleep(self._rng.uniform(1, 8))
        self.seen["restarts"] += 1

    async def _replace(self, until: float) -> None:
        """Keep two replicas running, and end the leader now and then."""
        pause = 0.0
        while asyncio.get_running_loop().time() < until:
            leader = next((replica for replica in self._pair if replica.leads), None)
            if leader is not None and pause <= 0:
                pause = self._rng.uniform(60, 300)
                self.seen["ended leaders"] += 1
                await (leader.crash() if self._rng.random() < 0.5 else leader.stop())
            self._start_missing()
            await asyncio.sleep(5)
            pause -= 5
        self._start_missing()

    def _start_missing(self) -> None:
        for replica in [*self._pair]:
            if replica.task.done():
                replica.check_end()
                self._pair.remove(replica)
        while len(self._pair) < 2:
            self._started += 1
            self._pair.append(Replica(self._cluster, PAIR, self._started, self._rng))
        if self._steady.task.done():  # a fault cost its lease
            self._steady.check_end()
            self._steady = Replica(self._cluster, STEADY, 0, self._rng)
            self.seen["steady replicas"] += 1

    # ---- what is checked

    async def _settle(self) -> None:
        self._cluster.faults.clear()
        for churn in self._churns.values():
            await churn.fill()
        end = asyncio.get_running_loop().time() + self._quiet_seconds
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(5)
            self._start_missing()  # a fault may have cost the lease
        # The history of the server and the Events grow with time, but are not of the managers.
        self._cluster.server.storage.compact()
        async for event in self._client.list_all(EVENTS):
            await self._client.delete(EVENTS, event.meta.name, event.meta.namespace)
        self._cluster.server.storage.compact()
        await asyncio.sleep(5)

    async def _check_work(self) -> None:
        for namespace in RATES:
            assert await differences(self._client, namespace) == []
        assert self._steady.leads
        assert sum(replica.leads for replica in self._pair) == 1
        for replica in (*self._pair, self._steady):
            assert replica.manager.not_ready == {}
            caches = [replica.manager.cache, replica.manager.scope("census").cache]
            informers = {informer.name: informer for cache in caches for informer in cache.informers}
            assert len(informers) == 3
            for informer in informers.values():
                plural, selector = informer.resource.plural, informer.declaration.label_selector
                fresh = await fresh_versions(self._client, KINDS[plural], replica.namespace, selector)
                assert cached_versions(informer) == fresh
                assert len(fresh) >= SOURCES

    def _state(self) -> dict[str, Any]:
        _forget_results()
        for _ in range(3):
            gc.collect()
        return {
            "tasks": Counter(_kind_of(task) for task in asyncio.all_tasks()),
            "blocks": sys.getallocatedblocks(),
            "types": Counter(type(each).__qualname__ for each in gc.get_objects()),
        }


def _forget_results() -> None:
    """Clear the bounded caches of the embedded server, which fill up during the test and would look like a leak."""
    wrapper = type(functools.lru_cache(_kind_of))
    for each in gc.get_objects():
        if isinstance(each, wrapper) and each.__module__.startswith("aimctl.devcluster."):
            each.cache_clear()


def _kind_of(task: asyncio.Task[Any]) -> str:
    """The name of a task, or its coroutine if it has no name of its own."""
    name = task.get_name()
    return task.get_coro().__qualname__ if name.startswith("Task-") else name  # type: ignore[union-attr]


async def _soak(seed: int, hours: float, parts: int, quiet_seconds: float = 900.0) -> Counter[str]:
    rng = random.Random(seed)
    options = {"crds": [], "machines": [], "events": False, "namespaces": [PAIR, STEADY]}
    async with DevCluster(clock=virtual_clock(), rng=random.Random(rng.random()), **options) as cluster:
        soak = Soak(cluster, rng, quiet_seconds)
        await soak.run(hours, parts)
        return soak.seen


def _run(seed: int, hours: float, parts: int, quiet_seconds: float = 900.0) -> None:
    seen = run_virtual(_soak(seed, hours, parts, quiet_seconds))
    minutes = hours * 60
    assert seen["disconnects"] >= minutes * 60 / DISCONNECT_SECONDS * 0.9
    assert seen["changes"] >= minutes * 30
    assert seen["ended leaders"] >= minutes / 6


@pytest.mark.proof
def test_minutes_of_faults_and_leader_changes_leave_nothing_behind() -> None:
    _run(seed=1, hours=0.02, parts=2, quiet_seconds=200.0)


@pytest.mark.proof
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1])
def test_six_hours_of_faults_and_leader_changes_leave_nothing_behind(seed: int) -> None:
    _run(seed, hours=6, parts=10)
