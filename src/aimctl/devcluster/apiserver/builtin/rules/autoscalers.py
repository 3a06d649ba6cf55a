"""Rules of the metrics and the behaviour of HorizontalPodAutoscalers.

Contract: that of the checks in ``rules/checks.py``.

Source: ``pkg/apis/autoscaling/validation`` of Kubernetes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required, unsupported
from aimctl.kubetypes.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.devcluster.apiserver.schema.errors import FieldError

_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_LONGEST_WINDOW, _LONGEST_PERIOD = 3600, 1800


def metric(item: Any, path: str) -> Iterator[FieldError]:
    """A metric has the source of its type, and no other."""
    own = _SOURCES.get(item.get("type") or "")
    if own is None:
        return
    if item.get(own) is None:
        yield required(f"{path}.{own}", "must populate information for the given metric source")
        return
    for name in _SOURCES.values():
        if name != own and item.get(name) is not None:
            yield forbidden(f"{path}.{name}", "must populate the given metric source only")


def resource(source: Any, path: str) -> Iterator[FieldError]:
    """A metric of a resource has a target value or a target utilization."""
    if not source.get("name"):
        yield required(f"{path}.name", "must specify a resource name")
    target = source.get("target") or {}
    share, value = target.get("averageUtilization"), target.get("averageValue")
    if share is not None and share < 1:
        yield invalid(f"{path}.target.averageUtilization", share, "must be greater than 0")
    if share is not None and value is not None:
        text = "may not set both a target raw value and a target utilization"
        yield forbidden(f"{path}.target.averageValue", text)
    if share is None and value is None:
        text = "must set either a target raw value or a target utilization"
        yield required(f"{path}.target.averageUtilization", text)


def container_resource(source: Any, path: str) -> Iterator[FieldError]:
    """A metric of a container names it."""
    if not source.get("container"):
        yield required(f"{path}.container", "must specify a container")
    yield from resource(source, path)


def pods(source: Any, path: str) -> Iterator[FieldError]:
    """A metric of pods has an average as its target."""
    if amount((source.get("target") or {}).get("averageValue") or 0) <= 0:
        yield required(f"{path}.target.averageValue", "must specify a positive target averageValue")


def external(source: Any, path: str) -> Iterator[FieldError]:
    """A metric from outside has one target."""
    target = source.get("target") or {}
    if target.get("value") is not None and target.get("averageValue") is not None:
        text = "may not set both a target value for metric and a per-pod target"
        yield forbidden(f"{path}.target.value", text)


def target(item: Any, path: str) -> Iterator[FieldError]:
    """The type of a target is known, and its values are positive."""
    kind = item.get("type") or ""
    if kind not in ("Utilization", "Value", "AverageValue"):
        yield invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    for name in ("value", "averageValue"):
        number = item.get(name)
        if number is not None and amount(number) <= 0:
            yield invalid(f"{path}.{name}", number, "must be positive")


def scaling(item: Any, path: str) -> Iterator[FieldError]:
    """The rules of one direction of scaling."""
    window = item.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        yield invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    elif window is not None and window > _LONGEST_WINDOW:
        text = f"must be less than or equal to {_LONGEST_WINDOW}"
        yield invalid(f"{path}.stabilizationWindowSeconds", window, text)
    choice = item.get("selectPolicy")
    if choice is not None and choice not in ("Disabled", "Max", "Min"):
        yield unsupported(f"{path}.selectPolicy", choice, ("Disabled", "Max", "Min"))
    if not item.get("policies"):
        yield required(f"{path}.policies", "must specify at least one Policy")


def policy(item: Any, path: str) -> Iterator[FieldError]:
    """A policy limits the change in a period."""
    kind, value, period = item.get("type"), item.get("value") or 0, item.get("periodSeconds") or 0
    if kind not in ("Percent", "Pods"):
        yield unsupported(f"{path}.type", kind, ("Percent", "Pods"))
    if value <= 0:
        yield invalid(f"{path}.value", value, "must be greater than zero")
    if period <= 0:
        yield invalid(f"{path}.periodSeconds", period, "must be greater than zero")
    elif period > _LONGEST_PERIOD:
        yield invalid(f"{path}.periodSeconds", period, f"must be less than or equal to {_LONGEST_PERIOD}")
