"""The functions of CEL for IP addresses and their ranges.

Contract: :data:`FUNCTIONS` has them by name. An address or range is a map with one private key, because the evaluator
does not pass Python objects through.

Source: Kubernetes' documentation of CEL, and answers of a 1.36 server.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FUNCTIONS"]

_IP = "ip@"
_CIDR = "cidr@"
_NO_RANGE = "network address parse error during conversion from string: "

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Range = ipaddress.IPv4Interface | ipaddress.IPv6Interface


def _address(value: Any) -> Address:
    """The address of a text or of the value of ``ip()``."""
    text = value[_IP] if isinstance(value, dict) else value
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        reason = f'ParseAddr("{text}"): {_fault(text)}'
        raise ValueError(f'IP Address "{text}" parse error during conversion from string: {reason}') from None
    if "%" in text:
        raise ValueError(f'IP address "{text}" with zone value is not allowed')
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        raise ValueError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return found


def _fault(text: str) -> str:
    """Why Go cannot read an address, for the most frequent faults."""
    parts = text.split(".")
    if len(parts) == 1 or ":" in text:
        return "unable to parse IP"
    if any(len(part) > 1 and part.startswith("0") for part in parts):
        return "IPv4 field has octet with leading zero"
    return "IPv4 address too short" if len(parts) < 4 else "IPv4 field has value >255"


def _range(value: Any) -> Range:
    """The range of a text or of the value of ``cidr()``."""
    text = value[_CIDR] if isinstance(value, dict) else value
    address, slash, bits = text.partition("/")
    fault = "" if slash else "no '/'"
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        fault = fault or f'ParseAddr("{address}"): {_fault(address)}'
    else:
        if slash and (not bits.isascii() or not bits.isdigit() or bits != str(int(bits))):
            fault = f'bad bits after slash: "{bits}"'
        elif slash and int(bits) > found.max_prefixlen:
            fault = "prefix length out of range"
    if fault:
        raise ValueError(f'{_NO_RANGE}{_NO_RANGE}netip.ParsePrefix("{text}"): {fault}')
    _address(address)
    return ipaddress.ip_interface(text)


def _is(read: Callable[[Any], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return check


def _ip(value: Any) -> dict[str, str]:
    """The address of a text, or that of a range."""
    if isinstance(value, dict) and _CIDR in value:
        return {_IP: str(_range(value).ip)}
    return {_IP: str(_address(value))}


def _masked(value: Any) -> dict[str, str]:
    return {_CIDR: str(_range(value).network)}


def _contains_ip(value: Any, address: Any) -> bool:
    try:
        return _address(address) in _range(value).network
    except ValueError:
        raise ValueError("no such overload") from None


def _contains_cidr(value: Any, part: Any) -> bool:
    outer, inner = _range(value).network, _range(part)
    return inner.version == outer.version and inner.network.prefixlen >= outer.prefixlen and inner.ip in outer


def _is_global(value: Any) -> bool:
    found = _address(value)
    broadcast = found == ipaddress.IPv4Address(0xFFFFFFFF)
    return not (
        found.is_unspecified or found.is_loopback or found.is_multicast or found.is_link_local or broadcast
    )


def _is_link_local_multicast(value: Any) -> bool:
    found = _address(value)
    if isinstance(found, ipaddress.IPv4Address):
        return found in ipaddress.IPv4Network("224.0.0.0/24")
    return found.is_multicast and found.packed[1] & 0x0F == 2


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "ip": _ip,
    "isIP": _is(_address),
    "ip.isCanonical": lambda text: str(_address(text)) == text,
    "family": lambda value: _address(value).version,
    "isUnspecified": lambda value: _address(value).is_unspecified,
    "isLoopback": lambda value: _address(value).is_loopback,
    "isLinkLocalMulticast": _is_link_local_multicast,
    "isLinkLocalUnicast": lambda value: _address(value).is_link_local,
    "isGlobalUnicast": _is_global,
    "cidr": lambda text: {_CIDR: str(_range(text))},
    "isCIDR": _is(_range),
    "prefixLength": lambda value: _range(value).network.prefixlen,
    "masked": _masked,
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
}
