"""AIMRuntimeConfig and AIMClusterRuntimeConfig: defaults for everything in a namespace, or in the cluster."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from aimctl.api.v1alpha1.common import Conditions, EnvList, Int32, Int64, ObjectName
from aimctl.api.v1alpha1.meta import Column, Kind, View, age_column, rules

__all__ = [
    "CLUSTER_RUNTIME_CONFIGS",
    "DEFAULT_PVC_HEADROOM_PERCENT",
    "RUNTIME_CONFIGS",
    "AIMClusterRuntimeConfig",
    "AIMRuntimeConfig",
    "CreationScope",
    "LabelPropagation",
    "ModelDefaults",
    "RuntimeConfigSpec",
    "RuntimeConfigStatus",
]

DEFAULT_PVC_HEADROOM_PERCENT = 10
"""Room on a cache volume beyond the model's size, for file system overhead and partial downloads."""


class CreationScope(StrEnum):
    """Scope of models made for services that name an image."""

    NAMESPACE = "Namespace"
    CLUSTER = "Cluster"


class ModelDefaults(View):
    """Defaults for models."""

    auto_discovery: bool = Field(
        default=True, description="Read image metadata of models that do not say whether they want it."
    )
    creation_scope: CreationScope = Field(
        CreationScope.NAMESPACE,
        description="Scope of the model that is created when a service names an image without a"
        " model: Namespace or Cluster. Cluster is for AIMClusterRuntimeConfigs only.",
    )


class LabelPropagation(View):
    """Which labels are copied from a resource to what is made for it."""

    enabled: bool = Field(
        default=False, description="Copy matching labels to Jobs, volumes and inference services."
    )
    match: tuple[str, ...] = Field(
        default=(),
        description="Label keys to copy; * stands for any number of characters, such as org.example/*.",
        json_schema_extra={
            "maxItems": 64,
            "x-kubernetes-list-type": "set",
            "items": {"type": "string", "minLength": 1, "maxLength": 317},
        },
    )


class RuntimeConfigSpec(View):
    """The defaults."""

    default_storage_class_name: ObjectName | None = Field(
        None, description="Storage class of cache volumes that name none; the cluster's default when absent."
    )
    pvc_headroom_percent: Int32 = Field(
        DEFAULT_PVC_HEADROOM_PERCENT,
        description="Room on a cache volume beyond the model's size, in percent.",
        json_schema_extra={"minimum": 0, "maximum": 1000},
    )
    model: ModelDefaults | None = Field(None, description="Defaults for models.")
    label_propagation: LabelPropagation | None = Field(None, description="Labels that are copied along.")
    env: EnvList = Field(
        default=(),
        description="Environment variables of discovery, downloads and inference; those of templates"
        " override them.",
    )


class RuntimeConfigStatus(View):
    """What is known about the runtime config."""

    observed_generation: Int64 = Field(0, description="Most recent generation observed.")
    conditions: Conditions = Field(default=(), description="Details.")


_NAMESPACED_MODELS = rules(
    (
        "!has(self.model) || !has(self.model.creationScope) || self.model.creationScope != 'Cluster'",
        "spec.model.creationScope: Cluster is for an AIMClusterRuntimeConfig: set it there, or leave it out here",
    )
)


class AIMRuntimeConfig(View):
    """Defaults for one namespace; they hide the cluster's of the same name entirely."""

    spec: RuntimeConfigSpec = Field(
        default=RuntimeConfigSpec(), description="The defaults.", json_schema_extra=dict(_NAMESPACED_MODELS)
    )
    status: RuntimeConfigStatus = Field(default=RuntimeConfigStatus(), description="What is known about it.")


class AIMClusterRuntimeConfig(View):
    """Defaults for the whole cluster."""

    spec: RuntimeConfigSpec = Field(default=RuntimeConfigSpec(), description="The defaults.")
    status: RuntimeConfigStatus = Field(default=RuntimeConfigStatus(), description="What is known about it.")


_COLUMNS = (
    Column("Storage Class", "string", ".spec.defaultStorageClassName", "Storage class of cache volumes."),
    Column("Headroom", "integer", ".spec.pvcHeadroomPercent", "Room beyond the model's size, in percent."),
    Column("Discovery", "boolean", ".spec.model.autoDiscovery", "Whether models are discovered by default."),
    age_column(),
)

RUNTIME_CONFIGS = Kind(
    "AIMRuntimeConfig", "aimruntimeconfigs", ("aimrcfg",), True, AIMRuntimeConfig, _COLUMNS
)
CLUSTER_RUNTIME_CONFIGS = Kind(
    "AIMClusterRuntimeConfig",
    "aimclusterruntimeconfigs",
    ("aimcrcfg",),
    False,
    AIMClusterRuntimeConfig,
    _COLUMNS,
)
