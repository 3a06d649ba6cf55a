"""The documents for discovery, version, health and OpenAPI.

Contract: :class:`Documents` answers GET requests for paths that are not objects. Documents that depend on the served
kinds are cached until the kinds change.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple, final

from aimctl.devcluster.apiserver.openapi.documents import (
    openapi_v2,
    openapi_v3,
    openapi_v3_index,
)
from aimctl.devcluster.apiserver.openapi.gnostic import encode_openapi_v2, encode_openapi_v3
from aimctl.devcluster.apiserver.openapi.versions import KUBERNETES, version_info
from aimctl.devcluster.apiserver.wire.rendering import encode
from aimctl.devcluster.apiserver.wire.requests import negotiate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aimctl.devcluster.apiserver.objects.kinds import KindRegistry, ServedKind
    from aimctl.devcluster.apiserver.wire.requests import Form, Query

__all__ = ["Document", "Documents", "accepts_openapi"]

_SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    # name: kind, group, version, verbs
    "log": ("Pod", "", "v1", ("get",)),
    "approval": (
        "CertificateSigningRequest",
        "certificates.k8s.io",
        "v1",
        ("get", "patch", "update"),
    ),
    "binding": ("Binding", "", "v1", ("create",)),
    "eviction": ("Eviction", "policy", "v1", ("create",)),
    "finalize": ("Namespace", "", "v1", ("update",)),
    "scale": ("Scale", "autoscaling", "v1", ("get", "patch", "update")),
    "token": ("TokenRequest", "authentication.k8s.io", "v1", ("create",)),
}
OPENAPI_V3_PROTOBUF = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
OPENAPI_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_HEALTH = ("/healthz", "/livez", "/readyz")


class Document(NamedTuple):
    """The body and the Content-Type of a response."""

    body: bytes
    content_type: str = "application/json"


def accepts_openapi(accept: str) -> bool:
    """Whether an OpenAPI document can have a form in an Accept header."""
    forms = [choice.partition(";")[0].strip() for choice in accept.split(",")]
    return not accept.strip() or any(
        form in ("*/*", "application/*", "application/json") or "proto-openapi.spec" in form for form in forms
    )


@final
class Documents:
    """Creates and caches the documents of one registry.

    Args:
        kinds: the served kinds.
        address: returns ``host:port`` of the server, for legacy discovery.
        kubernetes: the version that the server reports, such as 1.36.3.

    Raises:
        ValueError: ``kubernetes`` is not a version.
    """

    def __init__(
        self, kinds: KindRegistry, *, address: Callable[[], str], kubernetes: str = KUBERNETES
    ) -> None:
        self._kinds = kinds
        self._version = version_info(kubernetes)
        self._address = address
        self._cache: dict[tuple[str, ...], Document] = {}
        self._cached_at = -1

    def get(self, path: str, query: Query, accept: str) -> Document | None:
        """The document at this path, or None. Raises StatusError 406."""
        path = path.rstrip("/") or "/"
        if self._cached_at != self._kinds.changes:
            self._cache.clear()
            self._cached_at = self._kinds.changes
        if path.startswith("/openapi"):
            if path == "/openapi/v2" and "proto-openapi.spec.v2" in accept:
                return self._cached((path, "protobuf"), self._openapi_v2_protobuf)
            if path.startswith("/openapi/v3/") and "proto-openapi.spec.v3" in accept:
                return self._cached((path, "protobuf"), lambda: self._openapi(path, protobuf=True))
            return self._cached((path,), lambda: self._openapi(path))
        parts = path.split("/")[1:]
        if parts[0] in ("api", "apis") and len(parts) <= 3:
            form = negotiate(accept, discovery=True)
            if form.shape == "discovery" and len(parts) == 1:
                return self._cached((path, form.version), lambda: self._aggregated(path, form))
            return self._cached((path,), lambda: self._legacy(parts))
        return self._plain(path, query)

    def get_only(self, path: str) -> bool:
        """Whether a real server answers GET only at the path of this document, not even HEAD.

        It answers every method where its aggregator or the server of custom kinds has the document: ``/apis``, its
        groups, versions with custom kinds only, OpenAPI and health.
        """
        match path.rstrip("/").split("/")[1:]:
            case ["api"] | ["version"]:
                return True
            case ["api", version]:
                return bool(self._kinds.at("", version))
            case ["apis", group, version]:
                return any(not kind.custom for kind in self._kinds.at(group, version))
        return False

    def _plain(self, path: str, query: Query) -> Document | None:
        if path == "/version":
            return Document(encode(self._version))
        if path == "/":
            return Document(encode({"paths": self._paths()}))
        return self._health(path, query) if path.startswith(_HEALTH) else None

    def _cached(self, key: tuple[str, ...], make: Callable[[], Document | None]) -> Document | None:
        if key not in self._cache:
            document = make()
            if document is None:
                return None
            self._cache[key] = document
        return self._cache[key]

    def _paths(self) -> list[str]:
        paths = ["/api", "/api/v1", "/apis"]
        for group in self._kinds.groups():
            if group:
                paths += [
                    f"/apis/{group}",
                    *(f"/apis/{group}/{each}" for each in self._kinds.versions(group)),
                ]
        return [*paths, *_HEALTH, "/openapi/v2", "/openapi/v3", "/version"]

    def _health(self, path: str, query: Query) -> Document | None:
        base, _, check = path[1:].partition("/")
        if base not in ("healthz", "livez", "readyz") or check not in ("", "ping", "etcd"):
            return None
        text = f"[+]ping ok\n[+]etcd ok\n{base} check passed\n" if "verbose" in query else "ok"
        return Document(text.encode(), "text/plain; charset=utf-8")

    # -- OpenAPI

    def _openapi_v2_protobuf(self) -> Document:
        return Document(encode_openapi_v2(openapi_v2(self._kinds)), OPENAPI_V2_PROTOBUF)

    def _openapi(self, path: str, *, protobuf: bool = False) -> Document | None:
        if path == "/openapi/v2":
            return Document(encode(openapi_v2(self._kinds)))
        if path == "/openapi/v3":
            return Document(encode(openapi_v3_index(self._kinds)))
        parts = path.split("/")[3:]
        if parts[:1] == ["api"] and len(parts) == 2:
            group, version = "", parts[1]
        elif parts[:1] == ["apis"] and len(parts) == 3:
            group, version = parts[1], parts[2]
        else:
            return None
        if not self._kinds.at(group, version):
            return None
        document = openapi_v3(self._kinds, f"{group}/{version}" if group else version)
        if protobuf:
            return Document(encode_openapi_v3(document), OPENAPI_V3_PROTOBUF)
        return Document(encode(document))

    # -- discovery

    def _legacy(self, parts: list[str]) -> Document | None:
        found: dict[str, Any] | None = None
        match parts:
            case ["api"]:
                address = {"clientCIDR": "0.0.0.0/0", "serverAddress": self._address()}
                found = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [address]}
            case ["apis"]:
                groups = [self._group(group) for group in self._kinds.groups() if group]
                found = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
            case ["api", version]:
                found = self._resources("", version)
            case ["apis", group] if self._kinds.versions(group):
                found = {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}
            case ["apis", group, version]:
                found = self._resources(group, version)
        return None if found is None else Document(encode(found))

    def _group(self, group: str) -> dict[str, Any]:
        versions = [
            {"groupVersion": f"{group}/{version}", "version": version}
            for version in self._kinds.versions(group)
        ]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _resources(self, group: str, version: str) -> dict[str, Any] | None:
        kinds = self._kinds.at(group, version)
        if not kinds:
            return None
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": sorted(
                (entry for kind in kinds for entry in _legacy_entries(kind)), key=lambda entry: entry["name"]
            )
            if not any(kind.custom for kind in kinds)
            else [entry for kind in kinds for entry in _legacy_entries(kind)],
        }

    def _aggregated(self, path: str, form: Form) -> Document:
        groups = [group for group in self._kinds.groups() if bool(group) is (path == "/apis")]
        items = [
            {
                "metadata": {"name": group, "creationTimestamp": None}
                if group
                else {"creationTimestamp": None},
                "versions": [
                    {
                        "version": version,
                        "resources": [_aggregated_entry(kind) for kind in self._kinds.at(group, version)],
                        "freshness": "Current",
                    }
                    for version in self._kinds.versions(group)
                ],
            }
            for group in groups
        ]
        head = {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{form.version}",
            "metadata": {},
            "items": items,
        }
        return Document(encode(head), form.content_type)


def _subresources(kind: ServedKind) -> Iterable[tuple[str, str, str, str, tuple[str, ...]]]:
    """The name, response kind, group, version and verbs of each subresource."""
    resource = kind.resource
    if kind.status_subresource:
        yield "status", resource.kind, resource.group, resource.version, ("get", "patch", "update")
    names = list(kind.subresources)
    if kind.scale is not None and "scale" not in names:
        names.append("scale")
    for name in names:
        if name in _SUBRESOURCES:
            response, group, version, verbs = _SUBRESOURCES[name]
            yield name, response, group, version, verbs


def _legacy_entries(kind: ServedKind) -> Iterable[dict[str, Any]]:
    resource = kind.resource
    entry: dict[str, Any] = {
        "name": resource.plural,
        "singularName": kind.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.stored:
        entry["storageVersionHash"] = _storage_hash(kind)
    yield entry
    for name, response, group, version, verbs in _subresources(kind):
        own = (group, version) == (resource.group, resource.version)
        yield {
            "name": f"{resource.plural}/{name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            **({} if own else {"group": group, "version": version}),
            "kind": response,
            "verbs": list(verbs),
        }


def _storage_hash(kind: ServedKind) -> str:
    """The hash of group, version and kind of the stored form."""
    group = kind.resource.group
    version = (kind.storage_version or kind.resource.version).rpartition("/")[2]
    digest = hashlib.sha256(f"{group}/{version}/{kind.resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _aggregated_entry(kind: ServedKind) -> dict[str, Any]:
    resource = kind.resource
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    subresources = [
        {
            "subresource": name,
            "responseKind": {"group": group, "version": version, "kind": response},
            "verbs": list(verbs),
        }
        for name, response, group, version, verbs in _subresources(kind)
    ]
    if subresources:
        entry["subresources"] = subresources
    return entry
