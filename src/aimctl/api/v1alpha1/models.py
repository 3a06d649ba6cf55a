"""AIMModel and AIMClusterModel: the name of a model, and the container image that serves it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import ConfigDict, Field

from aimctl.api.v1alpha1.common import (
    ATOMIC,
    Conditions,
    EnvList,
    Image,
    Int32,
    Int64,
    ObjectName,
    PullSecretList,
    ResolvedReference,
    ResourceRequirements,
    Time,
    constant,
)
from aimctl.api.v1alpha1.meta import KindView, View, kind
from aimctl.generation import AGE_COLUMN, PrinterColumn

__all__ = [
    "CLUSTER_MODELS",
    "MODELS",
    "AIMClusterModel",
    "AIMModel",
    "ImageMetadata",
    "ModelDiscovery",
    "ModelSpec",
    "ModelState",
    "ModelStatus",
    "OciMetadata",
    "RecommendedDeployment",
]


class ModelState(StrEnum):
    """Values of ``status.status``."""

    PENDING = "Pending"
    PROGRESSING = "Progressing"
    READY = "Ready"
    NOT_AVAILABLE = "NotAvailable"
    DEGRADED = "Degraded"
    FAILED = "Failed"


class ModelDiscovery(View):
    """Whether the labels of the image are read, and how they are used."""

    enabled: bool | None = Field(
        None,
        description="Read the image's metadata from its registry. When absent, the runtime config's"
        " model.autoDiscovery decides, which defaults to true.",
    )
    auto_create_templates: bool = Field(
        default=True,
        description="Create a template of the model's scope for each deployment that the image recommends."
        " Existing templates are never changed or deleted.",
    )


class ModelSpec(View):
    """The specification of a model."""

    image: Image = Field(
        description="Container image of the model, such as ghcr.io/silogen/aim-llama-3-8b:0.3. When it"
        " changes, the templates of the model are discovered again."
    )
    discovery: ModelDiscovery | None = Field(
        None,
        description="Settings for reading the image's metadata. When absent, the runtime config decides"
        " whether it is read.",
    )
    default_service_template: ObjectName | None = Field(
        None,
        description="Template that services of this model use if they do not name one and it exists: an"
        " AIMServiceTemplate of their namespace, otherwise an AIMClusterServiceTemplate.",
    )
    runtime_config_name: ObjectName = Field(
        "default",
        description="Name of the AIMRuntimeConfig in the model's namespace (for cluster models the operator"
        " namespace), otherwise of the AIMClusterRuntimeConfig. Only the one named default may be missing.",
    )
    image_pull_secrets: PullSecretList = Field(
        default=(),
        description="Secrets for pulling the image and reading its metadata. They must exist in the model's"
        " namespace; those of cluster models in the operator namespace, and for inference in the namespace of"
        " the service.",
    )
    service_account_name: ObjectName | None = Field(
        None,
        description="Service account of discovery Jobs and inference pods, if neither template nor service"
        " name one; the default of the namespace when absent.",
    )
    resources: ResourceRequirements | None = Field(
        None,
        description="Container resources of inference pods; those of templates and services override them.",
    )
    env: EnvList = Field(
        default=(),
        description="Environment variables of discovery and of inference pods, but not of downloads; they"
        " override those of the runtime config.",
    )


class RecommendedDeployment(View):
    """One way to run the model, recommended by its publisher."""

    gpu_model: str | None = Field(None, description="GPU type.", json_schema_extra={"maxLength": 63})
    gpu_count: Int32 | None = Field(None, description="GPUs per replica.", json_schema_extra={"minimum": 0})
    precision: str | None = Field(None, description="Numeric precision.", json_schema_extra={"maxLength": 63})
    metric: str | None = Field(None, description="Optimization goal.", json_schema_extra={"maxLength": 63})
    profile_id: str | None = Field(
        None, description="Identifier of the profile in the image.", json_schema_extra={"maxLength": 512}
    )
    description: str | None = Field(
        None, description="Description by the publisher.", json_schema_extra={"maxLength": 4096}
    )


class OciMetadata(View):
    """The org.opencontainers.image labels of the image."""

    title: str | None = Field(
        None, description="Human-readable title.", json_schema_extra={"maxLength": 4096}
    )
    description: str | None = Field(
        None, description="Description of the image.", json_schema_extra={"maxLength": 16384}
    )
    licenses: str | None = Field(
        None, description="Licences as an SPDX expression.", json_schema_extra={"maxLength": 4096}
    )
    vendor: str | None = Field(
        None, description="Distributor of the image.", json_schema_extra={"maxLength": 4096}
    )
    authors: str | None = Field(
        None, description="Authors or contacts of the image.", json_schema_extra={"maxLength": 4096}
    )
    source: str | None = Field(
        None, description="URL of the source code.", json_schema_extra={"maxLength": 4096}
    )
    documentation: str | None = Field(
        None, description="URL of the documentation.", json_schema_extra={"maxLength": 4096}
    )
    created: str | None = Field(None, description="Time of the build.", json_schema_extra={"maxLength": 64})
    revision: str | None = Field(
        None, description="Revision of the source code.", json_schema_extra={"maxLength": 512}
    )
    version: str | None = Field(
        None, description="Version of the packaged software.", json_schema_extra={"maxLength": 512}
    )


class ImageMetadata(View):
    """Metadata from the labels of the image."""

    model_config = ConfigDict(json_schema_extra=ATOMIC)

    image: str | None = Field(
        None, description="Image whose metadata was read.", json_schema_extra={"maxLength": 512}
    )
    digest: str | None = Field(
        None, description="Digest of the image's manifest.", json_schema_extra={"maxLength": 256}
    )
    canonical_name: str | None = Field(
        None,
        description="Canonical name of the model, such as meta-llama/Llama-3.1-8B-Instruct.",
        json_schema_extra={"maxLength": 512},
    )
    recommended_deployments: tuple[RecommendedDeployment, ...] = Field(
        default=(),
        description="Deployments that the image recommends.",
        json_schema_extra={"maxItems": 256, "x-kubernetes-list-type": "atomic"},
    )
    oci: OciMetadata | None = Field(None, description="General OCI labels of the image.")
    input_hash: str | None = Field(
        None,
        description="Hash of the image, the pull secrets and the rediscover annotation. The metadata is read"
        " again when it changes.",
        json_schema_extra={"maxLength": 64},
    )
    extracted_at: Time | None = Field(None, description="Time at which the metadata was read.")


class ModelStatus(View):
    """The observed state of a model."""

    observed_generation: Int64 = Field(0, description="Most recent generation observed.")
    status: str = Field(
        "",
        description="State of the model, computed from the states of its templates.",
        json_schema_extra=constant(*ModelState),
    )
    conditions: Conditions = Field(
        default=(),
        description="Conditions: RuntimeResolved, MetadataExtracted, TemplatesAutoGenerated, Ready.",
    )
    resolved_runtime_config: ResolvedReference | None = Field(
        None, description="The runtime config that is used."
    )
    image_metadata: ImageMetadata | None = Field(None, description="Metadata from the labels of the image.")


class AIMModel(KindView):
    """An AIM model of one namespace: a name for a container image and how to run it."""

    spec: ModelSpec = Field(description="The specification of the model.")
    status: ModelStatus = Field(default=ModelStatus(), description="The observed state of the model.")


class AIMClusterModel(KindView):
    """An AIM model for the whole cluster: a name for a container image and how to run it."""

    spec: ModelSpec = Field(description="The specification of the model.")
    status: ModelStatus = Field(default=ModelStatus(), description="The observed state of the model.")


_COLUMNS = (
    PrinterColumn("Status", "string", ".status.status", "State of the model."),
    PrinterColumn(
        "Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', "Reason for the state."
    ),
    PrinterColumn("Image", "string", ".spec.image", "Container image."),
    PrinterColumn(
        "Model", "string", ".status.imageMetadata.canonicalName", "Canonical name of the model.", 1
    ),
    AGE_COLUMN,
)

MODELS = kind(AIMModel, "aimmodels", ("aimmdl",), columns=_COLUMNS)
CLUSTER_MODELS = kind(AIMClusterModel, "aimclustermodels", ("aimclmdl",), namespaced=False, columns=_COLUMNS)
