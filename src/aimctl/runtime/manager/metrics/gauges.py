"""Gauges that are read from their source at scrape time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar, final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client.metrics_core import Metric

__all__ = ["GaugeCollector", "GaugeSpec"]

S = TypeVar("S")

GaugeSpec: TypeAlias = "tuple[str, str, Callable[[S], float]]"
"""Name and help text of a gauge, and the function that reads its value from a source."""


@final
class GaugeCollector(Collector, Generic[S]):
    """The same gauges for each of several sources, such as queues.

    Args:
        gauges: what to collect.
        labels: names of the labels.
        values: the label values of a source.

    Attributes:
        sources: the sources; append to add one.
    """

    def __init__(
        self,
        gauges: Sequence[GaugeSpec[S]],
        labels: Sequence[str],
        values: Callable[[S], Sequence[str]],
    ) -> None:
        self.sources: list[S] = []
        self._gauges = gauges
        self._labels = labels
        self._values = values

    def describe(self) -> Iterator[Metric]:
        """The names only: reading values needs a running event loop, registering must not."""
        for name, text, _ in self._gauges:
            yield GaugeMetricFamily(name, text, labels=self._labels)

    def collect(self) -> Iterator[Metric]:
        """The gauges with the current values of all sources."""
        for name, text, read in self._gauges:
            family = GaugeMetricFamily(name, text, labels=self._labels)
            for source in self.sources:
                family.add_metric(self._values(source), read(source))
            yield family
