"""The answer of a server to the creation of an object in a namespace that is being deleted."""

from __future__ import annotations

from aimctl.devcluster.faults import Answer

__all__ = ["terminating"]


def terminating(plural: str, namespace: str = "team", *, causes: bool = True) -> Answer:
    """The 403; without causes as from old servers."""
    why = f"namespace {namespace} is being terminated"
    cause = {"reason": "NamespaceTerminating", "message": why, "field": "metadata.namespace"}
    return Answer(
        403,
        "Forbidden",
        f'{plural}.aim.silogen.ai "x" is forbidden: unable to create new content in namespace {namespace}'
        " because it is being terminated",
        details={"name": "x", "group": "aim.silogen.ai", "kind": plural, "causes": [cause] if causes else []},
    )
