"""AIMService: a user's wish to serve a model."""

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
from aimctl.api.v1alpha1.meta import Column, Kind, View, age_column, rules

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
            rules(
                (
                    "has(self.ref) != has(self.image)",
                    "exactly one of spec.model.ref and spec.model.image must be given",
                )
            )
        )
    )

    ref: ObjectName | None = Field(
        None, description="Name of an AIMModel in this namespace, else of an AIMClusterModel."
    )
    image: Image | None = Field(
        None,
        description="Container image of the model. A model of this image is searched for, and"
        " created if there is none.",
    )


class ServiceOverrides(View):
    """Changes to the template; services with the same overrides share one derived template."""

    metric: Metric | None = Field(None, description="Optimization goal instead of the template's.")
    precision: Precision | None = Field(None, description="Numeric precision instead of the template's.")
    gpu_selector: GpuSelector | None = Field(None, description="GPUs per replica instead of the template's.")


class ServiceSpec(View):
    """What to serve, and how."""

    model: ServiceModel = Field(description="The model to serve: exactly one of ref and image.")
    template_ref: ObjectName | None = Field(
        None,
        description="Template to use, namespaced before cluster-wide. When absent, the one that fits"
        " is selected.",
    )
    overrides: ServiceOverrides | None = Field(None, description="Changes to the template.")
    runtime_config_name: ObjectName = Field("default", description="Runtime config of this service.")
    replicas: Int32 = Field(
        1, description="Number of inference pods.", json_schema_extra={"minimum": 0, "maximum": 1000}
    )
    cache_model: bool = Field(
        default=False,
        description="Cache the model in this namespace first, where the template does not do so itself.",
    )
    resources: ResourceRequirements | None = Field(
        None, description="Container resources; they override those of template and model."
    )
    env: EnvList = Field(
        default=(),
        description="Environment variables of inference pods and downloads; they override the template's.",
    )
    image_pull_secrets: PullSecretList = Field(
        default=(), description="Further secrets for pulling the image."
    )
    service_account_name: ObjectName | None = Field(
        None, description="Service account of the inference pods; the template's when absent."
    )


class TemplateMatch(View):
    """One template that was looked at during selection."""

    name: str = Field("", description="Name of the template.", json_schema_extra={"maxLength": 253})
    scope: str = Field(
        "", description="Namespace or Cluster.", json_schema_extra=constant("Namespace", "Cluster")
    )
    selected: bool = Field(default=False, description="Whether it was left at the end.")
    dropped_by: str | None = Field(
        None, description="The step that dropped it, such as NotReady.", json_schema_extra={"maxLength": 63}
    )
    message: str | None = Field(
        None, description="Why, in a sentence.", json_schema_extra={"maxLength": 1024}
    )


class ServiceStatus(View):
    """How far the service is."""

    observed_generation: Int64 = Field(0, description="Most recent generation observed.")
    status: str = Field(
        "",
        description="State: Pending, Starting, Running, Degraded or Failed.",
        json_schema_extra=constant(*ServiceState),
    )
    conditions: Conditions = Field(
        default=(),
        description="Details: Resolved, Derived (with overrides only), CacheReady, RuntimeReady, Ready,"
        " Progressing, Failure.",
    )
    resolved_runtime_config: ResolvedReference | None = Field(
        None, description="The runtime config in force."
    )
    resolved_image: ResolvedReference | None = Field(None, description="The model whose image is served.")
    resolved_template: ResolvedReference | None = Field(None, description="The template in use.")
    template_matching: tuple[TemplateMatch, ...] = Field(
        default=(),
        description="Every template that was looked at, and why it was dropped.",
        json_schema_extra={"maxItems": 256, "x-kubernetes-list-type": "atomic"},
    )


class AIMService(View):
    """A user's wish to serve a model."""

    spec: ServiceSpec = Field(description="What to serve, and how.")
    status: ServiceStatus = Field(default=ServiceStatus(), description="How far the service is.")


SERVICES = Kind(
    "AIMService",
    "aimservices",
    ("aimsvc",),
    True,
    AIMService,
    (
        Column("Status", "string", ".status.status", "State of the service."),
        Column(
            "Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', "Why it is in this state."
        ),
        Column("Model", "string", ".status.resolvedImage.name", "The model that is served."),
        Column("Template", "string", ".status.resolvedTemplate.name", "The template in use."),
        Column("Replicas", "integer", ".spec.replicas", "Wanted inference pods.", 1),
        Column(
            "Message",
            "string",
            '.status.conditions[?(@.type=="Ready")].message',
            "The reason in a sentence.",
            1,
        ),
        age_column(),
    ),
)
