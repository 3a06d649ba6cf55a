"""AIMService: a request to serve a model."""

from __future__ import annotations

from enum import StrEnum

from pydantic import ConfigDict, Field

from aimctl.api.v1alpha1.common import (
    Conditions,
    EnvList,
    GpuSelector,
    Image,
    Int32,
    Int64,
    Metric,
    ObjectName,
    Precision,
    PullSecretList,
    ResolvedReference,
    ResourceRequirements,
    constant,
)
from aimctl.api.v1alpha1.meta import KindView, View, kind
from aimctl.generation import AGE_COLUMN, PrinterColumn, Scale, cel_rules

__all__ = [
    "SERVICES",
    "AIMService",
    "ServiceModel",
    "ServiceOverrides",
    "ServiceSpec",
    "ServiceState",
    "ServiceStatus",
    "TemplateMatch",
]


class ServiceState(StrEnum):
    """Values of ``status.status``."""

    PENDING = "Pending"
    STARTING = "Starting"
    RUNNING = "Running"
    DEGRADED = "Degraded"
    FAILED = "Failed"


class ServiceModel(View):
    """The model to serve, by name or by image."""

    model_config = ConfigDict(
        json_schema_extra=dict(
            cel_rules(
                (
                    "has(self.ref) != has(self.image)",
                    "exactly one of spec.model.ref and spec.model.image must be given",
                )
            )
        )
    )

    ref: ObjectName | None = Field(
        None, description="Name of an AIMModel in this namespace, otherwise of an AIMClusterModel."
    )
    image: Image | None = Field(
        None,
        description="Container image of the model. The model that has this image is used; if there is none,"
        " the operator creates an AIMModel, or an AIMClusterModel if the runtime config says so.",
    )


class ServiceOverrides(View):
    """Overrides of the template; services with the same overrides share one derived template."""

    metric: Metric | None = Field(None, description="Optimization goal, instead of the template's.")
    precision: Precision | None = Field(None, description="Numeric precision, instead of the template's.")
    gpu_selector: GpuSelector | None = Field(
        None,
        description="GPUs per replica, instead of the template's; a count or model that is absent is the"
        " template's.",
    )


class ServiceSpec(View):
    """The specification of a service."""

    model: ServiceModel = Field(description="The model to serve: exactly one of ref and image.")
    template_ref: ObjectName | None = Field(
        None,
        description="Template to use: an AIMServiceTemplate of this namespace, otherwise an"
        " AIMClusterServiceTemplate. When absent, the matching template is selected.",
    )
    overrides: ServiceOverrides | None = Field(
        None,
        description="Values that differ from those of the template. A template with these values is used; if"
        " there is none, it is derived. They may be changed at any time.",
    )
    runtime_config_name: ObjectName = Field(
        "default",
        description="Name of the AIMRuntimeConfig in this namespace, otherwise of the"
        " AIMClusterRuntimeConfig: environment of the inference pods, label propagation, and storage of the"
        " cache of a cluster template. Only the one named default may be missing.",
    )
    replicas: Int32 = Field(
        1,
        description="Number of inference pods; 0 stops the service.",
        json_schema_extra={"minimum": 0, "maximum": 1000},
    )
    cache_model: bool = Field(
        default=False,
        description="Cache the model in this namespace before it is served, also if the template does not"
        " enable caching.",
    )
    resources: ResourceRequirements | None = Field(
        None,
        description="Container resources of the inference pods; each amount overrides that of the template"
        " and the model. The number of GPUs is that of overrides.gpuSelector or of the template.",
    )
    env: EnvList = Field(
        default=(),
        description="Environment variables of inference pods, and of the downloads that cacheModel requests;"
        " they override those of template, model and runtime config.",
    )
    image_pull_secrets: PullSecretList = Field(
        default=(),
        description="Secrets of this namespace for pulling the image, in addition to those of template and"
        " model.",
    )
    service_account_name: ObjectName | None = Field(
        None,
        description="Service account of the inference pods; that of the template or the model when absent,"
        " otherwise the default of the namespace.",
    )


class TemplateMatch(View):
    """One candidate of the template selection."""

    name: str = Field("", description="Name of the template.", json_schema_extra={"maxLength": 253})
    scope: str = Field(
        "", description="Namespace or Cluster.", json_schema_extra=constant("Namespace", "Cluster")
    )
    selected: bool = Field(default=False, description="Whether it was selected.")
    dropped_by: str | None = Field(
        None,
        description="Selection step that excluded it, such as NotReady.",
        json_schema_extra={"maxLength": 63},
    )
    message: str | None = Field(
        None, description="Why it was excluded.", json_schema_extra={"maxLength": 1024}
    )


class ServiceStatus(View):
    """The observed state of a service."""

    observed_generation: Int64 = Field(0, description="Most recent generation observed.")
    status: str = Field(
        "",
        description="State: Pending, Starting, Running, Degraded or Failed.",
        json_schema_extra=constant(*ServiceState),
    )
    conditions: Conditions = Field(
        default=(),
        description="Conditions: Resolved, Derived (with overrides only), CacheReady, RuntimeReady, Ready,"
        " Progressing, Failure.",
    )
    resolved_runtime_config: ResolvedReference | None = Field(
        None, description="The runtime config that is used."
    )
    resolved_image: ResolvedReference | None = Field(None, description="The model whose image is served.")
    resolved_template: ResolvedReference | None = Field(None, description="The template that is used.")
    url: str | None = Field(
        None,
        description="URL at which the model is served, as KServe reports it.",
        json_schema_extra={"maxLength": 2048},
    )
    replicas: Int32 = Field(
        0, description="Number of inference pods, as KServe reports it.", json_schema_extra={"minimum": 0}
    )
    selector: str | None = Field(
        None,
        description="Label selector of the inference pods, for HorizontalPodAutoscalers.",
        json_schema_extra={"maxLength": 256},
    )
    template_matching: tuple[TemplateMatch, ...] = Field(
        default=(),
        description="Every candidate of the template selection, and why it was excluded.",
        json_schema_extra={"maxItems": 256, "x-kubernetes-list-type": "atomic"},
    )


class AIMService(KindView):
    """A request to serve a model."""

    spec: ServiceSpec = Field(description="The specification of the service.")
    status: ServiceStatus = Field(default=ServiceStatus(), description="The observed state of the service.")


SERVICES = kind(
    AIMService,
    "aimservices",
    ("aimsvc",),
    columns=(
        PrinterColumn("Status", "string", ".status.status", "State of the service."),
        PrinterColumn(
            "Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', "Reason for the state."
        ),
        PrinterColumn("URL", "string", ".status.url", "Where the model is served."),
        PrinterColumn("Model", "string", ".status.resolvedImage.name", "The model that is served.", 1),
        PrinterColumn("Template", "string", ".status.resolvedTemplate.name", "The template that is used.", 1),
        PrinterColumn("Replicas", "integer", ".spec.replicas", "Requested number of inference pods.", 1),
        PrinterColumn(
            "Message",
            "string",
            '.status.conditions[?(@.type=="Ready")].message',
            "Reason for the state, as text.",
            1,
        ),
        AGE_COLUMN,
    ),
    scale=Scale(label_selector=".status.selector"),
)
