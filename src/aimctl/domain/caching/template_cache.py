"""What caching makes: the AIMTemplateCache of a template, the AIMModelCache of a source, and their names.

Contract:
    * The same template gives the same template cache, the same URI the same model cache, so whoever asks in the same
      instant meets in one object.
    * A template cache is owned by its template, namespaced or cluster-wide, and goes with it. Nothing owns a model
      cache: what is on a volume outlives those who wished for it.
    * What the operator made carries the label ``managed-by``. Anything without it is somebody's own, and is neither
      changed nor deleted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import (
    API_VERSION,
    MODEL_CACHES,
    SERVICE_TEMPLATES,
    TEMPLATE_CACHES,
    AIMServiceTemplate,
)
from aimctl.domain.naming import LABEL_MANAGED_BY, MANAGED_BY, MAX_NAME
from aimctl.domain.templates.discovery_job import merge_env, merge_pull_secrets
from aimctl.kubetypes.quantity import Quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aimctl.api.v1alpha1 import (
        EnvVar,
        LocalObjectReference,
        ModelCacheSpec,
        ServiceSpec,
        TemplateCacheSpec,
    )
    from aimctl.domain.templates.template import Template

__all__ = [
    "DownloadWish",
    "download_changes",
    "download_env",
    "in_units",
    "is_managed",
    "model_cache_manifest",
    "model_cache_name",
    "spec_changes",
    "template_cache_manifest",
    "template_cache_spec",
    "wants_caching",
]

_HASH = 10
_NOT_IN_A_NAME = re.compile("[^a-z0-9]+")


def model_cache_name(uri: str) -> str:
    """``<readable end of the URI>-<10 hex of its SHA-256>``: a DNS label of at most 63 characters."""
    path = uri.partition("://")[2] or uri
    readable = _NOT_IN_A_NAME.sub("-", path.lower()).strip("-")[-(MAX_NAME - _HASH - 1) :].lstrip("-")
    return f"{readable or 'model'}-{sha256(uri.encode(errors='surrogatepass')).hexdigest()[:_HASH]}"


@final
@dataclass(frozen=True, slots=True)
class DownloadWish:
    """How a source is to be downloaded, by all the template caches of a namespace that use it.

    Attributes:
        env: as JSON.
        pull_secrets: names.
    """

    runtime_config: str
    storage_class: str
    env: tuple[dict[str, Any], ...]
    pull_secrets: tuple[str, ...]

    @classmethod
    def of(cls, specs: Sequence[TemplateCacheSpec]) -> DownloadWish:
        """What they say together, the oldest first: of two that contradict each other the older wins."""
        return cls(
            runtime_config=specs[0].runtime_config_name,
            storage_class=next((item.storage_class_name for item in specs if item.storage_class_name), ""),
            env=merge_env(*(_json(item.env) for item in reversed(specs))),
            pull_secrets=merge_pull_secrets(*(_names(item.image_pull_secrets) for item in specs)),
        )

    def to_json(self) -> dict[str, Any]:
        """Its part of a model cache's spec; what is empty is absent."""
        storage = {"storageClassName": self.storage_class} if self.storage_class else {}
        return {
            "runtimeConfigName": self.runtime_config,
            **storage,
            **download_env(self.env, self.pull_secrets),
        }


def model_cache_manifest(
    namespace: str, uri: str, size_bytes: int, wish: DownloadWish, *, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The model cache of one source.

    Args:
        namespace: of the template caches that use it.
        uri: of the source.
        size_bytes: the largest that anybody expects.
        wish: how it is to be downloaded.
        labels: to be copied along; ours win.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": MODEL_CACHES.name,
        "metadata": {
            "name": model_cache_name(uri),
            "namespace": namespace,
            "labels": {**(labels or {}), LABEL_MANAGED_BY: MANAGED_BY},
        },
        "spec": {
            "sourceURI": uri,
            "size": in_units(size_bytes),
            **wish.to_json(),
        },
    }


def template_cache_spec(template: Template, services: Sequence[ServiceSpec] = ()) -> dict[str, Any]:
    """The spec of a template's cache.

    Env: the template's, its caching's, the services'; the later wins, and of services the older. A cluster template's
    runtime config may be one of the operator's namespace, so for one of those the oldest service's counts.

    Args:
        template: of either scope.
        services: whose wish it is, where it is not the template's own; the oldest first.
    """
    view = template.view
    own: list[dict[str, Any]] = []
    runtime_config = view.spec.runtime_config_name
    if isinstance(view, AIMServiceTemplate):
        caching = view.spec.caching
        own = [*_json(view.spec.env), *_json(caching.env if caching is not None else ())]
    elif services:
        runtime_config = services[0].runtime_config_name
    for service in reversed(services):
        own += _json(service.env)
    secrets = [*_names(view.spec.image_pull_secrets)]
    for service in services:
        secrets += _names(service.image_pull_secrets)
    return {
        "templateRef": template.meta.name,
        "runtimeConfigName": runtime_config,
        **download_env(merge_env(own), merge_pull_secrets(secrets)),
    }


def template_cache_manifest(
    template: Template,
    namespace: str,
    *,
    service: ServiceSpec | None = None,
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The template cache of the template's name, owned by the template.

    Args:
        template: of either scope.
        namespace: where it is wanted; the template's own, for a namespaced one.
        service: whose wish it is, where it is not the template's own.
        labels: to be copied along; ours win.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": TEMPLATE_CACHES.name,
        "metadata": {
            "name": template.meta.name,
            "namespace": namespace,
            "labels": {**(labels or {}), LABEL_MANAGED_BY: MANAGED_BY},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": template.resource.kind,
                    "name": template.meta.name,
                    "uid": template.meta.uid,
                    "controller": True,
                    # Deleting a cluster template in the foreground must not wait for every namespace.
                    "blockOwnerDeletion": template.resource.kind == SERVICE_TEMPLATES.name,
                }
            ],
        },
        "spec": template_cache_spec(template, [service] if service is not None else ()),
    }


def spec_changes(wanted: Mapping[str, Any], spec: TemplateCacheSpec) -> dict[str, Any]:
    """The fields of a template cache's spec that are not as wanted; null takes one away.

    The storage class is anybody's to set. The order of variables and secrets says nothing.
    """
    changes: dict[str, Any] = {}
    if spec.template_ref != wanted["templateRef"]:
        changes["templateRef"] = wanted["templateRef"]
    if spec.runtime_config_name != wanted["runtimeConfigName"]:
        changes["runtimeConfigName"] = wanted["runtimeConfigName"]
    return changes | download_changes(wanted, spec)


def download_changes(wanted: Mapping[str, Any], spec: TemplateCacheSpec | ModelCacheSpec) -> dict[str, Any]:
    """Env and pull secrets of a spec that are not as wanted; null takes one away."""
    changes: dict[str, Any] = {}
    env = {item["name"]: item for item in wanted.get("env", ())}
    if {item.name: item.to_json() for item in spec.env} != env:
        changes["env"] = wanted.get("env")
    if set(_names(spec.image_pull_secrets)) != {item["name"] for item in wanted.get("imagePullSecrets", ())}:
        changes["imagePullSecrets"] = wanted.get("imagePullSecrets")
    return changes


def wants_caching(view: object) -> bool:
    """Whether a template asks for its sources to be cached."""
    caching = view.spec.caching if isinstance(view, AIMServiceTemplate) else None
    return caching is not None and caching.enabled


def is_managed(labels: Mapping[str, str]) -> bool:
    """Whether the operator made an object with these labels."""
    return labels.get(LABEL_MANAGED_BY) == MANAGED_BY


def in_units(size_bytes: int) -> str:
    """A size as a quantity: ``16Gi`` where that is exact."""
    return str(Quantity(Decimal(size_bytes), "binary"))


def download_env(env: Iterable[Mapping[str, Any]], pull_secrets: Iterable[str]) -> dict[str, Any]:
    """The part of a spec that downloads with; what is empty is absent."""
    spec = {
        "env": [dict(item) for item in env],
        "imagePullSecrets": [{"name": name} for name in pull_secrets],
    }
    return {name: value for name, value in spec.items() if value}


def _json(env: Iterable[EnvVar]) -> list[dict[str, Any]]:
    return [item.to_json() for item in env]


def _names(secrets: Iterable[LocalObjectReference]) -> list[str]:
    return [item.name for item in secrets]
