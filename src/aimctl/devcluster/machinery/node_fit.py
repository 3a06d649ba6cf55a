"""Whether a pod fits a node by labels and taints. No I/O.

Contract: node selectors and required node affinity have the semantics of Kubernetes. The terms of an affinity are
alternatives, and a term without requirements matches nothing. Of the fields, ``metadata.name`` is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["matches_node", "tolerates"]

JsonObject = Mapping[str, Any]

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")


def matches_node(spec: JsonObject, labels: Mapping[str, str], name: str) -> bool:
    """Whether the node selector and the required node affinity of a pod's spec accept a node."""
    selector = spec.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    fields = {"metadata.name": name}
    return any(
        all(_expression(item, labels) for item in term.get("matchExpressions") or ())
        and all(_expression(item, fields) for item in term.get("matchFields") or ())
        for term in required.get("nodeSelectorTerms") or ()
        if term.get("matchExpressions") or term.get("matchFields")
    )


def _expression(item: JsonObject, labels: Mapping[str, str]) -> bool:  # noqa: PLR0911 - a table
    value = labels.get(item.get("key", ""))
    values: Sequence[str] = item.get("values") or ()
    match item.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return _integers(value, values) and int(value or 0) > int(values[0])
        case "Lt":
            return _integers(value, values) and int(value or 0) < int(values[0])
        case _:
            return False


def _integers(value: str | None, values: Sequence[str]) -> bool:
    """Whether a label and the only operand are integers, as Gt and Lt require."""
    return len(values) == 1 and all(
        each is not None and _INTEGER.fullmatch(each) is not None for each in (value, values[0])
    )


def tolerates(spec: JsonObject, taint: JsonObject) -> bool:
    """Whether the tolerations of a pod's spec include a taint."""
    for item in spec.get("tolerations") or ():
        if item.get("effect") and item["effect"] != taint.get("effect"):
            continue
        if item.get("operator") == "Exists" and (not item.get("key") or item["key"] == taint.get("key")):
            return True
        if item.get("key") == taint.get("key") and (item.get("value") or "") == (taint.get("value") or ""):
            return True
    return False
