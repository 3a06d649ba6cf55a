"""The validation of the structures of pods: volumes, mounts, ports, environment, resources and tolerations.

Contract: that of the checks in ``rules/checks.py``.

Source: Kubernetes' ``core/validation``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required
from aimctl.devcluster.apiserver.schema.errors import FieldError
from aimctl.kubetypes.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["container", "environment", "mounts", "resources", "toleration", "volume"]

_STANDARD = ("cpu", "memory", "ephemeral-storage")
_VARIABLE = re.compile(r"[ -<>-~]+")


def volume(value: Any, path: str) -> Iterator[FieldError]:
    """A volume has one source."""
    sources = [name for name in value if name != "name"]
    for name in sources[1:]:
        yield forbidden(f"{path}.{name}", "may not specify more than 1 volume type")


def mounts(spec: Any, path: str) -> Iterator[FieldError]:
    """The volumes of a pod have different names, and mounts refer to them and have different paths."""
    names: set[str] = set()
    for index, each in enumerate(spec.get("volumes") or ()):
        name = each.get("name") or ""
        if name in names:
            yield FieldError("FieldValueDuplicate", f"{path}.volumes[{index}].name", name, "")
        names.add(name)
    for field in ("initContainers", "containers"):
        for index, each in enumerate(spec.get(field) or ()):
            yield from _mounts_of(each, names, f"{path}.{field}[{index}]")


def _mounts_of(container: Any, volumes: set[str], path: str) -> Iterator[FieldError]:
    places: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        here = f"{path}.volumeMounts[{index}]"
        name, place = mount.get("name") or "", mount.get("mountPath") or ""
        if name and name not in volumes:
            yield FieldError("FieldValueNotFound", f"{here}.name", name, "")
        if place and place in places:
            yield invalid(f"{here}.mountPath", place, "must be unique")
        places.add(place)


def environment(value: Any, path: str) -> Iterator[FieldError]:
    """An environment variable has a valid name and one source."""
    name = value.get("name") or ""
    if name and not _VARIABLE.fullmatch(name):
        text = (
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        )
        yield invalid(f"{path}.name", name, text)
    if value.get("value") and value.get("valueFrom") is not None:
        yield invalid(f"{path}.valueFrom", "", "may not be specified when `value` is not empty")


def toleration(value: Any, path: str) -> Iterator[FieldError]:
    """A toleration without a key tolerates all keys, and one that tolerates a key has no value."""
    operator = value.get("operator") or "Equal"
    if not value.get("key") and operator != "Exists":
        text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid(f"{path}.operator", value.get("operator") or "", text)
    elif operator == "Exists" and value.get("value"):
        yield invalid(f"{path}.operator", operator, "value must be empty when `operator` is 'Exists'")


def container(value: Any, path: str) -> Iterator[FieldError]:
    """The resources of a container."""
    yield from resources(value.get("resources") or {}, f"{path}.resources")


def resources(value: Any, path: str) -> Iterator[FieldError]:
    """Requests are not above limits, and resources have known names."""
    limits, requests = value.get("limits") or {}, value.get("requests") or {}
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, number in amounts.items():
            yield from _amount(name, number, f"{path}.{part}[{name}]")
    for name, number in requests.items():
        limit = limits.get(name)
        if limit is None:
            if _is_extended(name):
                yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        elif amount(number) > amount(limit):
            yield invalid(
                f"{path}.requests", number, f"must be less than or equal to {name} limit of {limit}"
            )
        elif _is_extended(name) and amount(number) != amount(limit):
            yield invalid(f"{path}.requests", number, f"must be equal to {name} limit of {limit}")


def _amount(name: str, number: Any, path: str) -> Iterator[FieldError]:
    if "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
        yield invalid(path, name, "must be a standard resource type or fully qualified")
        yield invalid(path, name, "must be a standard resource for containers")
    if amount(number) < 0:
        yield invalid(path, number, "must be greater than or equal to 0")
    elif _is_extended(name) and amount(number) != amount(number).to_integral_value():
        yield invalid(path, number, "must be an integer")


def _is_extended(name: str) -> bool:
    return "/" in name and "kubernetes.io/" not in name
