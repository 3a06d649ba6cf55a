"""Observations of template caches, for tests of decisions: a test names what differs from an ordinary one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from aimctl.api.kinds import CLUSTER_TEMPLATES, MODEL_CACHES, TEMPLATE_CACHES, TEMPLATES
from aimctl.api.v1alpha1 import RuntimeConfigSpec, ServiceSpec
from aimctl.domain.caching.template_cache import model_cache_name
from aimctl.domain.caching.template_cache_observation import (
    CacheUser,
    TemplateCacheObservation,
)
from aimctl.domain.resolution import Missing, Resolved
from support.things import make, with_meta

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.api.v1alpha1 import AIMModelCache, AIMTemplateCache
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object, Resource

V = TypeVar("V")

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
LLAMA, TOKENIZER = "hf://meta/llama", "hf://meta/llama/tokenizer.json"
SOURCES = ((LLAMA, 1000), (TOKENIZER, 200))
TOKEN = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf-creds", "key": "token"}}}
NO_CONFIG = Missing("RuntimeConfigNotFound", "no runtime config 'x'; create it")


def at(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def template(
    sources: Sequence[tuple[str, int]] = SOURCES,
    *,
    cluster: bool = False,
    deleting: bool = False,
    uid: str = "template-uid",
    caching: bool | None = None,
    labels: Mapping[str, str] | None = None,
    status: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Template:
    """A template that has discovered these sources."""
    spec = {"modelName": "m", **spec}
    if caching is not None:
        spec["caching"] = {"enabled": caching, **spec.get("caching", {})}
    listed = [{"name": uri[5:], "source": uri, "sizeBytes": size} for uri, size in sources]
    body = {"spec": spec, "status": {"modelSources": listed, **(status or {})}}
    namespace = "" if cluster else "team"
    return make(
        "llama",
        namespace,
        resource=CLUSTER_TEMPLATES if cluster else TEMPLATES,
        uid=uid,
        rv=7,
        labels=dict(labels or {}),
        deleting=deleting,
        **body,
    )


def template_cache(
    status: Mapping[str, Any] | None = None,
    *,
    name: str = "llama",
    managed: bool = True,
    controller: str | None = None,
    deleting: bool = False,
    age: float = 3600,
    labels: Mapping[str, str] | None = None,
    **spec: Any,
) -> Object[AIMTemplateCache]:
    """A template cache; by default one that the operator created an hour ago."""
    if controller is None:
        controller = "template-uid" if managed else ""
    owner = {"kind": "AIMServiceTemplate", "name": "llama", "uid": controller, "controller": True}
    return _made(
        TEMPLATE_CACHES,
        name,
        managed=managed,
        deleting=deleting,
        age=age,
        labels=labels,
        owners=[owner] if controller else [],
        spec={"templateRef": "llama", **spec},
        status=dict(status or {}),
    )


def model_cache(
    uri: str = LLAMA,
    state: str = "",
    *,
    name: str = "",
    managed: bool = True,
    deleting: bool = False,
    downloaded: int = 0,
    size: str = "1000",
    failed: int = 0,
    message: str = "",
    reason: str = "Downloading",
    age: float = 60,
    **spec: Any,
) -> Object[AIMModelCache]:
    """A model cache of this source; by default the one that the operator creates for it."""
    name = name or model_cache_name(uri)
    status: dict[str, Any] = {"status": state} if state else {}
    if downloaded:
        status["progress"] = {"downloadedBytes": downloaded}
    if failed:
        status["failedDownloads"] = failed
    if state == "Available":
        status["persistentVolumeClaim"] = name
    if message:
        ready = {"type": "Ready", "status": "False", "reason": reason, "message": message}
        status["conditions"] = [{**ready, "lastTransitionTime": at(NOW)}]
    return _made(
        MODEL_CACHES,
        name,
        managed=managed,
        deleting=deleting,
        age=age,
        spec={"sourceURI": uri, "size": size, **spec},
        status=status,
    )


def _made(
    resource: Resource[V],
    name: str,
    *,
    managed: bool,
    age: float,
    labels: Mapping[str, str] | None = None,
    **fields: Any,
) -> Object[V]:
    own = {"app.kubernetes.io/managed-by": "aim"} if managed else {}
    obj = make(name, "team", resource=resource, rv=21, labels={**(labels or {}), **own}, **fields)
    return with_meta(obj, creationTimestamp=at(NOW - timedelta(seconds=age)))


def user(
    name: str = "other",
    *,
    age: float = 7200,
    sizes: Mapping[str, int] | None = None,
    configured: bool = True,
    **spec: Any,
) -> CacheUser:
    """Another template cache that uses the model cache of LLAMA; older than the one that is decided about."""
    used = {"models": [{"name": "m", "source": LLAMA, "modelCache": model_cache_name(LLAMA)}]}
    cache = template_cache(used, name=name, age=age, templateRef=name, **spec)
    return CacheUser(cache, template(tuple(sizes.items())) if sizes else None, configured)


def service(**spec: Any) -> ServiceSpec:
    """The spec of a service that asks for the cache of its template."""
    return ServiceSpec.model_validate({"model": {"ref": "m"}, "cacheModel": True, **spec})


def observe_cache(
    status: Mapping[str, Any] | None = None,
    *,
    of: Template | None = None,
    no_template: bool = False,
    models: Sequence[Object[AIMModelCache]] = (),
    users: Sequence[CacheUser] = (),
    config: Resolved[RuntimeConfigSpec] | Missing | None = None,
    services: Sequence[ServiceSpec] = (),
    undecided: bool = False,
    rejections: Mapping[str, str] | None = None,
    now: datetime = NOW,
    **cache: Any,
) -> TemplateCacheObservation:
    """An observation: by default the managed cache of a template with caching enabled, without model caches."""
    return TemplateCacheObservation(
        cache=template_cache(status, **cache),
        template=None if no_template else of or template(caching=True),
        runtime_config=config or Resolved(RuntimeConfigSpec(), None),
        now=now,
        model_caches=tuple(models),
        users=tuple(users),
        services=tuple(services),
        undecided=undecided,
        rejections=rejections or {},
    )
