"""Labels and annotations of a resource that are copied to the objects created for it.

Contract:
    * The InferenceService of a service gets all labels and annotations of the service, except reserved ones, because
      KServe, ingress controllers and monitoring are configured with them.
    * A label is copied to other objects if label propagation is enabled and its key matches one of the patterns. In a
      pattern, ``*`` matches any sequence of characters, including ``/``; every other character matches itself.
    * Labels with the prefix of this API group or with a prefix of Kubernetes are never copied, because they describe
      the object that has them: a copied ``derived-template`` or ``job-name`` would be wrong, and the API server rejects
      some. The recommended labels ``app.kubernetes.io/...`` are an exception.
    * Annotations of Kubernetes are copied, because several are for pods, except those that describe the object that has
      them, such as the last applied configuration. Labels and annotations by which delivery tools (Argo CD, Flux, Helm)
      recognise their objects are not copied to an InferenceService: the tool would take it for one of its own.
    * The labels that the operator itself sets take precedence.

Invariant: matching takes time linear in the lengths of key and pattern, however many ``*`` the pattern has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.api.v1alpha1 import GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.api.v1alpha1 import RuntimeConfigSpec

__all__ = ["fits", "passed_annotations", "passed_labels", "propagated"]

_RECOMMENDED = "app.kubernetes.io"
_RESERVED_DOMAINS = ("kubernetes.io", "k8s.io")
_OF_THE_OBJECT = ("kubectl.kubernetes.io", "deployment.kubernetes.io")
_DELIVERY = ("argoproj.io", "fluxcd.io", "helm.sh")
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


def passed_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels of a service that its InferenceService gets."""
    return {key: value for key, value in labels.items() if not (_reserved(key) or _within(key, _DELIVERY))}


def passed_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    """The annotations of a service that its InferenceService gets."""
    excluded = (GROUP, *_OF_THE_OBJECT, *_DELIVERY)
    return {key: value for key, value in annotations.items() if not _within(key, excluded)}


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
    if "/" not in key:
        return key in _RESERVED
    if _within(key, (GROUP,)):
        return True
    return not key.startswith(f"{_RECOMMENDED}/") and _within(key, _RESERVED_DOMAINS)


def _within(key: str, domains: tuple[str, ...]) -> bool:
    """Whether the prefix of a key is one of the domains or below one."""
    prefix, slash, _ = key.rpartition("/")
    return bool(slash) and any(prefix == domain or prefix.endswith(f".{domain}") for domain in domains)
