"""Label propagation: labels of a resource that are copied to the objects created for it.

Contract:
    * A label is copied if label propagation is enabled and its key matches one of the patterns. In a pattern, ``*``
      matches any sequence of characters, including ``/``; every other character matches itself.
    * Labels with the prefix of this API group or with a prefix of Kubernetes are never copied, because they describe
      the object that has them: a copied ``derived-template`` or ``job-name`` would be wrong, and the API server rejects
      some. The recommended labels ``app.kubernetes.io/...`` are an exception.
    * The labels that the operator itself sets take precedence.

Invariant: matching takes time linear in the lengths of key and pattern, however many ``*`` the pattern has.
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
    """The labels of a resource that are copied under this runtime config."""
    propagation = config.label_propagation
    if propagation is None or not propagation.enabled:
        return {}
    return {
        key: value
        for key, value in labels.items()
        if not _reserved(key) and any(fits(key, pattern) for pattern in propagation.match)
    }


def fits(key: str, pattern: str) -> bool:
    """Whether the whole key matches the pattern."""
    first, *rest = pattern.split("*")
    if not rest:
        return key == pattern
    *middle, last = rest
    if not key.startswith(first) or not key.endswith(last) or len(key) < len(first) + len(last):
        return False
    at, end = len(first), len(key) - len(last)
    for part in middle:
        # The leftmost match leaves most of the key for the rest, so no other needs to be tried.
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
