"""The budgets of the library. ``run.py --check`` fails if a figure misses its budget.

A figure is named by its section and key in ``.bench/latest.json``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["BUDGETS", "Budget", "figure"]


class Budget(NamedTuple):
    """The limit of one figure.

    Attributes:
        section: of the results.
        key: in the section.
        limit: most that the figure may be; with ``least``, the least.
        unit: of both.
        what: in words.
        least: whether more is better.
    """

    section: str
    key: str
    limit: float
    unit: str
    what: str
    least: bool = False

    def met(self, value: float) -> bool:
        """Whether a figure is within the budget."""
        return value >= self.limit if self.least else value <= self.limit


def _budgets() -> Iterator[Budget]:
    for section, count in (("sync_20k", "20,000"), ("sync_100k", "100,000")):
        yield Budget(section, "cpu_us_per_object", 20, "us", f"CPU to sync one of {count} objects")
        yield Budget(section, "bytes_per_object", 3700, "bytes", f"memory of one of {count} objects")
    yield Budget("controller_20k", "cpu_us_per_object", 55, "us", "CPU to sync and reconcile one of 20,000")
    yield Budget(
        "noop", "per_cpu_second", 28_000, "/s", "reconciles that do nothing, per CPU second", least=True
    )
    yield Budget("write", "ratio", 2.0, "x", "CPU of a reconcile that writes, to a bare PATCH")
    yield Budget("write_tls", "ratio", 2.0, "x", "the same over TLS")
    peer = "controller_runtime"
    for name, how in (("", ""), ("_tls", ", over TLS")):
        yield Budget(
            peer, f"sync{name}_cpu_ratio", 0.45, "x", f"CPU to sync and reconcile, to controller-runtime{how}"
        )
        yield Budget(peer, f"sync{name}_memory_ratio", 0.45, "x", f"memory of the same{how}")
        yield Budget(peer, f"write{name}_cpu_ratio", 0.7, "x", f"CPU of a reconcile that writes{how}")
    yield Budget("latency", "p99_ms_at_1000", 5, "ms", "added p99 latency at 1,000 events per second")
    yield Budget("queue", "per_second", 500_000, "/s", "add-get-done cycles per CPU second", least=True)
    yield Budget("idle", "core_fraction", 0.01, "cores", "idle, 100,000 objects, 1,000 heartbeats a minute")
    yield Budget("import", "seconds", 0.7, "s", "start of an idle manager")
    yield Budget("import", "rss_mb", 60, "MB", "memory of an idle manager")
    yield Budget("stall", "max_ms", 50, "ms", "longest stall of the event loop, syncs and latency")


BUDGETS = tuple(_budgets())


def figure(results: Mapping[str, Any], budget: Budget) -> float | None:
    """The figure of a budget; None if it was not measured."""
    value = results.get(budget.section, {}).get(budget.key)
    return None if value is None else float(value)
