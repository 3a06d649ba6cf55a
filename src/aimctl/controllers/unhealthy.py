"""The metric ``aim_unhealthy_objects{kind,namespace}``: objects that are Failed or Degraded, with a bounded size.

Contract:
    * For each kind, at most :data:`MAX_NAMESPACES` namespaces have a series: those with the most unhealthy objects. The
      objects of all others are counted in the series with the namespace :data:`OTHERS`, so that the sum is correct.
    * A namespace without unhealthy objects has no series. The namespace of a cluster-scoped object is "".
    * Counting an object costs constant time; the namespaces are ranked at each scrape.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

__all__ = ["MAX_NAMESPACES", "OTHERS", "UNHEALTHY", "UnhealthyObjects"]

MAX_NAMESPACES = 100
OTHERS = "<other>"
"""Not a valid name of a namespace, so it is never that of an object."""
UNHEALTHY = frozenset({"Failed", "Degraded"})
"""States that count."""

_NAME = "aim_unhealthy_objects"
_TEXT = "Objects that are Failed or Degraded, by kind and namespace."


@final
class UnhealthyObjects(Collector):
    """Counts of unhealthy objects."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def add(self, kind: str, namespace: str, difference: int) -> None:
        """Add a difference to the number of unhealthy objects of a kind in a namespace."""
        counts = self._counts.setdefault(kind, Counter())
        counts[namespace] += difference
        if not counts[namespace]:
            del counts[namespace]

    def collect(self) -> Iterator[Metric]:
        """The series of all kinds."""
        family = GaugeMetricFamily(_NAME, _TEXT, labels=("kind", "namespace"))
        for kind, counts in self._counts.items():
            ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            for namespace, count in ranked[:MAX_NAMESPACES]:
                family.add_metric((kind, namespace), count)
            if others := sum(count for _, count in ranked[MAX_NAMESPACES:]):
                family.add_metric((kind, OTHERS), others)
        yield family
