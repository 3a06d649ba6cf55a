"""The search for an existing template that fits a service with overrides, before one is derived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.api.v1alpha1 import ServiceTemplateSpec, TemplateState
from aimctl.domain.services.derivation.derived_template import (
    base_name,
    content_of,
    derived_name,
    derived_spec,
    has_profile_of,
    is_managed,
    profile_of,
)
from aimctl.domain.templates.template import is_derived, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.template import Template

__all__ = ["find_match", "find_match_without_base"]


def find_match(service: ServiceObservation, base: Template) -> Template | None:
    """The template that has the spec which the base and the overrides lead to; None if there is none.

    A template matches if its complete spec is equal: a template with the same profile and another environment, service
    account or sources runs something else. The template that was derived from this base for these overrides matches if
    its profile is equal, because the rest of its spec follows the base.

    The order of preference: the current one, the one with the name of the derived template, those of the namespace that
    were not derived, those of the cluster, those derived from other bases; the base itself before others of its scope,
    then by name. Failed templates come after all others.
    """
    overrides = service.spec.overrides
    wanted = ServiceTemplateSpec.model_validate(derived_spec(base.view.spec, overrides))
    name, profile, content = derived_name(base.meta.name, overrides), profile_of(wanted), content_of(wanted)
    readable = [item for item in service.templates if not unreadable(item)]
    bases = {item.meta.name: item for item in readable}
    fitting = [
        # A Failed template works for no service, also not for the one that uses it.
        (item.view.status.status == TemplateState.FAILED, rank, item.meta.name, item)
        for item in readable
        if not item.meta.deleting
        and service.runs_the_model(item)
        and (
            profile_of(item.view.spec) == profile
            if item.meta.name == name and is_managed(item) and base_name(item) == base.meta.name
            else content_of(item.view.spec) == content
        )
        and (rank := _rank(service, item, base, name, bases)) is not None
    ]
    return min(fitting, key=lambda entry: entry[:3])[3] if fitting else None


def _rank(
    service: ServiceObservation, item: Template, base: Template, name: str, bases: Mapping[str, Template]
) -> int | None:
    """The position of a template in the order of preference; None if it is not to be used."""
    is_current, namespaced, is_base = (
        service.is_current(item),
        bool(item.meta.namespace),
        item.meta.uid == base.meta.uid,
    )
    if is_derived(item) and item.meta.name != name and not is_base:
        # Derived from another base: it keeps its profile only while that base would give it this profile.
        other_base = bases.get(base_name(item))
        if other_base is None:
            return 0 if is_current else None
        return (0 if is_current else 6) if has_profile_of(other_base, item) else None
    if is_current:
        return 0
    if item.meta.name == name and namespaced:
        return 1
    if is_base:
        return 2 if namespaced else 4
    return 3 if namespaced else 5


def find_match_without_base(service: ServiceObservation) -> Template | None:
    """The derived template that the service uses or owns already, if it was derived for its overrides.

    For a service whose base no longer exists, or cannot be determined.
    """
    return min(
        _own_derived(service),
        key=lambda item: (not service.is_current(item), item.meta.name),
        default=None,
    )


def _own_derived(service: ServiceObservation) -> Iterator[Template]:
    spec, uid = service.spec, service.obj.meta.uid
    for item in service.templates:
        base = base_name(item)
        if (
            base
            and not item.meta.deleting
            and not unreadable(item)
            and spec.template_ref in (None, base)
            and item.meta.name == derived_name(base, spec.overrides)
            and (service.is_current(item) or any(owner.uid == uid for owner in item.meta.owners))
        ):
            yield item
