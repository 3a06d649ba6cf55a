"""Types that several kinds use: names, quantities, environment variables, conditions, references."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from aimctl.api.v1alpha1.meta import View

__all__ = [
    "Condition",
    "ConfigMapKeySelector",
    "EnvVar",
    "EnvVarSource",
    "GpuSelector",
    "LocalObjectReference",
    "Metric",
    "ModelSource",
    "ObjectFieldSelector",
    "Precision",
    "Quantity",
    "ResolvedReference",
    "ResourceRequirements",
    "Scope",
    "SecretKeySelector",
    "StatusModelSource",
    "constant",
    "list_map",
]

DNS1123_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
"""Name of most Kubernetes objects: an RFC 1123 subdomain of at most 253 characters."""

QUANTITY = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
SIZE = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[kMGTPE]|[eE][0-9]+)?$"
SOURCE_URI = r"^(hf|s3)://[^ \t\r\n]+$"


def list_map(key: str, max_items: int) -> dict[str, Any]:
    """Return the schema keywords of a list whose entries are identified by ``key``."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key], "maxItems": max_items}


def constant(*values: str) -> dict[str, Any]:
    """Return the schema keyword of a string that has one of these values. It is read as a plain string."""
    return {"enum": list(values)}


ATOMIC: dict[str, Any] = {"x-kubernetes-map-type": "atomic"}
"""Schema keyword of an object that one writer sets as a whole. Parts of a status that can be removed need it:
kube-apiserver 1.20 stores null for an object if server-side apply removes all its fields.
"""

ObjectName = Annotated[
    str, Field(json_schema_extra={"minLength": 1, "maxLength": 253, "pattern": DNS1123_SUBDOMAIN})
]
Image = Annotated[str, Field(json_schema_extra={"minLength": 1, "maxLength": 512, "pattern": "^[!-~]+$"})]
SourceURI = Annotated[str, Field(json_schema_extra={"maxLength": 2048, "pattern": SOURCE_URI})]
Quantity = Annotated[
    str,
    Field(coerce_numbers_to_str=True),
    Field(json_schema_extra={"x-kubernetes-int-or-string": True, "pattern": QUANTITY, "maxLength": 64}),
]
Size = Annotated[
    str,
    Field(coerce_numbers_to_str=True),
    Field(json_schema_extra={"x-kubernetes-int-or-string": True, "pattern": SIZE, "maxLength": 64}),
]
Int32 = Annotated[int, Field(json_schema_extra={"format": "int32"})]
Int64 = Annotated[int, Field(json_schema_extra={"format": "int64"})]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Scope(StrEnum):
    """Scope of a resolved object."""

    NAMESPACE = "Namespace"
    CLUSTER = "Cluster"


class Metric(StrEnum):
    """Optimization goals."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"


class Precision(StrEnum):
    """Numeric precisions."""

    AUTO = "auto"
    FP4 = "fp4"
    FP8 = "fp8"
    FP16 = "fp16"
    FP32 = "fp32"
    BF16 = "bf16"
    INT4 = "int4"
    INT8 = "int8"


class GpuSelector(View):
    """GPUs that one replica needs."""

    count: Int32 | None = Field(
        None,
        description="Number of GPUs per replica.",
        json_schema_extra={"minimum": 1, "maximum": 1024},
    )
    model: str | None = Field(
        None,
        description="GPU type, such as MI300X or MI325X.",
        json_schema_extra={
            "minLength": 1,
            "maxLength": 63,
            "pattern": "^[A-Za-z0-9]([-A-Za-z0-9_. ]*[A-Za-z0-9])?$",
        },
    )


class LocalObjectReference(View):
    """A reference to an object in the same namespace."""

    name: ObjectName = Field(description="Name of the object.")


class SecretKeySelector(View):
    """One key of a Secret."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: str = Field(
        description="Key in the Secret's data.", json_schema_extra={"minLength": 1, "maxLength": 253}
    )
    optional: bool | None = Field(None, description="Whether the Secret or the key may be missing.")


class ConfigMapKeySelector(View):
    """One key of a ConfigMap."""

    name: ObjectName = Field(description="Name of the ConfigMap.")
    key: str = Field(
        description="Key in the ConfigMap's data.", json_schema_extra={"minLength": 1, "maxLength": 253}
    )
    optional: bool | None = Field(None, description="Whether the ConfigMap or the key may be missing.")


class ObjectFieldSelector(View):
    """One field of the pod."""

    api_version: str | None = Field(
        None,
        description="API version of the path; v1 when absent.",
        json_schema_extra={"maxLength": 64},
    )
    field_path: str = Field(
        description="Path of the field, such as metadata.name.",
        json_schema_extra={"minLength": 1, "maxLength": 253},
    )


class EnvVarSource(View):
    """The source of a variable's value; exactly one field is set."""

    secret_key_ref: SecretKeySelector | None = Field(
        None,
        description="Take the value from a key of a Secret in the same namespace.",
        json_schema_extra=ATOMIC,
    )
    config_map_key_ref: ConfigMapKeySelector | None = Field(
        None,
        description="Take the value from a key of a ConfigMap in the same namespace.",
        json_schema_extra=ATOMIC,
    )
    field_ref: ObjectFieldSelector | None = Field(
        None, description="Take the value from a field of the pod.", json_schema_extra=ATOMIC
    )


class EnvVar(View):
    """An environment variable of a container."""

    name: str = Field(
        description="Name of the variable.",
        json_schema_extra={"minLength": 1, "maxLength": 253, "pattern": "^[-._a-zA-Z][-._a-zA-Z0-9]*$"},
    )
    value: str | None = Field(
        None,
        description="Value as plain text; empty when valueFrom is set.",
        json_schema_extra={"maxLength": 32768},
    )
    value_from: EnvVarSource | None = Field(
        None,
        description="Source of the value; cannot be used together with value.",
        json_schema_extra={"minProperties": 1, "maxProperties": 1},
    )


EnvList = Annotated[tuple[EnvVar, ...], Field(json_schema_extra=list_map("name", 256))]
PullSecretList = Annotated[tuple[LocalObjectReference, ...], Field(json_schema_extra=list_map("name", 32))]


class ResourceRequirements(View):
    """Compute resources of a container."""

    limits: dict[str, Quantity] = Field(
        default={},
        description="Upper bound of each resource, such as cpu, memory or amd.com/gpu.",
        json_schema_extra={"maxProperties": 64},
    )
    requests: dict[str, Quantity] = Field(
        default={},
        description="Amount of each resource that a node must have available to run the pod.",
        json_schema_extra={"maxProperties": 64},
    )


class ModelSource(View):
    """An artifact of the model, as specified by the user."""

    name: str = Field(
        description="Name of the source, such as meta-llama/Llama-3.1-8B-Instruct or tokenizer.",
        json_schema_extra={"minLength": 1, "maxLength": 512},
    )
    source_uri: SourceURI = Field(
        alias="sourceURI", description="URI to download it from: hf:// (Hugging Face Hub) or s3://."
    )
    size: Size = Field(description="Expected size as a quantity, such as 16Gi.")


class StatusModelSource(View):
    """An artifact of the model, from discovery or from the spec."""

    name: str = Field(description="Name of the source.", json_schema_extra={"maxLength": 512})
    source: SourceURI = Field(description="URI to download it from: hf:// or s3://.")
    size_bytes: Int64 = Field(0, description="Expected size in bytes.", json_schema_extra={"minimum": 0})


class ResolvedReference(View):
    """The object that a reference was resolved to."""

    model_config = ConfigDict(json_schema_extra=ATOMIC)

    kind: str = Field("", description="Kind of the object.", json_schema_extra={"maxLength": 63})
    name: str = Field(description="Name of the object.", json_schema_extra={"maxLength": 253})
    namespace: str | None = Field(
        None,
        description="Namespace of the object; absent for cluster-scoped ones.",
        json_schema_extra={"maxLength": 63},
    )
    scope: str = Field(
        "",
        description="Namespace or Cluster.",
        json_schema_extra=constant(*Scope),
    )
    uid: str = Field("", description="UID of the object.", json_schema_extra={"maxLength": 128})


ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(View):
    """One aspect of the state of an object."""

    type: str = Field(
        description="Name of the condition, unique in the list.",
        json_schema_extra={
            "minLength": 1,
            "maxLength": 316,
            "pattern": r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$",
        },
    )
    status: ConditionStatus = Field(description="Status of the condition: True, False or Unknown.")
    reason: str = Field(
        "",
        description="Reason for the status, as one CamelCase word for programs.",
        json_schema_extra={
            "minLength": 1,
            "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        },
    )
    message: str = Field(
        "", description="Reason for the status, as text for people.", json_schema_extra={"maxLength": 32768}
    )
    last_transition_time: Time = Field("", description="Time of the last change of status.")
    observed_generation: Int64 = Field(
        0,
        description="Generation of the spec that the condition is based on.",
        json_schema_extra={"minimum": 0},
    )


Conditions = Annotated[tuple[Condition, ...], Field(json_schema_extra=list_map("type", 32))]
