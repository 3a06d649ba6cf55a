"""The discovery Job, and the hash of everything that determines its pod.

Contract:
    * :func:`discovery_input` gathers what determines the pod. Its ``hash`` changes exactly when discovery has to run
      again.
    * :func:`manifest` returns the Job as JSON, the same for the same input. Its pod passes the ``restricted`` Pod
      Security Standard.
    * The name of the Job is derived from kind, namespace, name and UID of the template and from the hash. So two
      templates never share a Job, and a template that was deleted and created again does not get its predecessor's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import EnvVar, ModelSpec, RuntimeConfigSpec, ServiceTemplateSpec
from aimctl.domain.environment import merge_env
from aimctl.domain.hashing import canonical_json, digest
from aimctl.domain.jobs.disruption import DISRUPTIONS_DO_NOT_COUNT
from aimctl.domain.labels import propagated
from aimctl.domain.naming import (
    DISCOVERY,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_TEMPLATE,
    MANAGED_BY,
    TEMPLATE_ANNOTATION,
    auto_model_name,
    discovery_job_name,
    label_value,
)
from aimctl.kubetypes import owner_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.api.v1alpha1 import TemplateSpec
    from aimctl.domain.templates.template import Template

__all__ = [
    "ACTIVE_DEADLINE_SECONDS",
    "BACKOFF_LIMIT",
    "COMPONENT",
    "CONTAINER",
    "MEMORY_LIMIT",
    "NO_SIDECARS",
    "REDISCOVER_ANNOTATION",
    "TTL_SECONDS_AFTER_FINISHED",
    "DiscoveryInput",
    "discovery_input",
    "job_name",
    "manifest",
    "merge_pull_secrets",
    "profile_env",
]

REDISCOVER_ANNOTATION = "aim.silogen.ai/rediscover"
"""Annotation of a template: a new value, such as a timestamp, requests another discovery."""

COMPONENT = DISCOVERY
"""Value of the label by which discovery Jobs and their pods are selected."""

CONTAINER = "discovery"
"""Name of the container whose output is read."""

BACKOFF_LIMIT = 3
"""Attempts that may fail before the Job fails."""

TTL_SECONDS_AFTER_FINISHED = 6 * 3600
"""Finished Jobs and their logs are removed after six hours. Results are stored in the status long before, even if the
operator is restarted."""

ACTIVE_DEADLINE_SECONDS = 15 * 60
"""A dry run takes seconds. A Job that has not finished after this time only occupies a slot."""

LOST_NODE_SECONDS = 15
"""How long a pod stays on a node that is not ready or does not respond. The default of Kubernetes is five minutes, for
which the pod would occupy a slot. Another pod has the result within seconds."""

TERMINATION_SECONDS = 5
"""A dry run has nothing to save when it is ended."""

NON_ROOT_USER = 65532
"""A dry run needs no privileges. Images often name no user, and would not start without this."""

NO_SIDECARS: Mapping[str, str] = MappingProxyType(
    {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"}
)
"""Labels and annotations that ask the injectors of Istio and Linkerd to skip a pod; a sidecar may never end."""

_QUIET = tuple({"name": name, "value": "CRITICAL"} for name in ("AIM_LOG_LEVEL", "AIM_LOG_LEVEL_ROOT"))
"""Less severe messages would be mixed into the output."""

MEMORY_LIMIT = "4Gi"

_RESOURCES: Mapping[str, Mapping[str, str]] = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "2", "memory": MEMORY_LIMIT},
}
"""A dry run reads metadata and loads no weights, so it needs no GPU and less memory than inference."""


@final
@dataclass(frozen=True, slots=True)
class DiscoveryInput:
    """What determines a discovery pod, and where it runs.

    Attributes:
        namespace: where the Job runs: the namespace of the template, for cluster templates that of the operator.
        hash: SHA-256 of everything here except the labels, and of the rediscover annotation.
        labels: of the template, to be copied to Job and pod. They do not affect what runs, so a changed label does not
            cause another discovery.
    """

    namespace: str
    image: str
    env: tuple[dict[str, Any], ...]
    pull_secrets: tuple[str, ...]
    service_account: str
    hash: str
    labels: Mapping[str, str] = field(default_factory=dict)


def discovery_input(
    template: Template,
    model: ModelSpec,
    runtime_config: RuntimeConfigSpec,
    *,
    operator_namespace: str,
) -> DiscoveryInput:
    """Gather what determines the pod.

    Environment: the operator's variables, then those of runtime config, model and template, merged by
    :func:`~aimctl.domain.environment.merge_env`. A cluster model that was created for a service gets none of the
    runtime config: its image was chosen by a user who may not read the Secrets of the operator namespace. Pull secrets:
    the template's, then the model's, each once. Service account: the template's, otherwise the model's.
    """
    meta, spec = template.meta, template.view.spec
    namespace = meta.namespace or operator_namespace
    own = spec.env if isinstance(spec, ServiceTemplateSpec) else ()
    trusted = bool(meta.namespace) or spec.model_name != auto_model_name(model.image)
    config = _env(runtime_config.env) if trusted else ()
    env = merge_env(profile_env(spec), _QUIET, config, _env(model.env), _env(own))
    secrets = merge_pull_secrets(
        (item.name for item in spec.image_pull_secrets), (item.name for item in model.image_pull_secrets)
    )
    account = spec.service_account_name or model.service_account_name or ""
    shape = {
        "scope": "Namespace" if meta.namespace else "Cluster",
        "namespace": namespace,
        "image": model.image,
        "env": env,
        "pullSecrets": secrets,
        "serviceAccount": account,
        "rediscover": meta.annotations.get(REDISCOVER_ANNOTATION, ""),
    }
    labels = propagated(meta.labels, runtime_config)
    return DiscoveryInput(namespace, model.image, env, secrets, account, digest(shape), labels)


def job_name(template: Template, input_hash: str, attempt: int = 0) -> str:
    """``discover-<template>-<hash>``. ``attempt`` is the number of failed Jobs of this input."""
    kind, meta = template.resource.kind, template.meta
    again = [attempt] if attempt else []
    identity = canonical_json([kind, meta.namespace, meta.name, meta.uid, input_hash, *again])
    return discovery_job_name(meta.name, identity.decode())


def manifest(template: Template, input_: DiscoveryInput, attempt: int = 0) -> dict[str, Any]:
    """The Job, ready to be created. After a failed ``attempt`` it has one pod only, so that its slot is soon free."""
    meta = template.meta
    labels = {
        **input_.labels,
        LABEL_TEMPLATE: label_value(meta.name),
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_COMPONENT: COMPONENT,
    }
    annotations = {TEMPLATE_ANNOTATION: meta.name}
    pod_metadata = {"labels": {**labels, **NO_SIDECARS}, "annotations": {**annotations, **NO_SIDECARS}}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        # The pod reads no Kubernetes objects. Its service account is for pull secrets and cloud identity.
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": TERMINATION_SECONDS,
        "tolerations": [
            {
                "key": f"node.kubernetes.io/{state}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": LOST_NODE_SECONDS,
            }
            for state in ("not-ready", "unreachable")
        ],
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
                # The pod's status then has the end of the log, so the cause of a failed attempt is visible at once.
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
            "name": job_name(template, input_.hash, attempt),
            "namespace": input_.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner_reference(template)],
        },
        "spec": {
            "backoffLimit": 0 if attempt else BACKOFF_LIMIT,
            "podFailurePolicy": DISRUPTIONS_DO_NOT_COUNT,
            "activeDeadlineSeconds": ACTIVE_DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": TTL_SECONDS_AFTER_FINISHED,
            "template": {"metadata": pod_metadata, "spec": pod},
        },
    }


def merge_pull_secrets(*layers: Iterable[str]) -> tuple[str, ...]:
    """The names of all layers in order, each once."""
    return tuple(dict.fromkeys(name for layer in layers for name in layer))


def profile_env(spec: TemplateSpec) -> tuple[dict[str, Any], ...]:
    """The variables that specify the profile. A property that the template does not have is omitted."""
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
