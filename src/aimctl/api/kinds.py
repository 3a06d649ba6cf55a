"""The registry of the kinds: the definition of each kind for its CRD, and its Resource for clients and caches.

To add a kind, define its types and its :class:`~aimctl.api.v1alpha1.meta.Kind` in a module of ``aimctl.api.v1alpha1``,
and register it here. What concerns all kinds, such as the CRDs and the roles for users, uses this registry.
"""

from __future__ import annotations

from typing import Any, TypeVar

from aimctl.api.v1alpha1 import caches, models, runtimeconfigs, services, templates
from aimctl.api.v1alpha1.meta import GROUP, VERSION, Kind, View
from aimctl.kubetypes import Resource

__all__ = [
    "CLUSTER_MODELS",
    "CLUSTER_RUNTIME_CONFIGS",
    "CLUSTER_TEMPLATES",
    "INFERENCE_SERVICES",
    "KINDS",
    "MODELS",
    "MODEL_CACHES",
    "OPERATOR_KINDS",
    "RUNTIME_CONFIGS",
    "SERVICES",
    "TEMPLATES",
    "TEMPLATE_CACHES",
    "resource_of",
]

V = TypeVar("V", bound=View)


def resource_of(kind: Kind[V]) -> Resource[V]:
    """Return the Resource of a kind."""
    return Resource(GROUP, VERSION, kind.name, kind.plural, kind.namespaced, kind.decode)


MODELS = resource_of(models.MODELS)
CLUSTER_MODELS = resource_of(models.CLUSTER_MODELS)
TEMPLATES = resource_of(templates.SERVICE_TEMPLATES)
CLUSTER_TEMPLATES = resource_of(templates.CLUSTER_SERVICE_TEMPLATES)
SERVICES = resource_of(services.SERVICES)
TEMPLATE_CACHES = resource_of(caches.TEMPLATE_CACHES)
MODEL_CACHES = resource_of(caches.MODEL_CACHES)
RUNTIME_CONFIGS = resource_of(runtimeconfigs.RUNTIME_CONFIGS)
CLUSTER_RUNTIME_CONFIGS = resource_of(runtimeconfigs.CLUSTER_RUNTIME_CONFIGS)

_REGISTRY: tuple[tuple[Kind[Any], Resource[Any]], ...] = (
    (models.MODELS, MODELS),
    (models.CLUSTER_MODELS, CLUSTER_MODELS),
    (templates.SERVICE_TEMPLATES, TEMPLATES),
    (templates.CLUSTER_SERVICE_TEMPLATES, CLUSTER_TEMPLATES),
    (services.SERVICES, SERVICES),
    (caches.TEMPLATE_CACHES, TEMPLATE_CACHES),
    (caches.MODEL_CACHES, MODEL_CACHES),
    (runtimeconfigs.RUNTIME_CONFIGS, RUNTIME_CONFIGS),
    (runtimeconfigs.CLUSTER_RUNTIME_CONFIGS, CLUSTER_RUNTIME_CONFIGS),
)

KINDS = tuple(kind for kind, _ in _REGISTRY)
"""The definition of every kind, in the order of the generated CRDs."""

OPERATOR_KINDS = tuple(resource for _, resource in _REGISTRY)
"""The Resource of every kind, in the same order. Their CRDs must be installed."""

INFERENCE_SERVICES = Resource.untyped(
    "serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices", namespaced=True
)
"""Defined by KServe; served only where KServe is installed."""
