"""Observes one service, its model and the templates of that model: what services and derivation have in common.

Invariant: an observation reads the cache by key or index and never waits. Its cost depends on the number of templates
of one model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, final

from aimctl.api import kinds
from aimctl.api.v1alpha1 import ModelState, Scope
from aimctl.controllers.indexes.services import MODEL_LOOKUPS
from aimctl.controllers.indexes.templates import place
from aimctl.controllers.services.elapsed import ElapsedTimes
from aimctl.domain.models.auto_model import auto_model_scope
from aimctl.domain.models.decision import RUNTIME_RESOLVED
from aimctl.domain.naming import auto_model_name
from aimctl.domain.resolution import Missing, Resolved
from aimctl.domain.services.candidates import READY, RUNTIME_CONFIG_NOT_FOUND
from aimctl.domain.services.model import resolve_image
from aimctl.domain.services.observation import NewModel, ServiceObservation
from aimctl.domain.services.selection import WAIT_SECONDS
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aimctl.api.v1alpha1 import AIMService, ModelSpec, ResolvedReference, RuntimeConfigSpec
    from aimctl.controllers.observer import References
    from aimctl.controllers.options import OperatorOptions
    from aimctl.domain.models.observation import Model
    from aimctl.domain.plan import Known
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request

__all__ = ["ServiceObserver", "model_progress"]


@final
class ServiceObserver:
    """Observes services.

    Args:
        references: declares templates, models and runtime configs, and resolves references to them.
        options: the operator's.
        clock: for ``now``, and for the waits.

    Attributes:
        cache: where everything is read.
        waits: how long services have waited for templates, by UID. The services reconciler keeps it up to date.
    """

    def __init__(self, references: References, options: OperatorOptions, clock: Clock) -> None:
        self.cache = references.cache
        self.waits = ElapsedTimes(clock)
        self._references = references
        self._clock = clock
        self.cache.declare(kinds.MODELS, namespaces=options.namespaces, indexes=MODEL_LOOKUPS)
        self.cache.declare(kinds.CLUSTER_MODELS, indexes=MODEL_LOOKUPS)

    def observe(self, request: Request, known: Known) -> ServiceObservation | None:
        """The service of this key and what concerns it; None if it does not exist."""
        obj = self.cache.get(kinds.SERVICES, request.name, request.namespace)
        if obj is None:
            return None
        view, namespace = obj.view, obj.meta.namespace
        config = self.runtime_config(view.spec.runtime_config_name, namespace)
        model = self._model(view, namespace, config)
        templates = tuple(self._templates_of(model, namespace))
        progress = self._model_progress(model)
        return ServiceObservation(
            obj=obj,
            model=model,
            runtime_config=config,
            templates=templates,
            named=self._named(view, model, namespace),
            gpus=self._references.inventory.offered,
            now=self._clock.now(),
            current=self._current(view.status.resolved_template, namespace),
            model_settled=progress.settled,
            model_problem=progress.problem,
            configured=frozenset(self._configured(templates)),
            waits={uid: WAIT_SECONDS - seconds for uid, seconds in self.waits.of(request).items()},
            known=known,
        )

    def runtime_config(self, name: str, namespace: str) -> Resolved[RuntimeConfigSpec] | Missing:
        """The runtime config that a name means in a namespace."""
        return self._references.runtime_config(name, namespace)

    def template(self, name: str, namespace: str) -> Template | None:
        """The template that a name means in a namespace."""
        found: Template | None = self.cache.get(kinds.TEMPLATES, name, namespace)
        return found if found is not None else self.cache.get(kinds.CLUSTER_TEMPLATES, name)

    # ---- models

    def _model(
        self, view: AIMService, namespace: str, config: Resolved[RuntimeConfigSpec] | Missing
    ) -> Resolved[ModelSpec] | Missing | NewModel:
        wanted = view.spec.model
        if wanted.ref is not None:
            return self._references.model(wanted.ref, namespace, remedy="correct spec.model.ref")
        image, find, known = wanted.image or "", self.cache.by_index, view.status.resolved_image
        return resolve_image(
            image,
            namespaced=find(kinds.MODELS, "image", place(namespace, image)),
            cluster=[
                obj
                for obj in find(kinds.CLUSTER_MODELS, "image", place("", image))
                if self.cache.get(kinds.MODELS, obj.meta.name, namespace) is None
            ],
            kept_uid="" if known is None else known.uid,
            taken=self._has_name_for(image, namespace, config),
        )

    def _has_name_for(
        self, image: str, namespace: str, config: Resolved[RuntimeConfigSpec] | Missing
    ) -> Model | None:
        """The model that has the name of a new one for the image already."""
        name = auto_model_name(image)
        obj: Model | None = self.cache.get(kinds.MODELS, name, namespace)
        if obj is None and isinstance(config, Resolved) and auto_model_scope(image, config) is Scope.CLUSTER:
            obj = self.cache.get(kinds.CLUSTER_MODELS, name)
        return obj

    def _model_progress(self, model: Resolved[ModelSpec] | Missing | NewModel) -> ModelProgress:
        if not isinstance(model, Resolved) or model.reference is None:
            return ModelProgress()
        name, namespace = model.reference.name, model.reference.namespace
        resource: Resource[Any] = kinds.MODELS if namespace else kinds.CLUSTER_MODELS
        obj: Model | None = self.cache.get(resource, name, namespace)
        return ModelProgress() if obj is None else model_progress(obj)

    # ---- templates

    def _templates_of(
        self, model: Resolved[ModelSpec] | Missing | NewModel, namespace: str
    ) -> Iterator[Template]:
        if not isinstance(model, Resolved) or model.reference is None:
            return
        name, find = model.reference.name, self.cache.by_index
        yield from find(kinds.TEMPLATES, "model", place(namespace, name))
        for obj in find(kinds.CLUSTER_TEMPLATES, "model", place("", name)):
            if self.cache.get(kinds.TEMPLATES, obj.meta.name, namespace) is None:
                yield obj

    def _configured(self, templates: Iterable[Template]) -> Iterator[str]:
        for template in templates:
            view = template.view_or_none
            ready = None if view is None else find_condition(view.status.conditions, READY)
            if view is None or ready is None or ready.reason != RUNTIME_CONFIG_NOT_FOUND:
                continue
            config = self.runtime_config(view.spec.runtime_config_name, template.meta.namespace)
            if isinstance(config, Resolved):
                yield template.meta.uid

    def _named(
        self, view: AIMService, model: Resolved[ModelSpec] | Missing | NewModel, namespace: str
    ) -> Template | None:
        name = view.spec.template_ref
        if name is None and isinstance(model, Resolved):
            name = model.spec.default_service_template
        return self.template(name, namespace) if name else None

    def _current(self, known: ResolvedReference | None, namespace: str) -> Template | None:
        # Never a template of another namespace, even if the status was edited.
        if known is None or known.namespace not in (None, "", namespace):
            return None
        resource: Resource[Any] = kinds.TEMPLATES if known.namespace else kinds.CLUSTER_TEMPLATES
        found: Template | None = self.cache.get(resource, known.name, known.namespace or "")
        return found if found is not None and found.meta.uid == known.uid else None


class ModelProgress(NamedTuple):
    """How far the reconciler of a model is.

    Attributes:
        settled: whether it has read the image, or cannot continue without intervention.
        problem: the message of the model's condition ``Ready`` if it is settled and not Ready.
    """

    settled: bool = True
    problem: str = ""


def model_progress(model: Model) -> ModelProgress:
    """How far the reconciler of a model is."""
    view = model.view_or_none
    if view is None:
        return ModelProgress()
    conditions = view.status.conditions
    resolved = find_condition(conditions, RUNTIME_RESOLVED)
    stuck = resolved is not None and resolved.status == "False"
    if view.status.status in ("", ModelState.PENDING) and not stuck:
        return ModelProgress(settled=False)
    ready = find_condition(conditions, READY)
    return ModelProgress(problem=ready.message if ready is not None and ready.status == "False" else "")
