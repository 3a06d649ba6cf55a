"""From samples to a verdict, a table and a plot. Pure.

Memory is flat if the median of the last tenth is at most :data:`MOST_GROWTH` above that of the second tenth: the first
tenth, in which caches and allocator pools fill, does not count. Only the longest life of a process is judged.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet import Replica, Sample

__all__ = ["MOST_GROWTH", "SLACK_MIB", "growth", "leaked_tasks", "longest_life", "plot"]

MOST_GROWTH = 0.05
SLACK_MIB = 2.0
"""Growth that is always allowed: the size of two arenas of the allocator."""

_BARS = "▁▂▃▄▅▆▇█"


def longest_life(replica: Replica) -> list[Sample]:
    """The samples of the process of this replica that ran longest."""
    lives: dict[int, list[Sample]] = {}
    for sample in replica.samples:
        lives.setdefault(sample.life, []).append(sample)
    return max(lives.values(), key=lambda life: life[-1].seconds - life[0].seconds, default=[])


def growth(values: Sequence[float]) -> tuple[float, float, bool]:
    """The medians of the second and the last tenth, and whether they are equal enough to be flat.

    Raises ValueError for fewer than 20 values.
    """
    if len(values) < 20:
        raise ValueError(f"{len(values)} samples are too few to judge the memory: 20 are needed")
    tenth = len(values) // 10
    before, after = median(values[tenth : 2 * tenth]), median(values[-tenth:])
    return before, after, after <= max(before * (1 + MOST_GROWTH), before + SLACK_MIB)


def leaked_tasks(life: Sequence[Sample]) -> dict[str, tuple[int, int]]:
    """Names of which the last tenth always has more tasks than the second ever had, with both numbers."""
    tenth = max(1, len(life) // 10)
    early, late = life[tenth : 2 * tenth], life[-tenth:]
    found = {}
    for name in {name for sample in late for name in sample.tasks}:
        most = max((sample.tasks.get(name, 0) for sample in early), default=0)
        least = min(sample.tasks.get(name, 0) for sample in late)
        if least > most:
            found[name] = most, least
    return found


def plot(values: Sequence[float], width: int = 60) -> str:
    """A line of bars from the least to the greatest value, with both."""
    if not values:
        return "no samples"
    columns = (
        [values[index * len(values) // width] for index in range(width)] if len(values) > width else values
    )
    low, high = min(columns), max(columns)
    span = (high - low) or 1.0
    bars = "".join(_BARS[int((value - low) / span * (len(_BARS) - 1))] for value in columns)
    return f"{low:.1f} {bars} {high:.1f}"
