"""Priority that grows with waiting, so no class starves.

The rule: each item's effective priority rises by 100 points for every ``ageing_seconds`` it has been ready.
The item with the highest effective priority is handed out first; equals leave in the order in which they
came.

All items age at the same pace, so which of two is first never changes while they wait. Ordering by effective
priority is therefore ordering by one number fixed at the start::

    rank = ready_at - clamp(priority, -1000, 1000) / 100 * ageing_seconds        (lowest first)

Bound: an item of priority p is overtaken only by items of a higher priority q that became ready less than
``(q - p) / 100 * ageing_seconds`` after it (both clamped). With the default of 30 s an item from the
initial list (-100) yields to fresh changes (0) that come within 30 s, and to nothing else; and no two
classes, however far apart, are more than 600 s apart. What it costs: under lasting overload the queue is
first-in first-out with that head start, where strict priority would serve the high class alone.
"""

from __future__ import annotations

__all__ = ["DEFAULT_AGEING_SECONDS", "MAX_RANKED_PRIORITY", "PRIORITY_DEFAULT", "PRIORITY_LOW", "rank"]

PRIORITY_LOW = -100
"""For objects of the initial list and updates that change nothing, as in controller-runtime."""

PRIORITY_DEFAULT = 0
"""Everything else."""

DEFAULT_AGEING_SECONDS = 30.0
"""Waiting that makes up for 100 points, the distance from low to default priority."""

MAX_RANKED_PRIORITY = 1000
"""Beyond plus or minus this, priorities only break ties: it is what bounds starvation for any numbers."""


def rank(priority: int, ready_at: float, ageing_seconds: float) -> float:
    """The place in the queue, lowest first, on the scale of monotonic seconds."""
    ranked = max(-MAX_RANKED_PRIORITY, min(MAX_RANKED_PRIORITY, priority))
    return ready_at - ranked / 100 * ageing_seconds
