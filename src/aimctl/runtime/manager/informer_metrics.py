"""The metrics of informers, which controller-runtime leaves out.

The ``reflector_*`` names are client-go's; the ``cache_*`` ones say how much is held and how fresh it is. The
one label, ``name``, is the kind as ``plural.group``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from aimctl.runtime.cache import WatchEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric

    from aimctl.kubetypes import Resource
    from aimctl.runtime.cache import InformerGauges

__all__ = [
    "BoundInformerMetrics",
    "InformerMetrics",
]

_LIST_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_WATCH_BUCKETS = (1.0, 10.0, 60.0, 120.0, 300.0, 450.0, 600.0)
_ITEM_BUCKETS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)


@final
class InformerMetrics:
    """Registers them, and makes the hooks of each informer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, ("name", *labels), registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, ("name",), registry=registry, buckets=buckets)

        self.lists = counter("reflector_lists_total", "Lists that succeeded.")
        self.relists = counter("reflector_relists_total", "Lists after the first.")
        self.list_errors = counter("reflector_list_errors_total", "Lists that failed.")
        self.list_seconds = histogram("reflector_list_duration_seconds", "Time of a list.", _LIST_BUCKETS)
        self.list_items = histogram("reflector_items_per_list", "Objects in a list.", _ITEM_BUCKETS)
        self.watches = counter("reflector_watches_total", "Watches begun.")
        self.short = counter("reflector_short_watches_total", "Watches that ended at once, without events.")
        self.watch_ends = counter("reflector_watch_ends_total", "Watches ended, by why.", "end")
        self.watch_seconds = histogram("reflector_watch_duration_seconds", "Time of a watch.", _WATCH_BUCKETS)
        self.watch_items = histogram("reflector_items_per_watch", "Events in a watch.", _ITEM_BUCKETS)
        self.decode_errors = counter("reflector_decode_errors_total", "Events that were no object.")
        self.stale = counter("reflector_stale_dropped_total", "States older than what is held.")
        self.handler_errors = counter("reflector_handler_errors_total", "Handlers that raised.")
        self._gauges = _InformerGaugeCollector()
        registry.register(self._gauges)

    def informer(self, resource: Resource[Any]) -> BoundInformerMetrics:
        """The hooks of this kind's informer, all counters at 0."""
        return BoundInformerMetrics(self, resource.group_resource, self._gauges)


@final
class BoundInformerMetrics:
    """``ReflectorMetrics`` of one informer."""

    def __init__(self, metrics: InformerMetrics, name: str, gauges: _InformerGaugeCollector) -> None:
        self._lists = metrics.lists.labels(name)
        self._relists = metrics.relists.labels(name)
        self._list_errors = metrics.list_errors.labels(name)
        self._list_seconds = metrics.list_seconds.labels(name)
        self._list_items = metrics.list_items.labels(name)
        self._watches = metrics.watches.labels(name)
        self._short = metrics.short.labels(name)
        self._ends = {end: metrics.watch_ends.labels(name, end.value) for end in WatchEnd}
        self._watch_seconds = metrics.watch_seconds.labels(name)
        self._watch_items = metrics.watch_items.labels(name)
        self._decode_errors = metrics.decode_errors.labels(name)
        self._stale = metrics.stale.labels(name)
        self._handler_errors = metrics.handler_errors.labels(name)
        self._gauges = gauges

    def attach(self, gauges: InformerGauges) -> None:
        """See ``ReflectorMetrics``."""
        self._gauges.informers.append(gauges)

    def listed(self, seconds: float, items: int, *, relist: bool) -> None:
        """See ``ReflectorMetrics``."""
        self._lists.inc()
        self._relists.inc(int(relist))
        self._list_seconds.observe(seconds)
        self._list_items.observe(items)

    def list_failed(self) -> None:
        """See ``ReflectorMetrics``."""
        self._list_errors.inc()

    def watch_started(self) -> None:
        """See ``ReflectorMetrics``."""
        self._watches.inc()

    def watch_ended(self, seconds: float, events: int, end: WatchEnd) -> None:
        """See ``ReflectorMetrics``."""
        self._ends[end].inc()
        self._short.inc(int(end is WatchEnd.SHORT))
        self._watch_seconds.observe(seconds)
        self._watch_items.observe(events)

    def decode_error(self) -> None:
        """See ``ReflectorMetrics``."""
        self._decode_errors.inc()

    def stale_dropped(self, count: int) -> None:
        """See ``ReflectorMetrics``."""
        self._stale.inc(count)

    def handler_error(self) -> None:
        """See ``ReflectorMetrics``."""
        self._handler_errors.inc()


@final
class _InformerGaugeCollector(Collector):
    """What is a state, read when Prometheus asks."""

    def __init__(self) -> None:
        self.informers: list[InformerGauges] = []

    def describe(self) -> Iterator[Metric]:
        """The names alone: reading values needs a running loop, registering must not."""
        for name, text, _ in _GAUGES:
            yield GaugeMetricFamily(name, text, labels=("name",))

    def collect(self) -> Iterator[Metric]:
        for name, text, read in _GAUGES:
            family = GaugeMetricFamily(name, text, labels=("name",))
            for informer in self.informers:
                family.add_metric((informer.name,), read(informer))
            yield family


_GAUGES: tuple[tuple[str, str, Callable[[InformerGauges], float]], ...] = (
    ("reflector_last_resource_version", "How far the watch has got.", lambda one: one.last_resource_version),
    ("cache_objects", "Objects held.", lambda one: one.objects),
    ("cache_bytes", "Size of the bodies held.", lambda one: one.bytes),
    ("cache_age_seconds", "Since the server's last sign of life.", lambda one: one.age_seconds),
    ("cache_synced", "1 when the first list is in.", lambda one: float(one.synced)),
)
