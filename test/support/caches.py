"""Observations of template caches, for tests of decisions: say what differs from an ordinary one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aimctl.api.kinds import resource_of
from aimctl.api.v1alpha1 import (
    CLUSTER_SERVICE_TEMPLATES,
    MODEL_CACHES,
    SERVICE_TEMPLATES,
    TEMPLATE_CACHES,
    RuntimeConfigSpec,
    ServiceSpec,
)
from aimctl.domain.caching.template_cache import model_cache_name
from aimctl.domain.caching.template_cache_observation import (
    CacheUser,
    ObservedModelCache,
    SeenTemplateCache,
    TemplateCacheObservation,
)
from aimctl.domain.resolution import Missing, Resolved
from support.things import make

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.domain.templates.template import Template

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
    kind = CLUSTER_SERVICE_TEMPLATES if cluster else SERVICE_TEMPLATES
    spec = {"modelName": "m", **spec}
    if caching is not None:
        spec["caching"] = {"enabled": caching, **spec.get("caching", {})}
    listed = [{"name": uri[5:], "source": uri, "sizeBytes": size} for uri, size in sources]
    body = {"spec": spec, "status": {"modelSources": listed, **(status or {})}}
    namespace = "" if cluster else "team"
    return make(
        "llama",
        namespace,
        resource=resource_of(kind),
        uid=uid,
        rv=7,
        labels=dict(labels or {}),
        deleting=deleting,
        **body,
    )


def seen_cache(
    status: Mapping[str, Any] | None = None,
    *,
    name: str = "llama",
    managed: bool = True,
    controller: str | None = None,
    deleting: bool = False,
    age: float = 3600,
    labels: Mapping[str, str] | None = None,
    **spec: Any,
) -> SeenTemplateCache:
    """A template cache; an hour old and the operator's own unless said otherwise."""
    body = {"spec": {"templateRef": "llama", **spec}, "status": dict(status or {})}
    if controller is None:
        controller = "template-uid" if managed else ""
    return SeenTemplateCache(
        "team",
        name,
        f"{name}-uid",
        "11",
        1,
        at(NOW - timedelta(seconds=age)),
        labels or {},
        controller,
        managed,
        deleting,
        TEMPLATE_CACHES.decode(json.dumps(body).encode()),
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
) -> ObservedModelCache:
    """A model cache of this source, by default the one the operator makes for it."""
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
    body = {"spec": {"sourceURI": uri, "size": size, **spec}, "status": status}
    view = MODEL_CACHES.decode(json.dumps(body).encode())
    created = at(NOW - timedelta(seconds=age))
    return ObservedModelCache(name, f"{name}-uid", "21", created, managed, deleting, view)


def user(
    name: str = "other", *, age: float = 7200, sizes: Mapping[str, int] | None = None, **spec: Any
) -> CacheUser:
    """Another template cache that uses the model cache of LLAMA; older than the one decided about."""
    view = TEMPLATE_CACHES.decode(json.dumps({"spec": {"templateRef": name, **spec}}).encode())
    created = at(NOW - timedelta(seconds=age))
    return CacheUser(name, created, view.spec, frozenset({model_cache_name(LLAMA)}), sizes or {})


def service(**spec: Any) -> ServiceSpec:
    """The spec of a service that wishes its model cached."""
    return ServiceSpec.model_validate({"model": {"ref": "m"}, "cacheModel": True, **spec})


def observe_cache(
    status: Mapping[str, Any] | None = None,
    *,
    of: Template | None = None,
    no_template: bool = False,
    models: Sequence[ObservedModelCache] = (),
    users: Sequence[CacheUser] = (),
    config: Resolved[RuntimeConfigSpec] | Missing | None = None,
    wishes: Sequence[ServiceSpec] = (),
    refused: Mapping[str, str] | None = None,
    now: datetime = NOW,
    **cache: Any,
) -> TemplateCacheObservation:
    """An observation: by default the managed cache of a template with caching enabled, without model caches."""
    return TemplateCacheObservation(
        cache=seen_cache(status, **cache),
        template=None if no_template else of or template(caching=True),
        runtime_config=config or Resolved(RuntimeConfigSpec(), None),
        now=now,
        model_caches=tuple(models),
        users=tuple(users),
        wishes=tuple(wishes),
        refused=refused or {},
    )
