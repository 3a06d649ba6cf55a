"""The measurements besides the comparison with kopf: each is repeated, and its median is reported.

Contract:
    * Every measurement runs in fresh processes on the embedded server of the driver, one at a time.
    * A section returns its figures as they are written to ``.bench/latest.json``, under ``stall_ms`` also the longest
      stall of the event loop, if it was measured.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import statistics
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from children import HERE, Child, StepFailed, child

__all__ = ["SECTIONS", "Bench", "Figures"]

AIMCTL_WRITES = ("contender_writes.py", "aimctl")
LARGE = 100_000
WRITES = 2_000
CHANGES, RATE = 10_000, 1_000
CYCLES = 500_000
IDLE_SECONDS, HEARTBEATS_PER_SECOND = 60, 1000 / 60
NODES = 1000

Figures = dict[str, Any]


@dataclass(slots=True)
class Bench:
    """What the sections share.

    Attributes:
        driver: the process with the embedded server.
        loaded: what the driver said of the objects that it holds.
        repeat: repetitions of each measurement.
        tell: shows what is done now.
    """

    driver: Child
    loaded: Mapping[str, Any]
    repeat: int
    tell: Callable[[str], None]
    generation: int = 100

    @property
    def objects(self) -> int:
        """How many objects the server holds."""
        return int(self.loaded["loaded"])

    @property
    def server(self) -> list[str]:
        """The server as arguments."""
        return ["--server", self.loaded["server"]]


async def large_sync(bench: Bench) -> Figures:
    """100,000 objects synced by the informer. Afterwards the server holds them."""
    bench.tell(f"making {LARGE} templates")
    await bench.driver.say(f"load {LARGE}")
    bench.loaded = await bench.driver.hear("loaded")
    runs = []
    for number in range(bench.repeat):
        bench.tell(f"sync of {LARGE} objects: {number + 1} of {bench.repeat}")
        async with child(
            "informer", "contender_aimctl.py", "informer", str(LARGE), "1", *bench.server
        ) as one:
            runs.append(await one.hear("phase"))
    return {
        "cpu_us_per_object": median(runs, "cpu_seconds") * 1e6 / LARGE,
        "bytes_per_object": median(runs, "grown_kib") * 1024 / LARGE,
        "peak_mb": median(runs, "peak_kib") * 1.024e-3,
        "stall_ms": worst(runs),
    }


async def writes(bench: Bench, *, tls: bool = False) -> Figures:
    """Reconciles that write, and bare writes, in turn."""
    server = ["--server", bench.loaded["tls_server"], "--ca", bench.loaded["ca"]] if tls else bench.server
    count = min(WRITES, bench.objects)
    runs: dict[str, list[Figures]] = {"aimctl": [], "bare": []}
    for number in range(bench.repeat):
        for way, found in runs.items():
            bench.tell(f"writes{' over TLS' if tls else ''}, {way}: {number + 1} of {bench.repeat}")
            bench.generation += 1
            sizes = (str(bench.objects), str(count), str(bench.generation))
            async with child(way, "contender_writes.py", way, *sizes, *server) as one:
                await one.hear("phase")
                await one.quiet()
                await one.say("go")
                found.append(await one.hear("phase"))
    cpu = {way: median(found, "cpu_seconds") * 1e6 / count for way, found in runs.items()}
    return {
        "cpu_us": cpu["aimctl"],
        "bare_patch_cpu_us": cpu["bare"],
        "ratio": cpu["aimctl"] / cpu["bare"],
    }


async def writes_over_tls(bench: Bench) -> Figures:
    """The same over TLS."""
    return await writes(bench, tls=True)


async def controller_runtime(bench: Bench) -> Figures:
    """The same syncs, reconciles and writes by controller-runtime, where Go is available, in turn with aimctl."""
    bench.tell("building the program that uses controller-runtime")
    program = await built()
    if program is None:
        return {}
    count = min(WRITES, bench.objects)
    plain = (bench.loaded["server"],)
    secure = (bench.loaded["tls_server"], bench.loaded["ca"])
    figures: Figures = {}
    for name, server in (("", plain), ("_tls", secure)):
        runs: dict[str, list[tuple[Figures, Figures]]] = {"aimctl": [], "go": []}
        for number in range(bench.repeat):
            for way, found in runs.items():
                bench.tell(f"controller-runtime{name}, {way}: {number + 1} of {bench.repeat}")
                bench.generation += 1
                sizes = (str(bench.objects), str(count), str(bench.generation))
                options = ("--server", server[0], *(("--ca", server[1]) if name else ()))
                command = (program, *sizes, *server) if way == "go" else AIMCTL_WRITES + sizes + options
                async with child(way, *command, python=way != "go") as one:
                    sync = await one.hear("phase")
                    await one.quiet()
                    await one.say("go")
                    found.append((sync, await one.hear("phase")))
        syncs = {way: [sync for sync, _ in found] for way, found in runs.items()}
        written = {way: [write for _, write in found] for way, found in runs.items()}
        figures[f"sync{name}_cpu_ratio"] = ratio(syncs, "cpu_seconds")
        figures[f"sync{name}_memory_ratio"] = ratio(syncs, "grown_kib")
        figures[f"write{name}_cpu_ratio"] = ratio(written, "cpu_seconds")
    return figures


async def built() -> str | None:
    """The program, in the user's cache directory; None without Go."""
    go = shutil.which("go")
    if go is None:
        return None
    sources = HERE / "controller_runtime"
    text = b"".join((sources / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aimctl" / "bench"
    program = cache / f"controller-runtime-{hashlib.sha256(text).hexdigest()[:16]}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        part = program.with_suffix(f".{os.getpid()}")
        process = await asyncio.create_subprocess_exec(go, "build", "-o", part, ".", cwd=sources)
        if await process.wait():
            raise StepFailed(f"go build failed in {sources}: see its messages above")
        part.rename(program)
    return str(program)


async def latency(bench: Bench) -> Figures:
    """Delays of changes at a constant rate; the bare reader's are subtracted."""
    runs: dict[str, list[Figures]] = {"aimctl": [], "bare": []}
    for number in range(bench.repeat):
        for way, found in runs.items():
            bench.tell(f"latency, {way}: {number + 1} of {bench.repeat}")
            sizes = (str(bench.objects), str(CHANGES))
            async with child(way, "contender_latency.py", way, *sizes, *bench.server) as one:
                await one.hear("phase")
                await one.quiet()
                await bench.driver.say(f"pace {CHANGES} {RATE}")
                found.append(await one.hear("phase"))
                await bench.driver.hear("paced")
    own, bare = median(runs["aimctl"], "p99_ms"), median(runs["bare"], "p99_ms")
    return {
        "p99_ms_at_1000": max(0.0, own - bare),
        "aimctl_p99_ms": own,
        "bare_p99_ms": bare,
        "stall_ms": worst(runs["aimctl"]),
    }


async def queue(bench: Bench) -> Figures:
    """Cycles of the work queue."""
    runs = []
    for number in range(bench.repeat):
        bench.tell(f"queue: {number + 1} of {bench.repeat}")
        async with child("queue", "probe_queue.py", str(CYCLES)) as one:
            runs.append(await one.hear("phase"))
    return {"per_second": median(runs, "per_second")}


async def imports(bench: Bench) -> Figures:
    """The start of a manager."""
    runs = []
    for number in range(bench.repeat + 1):
        bench.tell(f"import: {number} of {bench.repeat}")
        async with child("import", "probe_import.py") as one:
            runs.append(await one.hear("phase"))
    return {key: median(runs[1:], key) for key in ("seconds", "rss_mb")}  # the first one compiles the modules


async def idle(bench: Bench) -> Figures:
    """An idle manager, once for a minute."""
    bench.tell("idle: creating the nodes")
    await bench.driver.say(f"beat {NODES} 1000000")
    await bench.driver.hear("beaten")
    sizes = (str(bench.objects), str(NODES), str(IDLE_SECONDS))
    async with child("idle", "contender_idle.py", *sizes, *bench.server) as one:
        bench.tell(f"idle: syncing {bench.objects} objects")
        await one.hear("phase")
        await one.quiet()
        bench.tell(f"idle: {IDLE_SECONDS} s")
        await bench.driver.say(f"beat {IDLE_SECONDS * NODES // 60} {HEARTBEATS_PER_SECOND}")
        await one.say("go")
        found = await one.hear("phase")
        await bench.driver.hear("beaten")
    return {
        "core_fraction": found["cpu_seconds"] / found["wall_seconds"],
        "objects": bench.objects,
        "heartbeats_per_minute": NODES,
    }


SECTIONS: Mapping[str, Callable[[Bench], Awaitable[Figures]]] = {
    "write": writes,
    "write_tls": writes_over_tls,
    "controller_runtime": controller_runtime,
    "latency": latency,
    "queue": queue,
    "import": imports,
    "sync_100k": large_sync,
    "idle": idle,
}
"""In the order in which they are measured: the last two need 100,000 objects."""


def ratio(runs: Mapping[str, list[Figures]], key: str) -> float:
    """The medians of one figure: aimctl's divided by that of Go."""
    return median(runs["aimctl"], key) / median(runs["go"], key)


def median(runs: list[Figures], key: str) -> float:
    """The median of one figure."""
    return statistics.median(float(run[key]) for run in runs)


def worst(runs: list[Figures]) -> float:
    """The median of the longest stalls."""
    return statistics.median(float(run["stall_ms"]) for run in runs)
