"""The options of a manager."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aimctl.runtime.arguments import check_number, check_texts

if TYPE_CHECKING:
    from aimctl.runtime.cache import ReflectorOptions
    from aimctl.runtime.manager.leaderelection.lease import LeaderElectionOptions
    from aimctl.runtime.manager.serving.secure.options import SecureServing
    from aimctl.runtime.tracing import Tracer

__all__ = ["ManagerOptions"]


@dataclass(frozen=True, slots=True)
class ManagerOptions:
    """Options of a manager.

    Attributes:
        leader_election: None: this process always leads.
        metrics_bind_address: address of ``/metrics``; "0" for off.
        metrics_secure: serve the metrics and the debug pages with TLS, to clients with a token and a permission. None:
            plain HTTP for every client that can connect.
        health_probe_bind_address: address of ``/healthz`` and ``/readyz``; "0" for off. The debug pages are on the
            metrics server if it is on, else on this one, but not if ``metrics_secure`` is set.
        graceful_shutdown_timeout: seconds to wait for runnables at shutdown; 0 cancels them at once, below zero waits
            without limit. If it is 21 or more, each write may take a second less, so that a write without a response
            ends within it.
        cache_sync_timeout: seconds for all caches to sync; afterwards the manager fails with the reasons. None: a cache
            that does not sync delays only the controllers that use it, and is reported by ``/readyz`` and in the log.
        name: ``reportingController`` of Events, and the field manager of writes.
        cluster: name of the cluster, for processes with managers of several clusters (see ``run_managers``): the key
            ``cluster`` of log records and the label ``cluster`` of metrics. Letters, digits, "-", "_" and ".".
        loop_lag_interval: seconds between measurements of the event loop's lag; 0 for off.
        loop_lag_limit: lag in seconds that fails the liveness check.
        stall_seconds: a thread reports the stack of code that blocks the event loop for this time; 0 for no thread.
        namespaces: of namespaced kinds that are declared without namespaces; empty for all.
        resync_seconds: period at which all sources receive every cached object again, as an update without a change,
            with up to 10 % jitter; None for never. It sends no requests, and predicates apply.
        reflector: timeouts and back-off of lists and watches; None for the defaults.
        freeze_after_sync: exclude the objects that exist at the first sync from garbage collection. It affects the
            whole process, so the program decides.
        tracer: creates a span of OpenTelemetry for each reconcile of a controller that :meth:`Manager.controller` adds,
            and for each API call if the manager gets a transport, not a client. None for no traces.
    """

    leader_election: LeaderElectionOptions | None = None
    metrics_bind_address: str = "0"
    metrics_secure: SecureServing | None = None
    health_probe_bind_address: str = "0"
    graceful_shutdown_timeout: float = 30.0
    cache_sync_timeout: float | None = None
    name: str = "aimctl"
    cluster: str = ""
    loop_lag_interval: float = 1.0
    loop_lag_limit: float = 5.0
    stall_seconds: float = 0.0
    namespaces: tuple[str, ...] = ()
    resync_seconds: float | None = None
    reflector: ReflectorOptions | None = None
    freeze_after_sync: bool = False
    tracer: Tracer | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            TypeError: a value has the wrong type, such as a text in the place of the list of namespaces.
            ValueError: a number is out of range, or the name of the cluster cannot be part of a path.
        """
        check_number("graceful_shutdown_timeout", self.graceful_shutdown_timeout, negative=True, endless=True)
        for field in ("cache_sync_timeout", "resync_seconds"):
            if getattr(self, field) is not None:
                check_number(field, getattr(self, field))
        check_number("loop_lag_limit", self.loop_lag_limit, endless=True)
        for field in ("loop_lag_interval", "stall_seconds"):
            check_number(field, getattr(self, field), zero=True)
        check_texts("namespaces", self.namespaces)
        if not re.fullmatch(r"[\w.-]*", self.cluster, re.ASCII):
            raise ValueError(f"cluster={self.cluster!r}: use letters, digits, '-', '_' and '.'")
