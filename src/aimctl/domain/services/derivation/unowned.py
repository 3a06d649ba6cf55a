"""Derived templates without an owner: they are deleted if no service uses them for a while.

A derived template is created with an owner, and deleted with its last one. Still one may lose all its owners: if the
garbage collector removes the reference of a deleted service while the last other service releases the template, or if a
service is deleted with ``--cascade=orphan``. Until it is deleted, services with its overrides use it again. To keep it,
remove its label ``derived-template``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from aimctl.domain.events import PlannedEvent
from aimctl.domain.plan import Delete, Plan, Target
from aimctl.domain.services.derivation.derived_template import is_managed

if TYPE_CHECKING:
    from aimctl.domain.templates.template import Template

__all__ = ["UNOWNED_SECONDS", "UnownedObservation", "decide_unowned", "is_unowned"]

UNOWNED_SECONDS = 300.0
"""How long a derived template may be without an owner."""


@final
@dataclass(frozen=True, slots=True)
class UnownedObservation:
    """A namespaced template.

    Attributes:
        template: the template.
        seconds: how long it has been without an owner.
    """

    template: Template
    seconds: float


def is_unowned(template: Template) -> bool:
    """Whether this is a derived template without an owner."""
    return is_managed(template) and not template.meta.owners and not template.meta.deleting


def decide_unowned(seen: UnownedObservation) -> Plan:
    """Wait, then delete."""
    if not is_unowned(seen.template):
        return Plan()
    left = UNOWNED_SECONDS - seen.seconds
    if left > 0:
        return Plan(requeue_after=left)
    event = PlannedEvent("Normal", "DerivedTemplateDeleted", "no service has used it for a while")
    return Plan((Delete(Target.of(seen.template), events=(event,)),))
