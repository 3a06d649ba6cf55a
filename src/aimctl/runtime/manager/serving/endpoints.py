"""The HTTP endpoints of a manager: metrics, probes and debug pages, on the servers that its options name."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.runtime.manager.metrics import metrics_routes
from aimctl.runtime.manager.serving.debug import DebugPages
from aimctl.runtime.manager.serving.health import HealthChecks
from aimctl.runtime.manager.serving.http import HttpServer, parse_bind_address
from aimctl.runtime.manager.serving.status import StatusPage

if TYPE_CHECKING:
    from prometheus_client.registry import Collector
    from structlog.typing import FilteringBoundLogger

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube import Client
    from aimctl.runtime.manager.options import ManagerOptions
    from aimctl.runtime.manager.requirements import Requirements
    from aimctl.runtime.manager.serving.http import Routes
    from aimctl.runtime.manager.serving.secure.protection import CertificateMetrics, Protection

__all__ = ["METRICS", "PROBES", "Endpoints", "protection_of"]

METRICS, PROBES = "metrics_bind_address", "health_probe_bind_address"
"""The options with the addresses of the servers."""


@final
class Endpoints:
    """Checks, debug pages, and the servers for them.

    Args:
        options: of the manager.
        metrics: what ``/metrics`` shows.
        protection: of the metrics server; None for plain HTTP.

    Attributes:
        health: the checks of ``/healthz``.
        ready: the checks of ``/readyz``.
        pages: the debug pages, on the metrics server if it is on, else on the probe server. With protection they are
            only on the metrics server, because the probe server has none.
        status: the status page, at ``/debug`` on the same server as the debug pages.
        servers: to be entered by the manager.

    Raises:
        ConfigurationError: an address is invalid.
    """

    def __init__(
        self, options: ManagerOptions, metrics: Collector, protection: Protection | None = None
    ) -> None:
        self.health: HealthChecks = HealthChecks("healthz")
        self.ready: HealthChecks = HealthChecks("readyz")
        self.pages: DebugPages = DebugPages()
        self.status: StatusPage = StatusPage(self.pages)
        self._servers: dict[str, HttpServer] = {}
        pages = {**self.pages.routes(), **self.status.routes()}
        if parse_bind_address(METRICS, options.metrics_bind_address):
            routes = {**metrics_routes(metrics), **pages}
            self._servers[METRICS] = HttpServer(
                METRICS, options.metrics_bind_address, routes, protection, sign_in=self.status.sign_in
            )
            pages = {}
        if parse_bind_address(PROBES, options.health_probe_bind_address):
            probes: Routes = {**self.health.routes(), **self.ready.routes()}
            if protection is None:
                probes = {**probes, **pages}
            self._servers[PROBES] = HttpServer(PROBES, options.health_probe_bind_address, probes)
        self.servers: tuple[HttpServer, ...] = tuple(self._servers.values())

    def include(self, prefix: str, endpoints: Endpoints) -> None:
        """Also serve the checks and pages of other endpoints, with ``<prefix>.`` before their names."""
        self.health.include(prefix, endpoints.health)
        self.ready.include(prefix, endpoints.ready)
        self.pages.include(prefix, endpoints.pages)
        self.status.include(prefix, endpoints.status)

    def port(self, field: str) -> int:
        """The bound port of the server with the address option ``field``; 0 if it is not running."""
        server = self._servers.get(field)
        return server.port if server else 0


def protection_of(
    options: ManagerOptions,
    client: Client,
    *,
    clock: Clock,
    metrics: CertificateMetrics,
    requirements: Requirements,
    logger: FilteringBoundLogger | None = None,
) -> Protection | None:
    """Return the protection of the metrics server that the options ask for, and add the permissions that it needs.

    Args:
        options: of the manager.
        client: sends the reviews, unless the options name another one.
        clock: time.
        metrics: of the certificate.
        requirements: gets the permissions, if ``client`` needs them.
        logger: for warnings.
    """
    secure = options.metrics_secure
    if secure is None:
        return None
    # Only protected servers need these modules, and what they import.
    from aimctl.runtime.manager.serving.secure.access import REVIEW_PERMISSIONS
    from aimctl.runtime.manager.serving.secure.protection import Protection

    if secure.reviewer is None and parse_bind_address(METRICS, options.metrics_bind_address):
        requirements.add_permissions(*REVIEW_PERMISSIONS)
    return Protection(secure, client, clock=clock, metrics=metrics, logger=logger)
