"""The metrics of the operator. Dashboards and alerts depend on their names and labels.

    aim_discovery_pending_templates          gauge      templates that wait for a discovery slot
    aim_discovery_jobs_running               gauge      discovery Jobs that may be unfinished
    aim_discovery_jobs_limit                 gauge      the limit of unfinished discovery Jobs
    aim_discovery_wait_seconds               histogram  from the request of a slot in this process to the Job's creation
    aim_discovery_duration_seconds{result}   histogram  from the creation of a discovery Job to its output being read
    aim_templates{scope,status}              gauge      templates by state
    aim_model_caches{status}                 gauge      model caches by state
    aim_services{status}                     gauge      services by state
    aim_models{scope,status}                 gauge      models by state
    aim_unhealthy_objects{kind,namespace}    gauge      objects that are Failed or Degraded
    aim_waiting_seconds{kind,namespace}      gauge      time without progress of the object that has waited longest
    aim_image_reads_total{result}            counter    attempts to read an image's labels from its registry
    aim_downloads_total{result}              counter    downloads of model sources that ended
    aimctl_build_info{version,python}        gauge      1; the versions of aimctl and of Python

Only the leader exports the gauges that describe the cluster: the values of a standby would be counted twice.

Invariant: the label values are fixed. ``result`` is succeeded or failed, ``unreachable`` for a registry that does not
respond, or ``unavailable`` for a hub; ``scope`` is Namespace or Cluster; ``status`` is one of the states of the kind,
or "" for an object that has not been reconciled or cannot be read. The namespaces of ``aim_unhealthy_objects`` and
``aim_waiting_seconds`` are bounded, see :mod:`aimctl.controllers.unhealthy`.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from aimctl import __version__
from aimctl.api.v1alpha1 import CacheState, ModelState, ServiceState, TemplateState
from aimctl.controllers.unhealthy import UnhealthyObjects, state_of
from aimctl.runtime.clock import LoopClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from prometheus_client import Metric

    from aimctl.runtime.kube import Object

__all__ = ["DownloadResult", "ImageReadResult", "OperatorMetrics", "StateCounter"]

ImageReadResult: TypeAlias = Literal["succeeded", "failed", "unreachable"]
"""``failed``: the registry has responded, but without a usable image."""
DownloadResult: TypeAlias = Literal["succeeded", "failed", "unavailable"]
"""``unavailable``: the hub or bucket cannot be reached, reports an error of its own, or limits the rate."""

_CLOCK = LoopClock()
_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


@final
class OperatorMetrics:
    """The metrics, registered on one registry.

    Args:
        registry: of the manager.
        now: returns the time, aware.
        leads: whether this process is the leader.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        now: Callable[[], datetime] = _CLOCK.now,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        build = Gauge(
            "aimctl_build_info",
            "The versions of aimctl and of Python.",
            ["version", "python"],
            registry=registry,
        )
        build.labels(__version__, platform.python_version()).set(1)
        cluster = CollectorRegistry()
        registry.register(_WhileLeading(cluster, leads))
        self._pending = Gauge(
            "aim_discovery_pending_templates", "Templates that wait for a discovery slot.", registry=cluster
        )
        self._running = Gauge(
            "aim_discovery_jobs_running", "Discovery Jobs that may be unfinished.", registry=cluster
        )
        self._limit = Gauge(
            "aim_discovery_jobs_limit", "Discovery Jobs that may be unfinished at once.", registry=cluster
        )
        self.wait_seconds = Histogram(
            "aim_discovery_wait_seconds",
            "Time from the request of a discovery slot to the creation of the Job.",
            buckets=_SECONDS,
            registry=registry,
        )
        duration = Histogram(
            "aim_discovery_duration_seconds",
            "Time from the creation of a discovery Job to its output being read.",
            ["result"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.succeeded_seconds = duration.labels("succeeded")
        self.failed_seconds = duration.labels("failed")
        self._templates = Gauge(
            "aim_templates", "Service templates by state.", ["scope", "status"], registry=cluster
        )
        self._services = Gauge("aim_services", "Services by state.", ["status"], registry=cluster)
        self._model_caches = Gauge("aim_model_caches", "Model caches by state.", ["status"], registry=cluster)
        self._models = Gauge("aim_models", "Models by state.", ["scope", "status"], registry=cluster)
        self._unhealthy = UnhealthyObjects(now)
        cluster.register(self._unhealthy)
        reads = Counter(
            "aim_image_reads",
            "Attempts to read an image's labels from its registry.",
            ["result"],
            registry=registry,
        )
        self.image_reads: dict[ImageReadResult, Counter] = {
            result: reads.labels(result) for result in get_args(ImageReadResult)
        }
        downloads = Counter(
            "aim_downloads", "Downloads of model sources that ended.", ["result"], registry=registry
        )
        self.downloads: dict[DownloadResult, Counter] = {
            result: downloads.labels(result) for result in get_args(DownloadResult)
        }

    def admission(self, *, limit: int, running: Callable[[], int], pending: Callable[[], int]) -> None:
        """Report discovery admission: its limit, and what the functions return at each scrape."""
        self._limit.set(limit)
        self._running.set_function(running)
        self._pending.set_function(pending)

    def models(self, scope: str) -> StateCounter:
        """An informer handler that counts the models of one scope."""
        return self._counter(
            {state: self._models.labels(scope, state) for state in ("", *map(str, ModelState))}
        )

    def model_caches(self) -> StateCounter:
        """An informer handler that counts model caches."""
        return self._counter(
            {state: self._model_caches.labels(state) for state in ("", *map(str, CacheState))}
        )

    def template_caches(self) -> StateCounter:
        """An informer handler that counts template caches that have failed or wait."""
        return self._counter({})

    def templates(self, scope: str) -> StateCounter:
        """An informer handler that counts the templates of one scope."""
        return self._counter(
            {state: self._templates.labels(scope, state) for state in ("", *map(str, TemplateState))}
        )

    def services(self) -> StateCounter:
        """An informer handler that counts services."""
        return self._counter({state: self._services.labels(state) for state in ("", *map(str, ServiceState))})

    def _counter(self, gauges: dict[str, Gauge]) -> StateCounter:
        return StateCounter(gauges, self._unhealthy)


@final
class _WhileLeading:
    """A collector of the metrics of another registry, which has none while this process is a standby."""

    def __init__(self, registry: CollectorRegistry, leads: Callable[[], bool]) -> None:
        self._registry = registry
        self._leads = leads

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        return self._registry.collect() if self._leads() else ()


@final
class StateCounter:
    """Counts objects by their state.

    Args:
        gauges: by state; "" takes the objects in any other state. Empty for no gauges.
        unhealthy: gets every object.
    """

    def __init__(self, gauges: dict[str, Gauge], unhealthy: UnhealthyObjects) -> None:
        self._gauges = gauges
        self._unhealthy = unhealthy

    def on_add(self, obj: Object[Any], *, initial: bool) -> None:  # noqa: ARG002 - the handler's signature
        """Count an object."""
        self._unhealthy.add(obj)
        self._count(state_of(obj), 1)

    def on_update(self, old: Object[Any], new: Object[Any]) -> None:
        """Count the new state instead of the old one."""
        self._unhealthy.remove(old)
        self._unhealthy.add(new)
        before, after = state_of(old), state_of(new)
        if before != after:
            self._count(before, -1)
            self._count(after, 1)

    def on_delete(self, obj: Object[Any], *, confirmed: bool) -> None:  # noqa: ARG002 - the handler's signature
        """Stop counting an object."""
        self._unhealthy.remove(obj)
        self._count(state_of(obj), -1)

    def _count(self, state: str, difference: int) -> None:
        if self._gauges:
            self._gauges.get(state, self._gauges[""]).inc(difference)
