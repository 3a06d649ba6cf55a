"""Observes one model and what its decision looks at, from the cache and without waiting.

Contract:
    * Every lookup is by key or index. The cost depends on the number of templates of the model, and no template is
      decoded: an index contains their states.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

from aimctl.api import kinds
from aimctl.api.v1alpha1 import TemplateState
from aimctl.controllers.execution.executor import Observed
from aimctl.controllers.indexes.models import MODEL_INDEXES, TEMPLATE_STATE_INDEXES, in_state
from aimctl.controllers.indexes.templates import EVERYWHERE
from aimctl.domain.conditions import clip
from aimctl.domain.models.observation import ModelObservation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.controllers.models.image_readings import ImageReadings
    from aimctl.controllers.observer import References
    from aimctl.controllers.options import OperatorOptions
    from aimctl.domain.models.observation import Model
    from aimctl.domain.plan import Known
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import ObjectKey, Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request

__all__ = ["ModelObserver"]

_STATES = ("", *map(str, TemplateState))
_MAX_REJECTION = 512
"""Characters of a rejection in a condition, which may list several."""


@final
class ModelObserver:
    """Observes the models of one scope.

    Args:
        resource: AIMModel or AIMClusterModel.
        references: declares templates and runtime configs, and resolves runtime configs.
        options: the operator's.
        clock: for ``now``.
        readings: what is known about images.
    """

    def __init__(
        self,
        resource: Resource[Any],
        references: References,
        options: OperatorOptions,
        clock: Clock,
        readings: ImageReadings,
    ) -> None:
        self._resource = resource
        self._cache = references.cache
        self._references = references
        self._options = options
        self._clock = clock
        self._readings = readings
        declare, own = self._cache.declare, options.namespaces
        declare(resource, namespaces=own if resource.namespaced else (), indexes=MODEL_INDEXES)
        declare(kinds.TEMPLATES, namespaces=own, indexes=TEMPLATE_STATE_INDEXES)
        declare(kinds.CLUSTER_TEMPLATES, indexes=TEMPLATE_STATE_INDEXES)

    def observe(self, request: Request, known: Known) -> Observed[ModelObservation] | None:
        """The model of this key and what concerns it; None if it does not exist."""
        model: Model | None = self._cache.get(self._resource, request.name, request.namespace)
        if model is None:
            return None
        namespace = model.meta.namespace
        seen = ModelObservation(
            model=model,
            runtime_config=self._references.runtime_config(model.view.spec.runtime_config_name, namespace),
            secrets_namespace=namespace or self._options.operator_namespace,
            now=self._clock.now(),
            templates={state: tuple(self._templates_of(request, state)) for state in _STATES},
        )
        if seen.open_question is not None:
            reading, seconds = self._readings.answer(seen.open_question)
            seen = replace(seen, reading=reading, retry_seconds=seconds)
        return Observed(model, self._with_recommended(seen, known))

    def _with_recommended(self, seen: ModelObservation, known: Known) -> ModelObservation:
        """Add the existing objects of recommended templates, and the rejections of missing ones."""
        namespace = seen.model.meta.namespace
        kind: Resource[Any] = kinds.TEMPLATES if namespace else kinds.CLUSTER_TEMPLATES
        existing: dict[str, Template] = {}
        rejections: dict[str, str] = {}
        for name in seen.recommended_templates():
            template = self._cache.get(kind, name, namespace)
            rejection = known.rejection(kind, namespace, name)
            if template is not None:
                existing[name] = template
            elif rejection is not None:
                rejections[name] = clip(rejection.message, _MAX_REJECTION)
        return replace(seen, existing=existing, rejections=rejections)

    def _templates_of(self, model: Request, state: str) -> Iterator[ObjectKey]:
        """The templates in a state that use a model."""
        find, (namespace, name) = self._cache.by_index, model
        if not namespace:
            for cluster_template in find(kinds.CLUSTER_TEMPLATES, "model-state", in_state("", name, state)):
                yield cluster_template.key
        for template in find(kinds.TEMPLATES, "model-state", in_state(namespace or EVERYWHERE, name, state)):
            # An AIMModel hides the AIMClusterModel of the same name from the templates of its namespace.
            if namespace or self._cache.get(kinds.MODELS, name, template.meta.namespace) is None:
                yield template.key
