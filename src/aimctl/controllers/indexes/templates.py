"""How templates and Jobs are found by what they refer to: index functions, and the values to ask for.

Contract: an index value is ``<namespace>/<name>``; with ``*`` as namespace it finds the objects of all namespaces and
scopes that use the name. So a change of a model or runtime config reaches exactly the templates that may use it.

The functions run for every object that enters the cache. They decode the few fields they need and leave the typed
view unmade, which for 20,000 templates is the larger part of a sync.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.domain.gpus import normalise
from aimctl.domain.naming import DISCOVERY, LABEL_COMPONENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import IndexFunction

__all__ = [
    "EVERYWHERE",
    "JOB_INDEXES",
    "POD_INDEXES",
    "TEMPLATE_INDEXES",
    "UNFINISHED",
    "place",
]

EVERYWHERE = "*"
UNFINISHED = "unfinished"


class _Gpu(msgspec.Struct, gc=False):
    model: str | None = None


class _TemplateSpec(msgspec.Struct, rename="camel", gc=False):
    model_name: str = ""
    runtime_config_name: str = "default"
    gpu_selector: _Gpu | None = None


class _Template(msgspec.Struct, gc=False):
    spec: _TemplateSpec


_template = msgspec.json.Decoder(_Template)


def place(namespace: str, name: str) -> str:
    """The index value of a name in a namespace; "" is for cluster-scoped users."""
    return f"{namespace}/{name}"


def _both(obj: Object[Any], name: str) -> Iterator[str]:
    yield place(obj.meta.namespace, name)
    yield place(EVERYWHERE, name)


def _by_model(obj: Object[Any]) -> Iterator[str]:
    return _both(obj, _template.decode(obj.raw).spec.model_name)


def _by_runtime_config(obj: Object[Any]) -> Iterator[str]:
    return _both(obj, _template.decode(obj.raw).spec.runtime_config_name)


def _by_gpu(obj: Object[Any]) -> Iterator[str]:
    gpu = _template.decode(obj.raw).spec.gpu_selector
    if gpu is not None and gpu.model:
        yield normalise(gpu.model)


def _by_owner(obj: Object[Any]) -> Iterator[str]:
    for owner in obj.meta.owners:
        if owner.controller:
            yield owner.uid


def _unfinished(obj: Object[Any]) -> Iterator[str]:
    """Discovery Jobs that hold a slot; downloads hold none."""
    if obj.meta.labels.get(LABEL_COMPONENT) == DISCOVERY and not obj.view.finished:
        yield UNFINISHED


TEMPLATE_INDEXES: Mapping[str, IndexFunction[Any]] = {
    "model": _by_model,
    "runtime-config": _by_runtime_config,
    "gpu": _by_gpu,
}
JOB_INDEXES: Mapping[str, IndexFunction[Any]] = {"owner": _by_owner, "state": _unfinished}
POD_INDEXES: Mapping[str, IndexFunction[Any]] = {"owner": _by_owner}
