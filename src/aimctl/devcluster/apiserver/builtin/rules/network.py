"""Rules of Services, Ingresses, NetworkPolicies and EndpointSlices that concern several fields."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required, unsupported
from aimctl.devcluster.apiserver.builtin.rules.checks import CIDR_TEXT, address, cidr, name, network
from aimctl.devcluster.apiserver.objects.names import (
    path_segment_errors,
    subdomain_errors,
)
from aimctl.devcluster.apiserver.schema.errors import FieldError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aimctl.devcluster.apiserver.builtin.rules.checks import Check

_MOST_ADDRESSES = 100
_LOCAL_GROUPS = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def service(spec: Any, path: str) -> Iterator[FieldError]:
    """The ports and the address of a Service."""
    kind, ports = spec.get("type"), spec.get("ports") or ()
    if kind == "ExternalName":
        if not spec.get("externalName"):
            yield required(f"{path}.externalName")
        return
    if not ports and spec.get("clusterIP") != "None":
        yield required(f"{path}.ports")
    seen: set[str] = set()
    for index, each in enumerate(ports):
        place, given = f"{path}.ports[{index}]", each.get("name") or ""
        if not given and len(ports) > 1:
            yield required(f"{place}.name")
        if given and given in seen:
            yield FieldError("FieldValueDuplicate", f"{place}.name", given, "")
        seen.add(given)
        if each.get("nodePort") and kind == "ClusterIP":
            yield forbidden(f"{place}.nodePort", "may not be used when `type` is 'ClusterIP'")
    address = spec.get("clusterIP")
    if address and address != "None":
        try:
            ipaddress.ip_address(address)
        except ValueError:
            text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            yield invalid(f"{path}.clusterIPs[0]", address, text)


def families(value: Any, path: str) -> Iterator[FieldError]:
    """The families of a Service's addresses, each at most once."""
    for index, each in enumerate(value or ()):
        if each not in ("IPv4", "IPv6"):
            yield unsupported(f"{path}[{index}]", each, ("IPv4", "IPv6"))
        elif each in value[:index]:
            yield FieldError("FieldValueDuplicate", f"{path}[{index}]", each, "")


def ingress(spec: Any, path: str) -> Iterator[FieldError]:
    """An Ingress has a rule or a default backend."""
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        yield invalid(path, None, "either `defaultBackend` or `rules` must be specified")


def host(value: Any, path: str) -> Iterator[FieldError]:
    """A host name of a rule, which may start with a wildcard."""
    if not value:
        return
    try:
        ipaddress.ip_address(value)
    except ValueError:
        for text in subdomain_errors(value.removeprefix("*.")):
            yield invalid(path, value, text)
        return
    yield invalid(path, value, "must be a DNS name, not an IP address")


def hosts(value: Any, path: str) -> Iterator[FieldError]:
    """The host names of a certificate."""
    for index, host in enumerate(value or ()):
        for text in subdomain_errors((host or "").removeprefix("*.")):
            yield invalid(f"{path}[{index}]", host, text)


def http_path(item: Any, path: str) -> Iterator[FieldError]:
    """The path of a rule."""
    kind, text = item.get("pathType"), item.get("path") or ""
    if kind is None:
        yield required(f"{path}.pathType", "pathType must be specified")
    elif kind not in ("Exact", "ImplementationSpecific", "Prefix"):
        yield unsupported(f"{path}.pathType", kind, ("Exact", "ImplementationSpecific", "Prefix"))
    elif kind != "ImplementationSpecific" or text:
        if not text.startswith("/"):
            yield invalid(f"{path}.path", text, "must be an absolute path")
        for part in ("//", "/./", "/../", "%2f", "%2F") if kind != "ImplementationSpecific" else ():
            if part in text:
                yield invalid(f"{path}.path", text, f"must not contain '{part}'")


def backend(given: Any, path: str) -> Iterator[FieldError]:
    """A backend is a port of a service, or a resource."""
    service, resource = given.get("service"), given.get("resource")
    if service is None and resource is None:
        yield invalid(path, "", "resource or service backend is required")
    elif service is not None and resource is not None:
        yield invalid(path, "", "cannot set both resource and service backends")
    elif service is not None:
        if not service.get("name"):
            yield required(f"{path}.service.name")
        number = service.get("port") or {}
        if not number.get("name") and not number.get("number"):
            yield required(path, "port name or number is required")
        elif number.get("name") and number.get("number"):
            yield invalid(path, "", "cannot set both port name & port number")
    elif resource is not None:
        group = resource.get("apiGroup")
        for text in subdomain_errors(group) if group is not None else ():
            yield invalid(f"{path}.resource.apiGroup", group, text)
        for field in ("kind", "name"):
            if not resource.get(field):
                yield required(f"{path}.resource.{field}")
            yield from name(path_segment_errors)(resource.get(field), f"{path}.resource.{field}")


def path_backend(item: Any, path: str) -> Iterator[FieldError]:
    """The backend of a path is required. It is not checked if the type of the path is missing."""
    if item.get("backend") is None and item.get("pathType") is not None:
        yield from backend({}, f"{path}.backend")


def peer(given: Any, path: str) -> Iterator[FieldError]:
    """A peer is an address block, or selected pods."""
    others = given.get("podSelector") is not None or given.get("namespaceSelector") is not None
    if given.get("ipBlock") is not None and others:
        yield forbidden(path, "may not specify both ipBlock and another peer")
    elif given.get("ipBlock") is None and not others:
        yield required(path, "must specify a peer")


def policy_types(value: Any, path: str) -> Iterator[FieldError]:
    """The directions of a NetworkPolicy."""
    if len(value or ()) > 2:
        yield invalid(path, value, "may not specify more than two policyTypes")
        return
    for index, each in enumerate(value or ()):
        if each not in ("Ingress", "Egress"):
            yield unsupported(f"{path}[{index}]", each, ("Ingress", "Egress"))


def end_port(item: Any, path: str) -> Iterator[FieldError]:
    """The end of a range of ports."""
    end, begin = item.get("endPort"), item.get("port")
    if end is None:
        return
    if begin is None:
        yield invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified")
    elif isinstance(begin, str):
        yield invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric")
    elif end < begin:
        yield invalid(f"{path}.endPort", begin, "must be greater than or equal to `port`")


def ip_block(given: Any, path: str) -> Iterator[FieldError]:
    """A block of addresses, and smaller ones within it that are not part of it."""
    yield from cidr(given.get("cidr"), f"{path}.cidr")
    block = network(given.get("cidr") or "")
    if block is None:
        return
    for index, each in enumerate(given.get("except") or ()):
        part, here = network(each), f"{path}.except[{index}]"
        if part is None:
            yield invalid(here, each, CIDR_TEXT)
        elif part == block or not _contains(block, part):
            yield invalid(here, each, "must be a strict subset of `cidr`")


def _contains(block: Any, part: Any) -> bool:
    return bool(block.version == part.version and part.subnet_of(block))


def slice_ports(value: Any, path: str) -> Iterator[FieldError]:
    """The ports of an EndpointSlice have different names."""
    names = [each.get("name") or "" for each in value or ()]
    for index, each in enumerate(names):
        if each in names[:index]:
            yield FieldError("FieldValueDuplicate", f"{path}[{index}].name", each, "")


def endpoint_slice(obj: Any, path: str) -> Iterator[FieldError]:
    """The endpoints of an EndpointSlice have addresses of its type."""
    del path
    kind = obj.get("addressType")
    for index, endpoint in enumerate(obj.get("endpoints") or ()):
        here = f"endpoints[{index}].addresses"
        addresses = endpoint.get("addresses") or ()
        if not addresses:
            yield required(here, "must contain at least 1 address")
        elif len(addresses) > _MOST_ADDRESSES:
            text = f"must have at most {_MOST_ADDRESSES} items"
            yield FieldError("FieldValueTooMany", here, len(addresses), text)
        for number, each in enumerate(addresses):
            yield from _endpoint_address(each or "", kind, here, f"{here}[{number}]")


def _endpoint_address(given: str, kind: Any, whole: str, path: str) -> Iterator[FieldError]:
    if kind == "FQDN":
        yield from _full_name(given, path)
    if kind not in ("IPv4", "IPv6"):
        return
    errors = list(address(given, path))
    yield from errors
    if errors:
        return
    found = ipaddress.ip_address(given)
    if f"IPv{found.version}" != kind:
        yield invalid(whole, given, f"must be an {kind} address")
    yield from endpoint_address_errors(given, path)


def endpoint_address_errors(given: str, path: str) -> Iterator[FieldError]:
    """An address at which a pod cannot be reached from other nodes."""
    found = ipaddress.ip_address(given)
    if found.is_unspecified:
        yield invalid(path, given, f"may not be unspecified ({given})")
    if found.is_loopback:
        yield invalid(path, given, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if found.is_link_local:
        yield invalid(path, given, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if any(found in block for block in _LOCAL_GROUPS if block.version == found.version):
        text = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        yield invalid(path, given, text)


def _full_name(given: str, path: str) -> Iterator[FieldError]:
    if not given:
        yield required(path)
        return
    texts = subdomain_errors(given.removesuffix("."))
    for text in texts:
        yield invalid(path, given, text)
    if not texts and "." not in given.removesuffix("."):
        yield invalid(path, given, "should be a domain with at least two segments separated by dots")


def hints(errors_of: Callable[[str], list[str]]) -> Check:
    """The zones or nodes that an endpoint is for."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        seen: set[str] = set()
        for index, each in enumerate(value or ()):
            given, here = each.get("name") or "", f"{path}[{index}].name"
            if given in seen:
                yield FieldError("FieldValueDuplicate", here, given, "")
            seen.add(given)
            for text in errors_of(given):
                yield invalid(here, given, text)

    return check
