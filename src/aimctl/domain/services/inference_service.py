"""KServe's InferenceService for a service: what is served, and how.

Contract:
    * The manifest is the same for the same input, byte for byte, and all that the operator wants of the object.
    * Env, the later wins: the profile that the template asks for, the runtime config's, the model's, the template's,
      what discovery found for the profile, the service's.
    * Resources, key by key: the service's, else the template's, else the model's. GPUs are those of the template's
      ``gpuSelector`` whatever resources say, since the profile is made for their number; a service changes them with
      ``overrides.gpuSelector``.
    * What discovery found came out of a container: anything in it that is no variable is left out, and nothing in it
      raises.

The container listens on :data:`PORT` and finds a source that is cached under ``AIM_CACHE_PATH``, in a folder of the
source's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import API_VERSION, SERVICES, CacheState, RuntimeConfigSpec, ServiceTemplateSpec
from aimctl.domain.gpus import resource_name
from aimctl.domain.hashing import canonical_json
from aimctl.domain.labels import propagated
from aimctl.domain.naming import (
    INFERENCE,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_SERVICE,
    MANAGED_BY,
    label_value,
)
from aimctl.domain.resolution import Resolved
from aimctl.domain.templates.discovery_job import merge_env, merge_pull_secrets, profile_env

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aimctl.api.v1alpha1 import ModelSpec, ServiceSpec
    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.template import Template

__all__ = ["CACHE_PATH", "CONTAINER", "KSERVE_API_VERSION", "PORT", "inference_service"]

KSERVE_API_VERSION = "serving.kserve.io/v1beta1"

CONTAINER = "kserve-container"
"""The name by which KServe knows the container that serves."""

PORT = 8000
"""Where AIM containers listen; KServe would take 8080."""

CACHE_PATH = "/workspace/model-cache"

_STOP = "serving.kserve.io/stop"
"""Without Knative, KServe keeps one pod at least; this makes it none."""

_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]{0,252}")
_NOT_IN_A_PATH = re.compile(r"[^A-Za-z0-9._-]+")


def inference_service(seen: ServiceObservation, template: Template) -> dict[str, Any]:
    """The InferenceService, ready to be applied: of the service's name, owned by it.

    Args:
        seen: the service; its model is resolved.
        template: the one in use; its status says what discovery found.

    Raises:
        ValueError: the model is not resolved.
    """
    if not isinstance(seen.model, Resolved):
        raise ValueError(  # noqa: TRY004 - it is no wrong type, but something missing
            f"service {seen.service.name!r} has no model, so there is nothing to serve"
        )
    service, spec = seen.service, seen.view.spec
    config = seen.runtime_config.spec if isinstance(seen.runtime_config, Resolved) else RuntimeConfigSpec()
    labels = {
        **propagated(service.labels, config),
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_COMPONENT: INFERENCE,
        LABEL_SERVICE: label_value(service.name),
    }
    # With Knative instead, KServe would take one volume only and start pods on demand.
    annotations = {"serving.kserve.io/deploymentMode": "RawDeployment"}
    if spec.replicas == 0:
        annotations[_STOP] = "true"
    return {
        "apiVersion": KSERVE_API_VERSION,
        "kind": "InferenceService",
        "metadata": {
            "name": service.name,
            "namespace": service.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": SERVICES.name,
                    "name": service.name,
                    "uid": service.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {"predictor": _predictor(spec, seen.model.spec, template, config, _volumes(seen, template))},
    }


def _predictor(
    spec: ServiceSpec,
    model: ModelSpec,
    template: Template,
    runtime_config: RuntimeConfigSpec,
    volumes: Sequence[_Volume],
) -> dict[str, Any]:
    theirs = template.view.spec
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": model.image,
        "env": list(_env(spec, model, template, runtime_config, cached=bool(volumes))),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
    }
    resources = _resources(spec, model, template)
    if resources:
        container["resources"] = resources
    predictor: dict[str, Any] = {
        "minReplicas": spec.replicas,
        "maxReplicas": spec.replicas,
        "containers": [container],
    }
    secrets = merge_pull_secrets(
        *((item.name for item in layer.image_pull_secrets) for layer in (spec, theirs, model))
    )
    if secrets:
        predictor["imagePullSecrets"] = [{"name": name} for name in secrets]
    account = spec.service_account_name or theirs.service_account_name or model.service_account_name
    if account:
        predictor["serviceAccountName"] = account
    if volumes:
        mounts = list(_mounts(volumes))
        container["volumeMounts"] = [
            {"name": f"model-cache-{number}", "mountPath": path, "readOnly": True}
            for number, (path, _) in enumerate(mounts)
        ]
        predictor["volumes"] = [
            {
                "name": f"model-cache-{number}",
                "persistentVolumeClaim": {"claimName": claim, "readOnly": True},
            }
            for number, (_, claim) in enumerate(mounts)
        ]
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
    theirs = template.view.spec
    own = theirs.env if isinstance(theirs, ServiceTemplateSpec) else ()
    cache = [{"name": "AIM_CACHE_PATH", "value": CACHE_PATH}] if cached else []
    return merge_env(
        profile_env(theirs),
        cache,
        (item.to_json() for item in runtime_config.env),
        (item.to_json() for item in model.env),
        (item.to_json() for item in own),
        _discovered(template.view.status.profile or {}),
        (item.to_json() for item in spec.env),
    )


def _discovered(profile: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What discovery found for the profile."""
    variables = profile.get("env_vars")
    if isinstance(variables, dict):
        for name, value in sorted(variables.items()):
            if _VARIABLE.fullmatch(name) and value is not None:
                yield {"name": name, "value": _text(value)}
    arguments = profile.get("engine_args")
    if isinstance(arguments, dict) and arguments:
        yield {"name": "AIM_ENGINE_ARGS", "value": _text(arguments)}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value).decode()


# ---- resources


def _resources(spec: ServiceSpec, model: ModelSpec, template: Template) -> dict[str, dict[str, str]]:
    merged: dict[str, dict[str, str]] = {"limits": {}, "requests": {}}
    for layer in (model.resources, template.view.spec.resources, spec.resources):
        if layer is not None:
            merged["limits"] |= layer.limits
            merged["requests"] |= layer.requests
    gpu = _gpus(template)
    if gpu is not None:
        resource, count = gpu
        for amounts in merged.values():
            amounts[resource] = str(count)
    return {kind: amounts for kind, amounts in merged.items() if amounts}


def _gpus(template: Template) -> tuple[str, int] | None:
    """The extended resource and the number that the template's selector asks for.

    What the selector leaves open the discovered profile says.
    """
    selector = template.view.spec.gpu_selector
    if selector is None or (selector.count is None and not selector.model):
        return None
    metadata = (template.view.status.profile or {}).get("metadata")
    found = metadata if isinstance(metadata, dict) else {}
    model, count = selector.model or found.get("gpu"), selector.count or found.get("gpu_count")
    known = isinstance(model, str) and bool(model)
    number = count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 1
    return resource_name(model) if known and isinstance(model, str) else "amd.com/gpu", number


# ---- caches


@final
@dataclass(frozen=True, slots=True, order=True)
class _Volume:
    """A cached source: its name, and the claim of the volume that holds it."""

    source: str
    claim: str


def _volumes(seen: ServiceObservation, template: Template) -> list[_Volume]:
    """What the template's cache holds, once it holds everything: from half a model nothing can be served."""
    cache = seen.template_cache
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
    """Where each volume is mounted, and its claim.

    The folder has the source's name, as the container looks for it. No folder lies in another, because one read-only
    volume cannot be mounted inside another; such a one, and the second of two that would meet, gets a plain name.
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
    """The source's name as a path that leads nowhere else."""
    parts = (_NOT_IN_A_PATH.sub("-", part) for part in source.split("/"))
    return "/".join(part for part in parts if part.strip(".")) or "model"


def _clashes(folder: str, taken: set[str]) -> bool:
    return any(folder == other or folder.startswith(f"{other}/") for other in taken)
