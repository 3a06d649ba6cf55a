"""Priority that grows with waiting time, so that no priority class starves.

The effective priority of an item rises by 100 points for every ``ageing_seconds`` that it has been ready. The queue
returns the item with the highest effective priority first; items with equal priority are first-in first-out.

All items age at the same rate, so the order of two waiting items never changes. The order by effective priority is
therefore the order by one number that is fixed when an item becomes ready::

    rank = ready_at - clamp(priority, -1000, 1000) / 100 * ageing_seconds        (lowest first)

Bound: an item of priority p is overtaken only by items of a higher priority q that become ready less than
``(q - p) / 100 * ageing_seconds`` after it (both clamped). With the default of 30 s an item of the initial list (-100)
is overtaken only by changes (0) within the next 30 s. No two priorities are more than 600 s apart. The price: under
permanent overload the queue is first-in first-out with this head start, where strict priorities would serve only the
highest class.
"""

from __future__ import annotations

__all__ = ["DEFAULT_AGEING_SECONDS", "MAX_RANKED_PRIORITY", "PRIORITY_DEFAULT", "PRIORITY_LOW", "rank"]

PRIORITY_LOW = -100
"""For objects of the initial list and unchanged updates, as in controller-runtime."""

PRIORITY_DEFAULT = 0
"""For changes of objects, and for requests without a priority of their own."""

DEFAULT_AGEING_SECONDS = 30.0
"""Waiting time that compensates for 100 points, the distance from low to default priority."""

MAX_RANKED_PRIORITY = 1000
"""Priorities are clamped to plus or minus this value, which bounds starvation; larger ones only break ties."""


def rank(priority: int, ready_at: float, ageing_seconds: float) -> float:
    """The position in the queue, lowest first, in monotonic seconds."""
    if priority == 0:
        return ready_at
    ranked = max(-MAX_RANKED_PRIORITY, min(MAX_RANKED_PRIORITY, priority))
    return ready_at - ranked / 100 * ageing_seconds
