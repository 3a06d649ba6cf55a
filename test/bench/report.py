"""From what contenders measured to figures, a table and a verdict."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

__all__ = ["MARK_CPU_US", "MARK_KB", "check", "machine_facts", "show", "summarize"]

MARK_CPU_US = 50.0
"""CPU an object in the sync of ``aimctl informer``, wire to handler."""
MARK_KB = 4.0
"""Growth of resident memory an object, in the same."""
MARKED = "aimctl informer"
PEER = "kopf"
_PACKAGES = ("aiohttp", "msgspec", "kopf", "aimctl")


def machine_facts() -> dict[str, Any]:
    """What the figures depend on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "packages": {name: version(name) for name in _PACKAGES},
    }


def summarize(
    runs: Sequence[dict[str, Any]], middle: Callable[[Sequence[float]], float]
) -> dict[str, dict[str, float]]:
    """Median, least and most of each figure."""
    keys = ("cpu_seconds", "wall_seconds", "grown_kib", "before_kib", "peak_kib")
    return {
        key: {
            "median": middle([run[key] for run in runs]),
            "least": min(run[key] for run in runs),
            "most": max(run[key] for run in runs),
        }
        for key in keys
    }


def cpu_us(result: dict[str, Any], name: str, phase: str, which: str = "median") -> float:
    """CPU an object or update, in microseconds."""
    return result["figures"][name][phase]["cpu_seconds"][which] * 1e6 / _count(result, phase)


def kilobytes(result: dict[str, Any], name: str, which: str = "median") -> float:
    """Growth of resident memory an object in the sync, in KB."""
    return result["figures"][name]["sync"]["grown_kib"][which] * 1.024 / _count(result, "sync")


def show(result: dict[str, Any], console: Console) -> None:
    """One table for each phase."""
    settings, machine = result["settings"], result["machine"]
    console.print(
        f"\n{settings['objects']:,} objects of {settings['body_bytes'] / 1000:.1f} KB, on the wire"
        f" {settings['wire_bytes'] / 1000:.1f} KB with managedFields; {settings['server']} server;"
        f" medians of {settings['repeat']}, spread in brackets.\n{machine['cores']} cores of {machine['cpu']},"
        f" Python {machine['python']}, kopf {machine['packages']['kopf']}."
    )
    memory = ("growth\nMB", "KB per\nobject", "peak\nMB")
    for phase, one in (("sync", "object"), ("events", "update")):
        table = Table(
            title=f"{phase}: {_count(result, phase):,} {one}s",
            box=SIMPLE_HEAD,
            padding=(0, 1),
            pad_edge=False,
            collapse_padding=True,
        )
        table.add_column("contender", no_wrap=True)
        headings = (
            "CPU s",
            f"us CPU\nper {one}",
            "per s",
            *(memory if phase == "sync" else ()),
            "kopf's\nCPU",
        )
        for heading in headings:
            table.add_column(heading, justify="right")
        for name, phases in result["figures"].items():
            table.add_row(name, *_row(result, name, phase, phases[phase]))
        console.print(table)


def _row(result: dict[str, Any], name: str, phase: str, figures: dict[str, Any]) -> list[str]:
    spread = f"{cpu_us(result, name, phase, 'least'):.0f}-{cpu_us(result, name, phase, 'most'):.0f}"
    row = [
        f"{figures['cpu_seconds']['median']:.2f}",
        f"{cpu_us(result, name, phase):.1f} [{spread}]".replace("[", "\\["),
        f"{_count(result, phase) / figures['wall_seconds']['median']:,.0f}",
    ]
    if phase == "sync":
        grown, peak = figures["grown_kib"]["median"], figures["peak_kib"]["median"]
        row += [f"{grown * 1.024e-3:.1f}", f"{kilobytes(result, name):.2f}", f"{peak * 1.024e-3:.0f}"]
    peer = result["figures"].get(PEER) if name != PEER else None
    row.append(f"{cpu_us(result, PEER, phase) / cpu_us(result, name, phase):.1f} x" if peer else "")
    return row


def check(result: dict[str, Any], console: Console) -> bool:
    """Say whether the mark is met; True when it is missed."""
    if MARKED not in result["figures"]:
        return False
    cpu, memory = cpu_us(result, MARKED, "sync"), kilobytes(result, MARKED)
    missed = cpu >= MARK_CPU_US or memory >= MARK_KB
    note = "" if result["settings"]["objects"] >= 20_000 else "; the mark is meant for 20,000 objects"
    console.print(
        f"{'[red]the mark is missed' if missed else '[green]the mark is met'}[/]: {MARKED} took {cpu:.1f} us CPU an"
        f" object (mark: less than {MARK_CPU_US:g}) and {memory:.2f} KB (mark: less than {MARK_KB:g}){note}"
    )
    return missed


def _count(result: dict[str, Any], phase: str) -> int:
    return result["settings"]["objects" if phase == "sync" else "updates"]
