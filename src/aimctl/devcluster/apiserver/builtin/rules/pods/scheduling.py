"""The validation of where pods run: tolerations, affinity and spreading.

Contract: that of the checks in ``rules/checks.py``. Label selectors are checked wherever they occur, see
``rules/structures.py``.

Source: Kubernetes' ``core/validation``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required, unsupported
from aimctl.devcluster.apiserver.builtin.rules.checks import (
    fields,
    items,
    label_key,
    one_of,
)
from aimctl.devcluster.apiserver.objects.names import label_errors, label_value_errors, subdomain_errors
from aimctl.devcluster.apiserver.schema.errors import FieldError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.devcluster.apiserver.builtin.rules.checks import Check

__all__ = ["AFFINITY", "node_selector", "spreading", "toleration"]

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_MOST_WEIGHT = 100


def toleration(value: Any, path: str) -> Iterator[FieldError]:
    """A toleration matches the taints of a key, or all taints."""
    key, operator = value.get("key") or "", value.get("operator") or ""
    effect, content = value.get("effect") or "", value.get("value") or ""
    if key:
        yield from label_key(key, f"{path}.key")
    elif operator != "Exists":
        text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid(f"{path}.operator", operator, text)
    if value.get("tolerationSeconds") is not None and effect != "NoExecute":
        text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield invalid(f"{path}.effect", effect, text)
    if operator in ("", "Equal"):
        texts = label_value_errors(content) if content else []
        if texts:
            yield invalid(f"{path}.operator", content, ";".join(texts))
    elif operator == "Exists":
        if content:
            text = "value must be empty when `operator` is 'Exists'"
            yield invalid(f"{path}.operator", content, text)
    else:
        yield unsupported(f"{path}.operator", operator, ("Equal", "Exists"))
    yield from one_of(*_EFFECTS)(effect, f"{path}.effect")


# -- nodes


def _expression(*, any_value: bool) -> Check:
    """A requirement of labels; with ``any_value``, its values need not be values of labels."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        operator, values = value.get("operator") or "", value.get("values") or ()
        if operator in ("In", "NotIn"):
            if not values:
                yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield forbidden(f"{path}.values", text)
        elif operator in ("Gt", "Lt"):
            if len(values) != 1:
                text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                yield required(f"{path}.values", text)
        else:
            yield invalid(f"{path}.operator", operator, "not a valid selector operator")
        yield from label_key(value.get("key"), f"{path}.key")
        for index, each in enumerate(() if any_value else values):
            for text in label_value_errors(each):
                yield invalid(f"{path}.values[{index}]", each, text)

    return check


def _field(value: Any, path: str) -> Iterator[FieldError]:
    """A requirement of the name of a node."""
    key, operator = value.get("key") or "", value.get("operator") or ""
    values = value.get("values") or ()
    if operator not in ("In", "NotIn"):
        yield invalid(f"{path}.operator", operator, "not a valid selector operator")
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield required(f"{path}.values", text)
    if key != "metadata.name":
        yield invalid(f"{path}.key", key, "not a valid field selector key")
        return
    for index, each in enumerate(values):
        for text in subdomain_errors(each):
            yield invalid(f"{path}.values[{index}]", each, text)


def _term(*, any_value: bool) -> Check:
    return fields(matchExpressions=items(_expression(any_value=any_value)), matchFields=items(_field))


_terms = items(_term(any_value=False))
_preference = _term(any_value=True)


def node_selector(value: Any, path: str) -> Iterator[FieldError]:
    """Terms of which a node must match one."""
    terms = value.get("nodeSelectorTerms")
    if not terms:
        yield required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    else:
        yield from _terms(terms, f"{path}.nodeSelectorTerms")


def _weighted(field: str, check: Check) -> Check:
    def weighted(value: Any, path: str) -> Iterator[FieldError]:
        weight = value.get("weight") or 0
        if not 0 < weight <= _MOST_WEIGHT:
            yield invalid(f"{path}.weight", weight, f"must be in the range 1-{_MOST_WEIGHT}")
        yield from check(value.get(field) or {}, f"{path}.{field}")

    return weighted


# -- other pods


def _label_keys(value: Any, path: str, selector: Any) -> Iterator[FieldError]:
    if value and selector is None:
        yield forbidden(path, "must not be specified when labelSelector is not set")
        return
    for index, key in enumerate(value or ()):
        yield from label_key(key, f"{path}[{index}]")


def _keys_of_pods(value: Any, path: str) -> Iterator[FieldError]:
    """The keys of labels whose values the pod itself has, or has not."""
    selector = value.get("labelSelector")
    same, other = value.get("matchLabelKeys") or (), value.get("mismatchLabelKeys") or ()
    yield from _label_keys(same, f"{path}.matchLabelKeys", selector)
    yield from _label_keys(other, f"{path}.mismatchLabelKeys", selector)
    taken = set((selector or {}).get("matchLabels") or ())
    for each in (selector or {}).get("matchExpressions") or ():
        key = each.get("key") or ""
        if key in same and key in taken:
            text = "exists in both matchLabelKeys and labelSelector"
            yield invalid(f"{path}[{same.index(key)}]", key, text)
        taken.add(key)
    for index, key in enumerate(same):
        if key in other:
            text = "exists in both matchLabelKeys and mismatchLabelKeys"
            yield invalid(f"{path}.matchLabelKeys[{index}]", key, text)


def _pods(value: Any, path: str) -> Iterator[FieldError]:
    for each in value.get("namespaces") or ():
        for text in label_errors(each):
            yield invalid(f"{path}.namespace", each, text)
    yield from _keys_of_pods(value, path)
    key = value.get("topologyKey") or ""
    if not key:
        yield required(f"{path}.topologyKey", "can not be empty")
    yield from label_key(key, f"{path}.topologyKey")


_near = fields(
    requiredDuringSchedulingIgnoredDuringExecution=items(_pods),
    preferredDuringSchedulingIgnoredDuringExecution=items(_weighted("podAffinityTerm", _pods)),
)
AFFINITY = fields(
    nodeAffinity=fields(
        requiredDuringSchedulingIgnoredDuringExecution=node_selector,
        preferredDuringSchedulingIgnoredDuringExecution=items(_weighted("preference", _preference)),
    ),
    podAffinity=_near,
    podAntiAffinity=_near,
)
"""The nodes and the neighbours of a pod."""


def spreading(value: Any, path: str) -> Iterator[FieldError]:
    """How pods are spread over zones or other domains; each pair of key and action occurs once."""
    pairs = [(each.get("topologyKey") or "", each.get("whenUnsatisfiable") or "") for each in value]
    for index, each in enumerate(value):
        here, (key, action) = f"{path}[{index}]", pairs[index]
        skew, domains = each.get("maxSkew") or 0, each.get("minDomains")
        if skew <= 0:
            yield invalid(f"{here}.maxSkew", skew, "must be greater than zero")
        if not key:
            yield required(f"{here}.topologyKey", "can not be empty")
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            yield unsupported(f"{here}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
        if pairs[index] in pairs[index + 1 :]:
            place = f"{here}.{{topologyKey, whenUnsatisfiable}}"
            yield FieldError("FieldValueDuplicate", place, f"{{{key}, {action}}}", "")
        if domains is not None and domains <= 0:
            yield invalid(f"{here}.minDomains", domains, "must be greater than zero")
        if domains is not None and action != "DoNotSchedule":
            text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
            yield invalid(f"{here}.minDomains", domains, text)
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            policy = each.get(field)
            if policy is not None and policy not in ("Honor", "Ignore"):
                yield unsupported(f"{here}.{field}", policy, ("Honor", "Ignore"))
        yield from _keys_of_pods({**each, "mismatchLabelKeys": None}, here)
