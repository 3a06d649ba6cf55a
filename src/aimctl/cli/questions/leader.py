"""Which manager leads, and with how many discovery slots, from the Lease of leader election.

Contract: pure. Without the right to read the Lease, and for a manager that runs without leader election, nothing is
known. The Lease has expired as soon as its duration has passed since the last renewal, on the clock of this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.cli.questions.answers import Question
from aimctl.cli.rendering.values import duration
from aimctl.cli.suggestions import command
from aimctl.controllers.options import LEASE_NAME, LIMIT_LABEL
from aimctl.kubetypes.builtin import LEASES
from aimctl.runtime.kube import Object

if TYPE_CHECKING:
    from aimctl.cli.questions.answers import Facts

__all__ = ["Leader", "leader_of", "leaderless", "lease_of"]


@final
@dataclass(frozen=True, slots=True)
class Leader:
    """The state of the Lease.

    Attributes:
        identity: the holder: the name of its pod, ``_`` and a UUID; "" for none.
        leads: whether the Lease is held and has not expired.
        renewed: when it was last renewed, RFC 3339; None if unknown.
        seconds: since then; None if unknown.
        lasts: seconds for which a renewal is valid.
        limit: the discovery slots of the holder; None if it has not published them.
    """

    identity: str
    leads: bool
    renewed: str | None
    seconds: float | None
    lasts: int
    limit: int | None

    @property
    def text(self) -> str:
        """One or two sentences."""
        renewed = "it has no time of renewal"
        if self.seconds is not None:
            renewed = f"renewed {duration(self.seconds)} ago"
        if self.leads:
            return f"The leader is {self.identity} (lease {renewed})."
        lost = "the lease has no holder"
        if self.identity:
            lost = f"the lease of {self.identity} has expired: {renewed}, valid for {duration(self.lasts)}"
        return f"No manager leads: {lost}."

    def to_json(self) -> dict[str, Any]:
        """As part of a document."""
        return {
            "identity": self.identity,
            "leads": self.leads,
            "renewed": self.renewed,
            "leaseDurationSeconds": self.lasts,
        }


def lease_of(operator_namespace: str) -> Question:
    """The question for the Lease."""
    return Question(LEASES, operator_namespace, LEASE_NAME)


def leader_of(facts: Facts, operator_namespace: str) -> Leader | None:
    """The leader from the answer to :func:`lease_of`; None if the Lease could not be read or does not exist."""
    lease = facts.answers.get(lease_of(operator_namespace))
    if not isinstance(lease, Object):
        return None
    spec = lease.view.spec
    age, lasts = facts.seconds_since(spec.renew_time), spec.lease_duration_seconds or 0
    identity = spec.holder_identity or ""
    limit = lease.meta.labels.get(LIMIT_LABEL, "")
    return Leader(
        identity,
        leads=bool(identity) and age is not None and age < lasts,
        renewed=None if age is None else spec.renew_time,
        seconds=age,
        lasts=lasts,
        limit=int(limit) if limit.isdecimal() else None,
    )


def leaderless(leader: Leader | None, operator_namespace: str) -> tuple[str, ...]:
    """A note if it is certain that no manager leads."""
    if leader is None or leader.leads:
        return ()
    look = command(f"kubectl get deployment,lease -n {operator_namespace}")
    return (f"{leader.text} What is shown may be out of date. Check that the operator runs: {look}",)
