"""The resources of the container that serves.

Contract:
    * For each resource, what the service sets takes precedence over the template, and the template over the model.
    * The number of GPUs is that of the profile, in requests and limits.
    * CPU and memory that users do not set are :data:`CPU_REQUEST` to :data:`MEMORY_LIMIT` for each GPU. Without a GPU
      they are left to KServe.
    * No request exceeds its limit, unless one object sets both so. Of two objects, the more specific one is obeyed and
      the value of the other one is adapted: a service that lowers the memory limit lowers the request of the model.
    * CPU and memory have both a request and a limit, or neither. If users set one of them, the other one is the
      default for the GPUs if that is consistent with it, otherwise the same amount.

The reason for the last rule: the webhook of KServe (v0.13 to v0.17) adds each default of its configuration (1 CPU and
2Gi, as request and as limit) that the container does not have. A request of 4 CPUs without a limit would get a limit of
1 CPU, and the API server rejects such pods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.kubetypes.quantity import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from aimctl.api.v1alpha1 import ResourceRequirements

__all__ = ["CPU_LIMIT", "CPU_REQUEST", "MEMORY_LIMIT", "MEMORY_REQUEST", "container_resources"]

CPU_REQUEST, CPU_LIMIT = 4, 8
"""CPUs for each GPU. The limit is for loading the model; kaiwo sets the same request and no limit."""

MEMORY_REQUEST, MEMORY_LIMIT = 32, 48
"""GiB for each GPU, as kaiwo sets them. ``/dev/shm`` of several GPUs counts as memory."""


def container_resources(
    layers: Iterable[ResourceRequirements | None], gpu_resource: str, gpus: int
) -> dict[str, dict[str, str]]:
    """The ``resources`` of the container; empty if nothing is set and there is no GPU.

    Args:
        layers: what users set, the most specific one last.
        gpu_resource: name of the extended resource.
        gpus: how many of it; 0 for a service without a GPU.
    """
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for layer in layers:
        if layer is not None:
            _override(requests, layer.requests, limits, layer.limits)
            requests |= layer.requests
            limits |= layer.limits
    cpu = (f"{CPU_REQUEST * gpus}", f"{CPU_LIMIT * gpus}")
    memory = (f"{MEMORY_REQUEST * gpus}Gi", f"{MEMORY_LIMIT * gpus}Gi")
    for name, (request, limit) in (("cpu", cpu), ("memory", memory)):
        _complete(name, requests, limits, request if gpus else None, limit if gpus else None)
    if gpus:
        requests[gpu_resource] = limits[gpu_resource] = str(gpus)
    return {kind: amounts for kind, amounts in (("limits", limits), ("requests", requests)) if amounts}


def _override(
    requests: dict[str, str], new_requests: dict[str, str], limits: dict[str, str], new_limits: dict[str, str]
) -> None:
    """Adapt what less specific objects set to a new request without a limit, and the other way round."""
    for name, request in new_requests.items():
        if name not in new_limits and name in limits and _exceeds(request, limits[name]):
            limits[name] = request
    for name, limit in new_limits.items():
        if name not in new_requests and name in requests and _exceeds(requests[name], limit):
            requests[name] = limit


def _complete(
    name: str, requests: dict[str, str], limits: dict[str, str], request: str | None, limit: str | None
) -> None:
    """Set the missing one of request and limit, or both to their defaults if there are any."""
    if name in requests and name not in limits:
        own = requests[name]
        limits[name] = own if limit is None or _exceeds(own, limit) else limit
    elif name in limits and name not in requests:
        own = limits[name]
        requests[name] = own if request is None or _exceeds(request, own) else request
    elif name not in limits and request is not None and limit is not None:
        requests[name], limits[name] = request, limit


def _exceeds(one: str, other: str) -> bool:
    """Whether one quantity is larger than the other; False if one of them is not a quantity."""
    first, second = _amount(one), _amount(other)
    return first is not None and second is not None and first > second


def _amount(text: str) -> Decimal | None:
    try:
        return parse_quantity(text).value
    except ValueError:
        return None
