"""The discovery Job: what it runs, and the hash of everything that shapes it.

Contract:
    * :func:`discovery_input` gathers what shapes the pod. Its ``hash`` changes exactly when discovery
      has to run again; it says nothing about when or where the Job runs.
    * :func:`manifest` is the Job as JSON, the same for the same input; its pod passes the ``restricted`` Pod
      Security Standard.
    * The Job's name follows from kind, namespace, name and UID of the template and from the hash, so two
      templates never share a Job, and a template made anew does not meet its predecessor's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import API_VERSION, EnvVar, ModelSpec, RuntimeConfigSpec, ServiceTemplateSpec
from aimctl.domain.hashing import canonical_json, digest
from aimctl.domain.labels import propagated
from aimctl.domain.naming import (
    DISCOVERY,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_TEMPLATE,
    MANAGED_BY,
    TEMPLATE_ANNOTATION,
    discovery_job_name,
    label_value,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.api.v1alpha1 import TemplateSpec

__all__ = [
    "ACTIVE_DEADLINE_SECONDS",
    "BACKOFF_LIMIT",
    "COMPONENT",
    "CONTAINER",
    "REDISCOVER_ANNOTATION",
    "TTL_SECONDS_AFTER_FINISHED",
    "DiscoveryInput",
    "TemplateIdentity",
    "discovery_input",
    "job_name",
    "manifest",
    "merge_env",
    "merge_pull_secrets",
    "profile_env",
]

REDISCOVER_ANNOTATION = "aim.silogen.ai/rediscover"
"""On a template: any new value, such as a timestamp, asks for one more discovery."""

COMPONENT = DISCOVERY
"""Value of the label by which discovery Jobs and their pods are watched."""

CONTAINER = "discovery"
"""Name of the container whose output counts."""

BACKOFF_LIMIT = 3
"""Attempts that may fail before the Job does."""

TTL_SECONDS_AFTER_FINISHED = 6 * 3600
"""Finished Jobs and their logs go after six hours: longer than any restart of the operator, so results are
kept in status long before."""

ACTIVE_DEADLINE_SECONDS = 15 * 60
"""A dry run takes seconds; a Job that is neither done nor failed after this holds a slot for nothing."""

NON_ROOT_USER = 65532
"""A dry run needs no rights, and images often name no user at all: without this they would not start."""

_QUIET = tuple({"name": name, "value": "CRITICAL"} for name in ("AIM_LOG_LEVEL", "AIM_LOG_LEVEL_ROOT"))
"""Anything less severe would mix log lines into the output."""

_RESOURCES: Mapping[str, Mapping[str, str]] = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "2", "memory": "4Gi"},
}
"""A dry run reads metadata and loads no weights: no GPU, and not the resources of inference."""


@final
@dataclass(frozen=True, slots=True)
class TemplateIdentity:
    """Which template: what its metadata says.

    Attributes:
        kind: AIMServiceTemplate or AIMClusterServiceTemplate.
        namespace: "" for cluster templates.
        rediscover: the value of :data:`REDISCOVER_ANNOTATION`, "" without one.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool = False
    rediscover: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True)
class DiscoveryInput:
    """What shapes a discovery pod, and where it runs.

    Attributes:
        namespace: where the Job runs: the template's, for cluster templates the operator's.
        hash: SHA-256 over everything here but the labels, and the rediscover annotation.
        labels: of the template, to be copied to Job and pod. They say nothing about what runs, so a changed one asks
            for no further discovery.
    """

    namespace: str
    image: str
    env: tuple[dict[str, Any], ...]
    pull_secrets: tuple[str, ...]
    service_account: str
    hash: str
    labels: Mapping[str, str] = field(default_factory=dict)


def discovery_input(
    template: TemplateIdentity,
    spec: TemplateSpec,
    model: ModelSpec,
    runtime_config: RuntimeConfigSpec,
    *,
    operator_namespace: str,
) -> DiscoveryInput:
    """Gather what shapes the pod.

    Env: what the operator says, then the runtime config's, the model's and the template's; the later wins.
    Pull secrets: the template's, then the model's, each once. Service account: the template's, else the
    model's.
    """
    namespace = template.namespace or operator_namespace
    own = spec.env if isinstance(spec, ServiceTemplateSpec) else ()
    env = merge_env(profile_env(spec), _QUIET, _env(runtime_config.env), _env(model.env), _env(own))
    secrets = merge_pull_secrets(
        (item.name for item in spec.image_pull_secrets), (item.name for item in model.image_pull_secrets)
    )
    account = spec.service_account_name or model.service_account_name or ""
    shape = {
        "scope": "Namespace" if template.namespace else "Cluster",
        "namespace": namespace,
        "image": model.image,
        "env": env,
        "pullSecrets": secrets,
        "serviceAccount": account,
        "rediscover": template.rediscover,
    }
    labels = propagated(template.labels, runtime_config)
    return DiscoveryInput(namespace, model.image, env, secrets, account, digest(shape), labels)


def job_name(template: TemplateIdentity, input_hash: str) -> str:
    """``discover-<template>-<hash>``."""
    identity = canonical_json([template.kind, template.namespace, template.name, template.uid, input_hash])
    return discovery_job_name(template.name, identity.decode())


def manifest(template: TemplateIdentity, input_: DiscoveryInput) -> dict[str, Any]:
    """The Job, ready to be created."""
    labels = {
        **input_.labels,
        LABEL_TEMPLATE: label_value(template.name),
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_COMPONENT: COMPONENT,
    }
    annotations = {TEMPLATE_ANNOTATION: template.name}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        # the pod reads no Kubernetes objects; a service account is there for pull secrets and cloud identity
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NON_ROOT_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": CONTAINER,
                "image": input_.image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["dry-run", "--format=json"],
                "env": list(input_.env),
                "resources": _RESOURCES,
                # the end of the log then stands in the pod's status: why an attempt failed is seen at once
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            }
        ],
    }
    if input_.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in input_.pull_secrets]
    if input_.service_account:
        pod["serviceAccountName"] = input_.service_account
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(template, input_.hash),
            "namespace": input_.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": template.kind,
                    "name": template.name,
                    "uid": template.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "backoffLimit": BACKOFF_LIMIT,
            "activeDeadlineSeconds": ACTIVE_DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": TTL_SECONDS_AFTER_FINISHED,
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
        },
    }


def merge_env(*layers: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Variables of all layers, a later layer replacing one of the same name in its place."""
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for item in layer:
            merged[item["name"]] = item
    return tuple(merged.values())


def merge_pull_secrets(*layers: Iterable[str]) -> tuple[str, ...]:
    """Names of all layers in order, each once."""
    return tuple(dict.fromkeys(name for layer in layers for name in layer))


def profile_env(spec: TemplateSpec) -> tuple[dict[str, Any], ...]:
    """The variables that tell the container which profile is wanted; what the template does not say is absent."""
    gpu = spec.gpu_selector
    values = {
        "AIM_METRIC": spec.metric,
        "AIM_PRECISION": spec.precision,
        "AIM_GPU_MODEL": gpu.model if gpu else None,
        "AIM_GPU_COUNT": gpu.count if gpu else None,
    }
    return tuple({"name": name, "value": str(value)} for name, value in values.items() if value is not None)


def _env(items: Iterable[EnvVar]) -> list[dict[str, Any]]:
    return [item.to_json() for item in items]
