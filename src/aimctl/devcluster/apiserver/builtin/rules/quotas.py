"""The validation of ResourceQuotas and LimitRanges.

Contract: that of the checks in ``rules/checks.py``.

Source: Kubernetes' ``core/validation`` and ``core/helper``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required
from aimctl.devcluster.apiserver.builtin.rules.resources import (
    QUOTA_RESOURCES,
    amount_errors,
    container_name_errors,
    may_exceed,
    name_errors,
)
from aimctl.devcluster.apiserver.objects.names import qualified_name_errors
from aimctl.devcluster.apiserver.schema.errors import FieldError, GoStruct
from aimctl.kubetypes.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["limits", "quota"]

_PODS = frozenset(
    {
        *("pods", "cpu", "memory"),
        *("limits.cpu", "limits.memory", "requests.cpu", "requests.memory"),
    }
)
_SCOPES: Mapping[str, frozenset[str]] = {
    "BestEffort": frozenset({"pods"}),
    "NotBestEffort": _PODS,
    "Terminating": _PODS,
    "NotTerminating": _PODS,
    "PriorityClass": _PODS,
    "CrossNamespacePodAffinity": _PODS,
    "VolumeAttributesClass": frozenset({"persistentvolumeclaims", "requests.storage"}),
}
"""The resources that a quota with a scope can limit."""
_WITHOUT_VALUES = (
    *("BestEffort", "NotBestEffort", "Terminating", "NotTerminating"),
    "CrossNamespacePodAffinity",
)
_OPPOSITE = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_TYPES = ("Pod", "Container", "PersistentVolumeClaim")


def quota(spec: Any, path: str) -> Iterator[FieldError]:
    """The resources and scopes of a ResourceQuota."""
    hard, scopes = spec.get("hard") or {}, spec.get("scopes") or []
    for name, number in hard.items():
        here = f"{path}.hard[{name}]"
        yield from name_errors(name, here)
        if "/" not in name and not _is_limited(name):
            yield invalid(here, name, "must be a standard resource for quota")
        yield from amount_errors(name, number, here)
    for scope in scopes:
        if scope not in _SCOPES:
            yield invalid(f"{path}.scopes", scopes, "unsupported scope")
        elif not _fits(scope, hard):
            yield invalid(f"{path}.scopes", scopes, "unsupported scope applied to resource")
    if _conflict(scopes):
        yield invalid(f"{path}.scopes", scopes, "conflicting scopes")
    selector = spec.get("scopeSelector")
    if selector is not None:
        here = f"{path}.scopeSelector.matchExpressions"
        expressions = selector.get("matchExpressions") or ()
        for each in expressions:
            scope = each.get("scopeName") or ""
            if scope not in _SCOPES:
                yield invalid(f"{here}.scopeName", scope, "unsupported scope")
            elif not _fits(scope, hard):
                yield invalid(here, _shown(selector), "unsupported scope applied to resource")
            yield from _operator_errors(each, here)
        if _conflict([each.get("scopeName") or "" for each in expressions]):
            yield invalid(here, scopes or None, "conflicting scopes")


def _is_limited(name: str) -> bool:
    return name in QUOTA_RESOURCES or name.startswith(("hugepages-", "requests.hugepages-"))


def _fits(scope: str, hard: Mapping[str, Any]) -> bool:
    return all(name in _SCOPES[scope] for name in hard if _is_limited(name))


def _shown(selector: Any) -> GoStruct:
    """A scope selector as messages show it."""
    expressions = [
        GoStruct(
            ScopeName=each.get("scopeName") or "",
            Operator=each.get("operator") or "",
            Values=each.get("values") or None,
        )
        for each in selector.get("matchExpressions") or ()
    ]
    return GoStruct(MatchExpressions=expressions)


def _operator_errors(expression: Any, path: str) -> Iterator[FieldError]:
    scope, operator = expression.get("scopeName") or "", expression.get("operator") or ""
    values = expression.get("values") or []
    if scope in _WITHOUT_VALUES and operator != "Exists":
        text = (
            "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating,"
            " ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or"
            " ResourceQuotaScopeCrossNamespacePodAffinity"
        )
        yield invalid(f"{path}.operator", operator, text)
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            yield required(f"{path}.values", text)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            yield invalid(f"{path}.values", values, text)
    else:
        yield invalid(f"{path}.operator", operator, "not a valid selector operator")


def _conflict(scopes: Any) -> bool:
    return any(one in scopes and other in scopes for one, other in _OPPOSITE)


# -- limit ranges


def limits(value: Any, path: str) -> Iterator[FieldError]:
    """The limits of a LimitRange, at most one for each type."""
    seen: set[str] = set()
    for index, item in enumerate(value or ()):
        here, kind = f"{path}[{index}]", item.get("type") or ""
        texts = qualified_name_errors(kind)
        for text in texts:
            yield invalid(f"{here}.type", kind, text)
        if not texts and "/" not in kind and kind not in _TYPES:
            yield invalid(f"{here}.type", kind, "must be a standard limit type or fully qualified")
        if kind in seen:
            yield FieldError("FieldValueDuplicate", f"{here}.type", kind, "")
        seen.add(kind)
        yield from _limit(item, here, kind)


def _limit(item: Any, path: str, kind: str) -> Iterator[FieldError]:
    check = container_name_errors if kind in ("Pod", "Container") else name_errors
    parts = {
        part: item.get(part) or {}
        for part in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
    }
    for part, amounts in parts.items():
        if kind == "Pod" and part.startswith("default"):
            if amounts:
                yield forbidden(f"{path}.{part}", "may not be specified when `type` is 'Pod'")
                parts[part] = {}
            continue
        for name in amounts:
            yield from check(name, f"{path}.{part}[{name}]")
    if kind == "PersistentVolumeClaim" and "storage" not in {*parts["min"], *parts["max"]}:
        text = "either minimum or maximum storage value is required, but neither was provided"
        yield required(f"{path}.limits", text)
    for name in dict.fromkeys(name for amounts in parts.values() for name in amounts):
        yield from _bounds({part: amounts.get(name) for part, amounts in parts.items()}, name, path)


_ORDER = (
    # Where the error is, the smaller part, the larger part, whose value is shown, and how they are called.
    ("min", "min", "max", "min", "min value {} is greater than max value {}"),
    (
        *("defaultRequest", "min", "defaultRequest", "defaultRequest"),
        "min value {} is greater than default request value {}",
    ),
    (
        *("defaultRequest", "defaultRequest", "max", "defaultRequest"),
        "default request value {} is greater than max value {}",
    ),
    (
        *("defaultRequest", "defaultRequest", "default", "defaultRequest"),
        "default request value {} is greater than default limit value {}",
    ),
    ("default", "min", "default", "min", "min value {} is greater than default value {}"),
    ("default", "default", "max", "max", "default value {} is greater than max value {}"),
)


def _bounds(values: Mapping[str, Any], name: str, path: str) -> Iterator[FieldError]:
    """The amounts of one resource are in order."""
    for place, small, large, shown, text in _ORDER:
        one, other = values[small], values[large]
        if one is not None and other is not None and amount(one) > amount(other):
            yield invalid(f"{path}.{place}[{name}]", values[shown], text.format(one, other))
    ratio, least, most = values["maxLimitRequestRatio"], values["min"], values["max"]
    if ratio is not None:
        here = f"{path}.maxLimitRequestRatio[{name}]"
        if amount(ratio) < 1:
            yield invalid(here, ratio, f"ratio {ratio} is less than 1")
        if least is not None and most is not None and amount(least) > 0:
            largest = float(amount(most) / amount(least))
            if float(amount(ratio)) > largest:
                yield invalid(here, ratio, f"ratio {ratio} is greater than max/min = {largest:f}")
    default, request = values["default"], values["defaultRequest"]
    if default is None or request is None or may_exceed(name) or amount(default) == amount(request):
        return
    text = f"default value {default} must equal to defaultRequest value {request} in {name}"
    yield invalid(f"{path}.defaultRequest[{name}]", request, text)
