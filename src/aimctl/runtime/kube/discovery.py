"""API discovery: the kinds that a server has, and its version.

With aggregated discovery (Kubernetes 1.27 and later, or any server that returns ``APIGroupDiscoveryList``) it takes two
requests; on older servers one request per group version, eight at a time.

Contract: a group whose server is not available is omitted and listed in :attr:`ServedApis.failed`; the others are
returned.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, final

import msgspec

from aimctl.kubetypes import Resource
from aimctl.kubetypes.errors import JSON_ERRORS
from aimctl.runtime.kube.errors import ApiError, DecodeError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator, Mapping

    from aimctl.runtime.kube.reader import Reader

__all__ = [
    "ServedApis",
    "ServedResource",
    "ServerVersion",
    "difference",
    "discover",
    "is_served",
    "server_version",
]

T = TypeVar("T")

_AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
    "application/json"
)
_AT_ONCE = 8
_NUMBER = re.compile(r"[0-9]{1,9}")
"""The number at the start of a part of a version, such as ``34+``."""


@final
@dataclass(frozen=True, slots=True)
class ServedResource:
    """A kind in one version, as described by the server.

    Attributes:
        group: "" for the core group.
        version: such as ``v1``.
        kind: in CamelCase.
        plural: the word in the URL.
        singular: in lower case; "" if the server does not say it.
        namespaced: whether objects live in namespaces.
        verbs: that the kind supports, such as ``list``.
        short_names: accepted by kubectl.
        categories: groups of kinds for ``kubectl get``, such as ``all``.
        subresources: such as ``status`` and ``scale``.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    verbs: frozenset[str]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()

    @property
    def resource(self) -> Resource[Mapping[str, Any]]:
        """The resource for reading and writing objects as untyped mappings."""
        return Resource.untyped(self.group, self.version, self.kind, self.plural, namespaced=self.namespaced)


@final
@dataclass(frozen=True, slots=True)
class ServedApis:
    """The result of discovery, in the server's order of preference.

    Attributes:
        resources: every kind in every version, the preferred version of each group first.
        failed: group versions that could not be read, and why.
    """

    resources: tuple[ServedResource, ...]
    failed: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ServedResource]:
        """Iterate over the resources."""
        return iter(self.resources)

    def find(self, group: str, kind: str, version: str = "") -> ServedResource | None:
        """The kind in the given version, or in the preferred one."""
        return next(
            (
                one
                for one in self.resources
                if one.group == group and one.kind == kind and version in ("", one.version)
            ),
            None,
        )

    def preferred(self, group: str, plural: str) -> ServedResource | None:
        """The resource with the given plural name in the preferred version."""
        return next((one for one in self.resources if one.group == group and one.plural == plural), None)

    def by_name(self, name: str) -> ServedResource | None:
        """The resource with the given plural, singular, short name or kind, optionally followed by ``.group``."""
        word, _, group = name.lower().partition(".")
        for one in self.resources:
            names = (one.plural, one.singular, one.kind.lower(), *one.short_names)
            if word in names and (not group or group == one.group):
                return one
        return None


@final
@dataclass(frozen=True, slots=True)
class ServerVersion:
    """The version of a server.

    Attributes:
        numbers: major and minor version, such as ``(1, 34)``; 0 for one that is not a number.
        text: such as ``v1.34.2``.
    """

    numbers: tuple[int, int]
    text: str


async def server_version(reader: Reader) -> ServerVersion:
    """Read the version of a server. One small request.

    Raises:
        KubeError: there is no response with a version.
    """
    body = await reader.read("/version")
    try:
        version = _version.decode(body)
    except JSON_ERRORS as error:
        raise DecodeError(f"/version is not a version: {error}") from error
    return ServerVersion((_leading(version.major), _leading(version.minor)), version.git_version)


def _leading(text: str) -> int:
    found = _NUMBER.match(text)
    return int(found[0]) if found else 0


async def discover(reader: Reader) -> ServedApis:
    """Discover the kinds of a server.

    Raises:
        ApiError: the server rejects discovery as a whole.
        ConnectionFailed: there was no response.
        DecodeError: a response is not a discovery document.
    """
    core, groups = await _together(_get(reader, path) for path in ("/api", "/apis"))
    if core.kind == groups.kind == "APIGroupDiscoveryList":
        resources: list[ServedResource] = []
        failed: dict[str, str] = {}
        for document in (core, groups):
            for group in document.items:
                for version in group.versions:
                    name = f"{group.metadata.name}/{version.version}".lstrip("/")
                    if version.freshness == "Stale" and not version.resources:
                        failed[name] = "its server is not available"
                    resources += (_served(group, version, one) for one in version.resources)
        return ServedApis(tuple(resources), failed)
    return await _discover_each(reader, core, groups)


async def is_served(reader: Reader, resource: Resource[Any]) -> bool:
    """Whether discovery lists the kind in its version. One or two small requests.

    Raises:
        KubeError: discovery did not answer, so it is not known.
    """
    path = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
    if resource.group:
        groups = await _plain(reader, "/apis", "APIGroupList")
        versions = (version.group_version for group in groups.groups for version in group.versions)
        if resource.api_version not in versions:
            return False
    kinds = await _plain(reader, path, "APIResourceList")
    return any(one.name == resource.plural for one in kinds.resources)


async def difference(reader: Reader, resource: Resource[Any]) -> str:
    """How kind and scope of a served Resource differ from those of the server, with the remedy; "" if they do not.

    Raises:
        KubeError: discovery did not answer, so it is not known.
    """
    path = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
    kinds = await _plain(reader, path, "APIResourceList")
    for served in kinds.resources:
        if served.name != resource.plural or not served.kind:
            continue
        if served.kind != resource.kind:
            return (
                f"the kind of the server is {served.kind!r}: correct kind={resource.kind!r} of the Resource"
            )
        if served.namespaced is not resource.namespaced:
            return f"it has namespaced={served.namespaced}: correct namespaced={resource.namespaced} of the Resource"
    return ""


async def _plain(reader: Reader, path: str, kind: str) -> _Document:
    document = _decode(path, await reader.read(path))
    if document.kind != kind:
        raise DecodeError(f"{path}: the response is not of kind {kind} but {document.kind!r}")
    return document


async def _discover_each(reader: Reader, core: _Document, groups: _Document) -> ServedApis:
    """Discovery without aggregation, one request per group version."""
    paths = {version: f"/api/{version}" for version in core.versions}
    for group in groups.groups:
        preferred = group.preferred_version.group_version
        names = [version.group_version for version in group.versions]
        for name in sorted(names, key=lambda name: name != preferred):
            paths[name] = f"/apis/{name}"
    slots = asyncio.Semaphore(_AT_ONCE)

    async def read(name: str) -> _Document | str:
        try:
            async with slots:
                return await _get(reader, paths[name])
        except (ApiError, DecodeError) as error:
            return str(error)

    answers = await _together(read(name) for name in paths)
    resources: list[ServedResource] = []
    failed: dict[str, str] = {}
    for name, document in zip(paths, answers, strict=True):
        if isinstance(document, str):
            failed[name] = document
        else:
            resources += _from_list(name, document.resources)
    return ServedApis(tuple(resources), failed)


async def _together(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order. The first failure cancels the other calls and is raised by itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(call) for call in calls]
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return [task.result() for task in running]


class _Meta(msgspec.Struct):
    name: str = ""


class _Kind(msgspec.Struct):
    kind: str = ""


class _Subresource(msgspec.Struct, rename="camel"):
    subresource: str = ""


class _AggregatedResource(msgspec.Struct, rename="camel"):
    resource: str
    response_kind: _Kind | None = None
    scope: str = ""
    singular_resource: str = ""
    verbs: list[str] | None = None
    short_names: list[str] | None = None
    categories: list[str] | None = None
    subresources: list[_Subresource] | None = None


class _AggregatedVersion(msgspec.Struct):
    version: str
    resources: list[_AggregatedResource] = []
    freshness: str = ""


class _GroupVersion(msgspec.Struct, rename="camel"):
    group_version: str = ""


class _ListedGroup(msgspec.Struct, rename="camel"):
    name: str = ""
    versions: list[_GroupVersion] = []
    preferred_version: _GroupVersion = msgspec.field(default_factory=_GroupVersion)


class _AggregatedGroup(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)
    versions: list[_AggregatedVersion] = []


class _ListedResource(msgspec.Struct, rename="camel"):
    name: str
    kind: str = ""
    namespaced: bool = False
    singular_name: str = ""
    group: str = ""
    version: str = ""
    verbs: list[str] | None = None
    short_names: list[str] | None = None
    categories: list[str] | None = None


class _Document(msgspec.Struct):
    """APIGroupDiscoveryList, APIVersions, APIGroupList or APIResourceList; only its own fields are set."""

    kind: str = ""
    items: list[_AggregatedGroup] = []
    versions: list[str] = []
    groups: list[_ListedGroup] = []
    resources: list[_ListedResource] = []


class _Version(msgspec.Struct, rename="camel"):
    major: str
    minor: str
    git_version: str = ""


_document = msgspec.json.Decoder(_Document)
_version = msgspec.json.Decoder(_Version)


async def _get(reader: Reader, path: str) -> _Document:
    body = await reader.read(path, accept=_AGGREGATED if path in ("/api", "/apis") else "application/json")
    return _decode(path, body)


def _decode(path: str, body: bytes) -> _Document:
    try:
        return _document.decode(body)
    except JSON_ERRORS as error:
        raise DecodeError(f"{path} is not a discovery document: {error}") from error


def _served(group: _AggregatedGroup, version: _AggregatedVersion, one: _AggregatedResource) -> ServedResource:
    return ServedResource(
        group=group.metadata.name,
        version=version.version,
        kind=one.response_kind.kind if one.response_kind else "",
        plural=one.resource,
        singular=one.singular_resource,
        namespaced=one.scope == "Namespaced",
        verbs=frozenset(one.verbs or ()),
        short_names=tuple(one.short_names or ()),
        categories=tuple(one.categories or ()),
        subresources=frozenset(sub.subresource for sub in one.subresources or ()),
    )


def _from_list(group_version: str, listed: list[_ListedResource]) -> Iterator[ServedResource]:
    group, _, version = group_version.rpartition("/")
    for one in listed:
        if "/" in one.name:
            continue
        prefix = one.name + "/"
        yield ServedResource(
            group=group,
            version=version,
            kind=one.kind,
            plural=one.name,
            singular=one.singular_name or one.kind.lower(),
            namespaced=one.namespaced,
            verbs=frozenset(one.verbs or ()),
            short_names=tuple(one.short_names or ()),
            categories=tuple(one.categories or ()),
            subresources=frozenset(
                other.name.removeprefix(prefix) for other in listed if other.name.startswith(prefix)
            ),
        )
