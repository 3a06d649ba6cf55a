"""The warming reconciler: the condition ``CacheWarm`` of a namespaced template, and the template cache it needs.

Reconciled is a template, after an event of

* the template itself, if it has caching settings or the condition,
* the template cache of its name.

The rules are in :mod:`aimctl.domain.caching.warming`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.api.kinds import TEMPLATE_CACHES, TEMPLATES
from aimctl.controllers.execution.executor import Observed
from aimctl.controllers.indexes.caching import TEMPLATE_CACHE_INDEXES
from aimctl.domain.caching.warming import WarmingObservation, decide_warming
from aimctl.domain.templates.state import CACHE_WARM
from aimctl.kubetypes import find_condition
from aimctl.kubetypes.permissions import Permission, observes
from aimctl.runtime.controller import EnqueueObject, Watch, objects_of

if TYPE_CHECKING:
    from aimctl.api.v1alpha1 import AIMServiceTemplate
    from aimctl.controllers.operator_context import OperatorContext
    from aimctl.domain.plan import Known
    from aimctl.runtime.controller import ObjectEvent, Request

__all__ = ["FIELD_MANAGER", "add_warming"]

FIELD_MANAGER = "aim-caching"

PERMISSIONS = (
    *observes(TEMPLATE_CACHES, reason="observe every kind of the operator"),
    Permission(TEMPLATE_CACHES, ("create",), "cache the sources of templates that request it"),
)


def add_warming(context: OperatorContext) -> None:
    """Add the reconciler to the manager."""
    observer = _Observer(context)
    caches = context.cache.declare(
        TEMPLATE_CACHES, namespaces=context.options.namespaces, indexes=TEMPLATE_CACHE_INDEXES
    )
    context.manager.controller(
        "warming",
        context.executor.reconciler(observer.observe, decide_warming, field_manager=FIELD_MANAGER),
        for_=TEMPLATES,
        predicates=[_concerns_caching],
        sources=[Watch(caches, EnqueueObject())],
        **context.defaults(),
    )


@final
class _Observer:
    def __init__(self, context: OperatorContext) -> None:
        self._cache = context.cache
        self._references = context.references
        self._clock = context.manager.clock

    def observe(self, request: Request, known: Known) -> Observed[WarmingObservation] | None:
        template = self._cache.get(TEMPLATES, request.name, request.namespace)
        if template is None:
            return None
        config = template.view.spec.runtime_config_name
        rejection = known.rejection(TEMPLATE_CACHES, request.namespace, request.name)
        seen = WarmingObservation(
            template=template,
            runtime_config=self._references.runtime_config(config, request.namespace),
            cache=self._cache.get(TEMPLATE_CACHES, request.name, request.namespace),
            now=self._clock.now(),
            rejection=rejection.message if rejection is not None else "",
        )
        return Observed(template, seen)


def _concerns_caching(event: ObjectEvent[AIMServiceTemplate]) -> bool:
    """A predicate: the template has caching settings or the condition CacheWarm."""
    views = (obj.view_or_none for obj in objects_of(event))
    return any(
        view.spec.caching is not None or find_condition(view.status.conditions, CACHE_WARM) is not None
        for view in views
        if view is not None
    )
