"""The scale run: what the operator costs for each service, in clusters of different size but of the same proportions.

Contract:
    * Each size is a cluster and an operator of its own, started empty. See ``scale_cluster.py`` for the objects,
      ``docs/benchmarks.md`` for what it means.
    * Nothing but 127.0.0.1 is spoken to. It ends by itself, and every process it started is ended by its id.
    * Exit status: 0; 1 when a step failed, or with ``--check`` when the largest costs more than 1.3 times as much for
      each service as the smallest, in CPU or in requests.

What is counted is the operator's process only: between the moment it is idle on the empty cluster and the moment it is
idle again after all is settled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import report
from children import Child, StepFailed, child
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent.parent
MARK = 1.3
IDLE_SECONDS = 20.0
PHASES = {"load": "made, until all run", "edit": "one field changed, until all run again"}


async def used(operator: Child) -> dict[str, float]:
    await operator.say("read")
    return await operator.hear("read")


async def one_size(services: int, tell: Any) -> dict[str, Any]:
    """Both phases and a rest, on a cluster of its own."""
    found: dict[str, Any] = {"services": services}
    async with child("cluster", "scale_cluster.py") as cluster:
        server = (await cluster.hear("server"))["server"]
        async with child("operator", "scale_operator.py", "--server", server) as operator:
            await operator.hear("following")
            await operator.quiet()
            for phase in PHASES:
                before, started = await used(operator), time.perf_counter()
                await cluster.say(f"{phase} {services}")
                settled = await cluster.hear(
                    "settled", lambda now, phase=phase: tell(f"{phase}: {now['done']} of {services} run")
                )
                seconds = time.perf_counter() - started
                await operator.quiet()
                after = await used(operator)
                found |= {name: settled[name] for name in ("templates", "namespaces")}
                found[phase] = {
                    "wall_seconds": seconds,
                    "cpu_ms": (after["cpu_seconds"] - before["cpu_seconds"]) * 1e3 / services,
                    "requests": (after["requests"] - before["requests"]) / services,
                    "reconciles": (after["reconciles"] - before["reconciles"]) / services,
                    "writes": settled["writes"] / services,
                    "kilobytes": (after["rss_kib"] - before["rss_kib"]) * 1.024 / services,
                }
            tell("idle")
            before = await used(operator)
            await asyncio.sleep(IDLE_SECONDS)
            after = await used(operator)
            found["idle"] = {
                "cpu_percent": (after["cpu_seconds"] - before["cpu_seconds"]) * 100 / IDLE_SECONDS,
                "requests": after["requests"] - before["requests"],
            }
    return found


async def bench(sizes: list[int], console: Console) -> dict[str, Any]:
    runs = []
    with console.status("") as status:
        for services in sizes:
            tell = lambda text, services=services: status.update(f"{services} services: {text}")  # noqa: E731 - one line of wiring
            tell("starting")
            runs.append(await one_size(services, tell))
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": report.machine_facts(),
        "runs": runs,
    }


def ratios(runs: list[dict[str, Any]]) -> dict[str, float]:
    """The largest over the smallest; where a size was run more than once, the cheapest of its runs."""
    sizes = sorted({run["services"] for run in runs})

    def least(size: int, phase: str, name: str) -> float:
        return min(run[phase][name] for run in runs if run["services"] == size)

    return {
        f"{phase} {name}": least(sizes[-1], phase, name) / least(sizes[0], phase, name)
        for phase in PHASES
        for name in ("cpu_ms", "requests", "reconciles")
    }


def show(result: dict[str, Any], console: Console) -> None:
    """A table for each phase, and the ratios."""
    for phase, words in PHASES.items():
        table = Table(title=f"for each service {words}", box=SIMPLE_HEAD)
        for heading in ("services", "templates", "namespaces", "s", "ms CPU", "requests", "reconciles", "KB"):
            table.add_column(heading, justify="right")
        for run in result["runs"]:
            figures = run[phase]
            table.add_row(
                f"{run['services']:,}",
                str(run["templates"]),
                str(run["namespaces"]),
                f"{figures['wall_seconds']:.0f}",
                f"{figures['cpu_ms']:.2f}",
                f"{figures['requests']:.2f}",
                f"{figures['reconciles']:.2f}",
                f"{figures['kilobytes']:.1f}",
            )
        console.print(table)
    for run in result["runs"]:
        idle = run["idle"]
        console.print(
            f"{run['services']:,} services at rest: {idle['cpu_percent']:.1f} % of a core,"
            f" {idle['requests']:.0f} requests in {IDLE_SECONDS:g} s"
        )
    for name, ratio in ratios(result["runs"]).items():
        console.print(f"{name}: largest / smallest = {ratio:.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--services",
        type=int,
        nargs="+",
        default=[200, 2000],
        help="sizes, in turn; multiples of 20 (default: 200 2000)",
    )
    parser.add_argument("--check", action="store_true", help=f"fail above {MARK} for CPU or requests")
    parser.add_argument(
        "--output", type=Path, default=ROOT / ".bench" / "scale.json", help="(default: %(default)s)"
    )
    options = parser.parse_args()
    if any(size < 20 or size % 20 for size in options.services):
        parser.error(
            f"--services {options.services}: use multiples of 20, so that the proportions are the same"
        )
    console = Console()
    try:
        result = asyncio.run(bench(options.services, console))
    except StepFailed as error:
        console.print(f"[red]{error}")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; every process has ended")
        return 130
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    show(result, console)
    console.print(f"written to {options.output}")
    missed = {
        name: ratio
        for name, ratio in ratios(result["runs"]).items()
        if ratio > MARK and not name.endswith("reconciles")
    }
    for name, ratio in missed.items():
        console.print(f"[red]not flat: {name} is {ratio:.2f} times as much, at most {MARK} is meant")
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
