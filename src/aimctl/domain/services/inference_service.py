"""The manifest of the InferenceService that serves a service.

Contract:
    * The manifest is a function of its input, and contains every field that the operator sets.
    * Environment: the variables of the profile that the template specifies, of the discovered profile, the runtime
      config, the model, the template and the service, merged by :func:`~aimctl.domain.environment.merge_env`: a later
      one overrides an earlier one. What a user sets takes precedence over what discovery found.
    * Resources are those of :func:`~aimctl.domain.services.kserve.resources.container_resources`. The number of GPUs is
      that of the template's ``gpuSelector`` in any case, because the profile is for that number; a service changes it
      with ``overrides.gpuSelector``.
    * Labels and annotations of the service are passed on. KServe copies those of the InferenceService to the pods. What
      the operator sets itself takes precedence: deployment mode, replicas, and the labels by which it is found.
    * Pods run only on nodes with the GPU model of the template's ``gpuSelector``.
    * A runtime with several GPUs gets an in-memory ``/dev/shm``, because the 64 MiB of the container runtime are too
      small for the collective operations between the processes of the engine. It counts as memory of the container.
    * The discovered profile is output of a container. Whatever it contains causes no error, and what is not an
      environment variable is ignored.

The container listens on :data:`PORT`. It looks for cached sources under ``AIM_CACHE_PATH``, each in a folder of the
name of the source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import CacheState, RuntimeConfigSpec, ServiceTemplateSpec
from aimctl.domain.environment import ENGINE_ARGS, merge_env
from aimctl.domain.gpus import AMD_RESOURCE
from aimctl.domain.hashing import canonical_json
from aimctl.domain.labels import passed_annotations, passed_labels
from aimctl.domain.naming import (
    INFERENCE,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_SERVICE,
    LABEL_SERVICE_OF_KAIWO,
    MANAGED_BY,
    label_value,
)
from aimctl.domain.resolution import Resolved
from aimctl.domain.services.kserve.name import runtime_name
from aimctl.domain.services.kserve.resources import container_resources
from aimctl.domain.services.kserve.status import STOP_ANNOTATION
from aimctl.domain.templates.discovery_job import merge_pull_secrets, profile_env
from aimctl.kubetypes import owner_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aimctl.api.v1alpha1 import AIMTemplateCache, ModelSpec, ServiceSpec
    from aimctl.domain.gpu_nodes import Gpus
    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object

__all__ = [
    "CACHE_PATH",
    "CONTAINER",
    "DEPLOYMENT_MODE",
    "DEPLOYMENT_MODES",
    "KSERVE_API_VERSION",
    "PORT",
    "inference_service",
]

KSERVE_API_VERSION = "serving.kserve.io/v1beta1"

CONTAINER = "kserve-container"
"""The name of the container that serves, as KServe requires it."""

PORT = 8000
"""The port of AIM containers. The default of KServe is 8080."""

CACHE_PATH = "/workspace/model-cache"

DEPLOYMENT_MODE = "serving.kserve.io/deploymentMode"
"""The annotation with the deployment mode. With Knative, KServe would accept one volume only and start pods on demand.
"""

DEPLOYMENT_MODES = ("RawDeployment", "Standard")
"""Two names of one mode: all versions accept the first, and the webhook replaces it by the second since v0.16."""

_SHARED_MEMORY = "shared-memory"

_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]{0,252}")
_NOT_IN_A_PATH = re.compile(r"[^A-Za-z0-9._-]+")


def inference_service(
    service: ServiceObservation,
    template: Template,
    cache: Object[AIMTemplateCache] | None,
    current_affinity: Any = None,
) -> dict[str, Any]:
    """The InferenceService of a service, which controls it.

    Args:
        service: the service; its model is resolved.
        template: the template in use; its status has the discovered profile.
        cache: the template cache of the name of the template.
        current_affinity: the ``nodeAffinity`` that the InferenceService has; kept if it fits.

    Raises:
        ValueError: the model is not resolved, or no name is possible in the namespace.
    """
    meta, spec = service.obj.meta, service.spec
    if not isinstance(service.model, Resolved):
        raise ValueError(f"service {meta.name!r} has no model, so there is nothing to serve")  # noqa: TRY004 - no type
    name = runtime_name(meta.name, meta.namespace)
    if name is None:
        raise ValueError(f"namespace {meta.namespace!r}: its name is too long for an InferenceService")
    labels = {
        **passed_labels(meta.labels),
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_COMPONENT: INFERENCE,
        LABEL_SERVICE: label_value(meta.name),
        LABEL_SERVICE_OF_KAIWO: label_value(meta.name),
    }
    annotations = {**passed_annotations(meta.annotations), DEPLOYMENT_MODE: DEPLOYMENT_MODES[0]}
    if spec.replicas == 0:
        annotations[STOP_ANNOTATION] = "true"
    return {
        "apiVersion": KSERVE_API_VERSION,
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": meta.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner_reference(service.obj)],
        },
        "spec": {
            "predictor": _predictor(
                service,
                service.model.spec,
                template,
                _volumes(template, cache),
                _placement(template, service.gpus, current_affinity),
            )
        },
    }


def _config(service: ServiceObservation) -> RuntimeConfigSpec:
    found = service.runtime_config
    return found.spec if isinstance(found, Resolved) else RuntimeConfigSpec()


def _predictor(
    service: ServiceObservation,
    model: ModelSpec,
    template: Template,
    volumes: Sequence[_Volume],
    placement: _Placement,
) -> dict[str, Any]:
    spec, template_spec, runtime_config = service.spec, template.view.spec, _config(service)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": model.image,
        "env": list(_env(spec, model, template, runtime_config, cached=bool(volumes))),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
    }
    layers = (model.resources, template_spec.resources, spec.resources)
    resources = container_resources(layers, placement.resource, placement.count)
    if resources:
        container["resources"] = resources
    predictor: dict[str, Any] = {
        "minReplicas": spec.replicas,
        "maxReplicas": spec.replicas,
        "containers": [container],
    }
    secrets = merge_pull_secrets(
        *((item.name for item in layer.image_pull_secrets) for layer in (spec, template_spec, model))
    )
    if secrets:
        predictor["imagePullSecrets"] = [{"name": name} for name in secrets]
    account = spec.service_account_name or template_spec.service_account_name or model.service_account_name
    if account:
        predictor["serviceAccountName"] = account
    else:
        # The default account may have permissions that the image does not need.
        predictor["automountServiceAccountToken"] = False
    if placement.affinity:
        predictor["affinity"] = {"nodeAffinity": placement.affinity}
    mounts = list(_mounts(volumes))
    mounted = [
        {"name": f"model-cache-{number}", "mountPath": path, "readOnly": True}
        for number, (path, _) in enumerate(mounts)
    ]
    available: list[dict[str, Any]] = [
        {"name": f"model-cache-{number}", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        for number, (_, claim) in enumerate(mounts)
    ]
    if placement.count > 1:
        mounted.append({"name": _SHARED_MEMORY, "mountPath": "/dev/shm"})  # noqa: S108 - in the container
        available.append({"name": _SHARED_MEMORY, "emptyDir": {"medium": "Memory"}})
    if mounted:
        container["volumeMounts"], predictor["volumes"] = mounted, available
    return predictor


# ---- environment


def _env(
    spec: ServiceSpec,
    model: ModelSpec,
    template: Template,
    runtime_config: RuntimeConfigSpec,
    *,
    cached: bool,
) -> tuple[dict[str, Any], ...]:
    template_spec = template.view.spec
    own = template_spec.env if isinstance(template_spec, ServiceTemplateSpec) else ()
    cache = [{"name": "AIM_CACHE_PATH", "value": CACHE_PATH}] if cached else []
    return merge_env(
        profile_env(template_spec),
        cache,
        _discovered(template.view.status.profile or {}),
        (item.to_json() for item in runtime_config.env),
        (item.to_json() for item in model.env),
        (item.to_json() for item in own),
        (item.to_json() for item in spec.env),
    )


def _discovered(profile: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The environment variables of the discovered profile. They override its arguments of the engine."""
    arguments = profile.get("engine_args")
    if isinstance(arguments, dict) and arguments:
        yield {"name": ENGINE_ARGS, "value": _text(arguments)}
    variables = profile.get("env_vars")
    if isinstance(variables, dict):
        for name, value in sorted(variables.items()):
            if _VARIABLE.fullmatch(name) and value is not None:
                yield {"name": name, "value": _text(value)}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value).decode()


# ---- placement


@final
@dataclass(frozen=True, slots=True)
class _Placement:
    """The GPUs of a pod: the extended resource, how many of it, and the ``nodeAffinity``."""

    resource: str = ""
    count: int = 0
    affinity: Mapping[str, Any] = field(default_factory=dict)


def _placement(template: Template, gpus: Gpus, current_affinity: Any) -> _Placement:
    """The GPUs of the template's selector, otherwise of the discovered profile.

    No GPUs if the selector has neither model nor number.
    """
    selector = template.view.spec.gpu_selector
    if selector is None or (selector.count is None and not selector.model):
        return _Placement()
    metadata = (template.view.status.profile or {}).get("metadata")
    found = metadata if isinstance(metadata, dict) else {}
    model, count = selector.model or found.get("gpu"), selector.count or found.get("gpu_count")
    number = count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 1
    resource = gpus.resource(model) if isinstance(model, str) and model else AMD_RESOURCE
    affinity = gpus.node_affinity(selector.model, current_affinity) if selector.model else {}
    return _Placement(resource, number, affinity)


# ---- caches


@final
@dataclass(frozen=True, slots=True, order=True)
class _Volume:
    """The name of a cached source, and the claim of its volume."""

    source: str
    claim: str


def _volumes(template: Template, cache: Object[AIMTemplateCache] | None) -> list[_Volume]:
    """The volumes of the template's cache, if it is Available. Part of a model cannot be served."""
    if (
        cache is None
        or cache.meta.deleting
        or cache.meta.name != template.meta.name
        or cache.view.status.status != CacheState.AVAILABLE
    ):
        return []
    return sorted(
        {
            _Volume(model.name or model.source, model.persistent_volume_claim)
            for model in cache.view.status.models
            if model.persistent_volume_claim
        }
    )


def _mounts(volumes: Iterable[_Volume]) -> Iterator[tuple[str, str]]:
    """The mount path of each volume, and its claim.

    The folder has the name of the source. A read-only volume cannot be mounted inside another, so a folder that would
    be in another one, or have the same path, gets a unique name instead.
    """
    taken: set[str] = set()
    wanted = ((_folder(volume.source), volume.claim) for volume in volumes)
    for folder, claim in sorted(wanted, key=lambda item: (item[0].count("/"), *item)):
        free = folder
        while _clashes(free, taken):
            free = f"{free.replace('/', '-')}-{claim}"
        taken.add(free)
        yield f"{CACHE_PATH}/{free}", claim


def _folder(source: str) -> str:
    """The name of the source as a relative path without parent folders."""
    parts = (_NOT_IN_A_PATH.sub("-", part) for part in source.split("/"))
    return "/".join(part for part in parts if part.strip(".")) or "model"


def _clashes(folder: str, taken: set[str]) -> bool:
    return any(folder == other or folder.startswith(f"{other}/") for other in taken)
