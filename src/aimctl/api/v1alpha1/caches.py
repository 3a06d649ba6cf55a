"""AIMTemplateCache and AIMModelCache: model sources that are requested, or downloaded, in a namespace."""

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
    Size,
    SourceURI,
    Time,
    constant,
)
from aimctl.api.v1alpha1.meta import KindView, View, kind
from aimctl.generation import AGE_COLUMN, PrinterColumn, cel_rules

__all__ = [
    "DEFAULT_DOWNLOAD_IMAGE",
    "MODEL_CACHES",
    "TEMPLATE_CACHES",
    "AIMModelCache",
    "AIMTemplateCache",
    "CacheState",
    "CachedModel",
    "CompletedDownload",
    "DownloadFailure",
    "DownloadProgress",
    "ModelCacheSpec",
    "ModelCacheStatus",
    "TemplateCacheSpec",
    "TemplateCacheStatus",
]

DEFAULT_DOWNLOAD_IMAGE = "kserve/storage-initializer:v0.16.0"
"""KServe's downloader. It has a Python with huggingface_hub and boto3, which the program of the download Job uses."""


class CacheState(StrEnum):
    """Values of ``status.status``."""

    PENDING = "Pending"
    PROGRESSING = "Progressing"
    AVAILABLE = "Available"
    FAILED = "Failed"


class DownloadProgress(View):
    """Progress of a download."""

    model_config = ConfigDict(json_schema_extra=ATOMIC)

    downloaded_bytes: Int64 = Field(
        0,
        description="Bytes on the volume; after the download, the bytes of all verified files.",
        json_schema_extra={"minimum": 0},
    )
    total_bytes: Int64 = Field(0, description="Total number of bytes.", json_schema_extra={"minimum": 0})
    percent: Int32 = Field(
        0,
        description="Percentage of the total, rounded down; 100 only when the download is complete.",
        json_schema_extra={"minimum": 0, "maximum": 100},
    )
    updated_at: Time | None = Field(None, description="Time of the measurement.")


class TemplateCacheSpec(View):
    """The specification of a template cache."""

    template_ref: ObjectName = Field(
        description="Name of the AIMServiceTemplate in this namespace, otherwise of the"
        " AIMClusterServiceTemplate, to cache."
    )
    storage_class_name: ObjectName | None = Field(
        None,
        description="Storage class of new cache volumes; that of the runtime config when absent, otherwise"
        " the cluster's default.",
    )
    runtime_config_name: ObjectName = Field(
        "default",
        description="Name of the AIMRuntimeConfig in this namespace, otherwise of the"
        " AIMClusterRuntimeConfig: storage class, headroom and environment of the downloads. Only the one"
        " named default may be missing.",
    )
    env: EnvList = Field(
        default=(), description="Environment variables of the download Jobs, typically authentication tokens."
    )
    image_pull_secrets: PullSecretList = Field(
        default=(), description="Secrets for pulling the download image."
    )


class CachedModel(View):
    """A model cache that a template cache uses."""

    name: str = Field("", description="Name of the model source.", json_schema_extra={"maxLength": 512})
    source: SourceURI = Field("", description="URI that it is downloaded from.")
    model_cache: str = Field(
        "", description="Name of the AIMModelCache.", json_schema_extra={"maxLength": 253}
    )
    status: str = Field(
        "", description="State of the AIMModelCache.", json_schema_extra=constant(*CacheState)
    )
    persistent_volume_claim: str | None = Field(
        None, description="Name of its PersistentVolumeClaim.", json_schema_extra={"maxLength": 253}
    )


class TemplateCacheStatus(View):
    """The observed state of a template cache."""

    observed_generation: Int64 = Field(0, description="Most recent generation observed.")
    status: str = Field(
        "",
        description="State: Pending, Progressing, Available or Failed.",
        json_schema_extra=constant(*CacheState),
    )
    conditions: Conditions = Field(
        default=(), description="Conditions: Resolved, CacheWarm, Ready, Progressing, Failure."
    )
    resolved_template: ResolvedReference | None = Field(None, description="The template that is cached.")
    resolved_runtime_config: ResolvedReference | None = Field(
        None, description="The runtime config that is used."
    )
    models: tuple[CachedModel, ...] = Field(
        default=(),
        description="The model caches that are used, one for each source.",
        json_schema_extra={"maxItems": 256, "x-kubernetes-list-type": "atomic"},
    )
    progress: DownloadProgress | None = Field(None, description="Progress of all downloads together.")


class AIMTemplateCache(KindView):
    """A request to download all model sources of a template to volumes of this namespace."""

    spec: TemplateCacheSpec = Field(description="The specification of the template cache.")
    status: TemplateCacheStatus = Field(
        default=TemplateCacheStatus(), description="The observed state of the template cache."
    )


class ModelCacheSpec(View):
    """The specification of a model cache."""

    model_config = ConfigDict(
        json_schema_extra=cel_rules(
            ("self.sourceURI == oldSelf.sourceURI", "spec.sourceURI is immutable; create a new model cache")
        )
    )

    source_uri: SourceURI = Field(
        alias="sourceURI", description="URI to download from: hf:// or s3://. Immutable after creation."
    )
    size: Size = Field(
        description="Expected size as a quantity, such as 16Gi; the volume is larger by the headroom. An"
        " existing volume does not change with it."
    )
    storage_class_name: ObjectName | None = Field(
        None,
        description="Storage class of the volume; that of the runtime config when absent, otherwise the"
        " cluster's default. An existing volume does not change with it.",
    )
    runtime_config_name: ObjectName = Field(
        "default",
        description="Name of the AIMRuntimeConfig in this namespace, otherwise of the"
        " AIMClusterRuntimeConfig: storage class, headroom and environment of the download. Only the one"
        " named default may be missing.",
    )
    env: EnvList = Field(
        default=(), description="Environment variables of the download Job, typically authentication tokens."
    )
    model_download_image: Image = Field(
        DEFAULT_DOWNLOAD_IMAGE,
        description="Image of the download Job: with Python, and huggingface_hub for hf:// or boto3 for"
        " s3://.",
    )
    image_pull_secrets: PullSecretList = Field(
        default=(), description="Secrets for pulling the download image."
    )


class DownloadFailure(View):
    """The failure of a download."""

    model_config = ConfigDict(json_schema_extra=ATOMIC)

    job_name: str = Field(
        "",
        description="Name of the download Job, which identifies attempt, volume and input.",
        json_schema_extra={"maxLength": 63},
    )
    reason: str = Field("", description="Cause, as one CamelCase word.", json_schema_extra={"maxLength": 64})
    message: str = Field("", description="Cause and remedy, as text.", json_schema_extra={"maxLength": 2048})
    finished_at: Time | None = Field(None, description="Time at which the operator observed it.")
    references: str = Field(
        "",
        description="Hash of the versions of the Secrets and ConfigMaps that the pod refers to, after several"
        " failures. When one of them changes, the download is tried again before nextDownloadAt.",
        json_schema_extra={"maxLength": 64},
    )


class CompletedDownload(View):
    """A completed download."""

    model_config = ConfigDict(json_schema_extra=ATOMIC)

    volume_uid: str = Field(
        "",
        description="UID of the PersistentVolumeClaim that contains it.",
        json_schema_extra={"maxLength": 128},
    )
    finished_at: Time | None = Field(None, description="Time at which the operator observed it.")


class ModelCacheStatus(View):
    """The observed state of a model cache."""

    observed_generation: Int64 = Field(0, description="Most recent generation observed.")
    status: str = Field(
        "",
        description="State: Pending, Progressing, Available or Failed.",
        json_schema_extra=constant(*CacheState),
    )
    conditions: Conditions = Field(
        default=(), description="Conditions: StorageReady, Ready, Progressing, Failure."
    )
    resolved_runtime_config: ResolvedReference | None = Field(
        None, description="The runtime config that is used."
    )
    persistent_volume_claim: str | None = Field(
        None, description="Name of the PersistentVolumeClaim.", json_schema_extra={"maxLength": 253}
    )
    failed_downloads: Int32 = Field(
        0, description="Number of failed downloads since the last success.", json_schema_extra={"minimum": 0}
    )
    next_download_at: Time | None = Field(None, description="Time of the next download after a failed one.")
    last_failure: DownloadFailure | None = Field(
        None, description="The last download, if it failed. A changed input or volume is tried immediately."
    )
    completed: CompletedDownload | None = Field(
        None, description="The completed download. It applies to that volume only."
    )
    progress: DownloadProgress | None = Field(None, description="Progress of the download.")


class AIMModelCache(KindView):
    """One model source on one volume, shared by everything in the namespace that uses it."""

    spec: ModelCacheSpec = Field(description="The specification of the model cache.")
    status: ModelCacheStatus = Field(
        default=ModelCacheStatus(), description="The observed state of the model cache."
    )


def _reason(condition: str) -> PrinterColumn:
    return PrinterColumn(
        "Reason", "string", f'.status.conditions[?(@.type=="{condition}")].reason', "Reason for the state."
    )


TEMPLATE_CACHES = kind(
    AIMTemplateCache,
    "aimtemplatecaches",
    ("aimtc",),
    columns=(
        PrinterColumn("Status", "string", ".status.status", "State of the cache."),
        _reason("Ready"),
        PrinterColumn("Percent", "integer", ".status.progress.percent", "Progress in percent."),
        PrinterColumn("Template", "string", ".spec.templateRef", "The template to cache.", 1),
        PrinterColumn("Scope", "string", ".status.resolvedTemplate.scope", "Scope of the template.", 1),
        AGE_COLUMN,
    ),
)
MODEL_CACHES = kind(
    AIMModelCache,
    "aimmodelcaches",
    ("aimmc",),
    columns=(
        PrinterColumn("Size", "string", ".spec.size", "Expected size."),
        PrinterColumn("Status", "string", ".status.status", "State of the cache."),
        _reason("Ready"),
        PrinterColumn("Percent", "integer", ".status.progress.percent", "Progress in percent."),
        PrinterColumn("Source", "string", ".spec.sourceURI", "URI that it is downloaded from.", 1),
        PrinterColumn("PVC", "string", ".status.persistentVolumeClaim", "The PersistentVolumeClaim.", 1),
        AGE_COLUMN,
    ),
)
