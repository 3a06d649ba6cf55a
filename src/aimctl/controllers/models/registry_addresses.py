"""Which addresses the client for registries may connect to.

Contract of :class:`AddressGuard`:
    * Every request is checked, also those that follow a redirect or go to a token service: a literal address before
      the request, a name after its resolution, in the same step that connects. So a name that resolves to another
      address the next time does not help an attacker.
    * In a pod, the API server is refused by its name and by the address of its Service.
    * Origins that the administrator configured, such as mirrors, are not checked.
    * Names are resolved by the proxy if there is one; it must enforce its own rules.
"""

from __future__ import annotations

import os
import socket
from ipaddress import ip_network
from typing import TYPE_CHECKING, final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from aimctl.domain.images.addresses import is_public, is_refused, parse_ip

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from yarl import URL

__all__ = ["AddressGuard", "AddressRefusedError", "GuardedResolver"]

_API_SERVER_NAMES = frozenset(
    {"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
)
_MAX_NOTED = 10_000
"""Names whose addresses are remembered."""


class AddressRefusedError(OSError):
    """A name has no address that requests may be sent to."""


@final
class AddressGuard:
    """Decides about addresses.

    Args:
        trusted: base URLs that the administrator configured.
        environ: for the address of the API server in a pod; by default that of the process.
        networks: additional networks that are permitted, such as ``127.0.0.0/8``.
    """

    def __init__(
        self,
        *,
        trusted: Iterable[URL] = (),
        environ: Mapping[str, str] | None = None,
        networks: Iterable[str] = (),
    ) -> None:
        self._trusted = {_place(url) for url in trusted}
        self._networks = tuple(map(ip_network, networks))
        host = (os.environ if environ is None else environ).get("KUBERNETES_SERVICE_HOST", "")
        api_server = parse_ip(host)
        self._barred = frozenset() if api_server is None else frozenset({api_server})
        self._barred_names = _API_SERVER_NAMES | ({host.lower()} if host and api_server is None else set())
        self._private: set[str] = set()

    def trusts(self, host: str, port: int) -> bool:
        """Whether the administrator configured this origin."""
        return (host.lower().strip("[]"), port) in self._trusted

    def refuses(self, url: URL) -> bool:
        """Whether the host of a URL is an address, or a name, that requests must not be sent to."""
        host = (url.host or "").lower().rstrip(".")
        if self.trusts(host, url.port or 0):
            return False
        literal = parse_ip(host)
        if literal is None:
            return not host or host in self._barred_names
        return not self.permits(host)

    def permits(self, address: str) -> bool:
        """Whether requests may be sent to an IP address."""
        found = parse_ip(address)
        if found is not None and any(found in network for network in self._networks):
            return True
        return not is_refused(address, self._barred)

    def hides_details(self, url: URL) -> bool:
        """Whether errors must not tell how a host responded: its addresses are in a private network.

        The differences would reveal which ports are open.
        """
        host = (url.host or "").lower()
        if self.trusts(host, url.port or 0):
            return False
        literal = parse_ip(host)
        if literal is not None:
            allowed = any(literal in network for network in self._networks)
            return not allowed and not is_public(host)
        return host in self._private

    def resolved(self, host: str, addresses: Iterable[str]) -> None:
        """Note the addresses of a name, for :meth:`hides_details`."""
        if all(map(is_public, addresses)):
            self._private.discard(host.lower())
        elif len(self._private) < _MAX_NOTED:
            self._private.add(host.lower())


@final
class GuardedResolver(AbstractResolver):
    """Resolves names, and returns only addresses that the guard permits.

    Args:
        guard: decides.
        resolver: resolves; by default that of aiohttp, which must be made in a running event loop.
    """

    def __init__(self, guard: AddressGuard, resolver: AbstractResolver | None = None) -> None:
        self._guard = guard
        self._resolver = resolver or DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The permitted addresses of a name.

        Raises:
            AddressRefusedError: it has none.
            OSError: it cannot be resolved.
        """
        found = await self._resolver.resolve(host, port, family)
        if self._guard.trusts(host, port):
            return found
        self._guard.resolved(host, (item["host"] for item in found))
        permitted = [item for item in found if self._guard.permits(item["host"])]
        if not permitted:
            raise AddressRefusedError(f"{host} has no permitted address")
        return permitted

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()


def _place(url: URL) -> tuple[str, int]:
    return (url.host or "").lower(), url.port or 0
