"""Which template a service gets: the one it names, the one it has, or the only one that fits.

Contract:
    * :func:`select` takes every template of the model through the five steps of
      :mod:`aimctl.domain.services.candidates`. Exactly one left is chosen; otherwise nobody is, and all are told why.
    * :func:`choose` puts before that what makes selection unnecessary: ``spec.templateRef``, the template that the
      service has already, the model's default template.
    * Nothing depends on the order in which templates are given, nor on which of those that became possible together
      (made in one go, or by a model, runtime config or GPU that appeared) is looked at first: while one that would fit
      has a status from before, nothing new is selected. A service that runs is not moved at once because a GPU is away.
      Both waits have an end: ``Choice.awaits`` names those waited for, and ``given_up`` of the observation those that
      were for long enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import ServiceState, TemplateState
from aimctl.domain import conditions
from aimctl.domain.naming import describe
from aimctl.domain.resolution import Missing, Resolved
from aimctl.domain.services.candidates import (
    CANNOT_READ,
    ENUMERATION,
    FITS,
    MODEL_NOT_FOUND,
    READY,
    SELECTION,
    Match,
    difference,
    has_overrides,
    judge,
    missing_gpu,
    ordered,
    other_model,
)
from aimctl.domain.templates.template import is_derived, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.template import Template

__all__ = [
    "MATCHES_SHOWN",
    "READY",
    "SELECTION",
    "TEMPLATE_NOT_READY",
    "TEMPLATE_RESOLVED",
    "Choice",
    "choose",
    "select",
]

TEMPLATE_NOT_FOUND = "TemplateNotFound"
TEMPLATE_AMBIGUOUS = "TemplateSelectionAmbiguous"
TEMPLATE_MISMATCH = "TemplateModelMismatch"
TEMPLATE_NOT_READY = "TemplateNotReady"
TEMPLATE_UNREADABLE = "TemplateUnreadable"
TEMPLATE_RESOLVED = "TemplateResolved"

MATCHES_SHOWN = 256
"""Entries of ``status.templateMatching``; those that went furthest come first."""

_NAMED = 8
"""Candidates that a message names."""

_SERVES = frozenset({ServiceState.RUNNING, ServiceState.DEGRADED})


@final
@dataclass(frozen=True, slots=True)
class Choice:
    """The template that a service's spec leads to: the one to use or, with overrides, their base.

    Attributes:
        template: None when there is none; ``state`` is then what that makes of the service.
        reason, message: of the condition ``Resolved``.
        matches: every template that was looked at, those that went furthest first.
        awaits: UIDs of templates that are, or were for long enough, waited for.
    """

    template: Template | None
    reason: str
    message: str
    state: ServiceState | None = None
    matches: tuple[Match, ...] = ()
    awaits: tuple[str, ...] = ()

    def matching(self) -> list[dict[str, Any]]:
        """``status.templateMatching``."""
        return [
            match.to_json(
                selected=self.template is not None and match.template.meta.uid == self.template.meta.uid
            )
            for match in self.matches[:MATCHES_SHOWN]
        ]


def choose(seen: ServiceObservation) -> Choice:
    """The template of this service. The observation's model must be resolved."""
    if not isinstance(seen.model, Resolved):
        message = seen.model.message if isinstance(seen.model, Missing) else "the model is being created"
        return Choice(None, MODEL_NOT_FOUND, message, ServiceState.PENDING)
    if seen.view.spec.template_ref is not None:
        return _named(seen, seen.view.spec.template_ref)
    if seen.current is not None and unreadable(seen.current):
        return _unreadable(seen.current, "which the service has")
    if seen.named is not None and (
        has_overrides(seen.view.spec.overrides)
        or (
            seen.current is not None
            and seen.current.meta.uid == seen.named.meta.uid
            and not (_serves(seen) and _broken(seen, seen.named))
        )
    ):
        return _default(seen, seen.named)
    kept = _kept(seen)
    if kept is not None:
        return kept
    return select(seen) if seen.named is None else _default(seen, seen.named)


def select(seen: ServiceObservation) -> Choice:
    """The only template of the model that passes every step, or why there is none."""
    matches = judge(seen)
    left = [match for match in matches if not match.dropped_by]
    if len(left) == 1:
        (only,) = left
        # A derived one would give way. What waits for its discovery may do so for hours: step 2 drops it.
        awaited = {
            match.template.meta.uid: match.template
            for match in matches
            if match.outdated and (is_derived(only.template) or not is_derived(match.template))
        }
        pending = [describe(template) for uid, template in awaited.items() if uid not in seen.given_up]
        if pending:
            message = (
                f"{describe(only.template)} fits; to be looked at before it is selected: {_and(pending)}"
            )
            matches = _undecided(matches, "it fits; others are looked at before it is selected")
            return Choice(None, TEMPLATE_NOT_READY, message, ServiceState.STARTING, matches, tuple(awaited))
        return Choice(
            only.template, TEMPLATE_RESOLVED, _selected(only.template), None, matches, tuple(awaited)
        )
    if left:
        matches = _undecided(matches, "it fits, and so do others")
        names = _and(describe(match.template) for match in left)
        message = (
            f"{len(left)} templates of the model fit: {names}; name one of them in spec.templateRef, or tell them"
            f" apart with spec.overrides{_the_rest(matches, left)}"
        )
        return Choice(None, TEMPLATE_AMBIGUOUS, message, ServiceState.FAILED, matches)
    return _none_left(seen, matches)


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


def _default(seen: ServiceObservation, found: Template) -> Choice:
    return _only(
        seen,
        found,
        "the model's defaultServiceTemplate",
        "name a template of the model in its spec.defaultServiceTemplate, or one in the service's spec.templateRef",
    )


def _only(seen: ServiceObservation, found: Template, why: str, remedy: str) -> Choice:
    """The choice that somebody made for us, if it serves the service's model."""
    if unreadable(found):
        return _unreadable(found, why)
    mismatch = other_model(seen, found)
    if mismatch:
        match = Match(found, ENUMERATION, mismatch)
        message = f"{describe(found)}, {why}, cannot be used: {mismatch}; {remedy}"
        return Choice(None, TEMPLATE_MISMATCH, message, ServiceState.FAILED, (match,))
    return Choice(found, TEMPLATE_RESOLVED, f"{describe(found)}: {why}", None, (Match(found, "", why),))


def _unreadable(found: Template, which: str) -> Choice:
    message = (
        f"{describe(found)}, {which}, cannot be used: {CANNOT_READ}: {unreadable(found)}; upgrade the operator, or"
        " correct the template"
    )
    return Choice(None, TEMPLATE_UNREADABLE, message, ServiceState.PENDING)


def _kept(seen: ServiceObservation) -> Choice | None:
    """The template that the service has, unless it does not fit any more, or is broken and one other fits."""
    current, overrides = seen.current, seen.view.spec.overrides
    if (
        current is None
        or current.meta.deleting
        or not seen.runs_the_model(current)
        or difference(current.view.spec, overrides)
        or (is_derived(current) and not has_overrides(overrides))
    ):
        return None
    selected = select(seen)
    broken = _broken(seen, current)
    other = (
        selected.template
        if selected.template is not None and selected.template.meta.uid != current.meta.uid
        else None
    )
    # A node that registers anew, or whose labels are written anew, is back in a moment.
    away = _serves(seen) and bool(missing_gpu(current, seen.gpu_models))
    if broken and other is not None and (not away or current.meta.uid in seen.given_up):
        return replace(
            selected, message=f"{describe(other)} was selected in the place of {describe(current)}, {broken}"
        )
    matches = [
        replace(match, dropped_by="", message=FITS)
        if match.template.meta.uid == current.meta.uid
        else match
        if match.dropped_by not in ("", SELECTION)
        else replace(match, dropped_by=SELECTION, message="it fits as well; the service keeps the one it has")
        for match in selected.matches
    ]
    if all(match.template.meta.uid != current.meta.uid for match in matches):
        matches.append(Match(current, "", FITS))
    awaits: tuple[str, ...] = ()
    if broken and (other is not None or selected.awaits):
        # All at once: waits that begin when another ends could end each other for ever.
        awaits = (*((current.meta.uid,) if away else ()), *selected.awaits)
    message = _why_kept(
        current, broken, [match for match in matches if match.dropped_by == SELECTION], awaits
    )
    return Choice(current, TEMPLATE_RESOLVED, message, None, ordered(matches), awaits)


def _why_kept(current: Template, broken: str, others: Sequence[Match], awaits: Sequence[str]) -> str:
    names = _and(describe(match.template) for match in others)
    if not broken:
        if not others:
            return _selected(current)
        return f"{describe(current)} is kept; also fits: {names}; to move the service, name another in spec.templateRef"
    if awaits:
        return f"{describe(current)} is kept for now, {broken}; if it stays so, {names} takes its place"
    if others:
        return (
            f"{describe(current)} is kept, {broken}; several others fit: {names}; name one of them in"
            " spec.templateRef"
        )
    return f"{describe(current)} is kept, {broken}, and no other template fits"


def _serves(seen: ServiceObservation) -> bool:
    return seen.view.status.status in _SERVES


def _broken(seen: ServiceObservation, template: Template) -> str:
    """Why a template that fits will not do by itself. NotAvailable is true only while its GPU is missing."""
    gpu = missing_gpu(template, seen.gpu_models)
    if gpu:
        return f"whose GPU {gpu} no node offers"
    return "which is Failed" if template.view.status.status == TemplateState.FAILED else ""


# ---- the five steps


def _undecided(matches: Iterable[Match], why: str) -> tuple[Match, ...]:
    """Nobody was selected of those that fit."""
    return tuple(
        match if match.dropped_by else replace(match, dropped_by=SELECTION, message=why) for match in matches
    )


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


def _selected(template: Template) -> str:
    """The same words when it is selected and when it is kept: a status is not written for it."""
    return f"{describe(template)} is selected"


def _reasons(matches: Sequence[Match]) -> str:
    said = "; ".join(
        f"{match.template.meta.name} ({match.dropped_by}: {conditions.clip(match.message, 160)})"
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
