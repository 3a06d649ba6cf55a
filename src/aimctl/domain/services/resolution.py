"""Which template a service uses, or what has to be derived for it: one decision for the two reconcilers of services.

Contract:
    * :func:`resolve` is pure and total. The services reconciler reports the result in the status, and deploys the
      template. Derivation carries out what has to be derived, and reports it in the condition ``Derived``.
    * Both call it with the same objects, so neither waits for what the other writes. There is one exception: that the
      API server rejected the derived template is known to derivation only. The services reconciler reads it from the
      condition ``Derived``, see :func:`reported_rejection`.

With overrides, the first that applies:

    ================  ===============================================================================================
    a template fits   it is used: see :func:`~aimctl.domain.services.derivation.matching.find_match`
    no base           what was derived for these overrides before is kept; without that, the reason is that of the base
    name taken        another template has the name that the derived template would get
    otherwise         the template has to be derived from the base
    ================  ===============================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from aimctl.api.v1alpha1 import ServiceState
from aimctl.domain.naming import being_deleted, describe
from aimctl.domain.resolution import Resolved
from aimctl.domain.services.candidates import CANNOT_READ, has_overrides
from aimctl.domain.services.derivation.derived_template import derived_name, is_managed
from aimctl.domain.services.derivation.matching import find_match, find_match_without_base
from aimctl.domain.services.selection import TEMPLATE_RESOLVED
from aimctl.domain.templates.template import unreadable
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from aimctl.domain.plan import Rejection
    from aimctl.domain.services.choice import Choice
    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.template import Template

__all__ = [
    "BASE_TEMPLATE_NOT_FOUND",
    "DERIVATION_PENDING",
    "DERIVATION_REFUSED",
    "DERIVED",
    "DERIVED_NAME_TAKEN",
    "OF_DERIVATION",
    "Resolution",
    "name_to_derive",
    "rejection_message",
    "reported_rejection",
    "resolve",
]

DERIVED = "Derived"
"""The condition that derivation owns."""

BASE_TEMPLATE_NOT_FOUND = "BaseTemplateNotFound"
DERIVATION_PENDING, DERIVATION_REFUSED = "DerivationPending", "DerivationRefused"
DERIVED_NAME_TAKEN = "DerivedNameTaken"

OF_DERIVATION = frozenset({DERIVATION_PENDING, DERIVATION_REFUSED, DERIVED_NAME_TAKEN})
"""Reasons that the condition ``Derived`` explains. ``Resolved`` explains all others."""

_NAMED_OWNERS = 4


@final
@dataclass(frozen=True, slots=True)
class Resolution:
    """What a service's spec leads to.

    Attributes:
        choice: the result of selection: the template itself or, with overrides, their base.
        template: the template in use; None if there is none.
        reason, message: of the condition ``Resolved``.
        state: of the service, if there is no template.
        base: the template that the overrides change; None without overrides, or if it is missing or being deleted.
        derive: whether a template has to be derived from the base. It stays True while the API server rejects that.
    """

    choice: Choice
    template: Template | None
    reason: str
    message: str
    state: ServiceState | None = None
    base: Template | None = None
    derive: bool = False


def name_to_derive(service: ServiceObservation, choice: Choice) -> str:
    """The name of the template to be derived for a service; "" without overrides or base."""
    base = _base(choice)
    if base is None or not has_overrides(service.spec.overrides):
        return ""
    return derived_name(base.meta.name, service.spec.overrides)


def resolve(
    service: ServiceObservation, choice: Choice, holder: Template | None = None, rejection: str = ""
) -> Resolution:
    """The template that a service uses, or what has to be derived.

    Args:
        service: the service.
        choice: from :func:`~aimctl.domain.services.selection.choose`.
        holder: the AIMServiceTemplate of the name :func:`name_to_derive` in the service's namespace, whatever it is.
        rejection: why the API server rejected the derived template; "" if it did not.
    """
    if not has_overrides(service.spec.overrides) or not isinstance(service.model, Resolved):
        return Resolution(choice, choice.template, choice.reason, choice.message, choice.state)
    base = _base(choice)
    if base is None:
        return _without_base(service, choice)
    match = find_match(service, base)
    if match is not None:
        message = (
            f"{choice.message}; it has the values of the overrides"
            if match.meta.uid == base.meta.uid
            else f"{describe(match)} has the values that the overrides of {describe(base)} lead to ({choice.message})"
        )
        return Resolution(choice, match, TEMPLATE_RESOLVED, message, None, base)
    if holder is not None:
        reason, message = _name_is_taken(service, base, holder)
        return Resolution(choice, None, reason, message, ServiceState.STARTING, base)
    reason, message = DERIVATION_REFUSED, rejection
    if not rejection:
        name = derived_name(base.meta.name, service.spec.overrides)
        reason = DERIVATION_PENDING
        message = f"the AIMServiceTemplate {name!r} is being derived from {describe(base)}"
    return Resolution(choice, None, reason, message, ServiceState.STARTING, base, derive=True)


def _base(choice: Choice) -> Template | None:
    template = choice.template
    return None if template is None or template.meta.deleting else template


def _without_base(service: ServiceObservation, choice: Choice) -> Resolution:
    kept = find_match_without_base(service)
    deleted = choice.template
    why = choice.message if deleted is None else f"{describe(deleted)} {being_deleted(deleted.meta)}"
    if kept is not None:
        message = f"{kept.meta.name!r} is kept without its base: {why}"
        return Resolution(choice, kept, TEMPLATE_RESOLVED, message)
    if deleted is not None:
        return Resolution(choice, None, BASE_TEMPLATE_NOT_FOUND, why, ServiceState.STARTING)
    return Resolution(choice, None, choice.reason, why, choice.state)


def _name_is_taken(service: ServiceObservation, base: Template, holder: Template) -> tuple[str, str]:
    """Reason and message if the template that has the name of the derived one does not fit."""
    why, name = unreadable(holder), holder.meta.name
    if why:
        return DERIVED_NAME_TAKEN, (
            f"{describe(holder)} has the name of the derived template, and {CANNOT_READ}: {why}; upgrade the operator,"
            " or delete that template"
        )
    if not is_managed(holder):
        return DERIVED_NAME_TAKEN, (
            f"the template derived from {describe(base)} would have the name {name!r}, which an AIMServiceTemplate"
            " that the operator does not manage has; that template differs: delete it, or create it under another name"
        )
    if holder.meta.deleting:
        return DERIVATION_PENDING, (
            f"{describe(holder)} {being_deleted(holder.meta)}; after that it is derived again from {describe(base)}"
        )
    others = sorted(
        {f"{owner.kind} {owner.name!r}" for owner in holder.meta.owners if owner.uid != service.obj.meta.uid}
    )
    outdated = f"{describe(holder)} was derived from an earlier {base.meta.name!r}"
    if not others:
        return DERIVATION_PENDING, f"{outdated}: it is deleted and derived again"
    more = f" and {len(others) - _NAMED_OWNERS} more" if len(others) > _NAMED_OWNERS else ""
    return DERIVED_NAME_TAKEN, (
        f"{outdated} and is used by {', '.join(others[:_NAMED_OWNERS])}{more}; it is derived again when they no longer"
        " use it"
    )


# ---- rejections of the derived template


def rejection_message(name: str, base: Template, rejection: Rejection) -> str:
    """What both conditions report if the API server rejects the derived template."""
    return (
        f"the API server rejected the AIMServiceTemplate {name!r}, derived from {describe(base)}:"
        f" {rejection.message}; it is tried again"
    )


def reported_rejection(service: ServiceObservation) -> str:
    """The message of the condition ``Derived`` if it reports a rejection for the current spec; otherwise ""."""
    derived = find_condition(service.status.conditions, DERIVED)
    if (
        derived is None
        or derived.reason != DERIVATION_REFUSED
        or derived.observed_generation != service.obj.meta.generation
    ):
        return ""
    return derived.message
