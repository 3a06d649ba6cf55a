"""Metrics of objects that are not well, by kind and namespace, with a bounded number of series.

    aim_unhealthy_objects{kind,namespace}   how many objects are Failed or Degraded
    aim_waiting_seconds{kind,namespace}     how long the object that has waited longest has made no progress

Contract:
    * For each kind, at most :data:`MAX_NAMESPACES` namespaces have a series: those with the highest values. All others
      share the series with the namespace :data:`OTHERS`: the sum of their numbers, or the longest of their times.
    * A namespace without such an object has no series. The namespace of a cluster-scoped object is "".
    * An object waits while it is in a state of :data:`WAITING`, unless a user has stopped it or data arrives for it.
      The time begins when one of its conditions has changed its status last, so it is the same after a restart.
    * An event about an object costs constant time; the namespaces are ranked at each scrape.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from aimctl.domain.conditions import parse_rfc3339
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from prometheus_client.metrics_core import Metric

    from aimctl.kubetypes import Object

__all__ = ["MAX_NAMESPACES", "OTHERS", "UNHEALTHY", "WAITING", "UnhealthyObjects", "state_of"]

MAX_NAMESPACES = 100
OTHERS = "<other>"
"""Not a valid name of a namespace, so it is never that of an object."""
UNHEALTHY = frozenset({"Failed", "Degraded"})
"""States that count as unhealthy."""
WAITING = frozenset({"", "Pending", "Starting", "Progressing"})
"""States that end by themselves, unless something is missing; "" for an object that was not reconciled yet."""

_EXPECTED = frozenset({"RuntimeStopped", "Downloading", "Warming"})
"""Reasons of ``Ready`` of objects that do not wait: a user has stopped the service, or data arrives. A download to
which no data arrives has another reason."""

_LABELS = ("kind", "namespace")


@final
class UnhealthyObjects(Collector):
    """The objects that are unhealthy, and those that wait.

    Args:
        now: returns the time, aware.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._waiting: defaultdict[str, dict[str, dict[str, str]]] = defaultdict(dict)
        """By kind and namespace, the objects that wait: name -> since when, in RFC 3339."""

    def add(self, obj: Object[Any]) -> None:
        """Count an object."""
        if state_of(obj) in UNHEALTHY:
            self._counts[obj.resource.kind][obj.meta.namespace] += 1
        if since := _waits_since(obj):
            self._waiting[obj.resource.kind].setdefault(obj.meta.namespace, {})[obj.meta.name] = since

    def remove(self, obj: Object[Any]) -> None:
        """Stop counting an object that was added."""
        kind, namespace = obj.resource.kind, obj.meta.namespace
        if state_of(obj) in UNHEALTHY:
            self._counts[kind][namespace] -= 1
            if not self._counts[kind][namespace]:
                del self._counts[kind][namespace]
        waiting = self._waiting[kind].get(namespace, {})
        if waiting.pop(obj.meta.name, None) and not waiting:
            del self._waiting[kind][namespace]

    def collect(self) -> Iterator[Metric]:
        """The series of all kinds."""
        text = "Objects that are Failed or Degraded, by kind and namespace."
        unhealthy = GaugeMetricFamily("aim_unhealthy_objects", text, labels=_LABELS)
        for kind, counts in self._counts.items():
            _add_series(unhealthy, kind, counts, others=sum)
        yield unhealthy
        text = "How long the object that has waited longest has made no progress, by kind and namespace."
        waiting, now = GaugeMetricFamily("aim_waiting_seconds", text, labels=_LABELS), self._now()
        for kind, namespaces in self._waiting.items():
            longest = {name: _longest(objects, now) for name, objects in namespaces.items()}
            _add_series(waiting, kind, longest, others=max)
        yield waiting


def state_of(obj: Object[Any]) -> str:
    """``status.status`` of an object of one of the operator's kinds; "" if there is none, or it cannot be read."""
    view = obj.view_or_none
    return "" if view is None else view.status.status


def _waits_since(obj: Object[Any]) -> str:
    """Since when an object waits, in RFC 3339; "" if it does not."""
    if obj.meta.deleting or state_of(obj) not in WAITING:
        return ""
    view = obj.view_or_none
    conditions = () if view is None else view.status.conditions
    ready = find_condition(conditions, "Ready")
    if ready is not None and ready.reason in _EXPECTED:
        return ""
    changes = (item.last_transition_time or "" for item in conditions)
    return max(changes, default="") or obj.meta.creation_timestamp or ""


def _longest(objects: Mapping[str, str], now: datetime) -> float:
    since = parse_rfc3339(min(objects.values()))
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


def _add_series(
    family: GaugeMetricFamily,
    kind: str,
    values: Mapping[str, float],
    *,
    others: Callable[[list[float]], float],
) -> None:
    ranked = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    for namespace, value in ranked[:MAX_NAMESPACES]:
        family.add_metric((kind, namespace), value)
    if rest := [value for _, value in ranked[MAX_NAMESPACES:]]:
        family.add_metric((kind, OTHERS), others(rest))
