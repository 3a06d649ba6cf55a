"""Addresses that the operator does not read images from.

Who may create a model chooses the host that the operator sends requests to, and a registry chooses the targets of its
redirects. The operator can reach more than its users: its own node, the metadata service of the cloud, the API server.

Contract: :func:`is_refused` accepts any text. A text that is not an IP address is refused. IPv4 addresses within IPv6
addresses are judged as IPv4 addresses.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["is_public", "is_refused", "parse_ip"]

_METADATA_SERVICES = frozenset(
    map(ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16"))
)
"""Metadata services of clouds whose addresses are not link-local: AWS, Google, Alibaba and Azure."""

_NAT64 = ip_network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are an IPv4 address."""


def parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    """The IP address, without a zone and brackets; None if the text is not one."""
    try:
        return ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None


def is_refused(address: str, barred: Collection[IPv4Address | IPv6Address] = ()) -> bool:
    """Whether no request may be sent to an address.

    Refused are loopback, link-local, unspecified, multicast and reserved addresses, metadata services, and ``barred``.
    Private addresses are not, because many registries have one.
    """
    found = parse_ip(address)
    return found is None or any(
        item in barred
        or item in _METADATA_SERVICES
        or item.is_loopback
        or item.is_link_local
        or item.is_unspecified
        or item.is_multicast
        # Python counts parts of the public IPv6 space as reserved.
        or (isinstance(item, IPv4Address) and (item.is_reserved or item in ip_network("0.0.0.0/8")))
        for item in _meanings(found)
    )


def is_public(address: str) -> bool:
    """Whether an address is in the public internet."""
    found = parse_ip(address)
    return found is not None and all(item.is_global for item in _meanings(found))


def _meanings(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
    """The address, and the IPv4 addresses that are part of it."""
    yield address
    if isinstance(address, IPv6Address):
        yield from filter(None, (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())))
        if address in _NAT64 or int(address) >> 32 == 0:
            yield IPv4Address(int(address) & 0xFFFF_FFFF)
