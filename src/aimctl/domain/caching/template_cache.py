"""What caching creates: the AIMTemplateCache of a template and the AIMModelCache of a source, and their names.

Contract:
    * A template always has the same template cache, and a URI the same model cache. Requests of several users for the
      same thing therefore lead to one object.
    * The template owns its template cache, so both are deleted together. A model cache has no owner: what is on a
      volume outlives those who asked for it.
    * Objects that the operator created have the label ``managed-by``. Others belong to a user, and are neither changed
      nor deleted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any, final

from aimctl.api.kinds import MODEL_CACHES, TEMPLATE_CACHES
from aimctl.api.v1alpha1 import AIMServiceTemplate, CacheState
from aimctl.domain.environment import merge_env
from aimctl.domain.naming import LABEL_MANAGED_BY, MANAGED_BY, MAX_NAME
from aimctl.domain.templates.discovery_job import merge_pull_secrets
from aimctl.kubetypes import owner_reference
from aimctl.kubetypes.quantity import Quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aimctl.api.v1alpha1 import (
        AIMModelCache,
        AIMTemplateCache,
        EnvVar,
        LocalObjectReference,
        ModelCacheSpec,
        ServiceSpec,
        TemplateCacheSpec,
    )
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object

__all__ = [
    "DownloadSettings",
    "download_changes",
    "is_created_for",
    "is_managed",
    "model_cache_manifest",
    "model_cache_name",
    "size_of",
    "sources_of",
    "spec_changes",
    "state_of",
    "template_cache_manifest",
    "template_cache_spec",
]

_HASH = 10
_NOT_IN_A_NAME = re.compile("[^a-z0-9]+")


# ---- observed objects


def sources_of(template: Template | None) -> dict[str, int]:
    """The discovered sources of a template: URI to expected bytes, the largest if a URI is listed several times."""
    sizes: dict[str, int] = {}
    for item in template.view.status.model_sources if template is not None else ():
        sizes[item.source] = max(item.size_bytes, sizes.get(item.source, 0))
    return sizes


def is_managed(obj: Object[Any]) -> bool:
    """Whether the operator created an object."""
    return obj.meta.labels.get(LABEL_MANAGED_BY) == MANAGED_BY


def is_created_for(cache: Object[AIMTemplateCache], template: Template) -> bool:
    """Whether the operator created a template cache for this template (by UID)."""
    controller = cache.meta.controller
    return is_managed(cache) and controller is not None and controller.uid == template.meta.uid


def state_of(cache: Object[AIMModelCache] | Object[AIMTemplateCache]) -> CacheState:
    """The state in the status of a cache; Pending before there is one."""
    return CacheState(cache.view.status.status or CacheState.PENDING)


# ---- model caches


def model_cache_name(uri: str) -> str:
    """``<readable end of the URI>-<10 hex of its SHA-256>``: a DNS label of at most 63 characters."""
    path = uri.partition("://")[2] or uri
    readable = _NOT_IN_A_NAME.sub("-", path.lower()).strip("-")[-(MAX_NAME - _HASH - 1) :].lstrip("-")
    return f"{readable or 'model'}-{sha256(uri.encode(errors='surrogatepass')).hexdigest()[:_HASH]}"


@final
@dataclass(frozen=True, slots=True)
class DownloadSettings:
    """How a source is downloaded for all template caches of a namespace that use it.

    Attributes:
        env: as JSON.
        pull_secrets: names.
    """

    runtime_config: str
    storage_class: str
    env: tuple[dict[str, Any], ...]
    pull_secrets: tuple[str, ...]

    @classmethod
    def merged(cls, specs: Sequence[TemplateCacheSpec]) -> DownloadSettings:
        """The settings of several specs. Where they contradict each other, the earlier one takes precedence."""
        return cls(
            runtime_config=specs[0].runtime_config_name,
            storage_class=next((item.storage_class_name for item in specs if item.storage_class_name), ""),
            env=merge_env(*(_json(item.env) for item in reversed(specs))),
            pull_secrets=merge_pull_secrets(*(_names(item.image_pull_secrets) for item in specs)),
        )

    def to_json(self) -> dict[str, Any]:
        """Their part of a model cache's spec, without empty fields."""
        storage = {"storageClassName": self.storage_class} if self.storage_class else {}
        return {
            "runtimeConfigName": self.runtime_config,
            **storage,
            **_download_fields(self.env, self.pull_secrets),
        }


def model_cache_manifest(
    namespace: str,
    uri: str,
    size_bytes: int,
    settings: DownloadSettings,
    *,
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The model cache of one source.

    Args:
        namespace: of the template caches that use it.
        uri: of the source.
        size_bytes: the largest size that one of them expects.
        settings: of the download.
        labels: propagated labels; the operator's own take precedence.
    """
    return {
        "apiVersion": MODEL_CACHES.api_version,
        "kind": MODEL_CACHES.kind,
        "metadata": {
            "name": model_cache_name(uri),
            "namespace": namespace,
            "labels": {**(labels or {}), LABEL_MANAGED_BY: MANAGED_BY},
        },
        "spec": {"sourceURI": uri, "size": size_of(size_bytes), **settings.to_json()},
    }


def size_of(size_bytes: int) -> str:
    """A size as a quantity, such as ``16Gi``, without loss of precision."""
    return str(Quantity(Decimal(size_bytes), "binary"))


# ---- template caches


def template_cache_spec(template: Template, services: Sequence[ServiceSpec] = ()) -> dict[str, Any]:
    """The spec of the cache of a template.

    Variables of the caching settings replace those of the template, and variables of the services replace both; of
    several services, the older one takes precedence. The runtime config of a cluster template may exist only in the
    namespace of the operator, so the one of the oldest service is used instead.

    Args:
        template: of either scope.
        services: that asked for the cache, the oldest first; empty if the template itself did.
    """
    view = template.view
    env: list[dict[str, Any]] = []
    runtime_config = view.spec.runtime_config_name
    if isinstance(view, AIMServiceTemplate):
        caching = view.spec.caching
        env = [*_json(view.spec.env), *_json(caching.env if caching is not None else ())]
    elif services:
        runtime_config = services[0].runtime_config_name
    for service in reversed(services):
        env += _json(service.env)
    secrets = [*_names(view.spec.image_pull_secrets)]
    for service in services:
        secrets += _names(service.image_pull_secrets)
    return {
        "templateRef": template.meta.name,
        "runtimeConfigName": runtime_config,
        **_download_fields(merge_env(env), merge_pull_secrets(secrets)),
    }


def template_cache_manifest(
    template: Template,
    namespace: str,
    *,
    service: ServiceSpec | None = None,
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The cache of a template: it has the template's name, and the template owns it.

    Args:
        template: of either scope.
        namespace: of the cache; the template's own if that is namespaced.
        service: the one that asks for it; None if the template does.
        labels: propagated labels; the operator's own take precedence.
    """
    # The foreground deletion of a cluster template must not wait for all namespaces.
    owner = owner_reference(template, block_deletion=bool(template.meta.namespace))
    return {
        "apiVersion": TEMPLATE_CACHES.api_version,
        "kind": TEMPLATE_CACHES.kind,
        "metadata": {
            "name": template.meta.name,
            "namespace": namespace,
            "labels": {**(labels or {}), LABEL_MANAGED_BY: MANAGED_BY},
            "ownerReferences": [owner],
        },
        "spec": template_cache_spec(template, [service] if service is not None else ()),
    }


# ---- changes of specs


def spec_changes(wanted: Mapping[str, Any], spec: TemplateCacheSpec) -> dict[str, Any]:
    """The merge patch from the spec of a template cache to the wanted one; empty if nothing differs.

    The storage class is left to users. The order of variables and secrets does not matter.
    """
    changes: dict[str, Any] = {}
    if spec.template_ref != wanted["templateRef"]:
        changes["templateRef"] = wanted["templateRef"]
    if spec.runtime_config_name != wanted["runtimeConfigName"]:
        changes["runtimeConfigName"] = wanted["runtimeConfigName"]
    return changes | download_changes(wanted, spec)


def download_changes(wanted: Mapping[str, Any], spec: TemplateCacheSpec | ModelCacheSpec) -> dict[str, Any]:
    """The part of a merge patch that concerns env and pull secrets."""
    changes: dict[str, Any] = {}
    env = {item["name"]: item for item in wanted.get("env", ())}
    if {item.name: item.to_json() for item in spec.env} != env:
        changes["env"] = wanted.get("env")
    if set(_names(spec.image_pull_secrets)) != {item["name"] for item in wanted.get("imagePullSecrets", ())}:
        changes["imagePullSecrets"] = wanted.get("imagePullSecrets")
    return changes


def _download_fields(env: Iterable[Mapping[str, Any]], pull_secrets: Iterable[str]) -> dict[str, Any]:
    spec = {
        "env": [dict(item) for item in env],
        "imagePullSecrets": [{"name": name} for name in pull_secrets],
    }
    return {name: value for name, value in spec.items() if value}


def _json(env: Iterable[EnvVar]) -> list[dict[str, Any]]:
    return [item.to_json() for item in env]


def _names(secrets: Iterable[LocalObjectReference]) -> list[str]:
    return [item.name for item in secrets]
