"""The parsed form of a request: URL, query and Accept header.

Contract:
    * :func:`parse_request` derives verb, group, version, namespace, resource, subresource and name from the method and
      the URL only, as the API server's RequestInfo does.
    * :class:`Query` parses query parameters, with the error messages of the real server.
    * :func:`negotiate` selects the form of the response by the Accept header.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

from aimctl.devcluster.apiserver.schema.errors import go_quote
from aimctl.devcluster.apiserver.wire import statuses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.runtime.kube.transport import HttpRequest

__all__ = [
    "MEDIA_TYPES",
    "Form",
    "Query",
    "RequestInfo",
    "header",
    "media_type",
    "negotiate",
    "parse_request",
]

MEDIA_TYPES = ("application/json", "application/yaml")
"""Media types of responses. The real server also has protobuf; clients that prefer it accept JSON too."""

_REMEMBERED = 1024
_MAX_DIGITS = 19
_INTEGER = re.compile(r"[-+]?[0-9]+")
"""Clients repeat the same paths and headers."""
_VERBS = {
    "POST": "create",
    "GET": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


@final
@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What a request refers to, by its method and URL.

    ``verb`` is the RBAC verb for a resource, else the method in lower case. ``resource`` is empty for other paths.
    ``initial_events`` tells a watch that begins with all objects, by which informers replace their first list.
    """

    verb: str
    path: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    initial_events: bool = False


@final
class Query:
    """The query parameters. Of several with the same name, the first is used."""

    __slots__ = ("_pairs", "_values")

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = tuple(pairs)
        self._values: dict[str, str] = {}
        for name, value in self._pairs:
            self._values.setdefault(name, value)

    def text(self, name: str, default: str = "") -> str:
        """The value, or the default if it is missing."""
        return self._values.get(name, default)

    def all(self, name: str) -> list[str]:
        """All values of the name."""
        return [value for own, value in self._pairs if own == name]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def flag(self, name: str) -> bool:
        """True for ``?watch``, ``?watch=1`` and ``?watch=true``; false for missing, 0 and false."""
        value = self._values.get(name)
        return value is not None and value.lower() not in ("0", "false")

    def number(self, name: str) -> int | None:
        """An integer; None if it is missing. Raises StatusError 400."""
        value = self._values.get(name)
        if value is None:
            return None
        valid = _INTEGER.fullmatch(value) is not None
        number = int(value) if valid and len(value.lstrip("+-0")) <= _MAX_DIGITS else None
        if number is None or not -(1 << 63) <= number < 1 << 63:
            why = "value out of range" if valid else "invalid syntax"
            raise statuses.bad_request(f"strconv.ParseInt: parsing {go_quote(value)}: {why}")
        return number


def parse_request(request: HttpRequest, query: Query) -> RequestInfo:
    """Parse method and path."""
    return _parsed(request.method, request.path, query.flag("watch"), query.flag("sendInitialEvents"))


@functools.lru_cache(_REMEMBERED)
def _parsed(method: str, path: str, watch: bool, initial_events: bool) -> RequestInfo:  # noqa: FBT001 - private
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(method.lower(), path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in ("status", "finalize"):
            rest = rest[2:]
        # The namespace itself: for RBAC, it is in its own namespace.
    resource = rest[0]
    name = rest[1] if len(rest) > 1 else ""
    subresource = "/".join(rest[2:])
    verb = _VERBS.get(method, "")
    if not name:
        verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
    if verb in ("get", "list") and watch and not subresource:
        verb = "watch"
    begins = verb == "watch" and initial_events
    return RequestInfo(verb, path, group, version, namespace, resource, subresource, name, begins)


def header(headers: Mapping[str, str], name: str) -> str:
    """A header's value, or "". The case of the name is ignored."""
    value = headers.get(name)
    if value is None:
        lower = name.lower()
        value = next((value for own, value in headers.items() if own.lower() == lower), "")
    return value


def media_type(value: str) -> str:
    """The media type in a Content-Type header, in lower case and without parameters."""
    return value.partition(";")[0].strip().lower()


@final
@dataclass(frozen=True, slots=True)
class Form:
    """The form of a response.

    Attributes:
        shape: the object itself, a Table, only its metadata, or an aggregated discovery document.
        version: version of the shape's group (``v1``, ``v1beta1``, ``v2``, ``v2beta1``).
        yaml: YAML instead of JSON.
    """

    shape: Literal["object", "table", "metadata", "discovery"] = "object"
    version: str = ""
    yaml: bool = False

    @property
    def content_type(self) -> str:
        """The Content-Type of the response."""
        base = "application/yaml" if self.yaml else "application/json"
        if self.shape == "discovery":
            return f"{base};g=apidiscovery.k8s.io;v={self.version};as=APIGroupDiscoveryList"
        return base


_SHAPES: dict[tuple[str, str, str], Form] = {
    ("Table", "meta.k8s.io", "v1"): Form("table", "v1"),
    ("Table", "meta.k8s.io", "v1beta1"): Form("table", "v1beta1"),
    ("PartialObjectMetadata", "meta.k8s.io", "v1"): Form("metadata", "v1"),
    ("PartialObjectMetadata", "meta.k8s.io", "v1beta1"): Form("metadata", "v1beta1"),
    ("PartialObjectMetadataList", "meta.k8s.io", "v1"): Form("metadata", "v1"),
    ("PartialObjectMetadataList", "meta.k8s.io", "v1beta1"): Form("metadata", "v1beta1"),
}
_DISCOVERY: dict[tuple[str, str, str], Form] = {
    ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2"): Form("discovery", "v2"),
    ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2beta1"): Form("discovery", "v2beta1"),
}


@functools.lru_cache(_REMEMBERED)
def negotiate(accept: str, *, discovery: bool = False) -> Form:
    """The first form in an Accept header that is supported. Quality values are ignored, only the order counts.

    Raises:
        StatusError: 406, no form is supported.
    """
    if not accept.strip():
        return Form()
    shapes = _DISCOVERY if discovery else _SHAPES
    for choice in accept.split(","):
        media, *parameters = (part.strip() for part in choice.split(";"))
        values = dict(part.partition("=")[::2] for part in parameters)
        media = media.lower()
        if media in ("*/*", "application/*", "application/json", "application/yaml"):
            yaml = media == "application/yaml"
            wanted = values.get("as", "")
            if not wanted:
                return Form(yaml=yaml)
            form = shapes.get((wanted, values.get("g", ""), values.get("v", "")))
            if form is not None:
                return Form(form.shape, form.version, yaml)
    raise statuses.not_acceptable(
        (*MEDIA_TYPES, "application/vnd.kubernetes.protobuf"), known_type="as=" in accept
    )
