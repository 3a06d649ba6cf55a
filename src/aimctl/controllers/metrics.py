"""The operator's own metrics; names and labels are an interface that dashboards and alerts rely on.

    aim_discovery_pending_templates          gauge      templates that wait for a discovery slot
    aim_discovery_jobs_running               gauge      discovery Jobs that may be unfinished
    aim_discovery_jobs_limit                 gauge      how many may be
    aim_discovery_wait_seconds               histogram  from the wish for a slot, as this process saw it, to the Job
    aim_discovery_duration_seconds{result}   histogram  from the Job's creation to its result being read
    aim_templates{scope,status}              gauge      templates by state
    aim_model_caches{status}                 gauge      model caches by state
    aim_services{status}                     gauge      services by state
    aim_models{scope,status}                 gauge      models by state
    aim_image_reads_total{result}            counter    attempts to read an image's labels from its registry

Invariant: label sets are closed: ``result`` is succeeded or failed, ``scope`` Namespace or Cluster, ``status`` one of
the kind's states or "" for an object nobody has looked at yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import msgspec
from prometheus_client import Counter, Gauge, Histogram

from aimctl.api.v1alpha1 import CacheState, ModelState, ServiceState, TemplateState

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from aimctl.runtime.kube import Object

__all__ = ["OperatorMetrics", "StateCounter"]

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class _StatusHead(msgspec.Struct, gc=False):
    status: str = ""


class _Head(msgspec.Struct, gc=False):
    status: _StatusHead | None = None


_decoder = msgspec.json.Decoder(_Head)


@final
class OperatorMetrics:
    """All of them, registered on one registry.

    Args:
        registry: the manager's.
        limit: discovery Jobs that may be unfinished.
        running: counts them, at each scrape.
        pending: counts who waits, at each scrape.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        limit: int,
        running: Callable[[], int],
        pending: Callable[[], int],
    ) -> None:
        Gauge(
            "aim_discovery_pending_templates", "Templates that wait for a discovery slot.", registry=registry
        ).set_function(pending)
        Gauge(
            "aim_discovery_jobs_running", "Discovery Jobs that may be unfinished.", registry=registry
        ).set_function(running)
        Gauge(
            "aim_discovery_jobs_limit", "Discovery Jobs that may be unfinished at once.", registry=registry
        ).set(limit)
        self.wait_seconds = Histogram(
            "aim_discovery_wait_seconds",
            "Time from the wish for a discovery slot to the Job.",
            buckets=_SECONDS,
            registry=registry,
        )
        duration = Histogram(
            "aim_discovery_duration_seconds",
            "Time from the discovery Job's creation to its result being read.",
            ["result"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.succeeded_seconds = duration.labels("succeeded")
        self.failed_seconds = duration.labels("failed")
        self._templates = Gauge(
            "aim_templates", "Service templates by state.", ["scope", "status"], registry=registry
        )
        self._services = Gauge("aim_services", "Services by state.", ["status"], registry=registry)
        self._model_caches = Gauge(
            "aim_model_caches", "Model caches by state.", ["status"], registry=registry
        )

        self._models = Gauge("aim_models", "Models by state.", ["scope", "status"], registry=registry)
        reads = Counter(
            "aim_image_reads",
            "Attempts to read an image's labels from its registry.",
            ["result"],
            registry=registry,
        )
        self.image_reads_succeeded = reads.labels("succeeded")
        self.image_reads_failed = reads.labels("failed")

    def models(self, scope: str) -> StateCounter:
        """The informer's handler that counts the models of one scope."""
        return StateCounter(
            {state: self._models.labels(scope, state) for state in ("", *map(str, ModelState))}
        )

    def model_caches(self) -> StateCounter:
        """The informer's handler that counts model caches."""
        return StateCounter(
            {state: self._model_caches.labels(state) for state in ("", *map(str, CacheState))}
        )

    def templates(self, scope: str) -> StateCounter:
        """The informer's handler that counts the templates of one scope."""
        return StateCounter(
            {state: self._templates.labels(scope, state) for state in ("", *map(str, TemplateState))}
        )

    def services(self) -> StateCounter:
        """The informer's handler that counts services."""
        return StateCounter({state: self._services.labels(state) for state in ("", *map(str, ServiceState))})


@final
class StateCounter:
    """Counts objects by their state as they come, change and go."""

    def __init__(self, gauges: dict[str, Gauge]) -> None:
        self._gauges = gauges

    def on_add(self, obj: Object[Any], *, initial: bool) -> None:  # noqa: ARG002 - the handler's signature
        """One more."""
        self._gauge(obj).inc()

    def on_update(self, old: Object[Any], new: Object[Any]) -> None:
        """Perhaps another state."""
        before, after = self._gauge(old), self._gauge(new)
        if before is not after:
            before.dec()
            after.inc()

    def on_delete(self, obj: Object[Any], *, confirmed: bool) -> None:  # noqa: ARG002 - the handler's signature
        """One less."""
        self._gauge(obj).dec()

    def _gauge(self, obj: Object[Any]) -> Gauge:
        head = _decoder.decode(obj.raw).status
        return self._gauges.get(head.status if head is not None else "", self._gauges[""])
