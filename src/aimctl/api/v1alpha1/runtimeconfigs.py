"""AIMRuntimeConfig and AIMClusterRuntimeConfig: defaults for a namespace, or for the cluster."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from aimctl.api.v1alpha1.common import Conditions, EnvList, Int32, Int64, ObjectName
from aimctl.api.v1alpha1.meta import KindView, View, kind
from aimctl.generation import AGE_COLUMN, PrinterColumn, cel_rules

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
"""Additional space on a cache volume, in percent of the source's size, for the file system and partial downloads."""


class CreationScope(StrEnum):
    """Scope of models that are created for services with an image."""

    NAMESPACE = "Namespace"
    CLUSTER = "Cluster"


class ModelDefaults(View):
    """Defaults for models."""

    auto_discovery: bool = Field(
        default=True, description="Read the image metadata of models that do not set discovery.enabled."
    )
    creation_scope: CreationScope = Field(
        CreationScope.NAMESPACE,
        description="Scope of the model that is created when a service names an image that no model"
        " has: Namespace or Cluster. Cluster is valid in AIMClusterRuntimeConfigs only, and applies to images"
        " that allowedImages allows.",
    )
    allowed_images: tuple[str, ...] = Field(
        default=(),
        description="Images of which cluster-scoped models may be created with creationScope: Cluster; *"
        " matches any number of characters, as in ghcr.io/example/*. Images are compared with registry and"
        " tag, such as docker.io/library/name:latest. None by default.",
        json_schema_extra={
            "maxItems": 64,
            "x-kubernetes-list-type": "set",
            "items": {"type": "string", "minLength": 1, "maxLength": 512},
        },
    )


class LabelPropagation(View):
    """Which labels are copied from an object to the objects that are created for it."""

    enabled: bool = Field(
        default=False, description="Copy matching labels to Jobs, volumes, caches and derived templates."
    )
    match: tuple[str, ...] = Field(
        default=(),
        description="Label keys to copy; * matches any number of characters, as in org.example/*.",
        json_schema_extra={
            "maxItems": 64,
            "x-kubernetes-list-type": "set",
            "items": {"type": "string", "minLength": 1, "maxLength": 317},
        },
    )


class RuntimeConfigSpec(View):
    """The defaults of a runtime config."""

    default_storage_class_name: ObjectName | None = Field(
        None,
        description="Storage class of new cache volumes for which no cache names one; the cluster's default"
        " when absent.",
    )
    pvc_headroom_percent: Int32 = Field(
        DEFAULT_PVC_HEADROOM_PERCENT,
        description="Additional space on a new cache volume, in percent of the source's size.",
        json_schema_extra={"minimum": 0, "maximum": 1000},
    )
    model: ModelDefaults | None = Field(None, description="Defaults for models.")
    label_propagation: LabelPropagation | None = Field(
        None,
        description="Labels that are copied to created objects. InferenceServices get all labels of their"
        " service. In an AIMRuntimeConfig it has no effect: that of the AIMClusterRuntimeConfig of the same"
        " name applies.",
    )
    env: EnvList = Field(
        default=(),
        description="Environment variables of discovery, downloads and inference pods; those of models,"
        " templates, caches and services override them.",
    )


class RuntimeConfigStatus(View):
    """The observed state of a runtime config."""

    observed_generation: Int64 = Field(
        0, description="Not set: the objects that use a runtime config report whether they found it."
    )
    conditions: Conditions = Field(default=(), description="Not set, for the same reason.")


_NAMESPACED_MODELS = cel_rules(
    (
        "!has(self.model) || !has(self.model.creationScope) || self.model.creationScope != 'Cluster'",
        "spec.model.creationScope: Cluster is valid in AIMClusterRuntimeConfigs only: set it there or remove it here",
    )
)


class AIMRuntimeConfig(KindView):
    """Defaults for one namespace. They replace an AIMClusterRuntimeConfig of the same name, except labelPropagation."""

    spec: RuntimeConfigSpec = Field(
        default=RuntimeConfigSpec(), description="The defaults.", json_schema_extra=dict(_NAMESPACED_MODELS)
    )
    status: RuntimeConfigStatus = Field(default=RuntimeConfigStatus(), description="The observed state.")


class AIMClusterRuntimeConfig(KindView):
    """Defaults for the whole cluster."""

    spec: RuntimeConfigSpec = Field(default=RuntimeConfigSpec(), description="The defaults.")
    status: RuntimeConfigStatus = Field(default=RuntimeConfigStatus(), description="The observed state.")


_COLUMNS = (
    PrinterColumn(
        "Storage Class", "string", ".spec.defaultStorageClassName", "Storage class of cache volumes."
    ),
    PrinterColumn("Headroom", "integer", ".spec.pvcHeadroomPercent", "Additional space, in percent."),
    PrinterColumn(
        "Discovery", "boolean", ".spec.model.autoDiscovery", "Whether image metadata is read by default."
    ),
    AGE_COLUMN,
)

RUNTIME_CONFIGS = kind(AIMRuntimeConfig, "aimruntimeconfigs", ("aimrcfg",), columns=_COLUMNS)
CLUSTER_RUNTIME_CONFIGS = kind(
    AIMClusterRuntimeConfig,
    "aimclusterruntimeconfigs",
    ("aimcrcfg",),
    namespaced=False,
    columns=_COLUMNS,
)
