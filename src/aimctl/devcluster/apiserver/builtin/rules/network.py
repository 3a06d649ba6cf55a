"""Rules of Services, Ingresses, NetworkPolicies and EndpointSlices that concern several fields."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required, unsupported
from aimctl.devcluster.apiserver.builtin.rules.checks import one_of
from aimctl.devcluster.apiserver.objects.names import subdomain_errors
from aimctl.devcluster.apiserver.schema.errors import FieldError

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        for field in ("kind", "name"):
            if not resource.get(field):
                yield required(f"{path}.resource.{field}")


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
        yield from one_of("Ingress", "Egress", needed=True)(each, f"{path}[{index}]")


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


def slice_ports(value: Any, path: str) -> Iterator[FieldError]:
    """The ports of an EndpointSlice have different names."""
    names = [each.get("name") or "" for each in value or ()]
    for index, each in enumerate(names):
        if each in names[:index]:
            yield FieldError("FieldValueDuplicate", f"{path}[{index}].name", each, "")


def addresses(value: Any, path: str) -> Iterator[FieldError]:
    """An endpoint has addresses."""
    if not value:
        yield required(path, "must contain at least 1 address")
