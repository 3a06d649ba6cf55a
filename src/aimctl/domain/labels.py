"""Which labels go along from a resource to what is made for it.

Contract:
    * A label goes along when label propagation is enabled and its key fits one of the patterns, in which ``*`` stands
      for any run of characters, ``/`` included, and everything else for itself.
    * Never: keys of our own prefix and of Kubernetes' own, which mean something about the one object they stand on (a
      copied ``derived-template`` or ``job-name`` would be a lie, and some the API server refuses). Of Kubernetes' the
      recommended ``app.kubernetes.io/`` ones are the exception.
    * Whoever makes an object sets its own labels after these, so they win.

Invariant: the time is linear in the length of key and pattern; a pattern full of ``*`` costs no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.api.v1alpha1 import GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.api.v1alpha1 import RuntimeConfigSpec

__all__ = ["fits", "propagated"]

_RECOMMENDED = "app.kubernetes.io"
_RESERVED_DOMAINS = ("kubernetes.io", "k8s.io")
_RESERVED = frozenset({"job-name", "controller-uid", "pod-template-hash", "controller-revision-hash"})


def propagated(labels: Mapping[str, str], config: RuntimeConfigSpec) -> dict[str, str]:
    """The labels of a resource that go along under this runtime config."""
    wish = config.label_propagation
    if wish is None or not wish.enabled:
        return {}
    return {
        key: value
        for key, value in labels.items()
        if not _reserved(key) and any(fits(key, pattern) for pattern in wish.match)
    }


def fits(key: str, pattern: str) -> bool:
    """Whether the whole key is what the pattern says."""
    first, *rest = pattern.split("*")
    if not rest:
        return key == pattern
    *middle, last = rest
    if not key.startswith(first) or not key.endswith(last) or len(key) < len(first) + len(last):
        return False
    at, end = len(first), len(key) - len(last)
    for part in middle:
        # The leftmost place leaves most room for the rest: no other needs to be tried.
        at = key.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _reserved(key: str) -> bool:
    domain, slash, _ = key.rpartition("/")
    if not slash:
        return key in _RESERVED
    if domain == GROUP or domain.endswith(f".{GROUP}"):
        return True
    return domain != _RECOMMENDED and any(
        domain == reserved or domain.endswith(f".{reserved}") for reserved in _RESERVED_DOMAINS
    )
