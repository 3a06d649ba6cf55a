"""The metrics of informers, which controller-runtime does not have.

The ``reflector_*`` names are those of client-go; the ``cache_*`` metrics show the size and age of the cache. The label
``name`` is the kind as ``plural.group``, followed by the scope for a second informer of the kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.runtime.cache import ReflectorMetrics, WatchEnd
from aimctl.runtime.manager.metrics.gauges import GaugeCollector
from aimctl.runtime.manager.metrics.tallies import Tallies

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from aimctl.runtime.cache import InformerGauges
    from aimctl.runtime.manager.metrics.gauges import GaugeSpec
    from aimctl.runtime.manager.metrics.tallies import Distribution, Family, Tally

__all__ = ["InformerMetrics"]

_LIST_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_WATCH_BUCKETS = (1.0, 10.0, 60.0, 120.0, 300.0, 450.0, 600.0)
_ITEM_BUCKETS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)


@final
class InformerMetrics:
    """Registers the metrics, and creates the hooks of each informer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        tallies = self._tallies = Tallies()
        self.lists: Family[Tally] = tallies.counter("reflector_lists_total", "Lists that succeeded.", "name")
        self.relists: Family[Tally] = tallies.counter(
            "reflector_relists_total", "Lists after the first.", "name"
        )
        self.list_errors: Family[Tally] = tallies.counter(
            "reflector_list_errors_total", "Lists that failed.", "name"
        )
        self.list_seconds: Family[Distribution] = tallies.histogram(
            "reflector_list_duration_seconds", "Duration of a list.", _LIST_BUCKETS, "name"
        )
        self.list_items: Family[Distribution] = tallies.histogram(
            "reflector_items_per_list", "Objects in a list.", _ITEM_BUCKETS, "name"
        )
        self.watches: Family[Tally] = tallies.counter("reflector_watches_total", "Watches started.", "name")
        self.short: Family[Tally] = tallies.counter(
            "reflector_short_watches_total",
            "Watches that ended in less than a second without events.",
            "name",
        )
        self.watch_ends: Family[Tally] = tallies.counter(
            "reflector_watch_ends_total", "Watches that ended, by reason.", "name", "end"
        )
        self.watch_seconds: Family[Distribution] = tallies.histogram(
            "reflector_watch_duration_seconds", "Duration of a watch.", _WATCH_BUCKETS, "name"
        )
        self.watch_items: Family[Distribution] = tallies.histogram(
            "reflector_items_per_watch", "Events in a watch.", _ITEM_BUCKETS, "name"
        )
        self.history_resets: Family[Tally] = tallies.counter(
            "reflector_history_resets_total",
            "Lists whose version was older than the known one, as after a restore of etcd.",
            "name",
        )
        self.decode_errors: Family[Tally] = tallies.counter(
            "reflector_decode_errors_total", "Events that could not be decoded.", "name"
        )
        self.stale: Family[Tally] = tallies.counter(
            "reflector_stale_dropped_total",
            "Objects and events that were older than the cached object.",
            "name",
        )
        self.handler_errors: Family[Tally] = tallies.counter(
            "reflector_handler_errors_total", "Calls of event handlers that raised.", "name"
        )
        registry.register(tallies)
        self._gauges = GaugeCollector(_GAUGES, ("name",), lambda informer: (informer.name,))
        registry.register(self._gauges)

    def remove(self, name: str) -> None:
        """Remove the counters of the informer of this name."""
        self._tallies.remove("name", name)

    def informer(self, name: str) -> ReflectorMetrics:
        """The hooks of the informer of this name, with all counters at 0."""
        return _InformerMetrics(self, name, self._gauges)


@final
class _InformerMetrics(ReflectorMetrics):
    def __init__(self, metrics: InformerMetrics, name: str, gauges: GaugeCollector[InformerGauges]) -> None:
        self._metrics = metrics
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
        self._history_resets = metrics.history_resets.labels(name)
        self._decode_errors = metrics.decode_errors.labels(name)
        self._stale = metrics.stale.labels(name)
        self._handler_errors = metrics.handler_errors.labels(name)
        self._gauges = gauges

    def attach(self, gauges: InformerGauges) -> None:
        self._gauges.sources.append(gauges)

    def detach(self, gauges: InformerGauges) -> None:
        self._gauges.sources.remove(gauges)
        self._metrics.remove(gauges.name)

    def listed(self, seconds: float, items: int, *, relist: bool) -> None:
        self._lists.value += 1
        self._relists.value += int(relist)
        self._list_seconds.observe(seconds)
        self._list_items.observe(items)

    def list_failed(self) -> None:
        self._list_errors.value += 1

    def watch_started(self) -> None:
        self._watches.value += 1

    def watch_ended(self, seconds: float, events: int, end: WatchEnd) -> None:
        self._ends[end].value += 1
        self._short.value += int(end is WatchEnd.SHORT)
        self._watch_seconds.observe(seconds)
        self._watch_items.observe(events)

    def history_reset(self) -> None:
        self._history_resets.value += 1

    def decode_error(self) -> None:
        self._decode_errors.value += 1

    def stale_dropped(self, count: int) -> None:
        self._stale.value += count

    def handler_error(self) -> None:
        self._handler_errors.value += 1


_GAUGES: tuple[GaugeSpec[InformerGauges], ...] = (
    (
        "reflector_last_resource_version",
        "resourceVersion of the cached state.",
        lambda informer: informer.last_resource_version,
    ),
    ("cache_objects", "Cached objects.", lambda informer: informer.objects),
    ("cache_bytes", "Size of the cached objects.", lambda informer: informer.bytes),
    (
        "cache_age_seconds",
        "Time since the last list, event or bookmark.",
        lambda informer: informer.age_seconds,
    ),
    ("cache_synced", "1 if the first list has been delivered.", lambda informer: float(informer.synced)),
)
