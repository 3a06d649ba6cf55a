"""How caches are found: by the template they are for, by the model caches they use, by what is downloaded.

Contract: as in :mod:`aimctl.controllers.indexes.templates`, a value is ``<namespace>/<name>``; with ``*`` as namespace
it finds those of all namespaces, for cluster templates and runtime configs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.controllers.indexes.templates import EVERYWHERE, place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import IndexFunction

__all__ = ["CACHE_WISH_INDEXES", "MODEL_CACHE_INDEXES", "TEMPLATE_CACHE_INDEXES"]


class _TemplateCacheSpec(msgspec.Struct, rename="camel", gc=False):
    template_ref: str = ""
    runtime_config_name: str = "default"


class _Used(msgspec.Struct, rename="camel", gc=False):
    model_cache: str = ""
    source: str = ""


class _TemplateCacheStatus(msgspec.Struct, gc=False):
    models: tuple[_Used, ...] = ()


class _TemplateCache(msgspec.Struct, gc=False):
    spec: _TemplateCacheSpec
    status: _TemplateCacheStatus | None = None


class _ModelCacheSpec(msgspec.Struct, gc=False):
    source: str = msgspec.field(name="sourceURI", default="")


class _ModelCache(msgspec.Struct, gc=False):
    spec: _ModelCacheSpec


class _ServiceSpec(msgspec.Struct, rename="camel", gc=False):
    cache_model: bool = False


class _Reference(msgspec.Struct, gc=False):
    name: str = ""


class _ServiceStatus(msgspec.Struct, rename="camel", gc=False):
    resolved_template: _Reference | None = None


class _Service(msgspec.Struct, gc=False):
    spec: _ServiceSpec
    status: _ServiceStatus | None = None


_template_cache = msgspec.json.Decoder(_TemplateCache)
_model_cache = msgspec.json.Decoder(_ModelCache)
_service = msgspec.json.Decoder(_Service)


def _by_template(obj: Object[Any]) -> Iterator[str]:
    name = _template_cache.decode(obj.raw).spec.template_ref
    yield place(obj.meta.namespace, name)
    yield place(EVERYWHERE, name)


def _by_runtime_config(obj: Object[Any]) -> Iterator[str]:
    name = _template_cache.decode(obj.raw).spec.runtime_config_name
    yield place(obj.meta.namespace, name)
    yield place(EVERYWHERE, name)


def _by_model_cache(obj: Object[Any]) -> Iterator[str]:
    """The model caches that its status lists: those it uses."""
    status = _template_cache.decode(obj.raw).status
    for name in {item.model_cache for item in status.models} if status is not None else ():
        yield place(obj.meta.namespace, name)


def _by_listed_source(obj: Object[Any]) -> Iterator[str]:
    status = _template_cache.decode(obj.raw).status
    for source in {item.source for item in status.models} if status is not None else ():
        yield place(obj.meta.namespace, source)


def _by_source(obj: Object[Any]) -> Iterator[str]:
    yield place(obj.meta.namespace, _model_cache.decode(obj.raw).spec.source)


def _by_wish(obj: Object[Any]) -> Iterator[str]:
    """The template in use, of services that wish its model cached: a managed cache has the template's name."""
    service = _service.decode(obj.raw)
    if service.spec.cache_model and service.status is not None and service.status.resolved_template:
        yield place(obj.meta.namespace, service.status.resolved_template.name)


TEMPLATE_CACHE_INDEXES: Mapping[str, IndexFunction[Any]] = {
    "template": _by_template,
    "runtime-config": _by_runtime_config,
    "model-cache": _by_model_cache,
    "source": _by_listed_source,
}
MODEL_CACHE_INDEXES: Mapping[str, IndexFunction[Any]] = {"source": _by_source}
CACHE_WISH_INDEXES: Mapping[str, IndexFunction[Any]] = {"wished-cache": _by_wish}
