"""The benchmark: what it costs to follow 20,000 custom resources, beside kopf, in one run.

Contract:
    * Every contender syncs all objects and then sees a number of updates, in a process of its own, on the same
      server and the same objects, one contender at a time. See ``driver.py`` for the objects, ``measure.py`` for
      what is counted, ``docs/benchmarks.md`` for what it means.
    * Nothing but 127.0.0.1 is spoken to, unless ``--kubeconfig`` names a cluster; there the bench makes its
      namespaces and objects and removes them at the end.
    * It ends by itself: each step has a time limit, and every process it started is ended by its id.
    * Exit status: 0; 1 when a step failed, or with ``--check`` when the mark is missed.

Units: KB and MB are 1000 and 1,000,000 bytes. us/object is CPU time, not waiting.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import report
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CONTENDERS = {
    "aimctl informer": ("contender_aimctl.py", "informer"),
    "aimctl controller": ("contender_aimctl.py", "controller"),
    "kopf": ("contender_kopf.py",),
}
STEP_SECONDS = 900.0
"""For loading, one phase, or removing: far above what a slow machine needs."""
END_SECONDS = 10.0
QUIET_SECONDS = 0.5
QUIET_AT_MOST_SECONDS = 30.0


class StepFailed(Exception):
    """A process ended, or said nothing in time; the text says which, and what it last wrote."""


@dataclass(slots=True)
class Child:
    """A process that speaks JSON lines."""

    name: str
    process: asyncio.subprocess.Process

    async def say(self, line: str) -> None:
        """One command."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()

    async def hear(self, key: str, progress: Any = None) -> dict[str, Any]:
        """The next document with this key; others, of progress, go to ``progress``."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(STEP_SECONDS):
                while line := await self.process.stdout.readline():
                    document = json.loads(line)
                    if key in document:
                        return document
                    if progress is not None:
                        progress(document)
        except TimeoutError:
            raise StepFailed(f"{self.name}: no {key!r} within {STEP_SECONDS:g} s") from None
        raise StepFailed(f"{self.name} ended before it said {key!r}: see its messages above")

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def quiet(self) -> None:
        """Wait until it has nothing to do, so that one phase's left-overs are not counted in the next."""
        for _ in range(int(QUIET_AT_MOST_SECONDS / QUIET_SECONDS)):
            before = self.cpu_seconds()
            await asyncio.sleep(QUIET_SECONDS)
            if self.cpu_seconds() - before <= QUIET_SECONDS * 0.04:
                return

    async def end(self) -> None:
        """Let it end, then make it."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        for stop in (lambda: None, self.process.terminate, self.process.kill):
            if self.process.returncode is None:
                stop()
            try:
                async with asyncio.timeout(END_SECONDS):
                    await self.process.wait()
                    return
            except TimeoutError:
                continue


@asynccontextmanager
async def child(name: str, script: str, *arguments: str) -> AsyncIterator[Child]:
    """A Python process of this directory, ended with the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / script),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    one = Child(name, process)
    try:
        yield one
    finally:
        await one.end()


async def measure(name: str, driver: Child, where: list[str], options: argparse.Namespace, tell: Any) -> dict:
    """One contender's two phases."""
    script, *way = CONTENDERS[name]
    arguments = [*way, str(options.count), str(options.updates), *where]
    async with child(name, script, *arguments) as contender:
        tell(f"{name}: sync")
        sync = await contender.hear("phase")
        tell(f"{name}: waiting until it is quiet")
        await contender.quiet()
        await contender.say("events")
        await contender.hear("phase")
        tell(f"{name}: updates")
        await driver.say(f"touch {options.updates}")
        progress = lambda now: tell(f"{name}: {now['done']} of {options.updates} updates made")  # noqa: E731
        events, _ = await asyncio.gather(contender.hear("phase"), driver.hear("touched", progress))
        if (sync["phase"], events["phase"]) != ("sync", "events"):
            raise StepFailed(f"{name} spoke out of turn: {sync} {events}")
        return {"sync": sync, "events": events}


async def bench(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """All repetitions of all contenders."""
    names = options.names
    runs: dict[str, dict[str, list[dict[str, float]]]] = {name: {"sync": [], "events": []} for name in names}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    foreign = ["--kubeconfig", options.kubeconfig] if options.kubeconfig else []
    async with child("driver", "driver.py", *foreign) as driver:
        with Progress(*columns, console=console) as progress:
            loading = progress.add_task(f"making {options.count} templates", total=options.count)
            await driver.say(f"load {options.count}")
            loaded = await driver.hear("loaded", lambda now: progress.update(loading, completed=now["done"]))
            progress.update(loading, completed=options.count)
            running = progress.add_task("", total=options.repeat * len(names))
            for turn in range(options.repeat):
                for name in names[turn % len(names) :] + names[: turn % len(names)]:
                    tell = lambda text: progress.update(running, description=text)  # noqa: E731 - one line of wiring
                    figures = await measure(
                        name, driver, foreign or ["--server", loaded["server"]], options, tell
                    )
                    for phase, found in figures.items():
                        runs[name][phase].append(found)
                    progress.advance(running)
            progress.update(running, description="done")
        if foreign:
            console.print("removing what was made ...")
            driver.process.stdin.close()
            await driver.hear("removed")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": report.machine_facts(),
        "settings": {
            "objects": options.count,
            "updates": options.updates,
            "repeat": options.repeat,
            "server": "kubeconfig" if foreign else "embedded",
            "wire_bytes": loaded["wire_bytes"],
            "body_bytes": loaded["body_bytes"],
        },
        "figures": {
            name: {phase: report.summarize(found, statistics.median) for phase, found in phases.items()}
            for name, phases in runs.items()
        },
        "runs": runs,
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000, help="objects (default: %(default)s)")
    parser.add_argument(
        "--updates", type=int, default=5_000, help="updates, of that many objects (default: %(default)s)"
    )
    parser.add_argument(
        "--repeat", type=int, default=3, help="runs of each; medians are shown (default: %(default)s)"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="WORD", help="only contenders with one of these words in their name"
    )
    parser.add_argument("--kubeconfig", help="a cluster to use instead; objects are made there, and removed")
    parser.add_argument("--check", action="store_true", help="fail when the mark is missed")
    parser.add_argument(
        "--output", type=Path, default=ROOT / ".bench" / "latest.json", help="(default: %(default)s)"
    )
    options = parser.parse_args()
    if min(options.count, options.updates, options.repeat) < 1:
        parser.error("--count, --updates and --repeat must be 1 or more")
    options.names = [
        name for name in CONTENDERS if not options.only or any(word in name for word in options.only)
    ]
    if not options.names:
        parser.error(
            f"--only {' '.join(options.only)}: no contender's name has it; there are {', '.join(CONTENDERS)}"
        )
    options.updates = min(options.updates, options.count)
    return options


def main() -> int:
    options = parse()
    console = Console()
    if options.kubeconfig:
        console.print(
            f"using {options.kubeconfig}: 20 namespaces aimctl-bench-NN and {options.count} templates are made there,"
            " and removed at the end."
        )
    try:
        result = asyncio.run(bench(options, console))
    except StepFailed as error:
        console.print(f"[red]{error}")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; every process has ended")
        return 130
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    report.show(result, console)
    console.print(f"written to {options.output}")
    missed = report.check(result, console)
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
