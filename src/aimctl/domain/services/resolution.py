"""Which template a service uses: what its spec leads to and, with overrides, what derivation makes of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import ServiceState
from aimctl.domain import conditions
from aimctl.domain.models.auto_model import auto_model, auto_model_name
from aimctl.domain.naming import describe
from aimctl.domain.resolution import Missing, Resolved
from aimctl.domain.services.candidates import has_overrides
from aimctl.domain.services.derivation import find_match
from aimctl.domain.services.observation import ModelWish
from aimctl.domain.services.selection import TEMPLATE_RESOLVED, Choice, choose

if TYPE_CHECKING:
    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.template import Template

__all__ = ["MODEL_REQUESTED", "InUse", "resolve_template", "wished_model"]

DERIVED = "Derived"
"""Condition that derivation owns."""

MODEL_REQUESTED, MODEL_REFUSED = "ModelRequested", "ModelRefused"
DERIVATION_PENDING = "DerivationPending"

_MODEL_KINDS = frozenset({"AIMModel", "AIMClusterModel"})


@final
@dataclass(frozen=True, slots=True)
class InUse:
    """The template that the service uses.

    Attributes:
        template: None while there is none; ``state`` is then what that makes of the service.
        reason, message: of the condition ``Resolved``.
        choice: what the service's spec led to: the template itself or, with overrides, its base.
    """

    template: Template | None
    reason: str
    message: str
    state: ServiceState | None
    choice: Choice


def resolve_template(seen: ServiceObservation) -> InUse:
    """The template in use: the one chosen or, with overrides, the one that derivation found or made from it."""
    missing = _missing(seen)
    choice = missing if missing is not None else choose(seen)
    if missing is not None or not has_overrides(seen.view.spec.overrides):
        return InUse(choice.template, choice.reason, choice.message, choice.state, choice)
    return _with_overrides(seen, choice)


def wished_model(seen: ServiceObservation) -> dict[str, Any] | None:
    """The model to create for a service that names an image without one."""
    if not isinstance(seen.model, ModelWish) or not isinstance(seen.runtime_config, Resolved):
        return None
    return auto_model(seen.model.image, seen.service.namespace, seen.view.spec, seen.runtime_config)


def _missing(seen: ServiceObservation) -> Choice | None:
    """What keeps a service from having a template at all."""
    for found in (seen.runtime_config, seen.model):
        if isinstance(found, Missing):
            return Choice(None, found.reason, found.message, ServiceState.PENDING)
    if not isinstance(seen.model, ModelWish):
        return None
    name = auto_model_name(seen.model.image)
    said = f"no model has the image {seen.model.image!r}; "
    if seen.refused is not None and seen.refused.kind in _MODEL_KINDS:
        said += f"the API server refused {seen.refused.kind} {name!r}: {seen.refused.message}"
        return Choice(None, MODEL_REFUSED, said, ServiceState.PENDING)
    return Choice(None, MODEL_REQUESTED, said + f"{name!r} is being created", ServiceState.PENDING)


def _with_overrides(seen: ServiceObservation, choice: Choice) -> InUse:
    base, match = choice.template, find_match(seen, choice.template)
    if match is None:
        if base is None:
            return InUse(None, choice.reason, choice.message, choice.state, choice)
        derived = conditions.find(seen.view.status.conditions, DERIVED)
        if derived is not None and derived.status == "False":
            return InUse(None, derived.reason, derived.message, ServiceState.STARTING, choice)
        message = f"a template with the overrides is being derived from {describe(base)}"
        return InUse(None, DERIVATION_PENDING, message, ServiceState.STARTING, choice)
    if base is None:
        message = f"{describe(match)} is kept, though its base cannot be resolved: {choice.message}"
    elif match.meta.uid == base.meta.uid:
        message = f"{choice.message}; it has what the overrides ask for"
    else:
        message = f"{describe(match)} has what the overrides of {describe(base)} ask for ({choice.message})"
    return InUse(match, TEMPLATE_RESOLVED, message, None, choice)
