"""The benchmark of the library, with its budgets and with other libraries in the same run.

Contract:
    * ``following.py`` compares aimctl with other libraries; ``sections.py`` has the other measurements, ``budgets.py`` their limits.
      ``docs/benchmarks.md`` states what the figures mean.
    * All traffic stays on 127.0.0.1, unless ``--kubeconfig`` names a cluster. There the benchmark creates its namespaces
      and objects, removes them at the end, and only compares with kopf.
    * Each step has a time limit. Every process that was started is ended by its ID.
    * A measurement that fails is reported, and the others are still made and written.
    * Exit status: 0; 1 if a step failed, or with ``--check`` if a figure misses its budget; 130 if interrupted.

Units: KB and MB are 1000 and 1,000,000 bytes. CPU is user and system time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import report
from children import StepFailed, child
from following import CONTENDERS, follow
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sections import SECTIONS, Bench

ROOT = Path(__file__).parent.parent.parent


async def bench(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """All repetitions of everything that was selected."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    foreign = ["--kubeconfig", options.kubeconfig] if options.kubeconfig else []
    async with child("driver", "driver.py", *foreign) as driver:
        with Progress(*columns, console=console) as progress:
            loading = progress.add_task(f"making {options.count} templates", total=options.count)
            await driver.say(f"load {options.count}")
            loaded = await driver.hear("loaded", lambda now: progress.update(loading, completed=now["done"]))
            progress.update(loading, completed=options.count)
            total = options.repeat * len(options.contenders) + len(options.sections)
            running = progress.add_task("", total=total)

            def tell(text: str) -> None:
                progress.update(running, description=text)

            runs = await follow(
                driver,
                options.contenders,
                foreign or ["--server", loaded["server"]],
                options,
                tell=tell,
                advance=lambda: progress.advance(running),
            )
            shared = Bench(driver, loaded, options.repeat, tell)
            sections, failed = {}, {}
            for name in options.sections:
                try:
                    sections[name] = await SECTIONS[name](shared)
                except StepFailed as error:
                    failed[name] = str(error)
                progress.advance(running)
            tell("done")
        if foreign:
            console.print("removing the objects ...")
            driver.process.stdin.close()
            await driver.hear("removed")
    result = {
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
        "failed": failed,
        **sections,
    }
    return {**result, **report.keyed(result)}


def parse() -> argparse.Namespace:
    names = [*CONTENDERS, *SECTIONS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000, help="objects (default: %(default)s)")
    parser.add_argument(
        "--updates", type=int, default=5_000, help="updates, of that many objects (default: %(default)s)"
    )
    parser.add_argument(
        "--repeat", type=int, default=5, help="runs of each; medians are shown (default: %(default)s)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="WORD",
        help=f"only measurements with one of these words in their name: {', '.join(names)}",
    )
    parser.add_argument("--kubeconfig", help="a cluster to use instead; objects are made there, and removed")
    parser.add_argument("--check", action="store_true", help="fail if a figure misses its budget")
    parser.add_argument(
        "--output", type=Path, default=ROOT / ".bench" / "latest.json", help="(default: %(default)s)"
    )
    options = parser.parse_args()
    for name in ("count", "updates", "repeat"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: use 1 or more")
    chosen = [name for name in names if not options.only or any(word in name for word in options.only)]
    if not chosen:
        parser.error(f"--only {' '.join(options.only)}: no measurement has this name; use {', '.join(names)}")
    options.contenders = [name for name in chosen if name in CONTENDERS]
    options.sections = [name for name in chosen if name in SECTIONS and not options.kubeconfig]
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
    missed = report.show_budgets(result, console)
    for name, cause in result["failed"].items():
        console.print(f"[red]{name} was not measured: {cause}")
    if result.get("controller_runtime") == {}:  # without Go
        console.print(
            "Go is not in PATH, so there is no comparison with controller-runtime: install Go 1.26."
        )
    console.print(f"written to {options.output}")
    return 1 if result["failed"] or (options.check and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
