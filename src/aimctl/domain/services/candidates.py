"""What becomes of each template of a model when one is selected for a service: five steps, and why one was dropped.

Contract: a template that a step drops is seen by no later one, and says which step it was:

    Enumeration  it runs another model: an AIMModel hides the AIMClusterModel that cluster templates see; or it does not
                 fit the types of this version, and cannot be read
    Ready        it is not Ready
    GPU          no node offers its GPU
    Overrides    it differs in a field that the service's overrides give; or it was derived for other services
    Selection    it fits, and so do others, or may others; or the service keeps the one it has

The last one is :mod:`aimctl.domain.services.selection`'s. Nothing depends on the order in which templates are given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import TemplateState
from aimctl.domain import conditions
from aimctl.domain.gpus import normalise
from aimctl.domain.resolution import Reference, Resolved
from aimctl.domain.templates.template import is_derived, model_name, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.api.v1alpha1 import ServiceOverrides, TemplateSpec
    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.template import Template

__all__ = [
    "CANNOT_READ",
    "ENUMERATION",
    "FITS",
    "MODEL_NOT_FOUND",
    "READY",
    "RUNTIME_CONFIG_NOT_FOUND",
    "SELECTION",
    "Match",
    "difference",
    "has_overrides",
    "judge",
    "missing_gpu",
    "ordered",
    "other_model",
    "why_not_ready",
]

ENUMERATION, READY, GPU, OVERRIDES, SELECTION = "Enumeration", "Ready", "GPU", "Overrides", "Selection"
MODEL_NOT_FOUND, RUNTIME_CONFIG_NOT_FOUND = "ModelNotFound", "RuntimeConfigNotFound"
FITS = "it fits"
CANNOT_READ = "this version of the operator cannot read it"

_STEPS = (SELECTION, OVERRIDES, GPU, READY, ENUMERATION)
_ON_THEIR_WAY = frozenset({"", TemplateState.PENDING, TemplateState.PROGRESSING})


@final
@dataclass(frozen=True, slots=True)
class Match:
    """What became of one template. ``dropped_by`` is "" for one that passed every step.

    Attributes:
        coming: it may be Ready without anybody's help, and would fit then.
        outdated: it is ``coming``, and what its status says is not true any more.
    """

    template: Template
    dropped_by: str = ""
    message: str = ""
    coming: bool = False
    outdated: bool = False

    def to_json(self, *, selected: bool) -> dict[str, Any]:
        """As ``status.templateMatching`` shows it."""
        out: dict[str, Any] = {
            "name": self.template.meta.name,
            "scope": str(Reference.of(self.template).scope),
            "selected": selected,
        }
        if self.dropped_by:
            out["droppedBy"] = self.dropped_by
        if self.message:
            out["message"] = conditions.clip(self.message, 1024)
        return out


def judge(seen: ServiceObservation) -> tuple[Match, ...]:
    """Take every template through the first four steps; those that went furthest come first."""
    matches = [_judge_one(seen, template) for template in seen.templates]
    ours = [match for match in matches if not match.dropped_by and not is_derived(match.template)]
    if ours:
        # What was derived for others must not make ambiguous what was clear before.
        fits = min(match.template.meta.name for match in ours)
        message = f"it was derived for other services, and {fits!r}, made by hand, fits"
        matches = [
            replace(match, dropped_by=OVERRIDES, message=message)
            if not match.dropped_by and is_derived(match.template)
            else match
            for match in matches
        ]
    return ordered(matches)


def _judge_one(seen: ServiceObservation, template: Template) -> Match:
    if unreadable(template):
        return Match(template, ENUMERATION, f"{CANNOT_READ}: {unreadable(template)}")
    overrides = seen.view.spec.overrides
    other = other_model(seen, template)
    if other:
        return Match(template, ENUMERATION, other)
    gpu = missing_gpu(template, seen.gpu_models)
    no_gpu = f"it needs GPU {gpu}, which no node offers" if gpu else ""
    differs = difference(template.view.spec, overrides)
    if not differs and is_derived(template) and not has_overrides(overrides):
        differs = "it was derived for the overrides of other services"
    not_ready = why_not_ready(template)
    if not_ready:
        could = not template.meta.deleting and not no_gpu and not differs
        outdated = could and _outdated(seen, template)
        coming = could and (
            outdated
            # A missing runtime config is for a person to make.
            or (
                template.view.status.status in _ON_THEIR_WAY and _reason(template) != RUNTIME_CONFIG_NOT_FOUND
            )
        )
        return Match(template, READY, not_ready, coming=coming, outdated=outdated)
    if no_gpu:
        return Match(template, GPU, no_gpu)
    if differs:
        return Match(template, OVERRIDES, differs)
    return Match(template, "", FITS)


def _outdated(seen: ServiceObservation, template: Template) -> bool:
    """Whether its status was written before what it needs was there, or never: another one is about to be written.

    That its model and GPU are there is known.
    """
    status = template.view.status
    if status.status in ("", TemplateState.NOT_AVAILABLE):
        return True
    return _reason(template) == MODEL_NOT_FOUND or template.meta.uid in seen.configured


def _reason(template: Template) -> str:
    ready = conditions.find(template.view.status.conditions, READY)
    return "" if ready is None else ready.reason


def ordered(matches: Iterable[Match]) -> tuple[Match, ...]:
    """Those that went furthest first, then by name."""

    def place(match: Match) -> tuple[int, str, str]:
        step = _STEPS.index(match.dropped_by) + 1 if match.dropped_by else 0
        return step, match.template.meta.name, match.template.meta.namespace

    return tuple(sorted(matches, key=place))


def other_model(seen: ServiceObservation, template: Template) -> str:
    """Why a template does not run the service's model; "" when it does."""
    if seen.runs_the_model(template):
        return ""
    model = seen.model.reference if isinstance(seen.model, Resolved) else None
    wanted = model.name if model is not None else ""
    named = model_name(template)
    if named != wanted:
        return f"its spec.modelName is {named!r}, and the service's model is {wanted!r}"
    return f"it runs the AIMClusterModel {named!r}, which the AIMModel of that name hides in this namespace"


def has_overrides(overrides: ServiceOverrides | None) -> bool:
    """Whether overrides are given and say anything."""
    if overrides is None:
        return False
    gpu = overrides.gpu_selector
    given = (overrides.metric, overrides.precision, gpu and gpu.count, gpu and gpu.model)
    return any(value is not None for value in given)


def difference(spec: TemplateSpec, overrides: ServiceOverrides | None) -> str:
    """In what a template differs from what the overrides give, in words; "" when it fits."""
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


def missing_gpu(template: Template, gpu_models: frozenset[str]) -> str:
    """The GPU model that a template needs and no node offers; "" when there is none."""
    selector = template.view.spec.gpu_selector
    wanted = normalise(selector.model) if selector is not None and selector.model else ""
    return "" if wanted in gpu_models else wanted


def why_not_ready(template: Template) -> str:
    """What a template that is not Ready says about itself; "" for one that is."""
    if template.meta.deleting:
        return "it is being deleted"
    status = template.view.status
    if status.status == TemplateState.READY:
        return ""
    ready = conditions.find(status.conditions, READY)
    if not status.status or ready is None:
        return "nobody has looked at it yet"
    said = f"it is {status.status} ({ready.reason})"
    # How far it is changes again and again, and stands in its own status.
    return said if status.status == TemplateState.PROGRESSING else f"{said}: {ready.message}"
