"""Observe: one service and everything its decisions look at, read from the cache without waiting.

Invariant: nothing is read but what is declared here or by :class:`~aimctl.controllers.observer.TemplateObserver`, and
every lookup is by key or index: an observation costs what the templates of one model cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.api import kinds
from aimctl.api.v1alpha1 import ModelState, Scope
from aimctl.controllers.indexes.services import MODEL_LOOKUPS
from aimctl.controllers.indexes.templates import place
from aimctl.domain import conditions
from aimctl.domain.models.auto_model import auto_model_name, auto_model_scope
from aimctl.domain.models.decision import RUNTIME_RESOLVED
from aimctl.domain.resolution import Found, Missing, Resolved
from aimctl.domain.services.candidates import READY, RUNTIME_CONFIG_NOT_FOUND
from aimctl.domain.services.model import resolve_image
from aimctl.domain.services.observation import (
    ModelWish,
    ObservedInferenceService,
    ServiceIdentity,
    ServiceObservation,
)
from aimctl.domain.templates.template import unreadable
from aimctl.kubetypes.permissions import observes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aimctl.api.v1alpha1 import (
        AIMService,
        AIMTemplateCache,
        ModelSpec,
        ResolvedReference,
        RuntimeConfigSpec,
    )
    from aimctl.controllers.observer import TemplateObserver
    from aimctl.controllers.options import OperatorOptions
    from aimctl.domain.templates.template import Template
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Object, Resource

__all__ = ["ServiceObserver", "model_settled", "observed_inference_service"]

PERMISSIONS = observes(kinds.INFERENCE_SERVICES, reason="report the state of the runtime of a service")


@final
class ServiceObserver:
    """See the module.

    Args:
        templates: declares and reads what templates refer to.
        options: the operator's.
        clock: for ``now``.
    """

    def __init__(self, templates: TemplateObserver, options: OperatorOptions, clock: Clock) -> None:
        self.cache = templates.cache
        self._templates = templates
        self._clock = clock
        declare, own = self.cache.declare, options.namespaces
        declare(kinds.MODELS, namespaces=own, indexes=MODEL_LOOKUPS)
        declare(kinds.CLUSTER_MODELS, indexes=MODEL_LOOKUPS)
        declare(kinds.TEMPLATE_CACHES, namespaces=own)
        self._runtime = declare(kinds.INFERENCE_SERVICES, namespaces=own, optional=True)

    def observe(self, request: Request) -> tuple[Object[AIMService], ServiceObservation] | None:
        """The service of this key and what concerns it; None when it is gone."""
        obj = self.cache.get(kinds.SERVICES, request.name, request.namespace)
        if obj is None:
            return None
        view, namespace = obj.view, obj.meta.namespace
        config = self._templates.runtime_config(view.spec.runtime_config_name, namespace)
        model = self._model(view, namespace, config)
        identity = ServiceIdentity(
            namespace,
            obj.meta.name,
            obj.meta.uid,
            obj.meta.generation,
            obj.meta.deleting,
            obj.meta.labels,
        )
        templates = tuple(self._candidates(model, namespace))
        return obj, ServiceObservation(
            service=identity,
            view=view,
            model=model,
            runtime_config=config,
            templates=templates,
            named=self._named(view, model, namespace),
            gpu_models=self._templates.inventory.offered,
            now=self._clock.now(),
            current=self._current(view.status.resolved_template, namespace),
            model_settled=self._settled(model),
            inference_service=self._inference_service(request),
            kserve_served=self.kserve_served,
            configured=frozenset(self._configured(templates)),
        )

    @property
    def kserve_served(self) -> bool:
        """Whether the server has InferenceServices."""
        return self._runtime.served

    def template_named(self, name: str, namespace: str) -> Template | None:
        """The template that a name means in a namespace."""
        return self.template(kinds.TEMPLATES, name, namespace) or self.template(kinds.CLUSTER_TEMPLATES, name)

    def template(self, resource: Resource[Any], name: str, namespace: str = "") -> Template | None:
        """The template of this scope and name, readable or not."""
        return self.cache.get(resource, name, namespace)

    def template_cache(self, name: str, namespace: str) -> Object[AIMTemplateCache] | None:
        """The template cache of this name."""
        return self.cache.get(kinds.TEMPLATE_CACHES, name, namespace)

    # ---- models

    def _model(
        self, view: AIMService, namespace: str, config: Resolved[RuntimeConfigSpec] | Missing
    ) -> Resolved[ModelSpec] | Missing | ModelWish:
        wanted = view.spec.model
        if wanted.ref is not None:
            return self._templates.model(wanted.ref, namespace)
        image = wanted.image or ""
        find = self.cache.by_index
        known = view.status.resolved_image
        return resolve_image(
            image,
            namespace,
            namespaced=[_found(obj) for obj in find(kinds.MODELS, "image", place(namespace, image))],
            cluster=[
                _found(obj)
                for obj in find(kinds.CLUSTER_MODELS, "image", place("", image))
                if self.cache.get(kinds.MODELS, obj.meta.name, namespace) is None
            ],
            kept_uid="" if known is None else known.uid,
            taken=self._taken(auto_model_name(image), namespace, config),
        )

    def _settled(self, model: Resolved[ModelSpec] | Missing | ModelWish) -> bool:
        if not isinstance(model, Resolved) or model.reference is None:
            return True
        resource: Resource[Any] = kinds.MODELS if model.reference.namespace else kinds.CLUSTER_MODELS
        obj = self.cache.get(resource, model.reference.name, model.reference.namespace)
        return obj is None or model_settled(obj)

    def _taken(
        self, name: str, namespace: str, config: Resolved[RuntimeConfigSpec] | Missing
    ) -> Found[ModelSpec] | None:
        """What has the name already that a new model would get."""
        obj: Object[Any] | None = self.cache.get(kinds.MODELS, name, namespace)
        if obj is None and isinstance(config, Resolved) and auto_model_scope(config) is Scope.CLUSTER:
            obj = self.cache.get(kinds.CLUSTER_MODELS, name)
        return None if obj is None else _found(obj)

    # ---- templates

    def _candidates(
        self, model: Resolved[ModelSpec] | Missing | ModelWish, namespace: str
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
            if unreadable(template):
                continue
            ready = conditions.find(template.view.status.conditions, READY)
            if ready is not None and ready.reason == RUNTIME_CONFIG_NOT_FOUND:
                name = template.view.spec.runtime_config_name
                if isinstance(self._templates.runtime_config(name, template.meta.namespace), Resolved):
                    yield template.meta.uid

    def _named(
        self, view: AIMService, model: Resolved[ModelSpec] | Missing | ModelWish, namespace: str
    ) -> Template | None:
        name = view.spec.template_ref
        if name is None and isinstance(model, Resolved):
            name = model.spec.default_service_template
        return self.template_named(name, namespace) if name else None

    def _current(self, known: ResolvedReference | None, namespace: str) -> Template | None:
        # Nothing of another namespace, whatever somebody has written into the status.
        if known is None or known.namespace not in (None, "", namespace):
            return None
        resource: Resource[Any] = kinds.TEMPLATES if known.namespace else kinds.CLUSTER_TEMPLATES
        found = self.template(resource, known.name, known.namespace or "")
        return found if found is not None and found.meta.uid == known.uid else None

    # ---- the runtime

    def _inference_service(self, request: Request) -> ObservedInferenceService | None:
        obj = self._runtime.store.get(request)
        return None if obj is None else observed_inference_service(obj)


def model_settled(obj: Object[Any]) -> bool:
    """Whether a model's own reconciler is through with its image, or waits for a person's help with it."""
    status = obj.view.status
    if status.status not in ("", ModelState.PENDING):
        return True
    resolved = conditions.find(status.conditions, RUNTIME_RESOLVED)
    return resolved is not None and resolved.status == "False"


def observed_inference_service(obj: Object[Mapping[str, Any]]) -> ObservedInferenceService:
    """An InferenceService as decisions see it."""
    return ObservedInferenceService(
        uid=obj.meta.uid,
        controller=next((owner.uid for owner in obj.meta.owners if owner.controller), ""),
        annotations=obj.annotations,
        deleting=obj.meta.deleting,
        body=obj.view,
    )


def _found(obj: Object[Any]) -> Found[ModelSpec]:
    return Found(obj.meta.name, obj.meta.namespace, obj.meta.uid, obj.view.spec)
