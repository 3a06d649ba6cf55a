"""Finalizers: names in the metadata that keep a deleted object until its controllers have cleaned up. Pure.

A controller adds its finalizer before it creates anything outside the cluster, and removes it once that is deleted. The
returned bodies contain the resourceVersion of the object, so an update with them raises Conflict instead of removing a
finalizer that another controller has added in the meantime.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aimctl.kubetypes.helpers.bodies import to_body
from aimctl.kubetypes.objects import Object

if TYPE_CHECKING:
    from aimctl.kubetypes.helpers.bodies import Body

__all__ = ["add_finalizer", "has_finalizer", "remove_finalizer"]

_STANDARD = frozenset({"orphan", "foregroundDeletion", "kubernetes"})
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
"""A DNS subdomain, a slash, and a qualified name, as the API server requires."""


def has_finalizer(obj: Body, finalizer: str) -> bool:
    """Whether the object has the finalizer."""
    if isinstance(obj, Object):
        return finalizer in (obj.meta.finalizers or ())
    return finalizer in _finalizers(to_body(obj))


def add_finalizer(obj: Body, finalizer: str) -> dict[str, Any]:
    """The body of the object with the finalizer, at the end of the list; unchanged if it has the finalizer.

    Raises:
        ValueError: it is not a valid name of a finalizer.
    """
    if finalizer not in _STANDARD and not _NAME.fullmatch(finalizer):
        raise ValueError(
            f"finalizer {finalizer!r} is not valid; use a domain and a name, such as 'example.org/cleanup'"
        )
    body = to_body(obj)
    known = _finalizers(body)
    return body if finalizer in known else _with(body, [*known, finalizer])


def remove_finalizer(obj: Body, finalizer: str) -> dict[str, Any]:
    """The body of the object without the finalizer; unchanged if it does not have the finalizer."""
    body = to_body(obj)
    known = _finalizers(body)
    return _with(body, [one for one in known if one != finalizer]) if finalizer in known else body


def _finalizers(body: dict[str, Any]) -> list[str]:
    return (body.get("metadata") or {}).get("finalizers") or []


def _with(body: dict[str, Any], finalizers: list[str]) -> dict[str, Any]:
    return {**body, "metadata": {**(body.get("metadata") or {}), "finalizers": finalizers}}
