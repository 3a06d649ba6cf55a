"""Rules of the metrics and the behaviour of HorizontalPodAutoscalers.

Contract: that of the checks in ``rules/checks.py``.

Source: ``pkg/apis/autoscaling/validation`` of Kubernetes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required, unsupported
from aimctl.devcluster.apiserver.builtin.rules.checks import name
from aimctl.devcluster.apiserver.builtin.rules.resources import container_name_errors
from aimctl.devcluster.apiserver.objects.names import field_label_errors, path_segment_errors
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


def _reference(target: Any, path: str) -> Iterator[FieldError]:
    """An object that is named by kind, name and version."""
    for field in ("kind", "name"):
        if not target.get(field):
            yield required(f"{path}.{field}")
        else:
            yield from _segment(target[field], f"{path}.{field}")


def scaled(target: Any, path: str) -> Iterator[FieldError]:
    """The object that is scaled, whose kind has a group."""
    yield from _reference(target, path)
    version = target.get("apiVersion") or ""
    if version.count("/") > 1:
        yield invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    elif "/" not in version and target.get("kind") != "ReplicationController":
        yield invalid(f"{path}.apiVersion", version, "apiVersion must specify API group")


def metric(item: Any, path: str) -> Iterator[FieldError]:
    """A metric has the source of its type, and no other."""
    kind = item.get("type") or ""
    own = _SOURCES.get(kind)
    if own is None:
        if not kind:
            yield required(f"{path}.type", "must specify a metric source type")
        yield unsupported(f"{path}.type", kind, _SOURCES)
        return
    if item.get(own) is None:
        yield required(f"{path}.{own}", "must populate information for the given metric source")
        return
    for other in _SOURCES.values():
        if other != own and item.get(other) is not None:
            yield forbidden(f"{path}.{other}", "must populate the given metric source only")


def resource(source: Any, path: str) -> Iterator[FieldError]:
    """A metric of a resource has a target value or a target utilization."""
    if not source.get("name"):
        yield required(f"{path}.name", "must specify a resource name")
    if source.get("target") is None:
        yield from target({}, f"{path}.target")
    given = source.get("target") or {}
    share, value = given.get("averageUtilization"), given.get("averageValue")
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
    yield from name(field_label_errors)(source.get("container"), f"{path}.container")
    if source.get("name"):
        yield from container_name_errors(source["name"], f"{path}.name")
    yield from resource(source, path)


def pods(source: Any, path: str) -> Iterator[FieldError]:
    """A metric of pods has an average as its target."""
    yield from _identifier(source, path)
    if (source.get("target") or {}).get("averageValue") is None:
        yield required(f"{path}.target.averageValue", "must specify a positive target averageValue")


def of_object(source: Any, path: str) -> Iterator[FieldError]:
    """A metric of an object has a target value."""
    yield from _reference(source.get("describedObject") or {}, f"{path}.describedObject")
    yield from _identifier(source, path)
    given = source.get("target") or {}
    if given.get("value") is None and given.get("averageValue") is None:
        yield required(f"{path}.target.averageValue", "must set either a target value or averageValue")


def _identifier(source: Any, path: str) -> Iterator[FieldError]:
    """The name of a metric, and the type of its target if there is no target."""
    given = (source.get("metric") or {}).get("name") or ""
    if not given:
        yield required(f"{path}.metric.name", "must specify a metric name")
    else:
        yield from _segment(given, f"{path}.metric.name")
    if source.get("target") is None:
        yield from target({}, f"{path}.target")


_segment = name(path_segment_errors)


def external(source: Any, path: str) -> Iterator[FieldError]:
    """A metric from outside has one target."""
    yield from _identifier(source, path)
    given = source.get("target") or {}
    if given.get("value") is None and given.get("averageValue") is None:
        text = "must set either a target value for metric or a per-pod target"
        yield required(f"{path}.target.averageValue", text)
    if given.get("value") is not None and given.get("averageValue") is not None:
        text = "may not set both a target value for metric and a per-pod target"
        yield forbidden(f"{path}.target.value", text)


def target(item: Any, path: str) -> Iterator[FieldError]:
    """The type of a target is known, and its values are positive."""
    kind = item.get("type") or ""
    if not kind:
        yield required(f"{path}.type", "must specify a metric target type")
    if kind not in ("Utilization", "Value", "AverageValue"):
        yield invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        number = item.get(field)
        if number is not None and amount(number) <= 0:
            yield invalid(f"{path}.{field}", number, "must be positive")
    share = item.get("averageUtilization")
    if share is not None and share < 1:
        yield invalid(f"{path}.averageUtilization", share, "must be greater than 0")


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
    kind, value, period = item.get("type") or "", item.get("value") or 0, item.get("periodSeconds") or 0
    if kind not in ("Percent", "Pods"):
        yield unsupported(f"{path}.type", kind, ("Percent", "Pods"))
    if value <= 0:
        yield invalid(f"{path}.value", value, "must be greater than zero")
    if period <= 0:
        yield invalid(f"{path}.periodSeconds", period, "must be greater than zero")
    elif period > _LONGEST_PERIOD:
        yield invalid(f"{path}.periodSeconds", period, f"must be less than or equal to {_LONGEST_PERIOD}")
