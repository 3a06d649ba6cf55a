"""The proxy of a connection, chosen once from the environment by the rules of kubectl.

kubectl uses ``http.ProxyFromEnvironment`` of Go. Its recorded answers are the test cases of this module
(``hack/record_proxy_cases.py``).

Contract:
    * The scheme of the server selects ``HTTPS_PROXY`` or ``HTTP_PROXY``. Of a variable, the upper-case name takes
      precedence, and an empty value counts as not set. ``ALL_PROXY`` is not used.
    * ``localhost`` and loopback addresses are reached directly.
    * ``NO_PROXY`` is a comma-separated list of ``*``, CIDR ranges, IP addresses and domains, the last two optionally
      with a port. ``example.com`` also matches its subdomains; ``.example.com`` and ``*.example.com`` match only those.
    * The proxy may be given without a scheme; then it is an HTTP proxy.

Difference: Go ignores a proxy variable that it cannot parse and connects directly. Here it is an error, as is a proxy
of another scheme than http and https.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from yarl import URL

from aimctl.runtime.kube.credentials.addresses import Address, parse_address
from aimctl.runtime.kube.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["environment_proxy", "is_loopback", "proxy_login"]

_EXAMPLE = "http://proxy:3128"

_IP = ipaddress.IPv4Address | ipaddress.IPv6Address


def environment_proxy(server: URL, environ: Mapping[str, str]) -> Address | None:
    """The proxy for requests to ``server``, or None for a direct connection. Use it for other servers than the API
    server as well, so that the same variables apply to all.

    Args:
        server: the URL of the request.
        environ: the variables, usually ``os.environ``.

    Raises:
        ConfigurationError: the variable that applies does not contain the URL of an HTTP proxy. Names the variable.
    """
    name = "HTTPS_PROXY" if server.scheme == "https" else "HTTP_PROXY"
    value = _variable(name, environ)
    if not value or not _needs_proxy(server, _variable("NO_PROXY", environ)):
        return None
    if name == "HTTP_PROXY" and environ.get("REQUEST_METHOD"):
        # In a CGI process the header "Proxy" of a client becomes HTTP_PROXY.
        raise ConfigurationError(
            "HTTP_PROXY is not used in a CGI process: unset REQUEST_METHOD or HTTP_PROXY"
        )
    return parse_address(value if "://" in value else f"http://{value}", name=name, example=_EXAMPLE)


def is_loopback(server: URL) -> bool:
    """Whether requests to ``server`` stay on this machine."""
    host = server.raw_host or ""
    address = _ip(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def proxy_login(proxy: Address | None) -> dict[str, str]:
    """The header with the credentials of the proxy, if it has any.

    It belongs to the CONNECT request for a server with TLS, and to each request otherwise.
    """
    return {"Proxy-Authorization": proxy.authorization} if proxy is not None and proxy.authorization else {}


def _variable(name: str, environ: Mapping[str, str]) -> str:
    return environ.get(name) or environ.get(name.lower()) or ""


def _needs_proxy(server: URL, exceptions: str) -> bool:
    host, port = server.raw_host or "", str(server.port)
    address = _ip(host)
    if is_loopback(server):
        return False
    return not any(
        _matches(entry.strip().lower(), host.lower(), port, address) for entry in exceptions.split(",")
    )


def _matches(entry: str, host: str, port: str, address: _IP | None) -> bool:
    """Whether an entry of NO_PROXY applies. Entries that cannot be parsed apply to no host."""
    if entry == "*":
        return True
    if "/" in entry:
        network = _network(entry)
        if network is not None:
            return address is not None and address.version == network.version and address in network
    name, wanted_port = _host_and_port(entry)
    if not name or wanted_port not in ("", port):
        return False
    listed = _ip(name)
    if listed is not None:
        return listed == address
    domain = name.removeprefix("*")
    if domain.startswith("."):
        return host.endswith("." + _ascii(domain[1:]))
    return host == _ascii(name) or host.endswith("." + _ascii(name))


def _host_and_port(entry: str) -> tuple[str, str]:
    """Split ``host:port`` and ``[ipv6]:port``. An entry with several colons and no brackets has no port."""
    if entry.startswith("["):
        host, bracket, rest = entry[1:].partition("]")
        return (host, rest[1:]) if bracket and rest.startswith(":") else (entry, "")
    host, colon, port = entry.partition(":")
    return (host, port) if colon and ":" not in port else (entry, "")


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        network = ipaddress.ip_network(entry, strict=False) if entry.partition("/")[2].isdecimal() else None
        if isinstance(network, ipaddress.IPv6Network):
            mapped = network.network_address.ipv4_mapped
            return network if mapped is None else ipaddress.IPv4Network((mapped, network.prefixlen - 96))
        return network
    except ValueError:
        return None


def _ip(text: str) -> _IP | None:
    """An IP address; an IPv4 address in IPv6 form is the same address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _ascii(domain: str) -> str:
    """A host name in the form that DNS uses."""
    if domain.isascii():
        return domain
    try:
        return URL.build(scheme="http", host=domain).raw_host or domain
    except ValueError:
        return domain
