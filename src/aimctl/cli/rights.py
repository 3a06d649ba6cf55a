"""What to say about rights that are missing: which, and how to ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api.v1alpha1 import GROUP
from aimctl.controllers.preflight import Right

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Right", "asking_for", "missing_rights", "rights_json"]

_VIEWED = frozenset({"jobs", "pods", "persistentvolumeclaims", "events"})
"""What Kubernetes' own role ``view`` lets people read besides our kinds, which ``aimctl-aim-view`` adds to it."""


def rights_json(rights: Iterable[Right]) -> list[dict[str, Any]]:
    """For programs; no namespace for the whole cluster."""
    return [
        {"verb": one.verb, "group": one.group, "resource": one.resource}
        | ({"namespace": one.namespace} if one.namespace else {})
        for one in rights
    ]


def missing_rights(rights: Sequence[Right]) -> list[str]:
    """One note for each place: what may not be read there, and what to ask an administrator for."""
    notes = []
    for namespace in dict.fromkeys(one.namespace for one in rights):
        here = [one for one in rights if one.namespace == namespace]
        words: dict[str, list[str]] = {}
        for one in here:
            words.setdefault(one.verb, []).append(
                f"{one.resource}.{one.group}" if one.group else one.resource
            )
        what = "; ".join(f"{verb} {', '.join(sorted(set(names)))}" for verb, names in sorted(words.items()))
        where = f"in namespace {namespace!r}" if namespace else "at cluster scope"
        notes.append(f"You may not {what} {where}; what that would show is left out. {asking_for(here)}")
    return notes


def asking_for(rights: Sequence[Right], *, role: str = "view") -> str:
    """What would grant them; ``role`` is the cluster role that holds those about our kinds."""
    viewed = [one for one in rights if one.group == GROUP or one.resource in _VIEWED]
    others = [one for one in rights if one not in viewed]
    out = []
    if viewed:
        namespace = viewed[0].namespace
        binding = f"rolebinding aim-{role} -n {namespace}" if namespace else f"clusterrolebinding aim-{role}"
        out.append(f"Ask an administrator for: kubectl create {binding} --clusterrole={role} --user=YOU")
    if others:
        names = ",".join(sorted({f"{one.resource}.{one.group}".rstrip(".") for one in others}))
        out.append(
            "Ask an administrator for: kubectl create clusterrole aim-more --verb=get,list"
            f" --resource={names}, bound to you"
        )
    return ". ".join(out) + "."
