"""The faults of a simulated run: of processes, of their connections, and of the API server.

Contract: a fault begins when its function is called, and returns at once. It ends by itself after a random time, or
with all others in :meth:`~aimctl.testing.simulation.world.World.heal`. All decisions come from the ``rng``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.devcluster.faults import Answer, CutStream, Delay, Gone410, Match, PlainAnswer, Refuse, StaleRead
from aimctl.testing.simulation.network import VERSION, CrashPoint

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Mapping

    from aimctl.devcluster.faults import Action
    from aimctl.testing.simulation.process import Process
    from aimctl.testing.simulation.world import World

__all__ = ["FAULTS", "WEIGHTS"]

_MUTATIONS = ("create", "update", "patch", "delete")


def _victim(world: World, rng: random.Random) -> Process | None:
    """A process: in most cases the leader."""
    running = world.running
    if not running:
        return None
    return world.leader if world.leader is not None and rng.random() < 0.8 else rng.choice(running)


async def _crash_at_request(world: World, rng: random.Random) -> None:
    """A process ends before one of its next requests, or after that took effect."""
    process = _victim(world, rng)
    if process is not None:
        point = CrashPoint(
            rng.choice([0, 0, 1, 2, 3, 5, 8, 13]),
            "before" if rng.random() < 0.5 else "after",
            writes_only=rng.random() < 0.7,
        )
        process.connection.crash = point
        world.trace.add(
            "fault", f"{process.identity} will crash {point.side} a request, after {point.skip} others"
        )


async def _kill(world: World, rng: random.Random) -> None:
    """A process ends at once."""
    process = _victim(world, rng)
    if process is not None:
        process.kill()


async def _stop(world: World, rng: random.Random) -> None:
    """A process is asked to end."""
    process = _victim(world, rng)
    if process is not None:
        process.stop()


async def _block(world: World, rng: random.Random) -> None:
    """The event loop of a process is blocked at once or at one of its next writes, often for longer than its Lease."""
    process = _victim(world, rng)
    if process is None:
        return
    seconds, skip = rng.choice([2.0, 15.0, 28.0, 35.0, 60.0]), rng.choice([0, 1, 2, 4])

    def begin() -> None:
        if process.running and not process.blocked:
            process.block()
            world.until(seconds, process.unblock)

    if rng.random() < 0.3:
        begin()
    else:
        world.trace.add("fault", f"{process.identity} will be blocked at a write, after {skip} others")
        world.at_write(process, skip, begin)


async def _clock(world: World, rng: random.Random) -> None:
    """The wall clock of a process is wrong for a while."""
    process = _victim(world, rng)
    if process is not None:
        process.skew_seconds = rng.choice([-7200.0, -40.0, 40.0, 7200.0])
        world.trace.add("fault", f"the clock of {process.identity} is wrong by {process.skew_seconds:.0f} s")

        def end() -> None:
            process.skew_seconds = 0.0

        world.until(rng.choice([5.0, 60.0, 600.0]), end)


async def _partition(world: World, rng: random.Random) -> None:
    """A process cannot reach the server, or only not its Lease."""
    process = _victim(world, rng)
    if process is None:
        return
    what = rng.choice(["*", "leases"])
    seconds = rng.choice([3.0, 12.0, 25.0, 45.0])
    world.trace.add("fault", f"{process.identity} cannot reach {what} for {seconds:.0f} s")
    process.connection.refused.add(what)
    world.until(seconds, lambda: process.connection.refused.discard(what))


async def _lose(world: World, rng: random.Random) -> None:
    """The next writes of a process get no response; some of them take effect."""
    process = _victim(world, rng)
    if process is not None:
        process.connection.lost = [rng.random() < 0.6 for _ in range(rng.randint(1, 4))]
        world.trace.add(
            "fault", f"{process.identity}: the next {len(process.connection.lost)} writes are lost"
        )


async def _late_writes(world: World, rng: random.Random) -> None:
    """The next writes of a process arrive late, some after it has given up."""
    process = _victim(world, rng)
    if process is not None:
        process.connection.slow = [rng.choice([0.5, 3.0, 8.0, 20.0]) for _ in range(rng.randint(1, 4))]
        world.trace.add(
            "fault", f"{process.identity}: the next {len(process.connection.slow)} writes are late"
        )


async def _lag(world: World, rng: random.Random) -> None:
    """The watches of some kinds are late, or stall, so that a process sees kinds in another order."""
    for process in world.running:
        kinds = sorted({sent.info.resource for sent in process.connection.sent if sent.info.verb == "watch"})
        chosen = rng.sample(kinds, min(len(kinds), rng.randint(1, 4))) if rng.random() < 0.8 else ["*"]
        seconds = rng.choice([0.2, 1.0, 5.0, 20.0, 90.0])
        process.connection.lag.update(dict.fromkeys(chosen, seconds))
        world.trace.add("fault", f"{process.identity}: watches of {chosen} are {seconds} s late")

        def end(process: Process = process, chosen: list[str] = chosen) -> None:
            for kind in chosen:
                process.connection.lag.pop(kind, None)

        world.until(rng.choice([10.0, 40.0, 120.0]), end)


async def _cut_watches(world: World, rng: random.Random) -> None:
    """Watches break, and some of the new ones too."""
    for process in world.running:
        kinds = sorted({sent.info.resource for sent in process.connection.sent if sent.info.verb == "watch"})
        for kind in rng.sample(kinds, min(len(kinds), rng.randint(1, 6))):
            process.connection.cut_watches(kind)
    action: Action = CutStream(rng.randrange(3), mid_line=rng.random() < 0.5)
    world.cluster.faults.add(action, Match("watch"), times=rng.randint(1, 4))
    world.trace.add("fault", "watches break")


async def _errors(world: World, rng: random.Random) -> None:
    """Some requests fail, before or after they took effect."""
    code = rng.choice([409, 429, 500, 503, 504])
    verbs = rng.choice([("get", "list"), _MUTATIONS, _MUTATIONS, ("watch",)])
    if code == 409:
        verbs = ("update", "patch")
    after = code >= 500 and verbs == _MUTATIONS and rng.random() < 0.5
    retry = rng.choice([None, 1, 5]) if code in (429, 503) else None
    for verb in verbs:
        action = Answer(code, retry_after=retry, after_effect=after)
        world.cluster.faults.add(action, Match(verb), times=rng.randint(1, 6), chance=rng.choice([0.3, 1.0]))
    world.trace.add("fault", f"{verbs} get {code}{' after their effect' if after else ''}")


async def _stray_404(world: World, rng: random.Random) -> None:
    """A proxy answers 404 in place of the server."""
    verb = rng.choice(["get", "list", "watch", "create", "patch", "delete"])
    plain = rng.random() < 0.5
    action = PlainAnswer(404) if plain else Answer(404, "NotFound", "the server could not find the resource")
    world.cluster.faults.add(action, Match(verb), times=rng.randint(1, 3))
    world.trace.add("fault", f"{verb} gets a stray 404")


async def _slow_server(world: World, rng: random.Random) -> None:
    """Requests take seconds."""
    seconds = rng.choice([0.5, 2.0, 9.0, 31.0])
    world.cluster.faults.add(Delay(seconds), Match(rng.choice(_MUTATIONS)), times=rng.randint(1, 4))
    world.trace.add("fault", f"requests take {seconds} s")


async def _restart_server(world: World, rng: random.Random) -> None:
    """The API server is away for seconds, and has forgotten the history then."""
    outage = world.cluster.faults.add(Refuse())
    world.cluster.server.storage.end_streams()
    if rng.random() < 0.5:
        world.cluster.server.storage.compact()
        world.cluster.faults.add(Gone410(rng.choice(["event", "status", "body"])), Match("watch"), times=2)
    seconds = rng.choice([0.2, 3.0, 15.0])
    world.trace.add("fault", f"the API server is away for {seconds} s")
    world.until(seconds, lambda: world.cluster.faults.remove(outage))


async def _stale_replica(world: World, rng: random.Random) -> None:
    """Lists that accept an old state get one, those of a version that the replica has not reached get an error, and all
    watches are late. Lists of the newest state get it: a replica asks etcd first.
    """
    storage = world.cluster.server.storage
    version = max(1, storage.version - rng.choice([1, 5, 20, 60]))
    if any(each.compacted > version for each in storage):
        return

    def reached(_: object) -> bool:
        return VERSION.get().isdecimal() and int(VERSION.get()) <= version

    def too_large(_: object) -> bool:
        return VERSION.get().isdecimal() and int(VERSION.get()) > version

    faults = [
        world.cluster.faults.add(StaleRead(version), Match("list", predicate=reached)),
        world.cluster.faults.add(
            Answer(504, message="Too large resource version"), Match("list", predicate=too_large)
        ),
    ]
    seconds = rng.choice([2.0, 10.0, 30.0])
    for process in world.running:
        process.connection.lag["*"] = seconds

    def end() -> None:
        for fault in faults:
            world.cluster.faults.remove(fault)
        for process in world.processes:
            process.connection.lag.pop("*", None)

    world.trace.add("fault", f"a replica of the API server is stale: version {version}, {seconds:.0f} s")
    world.until(rng.choice([20.0, 60.0]), end)


async def _restore_etcd(world: World, rng: random.Random) -> None:
    """A backup of etcd is made, and restored some time later."""
    snapshot = world.cluster.server.storage.snapshot()
    seconds = rng.choice([0.05, 1.0, 5.0, 30.0])
    world.trace.add("fault", f"a backup of etcd is made, and restored after {seconds} s")
    world.later(seconds, lambda: world.restore(snapshot))


FAULTS: Mapping[str, Callable[[World, random.Random], Awaitable[None]]] = {
    "crash at a request": _crash_at_request,
    "kill": _kill,
    "stop": _stop,
    "block": _block,
    "wrong clock": _clock,
    "partition": _partition,
    "lost responses": _lose,
    "late writes": _late_writes,
    "late watches": _lag,
    "cut watches": _cut_watches,
    "error responses": _errors,
    "stray 404": _stray_404,
    "slow server": _slow_server,
    "server restart": _restart_server,
    "stale replica": _stale_replica,
    "etcd restore": _restore_etcd,
}
"""The faults by name."""

WEIGHTS: Mapping[str, float] = {
    "crash at a request": 5,
    "kill": 1,
    "stop": 1,
    "block": 2,
    "wrong clock": 2,
    "partition": 2,
    "lost responses": 2,
    "late writes": 2,
    "late watches": 4,
    "cut watches": 1,
    "error responses": 3,
    "stray 404": 1,
    "slow server": 1,
    "server restart": 1,
    "stale replica": 1,
    "etcd restore": 1,
}
"""How often each fault is chosen."""
