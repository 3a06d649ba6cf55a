"""The HTTP endpoints of a manager: metrics, probes and debug pages, on the servers that its options name."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.runtime.manager.metrics import metrics_routes
from aimctl.runtime.manager.serving.debug import DebugPages
from aimctl.runtime.manager.serving.health import HealthChecks
from aimctl.runtime.manager.serving.http import HttpServer, parse_bind_address

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from aimctl.runtime.manager.options import ManagerOptions

__all__ = ["Endpoints"]

_FIELDS = ("metrics_bind_address", "health_probe_bind_address")


@final
class Endpoints:
    """Checks, debug pages, and the servers for them.

    Args:
        options: of the manager.
        metrics: what ``/metrics`` shows.

    Attributes:
        health: the checks of ``/healthz``.
        ready: the checks of ``/readyz``.
        pages: the debug pages, on the metrics server if it is on, else on the probe server.
        servers: to be entered by the manager.

    Raises:
        ConfigurationError: an address is invalid.
    """

    def __init__(self, options: ManagerOptions, metrics: Collector) -> None:
        self.health: HealthChecks = HealthChecks("healthz")
        self.ready: HealthChecks = HealthChecks("readyz")
        self.pages: DebugPages = DebugPages()
        addresses = {field: getattr(options, field) for field in _FIELDS}
        wanted = [field for field, address in addresses.items() if parse_bind_address(field, address)]
        routes = {
            "metrics_bind_address": dict(metrics_routes(metrics)),
            "health_probe_bind_address": {**self.health.routes(), **self.ready.routes()},
        }
        if wanted:
            routes[wanted[0]] |= self.pages.routes()
        self._servers = {field: HttpServer(field, addresses[field], routes[field]) for field in wanted}
        self.servers: tuple[HttpServer, ...] = tuple(self._servers.values())

    def include(self, prefix: str, endpoints: Endpoints) -> None:
        """Also serve the checks and pages of other endpoints, with ``<prefix>.`` before their names."""
        self.health.include(prefix, endpoints.health)
        self.ready.include(prefix, endpoints.ready)
        self.pages.include(prefix, endpoints.pages)

    def port(self, field: str) -> int:
        """The bound port of the server with the address option ``field``; 0 if it is not running."""
        server = self._servers.get(field)
        return server.port if server else 0
