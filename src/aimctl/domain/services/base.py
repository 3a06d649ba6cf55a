"""The base of a service's overrides, among the templates of its model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aimctl.domain.services.candidates import SELECTION, Match, has_overrides, sort_matches
from aimctl.domain.services.derivation.derived_template import base_name, derived_name
from aimctl.domain.templates.template import is_derived, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.template import Template

__all__ = ["base_in_use", "mark_base"]


def base_in_use(service: ServiceObservation, derived: Template) -> Template | None:
    """The template from which ``derived`` was derived for the overrides of this service; None if there is none.

    None also if the base is being deleted, cannot be read, or no longer runs the model of the service.
    """
    overrides, name = service.spec.overrides, base_name(derived)
    if not name or not has_overrides(overrides) or derived_name(name, overrides) != derived.meta.name:
        return None
    base = next((item for item in service.templates if item.meta.name == name), None)
    if base is None or base.meta.deleting or unreadable(base) or is_derived(base):
        return None
    return base if service.runs_the_model(base) else None


def mark_base(base: Template, matches: Iterable[Match]) -> tuple[Match, ...]:
    """The matches with the base as the selected one.

    The entry of a template derived from it does not depend on the state of that template, because each change would be
    written to the status of the service.
    """

    def marked(match: Match) -> Match:
        if match.template.meta.uid == base.meta.uid:
            return Match(match.template, "", "it is the base of the overrides")
        if base_name(match.template) == base.meta.name:
            return Match(match.template, SELECTION, f"it was derived from {base.meta.name!r}")
        return match if match.dropped_by else replace(match, dropped_by=SELECTION)

    return sort_matches(map(marked, matches))
