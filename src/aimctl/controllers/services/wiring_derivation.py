"""The reconcilers of derived templates.

These events enqueue services, for derivation:
    services   themselves, when their spec changes or when their status reports another result of selection
    templates  the services that own them, name them, or own what was derived from them; the services whose derived
               template gets their name; the services with overrides that have their model
    models     the services with overrides that use them

A derived template that loses its owners is enqueued for the reconciler that deletes it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, final

from aimctl.api import kinds
from aimctl.controllers.indexes.services import resolved_of, services_by
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.controllers.services.derivation import DerivationObserver, UnownedObserver
from aimctl.controllers.services.facts import template_facts
from aimctl.domain.naming import LABEL_DERIVED
from aimctl.domain.services.derivation.decision import decide_derivation
from aimctl.domain.services.derivation.unowned import decide_unowned
from aimctl.domain.templates.template import model_name
from aimctl.kubetypes import find_condition
from aimctl.kubetypes.permissions import Permission
from aimctl.runtime.controller import (
    Created,
    EnqueueMapped,
    EnqueueOwner,
    Request,
    Watch,
    any_of,
    changed,
    generation_changed,
    label_selector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.api.v1alpha1 import AIMService
    from aimctl.controllers.operator_context import OperatorContext
    from aimctl.controllers.services.observer import ServiceObserver
    from aimctl.domain.models.observation import Model
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object
    from aimctl.runtime.controller import Source

__all__ = ["FIELD_MANAGER", "add_derivation"]

PERMISSIONS = (
    Permission(kinds.TEMPLATES, ("create",), "derive templates for the overrides of services"),
    Permission(kinds.TEMPLATES, ("patch",), "share derived templates, and follow the changes of their base"),
    Permission(kinds.TEMPLATES, ("delete",), "delete derived templates that no service uses"),
)

FIELD_MANAGER = "aim-derivation"


def add_derivation(context: OperatorContext, services: ServiceObserver) -> None:
    """Add the reconcilers of derived templates.

    Args:
        context: of the operator.
        services: observes services, also for the services reconciler.
    """
    manager = context.manager
    observer = DerivationObserver(services, context.options)
    manager.controller(
        "derivation",
        context.executor.reconciler(observer.observe, decide_derivation, field_manager=FIELD_MANAGER),
        for_=kinds.SERVICES,
        predicates=[any_of(generation_changed, changed(_selection_result))],
        sources=_Sources(context).all(),
        **context.defaults(),
    )
    unowned = UnownedObserver(context.cache, manager.clock)
    manager.controller(
        "unowned-templates",
        context.executor.reconciler(
            unowned.observe, decide_unowned, field_manager=FIELD_MANAGER, settled=unowned.settled
        ),
        for_=kinds.TEMPLATES,
        predicates=[label_selector({LABEL_DERIVED: "true"}), changed(lambda obj: obj.meta.owners)],
        **context.defaults(workers=1),
    )


def _selection_result(service: Object[AIMService]) -> Any:
    view = service.view_or_none
    resolved = None if view is None else find_condition(view.status.conditions, "Resolved")
    return resolved_of(service), None if resolved is None else (resolved.status, resolved.reason)


@final
class _Sources:
    def __init__(self, context: OperatorContext) -> None:
        self._cache = context.cache
        self._services = partial(services_by, context.cache)

    def all(self) -> list[Source]:
        informer, relevant = self._cache.informer, changed(template_facts)
        owners = EnqueueOwner(kinds.SERVICES, controller_only=False)
        return [
            Watch(informer(kinds.TEMPLATES), owners, [relevant]),
            *(
                Watch(informer(kind), EnqueueMapped(self._of_template), [relevant])
                for kind in (kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES)
            ),
            *(
                Watch(informer(kind), EnqueueMapped(self._of_model), [generation_changed])
                for kind in (kinds.MODELS, kinds.CLUSTER_MODELS)
            ),
        ]

    def _of_template(self, template: Template) -> Iterator[Request]:
        name, where = template.meta.name, template.meta.namespace or EVERYWHERE
        yield from self._services("template", place(where, name))
        yield from self._services("derived-name", place(where, name))
        yield from self._services("overrides", place(where, model_name(template)))
        owners = EnqueueOwner(kinds.SERVICES, controller_only=False)
        for derived in self._cache.by_index(kinds.TEMPLATES, "base", place(where, name)):
            yield from owners.requests(Created(derived))

    def _of_model(self, model: Model) -> Iterator[Request]:
        yield from self._services("overrides", place(model.meta.namespace or EVERYWHERE, model.meta.name))
