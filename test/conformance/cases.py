"""The requests: groups of cases, read from YAML.

A group is played in order, in a namespace of its own (``$ns``) that contains the service account ``default``.

    about: Create and read ConfigMaps
    vars: {C: /api/v1/namespaces/$ns/configmaps}
    before:                       # requests that prepare the group; each has to succeed
    - {send: POST $C, body: {metadata: {name: first}}}
    cases:
    - {name: a missing object, send: GET $C/none}

Fields of a case:
    name: unique in its group.
    send: method, and path with query.
    body: a JSON value; or ``raw``, a text that is sent as it is.
    as: the content type: a key of ``MEDIA``, or a media type.
    accept: the Accept header: a key of ``ACCEPT``, or a list of media types.
    save: variables for later cases, and the paths of their values in the response, such as metadata.uid.
    watch: how many events to read. The stream is closed after them.
    pick: the parts of the response that are compared, as JSON pointers without the first slash. ``name=x`` selects an
        item of a list. Without it, the whole response is compared.
    until: repeat the request for up to 30 s until the response has this status.

``$name`` or ``${name}`` in ``send``, ``body``, ``raw`` and ``until`` is replaced by the variable; ``${x*300}`` by 300
times "x"; ``$$`` by "$".
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parent / "groups"
MEDIA = {
    "apply": "application/apply-patch+yaml",
    "json": "application/json",
    "json-patch": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "yaml": "application/yaml",
}
_META = "v=v1;g=meta.k8s.io,application/json"
ACCEPT = {
    "table": f"application/json;as=Table;{_META}",
    "metadata": f"application/json;as=PartialObjectMetadata;{_META}",
    "metadata-list": f"application/json;as=PartialObjectMetadataList;{_META}",
    "discovery": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
    "openapi-v2-protobuf": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "openapi-v3-protobuf": "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
}
_FIELDS = {
    "name",
    "send",
    "body",
    "raw",
    "as",
    "accept",
    "save",
    "watch",
    "pick",
    "until",
}
_VARIABLE = re.compile(r"\$(?:(\$)|\{(.)\*(\d+)\}|\{(\w+)\}|([A-Za-z_]\w*))")


@dataclass(frozen=True)
class Case:
    """One request. ``body`` and ``raw`` are None if they are not given."""

    name: str
    method: str
    path: str
    body: Any = None
    raw: str | None = None
    media: str = "application/json"
    accept: str = ""
    save: Mapping[str, str] = field(default_factory=dict)
    watch: int | None = None
    pick: tuple[str, ...] = ()
    until: int | None = None


@dataclass(frozen=True)
class Group:
    """Cases of one subject. ``digest`` changes with every change of the requests."""

    name: str
    about: str
    vars: Mapping[str, str]
    before: tuple[Case, ...]
    cases: tuple[Case, ...]
    digest: str
    times: frozenset[str]
    """The times that the requests contain, which are not replaced in responses."""

    @property
    def namespace(self) -> str:
        return f"conform-{self.name}"


class CaseError(Exception):
    """A file of cases is malformed. The text names the file and the case."""


@functools.cache
def groups() -> tuple[Group, ...]:
    """All groups, by name."""
    return tuple(read_group(path) for path in sorted(FOLDER.glob("*.yaml")))


def read_group(path: Path) -> Group:
    """Parse one file. Raises CaseError."""
    text = path.read_text(encoding="utf-8")
    source = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    cases = tuple(_case(each, path.stem) for each in source["cases"])
    names = [case.name for case in cases]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise CaseError(f"{path.name}: cases with the same name: {', '.join(repeated)}")
    before = tuple(
        _case({"name": f"before {number}", **each}, path.stem)
        for number, each in enumerate(source.get("before") or (), 1)
    )
    canonical = json.dumps(source, sort_keys=True, default=str)
    return Group(
        path.stem,
        source["about"],
        source.get("vars") or {},
        before,
        cases,
        hashlib.sha256(canonical.encode()).hexdigest()[:12],
        frozenset(re.findall(r"\d{4}-\d\d-\d\dT[\d:.]+Z", text)),
    )


def _case(source: Mapping[str, Any], group: str) -> Case:
    name = source.get("name", "")
    if unknown := sorted(source.keys() - _FIELDS):
        raise CaseError(f"{group}: {name}: unknown field {', '.join(unknown)}")
    method, _, path = source["send"].partition(" ")
    media, accept = source.get("as", "json"), source.get("accept", "")
    return Case(
        name,
        method,
        path,
        source.get("body"),
        source.get("raw"),
        MEDIA.get(media, media),
        ACCEPT.get(accept, accept),
        source.get("save") or {},
        source.get("watch"),
        tuple(source.get("pick") or ()),
        source.get("until"),
    )


def substituted(value: Any, variables: Mapping[str, str]) -> Any:
    """The value with variables replaced, in texts at any depth and in keys."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _value(match, variables), value) if "$" in value else value
    if isinstance(value, list):
        return [substituted(item, variables) for item in value]
    if isinstance(value, dict):
        return {substituted(key, variables): substituted(item, variables) for key, item in value.items()}
    return value


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    dollar, letter, count, braced, plain = match.groups()
    if dollar:
        return "$"
    if letter:
        return str(letter) * int(count)
    name = braced or plain
    if name not in variables:
        raise CaseError(f"the variable {name} has no value: no earlier case saved it")
    return substituted(variables[name], variables) if "$" in variables[name] else variables[name]


def encoded(path: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Path and query parameters of a request line."""
    base, _, query = path.partition("?")
    return base, tuple(parse_qsl(query, keep_blank_values=True))


def url(path: str) -> str:
    """The request line's path and query, encoded."""
    base, query = encoded(path)
    return quote(base, safe="/:@~.-_") + (f"?{urlencode(query)}" if query else "")
