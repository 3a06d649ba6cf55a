"""Template selection: the template that a service names, the one that it uses already, or the only one that matches.

Contract:
    * :func:`select` evaluates every template of the model in the five steps of
      :mod:`aimctl.domain.services.candidates`. If exactly one remains, it is selected. Otherwise none is, and the
      message says why.
    * If no template has the values of the overrides, the steps before that one find their base: the only template that
      passes them. Derived templates are not bases.
    * :func:`choose` first applies what takes precedence over selection: ``spec.templateRef``, the template that the
      service uses already, and the default template of the model.
    * The result does not depend on the order of the templates. It does not depend either on which of several templates
      that become Ready for the same reason (they were created together, or their model, runtime config or GPU appeared)
      is reconciled first: while the status of one that would match is out of date, no new template is selected.
    * A running service is not moved at once when nodes no longer offer the GPU of its template.
    * Both waits are limited to :data:`WAIT_SECONDS`. ``Choice.awaits`` has the templates that are waited for, also
      those whose wait has ended.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aimctl.api import kinds
from aimctl.api.v1alpha1 import ServiceState, TemplateState
from aimctl.domain.conditions import MAX_MESSAGE
from aimctl.domain.naming import auto_model_name, describe, similar
from aimctl.domain.resolution import Missing, Resolved
from aimctl.domain.services.base import base_in_use, mark_base
from aimctl.domain.services.candidates import (
    ENUMERATION,
    GPU,
    MATCHES,
    READY,
    SELECTION,
    Match,
    difference,
    evaluate,
    has_overrides,
    missing_gpu,
    other_model,
    sort_matches,
)
from aimctl.domain.services.choice import Choice, list_names, list_reasons
from aimctl.domain.templates.template import is_derived, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aimctl.domain.services.observation import NewModel, ServiceObservation
    from aimctl.domain.templates.template import Template

__all__ = [
    "MODEL_REQUESTED",
    "READY",
    "SELECTION",
    "TEMPLATE_AMBIGUOUS",
    "TEMPLATE_NOT_FOUND",
    "TEMPLATE_NOT_READY",
    "TEMPLATE_RESOLVED",
    "WAIT_SECONDS",
    "choose",
    "select",
]

MODEL_REQUESTED, MODEL_REFUSED = "ModelRequested", "ModelRefused"
TEMPLATE_NOT_FOUND = "TemplateNotFound"
TEMPLATE_AMBIGUOUS = "TemplateSelectionAmbiguous"
TEMPLATE_MISMATCH = "TemplateModelMismatch"
TEMPLATE_NOT_READY = "TemplateNotReady"
TEMPLATE_UNREADABLE = "TemplateUnreadable"
TEMPLATE_RESOLVED = "TemplateResolved"

WAIT_SECONDS = 30.0
"""How long a service waits for a template. A status is written, and a node registered again, in a fraction of it."""

_SERVES = frozenset({ServiceState.RUNNING, ServiceState.DEGRADED})


def choose(service: ServiceObservation) -> Choice:
    """The template of a service."""
    if not isinstance(service.model, Resolved):
        return _without_model(service, service.model)
    if service.spec.template_ref is not None:
        return _from_template_ref(service, service.spec.template_ref)
    current, default = service.current, service.named
    if current is not None and unreadable(current):
        return _unreadable(current, "which the service uses")
    if default is not None and (has_overrides(service.spec.overrides) or _keeps_default(service, default)):
        return _from_default(service, default)
    kept = _keep_current(service)
    if kept is not None:
        return _with_base(service, kept)
    return select(service) if default is None else _from_default(service, default)


def select(service: ServiceObservation) -> Choice:
    """The only template that passes every step, otherwise the base of the overrides, or why there is none."""
    matches = evaluate(service, service.spec.overrides)
    if has_overrides(service.spec.overrides) and not any(
        not match.dropped_by or (match.coming and not is_derived(match.template)) for match in matches
    ):
        return _select_base(service, matches)
    return _with_base(service, _select_match(service, matches))


def _select_match(service: ServiceObservation, matches: tuple[Match, ...]) -> Choice:
    """The only template that passes every step."""
    left = [match for match in matches if not match.dropped_by]
    if len(left) == 1:
        return _only_match(service, left[0].template, matches)
    if left:
        matches = _exclude_in_selection(matches, "it matches, and so do others")
        names = list_names(repr(match.template.meta.name) for match in left)
        dropped = [match for match in matches if match.dropped_by != SELECTION]
        rest = f". Excluded: {list_reasons(dropped)}" if dropped else ""
        message = (
            f"{len(left)} templates of the model match: {names}; name one of them in spec.templateRef, or"
            " distinguish them with spec.overrides"
        )
        # The others are in status.templateMatching as well.
        message += rest if len(message) + len(rest) <= MAX_MESSAGE else ""
        return Choice(None, TEMPLATE_AMBIGUOUS, message, ServiceState.FAILED, matches)
    return _no_match(service, matches)


# ---- what takes precedence over selection


def _without_model(service: ServiceObservation, model: Missing | NewModel) -> Choice:
    if isinstance(model, Missing):
        return Choice(None, model.reason, model.message, ServiceState.PENDING)
    name, rejection = auto_model_name(model.image), None
    for kind, namespace in ((kinds.MODELS, service.namespace), (kinds.CLUSTER_MODELS, "")):
        rejection = rejection or service.known.rejection(kind, namespace, name)
    message = f"no model has the image {model.image!r}; "
    if rejection is not None:
        message += f"the API server rejected the model {name!r}: {rejection.message}"
        return Choice(None, MODEL_REFUSED, message, ServiceState.PENDING)
    return Choice(None, MODEL_REQUESTED, f"{message}{name!r} is being created", ServiceState.PENDING)


def _from_template_ref(service: ServiceObservation, name: str) -> Choice:
    if service.named is None:
        near = similar(name, (item.meta.name for item in service.templates))
        message = (
            f"no AIMServiceTemplate {name!r} in namespace {service.namespace!r} and no AIMClusterServiceTemplate of"
            f" that name{near}; create one, name another in spec.templateRef, or remove it to have one selected"
        )
        return Choice(None, TEMPLATE_NOT_FOUND, message, ServiceState.PENDING)
    remedy = "name a template of the model in spec.templateRef"
    return _without_selection(service, service.named, "named in spec.templateRef", remedy)


def _from_default(service: ServiceObservation, default: Template) -> Choice:
    return _without_selection(
        service,
        default,
        "the model's defaultServiceTemplate",
        "name a template of the model in its spec.defaultServiceTemplate, or one in the service's spec.templateRef",
    )


def _without_selection(service: ServiceObservation, template: Template, why: str, remedy: str) -> Choice:
    if unreadable(template):
        return _unreadable(template, why)
    mismatch = other_model(service, template)
    if mismatch:
        match = Match(template, ENUMERATION, mismatch)
        message = f"{describe(template)}, {why}, cannot be used: {mismatch}; {remedy}"
        return Choice(None, TEMPLATE_MISMATCH, message, ServiceState.FAILED, (match,))
    match = Match(template, "", why)
    return Choice(template, TEMPLATE_RESOLVED, f"{describe(template)}: {why}", None, (match,))


def _unreadable(template: Template, which: str) -> Choice:
    message = (
        f"{template.resource.kind} {template.meta.name!r}, {which}, cannot be read by this version:"
        f" {unreadable(template)}; upgrade the operator, or correct it"
    )
    return Choice(None, TEMPLATE_UNREADABLE, message, ServiceState.PENDING)


def _keeps_default(service: ServiceObservation, default: Template) -> bool:
    """Whether the service uses the default template of its model already and stays with it."""
    return service.is_current(default) and not (_serves(service) and _failure(service, default))


# ---- keeping the current template


def _keep_current(service: ServiceObservation) -> Choice | None:
    """The current template. None if it no longer matches, or if it cannot work and exactly one other matches."""
    current, overrides = service.current, service.spec.overrides
    if (
        current is None
        or current.meta.deleting
        or not service.runs_the_model(current)
        or difference(current.view.spec, overrides)
        or (is_derived(current) and not has_overrides(overrides))
    ):
        return None
    selected = _select_match(service, evaluate(service, overrides))
    failure = _failure(service, current)
    other = selected.template
    if other is not None and service.is_current(other):
        other = None
    # A node that registers again, or whose labels are written again, offers its GPU again in a moment.
    gpu_lost = _serves(service) and bool(missing_gpu(current, service.gpus))
    if failure and other is not None and (not gpu_lost or service.wait_has_ended(current)):
        message = f"{describe(other)} was selected instead of {describe(current)}, {failure}"
        return replace(selected, message=message)
    awaits: tuple[str, ...] = ()
    if failure and (other is not None or selected.awaits):
        # All waits begin together: waits that begin when another ends could alternate without end.
        awaits = (*((current.meta.uid,) if gpu_lost else ()), *selected.awaits)
    matches = _with_current_selected(service, current, selected.matches)
    others = [match for match in matches if match.dropped_by == SELECTION]
    message = _why_kept(current, failure, others, awaits)
    return Choice(current, TEMPLATE_RESOLVED, message, None, sort_matches(matches), awaits)


def _with_current_selected(
    service: ServiceObservation, current: Template, matches: Sequence[Match]
) -> list[Match]:
    kept = Match(current, "", MATCHES)
    others = [
        replace(match, dropped_by=SELECTION, message="it matches as well; the service keeps its template")
        if match.dropped_by in ("", SELECTION)
        else match
        for match in matches
        if not service.is_current(match.template)
    ]
    return [kept, *others]


def _why_kept(current: Template, failure: str, others: Sequence[Match], awaits: Sequence[str]) -> str:
    names, kept = list_names(describe(match.template) for match in others), f"{describe(current)} is kept"
    if not failure:
        if not others:
            return _selected(current)
        return f"{kept}; also matching: {names}; to use another, name it in spec.templateRef"
    if awaits:
        return f"{kept} for now, {failure}; {names} replaces it if this does not change"
    if others:
        return f"{kept}, {failure}; several others match: {names}; name one of them in spec.templateRef"
    return f"{kept}, {failure}, and no other template matches"


def _serves(service: ServiceObservation) -> bool:
    return service.status.status in _SERVES


def _failure(service: ServiceObservation, template: Template) -> str:
    """Why a template that matches cannot work without intervention; "" if it can.

    The state NotAvailable counts only while the GPU is missing.
    """
    gpu = missing_gpu(template, service.gpus)
    if gpu:
        return f"which needs {gpu}"
    return "which is Failed" if template.view.status.status == TemplateState.FAILED else ""


# ---- the base of overrides


def _select_base(service: ServiceObservation, matches: tuple[Match, ...]) -> Choice:
    """The only template that passes the steps before that of the overrides.

    Args:
        service: with overrides.
        matches: the result of all steps, which no template has passed.
    """
    possible = evaluate(service, None)
    left = [match.template for match in possible if not match.dropped_by]
    if len(left) == 1:
        awaited = [match.template for match in possible if match.outdated]
        pending = [describe(item) for item in awaited if not service.wait_has_ended(item)]
        awaits = tuple(item.meta.uid for item in awaited)
        if not pending:
            return Choice(
                left[0], TEMPLATE_RESOLVED, _base_selected(left[0]), None, mark_base(left[0], matches), awaits
            )
        message = (
            f"{describe(left[0])} may be the base of the overrides; before it is selected, these are reconciled:"
            f" {list_names(pending)}"
        )
        return Choice(None, TEMPLATE_NOT_READY, message, ServiceState.STARTING, matches, awaits)
    if left:
        message = (
            f"no template of the model has the values of the overrides, and {len(left)} could be their base:"
            f" {list_names(item.meta.name for item in left)}; name one of them in spec.templateRef"
        )
        return Choice(None, TEMPLATE_AMBIGUOUS, message, ServiceState.FAILED, matches)
    coming = [match for match in possible if match.coming]
    if coming:
        message = f"the base of the overrides is not Ready yet; expected: {list_reasons(coming)}"
        return Choice(None, TEMPLATE_NOT_READY, message, ServiceState.STARTING, matches)
    return _no_match(service, matches)


def _with_base(service: ServiceObservation, choice: Choice) -> Choice:
    """The choice with the base of a template that was derived for these overrides in place of that template.

    So the base is the same before a template is derived and after that, and the derived template follows it.
    """
    derived = choice.template
    base = None if derived is None else base_in_use(service, derived)
    if derived is None or base is None:
        return choice
    message = _base_selected(base) if choice.message == _selected(derived) else choice.message
    return replace(choice, template=base, message=message, matches=mark_base(base, choice.matches))


def _base_selected(base: Template) -> str:
    return f"{describe(base)} is selected as the base of the overrides"


# ---- the last step


def _only_match(service: ServiceObservation, template: Template, matches: tuple[Match, ...]) -> Choice:
    # Derived templates are not waited for, because a template that was not derived takes precedence. Templates that
    # wait for discovery are not waited for either, because that may take hours.
    awaited = [
        match.template
        for match in matches
        if match.outdated and (is_derived(template) or not is_derived(match.template))
    ]
    awaits = tuple({item.meta.uid: None for item in awaited})
    pending = [describe(item) for item in awaited if not service.wait_has_ended(item)]
    if pending:
        message = (
            f"{describe(template)} matches; before it is selected, these are reconciled:"
            f" {list_names(pending)}"
        )
        matches = _exclude_in_selection(matches, "it matches; others are reconciled before it is selected")
        return Choice(None, TEMPLATE_NOT_READY, message, ServiceState.STARTING, matches, awaits)
    return Choice(template, TEMPLATE_RESOLVED, _selected(template), None, matches, awaits)


def _exclude_in_selection(matches: Iterable[Match], why: str) -> tuple[Match, ...]:
    return tuple(
        match if match.dropped_by else replace(match, dropped_by=SELECTION, message=why) for match in matches
    )


def _no_match(service: ServiceObservation, matches: tuple[Match, ...]) -> Choice:
    reference = service.model.reference if isinstance(service.model, Resolved) else None
    model = f"{reference.kind} {reference.name!r}" if reference is not None else "the model"
    coming = [match for match in matches if match.coming]
    if coming:
        message = f"no template of {model} is Ready yet; expected: {list_reasons(coming)}"
        return Choice(None, TEMPLATE_NOT_READY, message, ServiceState.STARTING, matches)
    if not service.model_settled and not service.templates:
        message = (
            f"{model} has no templates yet; its image is being read for the templates that it recommends"
        )
        return Choice(None, TEMPLATE_NOT_READY, message, ServiceState.STARTING)
    if not matches and service.model_problem:
        message = f"there is no template of {model}, because it is not Ready: {service.model_problem}"
    elif not matches:
        message = (
            f"there is no template of {model} in namespace {service.namespace!r} or in the cluster, and none is created"
            " from its image (see the conditions of the model); create one"
        )
    else:
        number = f"none of the {len(matches)} templates" if len(matches) > 1 else "the only template"
        verb = "matches" if len(matches) > 1 else "does not match"
        message = f"{number} of {model} {verb}: {list_reasons(matches)}"
        if {match.dropped_by for match in matches} <= {READY, GPU}:
            message += "; remove the cause, and the service continues"
        else:
            message += "; create a template that matches, or name one in spec.templateRef"
            if has_overrides(service.spec.overrides):
                message += ", from which a template with the overrides is then derived"
    return Choice(None, TEMPLATE_NOT_FOUND, message, ServiceState.FAILED, matches)


# ---- messages


def _selected(template: Template) -> str:
    """The same message when it is selected and when it is kept, so that the status is not written again."""
    return f"{describe(template)} is selected"
