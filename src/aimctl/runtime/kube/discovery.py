"""Which kinds a server has.

Two requests with aggregated discovery (Kubernetes 1.27 and later, or anything that answers
``APIGroupDiscoveryList``); on older servers one request a group version, eight at a time.

Contract: a group whose server is down is left out and named in :attr:`ServedApis.failed`; it never hides the
others.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, final

import msgspec

from aimctl.kubetypes import Resource
from aimctl.runtime.kube.errors import ApiError, DecodeError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator, Mapping

    from aimctl.runtime.kube.reader import Reader

__all__ = ["ServedApis", "ServedResource", "discover"]

T = TypeVar("T")

_AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
    "application/json"
)
_AT_ONCE = 8


@final
@dataclass(frozen=True, slots=True)
class ServedResource:
    """A kind in one version, as the server describes it."""

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
        """To read and write it without a model."""
        return Resource.untyped(self.group, self.version, self.kind, self.plural, namespaced=self.namespaced)


@final
@dataclass(frozen=True, slots=True)
class ServedApis:
    """What was found, in the server's order of preference.

    Attributes:
        resources: every kind in every version, preferred versions of a group first.
        failed: group versions that could not be read, with the reason.
    """

    resources: tuple[ServedResource, ...]
    failed: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ServedResource]:
        """All resources."""
        return iter(self.resources)

    def find(self, group: str, kind: str, version: str = "") -> ServedResource | None:
        """The kind in that version, or in the one the server prefers."""
        return next(
            (
                one
                for one in self.resources
                if one.group == group and one.kind == kind and version in ("", one.version)
            ),
            None,
        )

    def preferred(self, group: str, plural: str) -> ServedResource | None:
        """The resource of that plural name in the version the server prefers."""
        return next((one for one in self.resources if one.group == group and one.plural == plural), None)

    def by_name(self, name: str) -> ServedResource | None:
        """As a person names it: plural, singular, short name or kind, perhaps with ``.group``."""
        word, _, group = name.lower().partition(".")
        for one in self.resources:
            names = (one.plural, one.singular, one.kind.lower(), *one.short_names)
            if word in names and (not group or group == one.group):
                return one
        return None


async def discover(reader: Reader) -> ServedApis:
    """Ask the server.

    Raises:
        ApiError: the server refuses discovery as a whole.
        ConnectionFailed: no answer.
        DecodeError: an answer that is no discovery document.
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
                        failed[name] = "its server does not answer"
                    resources += (_served(group, version, one) for one in version.resources)
        return ServedApis(tuple(resources), failed)
    return await _discover_each(reader, core, groups)


async def _discover_each(reader: Reader, core: _Document, groups: _Document) -> ServedApis:
    """Before 1.27, or through an aggregator that does not know better."""
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
    """The results in order. The first failure ends the others and is raised as itself, not in a group."""
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
    """APIGroupDiscoveryList, APIVersions, APIGroupList or APIResourceList: each has the fields of its own."""

    kind: str = ""
    items: list[_AggregatedGroup] = []
    versions: list[str] = []
    groups: list[_ListedGroup] = []
    resources: list[_ListedResource] = []


_document = msgspec.json.Decoder(_Document)


async def _get(reader: Reader, path: str) -> _Document:
    body = await reader.read(path, accept=_AGGREGATED if path in ("/api", "/apis") else "application/json")
    try:
        return _document.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"{path} is no discovery document: {error}") from error


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
