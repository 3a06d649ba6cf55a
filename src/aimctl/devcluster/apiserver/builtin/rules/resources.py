"""The validation of resources: their names, and the requests and limits of containers.

Contract: that of the checks in ``rules/checks.py``.

Source: Kubernetes' ``core/validation`` and ``core/helper``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required
from aimctl.devcluster.apiserver.objects.names import qualified_name_errors
from aimctl.kubetypes.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.devcluster.apiserver.schema.errors import FieldError

__all__ = [
    "QUOTA_RESOURCES",
    "amount_errors",
    "container_name_errors",
    "may_exceed",
    "name_errors",
    "resources",
]

_OF_CONTAINERS = frozenset({"cpu", "memory", "ephemeral-storage"})
_OF_OBJECTS = frozenset(
    {
        *("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps"),
        *("persistentvolumeclaims", "services.nodeports", "services.loadbalancers"),
    }
)
QUOTA_RESOURCES = frozenset(
    {
        *_OF_CONTAINERS,
        *_OF_OBJECTS,
        *(f"requests.{name}" for name in (*_OF_CONTAINERS, "storage")),
        *(f"limits.{name}" for name in _OF_CONTAINERS),
    }
)
"""The names without a domain that a quota may limit, besides huge pages."""
_STANDARD = QUOTA_RESOURCES | {"storage"}
_PAGES, _PAGES_OF_QUOTAS = "hugepages-", ("hugepages-", "requests.hugepages-")


def name_errors(name: str, path: str) -> Iterator[FieldError]:
    """The errors of the name of any resource."""
    texts = qualified_name_errors(name)
    for text in texts:
        yield invalid(path, name, text)
    if not texts and "/" not in name and name not in _STANDARD and not name.startswith(_PAGES_OF_QUOTAS):
        yield invalid(path, name, "must be a standard resource type or fully qualified")


def container_name_errors(name: str, path: str) -> Iterator[FieldError]:
    """The errors of the name of a container's resource."""
    if _is_usual(name):
        return
    yield from name_errors(name, path)
    if "/" not in name:
        if not name.startswith(_PAGES):
            yield invalid(path, name, "must be a standard resource for containers")
    elif not _is_native(name) and not _is_extended(name):
        yield invalid(path, name, "doesn't follow extended resource name standard")


@lru_cache(maxsize=1024)
def _is_usual(name: str) -> bool:
    """Whether the name of a container's resource is valid. Few names occur in many pods."""
    return name in _OF_CONTAINERS or (_is_extended(name) and not qualified_name_errors(name))


def _is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def _is_extended(name: str) -> bool:
    if _is_native(name) or name.startswith("requests."):
        return False
    return not qualified_name_errors(f"requests.{name}")


def may_exceed(name: str) -> bool:
    """Whether the limit of a resource may be above its request."""
    return _is_native(name) and not name.startswith(_PAGES)


def amount_errors(name: str, value: Any, path: str) -> Iterator[FieldError]:
    """The errors of the amount of a resource, which is whole if the resource is counted."""
    number = amount(value)
    if number < 0:
        yield invalid(path, value, "must be greater than or equal to 0")
    if number != number.to_integral_value() and (name in _OF_OBJECTS or _is_extended(name)):
        yield invalid(path, value, "must be an integer")


def resources(value: Any, path: str) -> Iterator[FieldError]:
    """Requests are not above limits, and resources have known names."""
    limits, requests = value.get("limits") or {}, value.get("requests") or {}
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, number in amounts.items():
            where = f"{path}.{part}[{name}]"
            if not _is_usual(name):
                yield from container_name_errors(name, where)
            yield from amount_errors(name, number, where)
    for name, number in requests.items():
        limit = limits.get(name)
        if limit is None:
            if not may_exceed(name):
                yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        elif limit == number:
            continue
        elif not may_exceed(name) and amount(number) != amount(limit):
            yield invalid(f"{path}.requests", number, f"must be equal to {name} limit of {limit}")
        elif amount(number) > amount(limit):
            text = f"must be less than or equal to {name} limit of {limit}"
            yield invalid(f"{path}.requests", number, text)
    pages = any(name.startswith(_PAGES) for name in (*limits, *requests))
    if pages and {*limits, *requests}.isdisjoint(("cpu", "memory")):
        yield forbidden(path, "HugePages require cpu or memory")
