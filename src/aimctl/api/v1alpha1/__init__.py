"""Version v1alpha1 of the group aim.silogen.ai: nine kinds as frozen, typed views."""

from __future__ import annotations

from typing import Any

from aimctl.api.v1alpha1.caches import DEFAULT_DOWNLOAD_IMAGE as DEFAULT_DOWNLOAD_IMAGE
from aimctl.api.v1alpha1.caches import MODEL_CACHES as MODEL_CACHES
from aimctl.api.v1alpha1.caches import TEMPLATE_CACHES as TEMPLATE_CACHES
from aimctl.api.v1alpha1.caches import AIMModelCache as AIMModelCache
from aimctl.api.v1alpha1.caches import AIMTemplateCache as AIMTemplateCache
from aimctl.api.v1alpha1.caches import CachedModel as CachedModel
from aimctl.api.v1alpha1.caches import CacheState as CacheState
from aimctl.api.v1alpha1.caches import ModelCacheSpec as ModelCacheSpec
from aimctl.api.v1alpha1.caches import ModelCacheStatus as ModelCacheStatus
from aimctl.api.v1alpha1.caches import TemplateCacheSpec as TemplateCacheSpec
from aimctl.api.v1alpha1.caches import TemplateCacheStatus as TemplateCacheStatus
from aimctl.api.v1alpha1.common import Condition as Condition
from aimctl.api.v1alpha1.common import ConditionStatus as ConditionStatus
from aimctl.api.v1alpha1.common import ConfigMapKeySelector as ConfigMapKeySelector
from aimctl.api.v1alpha1.common import EnvVar as EnvVar
from aimctl.api.v1alpha1.common import EnvVarSource as EnvVarSource
from aimctl.api.v1alpha1.common import GpuSelector as GpuSelector
from aimctl.api.v1alpha1.common import LocalObjectReference as LocalObjectReference
from aimctl.api.v1alpha1.common import Metric as Metric
from aimctl.api.v1alpha1.common import ModelSource as ModelSource
from aimctl.api.v1alpha1.common import ObjectFieldSelector as ObjectFieldSelector
from aimctl.api.v1alpha1.common import Precision as Precision
from aimctl.api.v1alpha1.common import ResolvedReference as ResolvedReference
from aimctl.api.v1alpha1.common import ResourceRequirements as ResourceRequirements
from aimctl.api.v1alpha1.common import Scope as Scope
from aimctl.api.v1alpha1.common import SecretKeySelector as SecretKeySelector
from aimctl.api.v1alpha1.common import StatusModelSource as StatusModelSource
from aimctl.api.v1alpha1.meta import API_VERSION as API_VERSION
from aimctl.api.v1alpha1.meta import GROUP as GROUP
from aimctl.api.v1alpha1.meta import VERSION as VERSION
from aimctl.api.v1alpha1.meta import Column as Column
from aimctl.api.v1alpha1.meta import Kind as Kind
from aimctl.api.v1alpha1.meta import View as View
from aimctl.api.v1alpha1.models import CLUSTER_MODELS as CLUSTER_MODELS
from aimctl.api.v1alpha1.models import MODELS as MODELS
from aimctl.api.v1alpha1.models import AIMClusterModel as AIMClusterModel
from aimctl.api.v1alpha1.models import AIMModel as AIMModel
from aimctl.api.v1alpha1.models import ImageMetadata as ImageMetadata
from aimctl.api.v1alpha1.models import ModelDiscovery as ModelDiscovery
from aimctl.api.v1alpha1.models import ModelSpec as ModelSpec
from aimctl.api.v1alpha1.models import ModelState as ModelState
from aimctl.api.v1alpha1.models import ModelStatus as ModelStatus
from aimctl.api.v1alpha1.models import OciMetadata as OciMetadata
from aimctl.api.v1alpha1.models import RecommendedDeployment as RecommendedDeployment
from aimctl.api.v1alpha1.runtimeconfigs import CLUSTER_RUNTIME_CONFIGS as CLUSTER_RUNTIME_CONFIGS
from aimctl.api.v1alpha1.runtimeconfigs import DEFAULT_PVC_HEADROOM_PERCENT as DEFAULT_PVC_HEADROOM_PERCENT
from aimctl.api.v1alpha1.runtimeconfigs import RUNTIME_CONFIGS as RUNTIME_CONFIGS
from aimctl.api.v1alpha1.runtimeconfigs import AIMClusterRuntimeConfig as AIMClusterRuntimeConfig
from aimctl.api.v1alpha1.runtimeconfigs import AIMRuntimeConfig as AIMRuntimeConfig
from aimctl.api.v1alpha1.runtimeconfigs import CreationScope as CreationScope
from aimctl.api.v1alpha1.runtimeconfigs import LabelPropagation as LabelPropagation
from aimctl.api.v1alpha1.runtimeconfigs import ModelDefaults as ModelDefaults
from aimctl.api.v1alpha1.runtimeconfigs import RuntimeConfigSpec as RuntimeConfigSpec
from aimctl.api.v1alpha1.runtimeconfigs import RuntimeConfigStatus as RuntimeConfigStatus
from aimctl.api.v1alpha1.services import SERVICES as SERVICES
from aimctl.api.v1alpha1.services import AIMService as AIMService
from aimctl.api.v1alpha1.services import ServiceModel as ServiceModel
from aimctl.api.v1alpha1.services import ServiceOverrides as ServiceOverrides
from aimctl.api.v1alpha1.services import ServiceSpec as ServiceSpec
from aimctl.api.v1alpha1.services import ServiceState as ServiceState
from aimctl.api.v1alpha1.services import ServiceStatus as ServiceStatus
from aimctl.api.v1alpha1.services import TemplateMatch as TemplateMatch
from aimctl.api.v1alpha1.templates import CLUSTER_SERVICE_TEMPLATES as CLUSTER_SERVICE_TEMPLATES
from aimctl.api.v1alpha1.templates import SERVICE_TEMPLATES as SERVICE_TEMPLATES
from aimctl.api.v1alpha1.templates import AIMClusterServiceTemplate as AIMClusterServiceTemplate
from aimctl.api.v1alpha1.templates import AIMServiceTemplate as AIMServiceTemplate
from aimctl.api.v1alpha1.templates import ClusterServiceTemplateSpec as ClusterServiceTemplateSpec
from aimctl.api.v1alpha1.templates import DiscoveryFailure as DiscoveryFailure
from aimctl.api.v1alpha1.templates import DiscoveryRecord as DiscoveryRecord
from aimctl.api.v1alpha1.templates import DiscoveryStatus as DiscoveryStatus
from aimctl.api.v1alpha1.templates import ServiceTemplateSpec as ServiceTemplateSpec
from aimctl.api.v1alpha1.templates import TemplateCaching as TemplateCaching
from aimctl.api.v1alpha1.templates import TemplateSpec as TemplateSpec
from aimctl.api.v1alpha1.templates import TemplateState as TemplateState
from aimctl.api.v1alpha1.templates import TemplateStatus as TemplateStatus

__all__ = [
    "API_VERSION",
    "CLUSTER_MODELS",
    "CLUSTER_RUNTIME_CONFIGS",
    "CLUSTER_SERVICE_TEMPLATES",
    "DEFAULT_DOWNLOAD_IMAGE",
    "DEFAULT_PVC_HEADROOM_PERCENT",
    "GROUP",
    "KINDS",
    "MODELS",
    "MODEL_CACHES",
    "RUNTIME_CONFIGS",
    "SERVICES",
    "SERVICE_TEMPLATES",
    "TEMPLATE_CACHES",
    "VERSION",
    "AIMClusterModel",
    "AIMClusterRuntimeConfig",
    "AIMClusterServiceTemplate",
    "AIMModel",
    "AIMModelCache",
    "AIMRuntimeConfig",
    "AIMService",
    "AIMServiceTemplate",
    "AIMTemplateCache",
    "CacheState",
    "CachedModel",
    "ClusterServiceTemplateSpec",
    "Column",
    "Condition",
    "ConditionStatus",
    "ConfigMapKeySelector",
    "CreationScope",
    "DiscoveryFailure",
    "DiscoveryRecord",
    "DiscoveryStatus",
    "EnvVar",
    "EnvVarSource",
    "GpuSelector",
    "ImageMetadata",
    "Kind",
    "LabelPropagation",
    "LocalObjectReference",
    "Metric",
    "ModelCacheSpec",
    "ModelCacheStatus",
    "ModelDefaults",
    "ModelDiscovery",
    "ModelSource",
    "ModelSpec",
    "ModelState",
    "ModelStatus",
    "ObjectFieldSelector",
    "OciMetadata",
    "Precision",
    "RecommendedDeployment",
    "ResolvedReference",
    "ResourceRequirements",
    "RuntimeConfigSpec",
    "RuntimeConfigStatus",
    "Scope",
    "SecretKeySelector",
    "ServiceModel",
    "ServiceOverrides",
    "ServiceSpec",
    "ServiceState",
    "ServiceStatus",
    "ServiceTemplateSpec",
    "StatusModelSource",
    "TemplateCacheSpec",
    "TemplateCacheStatus",
    "TemplateCaching",
    "TemplateMatch",
    "TemplateSpec",
    "TemplateState",
    "TemplateStatus",
    "View",
]

KINDS: tuple[Kind[Any], ...] = (
    MODELS,
    CLUSTER_MODELS,
    SERVICE_TEMPLATES,
    CLUSTER_SERVICE_TEMPLATES,
    SERVICES,
    TEMPLATE_CACHES,
    MODEL_CACHES,
    RUNTIME_CONFIGS,
    CLUSTER_RUNTIME_CONFIGS,
)
"""The nine kinds."""
