"""Which template a service gets: the one it names, the one it has, or the only one that fits.

Contract:
    * :func:`select` takes every template of the model through five steps. A template that a step drops is seen by no
      later one. Exactly one left is chosen; otherwise nobody is, and everyone is told why.
    * :func:`choose` puts before that what makes selection unnecessary: ``spec.templateRef``, the template that the
      service has already, the model's default template.
    * Nothing depends on the order in which templates are given, nor on which of those that became possible together
      (made in one go, or by a model or a GPU that appeared) is looked at first: while one that would fit has a status
      from before, nothing new is selected. Its reconciler is about to write another.

The steps, as :attr:`~aimctl.api.v1alpha1.TemplateMatch.dropped_by` names them:
    Enumeration  it runs another model: an AIMModel hides the AIMClusterModel that cluster templates see
    Ready        it is not Ready
    GPU          no node offers its GPU
    Overrides    it differs in a field that the service's overrides give; or it was derived for other services
    Selection    it fits, and so do others, or may others; or the service keeps the one it has
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import ServiceState, TemplateState
from aimctl.domain import conditions
from aimctl.domain.gpus import normalise
from aimctl.domain.resolution import Missing, Resolved

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aimctl.api.v1alpha1 import ServiceOverrides, TemplateSpec
    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.observed import ObservedTemplate

__all__ = [
    "MATCHES_SHOWN",
    "TEMPLATE_NOT_READY",
    "TEMPLATE_RESOLVED",
    "Choice",
    "Match",
    "choose",
    "difference",
    "has_overrides",
    "missing_gpu",
    "select",
    "why_not_ready",
]

ENUMERATION, READY, GPU, OVERRIDES, SELECTION = "Enumeration", "Ready", "GPU", "Overrides", "Selection"

MODEL_NOT_FOUND = "ModelNotFound"
TEMPLATE_NOT_FOUND = "TemplateNotFound"
TEMPLATE_AMBIGUOUS = "TemplateSelectionAmbiguous"
TEMPLATE_MISMATCH = "TemplateModelMismatch"
TEMPLATE_NOT_READY = "TemplateNotReady"
TEMPLATE_RESOLVED = "TemplateResolved"

MATCHES_SHOWN = 256
"""Entries of ``status.templateMatching``; those that went furthest come first."""

_NAMED = 8
"""Candidates that a message names."""

_FITS = "it fits"
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

    template: ObservedTemplate
    dropped_by: str = ""
    message: str = ""
    coming: bool = False
    outdated: bool = False

    def to_json(self, *, selected: bool) -> dict[str, Any]:
        """As ``status.templateMatching`` shows it."""
        out: dict[str, Any] = {
            "name": self.template.name,
            "scope": str(self.template.scope),
            "selected": selected,
        }
        if self.dropped_by:
            out["droppedBy"] = self.dropped_by
        if self.message:
            out["message"] = conditions.clip(self.message, 1024)
        return out


@final
@dataclass(frozen=True, slots=True)
class Choice:
    """The template that a service's spec leads to: the one to use or, with overrides, their base.

    Attributes:
        template: None when there is none; ``state`` is then what that makes of the service.
        reason, message: of the condition ``Resolved``.
        matches: every template that was looked at, those that went furthest first.
    """

    template: ObservedTemplate | None
    reason: str
    message: str
    state: ServiceState | None = None
    matches: tuple[Match, ...] = ()

    def matching(self) -> list[dict[str, Any]]:
        """``status.templateMatching``."""
        return [
            match.to_json(selected=self.template is not None and match.template.uid == self.template.uid)
            for match in self.matches[:MATCHES_SHOWN]
        ]


def choose(seen: ServiceObservation) -> Choice:
    """The template of this service. The observation's model must be resolved."""
    if not isinstance(seen.model, Resolved):
        message = seen.model.message if isinstance(seen.model, Missing) else "the model is being created"
        return Choice(None, MODEL_NOT_FOUND, message, ServiceState.PENDING)
    if seen.view.spec.template_ref is not None:
        return _named(seen, seen.view.spec.template_ref)
    if seen.named is not None and (
        has_overrides(seen.view.spec.overrides)
        or (seen.current is not None and seen.current.uid == seen.named.uid and not _broken(seen, seen.named))
    ):
        return _default(seen, seen.named)
    kept = _kept(seen)
    if kept is not None:
        return kept
    return select(seen) if seen.named is None else _default(seen, seen.named)


def select(seen: ServiceObservation) -> Choice:
    """The only template of the model that passes every step, or why there is none."""
    matches = _judge(seen)
    left = [match for match in matches if not match.dropped_by]
    if len(left) == 1:
        (only,) = left
        # A derived one would give way. What waits for its discovery may do so for hours: step 2 drops it.
        awaited = [
            str(match.template)
            for match in matches
            if match.outdated and (only.template.derived or not match.template.derived)
        ]
        if awaited:
            message = f"{only.template} fits; to be looked at before it is selected: {_and(awaited)}"
            matches = _undecided(matches, "it fits; others are looked at before it is selected")
            return Choice(None, TEMPLATE_NOT_READY, message, ServiceState.STARTING, matches)
        return Choice(only.template, TEMPLATE_RESOLVED, _selected(only.template), None, matches)
    if left:
        matches = _undecided(matches, "it fits, and so do others")
        names = _and(str(match.template) for match in left)
        message = (
            f"{len(left)} templates of the model fit: {names}; name one of them in spec.templateRef, or tell them"
            f" apart with spec.overrides{_the_rest(matches, left)}"
        )
        return Choice(None, TEMPLATE_AMBIGUOUS, message, ServiceState.FAILED, matches)
    return _none_left(seen, matches)


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


def missing_gpu(template: ObservedTemplate, gpu_models: frozenset[str]) -> str:
    """The GPU model that a template needs and no node offers; "" when there is none."""
    selector = template.view.spec.gpu_selector
    wanted = normalise(selector.model) if selector is not None and selector.model else ""
    return "" if wanted in gpu_models else wanted


def why_not_ready(template: ObservedTemplate) -> str:
    """What a template that is not Ready says about itself; "" for one that is."""
    if template.deleting:
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


# ---- without selection


def _named(seen: ServiceObservation, name: str) -> Choice:
    found, namespace = seen.named, seen.service.namespace
    if found is None:
        return Choice(
            None,
            TEMPLATE_NOT_FOUND,
            f"spec.templateRef names {name!r}, and there is no AIMServiceTemplate {name!r} in namespace {namespace!r}"
            " and no AIMClusterServiceTemplate of that name; create one of them, name another, or leave templateRef"
            " out to have one selected",
            ServiceState.PENDING,
        )
    return _only(seen, found, "named in spec.templateRef", "name a template of the model in spec.templateRef")


def _default(seen: ServiceObservation, found: ObservedTemplate) -> Choice:
    return _only(
        seen,
        found,
        "the model's defaultServiceTemplate",
        "name a template of the model in its spec.defaultServiceTemplate, or one in the service's spec.templateRef",
    )


def _only(seen: ServiceObservation, found: ObservedTemplate, why: str, remedy: str) -> Choice:
    """The choice that somebody made for us, if it serves the service's model."""
    mismatch = _other_model(seen, found)
    if mismatch:
        match = Match(found, ENUMERATION, mismatch)
        message = f"{found}, {why}, cannot be used: {mismatch}; {remedy}"
        return Choice(None, TEMPLATE_MISMATCH, message, ServiceState.FAILED, (match,))
    return Choice(found, TEMPLATE_RESOLVED, f"{found}: {why}", None, (Match(found, "", why),))


def _kept(seen: ServiceObservation) -> Choice | None:
    """The template that the service has, unless it does not fit any more, or is broken and one other fits."""
    current, overrides = seen.current, seen.view.spec.overrides
    if (
        current is None
        or current.deleting
        or not seen.runs_the_model(current)
        or difference(current.view.spec, overrides)
        or (current.derived and not has_overrides(overrides))
    ):
        return None
    selected = select(seen)
    broken = _broken(seen, current)
    if broken and selected.template is not None and selected.template.uid != current.uid:
        message = f"{selected.template} was selected in the place of {current}, {broken}"
        return replace(selected, message=message)
    matches = [
        replace(match, dropped_by="", message=_FITS)
        if match.template.uid == current.uid
        else match
        if match.dropped_by not in ("", SELECTION)
        else replace(match, dropped_by=SELECTION, message="it fits as well; the service keeps the one it has")
        for match in selected.matches
    ]
    if all(match.template.uid != current.uid for match in matches):
        matches.append(Match(current, "", _FITS))
    others = [match for match in matches if match.dropped_by == SELECTION]
    message = _selected(current)
    if others:
        names = _and(str(match.template) for match in others)
        message = (
            f"{current} is kept; also fits: {names}; to move the service, name another in spec.templateRef"
        )
    elif broken:
        message = f"{current} is kept, {broken}, and no other template fits"
    return Choice(current, TEMPLATE_RESOLVED, message, None, _ordered(matches))


def _broken(seen: ServiceObservation, template: ObservedTemplate) -> str:
    """Why a template that fits will not do by itself."""
    gpu = missing_gpu(template, seen.gpu_models)
    if gpu:
        return f"whose GPU {gpu} no node offers"
    status = template.view.status.status
    if status in (TemplateState.FAILED, TemplateState.NOT_AVAILABLE):
        return f"which is {status}"
    return ""


# ---- the five steps


def _judge(seen: ServiceObservation) -> tuple[Match, ...]:
    matches = [_judge_one(seen, template) for template in seen.templates]
    ours = [match for match in matches if not match.dropped_by and not match.template.derived]
    if ours:
        # What was derived for others must not make ambiguous what was clear before.
        fits = min(match.template.name for match in ours)
        message = f"it was derived for other services, and {fits!r}, made by hand, fits"
        matches = [
            replace(match, dropped_by=OVERRIDES, message=message)
            if not match.dropped_by and match.template.derived
            else match
            for match in matches
        ]
    return _ordered(matches)


def _judge_one(seen: ServiceObservation, template: ObservedTemplate) -> Match:
    overrides = seen.view.spec.overrides
    other = _other_model(seen, template)
    if other:
        return Match(template, ENUMERATION, other)
    gpu = missing_gpu(template, seen.gpu_models)
    no_gpu = f"it needs GPU {gpu}, which no node offers" if gpu else ""
    differs = difference(template.view.spec, overrides)
    if not differs and template.derived and not has_overrides(overrides):
        differs = "it was derived for the overrides of other services"
    not_ready = why_not_ready(template)
    if not_ready:
        could = not template.deleting and not no_gpu and not differs
        outdated = could and _outdated(template)
        coming = could and (outdated or template.view.status.status in _ON_THEIR_WAY)
        return Match(template, READY, not_ready, coming=coming, outdated=outdated)
    if no_gpu:
        return Match(template, GPU, no_gpu)
    if differs:
        return Match(template, OVERRIDES, differs)
    return Match(template, "", _FITS)


def _undecided(matches: Iterable[Match], why: str) -> tuple[Match, ...]:
    """Nobody was selected of those that fit."""
    return tuple(
        match if match.dropped_by else replace(match, dropped_by=SELECTION, message=why) for match in matches
    )


def _outdated(template: ObservedTemplate) -> bool:
    """Whether the status of a template, whose model and GPU are there, was written when they were not, or never."""
    status = template.view.status
    if status.status in ("", TemplateState.NOT_AVAILABLE):
        return True
    ready = conditions.find(status.conditions, READY)
    return ready is not None and ready.reason == MODEL_NOT_FOUND


def _none_left(seen: ServiceObservation, matches: tuple[Match, ...]) -> Choice:
    model = seen.model.reference if isinstance(seen.model, Resolved) else None
    of = f"{model.kind} {model.name!r}" if model is not None else "the model"
    coming = [match for match in matches if match.coming]
    if coming:
        return Choice(
            None,
            TEMPLATE_NOT_READY,
            f"no template of {of} is Ready yet; on the way: {_reasons(coming)}",
            ServiceState.STARTING,
            matches,
        )
    if not seen.model_settled and not seen.templates:
        message = f"{of} has no templates yet; its image is being read for those that it recommends"
        return Choice(None, TEMPLATE_NOT_READY, message, ServiceState.STARTING)
    if not matches:
        message = (
            f"there is no template of {of} in namespace {seen.service.namespace!r} or in the cluster, and its image"
            " gives none (the model's conditions say why); create one"
        )
    else:
        message = f"none of the {len(matches)} templates of {of} fits: {_reasons(matches)}"
        message += "; mend one of them, or name one in spec.templateRef"
        if has_overrides(seen.view.spec.overrides):
            message += ", from which one with the overrides is then derived"
    return Choice(None, TEMPLATE_NOT_FOUND, message, ServiceState.FAILED, matches)


def _other_model(seen: ServiceObservation, template: ObservedTemplate) -> str:
    """Why a template does not run the service's model; "" when it does."""
    if seen.runs_the_model(template):
        return ""
    model = seen.model.reference if isinstance(seen.model, Resolved) else None
    wanted = model.name if model is not None else ""
    named = template.view.spec.model_name
    if named != wanted:
        return f"its spec.modelName is {named!r}, and the service's model is {wanted!r}"
    return f"it runs the AIMClusterModel {named!r}, which the AIMModel of that name hides in this namespace"


def _selected(template: ObservedTemplate) -> str:
    """The same words when it is selected and when it is kept: a status is not written for it."""
    return f"{template} is selected"


def _ordered(matches: Iterable[Match]) -> tuple[Match, ...]:
    """Those that went furthest first, then by name."""

    def place(match: Match) -> tuple[int, str, str]:
        step = _STEPS.index(match.dropped_by) + 1 if match.dropped_by else 0
        return step, match.template.name, match.template.scope

    return tuple(sorted(matches, key=place))


def _reasons(matches: Sequence[Match]) -> str:
    said = "; ".join(
        f"{match.template.name} ({match.dropped_by}: {conditions.clip(match.message, 160)})"
        for match in matches[:_NAMED]
    )
    return said + _more(len(matches))


def _the_rest(matches: Sequence[Match], left: Sequence[Match]) -> str:
    dropped = [match for match in matches if match.dropped_by not in ("", SELECTION)]
    return f". Dropped: {_reasons(dropped)}" if dropped and left else ""


def _and(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:_NAMED]) + _more(len(listed))


def _more(count: int) -> str:
    return f" and {count - _NAMED} more, see status.templateMatching" if count > _NAMED else ""
