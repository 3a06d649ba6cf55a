"""The validation of environment variables and of the files that have the same sources.

Contract: that of the checks in ``rules/checks.py``.

Source: Kubernetes' ``core/validation`` and ``core/pods``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import invalid, required, unsupported
from aimctl.devcluster.apiserver.builtin.rules.checks import (
    fields,
    label_key,
    name,
    path_without_steps_back,
)
from aimctl.devcluster.apiserver.builtin.rules.data import file_key
from aimctl.devcluster.apiserver.objects.names import field_label_errors, subdomain_errors
from aimctl.kubetypes.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from aimctl.devcluster.apiserver.schema.errors import FieldError

__all__ = ["FILE_FIELDS", "environment", "field_of_pod", "imported", "resource_of_container"]

_VARIABLE = re.compile(r"[ -<>-~]+")
_VARIABLE_TEXT = (
    "a valid environment variable name must consist only of printable ASCII characters other than '='"
)
_IDENTITY = ("metadata.name", "metadata.namespace", "metadata.uid")
_MAPS = ("metadata.annotations", "metadata.labels")
FILE_FIELDS = (*_MAPS, *_IDENTITY)
"""The fields of a pod that a file may contain, in the order of messages."""
_VARIABLE_FIELDS = (
    *_IDENTITY,
    *("spec.nodeName", "spec.serviceAccountName"),
    *("status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"),
)
_KNOWN = frozenset(
    {*FILE_FIELDS, *_VARIABLE_FIELDS, "spec.restartPolicy", "spec.schedulerName", "spec.host", "status.phase"}
)
_AMOUNTS = tuple(
    f"{part}.{resource}"
    for part in ("limits", "requests")
    for resource in ("cpu", "ephemeral-storage", "memory")
)
_PAGES = ("limits.hugepages-", "requests.hugepages-")
_UNITS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_NOUNS = {
    "memory": "memory",
    "ephemeral-storage": "local ephemeral storage",
}


def _variable_name(value: Any, path: str) -> Iterator[FieldError]:
    if value and not _VARIABLE.fullmatch(value):
        yield invalid(path, value, _VARIABLE_TEXT)


def environment(value: Any, path: str) -> Iterator[FieldError]:
    """An environment variable has a valid name and one source."""
    if not value.get("name"):
        yield required(f"{path}.name")
    yield from _variable_name(value.get("name"), f"{path}.name")
    source = value.get("valueFrom")
    if source is None:
        return
    here = f"{path}.valueFrom"
    yield from _SOURCES(source, here)
    if not source:
        text = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield invalid(here, "", f"must specify one of: {text}")
    elif value.get("value"):
        yield invalid(here, "", "may not be specified when `value` is not empty")
    elif len(source) > 1:
        yield invalid(here, "", "may not have more than one field specified at a time")


def imported(value: Any, path: str) -> Iterator[FieldError]:
    """An entry of ``envFrom`` has one source. Errors about the entry itself have the path of the list."""
    yield from _variable_name(value.get("prefix"), f"{path}.prefix")
    sources = [field for field in ("configMapRef", "secretRef") if value.get(field) is not None]
    for field in sources:
        yield from _named(value[field], f"{path}.{field}")
    whole = path[: path.rindex("[")]
    if not sources:
        yield invalid(whole, "", "must specify one of: `configMapRef` or `secretRef`")
    elif len(sources) > 1:
        yield invalid(whole, "", "may not have more than one field specified at a time")


def _named(value: Any, path: str) -> Iterator[FieldError]:
    given = value.get("name") or ""
    if not given:
        yield required(f"{path}.name")
        return
    # A trailing hyphen is allowed, as in the prefix of a generated name.
    shown = f"{given[:-1]}a" if given.endswith("-") and len(given) > 1 else given
    for text in subdomain_errors(shown):
        yield invalid(f"{path}.name", given, text)


def _key(value: Any, path: str) -> Iterator[FieldError]:
    """A key of a ConfigMap or Secret."""
    given = value.get("name") or ""
    for text in subdomain_errors(given):
        yield invalid(f"{path}.name", given, text)
    yield from file_key(value.get("key"), f"{path}.key")


def _file(value: Any, path: str) -> Iterator[FieldError]:
    """A variable in a file of a volume."""
    for field in ("key", "volumeName", "path"):
        if not value.get(field):
            yield required(f"{path}.{field}")
    yield from _variable_name(value.get("key"), f"{path}.key")
    yield from name(field_label_errors)(value.get("volumeName"), f"{path}.volumeName")
    yield from path_without_steps_back(value.get("path"), f"{path}.path")


def field_of_pod(value: Any, path: str, allowed: Collection[str] = _VARIABLE_FIELDS) -> Iterator[FieldError]:
    """A field of the pod that is one of the allowed ones, or an entry of its labels or annotations."""
    version, given = value.get("apiVersion") or "v1", value.get("fieldPath") or ""
    if not given:
        yield required(f"{path}.fieldPath")
        return
    where, bracket, rest = given.partition("['")
    subscript = rest[:-2] if where and bracket and rest.endswith("']") else None
    if version != "v1":
        text = f"unsupported pod version: {version}"
    elif subscript is not None and where not in _MAPS:
        text = f"field label does not support subscript: {given}"
    elif subscript is None and given not in _KNOWN:
        text = f"field label not supported: {given}"
    else:
        text = ""
    if text:
        yield invalid(f"{path}.fieldPath", given, f"error converting fieldPath: {text}")
    elif subscript is not None:
        yield from label_key(subscript.lower() if where == _MAPS[0] else subscript, path)
    else:
        shown = "spec.nodeName" if given == "spec.host" else given
        if shown not in allowed:
            yield unsupported(f"{path}.fieldPath", shown, allowed)


def resource_of_container(value: Any, path: str, *, in_file: bool = False) -> Iterator[FieldError]:
    """The limit or request of a container. In a file, the container is named."""
    resource = value.get("resource") or ""
    if in_file and not value.get("containerName"):
        yield required(f"{path}.containerName")
    elif not resource:
        yield required(f"{path}.resource")
    elif resource not in _AMOUNTS and not resource.startswith(_PAGES):
        yield unsupported(f"{path}.resource", resource, _AMOUNTS)
    divisor = value.get("divisor")
    if divisor is None or amount(divisor) == 0:
        return
    kind = resource.partition(".")[2]
    if kind == "cpu" and divisor not in ("1m", "1", 1):
        text = "only divisor's values 1m and 1 are supported with the cpu resource"
        yield invalid(f"{path}.divisor", resource, text)
    elif kind in _NOUNS or resource.startswith(_PAGES):
        noun = _NOUNS.get(kind, "hugepages")
        if str(divisor) not in _UNITS:
            text = f"only divisor's values {', '.join(_UNITS)} are supported with the {noun} resource"
            yield invalid(f"{path}.divisor", resource, text)


_SOURCES = fields(
    fieldRef=field_of_pod,
    resourceFieldRef=resource_of_container,
    configMapKeyRef=_key,
    secretKeyRef=_key,
    fileKeyRef=_file,
)
