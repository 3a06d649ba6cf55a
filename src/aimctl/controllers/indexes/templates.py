"""Indexes of templates, Jobs and pods.

Contract:
    * An index value is ``<namespace>/<name>``. With ``*`` as the namespace it finds the objects of all namespaces and
      scopes that use the name. So a change of a model or a runtime config is mapped to exactly the templates that may
      use it.
    * A template that cannot be read is found by its model only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.domain.gpus import normalise
from aimctl.domain.naming import DISCOVERY, LABEL_COMPONENT
from aimctl.domain.templates.template import model_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Job, Object
    from aimctl.runtime.cache import IndexFunction

__all__ = [
    "ANY_GPU",
    "EVERYWHERE",
    "JOB_INDEXES",
    "POD_INDEXES",
    "TEMPLATE_INDEXES",
    "UNFINISHED",
    "place",
]

EVERYWHERE = "*"
ANY_GPU = "*"
"""Index value of templates that need a number of GPUs of any model."""

UNFINISHED = "unfinished"


def place(namespace: str, name: str) -> str:
    """The index value of a name in a namespace, "" for cluster-scoped objects."""
    return f"{namespace}/{name}"


def _both(obj: Object[Any], name: str) -> Iterator[str]:
    yield place(obj.meta.namespace, name)
    yield place(EVERYWHERE, name)


def _by_model(template: Template) -> Iterator[str]:
    return _both(template, model_name(template))


def _by_runtime_config(template: Template) -> Iterator[str]:
    view = template.view_or_none
    if view is not None:
        yield from _both(template, view.spec.runtime_config_name)


def _by_gpu(template: Template) -> Iterator[str]:
    view = template.view_or_none
    gpu = None if view is None else view.spec.gpu_selector
    if gpu is not None and gpu.model:
        yield normalise(gpu.model)
    elif gpu is not None and gpu.count:
        yield ANY_GPU


def _by_owner(obj: Object[Any]) -> Iterator[str]:
    owner = obj.meta.controller
    if owner is not None:
        yield owner.uid


def _unfinished(job: Object[Job]) -> Iterator[str]:
    """Discovery Jobs that occupy a slot if a template controls them, which an index cannot know."""
    if job.meta.labels.get(LABEL_COMPONENT) == DISCOVERY and not job.view.finished:
        yield UNFINISHED


TEMPLATE_INDEXES: Mapping[str, IndexFunction[Any]] = {
    "model": _by_model,
    "runtime-config": _by_runtime_config,
    "gpu": _by_gpu,
}
JOB_INDEXES: Mapping[str, IndexFunction[Any]] = {"owner": _by_owner, "state": _unfinished}
POD_INDEXES: Mapping[str, IndexFunction[Any]] = {"owner": _by_owner}
