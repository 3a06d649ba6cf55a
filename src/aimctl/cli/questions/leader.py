"""Which manager leads, from the Lease of leader election.

Contract: pure. Without the right to read the Lease, and for a manager that runs without leader election, nothing is
known. A Lease counts as held for :data:`TOLERANCE_SECONDS` after its end, because the clock of this machine may differ
from that of the manager.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.cli.questions.answers import Question
from aimctl.cli.rendering.values import duration
from aimctl.controllers.options import LEASE_NAME
from aimctl.kubetypes.builtin import LEASES
from aimctl.runtime.kube import Object

if TYPE_CHECKING:
    from aimctl.cli.questions.answers import Facts

__all__ = ["TOLERANCE_SECONDS", "Leader", "leader_of", "lease_of"]

TOLERANCE_SECONDS = 60.0


@final
@dataclass(frozen=True, slots=True)
class Leader:
    """The state of the Lease.

    Attributes:
        identity: the holder: the name of its pod, ``_`` and a UUID; "" for none.
        leads: whether the Lease has not expired.
        seconds: since the last renewal; None if unknown.
    """

    identity: str
    leads: bool
    seconds: float | None

    @property
    def text(self) -> str:
        """One sentence."""
        if self.leads:
            return f"The leader is {self.identity}."
        if self.identity:
            age = duration(self.seconds)
            return f"No manager leads: {self.identity} last renewed the Lease {age} ago. Check that the operator runs:"
        return "No manager leads: the Lease has no holder. Check that the operator runs:"

    def to_json(self) -> dict[str, Any]:
        """As part of a document."""
        return {"identity": self.identity, "leads": self.leads}


def lease_of(operator_namespace: str) -> Question:
    """The question for the Lease."""
    return Question(LEASES, operator_namespace, LEASE_NAME)


def leader_of(facts: Facts, operator_namespace: str) -> Leader | None:
    """The leader from the answer to :func:`lease_of`; None if the Lease could not be read or does not exist."""
    lease = facts.answers.get(lease_of(operator_namespace))
    if not isinstance(lease, Object):
        return None
    spec = lease.view.spec
    age = facts.seconds_since(spec.renew_time)
    fresh = age is not None and age < (spec.lease_duration_seconds or 0) + TOLERANCE_SECONDS
    identity = spec.holder_identity or ""
    return Leader(identity, leads=bool(identity) and fresh, seconds=age)
