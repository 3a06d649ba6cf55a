"""The Resource of each kind of the API group, with its pydantic view, and that of KServe's InferenceService."""

from __future__ import annotations

from typing import TypeVar

from aimctl.api.v1alpha1.caches import MODEL_CACHES as _MODEL_CACHES
from aimctl.api.v1alpha1.caches import TEMPLATE_CACHES as _TEMPLATE_CACHES
from aimctl.api.v1alpha1.meta import GROUP, VERSION, Kind, View
from aimctl.api.v1alpha1.models import CLUSTER_MODELS as _CLUSTER_MODELS
from aimctl.api.v1alpha1.models import MODELS as _MODELS
from aimctl.api.v1alpha1.runtimeconfigs import CLUSTER_RUNTIME_CONFIGS as _CLUSTER_RUNTIME_CONFIGS
from aimctl.api.v1alpha1.runtimeconfigs import RUNTIME_CONFIGS as _RUNTIME_CONFIGS
from aimctl.api.v1alpha1.services import SERVICES as _SERVICES
from aimctl.api.v1alpha1.templates import CLUSTER_SERVICE_TEMPLATES, SERVICE_TEMPLATES
from aimctl.kubetypes import Resource

__all__ = [
    "CLUSTER_MODELS",
    "CLUSTER_RUNTIME_CONFIGS",
    "CLUSTER_TEMPLATES",
    "INFERENCE_SERVICES",
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
    """The Resource of a kind."""
    return Resource(GROUP, VERSION, kind.name, kind.plural, kind.namespaced, kind.decode)


TEMPLATES = resource_of(SERVICE_TEMPLATES)
CLUSTER_TEMPLATES = resource_of(CLUSTER_SERVICE_TEMPLATES)
MODELS = resource_of(_MODELS)
CLUSTER_MODELS = resource_of(_CLUSTER_MODELS)
RUNTIME_CONFIGS = resource_of(_RUNTIME_CONFIGS)
CLUSTER_RUNTIME_CONFIGS = resource_of(_CLUSTER_RUNTIME_CONFIGS)
SERVICES = resource_of(_SERVICES)
TEMPLATE_CACHES = resource_of(_TEMPLATE_CACHES)
MODEL_CACHES = resource_of(_MODEL_CACHES)

INFERENCE_SERVICES = Resource.untyped(
    "serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices", namespaced=True
)
"""Served where KServe is installed."""

OPERATOR_KINDS = (
    TEMPLATES,
    CLUSTER_TEMPLATES,
    MODELS,
    CLUSTER_MODELS,
    RUNTIME_CONFIGS,
    CLUSTER_RUNTIME_CONFIGS,
    SERVICES,
    TEMPLATE_CACHES,
    MODEL_CACHES,
)
"""The kinds whose CRDs must be installed."""
