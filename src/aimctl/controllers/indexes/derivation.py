"""How derived templates are found by their owners and bases, and services by the templates that are derived for them.

Contract, in addition to that of :mod:`aimctl.controllers.indexes.templates`:

    templates  service-owner  the UIDs of the services that own a derived template
               base           the base of a derived template, in the template's namespace
    services   overrides      the value of ``any-model``, of services with overrides
               derived-name   the name that a template derived for the service has: its base is the one that
                              ``templateRef`` names, otherwise the one that the status reports as selected
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api.kinds import SERVICES
from aimctl.controllers.indexes.services import SERVICE_LOOKUPS
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.domain.services.candidates import has_overrides
from aimctl.domain.services.derivation.derived_template import base_name, derived_name
from aimctl.domain.templates.template import is_derived

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.api.v1alpha1 import AIMService
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import IndexFunction

__all__ = ["DERIVED_INDEXES", "OVERRIDES_INDEXES"]


def _by_service_owner(template: Template) -> Iterator[str]:
    if is_derived(template):
        for owner in template.meta.owners:
            if owner.kind == SERVICES.kind and owner.group == SERVICES.group:
                yield owner.uid


def _by_base(template: Template) -> Iterator[str]:
    base = base_name(template)
    if base:
        yield place(template.meta.namespace, base)
        yield place(EVERYWHERE, base)


def _by_model(service: Object[AIMService]) -> Iterator[str]:
    view = service.view_or_none
    if view is not None and has_overrides(view.spec.overrides):
        yield from SERVICE_LOOKUPS["any-model"](service)


def _by_derived_name(service: Object[AIMService]) -> Iterator[str]:
    view = service.view_or_none
    if view is None or not has_overrides(view.spec.overrides):
        return
    selected = (match.name for match in view.status.template_matching if match.selected)
    base = view.spec.template_ref or next(selected, "")
    if base:
        yield place(service.meta.namespace, derived_name(base, view.spec.overrides))


DERIVED_INDEXES: Mapping[str, IndexFunction[Any]] = {"service-owner": _by_service_owner, "base": _by_base}
OVERRIDES_INDEXES: Mapping[str, IndexFunction[Any]] = {
    "overrides": _by_model,
    "derived-name": _by_derived_name,
}
