"""Observes one template and everything that its decisions use, from the cache.

Invariant: every read is by key or by index, so the cost of an observation does not depend on the number of templates.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, final

from aimctl.api import kinds
from aimctl.controllers.execution.executor import Observed
from aimctl.controllers.indexes.caching import available_sources
from aimctl.controllers.indexes.services import used
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.controllers.jobs import owned_jobs
from aimctl.domain.templates.observation import TemplateObservation

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.controllers.execution.rejections import Rejections
    from aimctl.controllers.observer import References
    from aimctl.domain.jobs.observed import PodLog
    from aimctl.domain.plan import Known
    from aimctl.domain.templates.template import Template
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request

__all__ = ["TemplateObserver"]


_NEW_TEMPLATE = "a new template of another model (modelName is immutable)"


@final
class TemplateObserver:
    """Observes templates of both scopes. A request without a namespace is for a cluster template.

    Args:
        references: declares the kinds, and resolves references.
        operator_namespace: where the Jobs of cluster templates run.
        clock: for the time of the observation.
        rejected_jobs: the discovery Jobs that the API server rejected. Both reconcilers of a template report them.
        log_of: the log of the pod with a UID that was read for a request; None before it was read.
    """

    def __init__(
        self,
        references: References,
        *,
        operator_namespace: str,
        clock: Clock,
        rejected_jobs: Rejections,
        log_of: Callable[[Request, str], PodLog | None],
    ) -> None:
        self._references = references
        self._cache = references.cache
        self._operator_namespace = operator_namespace
        self._clock = clock
        self._rejected_jobs = rejected_jobs
        self._log_of = log_of

    def observe(self, request: Request, known: Known) -> Observed[TemplateObservation] | None:
        """The template and what its decisions use; None if it does not exist.

        Raises:
            DecodeError: the template, its model or its runtime config does not fit its type.
        """
        template = self.template(request)
        if template is None:
            return None
        spec, namespace = template.view.spec, request.namespace
        rejections = {**known.rejections, **self._rejected_jobs.of(request)}
        seen = TemplateObservation(
            template,
            model=self._references.model(spec.model_name, namespace, remedy=_NEW_TEMPLATE),
            runtime_config=self._references.runtime_config(spec.runtime_config_name, namespace),
            gpus=self._references.inventory.offered,
            operator_namespace=self._operator_namespace,
            now=self._clock.now(),
            jobs=owned_jobs(
                self._cache,
                template.meta.uid,
                namespace or self._operator_namespace,
                known=known,
                log_of=lambda pod_uid: self._log_of(request, pod_uid),
            ),
            cached=available_sources(self._cache.get(kinds.TEMPLATE_CACHES, request.name, namespace))
            if namespace
            else frozenset(),
            known=replace(known, rejections=rejections),
        )
        return Observed(template, seen)

    def awaited(self, template: Template) -> bool:
        """Whether a service waits for this template.

        A service waits for a template that it names, that it uses, or that was derived for it (the service is an
        owner). A service that names no template waits for all templates of its model.
        """
        namespace, name = template.meta.namespace, template.meta.name
        services = kinds.SERVICES
        if any(item.kind == services.kind and item.group == services.group for item in template.meta.owners):
            return True
        where, find = namespace or EVERYWHERE, self._cache.by_index
        return bool(
            find(services, "template", place(where, name))
            or find(services, "model", place(where, template.view.spec.model_name))
            or find(services, "uses", used(template.resource.kind, namespace, name))
        )

    def template(self, request: Request) -> Template | None:
        """The template of a request in the cache; None if it does not exist."""
        if request.namespace:
            return self._cache.get(kinds.TEMPLATES, request.name, request.namespace)
        return self._cache.get(kinds.CLUSTER_TEMPLATES, request.name)
