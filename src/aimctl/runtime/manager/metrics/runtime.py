"""The metrics of a manager, with the names and labels of controller-runtime and client-go.

Contract: all metrics are registered once, on the given registry. Label sets are closed: they contain no object names.
Counters of known labels exist from the start with value 0, so that rates and alerts work at once.

In addition to those of controller-runtime: the results ``conflict`` and ``refused``,
``controller_runtime_hot_loops_total``, ``workqueue_waiting_items``, ``workqueue_oldest_ready_seconds``,
``leader_election_slowpath_total`` (which client-go declares but does not export), ``event_loop_lag_seconds``,
``event_loop_stalls_total``, ``event_loop_longest_stall_seconds``, ``events_recorded_total``,
``aimctl_certificate_expiry_timestamp_seconds``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, ProcessCollector

from aimctl.runtime.controller import RESULT_LABELS, ControllerMetrics
from aimctl.runtime.manager.metrics.certificates import CertificateExpiry
from aimctl.runtime.manager.metrics.gauges import GaugeCollector
from aimctl.runtime.manager.metrics.informers import InformerMetrics
from aimctl.runtime.manager.metrics.tallies import Tallies
from aimctl.runtime.queue import QueueMetrics

if TYPE_CHECKING:
    from aimctl.runtime.controller.metrics import Failure
    from aimctl.runtime.controller.outcome import ResultLabel
    from aimctl.runtime.manager.metrics.gauges import GaugeSpec
    from aimctl.runtime.manager.metrics.tallies import Distribution, Family, Tally
    from aimctl.runtime.queue import QueueGauges

__all__ = ["RuntimeMetrics"]

_RECONCILE_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    *(1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0, 25.0),
    *(30.0, 40.0, 50.0, 60.0),
)
_QUEUE_BUCKETS = tuple(1e-8 * 10**step for step in range(12))
_CALL_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)


@final
class RuntimeMetrics:
    """All metrics of a process. Implements ``RequestObserver``, ``ElectionMetrics``, ``EventMetrics``, ``LoopMetrics``
    and ``CertificateMetrics``.

    Args:
        registry: for registration.
        process: also register the metrics of the process and of the garbage collector.

    Raises:
        ValueError: the registry has the metrics of another manager.
    """

    def __init__(self, registry: CollectorRegistry, *, process: bool = False) -> None:
        self.registry = registry

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        base = "controller_runtime_"
        one = "controller"
        tallies = self._tallies = Tallies()
        self.reconciles: Family[Tally] = tallies.counter(
            f"{base}reconcile_total", "Reconciles, by result.", one, "result"
        )
        self.errors: Family[Tally] = tallies.counter(
            f"{base}reconcile_errors_total", "Reconciles that failed.", one
        )
        self.terminals: Family[Tally] = tallies.counter(
            f"{base}terminal_reconcile_errors_total", "Reconciles that failed with a terminal error.", one
        )
        self.panics: Family[Tally] = tallies.counter(
            f"{base}reconcile_panics_total", "Reconciles that failed because of a programming error.", one
        )
        self.timeouts: Family[Tally] = tallies.counter(
            f"{base}reconcile_timeouts_total", "Reconciles that exceeded their time limit.", one
        )
        self.hot_loops: Family[Tally] = tallies.counter(f"{base}hot_loops_total", "Hot loops detected.", one)
        self.reconcile_seconds: Family[Distribution] = tallies.histogram(
            f"{base}reconcile_time_seconds", "Duration of a reconcile.", _RECONCILE_BUCKETS, one
        )
        self.max_workers: Family[Tally] = tallies.gauge(
            f"{base}max_concurrent_reconciles", "Largest number of concurrent reconciles.", one
        )
        self.active_workers: Family[Tally] = tallies.gauge(
            f"{base}active_workers", "Reconciles that are running.", one
        )

        queue = ("name", "controller")
        self.depth: Family[Tally] = tallies.gauge(
            "workqueue_depth", "Due items that are not being processed yet.", *queue, "priority"
        )
        self.adds: Family[Tally] = tallies.counter("workqueue_adds_total", "Items that became due.", *queue)
        self.retries: Family[Tally] = tallies.counter("workqueue_retries_total", "Adds with a delay.", *queue)
        self.merges: Family[Tally] = tallies.counter(
            "workqueue_merged_adds_total", "Adds of items that were in the queue already.", *queue
        )
        self.queue_seconds: Family[Distribution] = tallies.histogram(
            "workqueue_queue_duration_seconds",
            "Time between becoming due and processing.",
            _QUEUE_BUCKETS,
            *queue,
        )
        self.work_seconds: Family[Distribution] = tallies.histogram(
            "workqueue_work_duration_seconds", "Time of processing an item.", _QUEUE_BUCKETS, *queue
        )
        try:
            registry.register(tallies)
        except ValueError as error:
            raise ValueError(
                "registry: another manager has its metrics there; give each manager a registry of its own, and show"
                " them together with run_managers"
            ) from error
        self._queues = GaugeCollector(
            _QUEUE_GAUGES, ("name", "controller"), lambda queue: (queue.name, queue.name)
        )
        registry.register(self._queues)

        self.calls: Counter = counter(
            "rest_client_requests_total", "Requests to API servers.", "code", "method", "host"
        )
        self.call_seconds: Histogram = Histogram(
            "rest_client_request_duration_seconds",
            "Duration of a request.",
            ("verb", "host"),
            registry=registry,
            buckets=_CALL_BUCKETS,
        )
        self.master: Gauge = gauge(
            "leader_election_master_status", "1 if this process is the leader.", "name"
        )
        self.slow_paths: Counter = counter(
            "leader_election_slowpath_total", "Renewals that had to read the Lease first.", "name"
        )
        self.lag: Gauge = gauge("event_loop_lag_seconds", "Lag of the event loop at the last measurement.")
        self.stalls: Counter = counter("event_loop_stalls_total", "Times that the event loop was blocked.")
        self.longest_stall: Gauge = gauge(
            "event_loop_longest_stall_seconds", "Longest time that the event loop was blocked."
        )
        self._longest_stall = 0.0
        self.certificate_reads: Counter = counter(
            "certwatcher_read_certificate_total",
            "Certificates of the metrics server that were loaded or created.",
        )
        self.certificate_errors: Counter = counter(
            "certwatcher_read_certificate_errors_total", "Certificates that could not be loaded."
        )
        self.events: Counter = counter("events_recorded_total", "Kubernetes Events, by result.", "result")
        for result in ("created", "series", "dropped", "failed"):
            self.events.labels(result)
        self.informers: InformerMetrics = InformerMetrics(registry)
        self.certificates: CertificateExpiry = CertificateExpiry(registry)
        if process:
            ProcessCollector(registry=registry)
            GCCollector(registry=registry)

    # ---- hooks of the whole process

    def request_finished(self, *, verb: str, method: str, host: str, code: str, seconds: float) -> None:
        """``rest_client_*``: a request ended; ``code`` is the HTTP status, or ``<error>``."""
        self.calls.labels(code, method, host).inc()
        self.call_seconds.labels(verb, host).observe(seconds)

    def leading(self, name: str, *, leads: bool) -> None:
        """``leader_election_master_status`` of the Lease ``name``."""
        self.master.labels(name).set(1 if leads else 0)
        self.slow_paths.labels(name)

    def slow_path(self, name: str) -> None:
        """``leader_election_slowpath_total`` of the Lease ``name``."""
        self.slow_paths.labels(name).inc()

    def loop_lag(self, seconds: float) -> None:
        """``event_loop_lag_seconds``: how late a timer of the event loop fired."""
        self.lag.set(seconds)

    def loop_stall(self, seconds: float) -> None:
        """``event_loop_stalls_total`` and ``event_loop_longest_stall_seconds``."""
        self.stalls.inc()
        self._longest_stall = max(self._longest_stall, seconds)
        self.longest_stall.set(self._longest_stall)

    def certificate_read(self, *, failed: bool) -> None:
        """``certwatcher_read_certificate_total`` and ``certwatcher_read_certificate_errors_total``."""
        (self.certificate_errors if failed else self.certificate_reads).inc()

    def certificate_expires(self, certificate: str, timestamp: float) -> None:
        """``aimctl_certificate_expiry_timestamp_seconds`` of this certificate."""
        self.certificates.expires(certificate, timestamp)

    def event(self, result: Literal["created", "series", "dropped", "failed"]) -> None:
        """``events_recorded_total``: one Event with this result."""
        self.events.labels(result).inc()

    def remove(self, name: str) -> None:
        """Remove everything that is reported of the controller of this name and of its queue."""
        self._tallies.remove("controller", name)
        self._queues.sources[:] = [queue for queue in self._queues.sources if queue.name != name]

    # ---- hooks of one controller or queue

    def controller(self, name: str) -> ControllerMetrics:
        """The hooks of the controller with this name, with all counters at 0."""
        return _ControllerMetrics(self, name)

    def queue(self, name: str) -> QueueMetrics:
        """The hooks of the queue with this name, with all counters at 0."""
        return _QueueMetrics(self, name, self._queues)


@final
class _ControllerMetrics(ControllerMetrics):
    __slots__ = ("_active", "_failures", "_hot_loops", "_max", "_results", "_seconds")

    def __init__(self, metrics: RuntimeMetrics, name: str) -> None:
        self._results = {label: metrics.reconciles.labels(name, label) for label in RESULT_LABELS}
        self._failures: dict[Failure, Tally] = {
            "error": metrics.errors.labels(name),
            "terminal": metrics.terminals.labels(name),
            "panic": metrics.panics.labels(name),
            "timeout": metrics.timeouts.labels(name),
        }
        self._seconds = metrics.reconcile_seconds.labels(name)
        self._max = metrics.max_workers.labels(name)
        self._active = metrics.active_workers.labels(name)
        self._hot_loops = metrics.hot_loops.labels(name)

    def workers(self, count: int) -> None:
        self._max.value = count

    def started(self) -> None:
        self._active.value += 1

    def finished(self, result: ResultLabel | None, seconds: float) -> None:
        self._active.value -= 1
        if result is not None:
            self._results[result].value += 1
            self._seconds.observe(seconds)

    def failed(self, failure: Failure) -> None:
        self._failures[failure].value += 1

    def hot_loop(self) -> None:
        self._hot_loops.value += 1


@final
class _QueueMetrics(QueueMetrics):
    __slots__ = ("_adds", "_depth", "_depths", "_gauges", "_merges", "_name", "_retries", "_waits", "_works")

    def __init__(self, metrics: RuntimeMetrics, name: str, gauges: GaugeCollector[QueueGauges]) -> None:
        labels = (name, name)
        self._name = name
        self._depth = metrics.depth
        self._depths: dict[str, Tally] = {}
        self._adds = metrics.adds.labels(*labels)
        self._retries = metrics.retries.labels(*labels)
        self._merges = metrics.merges.labels(*labels)
        self._waits = metrics.queue_seconds.labels(*labels)
        self._works = metrics.work_seconds.labels(*labels)
        self._gauges = gauges
        self.depth("0", 0)

    def attach(self, gauges: QueueGauges) -> None:
        self._gauges.sources.append(gauges)

    def depth(self, priority: str, items: int) -> None:
        gauge = self._depths.get(priority)
        if gauge is None:
            gauge = self._depths[priority] = self._depth.labels(self._name, self._name, priority)
        gauge.value = items

    def added(self) -> None:
        self._adds.value += 1

    def merged(self) -> None:
        self._merges.value += 1

    def retried(self) -> None:
        self._retries.value += 1

    def waited(self, seconds: float) -> None:
        self._waits.observe(seconds)

    def worked(self, seconds: float) -> None:
        self._works.observe(seconds)


_QUEUE_GAUGES: tuple[GaugeSpec[QueueGauges], ...] = (
    (
        "workqueue_unfinished_work_seconds",
        "Sum of the processing times of unfinished items.",
        lambda queue: queue.unfinished_seconds,
    ),
    (
        "workqueue_longest_running_processor_seconds",
        "Longest processing time of an unfinished item.",
        lambda queue: queue.longest_running_seconds,
    ),
    (
        "workqueue_oldest_ready_seconds",
        "Time since the oldest ready item became due.",
        lambda queue: queue.oldest_ready_seconds,
    ),
    ("workqueue_waiting_items", "Items that are not due.", lambda queue: queue.waiting_count),
)
