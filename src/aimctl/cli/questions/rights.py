"""Missing permissions as sentences: which one is missing, and what an administrator can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api.v1alpha1 import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aimctl.cli.questions.answers import Right

__all__ = ["how_to_get", "missing_rights", "rights_json"]

_VIEWED = frozenset({"jobs", "pods", "persistentvolumeclaims", "events"})
"""Built-in resources that Kubernetes' role ``view`` covers; ``aimctl manifests rbac`` adds the operator's kinds."""


def rights_json(rights: Iterable[Right]) -> list[dict[str, Any]]:
    """As part of a document; a permission for the whole cluster has no namespace."""
    return [
        {"verb": one.verb, "group": one.group, "resource": one.resource}
        | ({"namespace": one.namespace} if one.namespace else {})
        for one in rights
    ]


def missing_rights(rights: Sequence[Right]) -> list[str]:
    """One note for each namespace, and one for the whole cluster."""
    notes = []
    for namespace in dict.fromkeys(one.namespace for one in rights):
        here = [one for one in rights if one.namespace == namespace]
        words: dict[str, set[str]] = {}
        for one in here:
            words.setdefault(one.verb, set()).add(_name(one))
        what = "; ".join(f"{verb} {', '.join(sorted(names))}" for verb, names in sorted(words.items()))
        where = f"in namespace {namespace!r}" if namespace else "at cluster scope"
        notes.append(f"You may not {what} {where}; the answer is without these objects. {how_to_get(here)}")
    return notes


def how_to_get(rights: Sequence[Right], *, role: str = "view") -> str:
    """The commands that grant the permissions; ``role`` is the cluster role that covers the operator's kinds."""
    viewed = [one for one in rights if one.group == GROUP or one.resource in _VIEWED]
    others = sorted({_name(one) for one in rights if one not in viewed})
    out = []
    if viewed:
        namespace = viewed[0].namespace
        binding = f"rolebinding aim-{role} -n {namespace}" if namespace else f"clusterrolebinding aim-{role}"
        out.append(f"Ask an administrator for: kubectl create {binding} --clusterrole={role} --user=YOU")
    if others:
        out.append(
            "Ask an administrator for: kubectl create clusterrole aim-more --verb=get,list"
            f" --resource={','.join(others)}, bound to you"
        )
    return ". ".join(out) + "."


def _name(right: Right) -> str:
    return f"{right.resource}.{right.group}" if right.group else right.resource
