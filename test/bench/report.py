"""From what contenders measured to figures, a table and a verdict."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from budgets import BUDGETS, figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

__all__ = ["keyed", "machine_facts", "show", "show_budgets", "summarize"]

PEER = "kopf"
PEERS = frozenset({PEER, "official client"})
_PACKAGES = ("aiohttp", "msgspec", "kopf", "kubernetes", "aimctl")


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
    keys = ("cpu_seconds", "wall_seconds", "grown_kib", "before_kib", "peak_kib", "stall_ms")
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
    if not result["figures"]:
        return
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
            "kopf CPU /\nthis CPU",
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


def keyed(result: dict[str, Any]) -> dict[str, Any]:
    """The figures under the sections and keys that the budgets use."""
    figures, count = result["figures"], _count(result, "sync")
    found: dict[str, Any] = {}
    if "aimctl informer" in figures:
        found["sync_20k"] = {
            "cpu_us_per_object": cpu_us(result, "aimctl informer", "sync"),
            "bytes_per_object": figures["aimctl informer"]["sync"]["grown_kib"]["median"] * 1024 / count,
        }
        for peer in PEERS & figures.keys():
            ratio = cpu_us(result, "aimctl informer", "sync") / cpu_us(result, peer, "sync")
            found["sync_20k"][f"{peer.replace(' ', '_')}_cpu_ratio"] = ratio
    if "aimctl controller" in figures:
        own = cpu_us(result, "aimctl controller", "sync")
        found["controller_20k"] = {"cpu_us_per_object": own}
        if "aimctl informer" in figures:
            found["noop"] = {"per_cpu_second": 1e6 / (own - cpu_us(result, "aimctl informer", "sync"))}
    stalls = [section["stall_ms"] for section in result.values() if "stall_ms" in section]
    stalls += [
        phases["sync"]["stall_ms"]["median"] for name, phases in figures.items() if name.startswith("aimctl")
    ]
    if stalls:
        found["stall"] = {"max_ms": max(stalls)}
    return found


def show_budgets(result: dict[str, Any], console: Console) -> bool:
    """Print the budgets of what was measured; True if one is missed."""
    table = Table(title="budgets", box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True)
    table.add_column("what")
    for heading in ("measured", "budget", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    missed = False
    for budget in BUDGETS:
        value = figure(result, budget)
        if value is None:
            continue
        met = budget.met(value)
        missed = missed or not met
        table.add_row(
            budget.what,
            f"{_short(value)} {budget.unit}",
            f"{'>=' if budget.least else '<='} {_short(budget.limit)}",
            "[green]met" if met else "[red]missed",
        )
    if table.row_count:
        console.print(table)
    if result["settings"]["objects"] < 20_000:
        console.print("The budgets are meant for 20,000 objects or more.")
    return missed


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _count(result: dict[str, Any], phase: str) -> int:
    return result["settings"]["objects" if phase == "sync" else "updates"]
