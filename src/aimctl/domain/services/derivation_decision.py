"""What derivation does for one service: the template it is to have, who owns it, and the condition ``Derived``.

Contract:
    * :func:`decide_derivation` is pure and total. It owns nothing of the service's status but ``Derived``, which is
      there only while the service has overrides.
    * Every service that uses a derived template is one of its owners. The last one to let go deletes it; those that
      are deleted are garbage collection's.
    * A template without our labels is never owned, changed or deleted, whatever its name.
    * A derived template follows its base's edits of what may change. When the base was made anew and would no longer
      give it its metric, precision or GPUs, its owners let go and one is made anew.
    * While nobody knows what the service needs (its model is missing, its base is gone), what it has stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.api.v1alpha1 import ServiceState
from aimctl.domain import conditions
from aimctl.domain.events import EventWish
from aimctl.domain.naming import LABEL_MANAGED_BY, MANAGED_BY, describe
from aimctl.domain.resolution import Missing, Resolved
from aimctl.domain.services.candidates import why_not_ready
from aimctl.domain.services.derivation import (
    base_name,
    derived_name,
    derived_template,
    find_match,
    followed,
    overrides_digest,
    owner_reference,
    vouches,
)
from aimctl.domain.services.observation import ModelWish
from aimctl.domain.services.selection import choose
from aimctl.domain.status_slice import StatusSlice
from aimctl.domain.templates.template import is_derived, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.api.v1alpha1 import RuntimeConfigSpec, ServiceOverrides
    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import OwnerReference

__all__ = [
    "BASE_TEMPLATE_NOT_FOUND",
    "BASE_TEMPLATE_NOT_RESOLVED",
    "DERIVATION_PENDING",
    "DERIVATION_REFUSED",
    "DERIVED",
    "DERIVED_NAME_TAKEN",
    "OWNED_CONDITIONS",
    "TEMPLATE_DERIVED",
    "TEMPLATE_FOUND",
    "DerivationDecision",
    "DerivationObservation",
    "TemplateChange",
    "base_of",
    "decide_derivation",
]

DERIVED = "Derived"
OWNED_CONDITIONS = frozenset({DERIVED})

TEMPLATE_DERIVED, TEMPLATE_FOUND = "TemplateDerived", "TemplateFound"
BASE_TEMPLATE_NOT_FOUND, BASE_TEMPLATE_NOT_RESOLVED = "BaseTemplateNotFound", "BaseTemplateNotResolved"
DERIVED_NAME_TAKEN, DERIVATION_REFUSED = "DerivedNameTaken", "DerivationRefused"
DERIVATION_PENDING = "DerivationPending"

_NAMED_OWNERS = 4


@final
@dataclass(frozen=True, slots=True)
class DerivationObservation:
    """What is known for one service.

    Attributes:
        seen: the service.
        base: what its overrides change; Missing says why there is none, in a reason of ``Derived``.
        holder: the namespaced template that has the name of the derived one, whatever it is.
        owned: the derived templates that name the service as an owner.
        bases: by the name in their annotation, the templates that derived ones came from.
        template_config: the runtime config in force for a template derived from the base.
        refused: the server's words, when it lately refused to create what :attr:`DerivationDecision.create` was.
    """

    seen: ServiceObservation
    base: Template | Missing
    holder: Template | None
    owned: tuple[Template, ...]
    bases: Mapping[str, Template]
    template_config: RuntimeConfigSpec
    refused: str = ""


@final
@dataclass(frozen=True, slots=True)
class TemplateChange:
    """A merge patch of a derived template; it carries the resourceVersion that it was decided for.

    ``joins`` says that it makes the service an owner.
    """

    template: Template
    patch: Mapping[str, Any]
    joins: bool = False


@final
@dataclass(frozen=True, slots=True)
class DerivationDecision:
    """What should be done, in this order.

    Attributes:
        create: the derived template; where it is given, nothing else is decided before it is there or refused.
        changes: of derived templates.
        deletions: derived templates that nobody else owns.
        status: None for a service that is being deleted.
    """

    status: StatusSlice | None
    events: tuple[EventWish, ...] = ()
    create: Mapping[str, Any] | None = None
    changes: tuple[TemplateChange, ...] = ()
    deletions: tuple[Template, ...] = ()

    @property
    def joins(self) -> bool:
        """Whether it makes the service an owner of a template that is there."""
        return any(change.joins for change in self.changes)


@final
@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came out for the service; ``template`` is the one that it uses."""

    status: conditions.Status
    reason: str
    message: str
    template: Template | None = None
    create: Mapping[str, Any] | None = None
    kept: frozenset[str] = field(default=frozenset())


def base_of(seen: ServiceObservation) -> Template | Missing:
    """The template that the service's overrides change, or why there is none, in a reason of ``Derived``."""
    choice = choose(seen)
    if isinstance(seen.model, ModelWish):
        return Missing(DERIVATION_PENDING, choice.message)
    if choice.template is None:
        if choice.state is ServiceState.STARTING:
            return Missing(DERIVATION_PENDING, choice.message)
        nowhere = isinstance(seen.model, Resolved) and seen.named is None and seen.view.spec.template_ref
        return Missing(BASE_TEMPLATE_NOT_FOUND if nowhere else BASE_TEMPLATE_NOT_RESOLVED, choice.message)
    if choice.template.meta.deleting:
        return Missing(BASE_TEMPLATE_NOT_FOUND, f"{describe(choice.template)} is being deleted")
    return choice.template


def decide_derivation(derivation: DerivationObservation) -> DerivationDecision:
    """Decide for one service."""
    seen = derivation.seen
    overrides = seen.view.spec.overrides
    if seen.service.deleting:
        return DerivationDecision(None)
    if overrides is None or not overrides_digest(overrides):
        return _without_overrides(derivation)
    outcome = _outcome(derivation, overrides)
    status = StatusSlice({}, (_condition(seen, outcome),), frozenset(), OWNED_CONDITIONS)
    changes, deletions = _ownership(derivation, outcome.template, outcome.kept)
    return DerivationDecision(
        status, tuple(_events(seen, outcome)), outcome.create, changes, (*deletions, *_in_the_way(derivation))
    )


def _without_overrides(derivation: DerivationObservation) -> DerivationDecision:
    """A service may still name somebody's derived template: then it owns that as well."""
    seen = derivation.seen
    named = seen.named
    uses = named if named is not None and is_derived(named) and seen.runs_the_model(named) else None
    changes, deletions = _ownership(derivation, uses, frozenset())
    return DerivationDecision(
        StatusSlice({}, (), frozenset(), OWNED_CONDITIONS), (), None, changes, deletions
    )


def _outcome(derivation: DerivationObservation, overrides: ServiceOverrides) -> _Outcome:
    seen, base, holder = derivation.seen, derivation.base, derivation.holder
    if isinstance(base, Missing):
        return _without_base(derivation, base)
    match = find_match(seen, base)
    if match is not None:
        return _matched(derivation, match)
    name = derived_name(base.meta.name, overrides)
    if holder is not None:
        return _taken(derivation, base, holder)
    if derivation.refused:
        message = (
            f"the API server refused the AIMServiceTemplate {name!r}, derived from {describe(base)}:"
            f" {derivation.refused}"
        )
        return _Outcome(
            "False",
            DERIVATION_REFUSED,
            f"{message}; it is tried again",
            create=_wanted(derivation, base, overrides),
        )
    return _Outcome(
        "False",
        DERIVATION_PENDING,
        f"the AIMServiceTemplate {name!r} is being derived from {describe(base)}",
        create=_wanted(derivation, base, overrides),
    )


def _without_base(derivation: DerivationObservation, base: Missing) -> _Outcome:
    """Nobody knows what the service needs: what it has stays, if it was made for its overrides."""
    if not isinstance(derivation.seen.model, Resolved):
        everything = frozenset(item.meta.uid for item in derivation.owned)
        return _Outcome("False", base.reason, base.message, kept=everything)
    kept = find_match(derivation.seen, None)
    if kept is None:
        return _Outcome("False", base.reason, base.message)
    message = (
        f"{describe(kept)} was derived from {base_name(kept)!r} and is kept as it is, without its base:"
        f" {base.message}"
    )
    return _Outcome("True", TEMPLATE_DERIVED, message, kept)


def _matched(derivation: DerivationObservation, match: Template) -> _Outcome:
    if not _ours(match):
        message = (
            f"{describe(match)} has the model, metric, precision and GPUs that the overrides ask for: nothing was"
            " derived"
        )
        return _Outcome("True", TEMPLATE_FOUND, message, match)
    base = derivation.bases.get(base_name(match))
    if base is None:
        message = (
            f"{describe(match)} was derived from {base_name(match)!r}, which is gone: it is kept as it is"
        )
    elif unreadable(base):
        message = (
            f"{describe(match)} was derived from {describe(base)}, which cannot be read any more: it is kept as"
            " it is"
        )
    elif not vouches(base, match):
        message = f"{describe(match)} was derived from an earlier {base_name(match)!r}: it is kept as it is"
    else:
        trouble = why_not_ready(base)
        # The reason alone: a base's message may change often, and each change would be written to every service.
        said = f"; the base is {base.view.status.status or 'new'}" if trouble else ""
        message = f"{describe(match)} was derived from {describe(base)}{said}"
    return _Outcome("True", TEMPLATE_DERIVED, message, match)


def _taken(derivation: DerivationObservation, base: Template, holder: Template) -> _Outcome:
    """The name of the derived template is in use by one that does not fit."""
    if unreadable(holder):
        message = (
            f"the template derived from {describe(base)} gets the name of {describe(holder)}, and this version of the"
            f" operator cannot read that: {unreadable(holder)}; upgrade the operator, or delete it"
        )
        return _Outcome("False", DERIVED_NAME_TAKEN, message)
    if not _ours(holder):
        message = (
            f"the template derived from {describe(base)} gets the name {holder.meta.name!r}, and that is taken by an"
            " AIMServiceTemplate that the operator did not make and that differs from it; delete that one, or give"
            " it another name"
        )
        return _Outcome("False", DERIVED_NAME_TAKEN, message)
    if holder.meta.deleting:
        message = (
            f"{describe(holder)} is being deleted, and is derived anew from {describe(base)} once it is gone"
        )
        return _Outcome("False", DERIVATION_PENDING, message)
    if not _other_owners(derivation, holder):
        message = (
            f"{describe(holder)} was derived from an earlier {base.meta.name!r}: it goes, and is derived anew"
        )
        return _Outcome("False", DERIVATION_PENDING, message)
    owners = sorted({f"{owner.kind} {owner.name!r}" for owner in _other_owners(derivation, holder)})
    more = f" and {len(owners) - _NAMED_OWNERS} more" if len(owners) > _NAMED_OWNERS else ""
    message = (
        f"{describe(holder)} was derived from an earlier {base.meta.name!r} and is still in use by"
        f" {', '.join(owners[:_NAMED_OWNERS])}{more}; it is derived anew once they let go of it"
    )
    return _Outcome("False", DERIVED_NAME_TAKEN, message)


def _wanted(derivation: DerivationObservation, base: Template, overrides: ServiceOverrides) -> dict[str, Any]:
    return derived_template(base, overrides, derivation.seen.service, derivation.template_config)


# ---- ownership


def _ownership(
    derivation: DerivationObservation, uses: Template | None, kept: frozenset[str]
) -> tuple[tuple[TemplateChange, ...], tuple[Template, ...]]:
    """What it takes to own the template in use, if it is a derived one, and none but it."""
    changes: list[TemplateChange] = []
    deletions: list[Template] = []
    if uses is not None and _ours(uses) and not uses.meta.deleting and not unreadable(uses):
        change = _own_and_follow(derivation, uses)
        if change is not None:
            changes.append(change)
    for item in derivation.owned:
        if (
            item.meta.deleting
            or unreadable(item)
            or item.meta.uid in kept
            or (uses is not None and item.meta.uid == uses.meta.uid)
            or not _ours(item)
        ):
            continue
        others = _other_owners(derivation, item)
        if others:
            changes.append(_change(item, {"ownerReferences": [*map(msgspec.to_builtins, others)]}))
        else:
            deletions.append(item)
    return tuple(changes), tuple(deletions)


def _own_and_follow(derivation: DerivationObservation, uses: Template) -> TemplateChange | None:
    metadata: dict[str, Any] = {}
    if all(owner.uid != derivation.seen.service.uid for owner in uses.meta.owners):
        mine = owner_reference(derivation.seen.service)
        metadata = {"ownerReferences": [*map(msgspec.to_builtins, uses.meta.owners), mine]}
    base = derivation.bases.get(base_name(uses))
    spec = followed(base, uses) if base is not None else {}
    return replace(_change(uses, metadata, spec), joins=bool(metadata)) if metadata or spec else None


def _in_the_way(derivation: DerivationObservation) -> Iterator[Template]:
    """A derived template that has the wanted name, does not fit and belongs to nobody."""
    holder, base = derivation.holder, derivation.base
    if (
        holder is not None
        and not isinstance(base, Missing)
        and _ours(holder)
        and not holder.meta.deleting
        and not unreadable(holder)
        and not holder.meta.owners
        and find_match(derivation.seen, base) is None
    ):
        yield holder


def _change(
    template: Template, metadata: Mapping[str, Any], spec: Mapping[str, Any] | None = None
) -> TemplateChange:
    patch: dict[str, Any] = {"metadata": {**metadata, "resourceVersion": template.meta.resource_version}}
    return TemplateChange(template, {**patch, "spec": dict(spec)} if spec else patch)


def _other_owners(derivation: DerivationObservation, template: Template) -> tuple[OwnerReference, ...]:
    mine = derivation.seen.service.uid
    return tuple(owner for owner in template.meta.owners if owner.uid != mine)


def _ours(template: Template) -> bool:
    return is_derived(template) and template.meta.labels.get(LABEL_MANAGED_BY) == MANAGED_BY


# ---- what is said


def _condition(seen: ServiceObservation, outcome: _Outcome) -> dict[str, Any]:
    return conditions.condition(
        seen.view.status.conditions,
        DERIVED,
        outcome.status,
        outcome.reason,
        outcome.message,
        generation=seen.service.generation,
        now=seen.timestamp,
    )


def _events(seen: ServiceObservation, outcome: _Outcome) -> Iterator[EventWish]:
    before = conditions.find(seen.view.status.conditions, DERIVED)
    if before is not None and (before.status, before.reason) == (outcome.status, outcome.reason):
        return
    if outcome.reason == DERIVATION_PENDING:
        return  # it lasts an instant, and what follows is told
    yield EventWish(
        "Normal" if outcome.status == "True" else "Warning",
        outcome.reason,
        conditions.clip(outcome.message, 1024),
    )
