"""Observe: one model and everything its decisions look at, read from the cache without waiting.

Invariant: nothing is read but what is declared here or by :class:`~aimctl.controllers.observer.TemplateObserver`, and
every lookup is by key or index: an observation costs what the templates of one model cost, a few microseconds each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.api import kinds
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.domain.models.auto_templates import ModelIdentity
from aimctl.domain.models.observation import ModelObservation, SeenTemplate
from aimctl.domain.naming import LABEL_AUTO_GENERATED, LABEL_DERIVED
from aimctl.domain.templates.discovery_job import REDISCOVER_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.controllers.observer import TemplateObserver
    from aimctl.controllers.options import OperatorOptions
    from aimctl.runtime.cache import IndexFunction
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Object, Resource

__all__ = ["MODEL_INDEXES", "ModelObserver", "model_of", "state_of"]


class _Spec(msgspec.Struct, rename="camel", gc=False):
    model_name: str = ""
    runtime_config_name: str = "default"


class _Status(msgspec.Struct, gc=False):
    status: str = ""


class _Head(msgspec.Struct, gc=False):
    spec: _Spec
    status: _Status | None = None


_head = msgspec.json.Decoder(_Head)


def state_of(template: Object[Any]) -> str:
    """The state of a template; "" before anybody has looked at it."""
    status = _head.decode(template.raw).status
    return "" if status is None else status.status


def model_of(template: Object[Any]) -> str:
    """The name of the model that a template runs."""
    return _head.decode(template.raw).spec.model_name


def _by_runtime_config(obj: Object[Any]) -> Iterator[str]:
    name = _head.decode(obj.raw).spec.runtime_config_name
    yield place(obj.meta.namespace, name)
    yield place(EVERYWHERE, name)


MODEL_INDEXES: Mapping[str, IndexFunction[Any]] = {"runtime-config": _by_runtime_config}


@final
class ModelObserver:
    """See the module.

    Args:
        templates: declares and reads what templates refer to.
        options: the operator's.
        clock: for ``now``.
    """

    def __init__(self, templates: TemplateObserver, options: OperatorOptions, clock: Clock) -> None:
        self.cache = templates.cache
        self._templates = templates
        self._options = options
        self._clock = clock
        self.cache.declare(kinds.MODELS, namespaces=options.namespaces, indexes=MODEL_INDEXES)
        self.cache.declare(kinds.CLUSTER_MODELS, indexes=MODEL_INDEXES)

    def observe(
        self, resource: Resource[Any], request: Request
    ) -> tuple[Object[Any], ModelObservation] | None:
        """The model of this key and what concerns it; None when it is gone."""
        obj = self.cache.get(resource, request.name, request.namespace)
        if obj is None:
            return None
        meta = obj.meta
        identity = ModelIdentity(
            kind=resource.kind,
            namespace=meta.namespace,
            name=meta.name,
            uid=meta.uid,
            generation=meta.generation,
            deleting=meta.deleting,
            labels=meta.labels,
            rediscover=obj.annotations.get(REDISCOVER_ANNOTATION, ""),
        )
        return obj, ModelObservation(
            model=identity,
            view=obj.view,
            runtime_config=self._templates.runtime_config(obj.view.spec.runtime_config_name, meta.namespace),
            secrets_namespace=meta.namespace or self._options.operator_namespace,
            now=self._clock.now(),
            templates=self._states(meta.namespace, meta.name),
        )

    def with_named(self, seen: ModelObservation) -> ModelObservation:
        """The observation with what has the names of the model's own templates, and all its templates as they are now:
        some may just have been made.
        """
        resource: Resource[Any] = kinds.TEMPLATES if seen.model.namespace else kinds.CLUSTER_TEMPLATES
        named: dict[str, SeenTemplate] = {}
        for wanted in seen.wanted_templates():
            obj = self.cache.get(resource, wanted.name, seen.model.namespace)
            if obj is not None:
                named[wanted.name] = SeenTemplate(
                    obj.meta.name, obj.meta.namespace, state_of(obj), ours=_ours(obj, seen)
                )
        return replace(seen, named=named, templates=self._states(seen.model.namespace, seen.model.name))

    def hidden(self, namespace: str, name: str) -> bool:
        """Whether an AIMModel of this namespace hides the cluster's of the name."""
        return self.cache.get(kinds.MODELS, name, namespace) is not None

    def _states(self, namespace: str, name: str) -> tuple[SeenTemplate, ...]:
        return tuple(
            SeenTemplate(item.meta.name, item.meta.namespace, state_of(item))
            for item in self._templates_of(namespace, name)
        )

    def _templates_of(self, namespace: str, name: str) -> Iterator[Object[Any]]:
        """Its templates, but for derived ones: what one service's overrides come to says nothing of the model."""
        find = self.cache.by_index
        if not namespace:
            yield from find(kinds.CLUSTER_TEMPLATES, "model", place("", name))
        for item in find(kinds.TEMPLATES, "model", place(namespace or EVERYWHERE, name)):
            if LABEL_DERIVED not in item.meta.labels and (
                namespace or not self.hidden(item.meta.namespace, name)
            ):
                yield item


def _ours(obj: Object[Any], seen: ModelObservation) -> bool:
    """Made for this model, or for one of its name before it: then it is what would be made again."""
    if any(owner.uid == seen.model.uid for owner in obj.meta.owners):
        return True
    return LABEL_AUTO_GENERATED in obj.meta.labels and model_of(obj) == seen.model.name
