"""What derivation does for one service: create its derived template, maintain its owners, report ``Derived``.

Contract:
    * :func:`decide_derivation` is pure and total. Of the status of the service it owns ``Derived`` only, a condition
      that exists while the service has overrides.
    * Every service that uses a derived template is one of its owners. The last service that stops using it deletes it.
      If services are deleted, the garbage collector removes it.
    * A template that does not have the labels of the operator is never owned, changed or deleted, whatever its name.
    * A derived template follows its base in every field that may change. If the base was deleted and created again with
      other values of metric, precision or GPUs, the owners stop using the derived template and it is derived again.
    * While the base cannot be determined (the model is missing, or the base), the service keeps what it has.

Order of the plan: the template in use is created or owned before others are released, and the status reports what was
done. So the service is never without the template that it had before it has the one that it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.api import kinds
from aimctl.api.v1alpha1 import ServiceState
from aimctl.domain import conditions
from aimctl.domain.conditions import Finding
from aimctl.domain.events import PlannedEvent
from aimctl.domain.naming import describe
from aimctl.domain.plan import Confirm, Create, Delete, Patch, Plan, Target, WriteStatus
from aimctl.domain.resolution import Resolved
from aimctl.domain.services.candidates import has_overrides, not_ready
from aimctl.domain.services.derivation.derived_template import (
    base_name,
    changes_from_base,
    derived_template,
    has_profile_of,
    is_managed,
    service_owner_reference,
)
from aimctl.domain.services.observation import NewModel
from aimctl.domain.services.resolution import (
    BASE_TEMPLATE_NOT_FOUND,
    DERIVATION_PENDING,
    DERIVATION_REFUSED,
    DERIVED,
    OF_DERIVATION,
)
from aimctl.domain.status_slice import StatusSlice
from aimctl.domain.templates.template import is_derived, unreadable
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.api.v1alpha1 import RuntimeConfigSpec
    from aimctl.domain.services.observation import ServiceObservation
    from aimctl.domain.services.resolution import Resolution
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import OwnerReference

__all__ = [
    "BASE_TEMPLATE_NOT_RESOLVED",
    "TEMPLATE_DERIVED",
    "TEMPLATE_FOUND",
    "DerivationObservation",
    "decide_derivation",
]

TEMPLATE_DERIVED, TEMPLATE_FOUND = "TemplateDerived", "TemplateFound"
BASE_TEMPLATE_NOT_RESOLVED = "BaseTemplateNotResolved"
DERIVED_TEMPLATE_DELETED = "DerivedTemplateDeleted"

SEE_RESOLVED = "see the condition Resolved"

_OWNED_CONDITIONS = frozenset({DERIVED})
_EVENTS_OF_OTHERS = frozenset({DERIVATION_PENDING, DERIVATION_REFUSED})
"""Reasons without an Event: what follows within a moment has one; and the executor records rejections."""


@final
@dataclass(frozen=True, slots=True)
class DerivationObservation:
    """A service, what its overrides lead to, and the derived templates that concern it.

    Attributes:
        service: the service.
        resolution: from :func:`~aimctl.domain.services.resolution.resolve`.
        holder: the AIMServiceTemplate that has the name of the template to be derived, whatever it is.
        owned: the derived templates that have the service as an owner.
        bases: the templates that derived ones were derived from, by name.
        template_config: the runtime config of a template derived from the base.
    """

    service: ServiceObservation
    resolution: Resolution
    holder: Template | None
    owned: tuple[Template, ...]
    bases: Mapping[str, Template]
    template_config: RuntimeConfigSpec


def decide_derivation(seen: DerivationObservation) -> Plan:
    """Decide for one service."""
    service = seen.service
    if service.obj.meta.deleting:
        return Plan()
    finding: Finding | None = None
    uses = seen.resolution.template
    if has_overrides(service.spec.overrides):
        finding = _finding(seen)
    else:
        # A service may name a template that was derived for others. Then it owns it as well.
        named = service.named
        uses = named if named is not None and is_derived(named) and service.runs_the_model(named) else None
    own: list[Create | Patch] = [*_create(seen), *_own(seen, uses)]
    unused = (*_release(seen, uses), *_delete_outdated(seen))
    return Plan(
        (
            *([_confirm_service(service)] if _adds_owner(own) or unused else ()),
            *own,
            *unused,
            _status(seen, finding),
        )
    )


def _confirm_service(service: ServiceObservation) -> Confirm:
    """The service still exists, and is as observed.

    The garbage collector removes the references of a service that is gone, and deletes templates without others. With a
    cache that lags, the reference would be added as often as the garbage collector removes it. And a template that an
    old state of the service did not use would be deleted, although the service uses it by now.
    """
    meta = service.obj.meta
    return Confirm(kinds.SERVICES, service.namespace, meta.name, meta.resource_version)


def _adds_owner(actions: list[Create | Patch]) -> bool:
    return any(isinstance(action, Create) or "metadata" in action.body for action in actions)


# ---- the template in use


def _create(seen: DerivationObservation) -> Iterator[Create]:
    service, base = seen.service, seen.resolution.base
    overrides = service.spec.overrides
    if not seen.resolution.derive or base is None or overrides is None:
        return
    manifest = derived_template(base, overrides, service.obj, seen.template_config)
    before = find_condition(service.status.conditions, DERIVED)
    events: tuple[PlannedEvent, ...] = ()
    if before is not None and (before.status, before.reason) == ("True", TEMPLATE_DERIVED):
        # The condition does not change, so its Event is not recorded.
        text = f"AIMServiceTemplate {manifest['metadata']['name']!r} was derived again from {describe(base)}"
        events = (PlannedEvent("Normal", TEMPLATE_DERIVED, text),)
    yield Create(kinds.TEMPLATES, manifest, events)


def _own(seen: DerivationObservation, uses: Template | None) -> Iterator[Patch]:
    """Make the service an owner of the derived template that it uses, and bring in the changes of its base."""
    if uses is None or not is_managed(uses) or uses.meta.deleting or unreadable(uses):
        return
    body: dict[str, Any] = {}
    if all(owner.uid != seen.service.obj.meta.uid for owner in uses.meta.owners):
        mine = service_owner_reference(seen.service.obj)
        body["metadata"] = {"ownerReferences": [*_to_json(uses.meta.owners), mine]}
    base = seen.bases.get(base_name(uses))
    spec = changes_from_base(base, uses) if base is not None else {}
    if spec:
        body["spec"] = spec
    if body:
        yield Patch(Target.of(uses), body)


# ---- templates that are no longer used


def _release(seen: DerivationObservation, uses: Template | None) -> Iterator[Patch | Delete]:
    """Remove the service from the owners of all other derived templates, and delete those without other owners."""
    if has_overrides(seen.service.spec.overrides) and not isinstance(seen.service.model, Resolved):
        return
    for item in seen.owned:
        if (
            item.meta.deleting
            or unreadable(item)
            or not is_managed(item)
            or (uses is not None and item.meta.uid == uses.meta.uid)
        ):
            continue
        others = [owner for owner in item.meta.owners if owner.uid != seen.service.obj.meta.uid]
        if others:
            yield Patch(Target.of(item), {"metadata": {"ownerReferences": _to_json(others)}})
        else:
            yield _delete(item)


def _delete_outdated(seen: DerivationObservation) -> Iterator[Delete]:
    """Delete a derived template without owners that has the name of the one to be derived, and does not fit."""
    holder, resolution = seen.holder, seen.resolution
    if (
        holder is not None
        and resolution.base is not None
        and resolution.template is None
        and is_managed(holder)
        and not holder.meta.deleting
        and not unreadable(holder)
        and not holder.meta.owners
    ):
        yield _delete(holder)


def _delete(template: Template) -> Delete:
    text = f"{describe(template)} was deleted: no service uses it"
    return Delete(Target.of(template), events=(PlannedEvent("Normal", DERIVED_TEMPLATE_DELETED, text),))


def _to_json(owners: tuple[OwnerReference, ...] | list[OwnerReference]) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(owner) for owner in owners]


# ---- the condition


def _finding(seen: DerivationObservation) -> Finding:
    resolution = seen.resolution
    if resolution.template is None:
        return Finding(False, _reason(seen.service, resolution), resolution.message)
    if not is_managed(resolution.template):
        message = f"{describe(resolution.template)} has the spec that the overrides lead to, so no template was derived"
        return Finding(True, TEMPLATE_FOUND, message)
    if resolution.base is None:
        return Finding(True, TEMPLATE_DERIVED, resolution.message)
    return Finding(True, TEMPLATE_DERIVED, _origin(seen, resolution.template))


def _reason(service: ServiceObservation, resolution: Resolution) -> str:
    choice = resolution.choice
    if choice.template is not None:
        return resolution.reason
    if isinstance(service.model, NewModel) or choice.state is ServiceState.STARTING:
        return DERIVATION_PENDING
    missing = isinstance(service.model, Resolved) and service.named is None and service.spec.template_ref
    return BASE_TEMPLATE_NOT_FOUND if missing else BASE_TEMPLATE_NOT_RESOLVED


def _origin(seen: DerivationObservation, template: Template) -> str:
    name = base_name(template)
    base = seen.bases.get(name)
    if base is None:
        return f"{describe(template)} was derived from {name!r}, which no longer exists: it is kept"
    if unreadable(base):
        return (
            f"{describe(template)} was derived from {describe(base)}, which can no longer be read: it is kept"
        )
    if not has_profile_of(base, template):
        return f"{describe(template)} was derived from an earlier {name!r}: it is kept"
    # The message of the base changes often, and each change would be written to the status of every service.
    state = f"; the base is {base.view.status.status or 'new'}" if not_ready(base) else ""
    return f"{describe(template)} was derived from {describe(base)}{state}"


def _referring(seen: DerivationObservation, finding: Finding) -> Finding:
    """The finding; what the condition ``Resolved`` states is not repeated."""
    resolution = seen.resolution
    stated = finding.message == resolution.message and resolution.reason not in OF_DERIVATION
    return finding._replace(message=SEE_RESOLVED) if stated else finding


def _status(seen: DerivationObservation, finding: Finding | None) -> WriteStatus:
    service = seen.service
    findings = {} if finding is None else {DERIVED: _referring(seen, finding)}
    meta, before = service.obj.meta, service.status.conditions
    built = conditions.conditions_of(findings, before, generation=meta.generation, now=service.now)
    part = StatusSlice({}, built, frozenset(), _OWNED_CONDITIONS)
    return WriteStatus(part, tuple(_events(service, finding)))


def _events(service: ServiceObservation, finding: Finding | None) -> Iterator[PlannedEvent]:
    if finding is None or finding.reason in _EVENTS_OF_OTHERS:
        return
    before = find_condition(service.status.conditions, DERIVED)
    if before is not None and (before.status, before.reason) == (str(finding.true), finding.reason):
        return
    yield PlannedEvent(
        "Normal" if finding.true else "Warning", finding.reason, conditions.abridge(finding.message)
    )
