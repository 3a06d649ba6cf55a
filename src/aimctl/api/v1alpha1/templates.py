"""AIMServiceTemplate and AIMClusterServiceTemplate: a runtime profile, and the result of discovery."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, Field

from aimctl.api.v1alpha1.common import (
    ATOMIC,
    Conditions,
    EnvList,
    GpuSelector,
    Int64,
    Metric,
    ModelSource,
    ObjectName,
    Precision,
    PullSecretList,
    ResolvedReference,
    ResourceRequirements,
    StatusModelSource,
    Time,
    constant,
    list_map,
)
from aimctl.api.v1alpha1.meta import KindView, View, kind
from aimctl.generation import AGE_COLUMN, PrinterColumn, cel_rules

__all__ = [
    "CLUSTER_SERVICE_TEMPLATES",
    "SERVICE_TEMPLATES",
    "AIMClusterServiceTemplate",
    "AIMServiceTemplate",
    "ClusterServiceTemplateSpec",
    "DiscoveryFailure",
    "DiscoveryRecord",
    "DiscoveryStatus",
    "ServiceTemplateSpec",
    "TemplateCaching",
    "TemplateSpec",
    "TemplateState",
    "TemplateStatus",
]


class TemplateState(StrEnum):
    """Values of ``status.status``."""

    PENDING = "Pending"
    PROGRESSING = "Progressing"
    NOT_AVAILABLE = "NotAvailable"
    READY = "Ready"
    DEGRADED = "Degraded"
    FAILED = "Failed"


def _unchanged(field: str) -> str:
    present = f"has(self.{field})"
    return f"{present} == has(oldSelf.{field}) && (!{present} || self.{field} == oldSelf.{field})"


def _unchanged_gpu(field: str) -> str:
    return f"!has(self.gpuSelector) || !has(oldSelf.gpuSelector) || ({_unchanged(f'gpuSelector.{field}')})"


_IMMUTABLE = cel_rules(
    ("self.modelName == oldSelf.modelName", "spec.modelName is immutable; create a new template"),
    (_unchanged("metric"), "spec.metric is immutable; create a new template"),
    (_unchanged("precision"), "spec.precision is immutable; create a new template"),
    (
        "has(self.gpuSelector) == has(oldSelf.gpuSelector)",
        "spec.gpuSelector is immutable; create a new template",
    ),
    (_unchanged_gpu("count"), "spec.gpuSelector.count is immutable; create a new template"),
    (_unchanged_gpu("model"), "spec.gpuSelector.model is immutable; create a new template"),
)
"""One rule for each field. The rules are on the spec, because a rule on a field does not see it added or removed."""


class TemplateSpec(View):
    """The part of the specification that templates of both scopes have."""

    model_config = ConfigDict(json_schema_extra=dict(_IMMUTABLE))

    model_name: ObjectName = Field(
        description="Name of the AIMModel in the template's namespace, otherwise of the AIMClusterModel, that"
        " this template runs. Immutable after creation."
    )
    runtime_config_name: ObjectName = Field(
        "default",
        description="Name of the AIMRuntimeConfig in the template's namespace, otherwise of the"
        " AIMClusterRuntimeConfig: environment of discovery, storage of the cache, and label propagation."
        " Only the one named default may be missing.",
    )
    metric: Metric | None = Field(
        None,
        description="Optimization goal: latency (interactive) or throughput (batch processing)."
        " Immutable after creation.",
    )
    precision: Precision | None = Field(
        None,
        description="Numeric precision: auto (the image decides), fp4, fp8, fp16, fp32, bf16, int4 or int8."
        " Immutable after creation.",
    )
    gpu_selector: GpuSelector | None = Field(
        None,
        description="GPUs that one replica needs; none when absent. Count and model are immutable after"
        " creation.",
    )
    image_pull_secrets: PullSecretList = Field(
        default=(),
        description="Secrets for pulling the image, in addition to the model's. They must exist in the"
        " template's namespace.",
    )
    service_account_name: ObjectName | None = Field(
        None,
        description="Service account of discovery Jobs and inference pods; the model's when absent, otherwise"
        " the default of the namespace.",
    )
    resources: ResourceRequirements | None = Field(
        None,
        description="Container resources of inference pods; each amount overrides that of the model."
        " Discovery Jobs do not use them.",
    )
    model_sources: tuple[ModelSource, ...] = Field(
        default=(),
        description="Static model sources. When set, they are used directly and no discovery Job runs. They"
        " may be changed at any time.",
        json_schema_extra=list_map("name", 256),
    )


class TemplateCaching(View):
    """Whether the model is downloaded in advance."""

    enabled: bool = Field(
        default=False,
        description="Download the model sources to volumes of the namespace as soon as they are known.",
    )
    env: EnvList = Field(
        default=(),
        description="Environment variables of the download Jobs, in addition to those of the template, which"
        " they override.",
    )


class ServiceTemplateSpec(TemplateSpec):
    """The specification of a template in a namespace."""

    env: EnvList = Field(
        default=(),
        description="Environment variables of discovery, of downloads to its cache and of inference pods,"
        " typically authentication tokens; they override those of model and runtime config. When they change,"
        " discovery runs again.",
    )
    caching: TemplateCaching | None = Field(
        None,
        description="Caching of the model in this namespace. When enabled, the template becomes Ready"
        " when the model is cached.",
    )


class ClusterServiceTemplateSpec(TemplateSpec):
    """The specification of a template for the whole cluster; env and caching exist in namespaces only."""

    model_name: ObjectName = Field(
        description="Name of the AIMClusterModel that this template runs; AIMModels of namespaces are not"
        " used. Immutable after creation."
    )
    runtime_config_name: ObjectName = Field(
        "default",
        description="Name of the AIMRuntimeConfig in the operator namespace, otherwise of the"
        " AIMClusterRuntimeConfig: environment of discovery and label propagation. Only the one named default"
        " may be missing.",
    )
    image_pull_secrets: PullSecretList = Field(
        default=(),
        description="Secrets for pulling the image, in addition to the model's. For discovery they must exist"
        " in the operator namespace, for inference in the namespace of the service.",
    )
    service_account_name: ObjectName | None = Field(
        None,
        description="Service account of discovery Jobs, in the operator namespace, and of inference pods, in"
        " the namespace of the service; the model's when absent, otherwise the default of the namespace.",
    )


class DiscoveryRecord(View):
    """A finished discovery."""

    input_hash: str = Field(
        "",
        description="Hash of everything that determines the discovery Job.",
        json_schema_extra={"maxLength": 64},
    )
    image: str = Field(
        "",
        description="Image that the discovery Job ran.",
        json_schema_extra={"maxLength": 512},
    )
    job_name: str = Field("", description="Name of the discovery Job.", json_schema_extra={"maxLength": 63})
    finished_at: Time | None = Field(
        None, description="Time at which the operator observed the end of the Job."
    )


class DiscoveryFailure(DiscoveryRecord):
    """A finished discovery that failed."""

    message: str = Field("", description="Cause and remedy.", json_schema_extra={"maxLength": 4096})
    attempts: Int64 = Field(0, description="Failed Jobs of this input.")
    retry_at: Time | None = Field(
        None,
        description="Time from which discovery is tried again, because the cause may be outside the input;"
        " absent if it is not tried again.",
    )
    references: str = Field(
        "",
        description="Hash of the versions of the Secrets and ConfigMaps that the pod refers to, after several"
        " failures. When one of them changes, discovery is tried again before retryAt.",
        json_schema_extra={"maxLength": 64},
    )


class DiscoveryPause(View):
    """A discovery whose Job could not run, and that is tried again."""

    input_hash: str = Field(
        "",
        description="Hash of everything that determines the discovery Job.",
        json_schema_extra={"maxLength": 64},
    )
    attempts: Int64 = Field(0, description="Jobs that could not run.")
    until: Time | None = Field(None, description="Time from which the template waits for a slot again.")
    message: str = Field("", description="Cause and remedy.", json_schema_extra={"maxLength": 1024})


class DiscoveryStatus(View):
    """The inputs that discovery has finished. None with a result is repeated unless aimctl rediscover requests it."""

    model_config = ConfigDict(json_schema_extra=ATOMIC)

    result: DiscoveryRecord | None = Field(
        None, description="The discovery that produced modelSources and profile."
    )
    failure: DiscoveryFailure | None = Field(None, description="The last discovery, if it failed.")
    pause: DiscoveryPause | None = Field(
        None,
        description="The current discovery, if its Job could not run: it gives its slot to other templates.",
    )
    blocked: str | None = Field(
        None,
        description="Why no Job can be created at the moment, with the remedy: an object that its pod refers to does"
        " not exist, or the API server rejects the Job. Absent if the template only waits for a slot.",
        json_schema_extra={"maxLength": 1024},
    )


class TemplateStatus(View):
    """The observed state of a template."""

    observed_generation: Int64 = Field(0, description="Most recent generation observed.")
    status: str = Field(
        "",
        description="State of the template: Pending, Progressing, NotAvailable, Ready, Degraded or Failed.",
        json_schema_extra=constant(*TemplateState),
    )
    conditions: Conditions = Field(
        default=(),
        description="Conditions: Discovered, CacheWarm (namespaced templates only), Ready, Progressing,"
        " Failure.",
    )
    resolved_runtime_config: ResolvedReference | None = Field(
        None, description="The runtime config that is used."
    )
    resolved_image: ResolvedReference | None = Field(None, description="The model whose image is used.")
    model_sources: tuple[StatusModelSource, ...] = Field(
        default=(),
        description="Discovered or static model artifacts, with URIs and sizes.",
        json_schema_extra={"maxItems": 256, "x-kubernetes-list-type": "atomic"},
    )
    profile: dict[str, Any] | None = Field(
        None,
        description="Complete profile from discovery, with engine arguments, environment and metadata.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True, "x-kubernetes-map-type": "atomic"},
    )
    discovery: DiscoveryStatus | None = Field(
        None,
        description="What is known about the discoveries of this template: the last result, and what"
        " followed.",
    )


class AIMServiceTemplate(KindView):
    """A runtime profile of a model in one namespace, together with the result of discovery."""

    spec: ServiceTemplateSpec = Field(description="The runtime profile.")
    status: TemplateStatus = Field(
        default=TemplateStatus(), description="The observed state of the template."
    )


class AIMClusterServiceTemplate(KindView):
    """A runtime profile of a model for the whole cluster, together with the result of discovery."""

    spec: ClusterServiceTemplateSpec = Field(description="The runtime profile.")
    status: TemplateStatus = Field(
        default=TemplateStatus(), description="The observed state of the template."
    )


_COLUMNS = (
    PrinterColumn("Model", "string", ".spec.modelName", "The model that the template runs."),
    PrinterColumn("GPU", "string", ".spec.gpuSelector.model", "GPU type."),
    PrinterColumn("Status", "string", ".status.status", "State of the template."),
    PrinterColumn(
        "Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', "Reason for the state."
    ),
    PrinterColumn("Metric", "string", ".spec.metric", "Optimization goal.", 1),
    PrinterColumn("Precision", "string", ".spec.precision", "Numeric precision.", 1),
    PrinterColumn("GPUs", "integer", ".spec.gpuSelector.count", "GPUs per replica.", 1),
    PrinterColumn(
        "Message",
        "string",
        '.status.conditions[?(@.type=="Ready")].message',
        "Reason for the state, as text.",
        1,
    ),
    AGE_COLUMN,
)

SERVICE_TEMPLATES = kind(AIMServiceTemplate, "aimservicetemplates", ("aimst",), columns=_COLUMNS)
CLUSTER_SERVICE_TEMPLATES = kind(
    AIMClusterServiceTemplate,
    "aimclusterservicetemplates",
    ("aimclst",),
    namespaced=False,
    columns=_COLUMNS,
)
