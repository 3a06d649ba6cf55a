"""The registry of the kinds: the definition of each kind for its CRD, and its Resource for clients and caches.

To add a kind, define its types and its :class:`~aimctl.generation.CustomKind` in a module of ``aimctl.api.v1alpha1``,
and register it here. What concerns all kinds, such as the CRDs and the roles for users, uses this registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api.v1alpha1 import caches, models, runtimeconfigs, services, templates
from aimctl.kubetypes import Resource

if TYPE_CHECKING:
    from aimctl.generation import CustomKind

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
]

MODELS = models.MODELS.resource
CLUSTER_MODELS = models.CLUSTER_MODELS.resource
TEMPLATES = templates.SERVICE_TEMPLATES.resource
CLUSTER_TEMPLATES = templates.CLUSTER_SERVICE_TEMPLATES.resource
SERVICES = services.SERVICES.resource
TEMPLATE_CACHES = caches.TEMPLATE_CACHES.resource
MODEL_CACHES = caches.MODEL_CACHES.resource
RUNTIME_CONFIGS = runtimeconfigs.RUNTIME_CONFIGS.resource
CLUSTER_RUNTIME_CONFIGS = runtimeconfigs.CLUSTER_RUNTIME_CONFIGS.resource

KINDS: tuple[CustomKind[Any], ...] = (
    models.MODELS,
    models.CLUSTER_MODELS,
    templates.SERVICE_TEMPLATES,
    templates.CLUSTER_SERVICE_TEMPLATES,
    services.SERVICES,
    caches.TEMPLATE_CACHES,
    caches.MODEL_CACHES,
    runtimeconfigs.RUNTIME_CONFIGS,
    runtimeconfigs.CLUSTER_RUNTIME_CONFIGS,
)
"""The definition of every kind, in the order of the generated CRDs."""

OPERATOR_KINDS = tuple(kind.resource for kind in KINDS)
"""The Resource of every kind, in the same order. Their CRDs must be installed."""

INFERENCE_SERVICES = Resource.untyped(
    "serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices", namespaced=True
)
"""Defined by KServe; served only where KServe is installed."""
