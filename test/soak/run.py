"""``make test-soak``: managers on a real API server behind a proxy with faults, in real time.

Two replicas of one operator elect a leader, which is killed or stopped in turn. A third manager is an operator of its
own without leader election, so no fault ends it, and its memory can be compared from start to end. All three reconcile sources that change without end
(:mod:`support.soak`). At each check the changes pause, while the faults go on, until the work is finished and every
cache equals a fresh list.

The exit status is 0 if no check failed, memory is flat, no tasks leaked, and no process ended by itself without a series
of faults that explains it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

sys.path.insert(0, str(Path(__file__).parent.parent))

from fleet import Replica
from proxy import FaultProxy
from verdict import growth, leaked_tasks, longest_life, plot

from aimctl.devcluster.kubeconfig import write_kubeconfig
from aimctl.runtime import (
    CONFIG_MAPS,
    LEASES,
    NAMESPACES,
    SECRETS,
    Client,
    HttpTransport,
    KubeError,
    LoopClock,
    load_connection,
)
from support.controlplane import ControlPlane
from support.kubernetes_binaries import BinariesNotFoundError
from support.soak import Churn, differences, fresh_versions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fleet import Sample

KINDS = {kind.plural: kind for kind in (CONFIG_MAPS, SECRETS)}
PAIR, STEADY = "soak-pair", "soak-steady"
CHECK_LIMIT = 240.0
"""Seconds after which a check that has not succeeded is reported as failed."""


class Soak:
    """One run.

    Args:
        client: to the API server, without faults.
        proxy: between the managers and the API server.
        replicas: the two that elect a leader, then the one that is never stopped.
        options: the arguments of the program.
    """

    def __init__(
        self, client: Client, proxy: FaultProxy, replicas: Sequence[Replica], options: argparse.Namespace
    ) -> None:
        self._client, self._proxy, self._options = client, proxy, options
        self._replicas, self._pair = replicas, replicas[:2]
        self._rng = random.Random(options.seed)
        self._churns = [
            Churn(client, random.Random(options.seed + number), namespace, options.objects)
            for number, namespace in enumerate((PAIR, STEADY))
        ]
        self._started = time.monotonic()
        self._seconds = options.minutes * 60.0
        self._may_change = asyncio.Event()
        self._may_change.set()
        self._stopped: Replica | None = None
        """The replica that this program has ended and not started again."""
        self._crashes = self._stops = self._checks = 0
        self._locks = [asyncio.Lock() for _ in self._churns]
        self.problems: list[str] = []

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    async def run(self) -> None:
        """Run for the given time, and check once more at the end."""
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(work)
                for work in (
                    *(self._change(number) for number in range(len(self._churns))),
                    self._every(10.0, self._observe),
                    self._every(30.0, self._report),
                    self._every(75.0, self._change_leader),
                    self._every(180.0, lambda: self._proxy.outage(5.0)),
                )
            ]
            while self.elapsed < self._seconds:
                await asyncio.sleep(
                    min(max(self._seconds / 10, 60.0), max(0.0, self._seconds - self.elapsed))
                )
                await self._check()
            for task in background:
                task.cancel()
        self._judge()

    # ---- what happens all the time

    async def _every(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await act()

    async def _change(self, number: int) -> None:
        pause = 2.0 / self._options.rate
        while True:
            await asyncio.sleep(self._rng.random() * pause)
            await self._may_change.wait()
            async with self._locks[number]:
                if self._may_change.is_set():
                    await self._churns[number].step()

    async def _observe(self) -> None:
        for replica in self._replicas:
            await replica.observe(self.elapsed)
            if replica is not self._stopped:
                replica.note_end()

    async def _change_leader(self) -> None:
        leader = next((replica for replica in self._pair if replica.leads), None)
        if leader is None:
            return
        self._stopped = leader
        if (self._crashes + self._stops) % 2:
            self._stops += 1
            await leader.stop()
        else:
            self._crashes += 1
            await leader.crash()
        await asyncio.sleep(5.0)
        self._stopped = None
        leader.start()

    async def _report(self) -> None:
        leases = {lease.meta.name: lease for lease in (await self._client.list(LEASES, PAIR)).items}
        changes = leases[PAIR].body()["spec"].get("leaseTransitions", 0) if PAIR in leases else 0
        states = []
        for replica in self._replicas:
            last = replica.samples[-1] if replica.samples else None
            if last is None or last.life != replica.pid:
                states.append(f"{replica.name}: starting")
            else:
                states.append(
                    f"{replica.name}{'*' if replica.leads else ''}: {last.resident_mib:.1f} MiB,"
                    f" {last.total('soak_python_blocks') / 1e3:.0f}k blocks, {sum(last.tasks.values())} tasks"
                )
        print(
            f"{self.elapsed / 60:5.1f} min  {sum(churn.changes for churn in self._churns)} changes,"
            f" {self._proxy.counts['ended watches']} ended watches,"
            f" {changes} leader changes,"
            f" {self._checks} checks;  {';  '.join(states)}",
            flush=True,
        )

    # ---- what is checked

    async def _check(self) -> None:
        """Pause the changes until the work is finished and all caches equal fresh lists."""
        self._may_change.clear()
        for churn, lock in zip(self._churns, self._locks, strict=True):
            async with lock:
                await churn.fill()
        limit = time.monotonic() + CHECK_LIMIT
        while problems := await self._differences():
            if time.monotonic() > limit:
                self.problems += [f"at {self.elapsed / 60:.1f} min: {problem}" for problem in problems[:20]]
                break
            await asyncio.sleep(2.0)
        self._checks += 1
        self._may_change.set()

    async def _differences(self) -> list[str]:
        found = [line for namespace in (PAIR, STEADY) for line in await differences(self._client, namespace)]
        for replica in self._replicas:
            contents = await replica.contents()
            if contents is None:
                found.append(f"{replica.name} does not answer")
                continue
            for (informer, plural, selector), cached in contents.items():
                fresh = await fresh_versions(self._client, KINDS[plural], replica.namespace, selector)
                wrong = {key for key in {*fresh, *cached} if fresh.get(key) != cached.get(key)}
                if wrong:
                    found.append(
                        f"{replica.name}: {informer} differs from a fresh list in {sorted(wrong)[:5]}"
                    )
            if len(contents) != 3:
                found.append(f"{replica.name} has {len(contents)} caches with objects instead of 3")
        return found

    def _judge(self) -> None:
        for replica in self._replicas:
            self.problems += replica.ends
        steady = longest_life(self._replicas[-1])
        print(f"\n{'':16}{'second tenth':>14}{'last tenth':>12}  resident memory in MiB")
        for replica in self._replicas:
            life = longest_life(replica)
            values = [sample.resident_mib for sample in life]
            minutes = (life[-1].seconds - life[0].seconds) / 60 if life else 0.0
            try:
                before, after, flat = growth(values)
            except ValueError:
                print(f"{replica.name:16}{'-':>14}{'-':>12}  {plot(values)} ({minutes:.1f} min)")
                continue
            print(f"{replica.name:16}{before:14.1f}{after:12.1f}  {plot(values)} ({minutes:.1f} min)")
            if replica is self._replicas[-1] and not flat:
                self.problems.append(f"memory of {replica.name} grew from {before:.1f} to {after:.1f} MiB")
        if len(steady) < 20:
            self.problems.append("the steady manager has too few samples to judge its memory")
        leaks = leaked_tasks(steady) if len(steady) >= 20 else {}
        self.problems += [
            f"tasks {name!r}: {before} before, {after} after" for name, (before, after) in leaks.items()
        ]
        last = steady[-1] if steady else None
        rows = {
            "minutes": f"{self.elapsed / 60:.1f}",
            "objects in each namespace": f"{self._options.objects} sources and copies",
            "changes": sum(churn.changes for churn in self._churns),
            "leaders killed, terminated": f"{self._crashes}, {self._stops}",
            "restarts after a series of faults": sum(replica.restarts for replica in self._replicas),
            "checks": self._checks,
            **{f"proxy: {name}": count for name, count in sorted(self._proxy.counts.items())},
        }
        if last is not None and len(steady) >= 20:
            rows |= {
                "steady: reconciles": int(last.total("controller_runtime_reconcile_total")),
                "steady: watches": int(last.total("reflector_watches_total")),
                "steady: lists": int(last.total("reflector_lists_total")),
                "steady: tasks at the start, at the end": f"{sum(steady[0].tasks.values())}, {sum(last.tasks.values())}",
                "steady: thousand Python blocks at the start, at the end": _from_to(
                    steady, "soak_python_blocks", 1e3
                ),
                "steady: MiB in use of malloc at the start, at the end": _from_to(
                    steady, "soak_malloc_used_bytes", 2**20
                ),
                "steady: CPU seconds": round(last.total("process_cpu_seconds_total"), 1),
            }
        print()
        for name, value in rows.items():
            print(f"{name:58}{value}")


def _from_to(samples: Sequence[Sample], name: str, unit: float) -> str:
    """Medians of a metric in the second and the last tenth of the samples, in this unit."""
    before, after, _ = growth([sample.total(name) / unit for sample in samples])
    return f"{before:.1f}, {after:.1f}"


async def soak(options: argparse.Namespace, folder: Path) -> list[str]:
    """Start everything, run, and return the problems."""
    clock = LoopClock()
    async with contextlib.AsyncExitStack() as stack:
        plane = await stack.enter_async_context(ControlPlane())
        print(
            f"kube-apiserver {'.'.join(map(str, plane.version))}, logs in {folder}, seed {options.seed}",
            flush=True,
        )
        connection = await load_connection(str(plane.kubeconfig), environ={}, clock=clock)
        transport = await stack.enter_async_context(HttpTransport(connection, clock=clock))
        client = Client(transport, clock=clock, field_manager="soak-test")
        for namespace in (PAIR, STEADY):
            await client.create(NAMESPACES, {"metadata": {"name": namespace}})
        proxy = await stack.enter_async_context(
            FaultProxy(plane.url, plane.token, plane.ca_file, random.Random(options.seed))
        )
        kubeconfig = write_kubeconfig(folder / "kubeconfig", proxy.url)
        timeout = aiohttp.ClientTimeout(total=10)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        replicas = [
            await stack.enter_async_context(
                Replica(name, operator, operator, kubeconfig, folder, session, elects=operator == PAIR)
            )
            for name, operator in (("pair-a", PAIR), ("pair-b", PAIR), ("steady", STEADY))
        ]
        run = Soak(client, proxy, replicas, options)
        await run.run()
        return run.problems


def main() -> int:
    """Read the arguments and run; returns the exit status."""
    parser = argparse.ArgumentParser(description="Soak test against a real API server.")
    parser.add_argument("--minutes", type=float, default=30.0, help="duration (default: %(default)s)")
    parser.add_argument("--objects", type=int, default=200, help="sources in each of two namespaces")
    parser.add_argument("--rate", type=float, default=5.0, help="changes per second in each namespace")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--logs", type=Path, help="folder of the logs (default: a new temporary folder)")
    options = parser.parse_args()
    folder = options.logs or Path(tempfile.mkdtemp(prefix="aimctl-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        problems = asyncio.run(soak(options, folder.resolve()))
    except (BinariesNotFoundError, KubeError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\nno problems" if not problems else "\nproblems:\n" + "\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
