"""Who gets the next discovery slots.

Contract: :func:`admit` names the waiting templates that may start now, in order. It is deterministic,
whatever the order of its input, and never hands out more than ``limit`` less what runs.

Order: templates that a service waits for; then the namespace that has the fewest running and granted; then
the template that waits longest; then by key. So 500 templates of one namespace do not hold up the single
one of another, and within a namespace nobody is overtaken.

The caller counts: ``running`` holds every discovery Job that may be unfinished, including those it has just
created and the cache does not show yet.
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
    """A template that waits for discovery.

    Attributes:
        key: tells it from all others; also the last word in the order.
        namespace: whose share it takes: the template's namespace, "" for cluster templates.
        since: since when it waits, as RFC 3339 or anything else that sorts as text; the template's creation
            time does, and survives restarts.
        awaited: whether a service waits for it.
    """

    key: str
    namespace: str
    since: str
    awaited: bool = False


def admit(
    waiting: Iterable[Candidate], running: Mapping[str, int], limit: int = DEFAULT_LIMIT
) -> tuple[Candidate, ...]:
    """The candidates that may start now, first come first.

    Args:
        waiting: everyone who wants a slot and has none.
        running: unfinished discovery Jobs of each namespace ("" for cluster templates).
        limit: slots in all, at least 0.
    """
    return _pick(waiting, running, limit - sum(running.values()))


def queue_order(waiting: Iterable[Candidate], running: Mapping[str, int]) -> tuple[Candidate, ...]:
    """Everyone who waits in the order in which slots would be given, if nothing else changed."""
    everyone = tuple(waiting)
    return _pick(everyone, running, len(everyone))


def _pick(waiting: Iterable[Candidate], running: Mapping[str, int], free: int) -> tuple[Candidate, ...]:
    """A heap of namespaces, each with its own queue by age; O(n log n)."""
    if free <= 0:
        return ()
    queues: dict[tuple[bool, str], list[tuple[str, str, Candidate]]] = {}
    for item in waiting:
        queues.setdefault((item.awaited, item.namespace), []).append((item.since, item.key, item))
    shares = Counter(running)
    chosen: list[Candidate] = []
    for awaited in (True, False):
        heads = []
        for (own, namespace), queue in queues.items():
            if own is awaited:
                queue.sort(key=lambda entry: entry[:2], reverse=True)
                heads.append((shares[namespace], *queue[-1][:2], namespace))
        heapq.heapify(heads)
        while heads and len(chosen) < free:
            namespace = heapq.heappop(heads)[-1]
            queue = queues[awaited, namespace]
            chosen.append(queue.pop()[-1])
            shares[namespace] += 1
            if queue:
                heapq.heappush(heads, (shares[namespace], *queue[-1][:2], namespace))
    return tuple(chosen)
