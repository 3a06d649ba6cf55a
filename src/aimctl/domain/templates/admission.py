"""The order in which templates get discovery slots.

Contract: :func:`admit` returns the waiting templates that may start now, in order. The result does not depend on the
order of the input, and has at most ``limit`` less the running Jobs.

Order: the namespace with the fewest running and assigned slots is next; between equals, the one whose first template is
awaited, then the one whose first template is older. Within a namespace, templates that a service waits for come first,
then age decides, then the key. So 500 templates of one namespace, or one service that waits for all templates of its
model, do not delay the single template of another namespace.

The caller counts. ``running`` includes every discovery Job that may be unfinished, also one that was created a moment
ago and is not in the cache yet.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["DEFAULT_LIMIT", "Candidate", "admit", "queue_order"]

DEFAULT_LIMIT = 10
"""Discovery Jobs that may be unfinished in the whole cluster."""


@final
@dataclass(frozen=True, slots=True)
class Candidate:
    """A template that waits for a slot.

    Attributes:
        key: unique; the last criterion of the order.
        namespace: of the template, "" for cluster templates.
        since: a time that sorts as text. The creation time of the template is RFC 3339, and is the same after a
            restart.
        awaited: whether a service waits for the template.
    """

    key: str
    namespace: str
    since: str
    awaited: bool = False


def admit(
    waiting: Iterable[Candidate], running: Mapping[str, int], limit: int = DEFAULT_LIMIT
) -> tuple[Candidate, ...]:
    """The candidates that may start now, in order.

    Args:
        waiting: all candidates without a slot.
        running: unfinished discovery Jobs by namespace, "" for cluster templates.
        limit: the number of slots, at least 0.
    """
    return _pick(waiting, running, limit - sum(running.values()))


def queue_order(waiting: Iterable[Candidate], running: Mapping[str, int]) -> tuple[Candidate, ...]:
    """All candidates in the order in which they would get slots if nothing else changed."""
    candidates = tuple(waiting)
    return _pick(candidates, running, len(candidates))


def _pick(waiting: Iterable[Candidate], running: Mapping[str, int], free: int) -> tuple[Candidate, ...]:
    """The first ``free`` candidates, from a heap of namespaces that each have a queue by age; O(n log n)."""
    if free <= 0:
        return ()
    queues: dict[str, list[tuple[bool, str, str, Candidate]]] = {}
    for item in waiting:
        queues.setdefault(item.namespace, []).append((not item.awaited, item.since, item.key, item))
    shares = Counter(running)
    heads = []
    for namespace, queue in queues.items():
        queue.sort(key=lambda entry: entry[:3], reverse=True)
        heads.append((shares[namespace], *queue[-1][:3], namespace))
    heapq.heapify(heads)
    chosen: list[Candidate] = []
    while heads and len(chosen) < free:
        namespace = heapq.heappop(heads)[-1]
        queue = queues[namespace]
        chosen.append(queue.pop()[-1])
        shares[namespace] += 1
        if queue:
            heapq.heappush(heads, (shares[namespace], *queue[-1][:3], namespace))
    return tuple(chosen)
