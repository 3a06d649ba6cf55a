"""The metrics of several managers on one page, with the label ``cluster``."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ClusterMetrics"]


@final
class ClusterMetrics(Collector):
    """Collects registries and adds the label ``cluster`` to each series that does not have it.

    Args:
        registries: by name of the cluster; "" for metrics of the process, which get no label.
    """

    def __init__(self, registries: Mapping[str, Collector]) -> None:
        self._registries = registries

    def collect(self) -> Iterator[Metric]:
        """One family for each metric name, with the series of all registries."""
        families: dict[str, Metric] = {}
        for cluster, registry in self._registries.items():
            label = {"cluster": cluster} if cluster else {}
            for one in registry.collect():
                family = families.setdefault(
                    one.name, Metric(one.name, one.documentation, one.type, one.unit)
                )
                family.samples += (
                    sample._replace(labels={**label, **sample.labels}) for sample in one.samples
                )
        yield from families.values()
