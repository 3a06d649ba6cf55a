"""The pod failure policy and the success policy of Jobs. No I/O.

Contract: the first rule that matches decides. A rule matches the exit codes of containers that have failed, or the
conditions of the pod. Messages are those of Kubernetes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from aimctl.devcluster.controllers.batch.job_indexes import parse_indexes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = ["Verdict", "matched_success_rule", "verdict"]

Action = Literal["FailJob", "Ignore", "Count", "FailIndex"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failed pod means for its Job. ``message`` says why, for the action FailJob."""

    action: Action = "Count"
    message: str = ""


def verdict(spec: Mapping[str, Any], pod: Mapping[str, Any]) -> Verdict:
    """The action of the first rule that matches a failed pod; Count without a rule."""
    for number, rule in enumerate((spec.get("podFailurePolicy") or {}).get("rules") or ()):
        matched = next(_matches(rule, pod), None)
        if matched is not None:
            action: Action = rule["action"]
            return Verdict(action, f"{matched} matching {action} rule at index {number}")
    return Verdict()


def matched_success_rule(spec: Mapping[str, Any], completed: Collection[int]) -> int | None:
    """The number of the first rule of the success policy that the completed indexes meet, or None."""
    for number, rule in enumerate((spec.get("successPolicy") or {}).get("rules") or ()):
        named = rule.get("succeededIndexes")
        counted = set(completed) & parse_indexes(named) if named else set(completed)
        count = rule.get("succeededCount")
        if len(counted) >= (count if count is not None else len(parse_indexes(named or ""))):
            return number
    return None


def _matches(rule: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[str]:
    metadata, status = pod["metadata"], pod.get("status") or {}
    shown = f"{metadata.get('namespace', '')}/{metadata['name']}"
    codes = rule.get("onExitCodes")
    if codes:
        for item in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            code = ((item.get("state") or {}).get("terminated") or {}).get("exitCode")
            wanted = codes.get("containerName")
            if code and (not wanted or wanted == item["name"]):
                listed = code in (codes.get("values") or ())
                if listed is (codes.get("operator") == "In"):
                    yield f"Container {item['name']} for pod {shown} failed with exit code {code}"
    present = {(item["type"], item["status"]) for item in status.get("conditions") or ()}
    for condition in rule.get("onPodConditions") or ():
        if (condition["type"], condition.get("status", "True")) in present:
            yield f"Pod {shown} has condition {condition['type']}"
