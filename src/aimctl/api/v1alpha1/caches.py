"""AIMTemplateCache and AIMModelCache: which models should be on a namespace's volumes, and which are."""

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
from aimctl.api.v1alpha1.meta import Column, Kind, View, age_column, rules

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
"""KServe's downloader: takes a source URI (hf:// or s3://) and a folder."""


class CacheState(StrEnum):
    """Values of ``status.status``."""

    PENDING = "Pending"
    PROGRESSING = "Progressing"
    AVAILABLE = "Available"
    FAILED = "Failed"


class DownloadProgress(View):
    """How much has arrived."""

    model_config = ConfigDict(json_schema_extra=ATOMIC)

    downloaded_bytes: Int64 = Field(0, description="Bytes on the volume.", json_schema_extra={"minimum": 0})
    total_bytes: Int64 = Field(0, description="Bytes expected in all.", json_schema_extra={"minimum": 0})
    percent: Int32 = Field(
        0,
        description="Share of the expected bytes, rounded down; 100 only when the download is complete.",
        json_schema_extra={"minimum": 0, "maximum": 100},
    )
    updated_at: Time | None = Field(None, description="When this was measured.")


class TemplateCacheSpec(View):
    """Which template to cache."""

    template_ref: ObjectName = Field(
        description="Name of the AIMServiceTemplate in this namespace, else of the"
        " AIMClusterServiceTemplate, to cache."
    )
    storage_class_name: ObjectName | None = Field(
        None, description="Storage class of the cache volumes; the runtime config's when absent."
    )
    runtime_config_name: ObjectName = Field("default", description="Runtime config for storage defaults.")
    env: EnvList = Field(
        default=(), description="Environment variables of the download Jobs, typically authentication tokens."
    )
    image_pull_secrets: PullSecretList = Field(
        default=(), description="Secrets for pulling the download image."
    )


class CachedModel(View):
    """One model cache that a template cache uses."""

    name: str = Field("", description="Name of the model source.", json_schema_extra={"maxLength": 512})
    source: SourceURI = Field("", description="Where it is downloaded from.")
    model_cache: str = Field(
        "", description="Name of the AIMModelCache.", json_schema_extra={"maxLength": 253}
    )
    status: str = Field(
        "", description="State of the AIMModelCache.", json_schema_extra=constant(*CacheState)
    )
    persistent_volume_claim: str | None = Field(
        None, description="Name of its volume claim.", json_schema_extra={"maxLength": 253}
    )


class TemplateCacheStatus(View):
    """How far the caching is."""

    observed_generation: Int64 = Field(0, description="Most recent generation observed.")
    status: str = Field(
        "",
        description="State: Pending, Progressing, Available or Failed.",
        json_schema_extra=constant(*CacheState),
    )
    conditions: Conditions = Field(
        default=(), description="Details: Resolved, CacheWarm, Ready, Progressing, Failure."
    )
    resolved_template: ResolvedReference | None = Field(None, description="The template that is cached.")
    resolved_runtime_config: ResolvedReference | None = Field(
        None, description="The runtime config in force."
    )
    models: tuple[CachedModel, ...] = Field(
        default=(),
        description="The model caches in use, one for each source.",
        json_schema_extra={"maxItems": 256, "x-kubernetes-list-type": "atomic"},
    )
    progress: DownloadProgress | None = Field(None, description="How much of all sources has arrived.")


class AIMTemplateCache(View):
    """The wish to have all model sources of a template on this namespace's volumes."""

    spec: TemplateCacheSpec = Field(description="Which template to cache.")
    status: TemplateCacheStatus = Field(default=TemplateCacheStatus(), description="How far the caching is.")


class ModelCacheSpec(View):
    """What to download."""

    model_config = ConfigDict(
        json_schema_extra=dict(rules(("self.sourceURI == oldSelf.sourceURI", "spec.sourceURI is immutable")))
    )

    source_uri: SourceURI = Field(
        alias="sourceURI", description="Where to download from: hf:// or s3://. Immutable after creation."
    )
    size: Size = Field(
        description="Expected size as a quantity, such as 16Gi; the volume gets headroom on top."
    )
    storage_class_name: ObjectName | None = Field(
        None, description="Storage class of the volume; the runtime config's when absent."
    )
    runtime_config_name: ObjectName = Field(
        "default", description="Runtime config for storage class and headroom."
    )
    env: EnvList = Field(
        default=(), description="Environment variables of the download Job, typically authentication tokens."
    )
    model_download_image: Image = Field(DEFAULT_DOWNLOAD_IMAGE, description="Image of the download Job.")
    image_pull_secrets: PullSecretList = Field(
        default=(), description="Secrets for pulling the download image."
    )


class DownloadFailure(View):
    """How a download failed."""

    model_config = ConfigDict(json_schema_extra=ATOMIC)

    job_name: str = Field(
        "",
        description="The download Job; its name stands for attempt, volume and input.",
        json_schema_extra={"maxLength": 63},
    )
    reason: str = Field("", description="Cause, as one word.", json_schema_extra={"maxLength": 64})
    message: str = Field(
        "", description="Cause and remedy, as a sentence.", json_schema_extra={"maxLength": 2048}
    )
    finished_at: Time | None = Field(None, description="When it was seen.")
    secret_versions: str | None = Field(
        None,
        description="Stands for the versions of the Secrets it was given, where they may be the cause; when they"
        " change it is tried at once.",
        json_schema_extra={"maxLength": 64},
    )


class CompletedDownload(View):
    """What is known of a download that is complete."""

    model_config = ConfigDict(json_schema_extra=ATOMIC)

    volume_uid: str = Field(
        "", description="UID of the volume claim that holds it.", json_schema_extra={"maxLength": 128}
    )
    finished_at: Time | None = Field(None, description="When it was seen.")


class ModelCacheStatus(View):
    """How far the download is."""

    observed_generation: Int64 = Field(0, description="Most recent generation observed.")
    status: str = Field(
        "",
        description="State: Pending, Progressing, Available or Failed.",
        json_schema_extra=constant(*CacheState),
    )
    conditions: Conditions = Field(
        default=(), description="Details: StorageReady, Ready, Progressing, Failure."
    )
    resolved_runtime_config: ResolvedReference | None = Field(
        None, description="The runtime config in force."
    )
    persistent_volume_claim: str | None = Field(
        None, description="Name of the volume claim.", json_schema_extra={"maxLength": 253}
    )
    failed_downloads: Int32 = Field(
        0, description="Downloads that failed since the last success.", json_schema_extra={"minimum": 0}
    )
    next_download_at: Time | None = Field(
        None, description="When the next download is tried, after a failed one."
    )
    last_failure: DownloadFailure | None = Field(
        None, description="The last download, if it failed; another input or volume is tried at once."
    )
    completed: CompletedDownload | None = Field(
        None, description="The download that is complete; it holds for that one volume."
    )
    progress: DownloadProgress | None = Field(None, description="How much has arrived.")
    last_used: Time | None = Field(None, description="When a service last used the cache.")


class AIMModelCache(View):
    """One model source on one volume, shared by everything in the namespace that needs it."""

    spec: ModelCacheSpec = Field(description="What to download.")
    status: ModelCacheStatus = Field(default=ModelCacheStatus(), description="How far the download is.")


def _reason(condition: str) -> Column:
    return Column(
        "Reason", "string", f'.status.conditions[?(@.type=="{condition}")].reason', "Why it is in this state."
    )


TEMPLATE_CACHES = Kind(
    "AIMTemplateCache",
    "aimtemplatecaches",
    ("aimtc",),
    True,
    AIMTemplateCache,
    (
        Column("Template", "string", ".spec.templateRef", "The template to cache."),
        Column("Status", "string", ".status.status", "State of the cache."),
        _reason("Ready"),
        Column("Percent", "integer", ".status.progress.percent", "How much of it has arrived."),
        Column("Scope", "string", ".status.resolvedTemplate.scope", "Scope of the template.", 1),
        age_column(),
    ),
)
MODEL_CACHES = Kind(
    "AIMModelCache",
    "aimmodelcaches",
    ("aimmc",),
    True,
    AIMModelCache,
    (
        Column("Source", "string", ".spec.sourceURI", "Where it is downloaded from."),
        Column("Size", "string", ".spec.size", "Expected size."),
        Column("Status", "string", ".status.status", "State of the cache."),
        _reason("Ready"),
        Column("Percent", "integer", ".status.progress.percent", "How much of it has arrived."),
        Column("PVC", "string", ".status.persistentVolumeClaim", "The volume claim.", 1),
        age_column(),
    ),
)
