"""The first four steps of template selection: which templates of a model a service can use, and why not the others.

Contract: each step excludes templates, and later steps do not look at those. A template that is excluded has the name
of the step and a message:

    Enumeration  it does not run the model of the service, because an AIMModel hides the AIMClusterModel of its name,
                 which cluster templates use; or this version cannot read it
    Ready        it is not Ready
    GPU          no node offers the GPUs that it needs
    Overrides    it differs from the overrides of the service; or it was derived for other services
    Selection    it matches, but the service uses another template, or several match

The last step is in :mod:`aimctl.domain.services.selection`. The result does not depend on the order of the templates.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import TemplateState
from aimctl.domain import conditions
from aimctl.domain.gpus import normalise
from aimctl.domain.naming import being_deleted
from aimctl.domain.resolution import Reference, Resolved
from aimctl.domain.templates.template import is_derived, model_name, unreadable
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.api.v1alpha1 import ServiceOverrides, TemplateSpec
    from aimctl.domain.gpu_nodes import Gpus
    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.template import Template

__all__ = [
    "CANNOT_READ",
    "ENUMERATION",
    "MATCHES",
    "READY",
    "RUNTIME_CONFIG_NOT_FOUND",
    "SELECTION",
    "Match",
    "difference",
    "evaluate",
    "has_overrides",
    "missing_gpu",
    "not_ready",
    "other_model",
    "sort_matches",
]

ENUMERATION, READY, GPU, OVERRIDES, SELECTION = "Enumeration", "Ready", "GPU", "Overrides", "Selection"
MODEL_NOT_FOUND, RUNTIME_CONFIG_NOT_FOUND = "ModelNotFound", "RuntimeConfigNotFound"
MATCHES = "it matches"
CANNOT_READ = "this version of the operator cannot read it"

_LAST_STEP_FIRST = (SELECTION, OVERRIDES, GPU, READY, ENUMERATION)
_UNFINISHED = frozenset({"", TemplateState.PENDING, TemplateState.PROGRESSING})


@final
@dataclass(frozen=True, slots=True)
class Match:
    """The result of the selection steps for one template.

    Attributes:
        template: the template.
        dropped_by: the step that excluded it; "" if none did.
        message: why.
        coming: it would match, and may become Ready without intervention.
        outdated: it is ``coming``, and its status is out of date.
    """

    template: Template
    dropped_by: str = ""
    message: str = ""
    coming: bool = False
    outdated: bool = False

    def to_json(self, *, selected: bool) -> dict[str, Any]:
        """The entry of ``status.templateMatching``."""
        reference = Reference.of(self.template)
        out: dict[str, Any] = {"name": reference.name, "scope": str(reference.scope), "selected": selected}
        if self.dropped_by:
            out["droppedBy"] = self.dropped_by
        if self.message:
            out["message"] = conditions.abridge(self.message)
        return out


def evaluate(service: ServiceObservation, overrides: ServiceOverrides | None) -> tuple[Match, ...]:
    """The result of the first four steps for every template, in the order of :func:`sort_matches`.

    Args:
        service: the service.
        overrides: those of the service; None for the templates that may be the base of overrides.
    """
    matches = [_evaluate_one(service, template, overrides) for template in service.templates]
    manual = [match for match in matches if not match.dropped_by and not is_derived(match.template)]
    if manual:
        # A template that was derived for other services must not make an unambiguous selection ambiguous.
        name = min(match.template.meta.name for match in manual)
        message = f"it was derived for other services, and {name!r}, which was not derived, matches"
        matches = [
            replace(match, dropped_by=OVERRIDES, message=message)
            if not match.dropped_by and is_derived(match.template)
            else match
            for match in matches
        ]
    return sort_matches(matches)


def _evaluate_one(
    service: ServiceObservation, template: Template, overrides: ServiceOverrides | None
) -> Match:
    why = unreadable(template)
    if why:
        return Match(template, ENUMERATION, f"{CANNOT_READ}: {why}")
    other = other_model(service, template)
    if other:
        return Match(template, ENUMERATION, other)
    gpu = missing_gpu(template, service.gpus)
    no_gpu = f"it needs {gpu}" if gpu else ""
    differs = difference(template.view.spec, overrides)
    if not differs and is_derived(template) and not has_overrides(overrides):
        differs = "it was derived for the overrides of other services"
    why = not_ready(template)
    if why:
        possible = not template.meta.deleting and not no_gpu and not differs
        outdated = possible and _is_outdated(service, template)
        return Match(
            template,
            READY,
            why,
            coming=outdated or (possible and _is_unfinished(template)),
            outdated=outdated,
        )
    if no_gpu:
        return Match(template, GPU, no_gpu)
    if differs:
        return Match(template, OVERRIDES, differs)
    return Match(template, "", MATCHES)


def _is_outdated(service: ServiceObservation, template: Template) -> bool:
    """Whether its status was written before its model, runtime config or GPU was there, or was not written yet.

    The caller knows that model and GPU are there.
    """
    if template.view.status.status in ("", TemplateState.NOT_AVAILABLE):
        return True
    return _ready_reason(template) == MODEL_NOT_FOUND or template.meta.uid in service.configured


def _is_unfinished(template: Template) -> bool:
    """Whether it may become Ready without intervention. A missing runtime config has to be created by a user."""
    return template.view.status.status in _UNFINISHED and _ready_reason(template) != RUNTIME_CONFIG_NOT_FOUND


def _ready_reason(template: Template) -> str:
    ready = find_condition(template.view.status.conditions, READY)
    return "" if ready is None else ready.reason


def sort_matches(matches: Iterable[Match]) -> tuple[Match, ...]:
    """The matches by the step that they reached, the last step first, then by name."""

    def position(match: Match) -> tuple[int, str, str]:
        step = _LAST_STEP_FIRST.index(match.dropped_by) + 1 if match.dropped_by else 0
        return step, match.template.meta.name, match.template.meta.namespace

    return tuple(sorted(matches, key=position))


def other_model(service: ServiceObservation, template: Template) -> str:
    """Why a template does not run the service's model; "" if it does."""
    if service.runs_the_model(template):
        return ""
    model = service.model.reference if isinstance(service.model, Resolved) else None
    wanted, named = model.name if model is not None else "", model_name(template)
    if named != wanted:
        return f"its spec.modelName is {named!r}, and the service's model is {wanted!r}"
    return f"it runs the AIMClusterModel {named!r}, which the AIMModel of that name hides in this namespace"


def has_overrides(overrides: ServiceOverrides | None) -> bool:
    """Whether at least one value is overridden."""
    if overrides is None:
        return False
    gpu = overrides.gpu_selector
    values = (overrides.metric, overrides.precision, gpu and gpu.count, gpu and gpu.model)
    return any(value is not None for value in values)


def difference(spec: TemplateSpec, overrides: ServiceOverrides | None) -> str:
    """How a template differs from the overrides; "" if it does not."""
    if overrides is None:
        return ""
    gpu, own = overrides.gpu_selector, spec.gpu_selector
    pairs: list[tuple[str, Any, Any]] = [
        ("metric", overrides.metric, spec.metric),
        ("precision", overrides.precision, spec.precision),
    ]
    if gpu is not None:
        have = own.model if own is not None else None
        pairs += [
            ("gpuSelector.count", gpu.count, own.count if own is not None else None),
            ("gpuSelector.model", gpu.model and normalise(gpu.model), have and normalise(have)),
        ]
    return ", ".join(
        f"{field} is {have if have is not None else 'not set'} and not {wanted}"
        for field, wanted, have in pairs
        if wanted is not None and wanted != have
    )


def missing_gpu(template: Template, gpus: Gpus) -> str:
    """What a template needs and no node offers, as :meth:`~aimctl.domain.gpu_nodes.Gpus.shortfall` says it."""
    selector = template.view.spec.gpu_selector
    return "" if selector is None else gpus.shortfall(selector.model, selector.count)


def not_ready(template: Template) -> str:
    """Why a template is not Ready, from its status; "" if it is."""
    if template.meta.deleting:
        return f"it {being_deleted(template.meta)}"
    status = template.view.status
    if status.status == TemplateState.READY:
        return ""
    ready = find_condition(status.conditions, READY)
    if not status.status or ready is None:
        return "it has not been reconciled yet"
    state = f"it is {status.status} ({ready.reason})"
    # The progress changes often, and each change would be written to the status of every service of the model.
    return (
        state
        if status.status == TemplateState.PROGRESSING
        else f"{state}: {conditions.abridge(ready.message, 150)}"
    )
